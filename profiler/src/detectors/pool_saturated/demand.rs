//! What the load wants of a pool: Little's law on its arrivals, which sessions that wait lower.

use timeline::clock::RunTime;
use timeline::{Span, Timeline};

use super::{Part, Seen, part};
use crate::detectors::queueing::{self, Wanted};
use crate::stats::trend;
use crate::window;

/// Standard errors on either side of an interval that holds the truth in 19 of 20 cases.
const INTERVAL: f64 = 1.96;

/// What the load wants of the pool, were nobody to wait.
pub struct Demand {
    /// Acquisitions, for how long each, and what follows.
    pub wanted: Wanted,
    /// Half the 95 % interval of the connections that are busy, as a share: arrivals are counted (Poisson), holds are averaged.
    pub within: f64,
}

impl Demand {
    /// Arrivals are what was acquired, plus what gave up, plus what the queue grew by; what sessions that wait do not ask for is
    /// [`Wanted`]'s to judge. A hold counts for the window's length at most: of one that began before it, no more was in it.
    pub fn of(timeline: &Timeline, pool: &str, at: RunTime, parts: &[&Part], seen: &Seen) -> Option<Self> {
        let seconds = window::seconds(seen.span);
        let growth =
            trend(&seen.waiters(parts, 30)).filter(|t| t.rising > 0.9).map_or(0.0, |t| t.slope.max(0.0));
        let arrivals = seen.asked? + growth + seen.timeouts / seconds;
        let counted = (seen.wait.count().max(1) as f64).recip();
        let within = INTERVAL * (counted + seen.hold.mean_error().unwrap_or(1.0).powi(2)).sqrt();
        let hold = seen.hold.mean_up_to_ns(seconds * 1e9)?;
        let queue = (seen.waiters_mean, seen.capacity);
        let before = before(timeline, pool, at, parts);
        Some(Self { wanted: Wanted::of(timeline, seen.span, arrivals, hold, queue, before), within })
    }

    /// The 95 % interval of the connections that are busy.
    pub fn interval(&self) -> (f64, f64) {
        let busy = self.wanted.busy();
        (busy * (1.0 - self.within).max(0.0), busy * (1.0 + self.within))
    }
}

/// Acquisitions per second of the same processes under the same load, before anybody waited.
fn before(timeline: &Timeline, pool: &str, at: RunTime, parts: &[&Part]) -> Option<f64> {
    let past: Span = queueing::past(timeline, at);
    let onset =
        parts.iter().filter_map(|p| part(timeline, pool, p.instance(), past, p.grid)?.onset(at)).min()?;
    queueing::rate_before(parts.iter().filter_map(|p| p.wait), past, onset)
}
