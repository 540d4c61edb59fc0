//! The diagnosis is measured: over recorded runs at once, over drawn cases by running them, and a score goes on where it was ended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{closed, dyno, whole_machine};
use serde_json::Value;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings").join(name)
}

#[test]
fn recorded_runs_are_judged_anew() {
    let runs = [recording("stampede"), recording("stampede-clean")];
    let output = dyno().args(["score", "--json", "--recorded"]).args(&runs).output().unwrap();
    let score: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((score["top1"].as_f64(), score["recall"].as_f64()), (Some(1.0), Some(1.0)), "{score:#}");
    assert_eq!(score["false_per_clean_run"].as_f64(), Some(0.0));
    assert_eq!(score["time_to_find"]["count"], 1);
    assert_eq!(score["cases"].as_array().unwrap().len(), 2);

    let output = dyno().args(["score", "--findings", "--recorded"]).args(&runs).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("stampede -> cache-stampede") && text.contains("1 right, 1 silent"), "{text}");
}

#[test]
fn a_run_that_cannot_be_judged_is_not_counted() {
    // Without its truth nobody knows that nothing was wrong.
    let dir = tempfile::tempdir().unwrap();
    let file = "recording.dyno.gz";
    std::fs::copy(recording("stampede-clean").join(file), dir.path().join(file)).unwrap();
    let output = dyno().args(["score", "--json", "--recorded"]).arg(dir.path()).output().unwrap();
    let score: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&score["outcomes"]["broken"], output.status.code()), (&1.into(), Some(2)), "{score:#}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no case counts: its truth is not known"), "{told}");
    // What a starved generator measured is invalid, though that is what this one is about.
    let run = recording("generator-limited");
    let output = dyno().args(["score", "--json", "--recorded"]).arg(run).output().unwrap();
    let score: Value = serde_json::from_slice(&output.stdout).unwrap();
    let case = &score["cases"][0];
    assert_eq!((&case["seen"]["end"], &case["judged"]["outcome"]), (&"invalid".into(), &"right".into()));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn runs_are_kept_small_though_nobody_reads_what_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["leak", "stampede"];
    let mut command = dyno();
    command.args(["score", "--recorded"]).args(names.map(recording)).arg("--record").arg(dir.path());
    assert_eq!(command.stderr(closed()).status().unwrap().code(), Some(0));
    for name in names {
        assert!(dir.path().join(name).join("recording.dyno.gz").exists(), "{name}");
    }
}

#[test]
fn a_drawn_case_is_run_once_and_a_score_goes_on() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let score = || {
        let mut command = dyno();
        command
            .args(["score", "--cases", "1", "--kinds", "fault", "--faults", "stampede", "--json", "--out"]);
        command.arg(dir.path()).output().unwrap()
    };
    let first = score();
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    let json: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(json["cases"][0]["scenarios"][0], "stampede");
    assert!(!json["cases"][0]["seen"]["truth"].as_array().unwrap().is_empty(), "{json:#}");
    let again = score();
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.is_empty(), "it was run again: {}", String::from_utf8_lossy(&again.stderr));
    let journal = std::fs::read_to_string(dir.path().join("score.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), 2, "a head and a case");
}

#[test]
fn what_cannot_be_scored_is_said() {
    let said = |args: &[&str]| {
        let output = dyno().arg("score").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["--faults", "stampeed"]).contains("there is no fault `stampeed`"));
    assert!(said(&["--kinds", "composite", "--faults", "leak"]).contains("two families"));
    let empty = tempfile::tempdir().unwrap();
    assert!(said(&["--recorded", &empty.path().to_string_lossy()]).contains("no recorded run lies in"));
}
