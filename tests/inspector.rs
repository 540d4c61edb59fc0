//! A plain Node.js server is looked into without a change to it, when somebody said so, and is left as it was, however dyno ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Guarded, dyno, json, run, signal, wait_for, whole_machine};
use rustix::process::Signal;
use serde_json::Value;

/// Observers that nobody reads remove themselves after ten seconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pool of a library as people use it, connections that are none, and a regular expression that takes its time. `/left` tells what strangers
/// have hung on the global object and on the library's class.
const SERVER: &str = r"
const http = require('http');
const Pool = require(process.env.POOL);
const { connect } = Pool.prototype;
class Client extends require('events') {
  connect(done) { setImmediate(done); }
  end(done) { done?.(); }
}
const pool = new Pool({ max: 2, Client });
const kept = [];
let requests = 0;
function backtrack() { return /^(a+)+$/.test('a'.repeat(22) + '!'); }
http.createServer(async (request, response) => {
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  if (connect !== Pool.prototype.connect) left.push('connect');
  if (request.url === '/left') return response.end(JSON.stringify(left));
  kept.push(Array.from({ length: 500 }, (_, i) => ({ i, text: `number ${i}` })));
  const client = await pool.connect();
  setTimeout(() => client.release(), 5);
  if (++requests % 10 === 0) backtrack();
  response.end('ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";
/// The pool of `pg`, installed with the shop's twin.
const POOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/backend/node/node_modules/pg-pool");

struct Server {
    child: Child,
    port: u16,
    said: Arc<Mutex<String>>,
}

impl Server {
    /// A dyno that looks inside, until it is killed.
    fn watch(&self) -> Guarded {
        Guarded(self.watching().spawn().unwrap())
    }

    fn watching(&self) -> Command {
        let port = format!(":{}", self.port);
        let mut watch = dyno();
        watch.args(["watch", &port, "--attach", "node", "--ui", "none"]);
        watch
    }

    fn start() -> Self {
        let mut child = Command::new("node")
            .args(["-e", SERVER])
            .env("NODE_OPTIONS", "--inspect-port=0")
            .env("POOL", POOL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs node 20 or later");
        let said = Arc::new(Mutex::new(String::new()));
        let (keeps, errors) = (Arc::clone(&said), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                keeps.lock().unwrap().push_str(&line);
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap(), said }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn left(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /left HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The inspector that it has opened last: one that makes way for others opens it anew.
    fn inspector(&self) -> Option<SocketAddr> {
        let said = self.said.lock().unwrap();
        said.rsplit_once("ws://")?.1.split('/').next()?.parse().ok()
    }

    fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Does SIGUSR1 wait for it?
    fn is_asked_to_open(&self) -> bool {
        is_among(10, "ShdPnd:", self.child.id())
    }

    fn closed_again(&self) -> bool {
        self.inspector().is_some_and(|at| TcpStream::connect(at).is_err())
    }
}

/// Is a signal among those that `/proc` lists as `which` for a process?
fn is_among(signal: u32, which: &str, pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let listed = status.lines().find_map(|l| l.strip_prefix(which)).unwrap().trim();
    u64::from_str_radix(listed, 16).unwrap() >> (signal - 1) & 1 == 1
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_sees_into_a_server_that_knows_nothing_of_it() {
    let _machine = whole_machine();
    let server = Server::start();
    let run = run(&["--url", &server.url(), "--rate", "50/s", "--for", "6s", "--attach", "auto", "--yes"]);
    let lanes = &run.summary()["lanes"];
    for lane in [
        "heap.old.used",
        "heap.young.used",
        "loop.utilisation",
        "process.cpu",
        "pool.pg.in-use",
        "pool.pg.wait",
        "server.handler",
        "server.before-handler",
    ] {
        assert!(lanes[lane].is_object(), "{lane}: {}\n{}", run.stdout(), run.stderr());
    }
    assert_eq!(lanes["pool.pg.capacity"]["max"], 2.0);
    let report = dyno().args(["report", "--format", "pprof"]).arg(&run.folder).output().unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let folded = std::fs::read_dir(&run.folder).unwrap().map(|f| f.unwrap().path());
    let folded = folded.filter(|f| f.extension().is_some_and(|e| e == "folded"));
    let folded: String = folded.map(|f| std::fs::read_to_string(f).unwrap()).collect();
    assert!(folded.contains("backtrack ([eval]:"), "{folded}{}", run.stdout());
    assert!(
        run.stdout().contains("by its inspector (opened for this and closed at the end)"),
        "{}",
        run.stdout()
    );
    assert_eq!(server.left(), "[]");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}

/// Who watched it has ended with it, and nobody counts the deaths of a process that nobody keeps.
#[test]
fn a_server_that_is_killed_meanwhile_is_no_clean_run() {
    let _machine = whole_machine();
    let server = Server::start();
    let pid = server.child.id();
    std::thread::scope(|scope| {
        let kill = scope.spawn(|| {
            let open = || server.said.lock().unwrap().contains("ws://");
            assert!(wait_for(PATIENCE, open), "it is looked into");
            std::thread::sleep(Duration::from_secs(3));
            server.signal("KILL");
        });
        let run =
            run(&["--url", &server.url(), "--rate", "100/s", "--for", "7s", "--attach", "auto", "--yes"]);
        kill.join().unwrap();
        assert!(run.stdout().contains(&format!("process {pid} has ended")), "{}", run.stdout());
        // On a slow machine its regular expression is a pause, too.
        let summary = run.summary();
        let mut findings = summary["findings"].as_array().unwrap().clone();
        findings.retain(|f| f["kind"] != "long-pause");
        let kinds: Vec<&Value> = findings.iter().map(|f| &f["kind"]).collect();
        assert_eq!(kinds, ["connections-refused"], "{}\n{}", run.stdout(), run.stderr());
        let missing = &findings[0]["missing"];
        assert!(missing.to_string().contains("process.deaths"), "{missing:#}");
    });
}

#[test]
fn nobody_looks_inside_unasked() {
    let server = Server::start();
    // To name `auto` is to name no inspector.
    for named in [vec![], vec!["--attach", "auto"]] {
        let url = server.url();
        let mut args = vec!["--url", &url, "--rate", "10/s", "--for", "1s"];
        args.extend(&named);
        let run = run(&args);
        assert!(run.stdout().contains("not looked inside"), "{named:?}: {}", run.stdout());
        assert!(!run.summary()["lanes"]["heap.used"].is_object(), "{named:?}");
        assert_eq!(server.said.lock().unwrap().as_str(), "", "{named:?}: no inspector was opened");
    }
}

/// Runs a scenario that attaches the inspector of its target, `inspector` as it names it, on a terminal of its own where `answer` is typed: what
/// stands there at the end, the exit code, and what the run has come to.
fn on_a_terminal(server: &Server, inspector: &str, answer: &str) -> (String, Option<i32>, Option<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("scenario.toml");
    let text = format!(
        r#"
about = "somebody else's scenario"
[target]
url = "{url}"
attach = ["auto", "{inspector}"]
[[phase]]
name = "p"
for = "3s"
arrivals = "10/s"
[[session]]
name = "s"
steps = [{{ name = "g", get = "/" }}]
"#,
        url = server.url()
    );
    std::fs::write(&scenario, text).unwrap();
    let run = format!(
        "{} run {} --ui none --out {}",
        env!("CARGO_BIN_EXE_dyno"),
        scenario.display(),
        dir.path().join("run").display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &run, "/dev/null"]).env_remove("CI").env_remove("DYNO_UI");
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keyboard = terminal.stdin.take().unwrap();
    writeln!(keyboard, "{answer}").unwrap();
    let mut shown = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    drop(keyboard);
    (shown, terminal.wait().unwrap().code(), json(&dir.path().join("run/summary.json")))
}

#[test]
fn a_scenario_that_attaches_the_inspector_asks_who_runs_it_once() {
    let server = Server::start();
    let (shown, code, _) = on_a_terminal(&server, "node+heap", "n");
    assert_eq!(code, Some(2), "{shown}");
    assert_eq!(shown.matches("[y/N]").count(), 1, "{shown}");
    assert!(shown.contains("each process stands still meanwhile"), "{shown}");
    let (shown, code, _) = on_a_terminal(&server, "node", "n");
    assert_eq!(code, Some(2), "{shown}");
    assert_eq!(shown.matches("[y/N]").count(), 1, "{shown}");
    assert!(shown.contains("so say --yes or --attach node"), "{shown}");
    assert!(!shown.contains("stands still"), "no heap is searched: {shown}");
    assert_eq!(server.said.lock().unwrap().as_str(), "", "no inspector was opened");
    let (shown, _, summary) = on_a_terminal(&server, "node", "y");
    assert_eq!(shown.matches("[y/N]").count(), 1, "{shown}");
    assert!(summary.is_some_and(|s| s["lanes"]["heap.used"].is_object()), "{shown}");
    assert_eq!(server.left(), "[]");
}

#[test]
fn a_dyno_that_is_killed_leaves_nothing_behind() {
    let server = Server::start();
    let mut watch = server.watch();
    assert!(wait_for(PATIENCE, || server.left().contains("dyno")), "the observers");
    watch.0.kill().unwrap();
    watch.0.wait().unwrap();
    assert!(server.left().contains("dyno"), "they wait for a while");
    assert!(wait_for(PATIENCE, || server.left() == "[]"), "the observers remove themselves");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}

/// For longer than other sources are waited for: whoever takes something back needs the server's answer.
#[test]
fn a_server_that_stands_still_at_the_end_is_left_as_it_was() {
    let server = Server::start();
    let mut watch = server.watch();
    let pid = watch.0.id();
    assert!(wait_for(PATIENCE, || server.left().contains("dyno")), "the observers");
    assert!(wait_for(PATIENCE, || is_among(2, "SigCgt:", pid)), "it hears SIGINT");
    server.signal("STOP");
    signal(pid, Signal::INT);
    std::thread::sleep(Duration::from_millis(1_500));
    server.signal("CONT");
    assert!(wait_for(PATIENCE, || watch.0.try_wait().unwrap().is_some()), "it ends");
    assert_eq!(server.left(), "[]");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}

/// What was installed removes itself, so that nobody need wait for the server's answer.
#[test]
fn who_asks_for_the_end_twice_does_not_wait_for_a_server_that_stands_still() {
    let server = Server::start();
    let mut watch = Guarded(server.watching().stderr(Stdio::piped()).spawn().unwrap());
    let pid = watch.0.id();
    assert!(wait_for(PATIENCE, || server.left().contains("dyno")), "the observers");
    assert!(wait_for(PATIENCE, || is_among(2, "SigCgt:", pid)), "it hears SIGINT");
    server.signal("STOP");
    let ended = wait_for(PATIENCE, || {
        signal(pid, Signal::INT);
        watch.0.try_wait().unwrap().is_some()
    });
    assert!(ended, "it ends");
    let mut said = String::new();
    watch.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("the end was asked for twice: sources were not waited for"), "{said}");
    server.signal("CONT");
    assert!(wait_for(PATIENCE, || server.left() == "[]"), "the observers remove themselves");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}

/// The signal is on its way and nothing is installed yet: a server that stands still keeps that moment for as long as it takes.
#[test]
fn a_dyno_that_is_killed_before_it_has_installed_anything_leaves_no_open_inspector() {
    let server = Server::start();
    server.signal("STOP");
    let mut watch = server.watch();
    assert!(wait_for(PATIENCE, || server.is_asked_to_open()), "the signal");
    watch.0.kill().unwrap();
    watch.0.wait().unwrap();
    server.signal("CONT");
    assert!(
        wait_for(PATIENCE, || server.inspector().is_some()),
        "it opens its inspector, nobody can take that back"
    );
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
    assert_eq!(server.left(), "[]");
}
