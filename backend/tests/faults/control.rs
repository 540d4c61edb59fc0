//! Faults switched through the control endpoint: what is refused, what truly happens, and that it ends.

use std::time::Duration;

use crate::common::{Backend, ask, wait_for};
use serde_json::Value;

#[test]
fn control_wants_its_token_and_orders_that_make_sense() {
    let backend = Backend::start(1);
    for path in ["/v1/instances", "/v1/truth", "/v1/nothing"] {
        for wrong in ["", "Bearer wrong", "Basic x"] {
            let reply = ask(backend.control(), "GET", path, &[("Authorization", wrong)], b"");
            assert_eq!((reply.status, reply.error().contains("wants")), (401, true), "{path} {wrong}");
        }
    }
    let refused = |body: &str, says: &str| {
        let reply = backend.order("POST", "/v1/faults", body);
        assert_eq!(reply.status, 400);
        assert!(reply.error().contains(says), "{}", reply.error());
    };
    refused("", "EOF");
    refused(r#"{"name":"meteor","for_ms":1}"#, "meteor");
    refused(r#"{"name":"leak"}"#, "for_ms");
    refused(r#"{"name":"leak","for_ms":0}"#, "for_ms is 0");
    refused(r#"{"name":"leak","for_ms":5,"knobs":{"bytes":1}}"#, "knob `bytes`");
    refused(r#"{"name":"stampede","for_ms":5,"knobs":{"speed":1}}"#, "no knob `speed`");
    refused(r#"{"name":"leak","for_ms":1000,"knob":{"bytes":2048}}"#, "unknown field `knob`");
    assert_eq!(backend.order("POST", "/v1/faults", &"x".repeat(50_000)).status, 413);
    assert_eq!(backend.order("GET", "/v1/nothing", "").status, 404);
    assert_eq!(backend.order("GET", "/v1/faults", "").status, 405);
    assert_eq!(backend.order("GET", "/v1/truth?since=x", "").status, 400);
    assert_eq!(backend.order("GET", "/v1/instances/shop-9/samples?since=0", "").status, 404);
    assert_eq!(backend.truth(), Vec::<String>::new());

    let instances = backend.order("GET", "/v1/instances", "").json();
    let first: &Value = &instances["instances"][0];
    assert_eq!((&first["name"], first["generation"].as_u64()), (&"shop-0".into(), Some(0)));
    let batch = backend.samples("shop-0");
    assert_eq!((&batch["instance"], batch["version"].as_u64()), (&"shop-0".into(), Some(1)));
    for name in ["pool.db.capacity", "server.websockets", "server.sessions"] {
        assert!(wait_for(|| backend.lane(name).is_some()), "{name}");
    }
}

#[test]
fn a_stampede_begins_with_its_first_duplicate_load_and_the_cure_has_none() {
    let backend = Backend::start(1);
    let loads = || backend.lane("cache.products.loads-in-flight").unwrap_or(0.0);
    assert!(wait_for(|| backend.lane("cache.products.loads-in-flight") == Some(0.0)), "it was warmed first");
    // An expiry or two under the cure.
    let began = std::cell::Cell::new(0);
    assert!(backend.press(24, "/products/7", || {
        assert!(loads() <= 1.0, "single flight");
        began.set(began.get() + 1);
        began.get() == 30
    }));
    backend.arm(r#"{"name":"stampede","for_ms":60000}"#);
    assert!(backend.press(24, "/products/7", || loads() > 5.0), "every miss loads");
    assert_eq!(backend.order("DELETE", "/v1/faults", "").status, 200);
    let truth = backend.truth();
    assert_eq!(truth, ["stampede shop-0 armed", "stampede shop-0 onset", "stampede shop-0 ended"]);
}

#[test]
fn a_pool_too_small_makes_requests_wait_and_grows_again_by_itself() {
    let backend = Backend::start(1);
    let capacity = || backend.lane("pool.db.capacity").unwrap_or(0.0);
    assert!(wait_for(|| capacity() == 12.0));
    backend.arm(r#"{"name":"pool-too-small","for_ms":8000,"knobs":{"capacity":1}}"#);
    assert!(backend.press(24, "/products?page=1", || backend.truth().len() > 1), "somebody waits");
    assert!(wait_for(|| backend.truth().len() == 3), "it ends by itself");
    let of = |what| format!("pool-too-small shop-0 {what}");
    assert_eq!(backend.truth(), [of("armed"), of("onset"), of("ended")]);
    assert!(wait_for(|| capacity() == 12.0));
}

#[test]
fn a_leak_keeps_what_logs_in_and_lets_go_of_it_at_its_end() {
    let backend = Backend::start(1);
    let heap = || backend.lane("heap.used").unwrap_or(0.0);
    let sessions = || backend.lane("server.sessions").unwrap_or(-1.0);
    assert!(wait_for(|| heap() > 0.0));
    let before = heap();
    backend.arm(r#"{"name":"leak","for_ms":60000,"knobs":{"bytes":1048576}}"#);
    let tokens: Vec<String> = (0..20).map(|_| backend.log_in()).collect();
    assert!(wait_for(|| heap() > before + 16.0 * 1_048_576.0), "it is really kept: {before} -> {}", heap());
    assert!(wait_for(|| sessions() == 20.0));
    assert_eq!(backend.order("DELETE", "/v1/faults", "").status, 200);
    assert_eq!(backend.truth(), ["leak shop-0 armed", "leak shop-0 onset", "leak shop-0 ended"]);
    assert!(wait_for(|| heap() < before + 8.0 * 1_048_576.0), "{before} -> {}", heap());
    assert!(wait_for(|| sessions() == 0.0));
    // Nobody is logged out by it: sessions live in the database.
    assert_eq!(backend.post("/cart", &tokens[0], r#"{"product":1,"quantity":1}"#).status, 200);
}

#[test]
fn a_frozen_worker_stops_alone_and_goes_on() {
    let backend = Backend::start(2);
    backend.arm(r#"{"name":"frozen","for_ms":600000,"knobs":{"stop_ms":3000,"period_ms":4000}}"#);
    let stopped = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    };
    let pids = backend.pids();
    // The other one's probe answers meanwhile, and the stopped one's asker is told in time. Another try at the next stop,
    // should the machine itself have been slow during this one.
    let told_in_time = (0..10).any(|_| {
        assert!(wait_for(|| stopped(pids[0])));
        assert!(!stopped(pids[1]));
        std::thread::scope(|scope| {
            let held = scope.spawn(|| backend.order("GET", "/v1/instances/shop-0/samples?since=0", ""));
            std::thread::sleep(Duration::from_millis(50));
            let other = backend.order("GET", "/v1/instances/shop-1/samples?since=0", "");
            let not_held_up = other.status == 200 && !held.is_finished();
            let late = held.join().unwrap().status;
            not_held_up && late == 504
        })
    });
    assert!(told_in_time, "the other one was held up by the one that waits, or that one was not told");
    assert_eq!(backend.order("DELETE", "/v1/faults", "").status, 200);
    assert!(wait_for(|| !stopped(pids[0])));
    assert_eq!(backend.truth(), ["frozen shop-0 armed", "frozen shop-0 onset", "frozen shop-0 ended"]);
}

#[test]
fn faults_can_be_on_at_once_in_every_worker() {
    let backend = Backend::start(2);
    backend.arm(r#"{"name":"leak","for_ms":60000}"#);
    backend.arm(r#"{"name":"stampede","for_ms":300}"#);
    assert!(wait_for(|| backend.truth().len() == 6));
    let mut truth = backend.truth();
    truth.sort();
    let expected =
        ["leak shop-0 armed", "leak shop-1 armed", "stampede shop-0 armed", "stampede shop-0 ended"];
    assert_eq!(truth[..4], expected);
    assert_eq!(backend.order("DELETE", "/v1/faults", "").status, 200);
    assert_eq!(backend.truth().len(), 8);
}
