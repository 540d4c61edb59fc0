//! Signs in what a process says of itself that a profile would have something to tell; in the CPU time of its main thread, where it does not say
//! how busy its loop is.
//!
//! Owns the thresholds. They are wide: a profile is no finding, and a finding is made without one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timeline::MonoNs;
use timeline::event::kinds;
use timeline::lane::names;
use timeline::probe::{Batch, Tick};

use super::Question;
use crate::sources::process::cpu_ns;

/// The loop is busy from here on; where it does not tell, the main thread, on which it turns, if that has the CPU for such a share of the time.
const BUSY: f64 = 0.7;
/// So many bytes a second are allocated, in so many readings one after another.
const CHURN: f64 = 32.0 * 1024.0 * 1024.0;
const CHURN_READINGS: u32 = 5;
/// The largest heap that is collected for a profile of its allocations, bytes: 1 to 2 ms each MiB.
const MOST_HEAP: f64 = 64.0 * 1024.0 * 1024.0;
/// The old generation grows if its least of each of so many blocks, ns, is so much more than that of the block before, bytes, and by such a
/// share in all. What a young generation of a few MiB promotes comes in steps, and what is collected goes in steps: a block outlasts both.
const BLOCK_NS: u64 = 3_000_000_000;
const BLOCKS: usize = 3;
const LEAST_STEP: f64 = 512.0 * 1024.0;
const LEAST_SHARE: f64 = 0.1;

/// What is worth asking, from whoever reads a process to whoever profiles it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    questions: [AtomicBool; 3],
    ending: AtomicBool,
}

impl Wanted {
    fn set(&self, question: Question) {
        self.questions[question as usize].store(true, Ordering::Relaxed);
    }

    /// What was worth asking since the last look.
    pub fn take(&self) -> [bool; 3] {
        [0, 1, 2].map(|at: usize| self.questions[at].swap(false, Ordering::Relaxed))
    }

    /// Does the process want to end, or has it?
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Sees them in the readings of one process.
#[derive(Debug, Default)]
pub(in crate::sources::v8) struct Signs {
    wanted: Arc<Wanted>,
    thread: MainThread,
    churning: u32,
    growth: Growth,
}

impl Signs {
    pub(super) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// The process is about to end, or has ended: a profile that is being taken would keep it from it.
    pub fn end(&self) {
        self.wanted.ending.store(true, Ordering::Relaxed);
    }

    /// What a process answered, which is `pid` on this host, if it runs here.
    pub fn see(&mut self, batch: &Batch, pid: Option<u32>) {
        self.look(batch, MonoNs::now(), || cpu_ns(pid?));
    }

    /// The same, `now`; `main_thread` gives the CPU time of the main thread so far, ns.
    fn look(&mut self, batch: &Batch, now: MonoNs, main_thread: impl FnOnce() -> Option<u64>) {
        self.wanted.ending.store(false, Ordering::Relaxed);
        let place = |name: &str| batch.lanes.iter().position(|l| l.name == name);
        let [busy, allocated, old, used] =
            [names::LOOP_UTILISATION, names::HEAP_ALLOCATED, names::HEAP_OLD, names::HEAP_USED].map(place);
        if busy.is_none() && self.thread.is_busy(now, main_thread()) {
            self.wanted.set(Question::Cpu);
        }
        let value = |tick: &Tick, lane: Option<usize>| {
            tick.values.iter().find(|v| Some(v.0 as usize) == lane).map(|v| v.1)
        };
        for tick in &batch.ticks {
            let blocked = || tick.events.iter().any(|e| e.kind == kinds::PAUSE_WORKER_STALL);
            if value(tick, busy).is_some_and(|share| share >= BUSY) || blocked() {
                self.wanted.set(Question::Cpu);
            }
            let churns = value(tick, allocated).is_some_and(|rate| rate >= CHURN);
            self.churning = if churns { self.churning + 1 } else { 0 };
            let grows = value(tick, old).is_some_and(|bytes| self.growth.see(tick.at, bytes));
            if value(tick, used).is_none_or(|bytes| bytes > MOST_HEAP) {
                continue;
            }
            if self.churning >= CHURN_READINGS {
                self.wanted.set(Question::Allocated);
            }
            if grows {
                self.wanted.set(Question::Retained);
            }
        }
    }
}

/// The main thread as it was at the last look, for a runtime that does not tell how busy its loop is.
#[derive(Debug, Default)]
struct MainThread(Option<(MonoNs, u64)>);

impl MainThread {
    /// Has it had the CPU for most of the time since then? `cpu_ns` is what it has had so far.
    fn is_busy(&mut self, now: MonoNs, cpu_ns: Option<u64>) -> bool {
        let before = std::mem::replace(&mut self.0, cpu_ns.map(|cpu| (now, cpu)));
        let (Some((since, had)), Some(has)) = (before, cpu_ns) else { return false };
        let passed = now.since(since).as_nanos() as f64;
        passed > 0.0 && has.saturating_sub(had) as f64 >= BUSY * passed
    }
}

/// The old generation by its least of each block: what is promoted and collected again goes up and down, what stays goes up.
#[derive(Debug, Default)]
struct Growth {
    /// When the block that is being read ends.
    until: u64,
    least: f64,
    blocks: VecDeque<f64>,
}

impl Growth {
    fn see(&mut self, at: u64, bytes: f64) -> bool {
        if at < self.until {
            self.least = self.least.min(bytes);
            return false;
        }
        if self.until > 0 {
            self.blocks.push_back(self.least);
        }
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
        (self.until, self.least) = (at.saturating_add(BLOCK_NS), bytes);
        let (Some(first), Some(last)) = (self.blocks.front(), self.blocks.back()) else { return false };
        self.blocks.len() == BLOCKS
            && self.blocks.iter().is_sorted_by(|a, b| **b - **a >= LEAST_STEP)
            && last - first >= LEAST_SHARE * first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::{LaneSpec, Unit};

    const MIB: f64 = 1024.0 * 1024.0;

    /// Is a profile of the CPU wanted of a process with `lane` alone, at zero, whose main thread has `share` of the CPU?
    fn profiled(lane: &str, share: Option<f64>) -> bool {
        let batch = Batch {
            version: timeline::probe::VERSION,
            instance: String::new(),
            pid: 7,
            began: 0,
            now: MonoNs(0),
            lanes: vec![LaneSpec::level(lane, "", Unit::Ratio)],
            ticks: vec![Tick { values: vec![(0, 0.0)], ..Tick::default() }],
            lost: 0,
        };
        let mut signs = Signs::default();
        for at in (1..=10).map(|n| n * 100_000_000) {
            signs.look(&batch, MonoNs(at), || share.map(|share| (share * at as f64) as u64));
        }
        signs.wanted().take()[Question::Cpu as usize]
    }

    #[test]
    fn a_loop_that_does_not_tell_is_as_busy_as_its_thread() {
        assert!(profiled(names::HEAP_USED, Some(0.9)));
        assert!(!profiled(names::HEAP_USED, Some(0.4)));
        assert!(!profiled(names::HEAP_USED, Some(0.0)), "the kernel does not count");
        assert!(!profiled(names::HEAP_USED, None));
        assert!(!profiled(names::LOOP_UTILISATION, Some(0.9)), "it tells, and it has nothing to do");
    }

    /// Ten readings a second of `old`, by the seconds.
    fn seen(old: impl Fn(f64) -> f64) -> bool {
        let mut growth = Growth::default();
        (0..200).map(|n| n as f64 / 10.0).any(|s| growth.see(1 + (s * 1e9) as u64, old(s)))
    }

    #[test]
    fn what_stays_grows_and_what_is_collected_does_not() {
        assert!(seen(|s| 20.0 * MIB + 0.5 * MIB * s));
        assert!(seen(|s| 20.0 * MIB + 0.8 * MIB * s + 3.0 * MIB * (s % 1.0)), "a saw upon a slope");
        assert!(!seen(|_| 20.0 * MIB));
        assert!(!seen(|s| 20.0 * MIB + 2.0 * MIB * (s % 6.0)), "a saw of six seconds");
        assert!(!seen(|s| 20.0 * MIB + 8.0 * MIB * s.min(3.0)), "a cache that has filled");
        assert!(!seen(|s| 20.0 * MIB + 0.1 * MIB * s), "too little to be sampled");
    }
}
