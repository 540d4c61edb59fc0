//! `dyno bench` counts memory, which nobody else changes: it bears company.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::bench;
use serde_json::Value;

#[test]
fn sessions_are_held_and_their_memory_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench("engine", "idle-websocket", &dir.path().join("rows.jsonl"));
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
fn the_backend_s_memory_for_sockets_and_imports_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench("backend", "idle-websocket,import", &dir.path().join("rows.jsonl"));
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
