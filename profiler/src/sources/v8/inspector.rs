//! Where a process's inspector is: found among its listening sockets, or opened by a signal.
//!
//! Owns the list of targets that an inspector gives, and SIGUSR1 with what must hold before it is sent. Linux only, but for an address that is
//! given by hand.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use timeline::MonoNs;
use timeline::text::clean;

use super::guard::Guard;
use super::{V8Error, bun};
use crate::sources::discover::{Runtime, runs, runtime_of};
use crate::sources::{fetch, sockets};

/// Longest list of targets, bytes.
const MAX_LIST: u64 = 256 << 10;
/// A process that is busy takes a while to open or move its inspector.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// For so long one may still go to another port that was told to; what it has not done by then it leaves, and [`PATIENCE`] sees what it has.
pub(super) const GOING: Duration = Duration::from_secs(4);
/// One that has just been started takes a while until it waits for the signal. It is given so long at a time where observers stand in others already:
/// with [`PATIENCE`] less than the ten seconds after which these remove themselves when nobody reads them.
pub(super) const STARTING: Duration = Duration::from_secs(4);
/// Who is older than this and does not wait for the signal is not about to: a machine that is busy takes seconds to start one.
pub(super) const YOUNG: Duration = Duration::from_secs(10);
/// How often one looks whether it does.
const LOOK: Duration = Duration::from_millis(20);
/// Most listening sockets of a process that are asked whether they are an inspector.
const MAX_ASKED: usize = 8;
/// Ports for inspectors that make way: so many rows of so many, and none of them below the last.
const ROWS: u16 = 190;
const ROW: u16 = 64;
const LOWEST: u16 = 10_000;
/// The port that Node.js opens its inspector on, unless one of these options says another: `--inspect-port=[HOST:]PORT`.
const USUAL: u16 = 9_229;
const PORT_OPTIONS: [&str; 5] =
    ["--inspect-port", "--debug-port", "--inspect", "--inspect-brk", "--inspect-wait"];
/// Longest path of a target: an identifier of 36 characters is usual.
const MAX_PATH: usize = 200;
/// Most characters of the target's own words in an error.
const WORDS: usize = 160;

/// A process before anybody was signalled: the primary of a cluster passes the signal on to its workers.
pub(super) struct Before {
    pub listening: Vec<SocketAddr>,
    /// Its inspector, if that is open.
    pub open: Option<SocketAddr>,
}

impl Before {
    /// `served` is not asked: it belongs to the process's own clients.
    pub fn of(pid: u32, served: Option<u16>) -> Self {
        Self { listening: listening(pid), open: None }.again(served)
    }

    /// The same, looked at once more for the inspector: one that was open may not have answered.
    pub fn again(self, served: Option<u16>) -> Self {
        let open = self.open.or_else(|| self.answering(served));
        Self { open, ..self }
    }

    /// The first of its sockets that answers as an inspector does.
    pub fn answering(&self, served: Option<u16>) -> Option<SocketAddr> {
        let asked = self.listening.iter().filter(|a| Some(a.port()) != served).take(MAX_ASKED);
        asked.copied().find(|&address| path(address).is_ok())
    }

    /// The same of a worker to which its primary has passed our signal on: the inspector that is open was opened for us.
    pub fn passed_on(mut self) -> Self {
        let open = self.open.take();
        self.listening.retain(|address| Some(*address) != open);
        self
    }

    /// The inspector that `pid` has opened since.
    pub fn opened(&self, pid: u32) -> Option<SocketAddr> {
        listening(pid).into_iter().find(|a| !self.listening.contains(a) && path(*a).is_ok())
    }
}

/// Asks Node.js to open its inspector. The signal's default action is the process's end, so it is sent to nobody but a Node.js that catches it: Bun
/// does not, nor a Node.js that was told `--disable-sigusr1`. One that is young is waited for, for as long as `patience`. `guard` is told before
/// it is sent.
pub(super) fn ask(pid: u32, patience: Duration, guard: Option<&mut Guard>) -> Result<(), V8Error> {
    let refuse = |why: &str| Err(V8Error::NotOpened(why.to_owned()));
    if cfg!(target_os = "linux") && !runs(pid) {
        return Err(V8Error::Gone(pid));
    }
    if !shares_our_network(pid) {
        return refuse(
            "it is in a network of its own, as in a container; run dyno in there, or forward a port of ours to its inspector and attach node=127.0.0.1:PORT",
        );
    }
    match runtime_of(pid) {
        Runtime::Node => {}
        _ if is_hidden(pid) => {
            return refuse("it belongs to somebody else: no permission to see what it runs on");
        }
        Runtime::Deno => return refuse("start Deno with --inspect"),
        Runtime::Bun => return refuse(&bun::start()),
        _ => return refuse("it is not Node.js; start it with --inspect if it runs on V8"),
    }
    if !waits_for_usr1(pid, YOUNG, patience) {
        return refuse("it does not wait for SIGUSR1; start it with --inspect");
    }
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return refuse("no such process");
    };
    if let Some(guard) = guard {
        guard.arm()?;
    }
    kill_process(target, Signal::USR1)
        .map_err(|e| V8Error::NotOpened(format!("SIGUSR1 could not be sent: {e}")))
}

/// `pid` was asked, and no inspector came.
pub(super) fn not_opened(pid: u32) -> V8Error {
    let port = port_of(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
    let why = if sockets::is_taken(port) {
        format!(
            "perhaps its port ({port}) is taken (start it with --inspect-port=0), or it handles SIGUSR1 itself"
        )
    } else {
        "it is busy, or it handles SIGUSR1 itself (start it with --inspect)".to_owned()
    };
    V8Error::NotOpened(format!("it was sent SIGUSR1 and did not open one: {why}"))
}

/// The port that a command line says for the inspector.
fn port_of(command_line: &[u8]) -> u16 {
    let mut ports = said(command_line, &PORT_OPTIONS).filter_map(port_at);
    ports.next_back().unwrap_or(USUAL)
}

/// What a command line says for `options`, one after the other; a zero stands behind each of its words.
pub(super) fn said<'a>(
    command_line: &'a [u8],
    options: &'a [&str],
) -> impl DoubleEndedIterator<Item = &'a str> {
    let words = command_line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
    let pairs = words.filter_map(|word| word.split_once('='));
    pairs.filter(|(option, _)| options.contains(option)).map(|(_, place)| place)
}

/// The port of `[HOST:]PORT`.
pub(super) fn port_at(place: &str) -> Option<u16> {
    place.rsplit(':').next()?.parse().ok()
}

/// Where `pid` listens, as far as we can get there. The same address in another network is somebody else's.
pub(super) fn listening(pid: u32) -> Vec<SocketAddr> {
    if shares_our_network(pid) { sockets::listening(pid) } else { Vec::new() }
}

/// Is loopback the same for us and for `pid`? Where that cannot be seen, neither can its sockets.
fn shares_our_network(pid: u32) -> bool {
    let network = |of: &str| fs::read_link(format!("/proc/{of}/ns/net"));
    match (network("self"), network(&pid.to_string())) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        _ => true,
    }
}

/// May we not see its executable?
fn is_hidden(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
}

/// The first of some free ports for the inspector of `pid`, when it makes way: a primary counts on from there for the workers that it forks. So
/// they lie below those that the system hands out, which many clients use up. 0, any port, where there are none.
pub(super) fn aside(pid: u32) -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let handed_out = range.split_whitespace().next().and_then(|low| low.parse::<u16>().ok()).unwrap_or(0);
    let Some(first) = handed_out.checked_sub(ROWS * ROW).filter(|first| *first >= LOWEST) else { return 0 };
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Processes that were started one after another get rows of their own.
    let nth = (pid % u32::from(ROWS)) as u16;
    let mut rows = (0..ROWS).map(|n| first + (nth + n) % ROWS * ROW);
    rows.find(|row| (*row..row + ROW).all(free)).unwrap_or(0)
}

/// Where the inspector of `pid` has gone from `address`, if it has; `before` is where it listened before it was told to.
pub(super) fn moved(pid: u32, address: SocketAddr, before: &[SocketAddr]) -> Option<SocketAddr> {
    let now = || {
        let all = listening(pid);
        let away = !all.contains(&address);
        all.into_iter().find(|a| away && !before.contains(a) && path(*a).is_ok())
    };
    within(PATIENCE, now)
}

/// Is the inspector at `address` that of `pid`?
pub(super) fn is_of(pid: u32, address: SocketAddr) -> bool {
    listening(pid).contains(&address)
}

/// Does `pid` listen at the port of `address`? By which of loopback's addresses it is reached does not matter.
pub(super) fn is_behind(pid: u32, address: SocketAddr) -> bool {
    listening(pid).iter().any(|own| own.port() == address.port())
}

/// What `look` finds within `time`.
pub(super) fn within<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = MonoNs::now();
    loop {
        let found = look();
        if found.is_some() || MonoNs::now().since(begin) >= time {
            return found;
        }
        std::thread::sleep(LOOK);
    }
}

/// Does it wait for the signal? One that is younger than `young` may be about to, and is waited for.
fn waits_for_usr1(pid: u32, young: Duration, patience: Duration) -> bool {
    let look = || {
        let waits = catches_usr1(pid);
        (waits || !is_younger(pid, young)).then_some(waits)
    };
    within(patience, look) == Some(true)
}

/// One that has ended is of no age.
fn is_younger(pid: u32, young: Duration) -> bool {
    sockets::age(pid).is_some_and(|age| age < young)
}

/// May it open its inspector later, though it has not by now? What it runs on, and where, stays as it is.
pub(super) fn may_open(pid: u32) -> bool {
    runtime_of(pid) == Runtime::Node
        && shares_our_network(pid)
        && (catches_usr1(pid) || is_younger(pid, YOUNG))
}

/// Is SIGUSR1 among the signals for which the process has a handler?
fn catches_usr1(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught >> (Signal::USR1.as_raw() - 1) & 1 == 1
}

/// The path of the first target of the inspector at `address`.
pub(super) fn path(address: SocketAddr) -> Result<String, V8Error> {
    let path = match listed(address) {
        Err(V8Error::NotInspector(why)) => bun::path(address).unwrap_or(Err(V8Error::NotInspector(why)))?,
        listed => listed?,
    };
    let is_one = path.len() <= MAX_PATH && path.bytes().all(|b| b.is_ascii_graphic());
    is_one.then_some(path).ok_or_else(|| not("its target has no address of the form ws://HOST/ID"))
}

fn not(why: &str) -> V8Error {
    V8Error::NotInspector(why.to_owned())
}

/// The path of the first target that is listed there. Where else the answer points is of no interest.
fn listed(address: SocketAddr) -> Result<String, V8Error> {
    #[derive(Deserialize)]
    struct Target {
        #[serde(rename = "webSocketDebuggerUrl")]
        url: Option<String>,
    }
    let list: Vec<Target> = serde_json::from_slice(&get(address)?).map_err(|e| {
        V8Error::NotInspector(format!("its list of targets: {}", clean(&e.to_string(), WORDS)))
    })?;
    let url = list.into_iter().find_map(|t| t.url).ok_or_else(|| not("it lists no target"))?;
    let rest = url.strip_prefix("ws://").and_then(|u| u.find('/').map(|at| u[at..].to_owned()));
    rest.ok_or_else(|| not("its target has no address of the form ws://HOST/ID"))
}

fn get(address: SocketAddr) -> Result<Vec<u8>, V8Error> {
    let list = format!("http://{address}/json/list");
    let mut response = fetch::client().get(list).call().map_err(|e| named(&e))?;
    if response.status().as_u16() != 200 {
        return Err(V8Error::NotInspector(format!(
            "status {} for its list of targets",
            response.status().as_u16()
        )));
    }
    response.body_mut().with_config().limit(MAX_LIST).read_to_vec().map_err(|e| named(&e))
}

fn named(error: &ureq::Error) -> V8Error {
    let words = |e: &dyn std::fmt::Display| clean(&e.to_string(), WORDS);
    match error {
        ureq::Error::Timeout(_) => V8Error::TimedOut,
        ureq::Error::Io(e) if e.get_ref().is_none_or(|inner| !inner.is::<ureq::Error>()) => {
            V8Error::Unreachable(words(e))
        }
        ureq::Error::ConnectionFailed => V8Error::Unreachable(words(error)),
        e => V8Error::NotInspector(words(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::Command;

    use super::super::{Place, reach};
    use super::*;

    #[test]
    fn an_inspector_that_was_open_and_answers_late_does_not_pass_for_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let list = r#"[{"webSocketDebuggerUrl": "ws://127.0.0.1/abc"}]"#;
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4_096]);
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
            }
        });
        // No signal opens another one in it; nor would it in one of Node.js.
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        // It stood still when it was looked at.
        let before = Before { listening: vec![address], open: None };
        let (_, reached) = reach(&[(Place::Process(process.id()), Some(before))], None, STARTING, None);
        let inspector = reached.unwrap();
        assert_eq!((inspector.address, inspector.opened), (address, false));
        process.kill().unwrap();
        process.wait().unwrap();
    }

    #[test]
    fn what_is_open_in_a_worker_of_a_primary_that_was_signalled_was_opened_for_us() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let before = Before { listening: vec![address(80), address(9_230)], open: Some(address(9_230)) };
        let before = before.passed_on();
        assert_eq!((before.open, before.listening), (None, vec![address(80)]));
    }

    #[test]
    fn who_makes_way_leaves_room_for_workers_and_goes_where_no_client_gets_its_port() {
        let (one, other) = (aside(4_711), aside(4_712));
        assert!(one.abs_diff(other) >= ROW, "{one} {other}");
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        assert!(one + ROW <= lowest && one >= LOWEST, "{one}: {range}");
        let _taken = TcpListener::bind(("127.0.0.1", one + 1)).unwrap();
        assert!(aside(4_711).abs_diff(one) >= ROW);
    }

    #[test]
    fn the_port_that_an_inspector_wants_is_what_its_command_line_says() {
        let port = |words: &[&str]| port_of(words.join("\0").as_bytes());
        assert_eq!(port(&["node", "server.js"]), 9_229);
        assert_eq!(port(&["node", "--inspect-port=0", "server.js"]), 0);
        assert_eq!(port(&["node", "--inspect=127.0.0.1:9230", "--inspect-port=9231", "server.js"]), 9_231);
        assert_eq!(port(&["node", "--inspect-brk=[::1]:9230", "server.js", "--port=80"]), 9_230);
        assert_eq!(port(&["node", "--inspect-port=somewhere", "server.js"]), 9_229);
    }

    #[test]
    fn who_does_not_wait_for_the_signal_and_is_not_young_is_given_no_while() {
        let me = std::process::id();
        let begin = MonoNs::now();
        let patience = Duration::from_secs(60);
        assert!(!waits_for_usr1(me, Duration::ZERO, patience));
        assert!(MonoNs::now().since(begin) < patience);
        assert!(!may_open(me), "it is not Node.js");
    }
}
