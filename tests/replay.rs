//! A run is seen by who did not start it: while it goes on, from this host and from another, and when it is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{Guarded, dyno, run_valid, shop, wait_for, whole_machine};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;
use timeline::facts::{EndReason, RunEnd, RunMeta};
use timeline::histogram::Sparse;
use timeline::recording::{FILE_NAME, Item, Reader, Writer};
use timeline::snapshot::LogLine;
use timeline::{Entry, Event, LaneId, LaneSpec, Profile, RunTime, Span, Unit};

#[test]
fn a_recording_plays_at_any_speed_from_any_instant() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let run = run_valid(&["--url", &format!("{url}/products"), "--sessions", "5", "--for", "4s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let folder = run.folder.display().to_string();

    // Lines are looked for four times a second; a machine that stands still meanwhile leaves one of the end alone.
    let mut plays = (0..3).map(|_| {
        let played = dyno().args(["replay", &folder, "--ui", "plain", "--speed", "2"]).output().unwrap();
        let lines = String::from_utf8_lossy(&played.stderr).into_owned();
        assert_eq!(played.status.code(), Some(0), "{lines}");
        eprintln!("{lines}"); // shown where the test fails
        lines.lines().filter(|l| l.contains("p99=")).count()
    });
    assert!(plays.any(|lines| lines >= 2), "no more than a line in any of three plays");

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

#[test]
fn who_does_not_read_the_lines_does_not_hold_up_the_end() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/leak");
    let (unread, mut full) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&full).unwrap();
    fcntl_setfl(&full, flags | OFlags::NONBLOCK).unwrap();
    while full.write_all(&[b'\n'; 4_096]).is_ok() {}
    fcntl_setfl(&full, flags).unwrap();
    let mut command = dyno();
    command.arg("replay").arg(&recorded).args(["--ui", "json", "--speed", "128"]);
    let mut replay = Guarded(command.stdout(Stdio::null()).stderr(full).spawn().unwrap());
    let ended = wait_for(Duration::from_secs(20), || replay.0.try_wait().unwrap().is_some());
    assert!(ended, "it waits for somebody who never reads");
    assert_eq!(replay.0.wait().unwrap().code(), Some(0));
    drop(unread);
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Secrets of every kind that a recording may hold; each has `zorblax` in it, or is the address.
const ADDRESS: &str = "10.98.76.54";

fn planted_meta(meta: &RunMeta) -> RunMeta {
    RunMeta {
        scenario: "zorblax.toml".to_owned(),
        about: "the sale of zorblax".to_owned(),
        scenario_text: "headers = { X-Zorblax = \"zorblax\" }\n[target]\nenv = { ZORBLAX = \"1\" }\n"
            .to_owned(),
        target: format!("https://zorblaxuser:zorblaxpw@{ADDRESS}:8443/zorblax"),
        bundled: false,
        attached: vec![
            format!("agent of zorblax at http://{ADDRESS}:1: 2 processes"),
            "zorblax: x".to_owned(),
        ],
        gates: vec![
            "errors < 90%".to_owned(),
            "p99 < 1h for GET /zorblax/cart".to_owned(),
            "pool.zorblax.waiters max < 999999".to_owned(),
        ],
        host: vec![
            ("cores".to_owned(), "2".to_owned()),
            ("kernel".to_owned(), "zorblax".to_owned()),
            ("memory".to_owned(), "zorblax".to_owned()),
        ],
        notes: vec!["zorblax by zorblaxuser".to_owned()],
        ..meta.clone()
    }
}

/// Lanes, events and a profile that say everything that must not be said.
fn planted(first: u32) -> Vec<Entry> {
    let mut lane = first;
    let mut out = Vec::new();
    let mut add = |spec: LaneSpec, values: bool| {
        out.push(Entry::Lane(LaneId(lane), spec));
        if values {
            out.push(Entry::Sample { lane: LaneId(lane), at: RunTime::from_ms(900), value: 1.0 });
        } else {
            let span = Span::new(RunTime::ZERO, RunTime::from_ms(900));
            out.push(Entry::Histogram { lane: LaneId(lane), span, cells: Sparse { cells: vec![(10, 1)] } });
        }
        lane += 1;
    };
    let rate = |name: &str, subject: &str| {
        LaneSpec::rate(name, format!("zorblax-{ADDRESS}"), Unit::Count).about(subject)
    };
    add(rate("db.calls", "SELECT zorblax FROM zorblax_table WHERE zorblax_id = 'zorblax' AND x = 7"), true);
    add(rate("db.table-scans", "zorblax_table"), true);
    add(rate("server.requests", "GET /zorblax/{id}"), true);
    add(rate("client.errors", "zorblax: refused"), true);
    add(rate("pool.zorblax.waiters", ""), true);
    add(rate("downstream.zorblax.example.calls", ""), true);
    add(rate("zorblax.custom", "zorblax"), true);
    add(rate("loop.resources", "zorblax@home"), true);
    add(LaneSpec::histogram("client.response", "gen-0").about("GET /zorblax/cart"), false);
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    out.push(Entry::Event(Event {
        kind: "cache.refresh".to_owned(),
        instance: "zorblax-host".to_owned(),
        start: RunTime::from_ms(100),
        end: RunTime::from_ms(200),
        labels: vec![
            label("cache", "zorblax"),
            label("key", "user:zorblax"),
            label("stack", "zorblax.js:3"),
            label("peer", ADDRESS),
            label("what", "zorblax"),
            label("zorblax", "zorblax"),
        ],
        value: 1.0,
        others: 0,
    }));
    let span = Span::new(RunTime::from_ms(100), RunTime::from_ms(600));
    out.push(Entry::Profile(Profile {
        instance: "zorblax".to_owned(),
        span,
        pprof: b"\x32\x07zorblax".to_vec(),
    }));
    out
}

/// A copy of a recorded run with secrets planted in it.
fn plant(from: &Path, to: &Path) {
    let mut writer = None;
    let (mut lanes, mut last) = (0, RunTime::ZERO);
    for item in Reader::open(from).unwrap() {
        match (item, &mut writer) {
            (Item::Meta(meta), None) => {
                writer = Some(Writer::create(to, &planted_meta(&meta)).unwrap());
            }
            (Item::Entry(entry), Some(writer)) => {
                match &entry {
                    Entry::Lane(..) => lanes += 1,
                    Entry::Tick(at) => last = *at,
                    _ => {}
                }
                writer.add(&entry).unwrap();
            }
            _ => {}
        }
    }
    let mut writer = writer.unwrap();
    planted(lanes).iter().for_each(|e| writer.add(e).unwrap());
    writer.log(LogLine { at: RunTime::ZERO, text: "zorblax connected".to_owned(), source: None });
    writer.add(&Entry::Tick(last + Duration::from_millis(500))).unwrap();
    let notes = vec!["zorblax went away".to_owned()];
    let end = RunEnd { reason: EndReason::Completed, at: RunTime::from_ms(15_000), notes };
    writer.finish(&end).unwrap();
}

fn explained(run: &Path) -> Value {
    let output = dyno().arg("explain").arg(run).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is found, how sure, since when, and how it hangs together.
fn story(explained: &Value) -> Vec<String> {
    let findings = explained["findings"].as_array().unwrap();
    let of = |f: &Value| {
        ["id", "kind", "severity", "status", "onset", "found_at", "caused_by"]
            .map(|k| f[k].to_string())
            .join(" ")
    };
    findings.iter().map(of).collect()
}

#[test]
fn a_redacted_run_tells_the_same_story_without_a_name() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/missing-index");
    let dir = tempfile::tempdir().unwrap();
    let planted = dir.path().join("planted.dyno");
    plant(&recorded, &planted);
    let out = dir.path().join("shared");
    let output = dyno().arg("redact").arg(&planted).arg("--out").arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    let (before, after) = (explained(&planted), explained(&out));
    assert!(before["findings"].as_array().unwrap().iter().any(|f| f["kind"] == "slow-query"), "{before:#}");
    assert_eq!(story(&after), story(&before));
    let claim = |e: &Value| e["findings"].to_string();
    assert!(claim(&after).contains("statement-"), "{}", claim(&after));

    let mut files = 0;
    for file in std::fs::read_dir(&out).unwrap() {
        let path = file.unwrap().path();
        let bytes = if path.ends_with(FILE_NAME) {
            Reader::open(&path).unwrap().unpacked()
        } else {
            std::fs::read(&path).unwrap()
        };
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for secret in ["zorblax", ADDRESS, "purchase"] {
            let place = text.find(secret).map(|at| {
                &text[text.floor_char_boundary(at.saturating_sub(80))..text.ceil_char_boundary(at + 80)]
            });
            assert_eq!(place, None, "{secret} in {}", path.display());
        }
        files += 1;
    }
    assert_eq!(files, 6, "recording, summary, page, JUnit, two logs");
    let gates: Vec<String> = Reader::open(&out)
        .unwrap()
        .find_map(|i| if let Item::Meta(m) = i { Some(m.gates) } else { None })
        .unwrap();
    assert_eq!(gates, ["errors < 90%", "p99 < 1h for step-1", "pool.pool-1.waiters max < 999999"]);
    let again = dyno().arg("redact").arg(&planted).arg("--out").arg(&out).output().unwrap();
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
}

#[test]
fn recordings_are_looked_into_cut_and_joined() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/leak");
    let dir = tempfile::tempdir().unwrap();
    let recording = |args: &[&str]| dyno().arg("recording").args(args).output().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let whole = recorded.display().to_string();
    let (a, b, joined) = (path("a.dyno"), path("b"), path("joined.dyno"));
    for args in [
        vec!["trim", &whole, "--to", "8s", "--out", &a],
        vec!["trim", &whole, "--from", "8s", "--out", &b],
        vec!["merge", &b, &a, "--out", &joined],
        vec!["verify", &joined],
    ] {
        let output = recording(&args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
    }
    let info =
        |run: &str| -> Value { serde_json::from_slice(&recording(&["info", run, "--json"]).stdout).unwrap() };
    let (all, piece, joined) = (info(&whole), info(&a), info(&joined));
    for what in ["lanes", "samples", "histogram_intervals", "events"] {
        assert!(piece[what].as_u64() <= all[what].as_u64());
        let (some, all) = (joined[what].as_f64().unwrap(), all[what].as_f64().unwrap());
        // An interval that lies over the cut is in neither piece.
        assert!(some <= all * 1.01 && some >= all * 0.95, "{what}: {some} of {all}");
    }
    assert_eq!(piece["last_second"].as_f64().unwrap().round(), 8.0);

    let backwards = recording(&["trim", &whole, "--from", "9s", "--to", "3s", "--out", &path("x.dyno")]);
    assert_eq!(backwards.status.code(), Some(2), "{}", said(&backwards));
    let outside = recording(&["trim", &whole, "--from", "90s", "--out", &path("x.dyno")]);
    assert_eq!(outside.status.code(), Some(2));
    assert!(said(&outside).contains("it goes from 0 s to"), "{}", said(&outside));
    let used = recording(&["trim", &whole, "--out", &a]);
    assert!(said(&used).contains("nothing is overwritten"), "{}", said(&used));

    let mut bytes = std::fs::read(&a).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&a, bytes).unwrap();
    let bent = recording(&["verify", &a]);
    assert_eq!(bent.status.code(), Some(2));
    let text = said(&bent);
    assert!(
        text.contains("at byte ") && text.contains("; it held ") && text.contains(" of the run"),
        "{text}"
    );
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
    let summary = common::json(&folder.join("summary.json")).unwrap();
    assert_eq!(last["load"]["requests"], summary["total"]["count"], "every request of the run was seen");
    assert_eq!(last["first_column"], 0);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("verdict"), "{stdout}");
}

/// A run of the server at `url` that is served: its exit code and what it still said once it was, then what they saw who watched it from this
/// host and from another.
fn watched(url: &str, folder: &Path) -> (Option<i32>, Vec<String>, [Output; 2]) {
    let mut run = dyno()
        .args(["run", "--url", &format!("{url}/products"), "--sessions", "5", "--for", "6s"])
        .args(["--serve", "0", "--ui", "none", "--out"])
        .arg(folder)
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
    let grown = || folder.join("recording.dyno").metadata().is_ok_and(|m| m.len() > 3_000);
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

    let code = run.0.wait().unwrap().code();
    (code, said.collect(), [here, far].map(|who| who.wait_with_output().unwrap()))
}

#[test]
fn a_running_run_is_watched_from_its_first_second_until_its_end() {
    let _machine = whole_machine();
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let mut folder = dir.path().join("run-1");
    let (mut code, mut said, mut saw) = watched(&url, &folder);
    // As `run_valid` does: the machine may have starved the run, or whoever watches it until it was over.
    let has_joined = |one: &Output| snapshots(one).iter().any(|s| s["run"]["state"] == "watching");
    for again in 2..=3 {
        if code != Some(5) && saw.iter().all(has_joined) {
            break;
        }
        eprintln!("the run was invalid, or over too soon: {said:?}; run again ({again})");
        folder = dir.path().join(format!("run-{again}"));
        (code, said, saw) = watched(&url, &folder);
    }
    assert_eq!(code, Some(0), "watchers change nothing: {said:?}");
    saw.iter().for_each(|one| saw_it_all(one, &folder));

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
