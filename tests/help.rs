//! Every help text, as a person sees it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::dyno;

fn help(args: &[&str]) -> String {
    let output = dyno().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_of_every_command() {
    for command in [
        "",
        "run",
        "backend",
        "watch",
        "replay",
        "report",
        "explain",
        "score",
        "compare",
        "baseline",
        "baseline save",
        "scenarios",
        "plan",
        "recording",
        "recording trim",
        "recording merge",
        "redact",
        "man",
        "bench engine",
        "bench backend",
        "bench sources",
        "completions",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let name = if command.is_empty() { "dyno".to_owned() } else { command.replace(' ', "-") };
        insta::assert_snapshot!(format!("help-{name}"), help(&args));
    }
}

#[test]
fn the_catalogue_and_the_plan_of_flash_sale() {
    insta::assert_snapshot!("scenarios-list", help(&["scenarios", "list"]));
    insta::assert_snapshot!("plan-flash-sale", help(&["plan", "flash-sale"]));
}

#[test]
fn completions_and_man_page_are_made() {
    assert!(help(&["completions", "bash"]).contains("_dyno"));
    assert!(help(&["man"]).contains(".TH dyno"));
    assert!(help(&["man", "baseline", "save"]).contains(".TH dyno-baseline-save"));
    let folder = tempfile::tempdir().unwrap();
    help(&["man", "--out", &folder.path().display().to_string()]);
    for page in ["dyno.1", "dyno-run.1", "dyno-scenarios-import.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
    assert!(!folder.path().join("dyno-load-worker.1").exists(), "what is hidden has no page");
    let unknown = dyno().args(["man", "runn"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("run, backend"), "it says what there is");
}
