//! The faults of a worker, each in a file of its own beside its cure.
//!
//! Owns which fault is on and what truly happened ([`Switch`]). A fault's switch is read where its cure
//! would run; off means that the cure runs. `frozen` is not here: a stopped process cannot
//! switch itself, so its supervisor does that.

pub mod leak;
pub mod pool_too_small;
pub mod stampede;
mod switch;

pub use switch::{Switch, TruthLog};

use timeline::fault::{FaultKind, FaultOrder};

/// The switches of one worker.
pub struct Faults {
    /// Product details are loaded by every request that misses them.
    pub stampede: Switch,
    /// The database pool is cut down.
    pub pool_too_small: Switch,
    /// Sessions are kept for ever.
    pub leak: Switch,
}

impl Faults {
    /// All off.
    pub fn new(truth: &TruthLog) -> Self {
        let switch = |kind| Switch::new(kind, truth.clone());
        Self {
            stampede: switch(FaultKind::Stampede),
            pool_too_small: switch(FaultKind::PoolTooSmall),
            leak: switch(FaultKind::Leak),
        }
    }

    /// The switch of `kind`, if it is a worker's.
    pub fn switch(&self, kind: FaultKind) -> Option<&Switch> {
        match kind {
            FaultKind::Stampede => Some(&self.stampede),
            FaultKind::PoolTooSmall => Some(&self.pool_too_small),
            FaultKind::Leak => Some(&self.leak),
            FaultKind::Frozen => None,
        }
    }

    /// All switches.
    pub fn all(&self) -> impl Iterator<Item = &Switch> {
        FaultKind::ALL.iter().filter_map(|kind| self.switch(*kind))
    }
}

/// A knob as a whole number. Orders are checked before they come here, so it is within its range.
pub fn whole(order: &FaultOrder, knob: &str) -> usize {
    order.knob(knob).round() as usize
}
