//! What hostile tests share: a bad session beside a healthy one, and a watch on what a worker takes.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::common::*;
use scenarios::plan::*;

/// The healthy step, and how often its session does it, ms.
const GOOD: u16 = 7;
const GOOD_EVERY_MS: u64 = 20;
/// How long each case runs, ms.
const RUN_MS: u64 = 600;
/// A healthy answer on a busy small machine takes no longer, us; a held-up session would wait for the step's limit.
const GOOD_MAX_US: u64 = 150_000;
/// Runs of a case until the healthy session keeps its pace, and what lies between them: others may have the machine for seconds.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(1);
/// A worker with a handful of sessions stays below this, whatever the server sends, KiB: a kept body may have 8 MiB.
const RESIDENT_MAX_KIB: u64 = 96 << 10;

/// Resident memory of this process's children, KiB, the greatest seen while the test runs.
fn watch_children(stop: Arc<AtomicU64>) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let mut most = 0;
        let own = std::fs::read_link("/proc/self/exe").ok();
        while stop.load(Ordering::Relaxed) == 0 {
            let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
            let children = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
            for pid in children.flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>()) {
                // One that is not its own program yet is a copy of us, servers and all.
                let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
                if exe.is_none() || exe == own {
                    continue;
                }
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

/// The kinds of error of a session that does this at a server of `http`, beside one that does what is right and keeps its pace. A machine
/// that stands still holds that one up now and then, an engine at fault each time; and a stall makes kinds of its own.
pub fn errors_at(name: &str, bad: Vec<Step>, address: SocketAddr, http: HttpVersion) -> String {
    let mut held_up = String::new();
    for nth in 0..TRIES {
        if nth > 0 {
            thread::sleep(BETWEEN);
        }
        match errors_beside(name, bad.clone(), address, http) {
            Ok(kinds) => return kinds,
            Err(why) => held_up = why,
        }
    }
    panic!("{name}: the other session was held up each time: {held_up}");
}

/// One run of it; how the healthy session was held up if it was.
fn errors_beside(
    name: &str,
    bad: Vec<Step>,
    address: SocketAddr,
    http: HttpVersion,
) -> Result<String, String> {
    let mut plan = plan(held(2), RUN_MS, vec![forever(Some(100), bad)]);
    // Some of them never answer.
    plan.timeout_ns = 200 * MS;
    plan.transport.http = http;
    plan.sessions.push(SessionKind {
        name: "good".into(),
        weight: 1,
        steps: vec![forever(Some(GOOD_EVERY_MS), vec![get(GOOD, "/ok")])],
    });
    let totals = run(plan, address, 1);
    assert!(totals.lost.is_empty(), "{name}: {:?}", totals.lost);
    let good = totals.finished.get(&GOOD).copied().unwrap_or(0);
    if good < RUN_MS / GOOD_EVERY_MS / 2 {
        return Err(format!("{good} answers"));
    }
    let slowest = totals.response[&GOOD].max();
    if slowest >= GOOD_MAX_US {
        return Err(format!("{slowest} us"));
    }
    let kinds: Vec<&str> = totals.errors().into_keys().collect();
    Ok(format!("{name} {}", if kinds.is_empty() { "-".to_owned() } else { kinds.join(" ") }))
}

/// Two cases at a time: their time is waiting, but a small machine must keep up with all of them.
pub fn all_of(cases: Vec<impl FnOnce() -> String + std::marker::Send + 'static>) -> String {
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
    eprintln!("the largest worker had {most} KiB");
    assert!(most < RESIDENT_MAX_KIB, "a worker grew to {most} KiB");
    told.join("\n")
}
