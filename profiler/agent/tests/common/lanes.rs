//! Values of lanes out of a batch.

use timeline::probe::{Batch, Tick};

/// Index of the lane called `name` about `subject`.
pub fn lane(batch: &Batch, name: &str, subject: &str) -> Option<u32> {
    let is = |l: &timeline::lane::LaneSpec| l.name == name && l.subject == subject;
    batch.lanes.iter().position(is).map(|n| n as u32)
}

pub fn value(tick: &Tick, lane: u32) -> Option<f64> {
    tick.values.iter().find(|(l, _)| *l == lane).map(|(_, v)| *v)
}

/// All values of a lane, oldest first.
pub fn values(batch: &Batch, name: &str) -> Vec<f64> {
    let Some(lane) = lane(batch, name, "") else {
        return Vec::new();
    };
    batch.ticks.iter().filter_map(|t| value(t, lane)).collect()
}

pub fn last(batch: &Batch, name: &str) -> f64 {
    *values(batch, name).last().unwrap_or_else(|| panic!("no value of {name}"))
}

/// What a rate lane amounts to over all ticks kept.
pub fn amount(batch: &Batch, name: &str, subject: &str) -> f64 {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let mut sum = 0.0;
    for pair in batch.ticks.windows(2) {
        sum += value(&pair[1], lane).unwrap_or(0.0) * (pair[1].at - pair[0].at) as f64 / 1e9;
    }
    sum
}
