//! A server that misbehaves at every stage: each way has a named kind of error, nothing hangs or grows, and the
//! session kind beside it keeps its pace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/server.rs"]
mod server;

mod act;
mod frames;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use scenarios::plan::*;
use server::*;

/// The healthy step, and how often its session does it, ms.
const GOOD: u16 = 7;
const GOOD_EVERY_MS: u64 = 20;
/// How long each case runs, ms.
const RUN_MS: u64 = 600;
/// A healthy answer on a busy small machine takes no longer, us; a held-up session would wait for the step's limit.
const GOOD_MAX_US: u64 = 150_000;
/// A worker with a handful of sessions stays below this, whatever the server sends, KiB: a kept body may have 8 MiB.
const RESIDENT_MAX_KIB: u64 = 96 << 10;

/// Resident memory of this process's children, KiB, the greatest seen while the test runs.
fn watch_children(stop: Arc<AtomicU64>) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let mut most = 0;
        while stop.load(Ordering::Relaxed) == 0 {
            let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
            let children = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
            for pid in children.flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>()) {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
                let kib = line.trim().split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                most = u64::max(most, kib);
            }
            thread::sleep(Duration::from_millis(20));
        }
        most
    })
}

/// The kinds of error of a session that does this, beside one that does what is right.
fn errors(name: &str, bad: Vec<Step>) -> String {
    errors_at(name, bad, serve(act::act), HttpVersion::Http1)
}

/// The same at a server that speaks `http`.
fn errors_at(name: &str, bad: Vec<Step>, address: SocketAddr, http: HttpVersion) -> String {
    let mut plan = plan(held(2), RUN_MS, vec![forever(Some(100), bad)]);
    plan.transport.http = http;
    plan.sessions.push(SessionKind {
        name: "good".into(),
        weight: 1,
        steps: vec![forever(Some(GOOD_EVERY_MS), vec![get(GOOD, "/ok")])],
    });
    let totals = run(plan, address, 1);
    let good = totals.finished.get(&GOOD).copied().unwrap_or(0);
    assert!(good >= RUN_MS / GOOD_EVERY_MS / 2, "{name}: the other session stood still: {good}");
    let slowest = totals.response[&GOOD].max();
    assert!(slowest < GOOD_MAX_US, "{name}: the other session was held up: {slowest} us");
    assert!(totals.lost.is_empty(), "{name}: {:?}", totals.lost);
    let kinds: Vec<&str> = totals.errors().into_keys().collect();
    format!("{name} {}", if kinds.is_empty() { "-".to_owned() } else { kinds.join(" ") })
}

/// Two cases at a time: their time is waiting, but a small machine must keep up with all of them.
fn all(cases: Vec<(&'static str, Vec<Step>)>) -> String {
    all_of(cases.into_iter().map(|(name, steps)| move || errors(name, steps)).collect())
}

fn all_of(cases: Vec<impl FnOnce() -> String + std::marker::Send + 'static>) -> String {
    let stop = Arc::new(AtomicU64::new(0));
    let watcher = watch_children(Arc::clone(&stop));
    let mut told = Vec::new();
    let mut cases = cases.into_iter().peekable();
    while cases.peek().is_some() {
        let pair: Vec<_> = cases.by_ref().take(2).collect();
        let threads: Vec<_> = pair.into_iter().map(thread::spawn).collect();
        told.extend(threads.into_iter().map(|t| t.join().unwrap()));
    }
    stop.store(1, Ordering::Relaxed);
    let most = watcher.join().unwrap();
    assert!(most < RESIDENT_MAX_KIB, "a worker grew to {most} KiB");
    told.join("\n")
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

#[test]
fn frames_that_are_wrong() {
    let paths = [
        "/ws-endless-fragments",
        "/ws-length-top-bit",
        "/ws-drip",
        "/ws-ping-flood",
        "/ws-half-frame",
        "/ws-http",
        "/ws-close-1-byte",
    ];
    let cases = paths.into_iter().map(|path| (path, vec![connect(1, path), say(2, 150)])).collect();
    insta::assert_snapshot!(all(cases));
}
