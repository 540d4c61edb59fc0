//! Each fault of this build is found and named; its clean twin shows nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, dyno, run_clean, run_valid, whole_machine};
use serde_json::Value;
use timeline::fault::FaultKind;

fn found(fault: FaultKind) {
    let _machine = whole_machine();
    let run = run_valid(&[fault.name()]);
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
    let mut live = run.summary()["findings"].take();
    for finding in live.as_array_mut().unwrap() {
        // The same times once more, in seconds.
        for key in ["onset_s", "found_at_s", "ended_s"] {
            finding.as_object_mut().unwrap().remove(key);
        }
    }
    assert_eq!(replayed, live);
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
fn single_flight_is_clean() {
    clean(FaultKind::Stampede);
}

#[test]
fn a_pool_too_small_is_found() {
    found(FaultKind::PoolTooSmall);
}

#[test]
fn a_sized_pool_is_clean() {
    clean(FaultKind::PoolTooSmall);
}

#[test]
fn a_leak_is_found() {
    found(FaultKind::Leak);
}

#[test]
fn a_bounded_session_map_is_clean() {
    clean(FaultKind::Leak);
}

#[test]
fn a_frozen_worker_is_found() {
    found(FaultKind::Frozen);
}

#[test]
fn a_worker_that_is_not_stopped_is_clean() {
    clean(FaultKind::Frozen);
}

#[test]
fn a_compaction_that_stops_the_world_is_found() {
    found(FaultKind::StopTheWorld);
}

#[test]
fn a_compaction_in_steps_is_clean() {
    clean(FaultKind::StopTheWorld);
}
