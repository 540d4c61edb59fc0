//! A bounded pool (connections, permits): who holds, who waits, and for how long.
//!
//! Owns the meter that a pool's wrapper calls and its lanes `pool.NAME.*`. It limits nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use timeline::clock::MonoNs;
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::registry::Registry;
use crate::tally::Tally;

/// What a pool's meter remembers.
#[derive(Debug, Default)]
pub(crate) struct PoolState {
    pub(crate) capacity: AtomicUsize,
    pub(crate) in_use: AtomicI64,
    pub(crate) waiters: AtomicI64,
    ever_opened: AtomicU64,
    ever_closed: AtomicU64,
    opened: Counter,
    acquired: Counter,
    timeouts: Counter,
    pub(crate) wait: Tally,
    pub(crate) hold: Tally,
}

impl PoolState {
    /// A pool of `capacity` places, none used.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: AtomicUsize::new(capacity), ..Self::default() }
    }

    /// Open and not held. Where nobody says what was opened, every free place counts.
    fn idle(&self, capacity: u64, in_use: u64) -> u64 {
        let opened = self.ever_opened.load(Ordering::Relaxed);
        let open = opened.saturating_sub(self.ever_closed.load(Ordering::Relaxed));
        let open = if opened == 0 { capacity } else { open.min(capacity.max(in_use)) };
        open.saturating_sub(in_use)
    }
}

/// A pool's meter; clones speak of the same pool.
#[derive(Debug, Clone)]
pub struct PoolMeter {
    state: Arc<PoolState>,
}

impl PoolMeter {
    pub(crate) const fn new(state: Arc<PoolState>) -> Self {
        Self { state }
    }

    /// The pool has this many places from now on.
    pub fn set_capacity(&self, capacity: usize) {
        self.state.capacity.store(capacity, Ordering::Relaxed);
    }

    /// A connection was opened.
    pub fn opened(&self) {
        self.state.ever_opened.fetch_add(1, Ordering::Relaxed);
        self.state.opened.add(1);
    }

    /// A connection was closed; only the level `idle` depends on it.
    pub fn closed(&self) {
        self.state.ever_closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody asks for a place and waits from now on. Dropping the result means that it gave up.
    #[must_use]
    pub fn begin_wait(&self) -> Waiting {
        self.state.waiters.fetch_add(1, Ordering::Relaxed);
        Waiting { state: Arc::clone(&self.state), since: MonoNs::now() }
    }
}

/// Somebody who waits for a place. Dropped: it gave up; the time that it waited is recorded all the same.
#[derive(Debug)]
pub struct Waiting {
    state: Arc<PoolState>,
    since: MonoNs,
}

impl Waiting {
    /// It has its place. Dropping the result gives it back.
    #[must_use]
    pub fn acquired(self) -> Held {
        self.state.in_use.fetch_add(1, Ordering::Relaxed);
        self.state.acquired.add(1);
        Held { state: Arc::clone(&self.state), since: MonoNs::now() }
    }

    /// It waited as long as it may, in vain.
    pub fn timed_out(self) {
        self.state.timeouts.add(1);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.state.waiters.fetch_sub(1, Ordering::Relaxed);
        self.state.wait.record_ns(MonoNs::now().0.saturating_sub(self.since.0));
    }
}

/// Somebody who holds a place. Dropped: the place is back, and how long it was held is recorded.
#[derive(Debug)]
pub struct Held {
    state: Arc<PoolState>,
    since: MonoNs,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.state.in_use.fetch_sub(1, Ordering::Relaxed);
        self.state.hold.record_ns(MonoNs::now().0.saturating_sub(self.since.0));
    }
}

struct PoolLanes {
    state: Arc<PoolState>,
    capacity: LaneNo,
    in_use: LaneNo,
    idle: LaneNo,
    waiters: LaneNo,
    wait: LaneNo,
    hold: LaneNo,
    timeouts: LaneNo,
    opened: LaneNo,
    acquired: LaneNo,
}

/// The lanes of all pools.
pub(crate) struct Pools {
    registry: Arc<Registry<PoolState>>,
    known: Vec<PoolLanes>,
}

impl Pools {
    pub(crate) const fn new(registry: Arc<Registry<PoolState>>) -> Self {
        Self { registry, known: Vec::new() }
    }

    fn declare(name: &str, state: Arc<PoolState>, draft: &mut Draft<'_>) -> PoolLanes {
        let of = |part| names::of(names::POOL, name, part);
        let lanes = &mut draft.lanes;
        let mut level = |part| lanes.declare(LaneSpec::level(of(part), "", Unit::Count));
        let (capacity, in_use, idle, waiters) =
            (level("capacity"), level("in-use"), level("idle"), level("waiters"));
        let mut histogram = |part| lanes.declare(LaneSpec::histogram(of(part), ""));
        let (wait, hold) = (histogram("wait"), histogram("hold"));
        let mut rate = |part| lanes.declare(LaneSpec::rate(of(part), "", Unit::PerSecond));
        let (timeouts, opened, acquired) = (rate("timeouts"), rate("opened"), rate("acquired"));
        PoolLanes { state, capacity, in_use, idle, waiters, wait, hold, timeouts, opened, acquired }
    }
}

impl Collect for Pools {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            self.known.push(Self::declare(&name, state, draft));
        }
        for pool in &self.known {
            let state = &pool.state;
            let capacity = state.capacity.load(Ordering::Relaxed) as u64;
            let in_use = state.in_use.load(Ordering::Relaxed).max(0) as u64;
            draft.level(pool.capacity, capacity as f64);
            draft.level(pool.in_use, in_use as f64);
            draft.level(pool.idle, state.idle(capacity, in_use) as f64);
            draft.level(pool.waiters, state.waiters.load(Ordering::Relaxed).max(0) as f64);
            draft.histogram(pool.wait, &state.wait);
            draft.histogram(pool.hold, &state.hold);
            draft.count(pool.timeouts, &state.timeouts);
            draft.count(pool.opened, &state.opened);
            draft.count(pool.acquired, &state.acquired);
        }
    }
}
