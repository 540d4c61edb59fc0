//! A process that is stopped and continued, for real: one hiccup, true to its span, and ticks go on.
//!
//! The test starts itself a second time as the process to be stopped.
#![cfg(target_os = "linux")]

#[path = "common/http.rs"]
mod http;
#[path = "common/start.rs"]
mod start;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use timeline::clock::MonoNs;
use timeline::probe::Batch;

use http::{ask, get};
use start::{TOKEN, agent, until};

/// Set in the process that is to be stopped.
const STOPPED: &str = "DYNO_TEST_STOPPED";
/// Where a line of the child begins that names its address.
const ADDRESS: &str = "address ";

/// Ends the child, stopped or not.
struct Target(Child);

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn to_be_stopped() {
    if std::env::var_os(STOPPED).is_some() {
        let agent = agent();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        agent.watch_loop(runtime.handle());
        println!("\n{ADDRESS}{}", agent.addr());
        // Longer than the test lasts; the test kills this process.
        runtime.block_on(async { tokio::time::sleep(Duration::from_secs(120)).await });
    }
}

#[test]
fn a_stop_is_one_hiccup_and_no_stall_of_the_loop() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "to_be_stopped", "--nocapture"])
        .env(STOPPED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut target = Target(child);
    let output = BufReader::new(target.0.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    let addr: SocketAddr = lines.find_map(|l| l.strip_prefix(ADDRESS)?.parse().ok()).unwrap();
    let batch = || -> Batch { serde_json::from_slice(&get(addr, "/v1/instances/shop-0/samples").1).unwrap() };
    until("some ticks", || (batch().ticks.len() >= 10).then_some(()));
    assert_eq!(
        ask(addr, &format!("GET /v1/instances HTTP/1.0\r\nauthorization: Bearer {TOKEN}\r\n\r\n")).0,
        200
    );

    let pid = Pid::from_child(&target.0);
    // It takes effect somewhere between the two instants.
    let send = |signal| {
        let before = MonoNs::now();
        kill_process(pid, signal).unwrap();
        (before, MonoNs::now())
    };
    let (stopping, stopped) = send(Signal::STOP);
    std::thread::sleep(Duration::from_millis(700));
    let (continuing, continued) = send(Signal::CONT);

    // Stalls are judged within two ticks.
    let seen = batch().ticks.last().unwrap().seq;
    let batch = until("ticks afterwards", || {
        Some(batch()).filter(|b| b.ticks.last().is_some_and(|t| t.seq > seen + 5))
    });
    let events: Vec<_> = batch.ticks.iter().flat_map(|t| &t.events).filter(|e| e.end > stopped.0).collect();
    // Before and after, a busy machine has pauses of its own.
    let within = |start: u64, end: u64| end.min(continuing.0).saturating_sub(start.max(stopped.0));
    let long: Vec<_> = events.iter().filter(|e| within(e.start, e.end) > 300_000_000).collect();
    assert_eq!(long.len(), 1, "{events:?}");
    let hiccup = long[0];
    assert_eq!(hiccup.kind, "pause.hiccup");
    // A nap and timers, and what the thread waited for a core besides: the hiccup tells it.
    let near = 60_000_000;
    let waited = hiccup.value as u64;
    assert!(
        stopping.0 <= hiccup.start + near + waited && hiccup.start <= stopped.0 + near,
        "{hiccup:?} {stopping:?} {stopped:?}"
    );
    assert!(
        continuing.0 <= hiccup.end && hiccup.end <= continued.0 + near + waited,
        "{hiccup:?} {continuing:?} {continued:?}"
    );
    assert!(batch.ticks.iter().zip(1..).all(|(t, n)| t.seq == n), "numbers without gap");

    let cpu = batch.lanes.iter().position(|l| l.name == "process.cpu").unwrap() as u32;
    let values: Vec<f64> =
        batch.ticks.iter().skip(2).flat_map(|t| &t.values).filter(|v| v.0 == cpu).map(|v| v.1).collect();
    println!(
        "idle: {:.4} cores over {} ticks",
        values.iter().sum::<f64>() / values.len() as f64,
        values.len()
    );
}
