//! The faults of pools and the database, switched in a real worker over either database: each does its work, and its cure
//! does not. What is compared are counts and orders, which need no round trip of the embedded database's kind.

use std::time::Duration;

use rusqlite::Connection;
use timeline::MonoNs;

use crate::common::servers::postgres::Postgres;
use crate::common::{self, Backend, life, wait_for};

/// Some past orders; and nobody is patient.
const SETTINGS: &str = r#"{"history_rows":30000,"pool_patience_ms":200}"#;
/// Orders in it. Reading all of them takes one step less, or as many.
const ORDERS: f64 = 10_000.0;
/// Connections of the pool that the shop is planned for.
const PLANNED: f64 = 12.0;

fn embedded() -> Backend {
    Backend::with(1, &[("DYNO_SHOP_SETTINGS", SETTINGS)])
}

fn served(postgres: &Postgres) -> Backend {
    Backend::with(1, &[("DYNO_SHOP_SETTINGS", SETTINGS), ("DYNO_DATABASE_URL", &postgres.url())])
}

/// The same over both databases.
fn over_both(check: impl Fn(&Backend)) {
    check(&embedded());
    let postgres = Postgres::start();
    check(&served(&postgres));
}

/// Pages of the list, four at a time, until `enough` holds; false if it never did. Some may be refused.
fn leaf_through(backend: &Backend, enough: impl Fn() -> bool) -> bool {
    backend.press_for(&[200, 503], 4, "/products?page=3", enough)
}

#[test]
fn a_leaking_pool_runs_empty_and_gets_everything_back_at_the_end() {
    over_both(|backend| {
        let in_use = || backend.lane("pool.db.in-use").unwrap_or(-1.0);
        assert!(wait_for(|| in_use() == 0.0), "the last tick before it was ready tells of its warming");
        let looks = std::cell::Cell::new(0);
        assert!(leaf_through(backend, || {
            assert!(
                in_use() < PLANNED * 0.75,
                "the cure's four readers hold four at most, and the shop some for its own chores, not {}",
                in_use()
            );
            looks.set(looks.get() + 1);
            looks.get() == 20
        }));
        assert!(wait_for(|| in_use() == 0.0));
        backend.arm(r#"{"name":"pool-leak","for_ms":60000,"knobs":{"share":0.05}}"#);
        let refused = || backend.get("/products?page=3");
        assert!(leaf_through(backend, || refused().status == 503), "one after the other is kept");
        assert!(wait_for(|| refused().status == 503 && in_use() == PLANNED), "nobody uses them");
        assert!(refused().error().contains("busy"));
        backend.cure();
        assert_eq!(backend.truth(), life("pool-leak"));
        assert!(wait_for(|| in_use() == 0.0), "{}", in_use());
        assert_eq!(backend.get("/products?page=3").status, 200);
    });
}

#[test]
fn another_size_of_the_pool_does_not_mend_its_leak() {
    over_both(|backend| {
        let level = |part: &str| backend.lane(&format!("pool.db.{part}")).unwrap_or(-1.0);
        let ends = |fault: &str| {
            let truth = backend.truth();
            truth.iter().filter(|line| line.starts_with(fault) && line.ends_with("ended")).count()
        };
        let page = || backend.get("/products?page=3").status;
        backend.arm(r#"{"name":"pool-leak","for_ms":600000,"knobs":{"share":0.5}}"#);
        assert!(leaf_through(backend, || page() == 503 && level("in-use") == PLANNED));
        for turn in 1..=3 {
            backend.arm(r#"{"name":"pool-too-small","for_ms":1000,"knobs":{"capacity":3}}"#);
            assert!(wait_for(|| ends("pool-too-small") == turn));
            backend.tick("shop-0");
            assert_eq!((page(), level("in-use"), level("capacity")), (503, PLANNED, PLANNED), "turn {turn}");
        }
        backend.cure();
        assert_eq!(ends("pool-leak"), 1);
        assert!(wait_for(|| level("in-use") == 0.0), "{}", level("in-use"));
        answers_for_a_while(backend);
    });
}

#[test]
fn a_pool_too_large_has_all_its_connections_open_and_closes_them_at_the_end() {
    let order = r#"{"name":"pool-too-large","for_ms":60000,"knobs":{"capacity":60}}"#;
    let lifts = |backend: &Backend, open: &dyn Fn() -> usize| {
        let level = |part: &str| backend.lane(&format!("pool.db.{part}")).unwrap_or(0.0);
        assert!(wait_for(|| level("capacity") == PLANNED && level("idle") >= PLANNED - 2.0));
        assert!(open() < 2 * PLANNED as usize, "{}", open());
        backend.arm(order);
        assert!(wait_for(|| backend.truth().len() == 2), "they are opened before anybody wants them");
        // All but those that stay free for requests, which open them as they come.
        assert!(open() >= 60 - PLANNED as usize, "{}", open());
        assert!(wait_for(|| level("capacity") == 60.0 && level("idle") >= 40.0), "{}", level("idle"));
        assert_eq!(backend.get("/products?page=3").status, 200);
        backend.cure();
        assert_eq!(backend.truth(), life("pool-too-large"));
        assert!(wait_for(|| open() < 2 * PLANNED as usize), "{}", open());
        assert!(wait_for(|| level("capacity") == PLANNED));
    };
    let backend = embedded();
    let file = backend.database_file();
    lifts(&backend, &|| backend.open_files().iter().filter(|f| **f == file).count());
    let postgres = Postgres::start();
    let backend = served(&postgres);
    let back_ends = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dyno shop'";
    lifts(&backend, &|| postgres.ask(back_ends).parse().unwrap());
    assert!(wait_for(|| backend.lane("db.connection-limit") == Some(120.0)));
    assert!(backend.lane("db.connections").unwrap() >= PLANNED);
}

#[test]
fn a_capacity_held_against_a_pool_too_large_leaves_the_database_within_reach() {
    let backend = embedded();
    let held = backend.order("POST", "/v1/remedies", r#"{"set":"pool.db.capacity","to":14}"#);
    assert_eq!(held.status, 200, "{}", held.body);
    let has = |capacity: f64| wait_for(|| backend.lane("pool.db.capacity") == Some(capacity));
    assert!(has(14.0));
    backend.arm(r#"{"name":"pool-too-large","for_ms":60000}"#);
    // More connections than the pool has are never opened, and nobody keeps those that it has.
    answers_for_a_while(&backend);
    assert!(has(14.0));
    backend.cure();
    let [armed, _, ended] = life("pool-too-large");
    assert_eq!(backend.truth(), [armed, ended], "it was ordered and had no effect");
    answers_for_a_while(&backend);
}

/// All of the pages that are asked for a while are there, although nobody is patient.
fn answers_for_a_while(backend: &Backend) {
    let looks = std::cell::Cell::new(0);
    assert!(backend.press(4, "/products?page=3", || looks.replace(looks.get() + 1) == 40));
}

#[test]
fn a_pool_too_large_that_ends_at_once_keeps_no_connection_of_the_next() {
    let backend = embedded();
    // Both orders wait for the worker, which then obeys one after the other.
    let worker = backend.pids()[0];
    common::signal(worker, rustix::process::Signal::STOP);
    let order = r#"{"name":"pool-too-large","for_ms":60000}"#;
    assert_eq!(backend.order("POST", "/v1/faults", order).status, 202);
    let late = backend.order("DELETE", "/v1/faults", "");
    assert_eq!((late.status, late.error().contains("shop-0 does not say")), (504, true), "{}", late.body);
    common::signal(worker, rustix::process::Signal::CONT);
    assert!(wait_for(|| backend.truth().last().is_some_and(|line| line.ends_with("ended"))));
    answers_for_a_while(&backend);
    assert!(wait_for(|| backend.lane("pool.db.capacity") == Some(PLANNED)));
}

#[test]
fn of_two_faults_that_size_the_pool_the_end_of_one_leaves_it_to_the_other() {
    let backend = embedded();
    let has = |capacity: f64| wait_for(|| backend.lane("pool.db.capacity") == Some(capacity));
    let ends = || backend.truth().iter().filter(|line| line.ends_with("ended")).count();
    assert!(has(PLANNED));
    backend.arm(r#"{"name":"pool-too-large","for_ms":60000,"knobs":{"capacity":60}}"#);
    assert!(has(60.0));
    backend.arm(r#"{"name":"pool-too-small","for_ms":8000,"knobs":{"capacity":2}}"#);
    assert!(has(2.0), "the later order has its way");
    assert!(wait_for(|| ends() == 1));
    assert!(has(60.0));
    assert!(
        wait_for(|| backend.lane("pool.db.idle").is_some_and(|idle| idle >= 40.0)),
        "they are open again"
    );
    backend.cure();
    assert!(has(PLANNED));
    backend.arm(r#"{"name":"pool-too-small","for_ms":60000,"knobs":{"capacity":2}}"#);
    backend.arm(r#"{"name":"pool-too-large","for_ms":8000,"knobs":{"capacity":60}}"#);
    assert!(has(60.0));
    assert!(wait_for(|| ends() == 3));
    assert!(has(2.0));
    backend.cure();
    assert!(has(PLANNED));
}

#[test]
fn a_connection_for_each_request_is_opened_and_counted() {
    let opens = |backend: &Backend, sessions: &dyn Fn() -> u64| {
        let twenty = || (0..20).for_each(|_| assert_eq!(backend.get("/products?page=3").status, 200));
        assert!(wait_for(|| backend.lane("pool.db.idle") == Some(PLANNED)));
        let (before, sessions_before) = (backend.tick("shop-0"), sessions());
        let opened = || backend.amount_after(before, "pool.db.opened", "");
        twenty();
        backend.tick("shop-0");
        assert_eq!(opened(), 0.0, "the cure opens none");
        backend.arm(r#"{"name":"connect-per-request","for_ms":600000}"#);
        twenty();
        backend.tick("shop-0");
        assert!(opened() >= 20.0, "{}", opened());
        assert!(wait_for(|| sessions() >= sessions_before + 20), "the server saw them, too");
        backend.cure();
        assert_eq!(backend.truth(), life("connect-per-request"));
        assert!(wait_for(|| backend.lane("pool.db.idle") == Some(PLANNED)), "none of them is left");
    };
    let calls = std::cell::Cell::new(0);
    opens(&embedded(), &|| calls.replace(calls.get() + 20));
    let postgres = Postgres::start();
    let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'";
    opens(&served(&postgres), &|| postgres.ask(sessions).parse().unwrap());
}

/// The look-up of a customer's orders, as `EXPLAIN` wants it.
const LOOK_UP: &str = "SELECT * FROM purchase WHERE customer = 77 ORDER BY id DESC LIMIT 20";
/// How its statement begins.
const PRINT: &str = "SELECT id, at_ms, p.cents";

/// Without the index each look-up reads all orders, as `scanned` counts them; the answer stays the same.
fn reads_all_orders(backend: &Backend, plan: &dyn Fn() -> String, scanned: &dyn Fn() -> f64) {
    let token = backend.log_in_as("user-77");
    let orders = || backend.get_as("/orders", &token).body;
    let with = orders();
    assert!(with.contains("\"lines\":[{") && plan().contains("purchase_by_customer"), "{}", plan());
    assert!(wait_for(|| backend.amount("db.calls", PRINT) == 1.0));
    let before = scanned();
    assert!(before < ORDERS / 2.0, "{before} rows read with the index");
    backend.arm(r#"{"name":"missing-index","for_ms":60000}"#);
    assert!(wait_for(|| backend.truth().len() == 2));
    assert!(!plan().contains("purchase_by_customer"), "{}", plan());
    (0..4).for_each(|_| assert_eq!(orders(), with));
    assert!(wait_for(|| scanned() >= before + 4.0 * (ORDERS - 1.0)), "{before} -> {}", scanned());
    backend.cure();
    assert_eq!(backend.truth(), life("missing-index"));
    assert!(wait_for(|| plan().contains("purchase_by_customer")), "{}", plan());
    assert_eq!(orders(), with);
    let lanes = backend.samples("shop-0").to_string();
    assert!(
        lanes.contains("FROM purchase WHERE customer = ?") && !lanes.contains(" INDEX "),
        "only the shop's own show"
    );
}

#[test]
fn without_its_index_a_look_up_reads_the_table() {
    let backend = embedded();
    let plan = || {
        // Explaining reads nothing, so a connection that knows an older schema would not notice.
        let file = Connection::open(backend.database_file()).unwrap();
        let mut explain = file.prepare(&format!("EXPLAIN QUERY PLAN {LOOK_UP}")).unwrap();
        let lines = explain.query_map([], |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    reads_all_orders(&backend, &plan, &|| backend.amount("db.scanned", PRINT));

    let postgres = Postgres::start();
    let backend = served(&postgres);
    let schema = postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dyno%'");
    let plan =
        || postgres.ask(&format!("EXPLAIN {}", LOOK_UP.replace("purchase ", &format!("{schema}.purchase "))));
    reads_all_orders(&backend, &plan, &|| backend.amount("db.table-scanned", "purchase"));
    assert_eq!(backend.amount("db.scanned", PRINT), 0.0, "the server does not say it of statements");
}

fn is_indexed(file: &Connection) -> bool {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'purchase_by_customer'";
    file.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap() == 1
}

#[test]
fn a_worker_that_dies_without_the_index_is_followed_by_one_that_makes_it() {
    let backend = embedded();
    let file = Connection::open(backend.database_file()).unwrap();
    let indexed = || is_indexed(&file);
    backend.arm(r#"{"name":"missing-index","for_ms":8000}"#);
    assert!(wait_for(|| !indexed()));
    common::signal(backend.pids()[0], rustix::process::Signal::KILL);
    assert!(wait_for(indexed));
}

#[test]
fn a_worker_that_is_relieved_leaves_the_index_away_for_its_successor() {
    let backend = embedded();
    let file = Connection::open(backend.database_file()).unwrap();
    let indexed = || is_indexed(&file);
    backend.arm(r#"{"name":"missing-index","for_ms":600000}"#);
    assert!(wait_for(|| !indexed()));
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| backend.order("POST", "/v1/reload", "").status);
        while !reload.is_finished() {
            assert!(!indexed());
        }
        assert_eq!(reload.join().unwrap(), 200);
    });
    let ended = || backend.truth().iter().filter(|line| line.ends_with("ended")).count();
    assert!(wait_for(|| ended() == 1), "{:?}", backend.truth());
    let after = MonoNs::now();
    while MonoNs::now().since(after) < Duration::from_secs(1) {
        assert!(!indexed());
    }
    backend.cure();
    assert!(wait_for(indexed));
}

#[test]
fn the_index_comes_back_although_the_database_was_away_when_the_fault_ended() {
    let mut postgres = Postgres::start();
    let backend = served(&postgres);
    let count = "SELECT count(*) FROM pg_indexes WHERE indexname = 'purchase_by_customer'";
    assert_eq!(postgres.ask(count), "1");
    backend.arm(r#"{"name":"missing-index","for_ms":600000}"#);
    assert!(wait_for(|| postgres.ask(count) == "0"));
    postgres.restart(|| {
        backend.cure();
        let told = || backend.said().contains("the index on orders stays as it is");
        assert!(wait_for(told), "{}", backend.said());
    });
    assert!(wait_for(|| postgres.ask(count) == "1"), "{}", backend.said());
    assert_eq!(backend.truth(), life("missing-index"));
}

#[test]
fn a_list_asks_once_or_for_each_of_its_rows() {
    over_both(|backend| {
        let asked_after = |tick: u64| {
            ["statements", "repeated", "checkouts"]
                .map(|what| backend.amount_after(tick, &format!("server.db.{what}"), "/products"))
        };
        // The page, for which that is asked.
        let page = |asked: [f64; 3]| {
            let before = backend.tick("shop-0");
            let shown = backend.get("/products?page=3").body;
            assert!(wait_for(|| asked_after(before) == asked), "{:?}", asked_after(before));
            shown
        };
        let joined = page([1.0, 0.0, 1.0]);
        backend.arm(r#"{"name":"query-fan-out","for_ms":600000}"#);
        // One for the list, and twenty prices, nineteen of which ask what was asked before.
        assert_eq!(page([21.0, 19.0, 1.0]), joined);
        backend.cure();
        assert_eq!(backend.truth(), life("query-fan-out"));
        assert_eq!(page([1.0, 0.0, 1.0]), joined);
    });
}

#[test]
fn independent_queries_overlap_unless_they_are_awaited_one_by_one() {
    over_both(|backend| {
        let token = backend.log_in();
        let dashboard = || {
            let shown = backend.get_as("/dashboard", &token);
            assert_eq!(shown.status, 200);
            shown.body
        };
        // Of one request, in microseconds: all its uses of connections added up, and the time with any.
        let of_the_last = |count: usize| {
            let last = |what: &str| backend.cells(&format!("server.db.{what}"), "/dashboard");
            assert!(wait_for(|| last("wall").len() == count), "{:?}", last("wall"));
            [last("time")[count - 1].0, last("wall")[count - 1].0]
        };
        let together = dashboard();
        let [time, wall] = of_the_last(1);
        assert!(wall < time, "together: {wall} of {time} us");
        backend.arm(r#"{"name":"serial-queries","for_ms":60000}"#);
        assert_eq!(dashboard(), together);
        let [time, wall] = of_the_last(2);
        assert_eq!(wall, time, "one by one");
        assert_eq!(backend.amount("server.db.repeated", "/dashboard"), 0.0, "six different ones");
        backend.cure();
        assert_eq!(backend.truth(), life("serial-queries"));
    });
}
