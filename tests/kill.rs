//! A run can be ended or killed at any instant: the recording stays readable, and no process is left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Guarded, alive, descendants, dyno, json, signal, wait_for, whole_machine};
use rustix::process::Signal;

/// Longest wait for what an idle machine does at once.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(folder: &Path) -> Child {
    dyno()
        .args(["run", "stampede", "--ui", "none", "--out"])
        .arg(folder)
        // Few past orders, which are made at once.
        .env("DYNO_ROWS", "3000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// As a terminal sends it on Ctrl-C: to the run and to all in its group.
fn interrupt(run: &Guarded) {
    let group = rustix::process::Pid::from_raw(run.0.id() as i32).unwrap();
    rustix::process::kill_process_group(group, Signal::INT).unwrap();
}

fn recording_grows(folder: &Path, beyond: u64) -> bool {
    let size = || folder.join("recording.dyno").metadata().map_or(0, |m| m.len());
    wait_for(Duration::from_secs(30), || size() > beyond)
}

/// Kills at many instants: from before the backend is up to deep in the run.
#[test]
fn a_run_killed_at_any_instant_leaves_a_readable_recording_and_no_process() {
    let _machine = whole_machine();
    for step in 0..8u64 {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let mut run = Guarded(start(&folder));
        assert!(recording_grows(&folder, 0), "a recording appears");
        std::thread::sleep(Duration::from_millis(step * 337));
        let family = descendants(run.0.id());
        run.0.kill().unwrap();
        run.0.wait().unwrap();
        let gone = wait_for(PATIENCE, || !family.iter().any(|p| alive(*p)));
        assert!(gone, "step {step}: of {family:?} some live on");

        let out = dyno().arg("report").arg(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(matches!(out.status.code(), Some(0 | 3 | 5)), "step {step}: {said}");
        assert!(folder.join("report.html").exists());
        assert_eq!(json(&folder.join("summary.json")).unwrap()["end"]["reason"], "cut-off");
    }
}

#[test]
fn the_first_interrupt_drains_and_writes_the_reports() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut run = Guarded(start(&folder));
    assert!(recording_grows(&folder, 20_000), "the run is under way");
    let family = descendants(run.0.id());
    assert!(family.len() >= 4, "supervisor, backend workers, load workers: {family:?}");
    interrupt(&run);
    assert!(wait_for(PATIENCE, || run.0.try_wait().unwrap().is_some()), "it ends");
    assert_eq!(run.0.wait().unwrap().code(), Some(130));
    assert!(wait_for(PATIENCE, || family.iter().all(|p| !alive(*p))), "{family:?}");
    let summary = json(&folder.join("summary.json")).expect("reports are written");
    assert_eq!(summary["end"]["reason"], "interrupted");
}

#[test]
fn the_second_interrupt_aborts() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut run = Guarded(start(&folder));
    assert!(recording_grows(&folder, 20_000));
    let family = descendants(run.0.id());
    interrupt(&run);
    std::thread::sleep(Duration::from_millis(150));
    interrupt(&run);
    assert!(wait_for(PATIENCE, || run.0.try_wait().unwrap().is_some()), "it ends");
    assert_eq!(run.0.wait().unwrap().code(), Some(130));
    assert!(wait_for(PATIENCE, || family.iter().all(|p| !alive(*p))));
}

/// A stopped worker cannot end by itself; the kernel must do it.
#[test]
fn a_backend_killed_with_a_stopped_worker_leaves_nothing() {
    let mut child = dyno()
        .args(["backend", "--listen", "127.0.0.1:0", "--rows", "3000"])
        .env("DYNO_TOKEN", "t")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mut backend = Guarded(child);
    let workers = descendants(backend.0.id());
    assert_eq!(workers.len(), 3, "two of the shop and one of its services: {ready}");
    signal(workers[0], Signal::STOP);
    backend.0.kill().unwrap();
    backend.0.wait().unwrap();
    assert!(wait_for(PATIENCE, || workers.iter().all(|p| !alive(*p))), "{workers:?}");
}
