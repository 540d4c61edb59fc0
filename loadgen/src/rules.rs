//! A worker's part of what holds in each phase beside its schedule: passes, caps, lifetimes, grace.
//!
//! Owns the exact split: whole caps and shared passes are divided so that the workers' parts add up to them.

use std::cell::Cell;
use std::rc::Rc;

use scenarios::plan::{Dist, RunPlan, Turns};

/// Passes that may still be begun.
pub type Left = Rc<Cell<u64>>;

/// One worker's rules of one phase.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Most of its sessions that may be open when one arrives.
    pub max_sessions: Option<u64>,
    /// How long held sessions live.
    pub lifetime: Option<Dist>,
    /// How long a session that is let go may go on with its turn, ns.
    pub ramp_down_ns: Option<u64>,
    turns: Option<Passes>,
}

#[derive(Debug, Clone)]
enum Passes {
    Each(u64),
    Shared(Left),
}

/// One worker's rules of all phases.
#[derive(Debug)]
pub struct Parts {
    /// Each with the instant at which it ends; ascending.
    parts: Vec<(u64, Part)>,
}

impl Parts {
    /// Those of worker `worker` of `workers`.
    #[must_use]
    pub fn of(plan: &RunPlan, worker: u32, workers: u32) -> Self {
        let (worker, workers) = (u64::from(worker), u64::from(workers));
        let mut end = 0;
        let parts = plan.phases.iter().map(|phase| {
            end += phase.length_ns;
            let rules = phase.model.rules();
            let places = phase.model.peak().max(1.0) as u64;
            let part = Part {
                max_sessions: rules.max_sessions.map(|n| dealt(n, worker, workers)),
                lifetime: rules.lifetime,
                ramp_down_ns: rules.ramp_down_ns,
                turns: rules.turns.map(|turns| match turns {
                    Turns::Each(n) => Passes::Each(n),
                    Turns::Shared(n) => {
                        Passes::Shared(Rc::new(Cell::new(shared(n, places, worker, workers))))
                    }
                }),
            };
            (end, part)
        });
        Self { parts: parts.collect() }
    }

    /// Number of the phase at `at` (run time, ns); that of the last one from its end on.
    #[must_use]
    pub fn phase_at(&self, at: u64) -> usize {
        self.parts.partition_point(|(end, _)| *end <= at).min(self.parts.len().saturating_sub(1))
    }

    /// What holds at `at`.
    ///
    /// # Panics
    /// For a plan without phases, which none is.
    #[must_use]
    pub fn at(&self, at: u64) -> &Part {
        &self.parts[self.phase_at(at)].1
    }

    /// Is the last phase one that ends when its passes are done?
    #[must_use]
    pub fn last_may_end_early(&self) -> bool {
        self.parts.last().is_some_and(|(_, part)| part.turns.is_some())
    }
}

impl Part {
    /// The passes that a place may begin which is held from now on; none: any number.
    #[must_use]
    pub fn passes(&self) -> Option<Left> {
        self.turns.as_ref().map(|turns| match turns {
            Passes::Each(n) => Rc::new(Cell::new(*n)),
            Passes::Shared(left) => Rc::clone(left),
        })
    }
}

/// Begins a pass if one is left.
#[must_use]
pub fn take(left: Option<&Left>) -> bool {
    left.is_none_or(|left| {
        let n = left.get();
        left.set(n.saturating_sub(1));
        n > 0
    })
}

/// The part of `n` things dealt out in turn, the first to worker 0.
fn dealt(n: u64, worker: u64, workers: u64) -> u64 {
    n / workers + u64::from(worker < n % workers)
}

/// The part of `n` passes of a worker that has every `workers`-th of `places` places: as large as its share of them, so
/// that none is given to a worker without a place.
fn shared(n: u64, places: u64, worker: u64, workers: u64) -> u64 {
    let before: u64 = (0..worker).map(|w| dealt(places, w, workers)).sum();
    let upto = |p: u64| (u128::from(n) * u128::from(p) / u128::from(places)) as u64;
    upto(before + dealt(places, worker, workers)) - upto(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_add_up(n in 0u64..1_000_000_000_000, places in 1u64..10_000, workers in 1u64..12) {
            prop_assert_eq!((0..workers).map(|w| dealt(n, w, workers)).sum::<u64>(), n);
            let parts: Vec<u64> = (0..workers).map(|w| shared(n, places, w, workers)).collect();
            prop_assert_eq!(parts.iter().sum::<u64>(), n);
            for (w, part) in (0..).zip(parts) {
                prop_assert!(part == 0 || dealt(places, w, workers) > 0, "worker {} has no place", w);
            }
        }
    }
}
