//! `dyno bench` measures, says what is missing, and leaves a file that its table can be made from again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Output;

use common::{dyno, whole_machine};
use serde_json::Value;

/// A quick bench of some rows of the engine where no peer can be found.
fn bench(rows: &str, file: &std::path::Path) -> Output {
    bench_of("engine", rows, file)
}

fn bench_of(subject: &str, rows: &str, file: &std::path::Path) -> Output {
    let mut command = dyno();
    command.args(["bench", subject, "--quick", "--json", "--rows", rows, "--out"]).arg(file);
    command.env("PATH", "").output().unwrap()
}

#[test]
fn a_bench_without_peers_measures_ours_and_says_what_is_missing() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    let output = bench("http-100-get-wrk,http-1000-get-self", &file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["subject"], &report["quick"]), (&"engine".into(), &true.into()));
    assert!(report["peers"]["wrk"].is_null());
    let rows = report["rows"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        rows.iter().map(|r| (r["row"].as_str().unwrap(), r["figure"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("http-1000-get-self", "client CPU for each, ours over self"),
            ("http-1000-get-self", "rate, ours over self"),
            ("http-100-get-wrk", "client CPU for each, ours over wrk"),
            ("http-100-get-wrk", "rate, ours over wrk"),
        ]
    );
    for missing in &rows[2..] {
        assert_eq!((&missing["verdict"], &missing["interval"]), (&"not-measured".into(), &Value::Null));
        assert_eq!(missing["notes"][0], "wrk is missing");
    }
    let samples = rows[0]["samples"].as_array().unwrap();
    assert!(
        samples.len() >= 6 && samples.len().is_multiple_of(2),
        "pairs of three rounds at least: {}",
        samples.len()
    );
    for sample in samples {
        assert_eq!(sample["open"], 1000);
        assert!(sample["done"].as_u64().unwrap() > 0 && sample["cpu_s"].as_f64().unwrap() > 0.0, "{sample}");
        for share in ["steal", "nice", "idle", "others"] {
            assert!((0.0..=1.0).contains(&sample["machine"][share].as_f64().unwrap()), "{sample}");
        }
    }

    let again = dyno().args(["bench", "engine", "--json", "--from"]).arg(&file).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), report);
    let table = dyno().args(["bench", "engine", "--from"]).arg(&file).output().unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("quick: not to be quoted") && table.contains("wrk: missing"), "{table}");
}

#[test]
fn sessions_are_held_and_their_memory_is_counted() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let output = bench("idle-websocket", &dir.path().join("rows.jsonl"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "two sizes and how alike they are");
    for row in &rows[..2] {
        // A socket alone takes more than a hundred bytes; a session of a library's takes five thousand.
        let bytes = row["interval"]["value"].as_f64().unwrap_or_else(|| panic!("{row}"));
        assert!((100.0..5_000.0).contains(&bytes), "{bytes}");
    }
}

#[test]
fn the_backend_stands_beside_itself_unwatched() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let output = bench_of("backend", "plain-agent", &dir.path().join("rows.jsonl"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["subject"], &report["peers"]), (&"backend".into(), &serde_json::json!({})));
    let row = &report["rows"][0];
    let samples = row["samples"].as_array().unwrap();
    assert!(samples.len() >= 6, "three pairs at least: {row}");
    for pair in samples.chunks(2) {
        assert_eq!((&pair[0]["who"], &pair[1]["who"]), (&"shop".into(), &"shop, unwatched".into()));
        for sample in pair {
            assert!(sample["done"].as_u64().unwrap() > 0 && sample["open"].as_u64().unwrap() > 0);
            assert!(sample["cpu_s"].as_f64().unwrap() > 0.0, "{sample}");
        }
    }
}

#[test]
fn the_backend_s_memory_for_sockets_and_imports_is_counted() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let output = bench_of("backend", "idle-websocket,import", &dir.path().join("rows.jsonl"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |name: &str| {
        let row = report["rows"].as_array().unwrap().iter().find(|r| r["row"] == name);
        let row = row.unwrap_or_else(|| panic!("{name} in {report}"));
        row["interval"]["value"].as_f64().unwrap_or_else(|| panic!("{row}"))
    };
    // A read buffer of 128 KB for each is what the shop's sockets are without.
    let (ours, axum) = (figure("idle-websocket"), figure("idle-websocket-axum"));
    assert!((500.0..10_000.0).contains(&ours) && axum > 10.0 * ours, "{ours} and {axum} B");
    // What is read whole is in memory, and more; what is streamed is not.
    let (streamed, whole) = (figure("import-streamed"), figure("import-whole"));
    assert!(streamed < 40.0 && whole > 64.0, "{streamed} and {whole} MB");
}

#[test]
fn what_cannot_be_benched_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench("htp-100", &dir.path().join("rows.jsonl"));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    insta::assert_snapshot!(told);
    let output = bench_of("backend", "plian", &dir.path().join("rows.jsonl"));
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
    let missing = dyno().args(["bench", "engine", "--from", "nowhere.jsonl"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&missing.stderr));
}

#[test]
fn what_a_file_says_is_harmless_on_a_terminal_and_bears_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    let head = serde_json::json!({
        "version": 2, "subject": "engine", "dyno": "\x1b[2J", "started_unix_ms": 0, "quick": true,
        "host": {}, "cores": "halves", "peers": {}, "notes": ["\x1b]0;mine\x07"],
    });
    std::fs::write(&file, format!("{head}\n{{\"row\":\"http")).unwrap();
    let output = dyno().args(["bench", "engine", "--from"]).arg(&file).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("halves") && !told.contains('\x1b'), "{told:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("rows.jsonl was cut off and is left out"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stop_ends_all_its_children() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let mut command = dyno();
    command.args(["bench", "engine", "--quick", "--rows", "http-1000-get-self", "--out"]);
    let child = command.arg(dir.path().join("rows.jsonl")).spawn().unwrap();
    let mut bench = common::Guarded(child);
    let pid = bench.0.id();
    // A target, a run and its worker.
    let patience = std::time::Duration::from_secs(20);
    assert!(common::wait_for(patience, || common::descendants(pid).len() >= 3));
    let children = common::descendants(pid);
    common::signal(pid, rustix::process::Signal::INT);
    assert!(common::wait_for(patience, || bench.0.try_wait().unwrap().is_some()), "it ends");
    assert_eq!(bench.0.wait().unwrap().code(), Some(130));
    assert!(common::wait_for(patience, || !children.iter().any(|&p| common::alive(p))), "and so do they");
}

#[test]
fn a_bench_of_sources_says_what_this_machine_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    let output = bench_of("sources", "node,deno,metrics,otlp,jvm,redis", &file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let told: Vec<String> = rows
        .iter()
        .map(|r| format!("{}: {}", r["row"].as_str().unwrap(), r["notes"][0].as_str().unwrap()))
        .collect();
    let lacks = [
        "node: node",
        "deno: deno",
        "metrics: node",
        "otlp: node",
        "jvm: javac",
        "redis: the package redis-server",
        "node-busy: node",
        "node-page: node",
        "node-pool: node",
    ];
    // Two figures each: the service's, and ours.
    let expected: Vec<String> =
        lacks.iter().flat_map(|l| [format!("{l} is missing"), format!("{l} is missing")]).collect();
    assert_eq!(told, expected);
    assert!(rows.iter().all(|r| r["verdict"] == "not-measured" && !r["target"].is_null()));
}
