//! Every format of a run is read by tools that others wrote, and says the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "formats/ci.rs"]
mod ci;
mod common;
#[path = "formats/hour.rs"]
mod hour;
#[path = "../backend/tests/common/servers/port.rs"]
mod port;
#[path = "readers/python.rs"]
mod python;

use std::path::Path;
use std::process::Command;

use common::{Run, dyno, json, shop_and_probe, whole_machine};

/// Reads all files of the folder named first and prints what they say as one JSON object.
const SCRIPT: &str = r#"
import csv, json, sys, xml.etree.ElementTree as tree
from hdrh.log import HistogramLogReader
from hdrh.histogram import HdrHistogram
from junitparser import JUnitXml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
import jsonschema
folder, schema = sys.argv[1:]
said = {}
summary = json.load(open(f"{folder}/summary.json"))
jsonschema.Draft202012Validator(json.load(open(schema))).validate(summary)
families = {f.name: f for f in text_string_to_metric_families(open(f"{folder}/metrics.txt").read())}
said["openmetrics"] = [s.value for s in families["dyno_steps"].samples if s.labels["step"] == ""][0]
steps = list(csv.DictReader(open(f"{folder}/steps.csv", newline="")))
said["csv"] = float(steps[-1]["count"])
lanes = list(csv.DictReader(open(f"{folder}/lanes.csv", newline="")))
said["lanes"] = len({row["lane"] for row in lanes})
events = list(csv.DictReader(open(f"{folder}/events.csv", newline="")))
said["labelled"] = sum(bool(json.loads(row["labels"])) for row in events)
total = HdrHistogram(1, 3_600_000_000, 3)
reader = HistogramLogReader(f"{folder}/response.hlog", HdrHistogram(1, 3_600_000_000, 3))
while (h := reader.get_next_interval_histogram()) is not None:
    total.add(h)
said["hlog"] = total.get_total_count()
rank = 100 / total.get_total_count()
said["hlog_p99_us"] = [total.get_value_at_percentile(99 - rank), total.get_value_at_percentile(99 + rank)]
said["hlog_max_us"] = total.get_max_value()
said["junit"] = sum(len(suite) for suite in JUnitXml.fromfile(f"{folder}/junit.xml"))
said["junit_again"] = len(list(tree.parse(f"{folder}/junit.xml").iter("testcase")))
print(json.dumps(said))
"#;

#[test]
fn readers_that_others_wrote_agree_with_the_summary() {
    let _machine = whole_machine();
    let out = tempfile::tempdir().unwrap();
    let run = profiled_run(&out.path().join("run"));
    let formats = "json,html,junit,hlog,markdown,csv,openmetrics,pprof";
    let report = dyno()
        .args(["report", &run.folder.display().to_string(), "--format", formats, "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));

    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema/summary.schema.json");
    let python = python::with_packages();
    let said = checked(Command::new(python).args(["-c", SCRIPT]).arg(out.path()).arg(schema));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let summary = json(&out.path().join("summary.json")).unwrap();
    let count = summary["total"]["count"].as_f64().unwrap();
    assert!(count > 100.0);
    for format in ["openmetrics", "csv", "hlog"] {
        assert_eq!(said[format].as_f64(), Some(count), "{format}: {said}");
    }
    // Three digits; and where a percentile lies between two samples, readers differ by one in which they take.
    let us = |name: &str| summary["total"]["response"][name].as_f64().unwrap() / 1e3;
    let (p99, max) = (us("p99"), us("max"));
    let [low, high] = [0, 1].map(|i| said["hlog_p99_us"][i].as_f64().unwrap());
    assert!(low * 0.998 <= p99 && p99 <= high * 1.002, "{p99} us and {low} to {high} us");
    let read = said["hlog_max_us"].as_f64().unwrap();
    assert!((read - max).abs() <= max * 0.002, "three digits: {read} us and {max} us");
    assert_eq!(
        (said["junit"].as_u64(), said["junit_again"].as_u64()),
        (Some(3), Some(3)),
        "two gates and the run"
    );
    assert!(said["lanes"].as_u64().unwrap() > 10, "{said}");
    assert!(said["labelled"].as_u64().unwrap() > 0, "{said}");
    the_same_by_other_readers(out.path(), count, p99);
    the_page_in_a_browser(out.path(), false);
    let markdown = std::fs::read_to_string(out.path().join("report.md")).unwrap();
    assert!(markdown.contains("| errors &lt; 1% | holds |"), "{markdown}");

    let unknown = dyno().args(["report", "x", "--format", "pdf"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("openmetrics"), "it says what there is");
}

/// A run with everything that reports can show: gates, and a profile of the shop.
fn profiled_run(folder: &Path) -> Run {
    let (url, probe, _shop) = shop_and_probe(1);
    // What is cached for a second: each time that it is loaded anew is an event with labels.
    let url = format!("{url}/products/7");
    let output = ci::valid_run(folder, || {
        dyno()
            .args(["run", "--url", &url, "--sessions", "10", "--for", "4s", "--profile=2", "--ui", "none"])
            .args(["--gate", "errors < 1%", "--gate", "p99 < 10s"])
            .args(["--attach", &format!("agent={probe}"), "--out"])
            .arg(folder)
            .env("DYNO_TOKEN", "t")
            .output()
            .unwrap()
    });
    let run = Run::of(folder.to_owned(), output);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    run
}

/// Where `./test` has installed the readers of `tests/readers/package.json`.
fn readers() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers")
}

/// HdrHistogram's, a JUnit and pprof's reader in JavaScript.
fn the_same_by_other_readers(folder: &Path, count: f64, p99_us: f64) {
    let said = checked(Command::new("node").arg(readers().join("read.mjs")).arg(folder));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["hlog"].as_f64(), Some(count), "{said}");
    let [low, high] = [0, 1].map(|i| said["hlog_p99_us"][i].as_f64().unwrap());
    assert!(low * 0.998 <= p99_us && p99_us <= high * 1.002, "{p99_us} us and {low} to {high} us");
    assert_eq!(said["junit"].as_u64(), Some(3), "two gates and the run");
    // The services' process has one, too, if it was met at work.
    let mut profiles = said["profiles"].as_array().unwrap().iter();
    let profile = profiles.find(|p| p["name"] == "cpu-shop-0.pb.gz").unwrap_or_else(|| panic!("{said}"));
    let samples = profile["samples"].as_u64().unwrap();
    // Samples are of CPU time, and a fast machine spends little on ten customers.
    assert!(samples > 0 && profile["types"][0] == "samples", "{profile}");
    assert!(!profile["functions"].as_array().unwrap().is_empty(), "{profile}");
    let folded = std::fs::read_to_string(folder.join("cpu-shop-0.folded")).unwrap();
    let read: u64 = folded.lines().map(|l| l.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
    assert!(read <= samples && read > 0, "{read} of {samples}");
}

/// The page in headless Chromium: on a desk, a phone and paper, light and dark, and what a screen reader is told; only on a desk if
/// `brief`. Gives its first paint, ms.
fn the_page_in_a_browser(folder: &Path, brief: bool) -> f64 {
    let chromium = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find_map(|name| {
            let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().ok()?;
            found.status.success().then(|| String::from_utf8_lossy(&found.stdout).trim().to_owned())
        })
        .expect("chromium is needed for this test: ./test --install");
    let mut node = Command::new("node");
    node.arg(readers().join("page.mjs")).arg(folder.join("report.html")).env("CHROMIUM", chromium);
    if brief {
        node.env("BRIEF", "1");
    }
    if let Some(pictures) = std::env::var_os("DYNO_PICTURES") {
        node.arg(pictures);
    }
    let said = checked(&mut node);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["errors"], serde_json::json!([]), "nothing on the console");
    assert_eq!(said["requests"], serde_json::json!([]), "nothing is fetched");
    for (size, wide) in said["wide"].as_object().unwrap() {
        assert_eq!(wide, 0, "{size} scrolls sideways");
    }
    for (size, bad) in said["contrast"].as_object().unwrap() {
        assert_eq!(bad, &serde_json::json!([]), "{size}: cannot be read");
    }
    assert!(said["charts"].as_u64().unwrap() >= 4, "{said}");
    assert!(said["at_once"].as_u64().unwrap() >= 4, "a picture of the loaded page has its charts: {said}");
    assert_eq!(
        (&said["nameless"], &said["unnamed_regions"]),
        (&serde_json::json!([]), &serde_json::json!(0))
    );
    assert_eq!(said["clock"], serde_json::json!(["00:05", "00:05.9", "00:06", "01:00", "1:00:00"]));
    let headings: Vec<i64> =
        said["headings"].as_array().unwrap().iter().map(|h| h.as_i64().unwrap()).collect();
    assert!(headings[0] == 1 && headings.windows(2).all(|w| w[1] <= w[0] + 1), "{headings:?}");
    assert!(said["lang"] == "en" && (brief || said["pdf_pages"].as_u64().unwrap() >= 1), "{said}");
    said["paint_ms"].as_f64().unwrap_or_else(|| panic!("it is painted: {said}"))
}

fn checked(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e} (./test --install)"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
