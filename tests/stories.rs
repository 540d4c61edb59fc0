//! Scenarios that tell something else than a fault: a reload that loses nothing, attackers who get nothing, a file that is imported as a stream,
//! what each protection of a cache costs, a generator that says of itself that it was too slow.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, changed, run, run_clean, run_valid, whole_machine};

/// The run of a scenario of the catalogue with these words replaced, which passes.
fn passes(name: &str, changes: &[(&str, &str)]) -> Run {
    let (_dir, scenario) = changed(name, changes);
    let run = run_valid(&[&scenario]);
    let errors = &run.summary()["errors"];
    assert_eq!(run.code(), Some(0), "{}\n{}\n{errors:#}", run.stdout(), run.stderr());
    run
}

#[test]
fn a_rolling_reload_loses_no_request() {
    let _machine = whole_machine();
    // Less before the first reload and after the second; from one to the other as long as ever.
    let short = [
        ("at = \"8s\"", "at = \"6s\""),
        ("at = \"17s\"", "at = \"15s\""),
        ("for = \"27s\"", "for = \"21s\""),
    ];
    let run = passes("rolling-reload", &short);
    let summary = run.summary();
    // Each of two workers was relieved twice, and none died.
    let lane = |name: &str| summary["lanes"][name]["max"].as_f64();
    assert_eq!((lane("process.generation"), lane("process.deaths")), (Some(2.0), Some(0.0)));
}

#[test]
fn attacks_are_refused_and_customers_keep_their_pace() {
    let _machine = whole_machine();
    run_clean("hostile");
}

#[test]
fn a_starved_generator_says_so_and_blames_nobody_else() {
    let _machine = whole_machine();
    let run = run(&["generator-limited"]);
    assert_eq!((run.code(), &run.summary()["verdict"]), (Some(5), &"invalid".into()), "{}", run.stderr());
    assert_eq!(run.kinds(), ["generator-limited"], "{:#}", run.summary()["findings"]);
}

#[test]
fn a_file_is_imported_as_a_stream_while_the_shop_is_open() {
    let _machine = whole_machine();
    passes("csv-import", &[("length = \"30s\"", "length = \"10s\"")]);
}

#[test]
fn a_hot_product_stampedes_where_nothing_protects_it() {
    let _machine = whole_machine();
    // Each phase of 10 s lasts 3 s.
    let run = passes("cache-expiry", &[("for = \"10s\"", "for = \"3s\"")]);
    let found = &run.summary()["findings"];
    assert_eq!(run.kinds().first().map(String::as_str), Some("cache-stampede"), "{found:#}");
    // None before the first expiry of the first phase, and none begins in those that are protected.
    let begun: Vec<f64> = found.as_array().unwrap().iter().filter_map(|f| f["onset_s"].as_f64()).collect();
    assert!(begun.iter().all(|s| (3.0..7.0).contains(s) || *s > 12.0), "{begun:?} {found:#}");
}
