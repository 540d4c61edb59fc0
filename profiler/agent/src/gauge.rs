//! Levels that the target itself knows: connections open, sessions held.
//!
//! Owns the gauge and its lane, which bears the gauge's own name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use timeline::lane::{Combine, LaneSpec};
use timeline::units::Unit;

use crate::draft::{Collect, Draft, LaneNo};
use crate::registry::Registry;

/// A level and its unit.
#[derive(Debug)]
pub(crate) struct GaugeState {
    unit: Unit,
    combine: Combine,
    /// Bits of the value, an `f64`.
    bits: AtomicU64,
}

impl GaugeState {
    pub(crate) const fn new(unit: Unit) -> Self {
        // All zero bits are the number 0.
        Self { unit, combine: Combine::Sum, bits: AtomicU64::new(0) }
    }

    pub(crate) const fn of_worst(unit: Unit) -> Self {
        Self { combine: Combine::Max, ..Self::new(unit) }
    }
}

/// A level that the target sets; clones are the same gauge. Values that are not finite are not shown.
#[derive(Debug, Clone)]
pub struct Gauge {
    state: Arc<GaugeState>,
}

impl Gauge {
    pub(crate) const fn new(state: Arc<GaugeState>) -> Self {
        Self { state }
    }

    /// The level is `value` now.
    pub fn set(&self, value: f64) {
        self.state.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The level rose by `change`, or fell if it is negative.
    pub fn add(&self, change: f64) {
        let add = |bits| Some((f64::from_bits(bits) + change).to_bits());
        // The closure never refuses, so neither does the update.
        let _ = self.state.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// The lanes of all gauges.
pub(crate) struct Gauges {
    registry: Arc<Registry<GaugeState>>,
    known: Vec<(LaneNo, Arc<GaugeState>)>,
}

impl Gauges {
    pub(crate) const fn new(registry: Arc<Registry<GaugeState>>) -> Self {
        Self { registry, known: Vec::new() }
    }
}

impl Collect for Gauges {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            let spec = LaneSpec { combine: state.combine, ..LaneSpec::level(name, "", state.unit) };
            self.known.push((draft.lanes.declare(spec), state));
        }
        for (lane, state) in &self.known {
            draft.level(*lane, f64::from_bits(state.bits.load(Ordering::Relaxed)));
        }
    }
}
