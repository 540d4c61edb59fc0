//! Bundled runs on real stores: the same scenario, chosen by environment, and no password anywhere in what it leaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../backend/tests/common/servers/mod.rs"]
#[expect(dead_code, reason = "the backend's own tests use the rest")]
mod servers;

use common::holding;
use servers::postgres::Postgres;
use servers::rabbit::Rabbit;
use servers::redis::Redis;

#[test]
fn a_bundled_run_uses_the_stores_that_the_environment_names() {
    let _machine = common::whole_machine();
    let (postgres, redis, rabbit) = (Postgres::start(), Redis::start(), Rabbit::start());
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
