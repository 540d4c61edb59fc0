//! Other runtimes than Node.js: what Deno and Bun show, and that nobody is signalled whom the signal would end.

use std::net::TcpListener;
use std::process::Command;

use dynamometer_profiler::sources::discover::{Runtime, discover};
use dynamometer_profiler::sources::v8::{Place, reads};
use timeline::event::kinds;
use timeline::lane::names;

use crate::served::{GRACE, SERVER, Server, attach, beside, declared, soon, why};

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
fn bun_shows_its_heap_where_the_path_of_its_inspector_is_known() {
    let bun = std::fs::canonicalize(beside("testing/runtimes/node_modules/.bin/bun")).unwrap();
    let script = "
        const left = () => JSON.stringify(Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno')));
        const held = [];
        const paths = { '/hold': () => held.push(Buffer.alloc(32 << 20, 1)), '/block': () => { const end = performance.now() + 120; while (performance.now() < end); } };
        const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => { paths[new URL(request.url).pathname]?.(); return new Response(left()); } });
        console.log(server.port);
        process.stdin.on('end', () => process.exit()).resume();";
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(&bun, &[&format!("--inspect={}/dyno", free())], "", script);
    let served = discover(server.port).unwrap();
    assert!(reads(&served.processes[0]));
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let about = attached.about();
    assert!(
        about.starts_with("bun 1.") && about.contains("not available in this runtime: generations"),
        "{about}"
    );
    let me = format!("pid-{}", server.pid());
    let used = || kept.values(names::HEAP_USED, &me);
    soon("the heap", || used().len() > 5);
    let before = *used().last().unwrap();
    assert!(server.get("/hold").contains("dyno"));
    soon("what is held", || used().last().is_some_and(|now| now - before > f64::from(30 << 20)));
    server.get("/block");
    soon("the stall", || {
        kept.0.lock().unwrap().events.iter().any(|e| e.kind == kinds::PAUSE_WORKER_STALL && e.instance == me)
    });
    soon("the loop's delay", || !kept.recorded(names::LOOP_DELAY).is_empty());
    for lane in [
        names::HEAP_YOUNG,
        names::HEAP_LIMIT,
        names::LOOP_UTILISATION,
        names::OFFLOAD_WAIT,
        names::LOOP_RESOURCES,
    ] {
        assert!(!declared(&kept, lane), "{lane}: no data is not zero");
    }
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/"), "[]");
    // Who opened it for itself, at a path of its own, is told how it is found.
    let hidden = Server::start(&bun, &[&format!("--inspect={}", free())], "", script);
    assert!(!reads(&discover(hidden.port).unwrap().processes[0]));
    assert!(why(Place::Process(hidden.pid())).contains("start Bun with --inspect=127.0.0.1:6499/dyno"));
    assert_eq!(hidden.get("/"), "[]");
}

#[test]
fn nobody_is_signalled_who_is_not_node() {
    let mut sleeping = Command::new("sleep").arg("60").spawn().unwrap();
    assert!(why(Place::Process(sleeping.id())).contains("it is not Node.js"));
    assert!(sleeping.try_wait().unwrap().is_none(), "SIGUSR1 would have ended it");
    sleeping.kill().unwrap();
    sleeping.wait().unwrap();
    assert!(why(Place::Process(sleeping.id())).contains("has ended"));

    let bun = std::fs::canonicalize(beside("testing/runtimes/node_modules/.bin/bun")).unwrap();
    let mut server = Server::start(&bun, &[], "", SERVER);
    assert_eq!(discover(server.port).unwrap().processes[0].runtime, Runtime::Bun);
    assert!(why(Place::Process(server.pid())).contains("start Bun with --inspect=127.0.0.1:6499/dyno"));
    assert_eq!(server.get("/"), "ok");
    assert!(server.child.try_wait().unwrap().is_none());
}
