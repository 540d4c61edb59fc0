//! The dashboard with a made-up flash sale, to look at and to measure.
//!
//! `cargo run -p dynamometer-dashboard --example demo -- [--from SECOND] [--lanes N] [--ascii] [--mouse] [--for SECONDS] [--panic]`
//!
//! `--panic` panics on another thread after two seconds, to see that the terminal comes back. When it ends it says on standard output how much CPU the dashboard's own thread took.

#[path = "../tests/screen/fixture.rs"]
#[expect(dead_code, reason = "the tests use all of it, the demo a part")]
mod fixture;

use std::fs;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dashboard::app::{Capabilities, UiCommand};
use dashboard::tui::{self, TuiOptions};
use timeline::MonoNs;
use timeline::clock::RunTime;
use timeline::snapshot::{LaneView, RunState, Snapshot};

/// Time from one snapshot to the next, milliseconds.
const TICK_MS: u64 = 250;

struct Args {
    from: u64,
    lanes: usize,
    length: Option<u64>,
    ascii: bool,
    mouse: bool,
    panic: bool,
}

fn args() -> Args {
    let mut out = Args { from: 30, lanes: 0, length: None, ascii: false, mouse: false, panic: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|w| w.parse::<u64>().ok());
        match word.as_str() {
            "--from" => out.from = number().unwrap_or(out.from),
            "--lanes" => out.lanes = number().unwrap_or(0) as usize,
            "--for" => out.length = number(),
            "--ascii" => out.ascii = true,
            "--mouse" => out.mouse = true,
            "--panic" => out.panic = true,
            other => eprintln!("unknown: {other}"),
        }
    }
    out
}

/// The flash sale at an instant, with as many lanes as asked for.
fn snapshot(ms: u64, seq: u64, lanes: usize, state: RunState) -> Arc<Snapshot> {
    let mut s = fixture::flash_sale(ms / 1_000);
    (s.seq, s.at, s.run.state) = (seq, RunTime::from_ms(ms), state);
    for i in s.lanes.len()..lanes {
        let twin: LaneView = s.lanes[i % s.lanes.len()].clone();
        s.lanes.push(LaneView { name: format!("demo.{i}"), ..twin });
    }
    Arc::new(s)
}

/// CPU time of the dashboard's thread so far, nanoseconds.
fn dashboard_cpu_ns() -> Option<u64> {
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "dashboard" {
            return read("schedstat").split_whitespace().next()?.parse().ok();
        }
    }
    None
}

fn main() -> std::io::Result<()> {
    let args = args();
    let capabilities = Capabilities { load: true, marker: true, report: true, replay: None };
    let options = TuiOptions { ascii: args.ascii, mouse: args.mouse, capabilities, ..TuiOptions::default() };
    let newest = Arc::new(Mutex::new(snapshot(args.from * 1_000, 0, args.lanes, RunState::Running)));
    let shared = Arc::clone(&newest);
    let feed = move || Arc::clone(&shared.lock().expect("nobody panics with the lock held"));
    let (tx, rx) = sync_channel(8);
    let started = MonoNs::now();
    let handle = tui::run(options, feed, tx)?;
    if args.panic {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(2));
            panic!("asked for with --panic");
        });
    }
    let mut cpu = 0;
    let mut state = RunState::Running;
    let mut seq = 0;
    while !handle.is_finished() {
        thread::sleep(Duration::from_millis(TICK_MS));
        seq += 1;
        let ran = started_for(started);
        match rx.try_recv() {
            Ok(UiCommand::Quit) => state = RunState::Draining,
            Ok(UiCommand::Abort) | Err(TryRecvError::Disconnected) => break,
            Ok(_) | Err(TryRecvError::Empty) if state == RunState::Draining => state = RunState::Done,
            Ok(_) | Err(TryRecvError::Empty) => {}
        }
        if args.length.is_some_and(|s| ran >= Duration::from_secs(s)) {
            break;
        }
        let ms = args.from * 1_000 + ran.as_millis() as u64;
        *newest.lock().expect("nobody panics with the lock held") = snapshot(ms, seq, args.lanes, state);
        cpu = dashboard_cpu_ns().unwrap_or(cpu);
    }
    let ran = started_for(started).as_nanos() as f64;
    handle.close()?;
    println!("dashboard thread: {:.2} % of a core over {:.1} s", cpu as f64 / ran * 100.0, ran / 1e9);
    Ok(())
}

fn started_for(started: MonoNs) -> Duration {
    MonoNs::now().since(started)
}
