//! Pools, caches, handlers, gauges, counts and pauses, through a whole agent and its wire form.

#[path = "common/fresh.rs"]
mod fresh;
#[path = "common/http.rs"]
mod http;
#[path = "common/lanes.rs"]
mod lanes;
#[path = "common/start.rs"]
mod start;

use dynamometer_agent::{Agent, ServerFigures};
use fresh::*;
use http::*;
use lanes::*;
use start::*;
use std::cell::Cell;
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::lane::{Shape, names};
use timeline::probe::{Batch, ProbeEvent, Tick};
use timeline::units::Unit;

const MS: Duration = Duration::from_millis(1);

#[test]
fn without_the_allocator_there_is_no_heap_lane_at_all() {
    let agent = agent();
    let batch = fresh_tick(&agent);
    let heap: Vec<&str> =
        batch.lanes.iter().map(|l| l.name.as_str()).filter(|n| n.starts_with("heap.")).collect();
    assert_eq!(heap, Vec::<&str>::new());
    let names: Vec<&str> = batch.lanes.iter().map(|l| l.name.as_str()).collect();
    if cfg!(target_os = "linux") {
        assert_eq!(
            names,
            [
                "pause.longest",
                "process.cpu",
                "process.resident",
                "process.descriptors",
                "process.descriptor-limit",
                "process.threads"
            ]
        );
    }
    assert!(batch.lanes.iter().all(|l| l.instance == "shop-0"));
}

#[test]
fn the_offload_pool_tells_who_runs_and_who_queues() {
    let agent = agent();
    let pool = agent.offload(4);
    let running = pool.begin_wait().acquired();
    let queued = (pool.begin_wait(), pool.begin_wait());
    std::thread::sleep(50 * MS);
    let batch = fresh_tick(&agent);
    let level = |name| last(&batch, name);
    assert_eq!(
        [names::OFFLOAD_CAPACITY, names::OFFLOAD_BUSY, names::OFFLOAD_QUEUED].map(level),
        [4.0, 1.0, 2.0]
    );
    drop((running, queued));
    agent.offload(9).set_capacity(5);
    let batch = fresh_tick(&agent);
    let level = |name| last(&batch, name);
    assert_eq!(
        [names::OFFLOAD_CAPACITY, names::OFFLOAD_BUSY, names::OFFLOAD_QUEUED].map(level),
        [5.0, 0.0, 0.0],
        "there is one such pool"
    );
    for lane in [names::OFFLOAD_WAIT, names::OFFLOAD_RUN] {
        let times = cells(&batch, lane, "");
        assert!(times.iter().any(|c| c.0 >= 50_000), "{lane}: {times:?}");
    }
}

#[test]
fn a_pool_tells_who_holds_who_waits_and_for_how_long() {
    let agent = agent();
    fresh_tick(&agent);
    let pool = agent.pool("db", 4);
    pool.opened();
    pool.opened();
    let held = pool.begin_wait().acquired();
    let waiting = pool.begin_wait();
    pool.begin_wait().timed_out();
    drop(pool.begin_wait());
    std::thread::sleep(50 * MS);
    let batch = fresh_tick(&agent);
    let level = |part: &str| last(&batch, &format!("pool.db.{part}"));
    assert_eq!((level("capacity"), level("in-use"), level("waiters"), level("idle")), (4.0, 1.0, 1.0, 1.0));

    drop(held);
    drop(waiting.acquired());
    pool.set_capacity(9);
    let batch = fresh_tick(&agent);
    assert_eq!(
        (last(&batch, "pool.db.capacity"), last(&batch, "pool.db.in-use"), last(&batch, "pool.db.waiters")),
        (9.0, 0.0, 0.0)
    );
    let rate = |part: &str| amount(&batch, &format!("pool.db.{part}"), "").round();
    assert_eq!((rate("acquired"), rate("opened"), rate("timeouts")), (2.0, 2.0, 1.0));
    let held = cells(&batch, "pool.db.hold", "");
    assert!(held.iter().any(|c| c.0 >= 50_000), "{held:?}");
    let waits: u32 = cells(&batch, "pool.db.wait", "").iter().map(|c| c.1).sum();
    assert_eq!(waits, 4, "also of those who gave up");
}

/// Runs `work` as a request for `route`.
fn serve(agent: &Agent, route: &'static str, work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime is made");
    runtime.block_on(agent.request(route).around(work));
}

#[test]
fn statements_are_told_apart_by_fingerprint_and_routes_by_how_they_ask() {
    let agent = agent();
    fresh_tick(&agent);
    let database = agent.database();
    // One row after the other, on one connection.
    serve(&agent, "/list", async {
        let _visit = database.visit();
        for id in 1..=5 {
            database.statement(&format!("SELECT cents FROM price WHERE product = {id}")).gave(1, Some(9));
        }
    });
    let one = async || {
        let _visit = database.visit();
        let sent = database.statement("SELECT count(*) FROM customer");
        tokio::time::sleep(50 * MS).await;
        sent.answered();
    };
    serve(&agent, "/apart", async {
        one().await;
        one().await;
    });
    // Both are sent before one is answered, whatever holds this thread up.
    let sent = Cell::new(0);
    let beside = async || {
        let _visit = database.visit();
        let statement = database.statement("SELECT count(*) FROM customer");
        sent.set(sent.get() + 1);
        while sent.get() < 2 {
            tokio::time::sleep(MS).await;
        }
        tokio::time::sleep(50 * MS).await;
        statement.answered();
    };
    serve(&agent, "/together", async {
        tokio::join!(beside(), beside());
    });
    serve(&agent, "/import", async {
        let _visit = database.visit();
        database.batch(["INSERT INTO offer VALUES (?1)"; 7]).answered();
    });
    drop(database.statement("SELECT given_up"));
    let batch = fresh_tick(&agent);
    let rate = |name: &str, about: &str| amount(&batch, name, about).round();
    let price = "SELECT cents FROM price WHERE product = ?";
    assert_eq!(
        [names::DB_CALLS, names::DB_ROWS, names::DB_SCANNED].map(|n| rate(n, price)),
        [5.0, 5.0, 45.0]
    );
    assert_eq!(rate(names::DB_CALLS, "INSERT INTO offer VALUES (?)"), 7.0);
    assert_eq!(rate(names::DB_FAILURES, "SELECT given_up"), 1.0);
    assert!(lane(&batch, names::DB_SCANNED, "SELECT count(*) FROM customer").is_none(), "nobody told");
    let asked = |route| {
        [names::SERVER_DB_STATEMENTS, names::SERVER_DB_REPEATED, names::SERVER_DB_CHECKOUTS]
            .map(|n| rate(n, route))
    };
    assert_eq!(asked("/list"), [5.0, 4.0, 1.0]);
    assert_eq!((asked("/apart"), asked("/together")), ([2.0, 1.0, 2.0], [2.0, 1.0, 2.0]));
    assert_eq!(asked("/import"), [1.0, 0.0, 1.0], "a batch is waited for once");
    let longest = |name, route| cells(&batch, name, route).last().unwrap().0;
    let (apart, together) =
        (longest(names::SERVER_DB_WALL, "/apart"), longest(names::SERVER_DB_WALL, "/together"));
    assert_eq!(apart, longest(names::SERVER_DB_TIME, "/apart"));
    assert!(
        longest(names::SERVER_DB_TIME, "/together") > together + 40_000,
        "they ran at once: {together} us"
    );
}

#[test]
fn a_database_server_tells_of_its_connections_and_of_scans() {
    let agent = agent();
    fresh_tick(&agent);
    let database = agent.database();
    database.set_server(ServerFigures {
        connections: Some(9),
        limit: Some(100),
        active: Some(2),
        waiting: None,
    });
    database.table_scanned("purchase", 2, 40_000);
    database.table_scanned("price", 1, 500);
    database.table_fetched("purchase", 70);
    let batch = fresh_tick(&agent);
    let level = |name| last(&batch, name);
    assert_eq!(
        [names::DB_CONNECTIONS, names::DB_CONNECTION_LIMIT, names::DB_ACTIVE].map(level),
        [9.0, 100.0, 2.0]
    );
    assert!(values(&batch, names::DB_WAITING).is_empty(), "it does not say");
    let rate = |name| amount(&batch, name, "purchase").round();
    let lanes = [names::DB_TABLE_SCANS, names::DB_TABLE_SCANNED, names::DB_TABLE_FETCHED];
    assert_eq!(lanes.map(rate), [2.0, 40_000.0, 70.0]);
    let of_price =
        [names::DB_TABLE_SCANS, names::DB_TABLE_SCANNED].map(|lane| amount(&batch, lane, "price").round());
    assert_eq!(of_price, [1.0, 500.0]);
    let told = batch.lanes.iter().filter(|l| l.name == names::DB_TABLE_FETCHED).count();
    assert_eq!(told, 1, "of the other it does not say");
}

#[test]
fn a_stampede_is_one_refresh_with_its_loads() {
    let agent = agent();
    fresh_tick(&agent);
    let cache = agent.cache("products");
    cache.expired(4);
    assert!(values(&fresh_tick(&agent), "cache.products.expired").is_empty(), "whose entries nobody counts");
    cache.removed(2);
    cache.absent_load();
    cache.absent_hit();
    cache.hit();
    cache.miss();
    cache.coalesced();
    cache.refreshed_early();
    cache.evicted(3);
    cache.set_entries(7);
    let loads: Vec<_> = (0..5).map(|_| cache.load("product:1\u{1b}[2J")).collect();
    std::thread::sleep(30 * MS);
    drop(loads);
    drop(cache.load("product:2"));
    let batch = fresh_tick(&agent);
    let rate = |part: &str| amount(&batch, &format!("cache.products.{part}"), "").round();
    assert_eq!((rate("loads"), rate("duplicate-loads"), rate("evictions")), (6.0, 4.0, 3.0));
    assert_eq!((rate("hits"), rate("misses"), rate("coalesced")), (1.0, 1.0, 1.0));
    assert_eq!(rate("early-refreshes"), 1.0);
    assert_eq!((rate("expired"), rate("removed")), (4.0, 2.0));
    assert_eq!((rate("absent-loads"), rate("absent-hits")), (1.0, 1.0));
    assert_eq!(last(&batch, "cache.products.entries"), 7.0);
    assert_eq!(last(&batch, "cache.products.loads-in-flight"), 0.0);
    let events = events(&batch, "cache.refresh");
    let of = |key: &str| events.iter().filter(|e| e.labels[1].1 == key).cloned().collect::<Vec<_>>();
    let (mut hot, other) = (of("product:1\u{fffd}[2J"), of("product:2"));
    assert_eq!((events.len(), other.len(), other[0].value), (hot.len() + 1, 1, 1.0));
    assert_eq!(hot.iter().map(|e| e.value).fold(0.0, f64::max), 5.0, "{hot:?}");
    // One that a busy machine draws out is told in parts of a second and more.
    hot.sort_by_key(|e| e.start);
    assert!(hot.windows(2).all(|pair| pair[0].end == pair[1].start), "{hot:?}");
    let (first, last) = (hot[0].start, hot[hot.len() - 1].end);
    assert!(last - first >= 30_000_000 && hot.len() as u64 <= 1 + (last - first) / 1_000_000_000, "{hot:?}");
}

#[test]
fn a_topic_tells_what_waits_and_how_old_it_is_and_nothing_that_nobody_has_said() {
    let agent = agent();
    fresh_tick(&agent);
    let orders = agent.broker("orders");
    orders.published(5);
    orders.refused(2);
    let batch = fresh_tick(&agent);
    assert!(values(&batch, "broker.orders.depth").is_empty(), "a publisher does not know it");
    let rate = |batch: &Batch, part: &str| amount(batch, &format!("broker.orders.{part}"), "").round();
    assert_eq!((rate(&batch, "published"), rate(&batch, "refused")), (5.0, 2.0));
    orders.set_depth(3);
    orders.set_consumers(2);
    orders.consumed(70 * MS);
    let batch = fresh_tick(&agent);
    assert_eq!((last(&batch, "broker.orders.depth"), last(&batch, "broker.orders.consumers")), (3.0, 2.0));
    assert!(cells(&batch, "broker.orders.age", "").iter().any(|c| c.0 >= 70_000));
    assert_eq!(rate(&batch, "consumed"), 1.0);
}

#[test]
fn a_called_service_tells_what_comes_of_calls() {
    let agent = agent();
    fresh_tick(&agent);
    let email = agent.downstream("email");
    email.call().answered();
    email.retried();
    drop(email.call());
    let calling = email.call();
    let batch = fresh_tick(&agent);
    let rate = |part: &str| amount(&batch, &format!("downstream.email.{part}"), "").round();
    assert_eq!((rate("calls"), rate("failures"), rate("retries")), (3.0, 1.0, 1.0));
    assert_eq!(last(&batch, "downstream.email.in-flight"), 1.0);
    drop(calling);
    let batch = fresh_tick(&agent);
    assert_eq!(last(&batch, "downstream.email.in-flight"), 0.0);
    assert!(!cells(&batch, "downstream.email.time", "").is_empty());
}

#[test]
fn a_load_that_lasts_is_told_before_it_ends() {
    let agent = agent();
    let cache = agent.cache("slow");
    let _loads = [cache.load("k"), cache.load("k")];
    let is_told = |e: &ProbeEvent| e.kind == "cache.refresh" && e.value == 2.0;
    let (told, before) = until("a refresh still open", || {
        let ticks = agent.batch(0).ticks;
        let at = ticks.iter().position(|t| t.events.iter().any(is_told))?;
        let told = ticks[at].events.iter().find(|e| is_told(e))?.clone();
        Some((told, ticks[..at].last().map_or(0, |t| t.at)))
    });
    // Ticks may come late: none came in time that did not tell it.
    assert!(before.saturating_sub(told.start) < 1_500_000_000, "{told:?}, the tick before at {before}");
}

#[test]
fn handlers_and_gauges_have_lanes_of_their_own() {
    let agent = agent();
    let inside = agent.request("/products/:id");
    drop(agent.request("/login"));
    let sockets = agent.gauge(names::SERVER_WEBSOCKETS, Unit::Count);
    sockets.set(10.0);
    agent.gauge(names::SERVER_WEBSOCKETS, Unit::Count).add(-3.0);
    let batch = fresh_tick(&agent);
    assert_eq!(last(&batch, "server.in-flight"), 1.0);
    assert_eq!(last(&batch, "server.websockets"), 7.0);
    drop(inside);
    let batch = fresh_tick(&agent);
    assert_eq!(last(&batch, "server.in-flight"), 0.0);
    let count = |route: &str| cells(&batch, "server.handler", route).iter().map(|c| c.1).sum::<u32>();
    assert_eq!((count("/products/:id"), count("/login")), (1, 1));
}

#[test]
fn a_count_is_a_rate_that_begins_anew_at_each_tick() {
    let agent = agent();
    let promoted = agent.count("heap.visits.promoted", Unit::BytesPerSecond);
    // Its lane stands before anything is counted.
    fresh_tick(&agent);
    promoted.add(5_000);
    agent.count("heap.visits.promoted", Unit::BytesPerSecond).add(2_000);
    let batch = fresh_tick(&agent);
    assert_eq!(amount(&batch, "heap.visits.promoted", "").round(), 7_000.0);
    let lane = batch.lanes.iter().find(|l| l.name == "heap.visits.promoted").expect("its lane");
    assert_eq!((lane.unit, lane.shape), (Unit::BytesPerSecond, Shape::Rate));
    assert_eq!(last(&fresh_tick(&agent), "heap.visits.promoted"), 0.0);
}

#[test]
fn a_section_that_stops_the_world_is_a_pause() {
    let agent = agent();
    fresh_tick(&agent);
    let section = agent.stop_the_world("compaction");
    std::thread::sleep(60 * MS);
    drop(section);
    let batch = fresh_tick(&agent);
    let events = events(&batch, "pause.stop-the-world");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].labels, [("what".to_owned(), "compaction".to_owned())]);
    assert!(values(&batch, "pause.longest").iter().any(|&v| v >= 60e6));
}

#[test]
fn a_blocked_loop_is_seen_while_it_is_blocked_and_told_when_it_is_over() {
    let agent = agent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    agent.watch_loop(runtime.handle());
    let (since, [before, from, to, after]) = std::thread::scope(|scope| {
        let agent = &agent;
        let (begin, begun) = std::sync::mpsc::sync_channel(1);
        let seen = scope.spawn(move || {
            let (since, from): (u64, MonoNs) = begun.recv().expect("the loop sends it");
            until("a stall that lasts", || {
                let mut batch = agent.batch(since);
                batch.ticks.retain(|tick| tick.at > from.0);
                // In three ticks: a standstill of the whole machine fills one.
                let stalled = values(&batch, "pause.longest").iter().filter(|&&v| v > 150e6).count() >= 3;
                let busy = values(&batch, "loop.utilisation").contains(&1.0);
                let over = events(&batch, "pause.worker-stall").iter().any(|e| e.end > from.0);
                (stalled && busy && !over).then_some(())
            });
        });
        runtime.block_on(async {
            let since = turning("a quiet loop", || {
                let batch = agent.batch(0);
                let quiet = values(&batch, "loop.utilisation").last().is_some_and(|&share| share < 0.5);
                quiet.then(|| batch.ticks.last().map_or(0, |t| t.seq))
            })
            .await;
            let before = turned().await.0;
            let from = MonoNs::now();
            begin.send((since, from)).expect("somebody waits for it");
            std::thread::sleep(400 * MS);
            assert!(seen.join().is_ok(), "seen while it lasted");
            let to = MonoNs::now();
            let after = turned().await.1;
            let stalls = || events(&agent.batch(since), "pause.worker-stall");
            turning("the stall's event", || stalls().iter().any(|e| e.end > from.0).then_some(())).await;
            (since, [before, from, to, after])
        })
    });
    // A hiccup of its time may be told one tick later.
    fresh_tick(&agent);
    let batch = agent.batch(since);
    let within = |e: &ProbeEvent| e.end.min(to.0).saturating_sub(e.start.max(from.0)) / 1_000_000;
    let meanwhile = |kind: &str| {
        let mut events = events(&batch, kind);
        events.retain(|e| within(e) > 0);
        events
    };
    let (stalls, hiccups) = (meanwhile("pause.worker-stall"), meanwhile("pause.hiccup"));
    assert!(!stalls.is_empty(), "{hiccups:?}");
    assert!(
        stalls.iter().all(|e| before.0 <= e.start && e.end <= after.0),
        "{stalls:?} {before:?} {after:?}"
    );
    // Late from when the task was due, 10 ms after it woke last. What a hiccup explains is cut out.
    let blocked = to.since(from).as_millis() as u64;
    assert!(
        !hiccups.is_empty() || stalls.len() == 1 && within(&stalls[0]) + 20 >= blocked,
        "{stalls:?}, {blocked} ms"
    );
    let delays = cells(&batch, "loop.delay", "");
    let long: u32 = delays.iter().filter(|c| c.0 > 100_000).map(|c| c.1).sum();
    assert!(long >= 20, "corrected for the probes that it prevented: {delays:?}");

    drop(runtime);
    until("forgetting a runtime that is gone", || {
        (last(&fresh_tick(&agent), "pause.longest") < 100e6).then_some(())
    });
}

#[test]
fn ticks_come_ten_times_a_second_without_gap_or_drift() {
    let agent = agent();
    // A busy machine is late with some of them: the median tells the pace, once it has been calm for long enough.
    let batch = until("20 ticks and more at this pace", || {
        let batch = Some(agent.batch(0)).filter(|b| b.ticks.len() >= 20)?;
        let mut between: Vec<u64> = batch.ticks.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        between.sort_unstable();
        let off = between[between.len() / 2] as f64 / 1e8 - 1.0;
        (off.abs() < 0.2).then_some(batch)
    });
    assert!(batch.ticks.iter().zip(batch.lost + 1..).all(|(t, n)| t.seq == n));
}

#[test]
fn a_dropped_agent_is_gone_and_its_meters_are_harmless() {
    let agent = agent();
    let (addr, pool) = (agent.addr(), agent.pool("db", 1));
    let clone = agent.clone();
    drop(agent);
    assert_eq!(get(addr, "/v1/instances").0, 200, "a clone keeps it");
    let idle = std::net::TcpStream::connect(addr).unwrap();
    let start = MonoNs::now();
    drop(clone);
    let took = MonoNs::now().since(start);
    // An idle connection is kept for 30 s: whoever waited for it would take as long.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(std::net::TcpStream::connect(addr).is_err());
    drop(idle);
    drop(pool.begin_wait().acquired());
}

/// Has the loop turn until `is` gives something, at most 30 s.
async fn turning<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = MonoNs::now();
    while MonoNs::now().since(start) < Duration::from_secs(30) {
        if let Some(found) = is() {
            return found;
        }
        tokio::time::sleep(20 * MS).await;
    }
    panic!("turned for 30 s in vain: {what}");
}

/// Instants between which each task that was due had its turn: when this one wakes a second time, the others have.
async fn turned() -> (MonoNs, MonoNs) {
    let before = MonoNs::now();
    for _ in 0..2 {
        tokio::time::sleep(20 * MS).await;
    }
    (before, MonoNs::now())
}

/// Microseconds and counts of a histogram lane over all ticks kept.
fn cells(batch: &Batch, name: &str, subject: &str) -> Vec<(u32, u32)> {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let of = |t: &Tick| {
        t.histograms.iter().filter(|(l, _)| *l == lane).flat_map(|(_, h)| h.cells.clone()).collect::<Vec<_>>()
    };
    batch.ticks.iter().flat_map(of).collect()
}

fn events(batch: &Batch, kind: &str) -> Vec<ProbeEvent> {
    batch.ticks.iter().flat_map(|t| &t.events).filter(|e| e.kind == kind).cloned().collect()
}
