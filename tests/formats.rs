//! Every format of a run is read by tools that others wrote, and says the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "formats/ci.rs"]
mod ci;
mod common;

use std::path::Path;
use std::process::Command;

use common::{dyno, json, run, shop, whole_machine};

/// Readers from PyPI: OpenMetrics by Prometheus's own parser, histograms by HdrHistogram's, JUnit, JSON Schema.
const READERS: [&str; 4] = ["prometheus-client", "hdrhistogram", "junitparser", "jsonschema"];

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
    let (url, _shop) = shop(1);
    let gate = ["--gate", "errors < 1%", "--gate", "p99 < 10s"];
    let url = format!("{url}/products?page=1");
    let run = run(&[&["--url", &url, "--sessions", "10", "--for", "3s"], &gate[..]].concat());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let formats = "json,html,junit,hlog,markdown,csv,openmetrics";
    let out = tempfile::tempdir().unwrap();
    let report = dyno()
        .args(["report", &run.folder.display().to_string(), "--format", formats, "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));

    let venv = tempfile::tempdir().unwrap();
    let python = python_with(&READERS, venv.path());
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema/summary.schema.json");
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
    let markdown = std::fs::read_to_string(out.path().join("report.md")).unwrap();
    assert!(markdown.contains("| errors &lt; 1% | holds |"), "{markdown}");

    let unknown = dyno().args(["report", "x", "--format", "pdf"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("openmetrics"), "it says what there is");
}

/// The Python of a new environment with these packages in it.
fn python_with(packages: &[&str], folder: &Path) -> std::path::PathBuf {
    checked(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let python = folder.join("bin/python");
    checked(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    );
    python
}

fn checked(command: &mut Command) -> String {
    let output = command.output().expect("python3 is needed for this test: ./test --install");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
