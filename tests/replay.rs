//! A run is seen by who did not start it: while it goes on, from this host and from another, and when it is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Guarded, dyno, run, shop, wait_for, whole_machine};
use serde_json::Value;

#[test]
fn a_recording_plays_at_any_speed_from_any_instant() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let run = run(&["--url", &format!("{url}/products"), "--sessions", "5", "--for", "4s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let folder = run.folder.display().to_string();

    let played = dyno().args(["replay", &folder, "--ui", "plain", "--speed", "8"]).output().unwrap();
    let lines = String::from_utf8_lossy(&played.stderr).into_owned();
    assert_eq!(played.status.code(), Some(0), "{lines}");
    assert!(lines.lines().filter(|l| l.contains("p99=")).count() >= 2, "{lines}");

    let late =
        dyno().args(["replay", &folder, "--ui", "json", "--speed", "8", "--at", "3s"]).output().unwrap();
    let first = String::from_utf8_lossy(&late.stderr).lines().next().unwrap().to_owned();
    let snapshot: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(snapshot["run"]["state"], "replaying", "{first}");
    assert!(snapshot["at"].as_u64().unwrap() >= 3_000_000_000, "{}", snapshot["at"]);
    assert!(snapshot["response"]["count"].as_u64().unwrap() > 100, "history is there at once");

    let missing = dyno().args(["replay", "nowhere.dyno"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.dyno"));
}

/// Starts `dyno watch`; its snapshots come as JSON lines.
fn watch(what: &str, more: &[&str]) -> Command {
    let mut command = dyno();
    command.args(["watch", what, "--ui", "json"]).args(more).env_remove("DYNO_WATCH_TOKEN");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn snapshots(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stderr).lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// Both joined late, have the history, and ended with the run, with its summary.
fn saw_it_all(output: &Output, folder: &Path) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let seen = snapshots(output);
    let last = seen.last().unwrap();
    assert_eq!(last["run"]["state"], "done", "{last}");
    assert!(seen.iter().any(|s| s["run"]["state"] == "watching"));
    let first = seen.iter().find_map(|s| s["heat"].as_array().filter(|h| !h.is_empty())).unwrap();
    assert!(first[0]["p50"].as_f64().unwrap() > 0.0, "the run's first second is there");
    assert!(folder.join("summary.json").exists());
    assert_eq!(last["first_column"], 0);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("verdict"), "{stdout}");
}

#[test]
fn a_running_run_is_watched_from_its_first_second_until_its_end() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut run = dyno()
        .args(["run", "--url", &format!("{url}/products"), "--sessions", "5", "--for", "5s"])
        .args(["--serve", "0", "--ui", "none", "--out"])
        .arg(&folder)
        .env_remove("DYNO_WATCH_TOKEN")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = said.find(|l| l.contains("dyno://")).expect("it says where it is served");
    let mut run = Guarded(run);
    let there = line.split(['`', ' ']).find(|w| w.starts_with("dyno://")).unwrap().to_owned();
    let token = folder.join("watch.token").display().to_string();
    let grown = || folder.join("recording.dyno").metadata().is_ok_and(|m| m.len() > 8_000);
    assert!(wait_for(std::time::Duration::from_secs(20), grown), "the run is under way");

    let here = watch(&folder.display().to_string(), &[]).spawn().unwrap();
    let far = watch(&there, &["--token-file", &token]).spawn().unwrap();
    // One that never reads, and one that asks for something else: neither is noticed.
    let mut deaf = std::net::TcpStream::connect(there.trim_start_matches("dyno://")).unwrap();
    write!(deaf, "GET /v1/recording HTTP/1.1\r\n").unwrap();

    let wrong = watch(&there, &[]).env("DYNO_WATCH_TOKEN", "not-the-token-of-this-run").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("refuses the token (401)"));
    let none = watch(&there, &[]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("DYNO_WATCH_TOKEN"));

    assert_eq!(
        run.0.wait().unwrap().code(),
        Some(0),
        "watchers change nothing: {:?}",
        said.collect::<Vec<_>>()
    );
    saw_it_all(&here.wait_with_output().unwrap(), &folder);
    saw_it_all(&far.wait_with_output().unwrap(), &folder);

    let over = watch(&folder.display().to_string(), &[]).output().unwrap();
    assert_eq!(over.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&over.stderr).contains("dyno replay"));

    // The same screens when it is over: sources with their states and ages.
    let folder = folder.display().to_string();
    let played =
        dyno().args(["replay", &folder, "--ui", "json", "--speed", "128", "--at", "4s"]).output().unwrap();
    let seen = snapshots(&played);
    let sources = seen.last().unwrap()["sources"].as_array().unwrap();
    for name in ["host", "process"] {
        let source = sources.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("{sources:?}"));
        assert!(source["age_ns"].as_u64().is_some_and(|age| age < 3_000_000_000), "{source}");
    }
}
