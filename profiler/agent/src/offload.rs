//! The offload pool: threads for what would keep the event loop from turning.
//!
//! Owns the lanes `offload.*`. It is a bounded pool like others, so its meter is a [`PoolMeter`](crate::PoolMeter):
//! a task waits for a thread, and holds it while it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Draft, LaneNo};
use crate::pool::PoolState;
use crate::registry::Registry;

/// The name under which the one pool is registered; it is no part of a lane's.
pub(crate) const ONLY: &str = "offload";

struct OffloadLanes {
    state: Arc<PoolState>,
    capacity: LaneNo,
    busy: LaneNo,
    queued: LaneNo,
    wait: LaneNo,
    run: LaneNo,
}

/// The lanes of the offload pool, once the target has one.
pub(crate) struct Offload {
    registry: Arc<Registry<PoolState>>,
    known: Vec<OffloadLanes>,
}

impl Offload {
    pub(crate) const fn new(registry: Arc<Registry<PoolState>>) -> Self {
        Self { registry, known: Vec::new() }
    }
}

impl Collect for Offload {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (_, state) in self.registry.after(self.known.len()) {
            let lanes = &mut draft.lanes;
            let mut level = |name| lanes.declare(LaneSpec::level(name, "", Unit::Count));
            let (capacity, busy, queued) =
                (level(names::OFFLOAD_CAPACITY), level(names::OFFLOAD_BUSY), level(names::OFFLOAD_QUEUED));
            let wait = lanes.declare(LaneSpec::histogram(names::OFFLOAD_WAIT, ""));
            let run = lanes.declare(LaneSpec::histogram(names::OFFLOAD_RUN, ""));
            self.known.push(OffloadLanes { state, capacity, busy, queued, wait, run });
        }
        for pool in &self.known {
            let state = &pool.state;
            draft.level(pool.capacity, state.capacity.load(Ordering::Relaxed) as f64);
            draft.level(pool.busy, state.in_use.load(Ordering::Relaxed).max(0) as f64);
            draft.level(pool.queued, state.waiters.load(Ordering::Relaxed).max(0) as f64);
            draft.histogram(pool.wait, &state.wait);
            draft.histogram(pool.run, &state.hold);
        }
    }
}
