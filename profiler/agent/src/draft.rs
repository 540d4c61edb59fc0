//! One tick while it is being put together, and the lanes that it speaks of.
//!
//! Owns the form in which every meter hands over what it saw since the last tick ([`Collect`]), and the
//! bound on events. When ticks happen and where they are kept is `ticker`'s business.

use std::sync::atomic::{AtomicU64, Ordering};

use timeline::clock::MonoNs;
use timeline::histogram::Sparse;
use timeline::lane::LaneSpec;
use timeline::probe::{MAX_EVENTS, ProbeEvent, Tick};

use crate::tally::Tally;

/// Something that has figures once a tick.
pub(crate) trait Collect: Send {
    /// Adds what was seen since the last call.
    fn collect(&mut self, draft: &mut Draft<'_>);
}

/// A lane's index in the instance's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneNo(u32);

/// Lanes of this instance in order of declaration.
#[derive(Debug)]
pub(crate) struct Lanes {
    instance: String,
    specs: Vec<LaneSpec>,
}

impl Lanes {
    /// No lane yet, of `instance`.
    pub(crate) const fn new(instance: String) -> Self {
        Self { instance, specs: Vec::new() }
    }

    /// Adds a lane, as this instance's.
    pub(crate) fn declare(&mut self, spec: LaneSpec) -> LaneNo {
        let no = LaneNo(u32::try_from(self.specs.len()).expect("meters are bounded, so lanes are"));
        self.specs.push(LaneSpec { instance: self.instance.clone(), ..spec });
        no
    }

    /// All, oldest first.
    pub(crate) fn specs(&self) -> &[LaneSpec] {
        &self.specs
    }
}

/// A count since the last tick.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// The tick that is being put together.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// For declaring lanes.
    pub(crate) lanes: &'a mut Lanes,
    /// When this tick is.
    pub(crate) now: MonoNs,
    /// Nanoseconds since the last one; at least 1.
    pub(crate) elapsed_ns: u64,
    values: Vec<(u32, f64)>,
    histograms: Vec<(u32, Sparse)>,
    pauses: Vec<ProbeEvent>,
    refreshes: Vec<ProbeEvent>,
    refreshes_left_out: u64,
}

impl<'a> Draft<'a> {
    /// An empty tick.
    pub(crate) fn new(lanes: &'a mut Lanes, now: MonoNs, elapsed_ns: u64) -> Self {
        Self {
            lanes,
            now,
            elapsed_ns: elapsed_ns.max(1),
            values: Vec::new(),
            histograms: Vec::new(),
            pauses: Vec::new(),
            refreshes: Vec::new(),
            refreshes_left_out: 0,
        }
    }

    /// A level; what is not finite has no form in JSON and is left out.
    pub(crate) fn level(&mut self, lane: LaneNo, value: f64) {
        if value.is_finite() {
            self.values.push((lane.0, value));
        }
    }

    /// A rate per second from an amount since the last tick.
    pub(crate) fn rate(&mut self, lane: LaneNo, amount: f64) {
        self.level(lane, amount * 1e9 / self.elapsed_ns as f64);
    }

    /// A rate per second from a counter, which begins anew.
    pub(crate) fn count(&mut self, lane: LaneNo, counter: &Counter) {
        self.rate(lane, counter.take() as f64);
    }

    /// A histogram, which begins anew; an empty one is left out.
    pub(crate) fn histogram(&mut self, lane: LaneNo, tally: &Tally) {
        let sparse = tally.take();
        if !sparse.cells.is_empty() {
            self.histograms.push((lane.0, sparse));
        }
    }

    /// Pauses of one kind, few by their maker's bound, and how many more there were.
    pub(crate) fn pauses(&mut self, (mut events, others): (Vec<ProbeEvent>, u64)) {
        if let Some(last) = events.last_mut() {
            last.others = others;
        }
        self.pauses.append(&mut events);
    }

    /// Cache refreshes and how many more there were.
    pub(crate) fn refreshes(&mut self, (mut events, others): (Vec<ProbeEvent>, u64)) {
        self.refreshes.append(&mut events);
        self.refreshes_left_out += others;
    }

    /// The tick, with number `seq`: all pauses, then the weightiest refreshes as far as there is room.
    pub(crate) fn finish(mut self, seq: u64) -> Tick {
        self.refreshes.sort_by(|a, b| b.value.total_cmp(&a.value));
        let room = MAX_EVENTS.saturating_sub(self.pauses.len());
        let surplus = self.refreshes.len().saturating_sub(room);
        self.refreshes.truncate(room);
        if let Some(last) = self.refreshes.last_mut() {
            last.others = self.refreshes_left_out + surplus as u64;
        }
        let mut events = self.pauses;
        events.append(&mut self.refreshes);
        Tick { seq, at: self.now.0, values: self.values, histograms: self.histograms, events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::units::Unit;

    fn event(kind: &str, value: f64) -> ProbeEvent {
        ProbeEvent { kind: kind.into(), start: 1, end: 2, labels: vec![], value, others: 0 }
    }

    #[test]
    fn events_are_bounded_and_the_rest_is_counted() {
        let mut lanes = Lanes::new("shop-0".into());
        let mut draft = Draft::new(&mut lanes, MonoNs(5), 100);
        draft.pauses((vec![event("pause.hiccup", 0.0)], 3));
        draft.refreshes(((0..70).map(|n| event("cache.refresh", f64::from(n))).collect(), 5));
        let tick = draft.finish(1);
        assert_eq!(tick.events.len(), MAX_EVENTS);
        assert_eq!(tick.events[0].others, 3);
        assert_eq!(tick.events[1].value, 69.0);
        assert_eq!(tick.events[MAX_EVENTS - 1].others, 5 + 7);
    }

    #[test]
    fn a_rate_is_per_second_and_what_is_not_finite_is_left_out() {
        let mut lanes = Lanes::new("shop-0".into());
        let mut draft = Draft::new(&mut lanes, MonoNs(5), 100_000_000);
        let lane = draft.lanes.declare(LaneSpec::rate("client.sent", "", Unit::PerSecond));
        draft.rate(lane, 7.0);
        draft.level(lane, f64::NAN);
        let tick = draft.finish(1);
        assert_eq!(tick.values.len(), 1);
        assert!((tick.values[0].1 - 70.0).abs() < 1e-9);
        assert_eq!(lanes.specs()[0].instance, "shop-0");
    }
}
