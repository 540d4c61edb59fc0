//! What spoils a run or ends it early: a load worker that dies, a gate that has failed for as long as it may.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Guarded, descendants, dyno, json, run, shop, signal, wait_for, whole_machine};
use rustix::process::Signal;
use timeline::lane::names;
use timeline::recording::Reader;

/// The load workers of a run, oldest first.
fn load_workers(run: u32) -> Vec<u32> {
    let is_one = |pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split('\0').any(|word| word == "load-worker")
    };
    let mut found: Vec<u32> = descendants(run).into_iter().filter(is_one).collect();
    found.sort_unstable();
    found
}

/// The load workers whose times are in the recording so far.
fn timed(folder: &Path) -> BTreeSet<String> {
    let loaded = Reader::open(folder).and_then(|reader| reader.load(folder, |_, _| {}));
    let Ok(loaded) = loaded else { return BTreeSet::new() }; // it has not begun
    let timed = loaded.timeline.named(names::RESPONSE).filter(|series| !series.intervals.is_empty());
    timed.map(|series| series.spec.instance.clone()).collect()
}

#[test]
fn a_load_worker_that_is_killed_is_counted_and_the_other_goes_on() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let child = dyno()
        .args(["run", "--url", &format!("{url}/products?page=1"), "--rate", "100/s", "--duration", "10s"])
        .args(["--load-workers", "2", "--ui", "none", "--out"])
        .arg(&folder)
        .spawn()
        .unwrap();
    let mut run = Guarded(child);
    let pid = run.0.id();
    assert!(wait_for(Duration::from_secs(30), || timed(&folder).len() == 2), "both workers have told times");
    let workers = load_workers(pid);
    assert_eq!(workers.len(), 2, "both are under way: {workers:?}");
    signal(workers[1], Signal::KILL);
    assert!(wait_for(Duration::from_secs(30), || run.0.try_wait().unwrap().is_some()), "it ends");
    assert_eq!(run.0.wait().unwrap().code(), Some(5), "such a run is invalid");

    let summary = json(&folder.join("summary.json")).unwrap();
    assert_eq!(summary["verdict"], "invalid");
    let why = summary["verdict_reason"].as_str().unwrap();
    assert!(why.contains("load worker gen-") && why.contains("died at"), "{why}");
    let notes = summary["notes"].to_string();
    for part in ["was lost at", "signal: 9", "have no times", "1 of 2"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert_eq!(summary["end"]["reason"], "completed", "the other one has carried out its part");
    let finished = summary["total"]["count"].as_u64().unwrap();
    assert!((500..1_000).contains(&finished), "500 of one, and some of the other: {finished}");
}

#[test]
fn a_run_that_is_ended_before_it_began_says_so_and_leaves_no_folder() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    // So many rows that their making takes longer than it takes us to end it.
    let child = dyno()
        .args(["run", "flash-sale", "--ui", "plain", "--out"])
        .arg(&folder)
        .env("DYNO_ROWS", "2000000")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut run = Guarded(child);
    assert!(wait_for(Duration::from_secs(30), || folder.join("backend.log").exists()), "it starts");
    signal(run.0.id(), Signal::INT);
    assert!(wait_for(Duration::from_secs(30), || run.0.try_wait().unwrap().is_some()), "it ends");
    let mut told = String::new();
    run.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(130), "{told}");
    assert!(told.starts_with("dyno: starting the bundled backend...\n"), "{told}");
    assert!(told.contains("nothing was run"), "{told}");
    assert!(!folder.exists(), "the same --out can be given again");
}

#[test]
fn a_gate_that_has_failed_for_as_long_as_it_may_ends_the_run() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("browse.toml");
    let scenario = r#"
[target]
url = "bundled"
[[phase]]
name = "browse"
for = "60s"
arrivals = "50/s"
[[session]]
name = "browser"
steps = [{ name = "list", get = "/products?page=1" }]
[[gate]]
that = "p99 < 1us for list"
abort_after = "1s"
"#;
    std::fs::write(&file, scenario).unwrap();
    let run = run(&[file.to_str().unwrap(), "--target", &url]);
    let summary = run.summary();
    assert_eq!(summary["end"]["reason"], "gate-aborted", "{}\n{}", run.stdout(), run.stderr());
    let length = summary["end"]["length"].as_u64().unwrap();
    assert!(length < 40_000_000_000, "{length} ns of a minute");
    // A starved generator makes it invalid instead: also then the gate has ended it.
    assert!(matches!(run.code(), Some(3 | 5)), "{:?}", run.code());
}
