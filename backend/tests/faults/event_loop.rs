//! The faults of event loop and offload threads, switched in a real worker: each does its work, and its cure does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Backend, ask, life, wait_for};
use timeline::MonoNs;

/// Plain requests, one after the other, that are answered in a second. They need the loop and nothing else.
fn answers(backend: &Backend, path: &str) -> u64 {
    let (began, mut answers) = (MonoNs::now(), 0);
    while MonoNs::now().since(began) < Duration::from_secs(1) {
        assert_eq!(backend.get(path).status, 200);
        answers += 1;
    }
    answers
}

/// The same while `busy` asks, again and again.
fn answers_beside(backend: &Backend, busy: impl Fn() + Sync) -> u64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                busy();
            }
        });
        let answers = answers(backend, "/");
        stop.store(true, Ordering::Relaxed);
        answers
    })
}

/// Beside the fault fewer than half of the plain requests are answered that are beside the cure; and it tells its life.
fn holds_the_loop(order: &str, fault: &str, busy: impl Fn(&Backend) + Sync) {
    let backend = Backend::start(1);
    let answers = || answers_beside(&backend, || busy(&backend));
    // The most of three: in others the machine itself may have been slow.
    let cure = (0..3).map(|_| answers()).max().unwrap();
    backend.arm(order);
    // Another try, should the fault have begun late.
    let mut seen = Vec::new();
    let held = (0..5).any(|_| {
        seen.push(answers());
        2 * seen[seen.len() - 1] < cure
    });
    assert!(held, "{cure} plain answers in a second beside the cure, beside the fault {seen:?}");
    backend.cure();
    assert_eq!(backend.truth(), life(fault));
}

#[test]
fn hashing_on_the_loop_holds_everybody() {
    holds_the_loop(
        r#"{"name":"blocking-crypto","for_ms":60000,"knobs":{"cost":200}}"#,
        "blocking-crypto",
        |backend| drop(backend.log_in()),
    );
}

#[test]
fn hostile_text_holds_everybody_and_is_refused_by_fault_and_cure() {
    let hostile = format!("/search?q={}!", "a".repeat(40));
    holds_the_loop(
        r#"{"name":"regex-backtracking","for_ms":60000,"knobs":{"steps":5000000}}"#,
        "regex-backtracking",
        |backend| assert_eq!(backend.get(&hostile).status, 400),
    );
}

#[test]
fn a_large_document_in_one_go_holds_everybody() {
    holds_the_loop(r#"{"name":"big-json","for_ms":60000}"#, "big-json", |backend| {
        assert_eq!(backend.get("/price-list").status, 200);
    });
}

#[test]
fn a_task_that_puts_itself_first_keeps_the_worker_busy_with_nothing_to_do() {
    let backend = Backend::start(1);
    let answers = || answers(&backend, "/popular");
    // The most of three: in others the machine itself may have been slow.
    let cure = (0..3).map(|_| answers()).max().unwrap();
    backend.arm(r#"{"name":"starved-poll","for_ms":60000,"knobs":{"rows":200}}"#);
    assert!(wait_for(|| backend.truth().len() == 2), "it begins by itself");
    let fault = answers();
    assert!(2 * fault < cure, "{cure} answers in a second beside the cure, {fault} beside the fault");
    backend.cure();
    // The order to end waits for the loop, too.
    assert!(wait_for(|| backend.truth() == life("starved-poll")));
}

#[test]
fn too_few_offload_threads_make_tasks_queue_while_the_loop_is_idle() {
    let backend = Backend::start(1);
    let queued = || backend.lane("offload.queued").unwrap_or(0.0);
    assert!(wait_for(|| backend.lane("offload.capacity") == Some(24.0)));
    let sheets = |enough: &dyn Fn() -> bool| backend.press(8, "/products/7/sheet", enough);
    let began = MonoNs::now();
    let looks = || backend.told_since(began, "offload.queued");
    assert!(sheets(&|| looks().len() >= 5));
    let looks = looks();
    assert!(looks.iter().all(|queued| *queued == 0.0), "the cure has a thread for everybody: {looks:?}");
    backend.arm(r#"{"name":"offload-saturated","for_ms":60000,"knobs":{"threads":1}}"#);
    assert!(sheets(&|| queued() > 3.0), "they queue");
    backend.cure();
    assert!(wait_for(|| backend.lane("offload.capacity") == Some(24.0)));
    assert_eq!(backend.truth(), life("offload-saturated"));
    let sheet = backend.get("/products/7/sheet");
    assert!(sheet.body.contains("        name | ") && sheet.status == 200, "{}", sheet.body);
    assert_eq!(backend.get("/products/501/sheet").status, 404);
}

#[test]
fn bad_input_to_the_routes_of_these_faults() {
    let backend = Backend::start(1);
    for (path, says) in [
        ("/search", "q"),
        ("/search?q=", "not a list of words"),
        ("/search?q=%27+OR+1%3D1--", "not a list of words"),
        ("/price-list?rows=0", "rows is 0"),
        ("/price-list?rows=50001", "expected 1 to 50000"),
        ("/price-list?rows=x", "rows"),
    ] {
        let reply = backend.get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.error().contains(says), "{path}: {}", reply.error());
    }
    assert_eq!(backend.get(&format!("/search?q={}", "a".repeat(200))).status, 400);
    let found = backend.get("/search?q=folding-chair").json();
    assert!(found["products"][0]["name"].as_str().unwrap().contains("Folding Chair"), "{found}");
    assert_eq!(ask(backend.shop(), "POST", "/search", &[], b"").status, 405);
    for id in 1..=3 {
        assert_eq!(backend.get(&format!("/products/{id}")).status, 200);
    }
    assert!(wait_for(|| backend.get("/popular").json()["products"][2]["views"] == 1));
}
