//! A plain Node.js server is looked into without a change to it, when somebody said so, and is left as it was, however dyno ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Guarded, dyno, run, wait_for, whole_machine};

/// Observers that nobody reads remove themselves after ten seconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// `/left` tells what strangers have hung on the global object.
const SERVER: &str = r"
const http = require('http');
const kept = [];
http.createServer((request, response) => {
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  if (request.url === '/left') return response.end(JSON.stringify(left));
  kept.push(Array.from({ length: 500 }, (_, i) => ({ i, text: `number ${i}` })));
  response.end('ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

struct Server {
    child: Child,
    port: u16,
    said: Arc<Mutex<String>>,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new("node")
            .args(["-e", SERVER])
            .env("NODE_OPTIONS", "--inspect-port=0")
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

    fn inspector(&self) -> Option<SocketAddr> {
        let said = self.said.lock().unwrap();
        said.split("ws://").nth(1)?.split('/').next()?.parse().ok()
    }

    fn closed_again(&self) -> bool {
        self.inspector().is_some_and(|at| TcpStream::connect(at).is_err())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_shows_the_heap_of_a_server_that_knows_nothing_of_it() {
    let _machine = whole_machine();
    let server = Server::start();
    let run = run(&["--url", &server.url(), "--rate", "50/s", "--for", "4s", "--attach", "auto", "--yes"]);
    let lanes = &run.summary()["lanes"];
    for lane in ["heap.old.used", "heap.young.used", "loop.utilisation", "process.cpu"] {
        assert!(lanes[lane].is_object(), "{lane}: {}\n{}", run.stdout(), run.stderr());
    }
    assert!(
        run.stdout().contains("by its inspector (opened for this and closed at the end)"),
        "{}",
        run.stdout()
    );
    assert_eq!(server.left(), "[]");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}

#[test]
fn nobody_looks_inside_unasked() {
    let _machine = whole_machine();
    let server = Server::start();
    let run = run(&["--url", &server.url(), "--rate", "10/s", "--for", "1s"]);
    assert!(run.stdout().contains("not looked inside"), "{}", run.stdout());
    assert!(!run.summary()["lanes"]["heap.used"].is_object());
    assert_eq!(server.said.lock().unwrap().as_str(), "", "no inspector was opened");
}

#[test]
fn a_dyno_that_is_killed_leaves_nothing_behind() {
    let server = Server::start();
    let mut watch = Guarded(
        dyno()
            .args(["watch", &format!(":{}", server.port), "--attach", "node", "--ui", "none"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    assert!(wait_for(PATIENCE, || server.left().contains("dyno")), "the observers");
    watch.0.kill().unwrap();
    watch.0.wait().unwrap();
    assert!(server.left().contains("dyno"), "they wait for a while");
    assert!(wait_for(PATIENCE, || server.left() == "[]"), "the observers remove themselves");
    assert!(wait_for(PATIENCE, || server.closed_again()), "its inspector is closed again");
}
