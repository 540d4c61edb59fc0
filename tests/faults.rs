//! Six of the catalogue, live: faults of four families are found and named, and two clean twins show nothing. All the others are
//! judged from recordings (`profiler/tests/recorded.rs`), and by `dyno score`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, brief, dyno, run_clean, run_valid, whole_machine};
use serde_json::Value;
use timeline::fault::FaultKind;

fn found(fault: FaultKind) {
    let _machine = whole_machine();
    let (_dir, scenario) = brief(fault.name());
    let run = run_valid(&[&scenario]);
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

#[test]
fn a_stampede_is_found() {
    found(FaultKind::Stampede);
}

#[test]
fn a_missing_index_is_found() {
    found(FaultKind::MissingIndex);
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
