//! The faults of a worker, each in a file of its own beside its cure.
//!
//! A fault is a row in `timeline::fault` (name, knobs, expected finding), a file here with fault and cure side by
//! side, and its lever's row in [`LEVERS`]. Its switch ([`Switch`]) is read where its cure would run; off means
//! that the cure runs. What no process can do to itself, its supervisor does: `supervisor/inflicted.rs`.

pub mod accept_overflow;
pub mod avalanche;
pub mod big_json;
pub mod blocking_crypto;
pub mod broker_backlog;
pub mod churn;
pub mod cold_cache;
pub mod connect_per_request;
pub mod fd_exhausted;
pub mod fragmentation;
pub mod leak;
mod lever;
pub mod missing_index;
mod offload_saturated;
pub mod penetration;
pub mod pool_leak;
mod pool_too_large;
mod pool_too_small;
pub mod query_fan_out;
pub mod regex_backtracking;
pub mod retry_storm;
pub mod serial_queries;
pub mod slow_consumer;
pub mod slow_downstream;
pub mod stampede;
pub mod starved_poll;
pub mod stop_the_world;
mod switch;
#[cfg(test)]
pub mod testing;
pub mod too_small_cache;
mod uneven_workers;
pub mod whole_file;

pub use lever::{Lever, Levers};
pub use switch::{Switch, TruthLog};

use std::ops::Index;

use timeline::fault::{FaultKind, FaultOrder};

/// One row for each fault that a worker of the shop or the services switch.
const LEVERS: &[Lever] = &[
    stampede::LEVER,
    pool_too_small::LEVER,
    leak::LEVER,
    blocking_crypto::LEVER,
    regex_backtracking::LEVER,
    starved_poll::LEVER,
    big_json::LEVER,
    offload_saturated::LEVER,
    churn::LEVER,
    whole_file::LEVER,
    stop_the_world::LEVER,
    fragmentation::LEVER,
    avalanche::LEVER,
    penetration::LEVER,
    cold_cache::LEVER,
    too_small_cache::LEVER,
    slow_downstream::LEVER,
    retry_storm::LEVER,
    broker_backlog::LEVER,
    pool_leak::LEVER,
    pool_too_large::LEVER,
    connect_per_request::LEVER,
    missing_index::LEVER,
    query_fan_out::LEVER,
    serial_queries::LEVER,
    uneven_workers::LEVER,
    slow_consumer::LEVER,
    accept_overflow::LEVER,
    fd_exhausted::LEVER,
];

/// The switches of one process: `faults[FaultKind::Leak]`. That of a fault which is not this process's stays off.
pub struct Faults {
    /// In the order of [`FaultKind::ALL`].
    switches: Vec<Switch>,
}

impl Faults {
    /// All off.
    pub fn new(truth: &TruthLog) -> Self {
        Self { switches: FaultKind::ALL.iter().map(|kind| Switch::new(*kind, truth.clone())).collect() }
    }
}

impl Index<FaultKind> for Faults {
    type Output = Switch;

    fn index(&self, kind: FaultKind) -> &Switch {
        &self.switches[kind as usize]
    }
}

/// A knob as a whole number. Orders are checked before they come here, so it is within its range.
pub fn whole(order: &FaultOrder, knob: &str) -> usize {
    order.knob(knob).round() as usize
}
