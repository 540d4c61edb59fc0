//! The V8 source against real processes of Node.js, Deno and Bun that know nothing of dyno, and against inspectors that are none.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod hostile;
mod libraries;
mod packages;
mod parts;
mod runtimes;
mod served;
#[path = "../watched/mod.rs"]
mod watched;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dynamometer_profiler::sources::discover::{self, Runtime, discover};
use dynamometer_profiler::sources::v8::{Place, Readers};
use served::{GRACE, SERVER, Server, attach, declared, installed, lasted, refused, said, soon, soon_or, why};
use timeline::event::kinds;
use timeline::histogram::Sparse;
use timeline::lane::names;
use watched::{Kept, own_port};

#[test]
fn a_server_as_it_was_started_shows_its_heap_collections_and_loop_and_is_left_as_it_was() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    assert!(attached.about().contains("opened for this and closed at the end"), "{}", attached.about());
    assert!(attached.about().contains("not seen: HTTP/2, "), "{}", attached.about());

    soon("heap lanes", || !kept.values(names::HEAP_OLD, &me).is_empty());
    let before = kept.values(names::HEAP_OLD, &me)[0];
    soon("collections", || {
        server.get("/churn");
        server.get("/leak");
        !lasted(&kept, kinds::PAUSE_MINOR).is_empty() && !lasted(&kept, kinds::PAUSE_MAJOR).is_empty()
    });
    for (kind, subject) in [(kinds::PAUSE_MINOR, "minor"), (kinds::PAUSE_MAJOR, "major")] {
        soon("all collections are counted, also the short ones", || {
            server.get("/churn");
            let told = lasted(&kept, kind).len() as f64;
            kept.counted(names::PAUSE_COLLECTIONS, subject) > told * 0.9
        });
    }
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
    soon("its inspector is closed again", || server.closed_again());
    assert_eq!(server.get("/"), "ok");
    assert!(!kept.noted("is served by a worker thread"));
}

#[test]
fn who_allocates_what_is_dropped_and_what_stays_is_named() {
    let server = Server::node(SERVER);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let named = |kind: &str| {
        let got = kept.0.lock().unwrap();
        let mut of = got.events.iter().filter(|e| e.kind == kind && e.value > 0.5);
        of.any(|e| e.labels.iter().any(|(_, who)| who.contains("/server.cjs:")))
    };
    soon("who keeps it", || {
        server.get("/waste");
        std::thread::sleep(Duration::from_millis(80));
        named(kinds::PROFILE_RETAINED)
    });
    soon("who drops much", || {
        server.get("/drop");
        named(kinds::PROFILE_ALLOCATED)
    });
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn a_profile_does_not_keep_a_process_from_ending() {
    for _ in 0..3 {
        let server = Server::node(SERVER);
        let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
        soon("a reason for a profile", || {
            server.get("/block");
            !lasted(&kept, kinds::PAUSE_WORKER_STALL).is_empty()
        });
        server.get("/end");
        assert!(attached.join(GRACE));
        if !kept.0.lock().unwrap().events.iter().any(|e| e.kind == kinds::PROFILE_CPU) {
            return;
        }
        // It came to its end before the process was told to, or the process waited for it.
    }
    panic!("each of three processes waited until its profile was taken");
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
    // Our own code that Node.js calls of itself is the one that must wait.
    assert_eq!(said(script, &["calm.js"]), r#"[true,true,true,false,true,"function"]"#);
}

#[test]
fn collections_are_told_by_the_kinds_of_the_version_of_node_that_makes_them() {
    let script = r"
        const source = require('fs').readFileSync(process.argv[2], 'utf8');
        const install = new (require('vm').Script)(`(${source})`).runInThisContext();
        const hooks = require('perf_hooks');
        const told = (numbers, kinds) => {
            let hear;
            class PerformanceObserver {
                static supportedEntryTypes = ['gc'];
                constructor(work) { hear = work; }
                observe() {}
                disconnect() {}
            }
            const [MINOR, MAJOR, INCREMENTAL, WEAKCB] = numbers;
            const constants = {
                NODE_PERFORMANCE_GC_MINOR: MINOR,
                NODE_PERFORMANCE_GC_MAJOR: MAJOR,
                NODE_PERFORMANCE_GC_INCREMENTAL: INCREMENTAL,
                NODE_PERFORMANCE_GC_WEAKCB: WEAKCB,
            };
            const load = (name) => (name === 'perf_hooks' ? { ...hooks, constants, PerformanceObserver } : require(name));
            install('dyno.test', false, load, [], () => true);
            const observers = globalThis[Symbol.for('dyno.test')];
            // Of different lengths: the longest is told first.
            hear({ getEntries: () => kinds.map((kind, n) => ({ detail: { kind }, startTime: 0, duration: 100 - n })) });
            const { ticks } = JSON.parse(observers.read(0));
            observers.remove();
            return ticks[0].events.map((event) => event.kind.replace('pause.', ''));
        };
        console.log(told([1, 4, 8, 16], [1, 2, 4, 8, 16]).join());
        console.log(told([1, 2, 4, 8], [1, 2, 4, 8]).join());
    ";
    // As of Node.js 18 and later, and of 16.
    assert_eq!(
        said(script, &["observers.js"]),
        "minor,minor,major,incremental,incremental\nminor,major,incremental,incremental"
    );
}

#[test]
fn a_request_is_under_way_while_it_is_worked_on_though_its_client_has_gone() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let in_flight = || kept.values(names::SERVER_IN_FLIGHT, &me);
    let under_way = || in_flight().last() == Some(&1.0);
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    assert!(!declared(&kept, names::SERVER_IN_FLIGHT), "none has come yet: it may not be seen at all");
    server.get("/");
    soon("one has come and is answered", || in_flight().last() == Some(&0.0));
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
fn a_stream_of_events_is_no_request_under_way() {
    let server = Server::node(SERVER);
    let me = format!("pid-{}", server.pid());
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let in_flight = || kept.values(names::SERVER_IN_FLIGHT, &me);
    server.get("/");
    soon("samples", || !in_flight().is_empty());
    let listening: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            write!(client, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            client.read_exact(&mut [0; 12]).unwrap();
            client
        })
        .collect();
    let seen = in_flight().len();
    soon("samples while they listen", || in_flight().len() >= seen + 5);
    assert_eq!(in_flight().last(), Some(&0.0), "{:?}", &in_flight()[seen..]);
    drop(listening);
    assert!(attached.join(GRACE));
}

#[test]
fn an_inspector_that_was_opened_does_not_keep_what_is_logged() {
    let server = Server::start(Path::new("node"), &["--expose-gc"], "--inspect-port=0", SERVER);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    soon("samples", || !kept.values(names::HEAP_USED, &format!("pid-{}", server.pid())).is_empty());
    server.get("/say");
    soon("what was logged goes", || server.get("/said") == "false");
    assert!(attached.join(GRACE));
}

/// What a loop that is kept from turning is told as, with the times that `script` has the process know.
fn told_of_a_loop(script: &str) -> String {
    let script = format!(
        r"
        const source = require('fs').readFileSync(process.argv[2], 'utf8');
        const install = new (require('vm').Script)(`(${{source}})`).runInThisContext();
        const fs = {{ ...require('fs'), openSync: () => 0, closeSync: () => {{}}, readSync: (_, buffer) => buffer.write('0 0 0') }};
        const load = (name) => (name === 'fs' ? fs : require(name));
        {script}
        const {{ times }} = JSON.parse(install('dyno.test', false, load, [], () => true));
        const observers = globalThis[Symbol.for('dyno.test')];
        const turn = () => new Promise((done) => setTimeout(done, 60));
        const cell = new Int32Array(new SharedArrayBuffer(4));
        (async () => {{
            const told = [times];
            for (const keep of [() => {{ for (const end = Date.now() + 400; Date.now() < end;); }}, () => Atomics.wait(cell, 0, 0, 400)]) {{
                await turn();
                observers.read(Infinity);
                const from = process.hrtime.bigint();
                keep();
                const to = process.hrtime.bigint();
                await turn();
                const long = JSON.parse(observers.read(Infinity)).ticks.flatMap((tick) => tick.events).filter((e) => e.end - e.start > 300e6);
                // A busy machine may keep it from turning at other times, too.
                told.push(long.filter((e) => e.start < to && e.end > from).map((event) => event.kind).join());
            }}
            observers.remove();
            console.log(told.join(' '));
        }})();
    "
    );
    said(&script, &["observers.js"])
}

#[test]
fn a_loop_is_said_to_work_only_where_the_cpu_time_says_so() {
    // The kernel prints zeros: all threads together, and where they are not known either, none.
    assert_eq!(told_of_a_loop(""), "process pause.worker-stall pause.hiccup");
    assert_eq!(told_of_a_loop("process.cpuUsage = undefined;"), "unknown pause.hiccup pause.hiccup");
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
fn one_that_was_started_this_moment_is_waited_for() {
    let script = "process.stdin.resume().on('end', () => process.exit())";
    let mut node = Command::new("node");
    node.args(["--inspect-port=0", "-e", script]).stdin(Stdio::piped()).stderr(Stdio::null());
    // It is not so far yet that it would catch the signal, which would end it.
    let mut child = node.spawn().unwrap();
    let (attached, kept) = attach(&[Place::Process(child.id())], None);
    soon("samples", || !kept.values(names::HEAP_USED, &format!("pid-{}", child.id())).is_empty());
    assert!(attached.join(GRACE));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn one_whose_start_takes_seconds_is_waited_for_all_the_same() {
    let script = "process.stdin.resume().on('end', () => process.exit())";
    let mut node = Command::new("node");
    node.args(["--inspect-port=0", "-e", script]).stdin(Stdio::piped()).stderr(Stdio::null());
    let signal = |name: &str, pid: u32| {
        assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
    };
    let mut child = loop {
        let mut child = node.spawn().unwrap();
        signal("-STOP", child.id());
        if !has_usr1(child.id(), "SigCgt:") {
            break child;
        }
        // It was quicker than we.
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let pid = child.id();
    // For longer than it would be waited for while observers stand in others.
    let goes_on = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(4_500));
        signal("-CONT", pid);
    });
    let (attached, kept) = attach(&[Place::Process(pid)], None);
    goes_on.join().unwrap();
    soon("samples", || !kept.values(names::HEAP_USED, &format!("pid-{pid}")).is_empty());
    assert!(attached.join(GRACE));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn processes_that_want_the_same_port_for_their_inspector_are_all_read() {
    let port = own_port();
    let start = || Server::start(Path::new("node"), &[], &format!("--inspect-port={port}"), SERVER);
    let servers = [start(), start(), start()];
    let places: Vec<Place> = servers.iter().map(|s| Place::Process(s.pid())).collect();
    let (attached, kept) = attach(&places, None);
    for server in &servers {
        let me = format!("pid-{}", server.pid());
        soon("samples of each", || kept.values(names::HEAP_USED, &me).len() > 3);
    }
    assert_eq!(kept.times("by its inspector"), 1, "one line tells of all");
    assert!(attached.join(GRACE));
    for server in &servers {
        soon("all closed", || server.inspectors().iter().all(refused));
        assert_eq!(server.get("/left"), "[]");
    }
}

#[test]
fn two_services_that_open_their_inspectors_on_one_port_are_watched_at_once() {
    let port = own_port();
    let start = || Server::start(Path::new("node"), &[], &format!("--inspect-port={port}"), SERVER);
    let servers = [start(), start()];
    // As two dynos would: neither knows of the other.
    let watched = servers.each_ref().map(|server| attach(&[Place::Process(server.pid())], Some(server.port)));
    for (server, (_, kept)) in servers.iter().zip(&watched) {
        let me = format!("pid-{}", server.pid());
        soon("samples of each", || kept.values(names::HEAP_USED, &me).len() > 3);
        assert_eq!(server.inspector().port(), port);
        soon("it has made way", || server.inspectors().last().is_some_and(|at| at.port() != port));
    }
    for (attached, _) in watched {
        assert!(attached.join(GRACE));
    }
    for server in &servers {
        soon("closed again", || server.closed_again());
        assert_eq!(server.get("/left"), "[]");
    }
    // Whoever asks next finds it where it always is.
    servers[0].signal("USR1");
    soon("it opens where it did", || servers[0].inspectors().last().is_some_and(|at| at.port() == port));
}

#[test]
fn who_opens_no_inspector_may_handle_the_signal_itself_and_its_port_is_said_to_be_taken_where_it_is() {
    let port = own_port();
    let script = format!("process.on('SIGUSR1', () => {{}});{SERVER}");
    let server = Server::start(Path::new("node"), &[&format!("--inspect-port={port}")], "", &script);
    let told = why(Place::Process(server.pid()));
    assert!(told.ends_with(": it is busy, or it handles SIGUSR1 itself (start it with --inspect)"), "{told}");
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let told = why(Place::Process(server.pid()));
    assert!(told.contains(&format!(": perhaps its port ({port}) is taken (")), "{told}");
    assert!(told.ends_with(", or it handles SIGUSR1 itself"), "{told}");
}

/// What is told of those whom a process serves, but for who is connected.
const OF_REQUESTS: [&str; 5] = [
    names::SERVER_IN_FLIGHT,
    names::SERVER_REQUESTS,
    names::SERVER_HANDLER,
    names::SERVER_SEND_QUEUE,
    names::SERVER_SEND_QUEUE_LONGEST,
];

/// A server in a worker thread, whose main thread has none.
const THREADED: &str = r"
const { Worker, isMainThread } = require('worker_threads');
if (isMainThread) {
  new Worker(__filename);
  process.stdin.resume().on('end', () => process.exit());
} else {
  const server = require('http').createServer((request, response) => response.end('ok'));
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}
";

#[test]
fn who_is_served_by_a_worker_thread_is_not_told_as_nobody() {
    let server = Server::node(THREADED);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let _connected = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    for _ in 0..20 {
        assert_eq!(server.get("/"), "ok");
    }
    let samples = || kept.values(names::HEAP_USED, &format!("pid-{}", server.pid())).len();
    let seen = samples();
    soon("two seconds of samples", || samples() > seen + 20);
    for lane in OF_REQUESTS.into_iter().chain([names::SERVER_CONNECTIONS]) {
        assert!(!declared(&kept, lane), "{lane}: no data is not zero");
    }
    let said = format!("pid-{}: port {} is served by a worker thread", server.pid(), server.port);
    assert_eq!(kept.times(&said), 1);
    assert!(attached.join(GRACE));
}

/// Asks itself by HTTP/2 all the time.
const NEWER: &str = r"
const http2 = require('http2');
const server = http2.createServer((request, response) => setTimeout(() => response.end('ok'), 50));
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const client = http2.connect(`http://127.0.0.1:${port}`);
  client.request({ ':path': '/' }).resume().on('end', () => console.log(port));
  setInterval(() => client.request({ ':path': '/' }).resume(), 10);
});
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn what_is_asked_by_http2_is_not_told_as_nothing() {
    let server = Server::node(NEWER);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let connected = || kept.values(names::SERVER_CONNECTIONS, &format!("pid-{}", server.pid()));
    soon("two seconds of samples", || connected().len() > 20);
    assert!(connected().iter().all(|n| *n == 1.0), "who was connected before counts, too: {:?}", connected());
    for lane in OF_REQUESTS {
        assert!(!declared(&kept, lane), "{lane}: no data is not zero");
    }
    assert!(!kept.noted("is served by a worker thread"));
    assert!(attached.join(GRACE));
}

/// The first of several ports that are free: a cluster gives each worker the next one. Below those that the system and dyno itself hand out, of
/// which another test may get one meanwhile, and for each `cluster` of these tests others.
fn ports_in_a_row(cluster: u16) -> u16 {
    let first = 5_000 + cluster * 2_000 + (std::process::id() % 200) as u16 * 10;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (first..10_000).step_by(10).find(|&port| (port..port + 8).all(free)).unwrap()
}

#[test]
fn a_cluster_is_found_by_its_port_with_its_workers() {
    // All workers of a cluster that ask for any port get the same one.
    let script = format!(
        "const cluster = require('cluster');
        if (cluster.isPrimary) {{ cluster.fork(); cluster.fork(); cluster.on('exit', () => cluster.fork()); }} else {{ {SERVER} }}"
    );
    let port = ports_in_a_row(0);
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
    let notes = || {
        let (notes, inspectors) = (&kept.0.lock().unwrap().notes, server.inspectors());
        format!("{notes:#?} {inspectors:?} {:?}", discover(server.port))
    };
    let replaced = || {
        let now = discover(server.port).unwrap().processes;
        now.len() == 3 && now.iter().any(|p| !served.processes.contains(p)) && now.iter().all(told)
    };
    soon_or("a worker that took another one's place is read, too", replaced, notes);
    let worker = discover(server.port).unwrap().processes.into_iter().find(|p| p.worker).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &worker.pid.to_string()]).status().unwrap();
    assert!(killed.success());
    soon("a worker's death", || kept.values(names::PROCESS_DEATHS, &keeper).last() == Some(&1.0));
    let again = || {
        let now = discover(server.port).unwrap().processes;
        now.len() == 3 && now.iter().all(|p| p.pid != worker.pid && told(p))
    };
    soon_or("another one in its place, and read", again, notes);
    assert!(attached.join(GRACE));
    soon("all closed", || server.inspectors().len() >= 3 && server.inspectors().iter().all(refused));
    for _ in 0..4 {
        assert_eq!(server.get("/left"), "[]");
    }
}

#[test]
fn the_workers_of_a_primary_that_is_named_are_left_as_they_were() {
    let script = format!(
        "const cluster = require('cluster');
        if (cluster.isPrimary) {{ require('net').createServer().listen(0, '127.0.0.1'); cluster.fork(); cluster.fork(); }} else {{ {SERVER} }}"
    );
    let port = ports_in_a_row(1);
    let server = Server::start(Path::new("node"), &[], &format!("--inspect-port={port}"), &script);
    soon("both workers", || discover(server.port).unwrap().processes.len() == 3);
    let kept = Kept::default();
    let installed = installed(&[Place::Process(server.pid())], Some(server.port), &Readers::default());
    let attached = installed.attach(Box::new(kept.clone()));
    assert!(attached.about().contains("workers of other services may be among"), "{}", attached.about());
    soon("all three have opened their inspectors", || server.inspectors().len() >= 3);
    for process in discover(server.port).unwrap().processes {
        let me = format!("pid-{}", process.pid);
        soon("samples of each", || !kept.values(names::HEAP_USED, &me).is_empty());
    }
    assert!(attached.join(GRACE));
    soon("all closed", || server.inspectors().iter().all(refused));
}

#[test]
fn a_process_that_was_started_anew_at_the_same_address_is_taken_up_again() {
    let port = own_port();
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

/// A server that comes back at the same address, with its inspector at the same one, each time that it is started.
fn at_one_address() -> impl Fn() -> Server {
    let flag = format!("--inspect=127.0.0.1:{}", own_port());
    let script = SERVER.replace("listen(0", &format!("listen({}", own_port()));
    move || Server::start(Path::new("node"), &[&flag], "", &script)
}

#[test]
fn a_service_that_was_started_anew_is_read_once_by_whoever_follows_its_port() {
    let start = at_one_address();
    let first = start();
    let (attached, kept) = attach(&[Place::Process(first.pid())], Some(first.port));
    let old = format!("pid-{}", first.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &old).is_empty());
    drop(first);
    let second = start();
    let new = format!("pid-{}", second.pid());
    soon("samples of the second", || kept.values(names::HEAP_USED, &new).len() > 10);
    let before = kept.values(names::HEAP_USED, &old).len();
    let seen = kept.values(names::HEAP_USED, &new).len();
    soon("two seconds of samples", || kept.values(names::HEAP_USED, &new).len() > seen + 20);
    assert_eq!(kept.values(names::HEAP_USED, &old).len(), before, "it has ended");
    assert!(!kept.happened("restarted"));
    assert_eq!(second.get("/left").matches("dyno").count(), 1);
    assert!(attached.join(GRACE));
    assert_eq!(second.get("/left"), "[]");
}

/// Is SIGUSR1 among the signals that `/proc` lists as `which` for it?
fn has_usr1(pid: u32, which: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let listed = status.lines().find_map(|l| l.strip_prefix(which)).unwrap().trim();
    u64::from_str_radix(listed, 16).unwrap() >> 9 & 1 == 1
}

#[test]
fn one_that_joins_while_it_stands_still_is_read_once_it_goes_on_and_left_as_it_was() {
    let start = at_one_address();
    let first = start();
    let (attached, kept) = attach(&[Place::Process(first.pid())], Some(first.port));
    soon("samples", || !kept.values(names::HEAP_USED, &format!("pid-{}", first.pid())).is_empty());
    drop(first);
    let second = start();
    let new = format!("pid-{}", second.pid());
    second.signal("STOP");
    // Its inspector does not answer, so it passes for closed and is asked to open; that is waited for in vain, once.
    let has_joined = || kept.noted("has joined and is watched"); // in the moment before it was stopped
    soon("it is asked to open its inspector", || has_usr1(second.pid(), "ShdPnd:") || has_joined());
    std::thread::sleep(Duration::from_secs(6));
    second.signal("CONT");
    soon("samples once it goes on", || kept.values(names::HEAP_USED, &new).len() > 3);
    assert!(!kept.noted("is not looked into"));
    assert!(attached.join(GRACE));
    assert_eq!(second.get("/left"), "[]");
    std::thread::sleep(Duration::from_millis(500)); // it would be closed within 20 ms
    assert!(!refused(&second.inspector()));
}

#[test]
fn who_was_asked_for_in_several_ways_is_read_once() {
    let server = Server::start(Path::new("node"), &["--inspect=127.0.0.1:0"], "", SERVER);
    let (readers, kept) = (Readers::default(), Kept::default());
    let attach = |place: Place| {
        let installed = installed(&[place], Some(server.port), &readers);
        installed.following(server.port).attach(Box::new(kept.clone()))
    };
    let (first, second) = (attach(Place::At(server.inspector())), attach(Place::Process(server.pid())));
    assert_eq!(second.about(), format!("process {} is read already", server.pid()));
    let me = format!("pid-{}", server.pid());
    soon("three seconds of samples", || kept.values(names::HEAP_USED, &me).len() > 30);
    assert_eq!(server.get("/left").matches("dyno").count(), 1);
    assert!(first.join(GRACE) && second.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}
