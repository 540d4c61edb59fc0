//! Five of the catalogue, live: faults of three families are found and named, and two clean twins show nothing. A stampede is found
//! in `flash_sale.rs`. All the others are judged from recordings (`profiler/tests/diagnosis/recorded.rs`), and by `dyno score`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, brief, changed, dyno, run_clean, run_valid, whole_machine};
use serde_json::Value;
use timeline::fault::FaultKind;

fn found(fault: FaultKind) {
    let _machine = whole_machine();
    let (_dir, scenario) = brief(fault.name());
    found_in(&scenario, fault);
}

fn found_in(scenario: &str, fault: FaultKind) -> Run {
    let run = run_valid(&[scenario]);
    assert!(matches!(run.code(), Some(0 | 3)), "{}\n{}", run.stdout(), run.stderr());
    let kinds = run.kinds();
    assert_eq!(
        kinds.first().map(String::as_str),
        Some(fault.expected().name()),
        "{:#}",
        run.summary()["findings"]
    );
    let onset = run.onset_s(fault.name());
    let found = run.summary()["findings"][0]["found_at"].as_u64().unwrap() as f64 / 1e9;
    eprintln!("{}: onset {onset:.2} s, found after {:.2} s", fault.name(), found - onset);
    assert!(found >= onset - 0.5, "found before it began");
    replayed_as_live(&run);
    run
}

/// The recording alone leads to the very findings that the run came to while it went on.
fn replayed_as_live(run: &Run) {
    let explained = dyno().args(["explain", "--json"]).arg(&run.folder).output().unwrap();
    let replayed: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(replayed["findings"], run.summary()["findings"]);
}

fn clean(fault: FaultKind) {
    let _machine = whole_machine();
    run_clean(&format!("{}-clean", fault.name()));
}

/// The catalogue's scenario, cut to eight seconds, because it is run twice: with the index that the advice creates, the same run has nothing
/// to find, although the fault takes the shop's own index away again.
#[test]
fn a_missing_index_is_found_and_its_advice_holds() {
    let _machine = whole_machine();
    let short =
        [("for = \"3s\"", "for = \"2s\""), ("for = \"22s\"", "for = \"6s\""), ("at = \"8s\"", "at = \"4s\"")];
    let (dir, scenario) = changed("missing-index", &short);
    let run = found_in(&scenario, FaultKind::MissingIndex);
    let mut verify = dyno();
    verify.args(["explain", "--verify", "--json", "--out"]).arg(dir.path().join("again")).arg(&run.folder);
    let output = verify.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let v = &told["verification"];
    assert_eq!(v["tried"][0]["remedy"]["set"], "index.purchase(customer)", "{v:#}");
    // A machine that starves the new run leaves nothing to be said of it.
    if !v["reason"].as_str().unwrap().starts_with("the new run is invalid") {
        assert_eq!((v["tried"][0]["gone"].as_bool(), output.status.code()), (Some(true), Some(0)), "{v:#}");
    }
}

#[test]
fn hashing_on_the_loop_is_found() {
    found(FaultKind::BlockingCrypto);
}

#[test]
fn a_worker_that_crashes_is_found() {
    found(FaultKind::WorkerCrash);
}

#[test]
fn a_sized_pool_is_clean() {
    clean(FaultKind::PoolTooSmall);
}

#[test]
fn a_compaction_in_steps_is_clean() {
    clean(FaultKind::StopTheWorld);
}
