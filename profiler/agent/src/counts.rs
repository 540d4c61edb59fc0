//! Amounts that the target itself counts: bytes that its own generations promote.
//!
//! Owns the count and its lane, a rate, which bears the count's own name.

use std::sync::Arc;

use timeline::lane::LaneSpec;
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::registry::Registry;

/// An amount since the last tick, and the unit of its rate.
#[derive(Debug)]
pub(crate) struct CountState {
    unit: Unit,
    amount: Counter,
}

impl CountState {
    pub(crate) fn new(unit: Unit) -> Self {
        Self { unit, amount: Counter::default() }
    }
}

/// An amount that the target adds to; clones are the same count.
#[derive(Debug, Clone)]
pub struct Count {
    state: Arc<CountState>,
}

impl Count {
    pub(crate) const fn new(state: Arc<CountState>) -> Self {
        Self { state }
    }

    /// So much more.
    pub fn add(&self, amount: u64) {
        self.state.amount.add(amount);
    }
}

/// The lanes of all counts.
pub(crate) struct Counts {
    registry: Arc<Registry<CountState>>,
    known: Vec<(LaneNo, Arc<CountState>)>,
}

impl Counts {
    pub(crate) const fn new(registry: Arc<Registry<CountState>>) -> Self {
        Self { registry, known: Vec::new() }
    }
}

impl Collect for Counts {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            self.known.push((draft.lanes.declare(LaneSpec::rate(name, "", state.unit)), state));
        }
        for (lane, state) in &self.known {
            draft.count(*lane, &state.amount);
        }
    }
}
