//! Comparing recorded runs from the command line, keeping baselines, and every way to ask for nonsense.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::{dyno, renamed, run_valid, whole_machine};
use serde_json::Value;

/// Some seconds of a few customers; `name` is the scenario's.
fn scenario(folder: &Path, name: &str, length: &str) -> PathBuf {
    let path = folder.join(format!("{name}.toml"));
    let text = "about = 'a few customers'\n[target]\nurl = 'bundled'\n[[phase]]\nname = 'steady'\nfor = 'LENGTH'\nsessions = 20\n\
        [[session]]\nname = 'browser'\nsteps = [{ repeat = 'until-end', every = '50ms', steps = [{ name = 'list', get = '/products' }] }]\n";
    std::fs::write(&path, text.replace("LENGTH", length)).unwrap();
    path
}

/// A run of it.
fn recorded(folder: &Path, name: &str, length: &str) -> PathBuf {
    let _machine = whole_machine();
    let path = scenario(folder, name, length);
    let run = run_valid(&[path.to_str().unwrap()]);
    let kept = folder.join(name);
    std::fs::create_dir(&kept).unwrap();
    std::fs::copy(run.folder.join("recording.dyno"), kept.join("recording.dyno")).unwrap();
    kept
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    dyno().current_dir(folder).args(arguments).output().unwrap()
}

/// Standard output of a call that must end with `code`.
fn told(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_baseline_is_kept_listed_shown_and_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Long enough that its figures can be compared.
    let recorded = recorded(at, "customers", "7s");
    renamed(&recorded, &at.join("like"));
    renamed(&at.join("like"), &at.join("new"));
    let path = recorded.to_str().unwrap();
    let saved = told(at, &["baseline", "save", "main", path, "like", path], 0);
    assert_eq!(saved, "kept 2 runs as main in dyno-baselines\n", "a run that is given twice is kept once");
    assert!(told(at, &["baseline", "list"], 0).starts_with("main  customers, 2 runs, "));
    let shown = told(at, &["baseline", "show", "main"], 0);
    assert_eq!(shown.lines().count(), 3, "two runs and their noise: {shown}");
    assert!(shown.contains("(standard deviation): response p50 "), "{shown}");

    let words = told(at, &["compare", "main", "new"], 0);
    assert!(words.contains("verdict: "), "{words}");
    let json: Value = serde_json::from_str(&told(at, &["compare", "main", "new", "--json"], 0)).unwrap();
    assert_eq!(
        (json["base"]["runs"].as_array().unwrap().len(), &json["findings"]),
        (2, &Value::Array(Vec::new()))
    );
    // A run against its like did not move.
    let moved = json["rows"].as_array().unwrap().iter().filter_map(|row| row["change"]["value"].as_f64());
    assert!(moved.clone().count() > 5 && moved.clone().all(|v| v.abs() < 1e-9), "{json:#}");
    assert!(told(at, &["compare", "main", "new", "--markdown"], 0).starts_with("### dyno compare: "));

    let lines = told(at, &["compare", path, "new", "--noise", "main", "--json", "--html", "page.html"], 0);
    let json: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(json["noise"]["runs"].as_array().unwrap().len(), 2);
    let page = std::fs::read_to_string(at.join("page.html")).unwrap();
    assert!(
        page.contains("\"title\":\"Response time: p99\"") && page.ends_with("</html>"),
        "{} bytes",
        page.len()
    );

    // Saved again, what was there goes.
    assert_eq!(told(at, &["baseline", "save", "main", path], 0), "kept 1 run as main in dyno-baselines\n");
    assert_eq!(told(at, &["baseline", "show", "main"], 0).lines().count(), 2);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Whatever is in them: they are refused.
    let (one, two) = (recorded(at, "customers", "2s"), recorded(at, "others", "2s"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let cut_off = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/leak");
    let cut_off = cut_off.to_str().unwrap();
    told(at, &["baseline", "save", "main", one], 0);
    std::fs::create_dir(at.join("empty")).unwrap();
    std::fs::write(at.join("no-run.dyno"), "not a recording").unwrap();
    // Counted before any is read.
    std::fs::create_dir(at.join("many")).unwrap();
    (0..101).for_each(|n| std::fs::write(at.join(format!("many/{n}.dyno")), "").unwrap());
    let mut text = String::new();
    for arguments in [
        &["compare", "mian", one][..],
        &["compare", "nothing-like-it", one],
        &["compare", one, two],
        &["compare", one, one],
        &["compare", cut_off, cut_off],
        &["compare", "empty", one],
        &["compare", "no-run.dyno", one],
        &["baseline", "save", "../out", one],
        &["baseline", "save", "other", one, two],
        &["baseline", "save", "other", "many", "many"],
        &["baseline", "show", "other"],
    ] {
        let output = run(at, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = arguments.join(" ").replace(one, "ONE").replace(two, "TWO").replace(cut_off, "CUT-OFF");
        text += &format!("$ dyno {said}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    insta::assert_snapshot!(text);
    assert!(!at.join("out").exists());
}
