//! Somebody who watches: a sink that keeps what it is given, and patience.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamometer_profiler::sources::{Sink, SourceEvent};
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs};

/// What a sink was given.
#[derive(Default)]
pub struct Got {
    pub lanes: Vec<LaneSpec>,
    pub samples: Vec<(LaneId, MonoNs, f64)>,
    pub histograms: Vec<(LaneId, MonoNs, MonoNs, Sparse)>,
    pub events: Vec<SourceEvent>,
    pub notes: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Kept(pub Arc<Mutex<Got>>);

impl Sink for Kept {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let lanes = &mut self.0.lock().unwrap().lanes;
        let known = lanes.iter().position(|l| *l == spec).unwrap_or_else(|| {
            lanes.push(spec);
            lanes.len() - 1
        });
        Some(LaneId(known as u32))
    }
    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        self.0.lock().unwrap().samples.push((lane, at, value));
    }
    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        self.0.lock().unwrap().histograms.push((lane, from, to, cells));
    }
    fn event(&mut self, event: SourceEvent) {
        self.0.lock().unwrap().events.push(event);
    }
    fn note(&mut self, source: &str, text: &str) {
        println!("{source}: {text}"); // shown where the test fails
        self.0.lock().unwrap().notes.push(format!("{source}: {text}"));
    }
}

impl Kept {
    pub fn values(&self, name: &str, instance: &str) -> Vec<f64> {
        let got = self.0.lock().unwrap();
        let is =
            |l: &LaneId| got.lanes[l.0 as usize].name == name && got.lanes[l.0 as usize].instance == instance;
        got.samples.iter().filter(|s| is(&s.0)).map(|s| s.2).collect()
    }

    /// What rate lanes about `subject` have counted, of a source that reads one process: each value speaks of the time since the reading before.
    pub fn counted(&self, name: &str, subject: &str) -> f64 {
        let got = self.0.lock().unwrap();
        let lane = |l: &LaneId| &got.lanes[l.0 as usize];
        let heaps = got.samples.iter().filter(|s| lane(&s.0).name == names::HEAP_USED);
        let readings: Vec<u64> = heaps.map(|s| s.1.0).collect();
        let before = |at: MonoNs| readings.iter().rfind(|r| **r < at.0);
        let of = got.samples.iter().filter(|s| lane(&s.0).name == name && lane(&s.0).subject == subject);
        of.filter_map(|s| Some(s.2 * (s.1.0 - before(s.1)?) as f64 / 1e9)).sum()
    }

    /// What histogram lanes of this name were given, of all instances.
    pub fn recorded(&self, name: &str) -> Vec<Sparse> {
        let got = self.0.lock().unwrap();
        let of = got.histograms.iter().filter(|h| got.lanes[h.0.0 as usize].name == name);
        of.map(|h| h.3.clone()).collect()
    }

    pub fn noted(&self, words: &str) -> bool {
        self.times(words) > 0
    }

    /// How many notes have these words in them.
    pub fn times(&self, words: &str) -> usize {
        self.0.lock().unwrap().notes.iter().filter(|n| n.contains(words)).count()
    }

    pub fn happened(&self, what: &str) -> bool {
        let says = |e: &SourceEvent| e.labels.iter().any(|(n, v)| n == "what" && v == what);
        self.0.lock().unwrap().events.iter().any(says)
    }
}

/// A port that stays free until the test takes it: below those that the system hands out, of which anybody may get one meanwhile.
pub fn own_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 450) as u16 * 20;
    let mut next = std::iter::repeat_with(|| first + TAKEN.fetch_add(1, Ordering::Relaxed));
    next.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
}

/// Waits for `true`, which takes a second at most where the machine has nothing else to do.
pub fn soon(what: &str, check: impl Fn() -> bool) {
    within(2_000, what, check);
}

/// The same for what takes seconds of evidence: half a minute at most.
pub fn patiently(what: &str, check: impl Fn() -> bool) {
    within(3_000, what, check);
}

fn within(hundredths: u32, what: &str, check: impl Fn() -> bool) {
    for _ in 0..hundredths {
        if check() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("did not happen: {what}");
}
