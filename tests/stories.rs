//! Scenarios that tell something else than a fault: a reload that loses nothing, attackers who get nothing, a generator that
//! says of itself that it was too slow.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{changed, run, run_clean, run_valid, whole_machine};

#[test]
fn a_rolling_reload_loses_no_request() {
    let _machine = whole_machine();
    // Less before the first reload and after the second; from one to the other as long as ever.
    let short = [
        ("at = \"8s\"", "at = \"6s\""),
        ("at = \"17s\"", "at = \"15s\""),
        ("for = \"27s\"", "for = \"21s\""),
    ];
    let (_dir, scenario) = changed("rolling-reload", &short);
    let run = run_valid(&[&scenario]);
    let summary = run.summary();
    assert_eq!(run.code(), Some(0), "{}\n{}\n{:#}", run.stdout(), run.stderr(), summary["errors"]);
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
    let (_dir, scenario) = changed("csv-import", &[("length = \"30s\"", "length = \"10s\"")]);
    let run = run_valid(&[&scenario]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
}

#[test]
fn a_hot_product_stampedes_where_nothing_protects_it() {
    let _machine = whole_machine();
    // Each phase of 10 s lasts 3 s.
    let (_dir, scenario) = changed("cache-expiry", &[("for = \"10s\"", "for = \"3s\"")]);
    let run = run_valid(&[&scenario]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let found = &run.summary()["findings"];
    assert_eq!(run.kinds().first().map(String::as_str), Some("cache-stampede"), "{found:#}");
    // None before the first expiry of the first phase, and none begins in those that are protected.
    let begun: Vec<f64> = found.as_array().unwrap().iter().filter_map(|f| f["onset_s"].as_f64()).collect();
    assert!(begun.iter().all(|s| (3.0..7.0).contains(s) || *s > 12.0), "{begun:?} {found:#}");
}
