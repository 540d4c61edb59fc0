//! What the load wants of a pool: Little's law on its arrivals, which sessions that wait lower.

use timeline::Timeline;

use super::{Seen, lane};
use crate::detectors::queueing;
use crate::stats::trend;
use crate::window;

/// Standard errors on either side of an interval that holds the truth in 19 of 20 cases.
const INTERVAL: f64 = 1.96;
/// Share of sessions that may be taken as waiting at most; beyond it the closed-loop correction is all extrapolation.
const MOST_WAITING_SHARE: f64 = 0.95;

/// What the load wants of the pool, were nobody to wait.
pub struct Demand {
    /// Acquisitions per second.
    pub rate: f64,
    /// Mean hold, nanoseconds.
    pub hold: f64,
    /// Half the 95 % interval of their product, as a share of it: arrivals are counted (Poisson), holds are averaged.
    within: f64,
}

impl Demand {
    /// Arrivals are what was acquired, plus what gave up, plus what the queue grew by, plus what sessions that wait do not ask for
    /// (see [`queueing::waiting_share`]).
    pub fn of(timeline: &Timeline, pool: &str, seen: &Seen) -> Option<Self> {
        let seconds = window::seconds(seen.span);
        let sums = window::summed(timeline, &lane(pool, "waiters"), seen.span, 30, seen.grid.carry());
        let growth = trend(&sums).filter(|t| t.rising > 0.9).map_or(0.0, |t| t.slope.max(0.0));
        let waiting = queueing::waiting_share(timeline, seen.waiters_mean, seen.span, MOST_WAITING_SHARE);
        let arrivals = seen.asked? + growth + seen.timeouts / seconds;
        let counted = (seen.wait.count().max(1) as f64).recip();
        let within = INTERVAL * (counted + seen.hold.mean_error().unwrap_or(1.0).powi(2)).sqrt();
        Some(Self { rate: arrivals / (1.0 - waiting), hold: seen.hold.mean_ns()?, within })
    }

    /// Connections busy on average.
    pub fn busy(&self) -> f64 {
        self.rate * self.hold / 1e9
    }

    /// The 95 % interval of [`Demand::busy`].
    pub fn interval(&self) -> (f64, f64) {
        (self.busy() * (1.0 - self.within).max(0.0), self.busy() * (1.0 + self.within))
    }
}
