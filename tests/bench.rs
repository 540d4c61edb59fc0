//! `dyno bench` measures, says what is missing, and leaves a file that its table can be made from again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{bench, dyno, whole_machine};
use serde_json::Value;

#[test]
fn a_bench_without_peers_measures_ours_and_says_what_is_missing() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    let output = bench("engine", "http-100-get-wrk,http-1000-get-self", &file);
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
fn the_backend_stands_beside_itself_unwatched() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let output = bench("backend", "plain-agent", &dir.path().join("rows.jsonl"));
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
fn what_cannot_be_benched_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench("engine", "htp-100", &dir.path().join("rows.jsonl"));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    insta::assert_snapshot!(told);
    let output = bench("backend", "plian", &dir.path().join("rows.jsonl"));
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
    let output = bench("sources", "node,deno,bun,metrics,otlp,jvm,redis", &file);
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
        "bun: bun",
        "metrics: node",
        "otlp: node",
        "jvm: javac",
        "redis: the package redis-server",
        "node-busy: node",
        "node-page: node",
        "node-full: node",
        "node-pool: node",
    ];
    // Two figures each: the service's, and ours.
    let expected: Vec<String> =
        lacks.iter().flat_map(|l| [format!("{l} is missing"), format!("{l} is missing")]).collect();
    assert_eq!(told, expected);
    assert!(rows.iter().all(|r| r["verdict"] == "not-measured" && !r["target"].is_null()));
}
