//! Node.js servers that know nothing of dyno, and whoever attaches to them; programs that play with our own scripts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamometer_profiler::sources::Attached;
use dynamometer_profiler::sources::v8::{Installed, Place, Readers, Search, install};

use crate::watched::Kept;

/// A busy machine takes its time.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GRACE: Duration = Duration::from_secs(10);

/// A server as anybody writes it. `/leak` keeps what it makes, `/churn` keeps some of it for a while, `/waste` keeps a little of what it makes, `/drop` nothing, `/block` does not return to the loop;
/// `/much` sends what nobody waits for, `/events` a stream without end, `/say` logs something whose end `/said` looks for, `/ask` asks itself by `http` and by `fetch`, `/later` is answered when `/go` is asked for, `/left` tells what strangers have hung on the global object. It ends with its standard input.
pub const SERVER: &str = r"
const http = require('http');
const crypto = require('crypto');
const kept = [];
let recent = [];
let later;
let said;
const make = (n) => Array.from({ length: n }, (_, i) => ({ i, text: `number ${i}` }));
function dawdle() { for (const end = Date.now() + 150; Date.now() < end;); }
http.createServer((request, response) => {
  if (request.url === '/leak') kept.push(make(20000));
  if (request.url === '/churn') recent = [...recent.slice(-5), make(50000)];
  if (request.url === '/waste') kept.push(make(make(20000).length / 20));
  if (request.url === '/drop') make(50000);
  if (request.url === '/end') process.exit();
  if (request.url === '/later') return void (later = () => response.end('late'));
  if (request.url === '/go') later();
  if (request.url === '/events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    return void response.write(':\n\n');
  }
  if (request.url === '/say') console.error('said', (said = new WeakRef({ it: 1 })).deref());
  if (request.url === '/said') return void (gc(), response.end(String(said.deref() !== undefined)));
  if (request.url === '/much') return void response.write(Buffer.alloc(32 << 20));
  if (request.url === '/ask') {
    const me = { host: '127.0.0.1', port: request.socket.localPort };
    http.get({ ...me, path: '/' }, (answer) => answer.resume());
    http.get({ ...me, port: 1 }).on('error', () => {});
    if (globalThis.fetch) fetch(`http://${me.host}:${me.port}/`).then((answer) => answer.text());
  }
  if (request.url === '/block') dawdle();
  if (request.url === '/hash') for (let i = 0; i < 12; i++) crypto.pbkdf2('a', 'b', 50000, 64, 'sha512', () => {});
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  response.end(request.url === '/left' ? JSON.stringify(left) : 'ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

/// A process that prints its port first, and what it says on standard error.
pub struct Server {
    pub child: Child,
    pub port: u16,
    said: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub fn start(runtime: &Path, flags: &[&str], options: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.cjs");
        std::fs::write(&file, script).unwrap();
        let mut child = Command::new(runtime)
            .args(flags)
            .arg(&file)
            .env("NODE_OPTIONS", options)
            .env("UV_THREADPOOL_SIZE", "3")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", runtime.display()));
        let said = Arc::new(Mutex::new(String::new()));
        let (keeps, errors) = (Arc::clone(&said), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                *keeps.lock().unwrap() += &(line + "\n");
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|e| panic!("{e}: {line:?} {}", said.lock().unwrap()));
        Self { child, port, said, _folder: folder }
    }

    /// Node.js with an inspector that goes to a free port once it is opened.
    pub fn node(script: &str) -> Self {
        Self::start(Path::new("node"), &[], "--inspect-port=0", script)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// Every inspector that it, or a child of its, has opened so far.
    pub fn inspectors(&self) -> Vec<SocketAddr> {
        let said = self.said.lock().unwrap();
        said.split("ws://").skip(1).filter_map(|s| s.split('/').next()?.parse().ok()).collect()
    }

    pub fn inspector(&self) -> SocketAddr {
        soon("an inspector", || !self.inspectors().is_empty());
        self.inspectors()[0]
    }

    /// Is the inspector closed that it has opened last? Where it was before that somebody else may listen by now.
    pub fn closed_again(&self) -> bool {
        self.inspectors().last().is_some_and(refused)
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `script`, a program of Node.js, says on its standard output; it finds these files of the source by `process.argv`, from the third on.
pub fn said(script: &str, sources: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.cjs");
    std::fs::write(&file, script).unwrap();
    let v8 = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sources/v8");
    let mut node = Command::new("node");
    let output = node.arg(&file).args(sources.iter().map(|name| v8.join(name))).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    said
}

pub fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/node").join(path)
}

pub fn soon(what: &str, check: impl Fn() -> bool) {
    soon_or(what, check, String::new);
}

/// Where it does not happen, `why` is told.
pub fn soon_or(what: &str, check: impl Fn() -> bool, why: impl Fn() -> String) {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if check() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("did not happen: {what} {}", why());
}

pub fn refused(address: &SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

pub fn installed(places: &[Place], served: Option<u16>, readers: &Readers) -> Installed {
    install(places, served, Search::No, None, readers).unwrap()
}

pub fn attach(places: &[Place], served: Option<u16>) -> (Attached, Kept) {
    let kept = Kept::default();
    let installed = installed(places, served, &Readers::default());
    let attached = match served {
        Some(port) => installed.following(port),
        None => installed,
    }
    .attach(Box::new(kept.clone()));
    (attached, kept)
}

pub fn why(place: Place) -> String {
    match install(&[place], None, Search::No, None, &Readers::default()) {
        Ok(_) => panic!("{place} was attached"),
        Err(e) => e.to_string(),
    }
}

/// How long events of this kind lasted, ns.
pub fn lasted(kept: &Kept, kind: &str) -> Vec<u64> {
    let got = kept.0.lock().unwrap();
    got.events.iter().filter(|e| e.kind == kind).map(|e| e.end.0 - e.start.0).collect()
}

pub fn declared(kept: &Kept, name: &str) -> bool {
    kept.0.lock().unwrap().lanes.iter().any(|l| l.name == name)
}
