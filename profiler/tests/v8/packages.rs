//! Pools and caches as npm has them, in services that use them as people do: what these libraries call their figures is theirs alone, and
//! nothing here stands in for it. Needs the packages of `tests/libraries`, which `./test` installs.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use dynamometer_profiler::sources::Attached;
use dynamometer_profiler::sources::v8::{Place, Readers, Search, install};
use timeline::histogram::Sparse;
use timeline::lane::names;

use crate::served::{GRACE, Server, declared, soon};
use crate::watched::Kept;

/// The pools of `pools.js` that the test fills by itself, and how many places each has.
const POOLS: [(&str, usize); 3] = [("generic", 2), ("tarn", 3), ("sequelize", 4)];

/// A service of `tests/libraries`, with these variables in its environment.
fn service(script: &str, variables: &[(&str, &str)]) -> Server {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries").join(script);
    let load = if script.ends_with(".mjs") { "import" } else { "require" };
    let set = variables.iter().map(|(name, value)| format!("process.env.{name} = '{value}';\n"));
    Server::node(&format!("{}{load}({:?});", set.collect::<String>(), file.to_str().unwrap()))
}

/// Attaches it, and waits until it is read.
fn watch(server: &Server, search: Search) -> (Attached, Kept) {
    let kept = Kept::default();
    let place = Place::Process(server.pid());
    let installed = install(&[place], Some(server.port), search, None, &Readers::default()).unwrap();
    let attached = installed.attach(Box::new(kept.clone()));
    soon("samples", || !kept.values(names::HEAP_USED, &me(server)).is_empty());
    (attached, kept)
}

fn me(server: &Server) -> String {
    format!("pid-{}", server.pid())
}

/// Asks, and does not wait for the answer; who hangs up is answered no more.
fn ask(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// Capacity, in use, idle and waiters of a pool, as they were told last.
fn places(kept: &Kept, server: &Server, pool: &str) -> [Option<f64>; 4] {
    ["capacity", "in-use", "idle", "waiters"]
        .map(|part| kept.values(&format!("pool.{pool}.{part}"), &me(server)).last().copied())
}

/// What a rate of a pool has counted.
fn counted(kept: &Kept, pool: &str, part: &str) -> f64 {
    kept.counted(&format!("pool.{pool}.{part}"), "").round()
}

#[test]
fn pools_of_libraries_show_their_places_and_who_waits_for_one() {
    let server = service("pools.js", &[]);
    let (attached, kept) = watch(&server, Search::No);
    let mut asking = Vec::new();
    for (pool, all) in POOLS {
        // Two more than there are places.
        asking.extend((0..all + 2).map(|_| ask(&server, &format!("/{pool}"))));
        let full = [all as f64, all as f64, 0.0, 2.0].map(Some);
        soon(pool, || places(&kept, &server, pool) == full);
    }
    server.get("/release");
    for (pool, all) in POOLS {
        let asked = all as u64 + 2;
        let timed = |part: &str| -> u64 {
            kept.recorded(&format!("pool.{pool}.{part}")).iter().map(Sparse::count).sum()
        };
        soon(pool, || ["wait", "hold"].map(timed) == [asked; 2]);
        soon(pool, || counted(&kept, pool, "acquired") == asked as f64);
        let idle = [all as f64, 0.0, all as f64, 0.0].map(Some);
        soon(pool, || places(&kept, &server, pool) == idle);
        assert_eq!(
            ["opened", "timeouts"].map(|part| counted(&kept, pool, part)),
            [all as f64, 0.0],
            "{pool}"
        );
    }
    drop(asking);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn a_connection_that_is_only_being_made_is_in_nobody_s_use() {
    // Who connects is taken in by the system, and never hears a word.
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port().to_string();
    let server = service("pools.js", &[("CONNECT_MS", "600000"), ("DATABASE_PORT", port.as_str())]);
    let (attached, kept) = watch(&server, Search::No);
    let _asking: Vec<TcpStream> = POOLS.iter().map(|(pool, _)| ask(&server, &format!("/{pool}"))).collect();
    server.get("/mysql");
    // Of the five that ask, two have a connection each that is being made for them.
    for (pool, all, waiters) in
        [("generic", 2.0, 1.0), ("tarn", 3.0, 1.0), ("sequelize", 4.0, 1.0), ("mysql", 2.0, 3.0)]
    {
        soon(pool, || places(&kept, &server, pool) == [all, 0.0, 0.0, waiters].map(Some));
        assert_eq!(["acquired", "opened"].map(|part| counted(&kept, pool, part)), [0.0; 2], "{pool}");
    }
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn who_waits_too_long_for_a_place_is_a_timeout_of_its_pool() {
    let server = service("pools.js", &[("ACQUIRE_MS", "2000")]);
    let (attached, kept) = watch(&server, Search::No);
    let mut asking = Vec::new();
    for (pool, all) in POOLS {
        asking.extend((0..=all).map(|_| ask(&server, &format!("/{pool}"))));
    }
    for (pool, all) in POOLS {
        soon(pool, || ["timeouts", "acquired"].map(|part| counted(&kept, pool, part)) == [1.0, all as f64]);
        let full = [all as f64, all as f64, 0.0, 0.0].map(Some);
        soon(pool, || places(&kept, &server, pool) == full);
    }
    drop(asking);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

/// Looks up four of which one is there: with two places the last one that is written drives out the first.
fn look_up(server: &Server) {
    look_up_by(server, "item");
}

/// The same of the cache behind another route.
fn look_up_by(server: &Server, route: &str) {
    for key in ["a", "a", "b", "c"] {
        server.get(&format!("/{route}?{key}"));
    }
}

/// Hits, misses, loads, evictions and removed of the one lru-cache.
fn cached(kept: &Kept) -> [f64; 5] {
    cached_in(kept, "lru")
}

/// The same of one of several.
fn cached_in(kept: &Kept, cache: &str) -> [f64; 5] {
    ["hits", "misses", "loads", "evictions", "removed"]
        .map(|part| kept.counted(&format!("cache.{cache}.{part}"), "").round())
}

#[test]
fn an_lru_cache_counts_what_it_has_and_what_it_has_not() {
    let server = service("pools.js", &[]);
    let (attached, kept) = watch(&server, Search::No);
    let entries = || kept.values("cache.lru.entries", &me(&server)).last().copied();
    look_up(&server);
    soon("what is looked up", || cached(&kept) == [1.0, 3.0, 3.0, 1.0, 0.0] && entries() == Some(2.0));
    server.get("/forget?c");
    soon("what is dropped", || cached(&kept) == [1.0, 3.0, 3.0, 1.0, 1.0] && entries() == Some(1.0));
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn who_writes_over_what_has_expired_drives_nothing_out() {
    let server = service("pools.js", &[]);
    let (attached, kept) = watch(&server, Search::No);
    let entries = || kept.values("cache.lru.entries", &me(&server)).last().copied();
    // Each is written twice. There are two places, so the third drives out the first; nothing else has to go.
    for key in ["a", "b", "c"] {
        server.get(&format!("/renew?{key}"));
    }
    // A reading that knows of what came last knows of all before it.
    look_up(&server);
    soon("what is looked up", || cached_in(&kept, "lru-2") == [1.0, 3.0, 3.0, 1.0, 0.0]);
    assert_eq!((cached(&kept), entries()), ([0.0, 0.0, 0.0, 1.0, 0.0], Some(2.0)));
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn what_an_lru_cache_loads_or_works_out_by_itself_is_counted_once() {
    let server = service("pools.js", &[]);
    let (attached, kept) = watch(&server, Search::No);
    let entries = || kept.values("cache.lru.entries", &me(&server)).last().copied();
    let loads = || -> u64 { kept.recorded("cache.lru.load").iter().map(Sparse::count).sum() };
    let coalesced = || kept.counted("cache.lru.coalesced", "").round();
    // Each is asked for twice at once, and loaded for both.
    look_up_by(&server, "fetch");
    soon("what is fetched", || cached(&kept) == [2.0, 6.0, 3.0, 1.0, 0.0] && entries() == Some(2.0));
    soon("who waited for it", || loads() == 3 && coalesced() == 3.0);
    // While it was being loaded it had a place, for which another one had to go.
    assert_eq!(server.get("/fetch?none"), "there is none");
    soon("what fails", || cached(&kept) == [2.0, 8.0, 3.0, 2.0, 0.0] && entries() == Some(1.0));
    look_up_by(&server, "memo");
    soon("what is worked out", || cached_in(&kept, "lru-2") == [1.0, 3.0, 3.0, 1.0, 0.0]);
    assert_eq!(loads(), 3, "of the other one");
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn in_esm_the_build_of_an_lru_cache_for_import_is_found_by_searching_the_heap_alone() {
    let server = service("modules.mjs", &[]);
    let (attached, kept) = watch(&server, Search::No);
    look_up(&server);
    server.get("/place");
    soon("the pool, a module of CommonJS", || counted(&kept, "generic", "acquired") == 1.0);
    assert!(!declared(&kept, "cache.lru.hits"));
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");

    let server = service("modules.mjs", &[]);
    let (attached, kept) = watch(&server, Search::Heap);
    assert!(attached.about().contains("searched by shape: 2 found (pools, caches"), "{}", attached.about());
    look_up(&server);
    server.get("/place");
    soon("what is looked up", || cached(&kept) == [1.0, 3.0, 3.0, 1.0, 0.0]);
    soon("the pool", || places(&kept, &server, "generic") == [3.0, 0.0, 1.0, 0.0].map(Some));
    assert_eq!(counted(&kept, "generic", "acquired"), 1.0, "it is found in both ways and counted once");
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}
