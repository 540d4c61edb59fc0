//! Coded journeys inside a run, and somebody's own goose binary under the profiler.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Guarded, dyno, json, run_valid, shop, signal, wait_for, whole_machine};
use rustix::process::Signal;
use serde_json::Value;

/// Longest wait for what an idle machine does at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A goose load test as anybody would write it: the example of the crate `journeys`.
fn small_goose() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_BIN_EXE_dyno")).parent().unwrap().to_owned();
    let binary = target.join("examples/small-goose");
    if !binary.exists() {
        // `cargo test` of the workspace has built it; that of this package alone has not.
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "dynamometer-journeys", "--example", "small-goose"]);
        if target.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    binary
}

fn step<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let steps = summary["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|s| s["name"] == name)
        .unwrap_or_else(|| panic!("no step {name} in {:#}", summary["steps"]))
}

#[test]
fn an_unmodified_goose_binary_lands_on_the_timeline() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let output = dyno()
        .args([
            "goose",
            "--ui",
            "none",
            "--gate",
            "errors < 1%",
            "--gate",
            "p99 < 2s for GET products (first byte)",
        ])
        .arg("--out")
        .arg(&folder)
        .arg("--")
        .arg(small_goose())
        .args(["--host", &url, "--users", "4", "-r", "4", "--run-time", "6s", "--no-print-metrics"])
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{wrong}");
    let summary = json(&folder.join("summary.json")).unwrap();
    let list = step(&summary, "GET products (first byte)");
    let product = step(&summary, "GET products/ID (first byte)");
    for step in [list, product] {
        assert!(step["count"].as_u64().unwrap() > 0, "{step:#}");
        assert_eq!(step["errors"], 0);
        assert_eq!(step["measures"], "first-byte");
        assert!(step["response"]["p50"].as_f64().unwrap() > 0.0);
        assert_eq!(step["service"]["count"], 0, "goose knows no service time");
    }
    assert_eq!(summary["total"]["measures"], "first-byte");
    assert!(
        summary["lanes"]["client.open-sessions"]["max"].as_f64().unwrap() >= 4.0,
        "{:#}",
        summary["lanes"]
    );
    let notes = summary["notes"].as_array().unwrap();
    let told = |note: &&Value| note.as_str().is_some_and(|n| n.contains("its highest user count so far"));
    assert_eq!(notes.iter().filter(told).count(), 1, "{notes:#?}");
    assert!(summary["lanes"]["client.completed"].is_object());
    assert!(summary["lanes"]["process.cpu"].is_object(), "the process behind --host is watched");
    assert!(said.contains("goose ended with exit code 0; dyno's verdict: pass"), "{said}");
    assert!(said.contains("all (first byte)"), "{said}");
    assert!(folder.join("goose.log").exists() && folder.join("report.html").exists());
    let log = std::fs::read_to_string(folder.join("response.hlog")).unwrap();
    assert!(log.lines().any(|l| l.starts_with("Tag=GET_products_(first_byte),")), "{log}");
}

#[test]
fn ctrl_c_reaches_goose_behind_a_script_and_the_reports_are_written() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let script = dir.path().join("load.sh");
    std::fs::write(&script, format!("#!/bin/sh\n{} \"$@\"\necho it is over\n", small_goose().display()))
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let child = dyno()
        .args(["goose", "--ui", "none", "--out"])
        .arg(&folder)
        .arg("--")
        .arg(&script)
        .args(["--host", &url, "--users", "2", "--run-time", "60s", "--no-print-metrics"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    assert!(
        wait_for(PATIENCE, || common::descendants(pid).len() == 3),
        "the script, goose, and who ends them"
    );
    let goose = common::descendants(pid);
    std::thread::sleep(Duration::from_secs(2));
    signal(pid, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(wait_for(PATIENCE, || goose.iter().all(|p| !common::alive(*p))));
    assert!(json(&folder.join("summary.json")).is_some());
}

#[test]
fn a_dyno_that_is_killed_takes_goose_with_it() {
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let mut dyno = Guarded(
        dyno()
            .args(["goose", "--ui", "none", "--out"])
            .arg(dir.path().join("run"))
            .arg("--")
            .arg(small_goose())
            .args(["--host", &url, "--users", "2", "--run-time", "60s", "--no-print-metrics"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let pid = dyno.0.id();
    assert!(wait_for(PATIENCE, || common::descendants(pid).len() == 2), "goose, and who ends it");
    let family = common::descendants(pid);
    dyno.0.kill().unwrap();
    assert!(wait_for(PATIENCE, || family.iter().all(|p| !common::alive(*p))), "{family:?}");
}

#[test]
fn what_would_leave_dyno_blind_is_said_before_anything_starts() {
    let output = dyno().args(["goose", "--", "./x", "--no-telnet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--no-telnet switches off the controller"), "{said}");
}

#[test]
fn coded_journeys_run_beside_sessions_of_steps_against_the_bundled_shop() {
    let _machine = whole_machine();
    let run = run_valid(&["journey-shop", "--yes"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let summary = run.summary();
    for name in ["shop-checkout check out", "shop-checkout orders", "shop-live say", "list", "product"] {
        let step = step(&summary, name);
        assert!(step["count"].as_u64().unwrap() > 5, "{step:#}");
        assert_eq!(step["measures"], "response");
        assert!(step["service"]["count"].as_u64().unwrap() > 0);
    }
    let head = step(&summary, "shop-checkout log in (first byte)");
    assert_eq!((&head["measures"], &head["service"]["count"]), (&Value::from("first-byte"), &Value::from(0)));
    let said = step(&summary, "shop-live say (exchange)");
    assert_eq!(said["measures"], "exchange");
}
