//! A recorded run plays on the screens of a live one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{dyno, run, shop, whole_machine};

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
