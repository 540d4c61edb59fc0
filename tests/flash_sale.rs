//! The promise of the README: one command names the stampede as the cause and the full pool as its
//! consequence, in time. Its scenario is cut short, as many shoppers for a part of the time. Clean twins of its faults are judged
//! in `catalogue.rs` and from recordings.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{changed, kinds, run_valid, whole_machine};

/// From the true onset to the finding, seconds.
const TIME_TO_FIND: f64 = 3.0;
/// As great a part of the sale is under the fault, which begins once all shoppers have been there for four seconds.
const SHORT: [(&str, &str); 3] =
    [("at = \"20s\"", "at = \"14s\""), ("for = \"20s\"", "for = \"6s\""), ("for = \"50s\"", "for = \"15s\"")];

#[test]
fn flash_sale_names_the_stampede_and_the_pool_as_its_consequence() {
    let _machine = whole_machine();
    let (_dir, scenario) = changed("flash-sale", &SHORT);
    let run = run_valid(&[&scenario]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let summary = run.summary();
    assert_eq!(summary["verdict"], "pass");

    let findings = summary["findings"].as_array().unwrap();
    let first = &findings[0];
    assert_eq!(first["kind"], "cache-stampede", "{findings:#?}");
    assert_eq!(first["subject"], "product:7");
    assert!(first["caused_by"].is_null());
    let pool = findings.iter().find(|f| f["kind"] == "pool-saturated").expect("the pool fills");
    assert_eq!(pool["caused_by"], first["id"]);

    let onset = run.onset_s("stampede");
    let found = first["found_at"].as_u64().unwrap() as f64 / 1e9;
    assert!((0.0..=TIME_TO_FIND).contains(&(found - onset)), "onset {onset:.2} s, found {found:.2} s");
    eprintln!("time to find: {:.2} s", found - onset);

    let open = summary["lanes"]["client.open-sessions"]["max"].as_f64().unwrap();
    assert!(open >= 5_000.0, "{open} sessions at once");
    for file in ["report.html", "junit.xml", "recording.dyno", "truth.jsonl"] {
        assert!(run.folder.join(file).metadata().unwrap().len() > 0, "{file}");
    }

    // The same reports again, from the recording alone.
    let again = tempfile::tempdir().unwrap();
    let status = common::dyno()
        .arg("report")
        .arg(run.folder.join("recording.dyno"))
        .arg("--out")
        .arg(again.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let replayed = common::json(&again.path().join("summary.json")).unwrap();
    assert_eq!(kinds(&replayed), kinds(&summary));
    assert_eq!(replayed["findings"], summary["findings"], "live and replayed findings are the same");
    assert_eq!(replayed["steps"], summary["steps"]);
    assert_eq!(replayed["lanes"], summary["lanes"]);
}
