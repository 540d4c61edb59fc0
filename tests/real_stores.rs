//! Bundled runs on real stores: the same scenario, chosen by environment, and no password anywhere in what it leaves; and on each of them
//! a fault that is found there, live, as it is on the embedded one (`catalogue.rs`). Scenarios are cut to little more than the least data that
//! their detectors need.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../backend/tests/common/servers/mod.rs"]
#[expect(dead_code, reason = "the backend's own tests use the rest")]
mod servers;

use common::{changed, holding, run_valid_with};
use servers::postgres::Postgres;
use servers::rabbit::Rabbit;
use servers::redis::Redis;
use timeline::fault::FaultKind;

/// Both on one broker, which takes five seconds to start.
#[test]
fn a_bundled_run_uses_the_stores_that_the_environment_names_and_a_backlog_is_found_on_rabbitmq() {
    let _machine = common::whole_machine();
    let rabbit = Rabbit::start();
    a_run_on_all_stores(&rabbit);
    // A queue is told from a burst after five seconds of growth.
    let short =
        [("for = \"21s\"", "for = \"10s\""), ("at = \"6s\"\nfor = \"16s\"", "at = \"4s\"\nfor = \"9s\"")];
    found(FaultKind::BrokerBacklog, &short, ("DYNO_BROKER_URL", &rabbit.url()));
}

fn a_run_on_all_stores(rabbit: &Rabbit) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let ran = common::dyno()
        .args(["run", "flash-sale-clean", "--sessions", "40", "--for", "6s", "--ui", "none", "--out"])
        .arg(&folder)
        .envs([
            ("DYNO_DATABASE_URL", postgres.url()),
            ("DYNO_CACHE_URL", redis.url()),
            ("DYNO_BROKER_URL", rabbit.url()),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let summary = common::json(&folder.join("summary.json")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(summary["errors"], serde_json::json!([]), "{summary:#}");
    let lanes = summary["lanes"].as_object().unwrap();
    for lane in ["pool.db.in-use", "cache.products.hits"] {
        assert!(lanes.contains_key(lane), "{lane}: {:?}", lanes.keys());
    }
    // It was there, and it is gone: the server has counted what was committed.
    let committed = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
    assert!(postgres.ask(committed).parse::<u64>().unwrap() > 100);
    assert_eq!(postgres.ask("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dyno%'"), "0");
    assert_eq!(redis.ask(&["DBSIZE"]).as_deref(), Some("0"));
    assert!(!rabbit.ask(&["list_queues", "name"]).contains("dyno"));
    assert!(!said.contains("pa55"), "{said}");
    assert_eq!(holding(&folder, "pa55"), Vec::<String>::new());
}

/// Runs a scenario of the catalogue, cut short, on the store of this variable and URL: what the fault leads to is named first, and not before
/// it began.
fn found(fault: FaultKind, short: &[(&str, &str)], store: (&str, &str)) {
    let (_dir, scenario) = changed(fault.name(), short);
    let run = run_valid_with(&[&scenario], &[store]);
    assert!(matches!(run.code(), Some(0 | 3)), "{}\n{}", run.stdout(), run.stderr());
    let summary = run.summary();
    let findings = &summary["findings"];
    assert_eq!(run.kinds().first().map(String::as_str), Some(fault.expected().name()), "{findings:#}");
    let onset = run.onset_s(fault.name());
    let found = findings[0]["found_at"].as_u64().unwrap() as f64 / 1e9;
    eprintln!("{}: onset {onset:.2} s, found after {:.2} s", fault.name(), found - onset);
    assert!(found >= onset - 0.5, "found before it began");
    assert_eq!(holding(&run.folder, "pa55"), Vec::<String>::new());
}

/// PostgreSQL counts scans by table and tells them once a second, where SQLite tells them of each statement.
#[test]
fn a_missing_index_is_found_on_postgresql() {
    let _machine = common::whole_machine();
    let postgres = Postgres::start();
    let short =
        [("for = \"3s\"", "for = \"2s\""), ("for = \"22s\"", "for = \"9s\""), ("at = \"8s\"", "at = \"4s\"")];
    found(FaultKind::MissingIndex, &short, ("DYNO_DATABASE_URL", &postgres.url()));
}

/// Entries live for a second in the server, for both workers; four expiries under the fault.
#[test]
fn a_stampede_is_found_on_redis() {
    let _machine = common::whole_machine();
    let redis = Redis::start();
    let short = [
        ("for = \"3s\"", "for = \"2s\""),
        ("for = \"21s\"", "for = \"6s\""),
        ("at = \"8s\"\nfor = \"8s\"", "at = \"4s\"\nfor = \"4s\""),
    ];
    found(FaultKind::Stampede, &short, ("DYNO_CACHE_URL", &redis.url()));
}
