//! A service that this one calls: how often, for how long, and what comes of it.
//!
//! Owns the meter that a client's wrapper calls and its lanes `downstream.NAME.*`. It calls nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use timeline::clock::MonoNs;
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::registry::Registry;
use crate::tally::Tally;

/// What a service's meter remembers.
#[derive(Debug, Default)]
pub(crate) struct DownstreamState {
    calls: Counter,
    failures: Counter,
    retries: Counter,
    in_flight: AtomicI64,
    time: Tally,
}

/// A called service's meter; clones speak of the same service.
#[derive(Debug, Clone)]
pub struct DownstreamMeter {
    state: Arc<DownstreamState>,
}

impl DownstreamMeter {
    pub(crate) const fn new(state: Arc<DownstreamState>) -> Self {
        Self { state }
    }

    /// A call begins; it ends when the result is dropped, as a failure unless it was said to be answered.
    #[must_use]
    pub fn call(&self) -> Calling {
        self.state.calls.add(1);
        self.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Calling { state: Arc::clone(&self.state), since: MonoNs::now(), answered: false }
    }

    /// The next call repeats one that failed.
    pub fn retried(&self) {
        self.state.retries.add(1);
    }
}

/// A call in flight. Dropped: it ended, and its time is recorded.
#[derive(Debug)]
pub struct Calling {
    state: Arc<DownstreamState>,
    since: MonoNs,
    answered: bool,
}

impl Calling {
    /// The service did what it was asked to.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.state.time.record_ns(MonoNs::now().0.saturating_sub(self.since.0));
        if !self.answered {
            self.state.failures.add(1);
        }
    }
}

struct DownstreamLanes {
    state: Arc<DownstreamState>,
    in_flight: LaneNo,
    time: LaneNo,
    calls: LaneNo,
    failures: LaneNo,
    retries: LaneNo,
}

/// The lanes of all services.
pub(crate) struct Downstreams {
    registry: Arc<Registry<DownstreamState>>,
    known: Vec<DownstreamLanes>,
}

impl Downstreams {
    pub(crate) const fn new(registry: Arc<Registry<DownstreamState>>) -> Self {
        Self { registry, known: Vec::new() }
    }

    fn declare(name: &str, state: Arc<DownstreamState>, draft: &mut Draft<'_>) -> DownstreamLanes {
        let of = |part| names::of(names::DOWNSTREAM, name, part);
        let lanes = &mut draft.lanes;
        let in_flight = lanes.declare(LaneSpec::level(of("in-flight"), "", Unit::Count));
        let time = lanes.declare(LaneSpec::histogram(of("time"), ""));
        let mut rate = |part| lanes.declare(LaneSpec::rate(of(part), "", Unit::PerSecond));
        let (calls, failures, retries) = (rate("calls"), rate("failures"), rate("retries"));
        DownstreamLanes { state, in_flight, time, calls, failures, retries }
    }
}

impl Collect for Downstreams {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            self.known.push(Self::declare(&name, state, draft));
        }
        for service in &self.known {
            let state = &service.state;
            draft.level(service.in_flight, state.in_flight.load(Ordering::Relaxed).max(0) as f64);
            draft.histogram(service.time, &state.time);
            draft.count(service.calls, &state.calls);
            draft.count(service.failures, &state.failures);
            draft.count(service.retries, &state.retries);
        }
    }
}
