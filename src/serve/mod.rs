//! `--serve`: a running run can be watched from another host.
//!
//! What is served is the recording, over HTTP/1.1: its bytes from the first on, then what is appended, until the run ends. So a late
//! joiner has the whole history, there is no second format that could differ from the first, and `curl` can copy a run while it
//! goes on. Watchers read the *file*, each on a thread of its own that owns nothing but a buffer: the recorder does
//! not know that they exist, so none of them can slow it, however slow or hostile it is. One that takes nothing for
//! [`PATIENCE`] is dropped, with a notice in the run's log.
//!
//! Only who has the token is served. On loopback it goes in the clear (a tunnel of one's own choice ends there); any other address
//! is served under TLS alone. Nothing that a watcher sends can change the run. On the same host none of this is needed:
//! [`crate::follow`] reads the file itself.

mod line;
pub mod tls;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use timeline::MonoNs;
use timeline::recorder::Handle;
use timeline::recording::FILE_NAME;

use crate::cli::ServeArgs;
use crate::outcome::UserError;
use crate::secret;
use line::Line;
use tls::Fingerprint;

/// Where the recording is.
pub const PATH: &str = "/v1/recording";
/// Name of the environment variable that carries the token of watchers.
pub const TOKEN_VARIABLE: &str = "DYNO_WATCH_TOKEN";
/// Name of the file with the token in the run's folder, where none was given.
const TOKEN_FILE: &str = "watch.token";
/// Shortest token that can be given: 16 characters cannot be guessed over a network within the length of a run.
const SHORTEST_TOKEN: usize = 16;
/// Most connections at once; further ones are closed at once.
const SEATS: usize = 16;
/// Time for handshake and request together.
const REQUEST: Duration = Duration::from_secs(5);
/// Longest request, bytes.
const LONGEST_REQUEST: usize = 4_096;
/// A watcher that has not taken [`CHUNK`] within this is dropped. A recording grows by some KB a second, so this is only met by one that has
/// stopped, or whose network has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read and sent at a time.
const CHUNK: usize = 64 << 10;
/// How often the file is looked at, and new connections are.
const LOOK: Duration = Duration::from_millis(50);
/// Once the run is over watchers take the rest, until none of them has taken [`CHUNK`] for so long.
const GRACE: Duration = Duration::from_secs(2);
/// All of it: a large rest goes over a slow line in this time or not at all, and nobody holds up the end by taking little at a time.
const WHOLE_GRACE: Duration = Duration::from_secs(10);
/// Shortest time between two notices; what a hostile peer does must not fill the log.
const NOTICE: Duration = Duration::from_secs(1);

/// An open port, before there is a run.
pub struct Door {
    listener: TcpListener,
    at: SocketAddr,
    token: Option<String>,
    tls: Option<tls::Server>,
}

impl Door {
    /// Opens the port that was asked for, if one was.
    pub fn open(asked: &ServeArgs) -> anyhow::Result<Option<Self>> {
        let Some(at) = asked.serve else { return Ok(None) };
        let wrong = |e: &dyn std::fmt::Display| UserError::wrong(format!("--serve {at}: {e}"));
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| token.len() < SHORTEST_TOKEN || !plain(token)) {
            return Err(wrong(&format!(
                "the token in {TOKEN_VARIABLE} must have {SHORTEST_TOKEN} or more characters, and no spaces among them"
            )));
        }
        let listener = TcpListener::bind(at).map_err(|e| wrong(&e))?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        let names = || vec![at.ip().to_string(), "localhost".to_owned()];
        let tls = match (&asked.serve_cert, &asked.serve_key) {
            (Some(chain), Some(key)) => Some(tls::Server::given(chain, key).map_err(|e| wrong(&e))?),
            _ if !at.ip().is_loopback() => Some(tls::Server::made(names()).map_err(|e| wrong(&e))?),
            _ => None,
        };
        Ok(Some(Self { listener, at, token, tls }))
    }

    /// Serves the run in `folder` from now on.
    pub fn serve(self, folder: &Path, handle: &Handle) -> anyhow::Result<Serving> {
        self.serve_with(folder, handle, PATIENCE)
    }

    fn serve_with(self, folder: &Path, handle: &Handle, patience: Duration) -> anyhow::Result<Serving> {
        let made;
        let (token, whence) = match &self.token {
            Some(token) => (token, format!("the token is the one in {TOKEN_VARIABLE}")),
            None => {
                made = secret::new_token()?;
                let file = folder.join(TOKEN_FILE);
                secret::write_token(&file, &made)?;
                (&made, format!("the token is in {}", file.display()))
            }
        };
        let about = about(self.at, self.tls.as_ref().map(|tls| tls.fingerprint), &whence);
        handle.log(&about);
        let shared = Arc::new(Shared {
            recording: folder.join(FILE_NAME),
            token: token.clone(),
            tls: self.tls.map(|tls| tls.config),
            handle: handle.clone(),
            patience,
            closing: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            sockets: Mutex::default(),
            noticed: Mutex::default(),
        });
        let (own, listener) = (Arc::clone(&shared), self.listener);
        let thread =
            std::thread::Builder::new().name("serve".to_owned()).spawn(move || own.accept(&listener))?;
        Ok(Serving { shared, thread: Some(thread), about })
    }
}

/// What can stand in a header's value as one word.
fn plain(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_graphic())
}

fn about(at: SocketAddr, fingerprint: Option<Fingerprint>, whence: &str) -> String {
    let host = if at.ip().is_unspecified() { "HOST".to_owned() } else { at.ip().to_string() };
    let host = if at.is_ipv6() && !at.ip().is_unspecified() { format!("[{host}]") } else { host };
    let port = at.port();
    match fingerprint {
        None => format!("to be watched by `dyno watch dyno://{host}:{port}`; {whence}"),
        Some(f) => format!("to be watched by `dyno watch dynos://{host}:{port} --fingerprint {f}`; {whence}"),
    }
}

/// What `--serve` takes: a port alone means loopback.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost:", "127.0.0.1:");
    let port = text.strip_prefix(':').unwrap_or(&text).parse::<u16>();
    let loopback = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    loopback.or_else(|_| text.parse()).map_err(|_| {
        "expected PORT, which is served on loopback, or ADDRESS:PORT with an IP address of this machine"
            .to_owned()
    })
}

/// A run that is being served. Dropping it lets watchers take the rest, while they do and for at most [`WHOLE_GRACE`], and ends them.
pub struct Serving {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    about: String,
}

impl Serving {
    /// How it can be watched, one line.
    pub fn about(&self) -> &str {
        &self.about
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What all threads of a run that is served know.
struct Shared {
    recording: PathBuf,
    token: String,
    tls: Option<Arc<ServerConfig>>,
    handle: Handle,
    patience: Duration,
    closing: AtomicBool,
    /// How often a watcher has taken [`CHUNK`], or what there was of it.
    taken: AtomicU64,
    /// The open ones, to be shut when the run is over.
    sockets: Mutex<HashMap<u64, TcpStream>>,
    noticed: Mutex<Noticed>,
}

#[derive(Default)]
struct Noticed {
    last: Option<MonoNs>,
    withheld: u64,
}

/// Nothing is left half-done by a thread that panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Lets watchers in until the run is over, then waits for them.
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut watchers: Vec<JoinHandle<()>> = Vec::new();
        let mut number = 0;
        while !self.closing() {
            watchers.retain(|watcher| !watcher.is_finished());
            match listener.accept() {
                Ok((socket, peer)) if watchers.len() < SEATS => {
                    number += 1;
                    match self.begin(number, socket, peer) {
                        Ok(watcher) => watchers.push(watcher),
                        Err(e) => self.notice(&format!("watcher {peer}: not served: {e}")),
                    }
                }
                Ok((_, peer)) => {
                    self.notice(&format!("watcher {peer}: not served, {SEATS} are connected already"))
                }
                // Nobody, or no descriptor to be had at the moment.
                Err(_) => std::thread::sleep(LOOK),
            }
        }
        self.last_chunks(&watchers);
        for socket in locked(&self.sockets).values() {
            let _ = socket.shutdown(Shutdown::Both); // it is gone already
        }
        for watcher in watchers {
            let _ = watcher.join();
        }
    }

    /// Waits until the watchers have the rest, or take no more of it. Counted in looks: a machine that stands still takes nobody's time away.
    fn last_chunks(&self, watchers: &[JoinHandle<()>]) {
        let (mut before, mut idle) = (self.taken.load(Ordering::Relaxed), Duration::ZERO);
        for _ in 0..WHOLE_GRACE.as_millis() / LOOK.as_millis() {
            if idle >= GRACE || watchers.iter().all(JoinHandle::is_finished) {
                return;
            }
            std::thread::sleep(LOOK);
            let taken = self.taken.load(Ordering::Relaxed);
            idle = if taken == before { idle + LOOK } else { Duration::ZERO };
            before = taken;
        }
    }

    fn begin(
        self: &Arc<Self>,
        number: u64,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<JoinHandle<()>> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        locked(&self.sockets).insert(number, socket.try_clone()?);
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(move || {
            if let Err(why) = own.attend(socket, peer) {
                own.notice(&format!("watcher {peer}: {why}"));
            }
            locked(&own.sockets).remove(&number);
        });
        if thread.is_err() {
            locked(&self.sockets).remove(&number);
        }
        thread
    }

    /// One watcher from request to end.
    fn attend(&self, socket: TcpStream, peer: SocketAddr) -> Result<(), String> {
        let mut line = Line::new(socket, self.tls.as_ref()).map_err(|e| e.to_string())?;
        line.within(REQUEST);
        let asked = request(&mut line).map_err(|e| format!("no request was understood: {}", told(&e)))?;
        let answer = match asked {
            Asked::Nothing => return Ok(()),
            Asked::Recording { token } if same(token.as_bytes(), self.token.as_bytes()) => None,
            Asked::Recording { .. } => Some(("401 Unauthorized", "the token is missing or wrong")),
            Asked::Else => Some(("404 Not Found", "only the recording is served")),
        };
        if let Some((status, why)) = answer {
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
                why.len() + 1
            );
            let _ = line.write_all(text.as_bytes()).and_then(|()| line.close());
            return Err(format!("refused, {why}"));
        }
        self.notice(&format!("watcher {peer} joins"));
        match self.stream(&mut line) {
            Ok(()) => Ok(()),
            Err(_) if self.closing() => Ok(()), // the run is over, and so was the grace
            Err(e) if is_slow(&e) => {
                Err(format!("dropped, it took nothing for {} s", self.patience.as_secs_f32()))
            }
            Err(e) => Err(format!("left ({})", told(&e))),
        }
    }

    /// The recording from its first byte on, until the run is over.
    fn stream(&self, line: &mut Line) -> io::Result<()> {
        let mut file = File::open(&self.recording)?;
        line.within(self.patience);
        line.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        )?;
        let mut chunk = vec![0; CHUNK];
        loop {
            // Asked before reading: what was written before the end is sent.
            let last = self.closing();
            let read = file.read(&mut chunk)?;
            if read > 0 {
                line.within(self.patience);
                line.write_all(&chunk[..read])?;
                line.flush()?;
                self.taken.fetch_add(1, Ordering::Relaxed);
            } else if last {
                return line.close();
            } else {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// A line in the run's log, at most one in [`NOTICE`].
    fn notice(&self, text: &str) {
        let mut noticed = locked(&self.noticed);
        let now = MonoNs::now();
        if noticed.last.is_some_and(|last| now.since(last) < NOTICE) {
            noticed.withheld += 1;
            return;
        }
        noticed.last = Some(now);
        match std::mem::take(&mut noticed.withheld) {
            0 => self.handle.log(text),
            more => self.handle.log(&format!("{text} (and {more} notices like it)")),
        }
    }
}

enum Asked {
    /// The other side hung up: somebody only looked whether the port is open.
    Nothing,
    Recording {
        token: String,
    },
    Else,
}

fn request(line: &mut Line) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut part = [0; 512];
    loop {
        let read = line.read(&mut part)?;
        if read == 0 {
            let nothing = head.is_empty();
            return if nothing { Ok(Asked::Nothing) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        head.extend_from_slice(&part[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => return Ok(asked(&parsed)),
            Ok(httparse::Status::Partial) if head.len() < LONGEST_REQUEST => {}
            Ok(httparse::Status::Partial) => return Err(io::Error::other("it is too long")),
            Err(e) => return Err(io::Error::other(e.to_string())),
        }
    }
}

fn asked(request: &httparse::Request<'_, '_>) -> Asked {
    if request.method != Some("GET") || request.path != Some(PATH) {
        return Asked::Else;
    }
    let header = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("authorization"));
    let value = header.and_then(|h| std::str::from_utf8(h.value).ok()).unwrap_or_default();
    Asked::Recording { token: value.strip_prefix("Bearer ").unwrap_or_default().to_owned() }
}

/// Takes as long wherever the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

fn is_slow(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn told(e: &io::Error) -> String {
    if is_slow(e) { "it took too long".to_owned() } else { timeline::text::clean(&e.to_string(), 120) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cli::{Cli, Command, WatchArgs};
    use crate::follow::remote::{Arrived, Remote};
    use crate::run::testing::recorder;
    use clap::Parser as _;
    use timeline::facts::{EndReason, RunEnd};
    use timeline::recorder::Recorder;

    /// More than the buffers of a loopback connection take.
    const LARGE: usize = 32 << 20;

    /// A run whose recording is `LARGE`, served.
    struct Served {
        dir: tempfile::TempDir,
        recorder: Recorder,
        serving: Serving,
        at: SocketAddr,
    }

    fn served(tls: Option<tls::Server>, patience: Duration) -> Served {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), vec![7; LARGE]).unwrap();
        let recorder = recorder();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let door = Door { listener, at, token: None, tls };
        let serving = door.serve_with(dir.path(), &recorder.handle(), patience).unwrap();
        Served { dir, recorder, serving, at }
    }

    /// Waits until `what` holds; the machine may be busy.
    fn soon(what: impl Fn() -> bool) -> bool {
        (0..400).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            what()
        })
    }

    impl Served {
        fn token(&self) -> String {
            std::fs::read_to_string(self.dir.path().join(TOKEN_FILE)).unwrap().trim().to_owned()
        }

        /// Somebody who has asked for the recording.
        fn joining(&self) -> TcpStream {
            let mut socket = TcpStream::connect(self.at).unwrap();
            write!(socket, "GET {PATH} HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n", self.token()).unwrap();
            socket
        }

        /// Is this in the run's log?
        fn says(&self, text: &str) -> bool {
            self.recorder.handle().published().get().log.iter().any(|line| line.text.contains(text))
        }

        /// What `dyno watch` would be told.
        fn args(&self, more: &[&str]) -> WatchArgs {
            let file = self.dir.path().join(TOKEN_FILE).display().to_string();
            let words = ["dyno", "watch", "x", "--token-file", &file].into_iter().chain(more.iter().copied());
            match Cli::parse_from(words).command {
                Some(Command::Watch(args)) => args,
                _ => unreachable!("that is what was said"),
            }
        }

        /// Ends the run; gives its log and all bytes that `remote` was sent.
        fn end(self, remote: &Remote) -> (String, usize) {
            // The end comes while the watcher still reads: it gets the rest all the same.
            let taking = std::thread::spawn(move || drop(self.serving));
            let mut bytes = 0;
            loop {
                match remote.take() {
                    Some(Arrived::Bytes(more)) => bytes += more.len(),
                    Some(Arrived::Over(why)) => break assert_eq!(why, None),
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
            taking.join().unwrap();
            let end = RunEnd { reason: EndReason::Completed, at: timeline::RunTime::ZERO, notes: Vec::new() };
            let log = &self.recorder.finish(end).snapshot.log;
            (log.iter().map(|l| l.text.clone() + "\n").collect(), bytes)
        }
    }

    #[test]
    fn one_that_never_reads_is_dropped_and_another_gets_everything() {
        let begin = MonoNs::now();
        // Much longer than one that reads stands still on a machine that is busy.
        let served = served(None, Duration::from_secs(8));
        let token = served.token();
        let deaf = served.joining();
        assert!(soon(|| served.says(" joins")), "it is served");
        for _ in 0..8 {
            let mut garbled = TcpStream::connect(served.at).unwrap();
            garbled.write_all(&[0; 64]).unwrap();
        }
        drop(TcpStream::connect(served.at).unwrap());
        assert!(soon(|| locked(&served.serving.shared.sockets).is_empty()), "all of them are dropped");
        let remote = Remote::connect(&served.at.to_string(), false, &served.args(&[])).unwrap();
        let (log, bytes) = served.end(&remote);
        assert_eq!(bytes, LARGE);
        assert!(log.contains("to be watched by `dyno watch dyno://127.0.0.1:"), "{log}");
        assert!(!log.contains(&token), "no token in the log:\n{log}");
        let notices = log.lines().filter(|l| l.starts_with("watcher ")).count() as u64;
        let most = 1 + MonoNs::now().since(begin).as_secs();
        assert!((1..=most).contains(&notices), "what is said of watchers is bounded:\n{log}");
        drop(deaf);
    }

    /// Takes all that a run that ends sends, bit by bit: how much that was, and the longest time from bit to bit.
    fn taken_slowly() -> (usize, Duration) {
        let served = served(None, PATIENCE);
        let slow = served.joining();
        let mut part = Vec::new();
        let mut got = (&slow).take(1 << 20).read_to_end(&mut part).unwrap();
        let ending = std::thread::spawn(move || drop(served.serving));
        let (mut last, mut longest) = (MonoNs::now(), Duration::ZERO);
        // Longer than the grace for all, much shorter than that from chunk to chunk.
        loop {
            part.clear();
            match (&slow).take(1 << 20).read_to_end(&mut part).unwrap() {
                0 => break,
                more => got += more,
            }
            std::thread::sleep(Duration::from_millis(150));
            let now = MonoNs::now();
            longest = longest.max(now.since(last));
            last = now;
        }
        ending.join().unwrap();
        (got, longest)
    }

    #[test]
    fn one_that_still_takes_something_is_not_cut_off_at_the_end() {
        // One that stood still for as long as nobody is waited for, as the machine is busy, tells nothing.
        let mut tries = (0..3).map(|_| taken_slowly());
        let (got, _) = tries.find(|(_, longest)| *longest < GRACE / 2).unwrap();
        assert!(got > LARGE, "all, and a head before it: {got}");
    }

    #[test]
    fn a_slow_one_is_named_when_it_is_dropped() {
        let served = served(None, Duration::from_millis(1_200));
        let _deaf = served.joining();
        let seen = soon(|| served.says("dropped, it took nothing for 1.2 s"));
        assert!(seen, "{:?}", served.recorder.handle().published().get().log);
    }

    #[test]
    fn under_tls_the_fingerprint_says_whom_to_trust() {
        let tls = tls::Server::made(vec!["127.0.0.1".to_owned()]).unwrap();
        let fingerprint = tls.fingerprint.to_string();
        let served = served(Some(tls), PATIENCE);
        let at = served.at.to_string();
        let refused =
            |args: &WatchArgs, tls| Remote::connect(&at, tls, args).map(drop).unwrap_err().to_string();
        let other = refused(&served.args(&["--fingerprint", &"0".repeat(64)]), true);
        assert!(other.contains(&fingerprint), "{other}");
        let nobody = refused(&served.args(&[]), true);
        assert!(nobody.contains("--fingerprint"), "{nobody}");
        let plain = refused(&served.args(&[]), false);
        assert!(plain.contains(&at), "{plain}");

        let mut wrong = served.args(&["--fingerprint", &fingerprint]);
        let remote = Remote::connect(&at, true, &wrong).unwrap();
        let file = served.dir.path().join("other.token");
        secret::write_token(&file, &secret::new_token().unwrap()).unwrap();
        wrong.token_file = Some(file);
        let error = refused(&wrong, true);
        assert!(error.contains("refuses the token (401)"), "{error}");
        assert_eq!(served.end(&remote).1, LARGE);
    }

    #[test]
    fn a_port_alone_is_served_on_loopback() {
        for text in ["7000", ":7000", "localhost:7000", "127.0.0.1:7000"] {
            assert_eq!(address(text).map(|a| a.to_string()), Ok("127.0.0.1:7000".to_owned()), "{text}");
        }
        assert!(address("[::1]:7000").unwrap().ip().is_loopback());
        assert!(!address("0.0.0.0:7000").unwrap().ip().is_loopback());
        for wrong in ["", "here", "70000", "10.0.0.1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whoever_may_watch_is_told_how() {
        let all =
            about("0.0.0.0:7".parse().unwrap(), Some(Fingerprint::parse(&"a".repeat(64)).unwrap()), "x");
        assert!(all.contains("dynos://HOST:7 --fingerprint aaaa"), "{all}");
        assert!(about("[::1]:7".parse().unwrap(), None, "x").contains("dyno://[::1]:7`"));
    }
}
