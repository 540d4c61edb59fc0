//! The tick: ten times a second, what every meter saw is put into one record and kept for readers.
//!
//! Owns the schedule, which does not drift, and the ring of the last ticks. A process that was stopped
//! goes on at the next instant of its schedule: numbers have no gap, instants have.

use std::collections::VecDeque;
use std::sync::Mutex;

use timeline::clock::MonoNs;
use timeline::lane::LaneSpec;
use timeline::probe::{KEPT_TICKS, TICK_MS, Tick};

use crate::draft::{Collect, Draft, Lanes};
use crate::tally::lock;
use crate::threads::Stop;

/// Nanoseconds between ticks.
const TICK_NS: u64 = TICK_MS * 1_000_000;

/// The last ticks and every lane.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lanes: Vec<LaneSpec>,
    ticks: VecDeque<Tick>,
}

/// What a reader is given.
#[derive(Debug)]
pub(crate) struct Since {
    /// Every lane.
    pub(crate) lanes: Vec<LaneSpec>,
    /// Oldest first.
    pub(crate) ticks: Vec<Tick>,
    /// No longer kept.
    pub(crate) lost: u64,
}

impl Kept {
    fn push(&self, tick: Tick, lanes: &[LaneSpec]) {
        let mut inner = lock(&self.inner);
        let known = inner.lanes.len();
        inner.lanes.extend_from_slice(&lanes[known..]);
        if inner.ticks.len() == KEPT_TICKS {
            inner.ticks.pop_front();
        }
        inner.ticks.push_back(tick);
    }

    /// All ticks after number `seq`.
    pub(crate) fn since(&self, seq: u64) -> Since {
        let inner = lock(&self.inner);
        // Numbers have no gaps, so the first wanted tick is found by counting.
        let oldest = inner.ticks.front().map_or(seq.saturating_add(1), |t| t.seq);
        let skip = seq.saturating_add(1).saturating_sub(oldest);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(inner.ticks.len());
        Since {
            lanes: inner.lanes.clone(),
            ticks: inner.ticks.iter().skip(skip).cloned().collect(),
            lost: oldest.saturating_sub(seq.saturating_add(1)),
        }
    }
}

/// The ticker: meters and their lanes.
pub(crate) struct Ticker {
    lanes: Lanes,
    meters: Vec<Box<dyn Collect>>,
    seq: u64,
    last: MonoNs,
}

impl Ticker {
    /// Of `instance`, with these meters; counts begin `now`.
    pub(crate) fn new(instance: String, meters: Vec<Box<dyn Collect>>, now: MonoNs) -> Self {
        Self { lanes: Lanes::new(instance), meters, seq: 0, last: now }
    }

    fn tick(&mut self, now: MonoNs, kept: &Kept) {
        let elapsed_ns = now.0.saturating_sub(self.last.0);
        self.last = now;
        self.seq += 1;
        let mut draft = Draft::new(&mut self.lanes, now, elapsed_ns);
        for meter in &mut self.meters {
            meter.collect(&mut draft);
        }
        let tick = draft.finish(self.seq);
        kept.push(tick, self.lanes.specs());
    }

    /// The thread's work: ticks until told to stop.
    pub(crate) fn run(mut self, kept: &Kept, stop: &Stop) {
        let origin = self.last;
        while stop.sleep_until(next_tick(origin, MonoNs::now())) {
            self.tick(MonoNs::now(), kept);
        }
    }
}

/// The first instant of the schedule after `now`.
const fn next_tick(origin: MonoNs, now: MonoNs) -> MonoNs {
    let past = now.0.saturating_sub(origin.0) / TICK_NS;
    MonoNs(origin.0 + (past + 1) * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(ticks: u64) -> Kept {
        let kept = Kept::default();
        for seq in 1..=ticks {
            kept.push(Tick { seq, ..Tick::default() }, &[]);
        }
        kept
    }

    fn ends(since: &Since) -> (Option<u64>, Option<u64>, u64) {
        (since.ticks.first().map(|t| t.seq), since.ticks.last().map(|t| t.seq), since.lost)
    }

    #[test]
    fn a_reader_gets_what_is_kept_and_is_told_what_is_lost() {
        assert_eq!(ends(&kept(0).since(0)), (None, None, 0));
        assert_eq!(ends(&kept(5).since(0)), (Some(1), Some(5), 0));
        assert_eq!(ends(&kept(5).since(3)), (Some(4), Some(5), 0));
        assert_eq!(ends(&kept(5).since(5)), (None, None, 0));
        assert_eq!(ends(&kept(5).since(u64::MAX)), (None, None, 0));
        let many = KEPT_TICKS as u64 + 100;
        assert_eq!(ends(&kept(many).since(0)), (Some(101), Some(many), 100));
        assert_eq!(ends(&kept(many).since(90)), (Some(101), Some(many), 10));
        assert_eq!(ends(&kept(many).since(100)), (Some(101), Some(many), 0));
    }

    #[test]
    fn the_schedule_does_not_drift_and_skips_what_was_missed() {
        let origin = MonoNs(7);
        assert_eq!(next_tick(origin, MonoNs(7)), MonoNs(7 + TICK_NS));
        assert_eq!(next_tick(origin, MonoNs(7 + TICK_NS + 3_000)), MonoNs(7 + 2 * TICK_NS));
        assert_eq!(next_tick(origin, MonoNs(7 + 25 * TICK_NS + 1)), MonoNs(7 + 26 * TICK_NS));
    }
}
