//! A server that misbehaves at every stage: each way has a named kind of error, nothing hangs or grows, and the
//! session kind beside it keeps its pace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/server.rs"]
mod server;

mod act;
mod beside;

use beside::{all_of, errors_at};
use common::*;
use scenarios::plan::*;
use server::*;

/// The kinds of error of a session that does this, beside one that does what is right.
fn errors(name: &str, bad: Vec<Step>) -> String {
    errors_at(name, bad, serve(act::act), HttpVersion::Http1)
}

fn all(cases: Vec<(&'static str, Vec<Step>)>) -> String {
    all_of(cases.into_iter().map(|(name, steps)| move || errors(name, steps)).collect())
}

/// Requests whose answer is read but not kept.
fn counted(paths: &[&'static str]) -> Vec<(&'static str, Vec<Step>)> {
    paths.iter().map(|path| (*path, vec![get(0, path)])).collect()
}

/// Requests whose answer is kept for a check.
fn kept(paths: &[&'static str]) -> Vec<(&'static str, Vec<Step>)> {
    let step = |path: &&'static str| {
        let mut request = request(0, "GET", path);
        request.checks.push(Check::Body(TextTest::Contains("whole".to_owned())));
        (*path, vec![Step::Request(Box::new(request))])
    };
    paths.iter().map(step).collect()
}

#[test]
fn connections_that_end_or_stay_silent() {
    insta::assert_snapshot!(all(counted(&[
        "/reset-at-once",
        "/reset-in-status",
        "/reset-in-fields",
        "/reset-in-chunk-size",
        "/close-in-trailer",
        "/half-close-silent",
        "/half-close-after-answer",
        "/never",
    ])));
}

#[test]
fn lengths_that_are_wrong() {
    insta::assert_snapshot!(all(counted(&[
        "/short",
        "/long",
        "/length-overflow",
        "/length-list",
        "/length-hex",
        "/length-and-chunks",
        "/chunk-overflow",
        "/chunk-negative",
    ])));
}

#[test]
fn what_does_not_end() {
    let mut cases = counted(&[
        "/endless-fields",
        "/endless-field",
        "/endless-status",
        "/endless-chunk-extension",
        "/endless-trailer",
        "/interim-flood",
    ]);
    cases.extend(kept(&["/endless-chunks", "/endless-body"]));
    insta::assert_snapshot!(all(cases));
}

#[test]
fn what_comes_byte_by_byte() {
    insta::assert_snapshot!(all(counted(&["/drip-status", "/drip-body", "/drip-chunks"])));
}

#[test]
fn text_that_is_none() {
    insta::assert_snapshot!(all(counted(&[
        "/nul-in-status",
        "/escape-in-status",
        "/nul-in-field",
        "/escape-in-field",
        "/latin-in-field",
        "/status-99",
        "/status-9999",
        "/old-version",
        "/folded",
        "/space-before-colon",
    ])));
}

#[test]
fn answers_that_nobody_asked_for() {
    insta::assert_snapshot!(all(counted(&["/twice", "/switch"])));
}

/// Streams on which an event is awaited that never comes.
fn streams(paths: &[&'static str], reconnect: bool) -> Vec<(&'static str, Vec<Step>)> {
    let steps = |path: &&'static str| {
        let options = StreamOptions { reconnect, ..StreamOptions::default() };
        let open = OpenEvents { id: StepId(1), path: text(path), headers: Vec::new(), options };
        let wait = AwaitEvent {
            id: StepId(2),
            kind: Some("never".to_owned()),
            what: None,
            judgement: Judgement::default(),
            within_ns: 150 * MS,
        };
        (*path, vec![Step::OpenEvents(Box::new(open)), Step::AwaitEvent(Box::new(wait))])
    };
    paths.iter().map(steps).collect()
}

#[test]
fn event_streams_that_are_none() {
    insta::assert_snapshot!(all(streams(
        &[
            "/sse-refused",
            "/sse-page",
            "/sse-no-type",
            "/sse-nothing",
            "/sse-moved",
            "/sse-half-head",
            "/sse-no-head",
            "/sse-zstd",
        ],
        false
    )));
}

#[test]
fn event_streams_that_end_or_stay_silent() {
    let mut cases = streams(
        &[
            "/sse-ends",
            "/sse-empty",
            "/sse-short",
            "/sse-cut-chunk",
            "/sse-bad-chunk",
            "/sse-silent",
            "/sse-drip",
            "/sse-reset",
            "/sse-not-gzip",
        ],
        false,
    );
    // Opened again after three seconds, which nobody waits for here.
    cases.extend(streams(&["/sse-ends", "/sse-reset", "/sse-bad-chunk"], true));
    insta::assert_snapshot!(all(cases));
}

#[test]
fn event_streams_that_do_not_end() {
    insta::assert_snapshot!(all(streams(
        &[
            "/sse-endless-line",
            "/sse-endless-event",
            "/sse-comment-flood",
            "/sse-event-flood",
            "/sse-id-flood",
            "/sse-garbage",
            "/sse-bomb",
        ],
        true
    )));
}

#[test]
fn frames_that_are_wrong() {
    let paths = [
        "/ws-endless-fragments",
        "/ws-length-top-bit",
        "/ws-drip",
        "/ws-ping-flood",
        "/ws-message-flood",
        "/ws-half-frame",
        "/ws-http",
        "/ws-close-1-byte",
    ];
    let cases = paths.into_iter().map(|path| (path, vec![connect(1, path), say(2, 150)])).collect();
    insta::assert_snapshot!(all(cases));
}
