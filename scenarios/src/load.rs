//! How load is applied beyond a level or one ramp: its curve in legs, chance, turns, caps and churn.
//!
//! Owns what every user of a plan asks of a [`Model`] whatever its form: what is loaded, along which legs, under
//! which rules. When anything starts is `loadgen`'s schedule.

use serde::{Deserialize, Serialize};

use crate::plan::{Dist, Model, SessionKind, Step, Times};

/// Most sessions at once: the engine numbers a session by its place and tells 2^20 - 1 of them apart, five times what one machine
/// has been seen to hold.
pub const MAX_SESSIONS: u64 = (1 << 20) - 1;

/// What a model's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// Sessions held at once.
    Sessions,
    /// Sessions that arrive, per second.
    Arrivals,
    /// Single passes, per second.
    Requests,
}

/// What wakes the task that releases arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timer {
    /// tokio's wheel: errs by about a millisecond, and costs little.
    #[default]
    Wheel,
    /// A timer of the system and a look at the clock until the instant has come: errs by some tens of
    /// microseconds, and takes up to a core of each worker.
    Precise,
}

/// A stretch of a phase over which the load changes linearly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Its length, ns.
    pub length_ns: u64,
    /// Count or rate per second where it begins.
    pub from: f64,
    /// The same where it ends.
    pub to: f64,
}

/// A load model with all its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// What is counted.
    pub of: Of,
    /// Its course: at least one leg, together as long as the phase.
    pub legs: Vec<Leg>,
    /// The rules beside it.
    pub rules: Rules,
}

/// What holds in a phase beside the course of its load. Nothing does by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Arrivals come at random (a Poisson process whose rate is the leg's) instead of evenly.
    pub random: bool,
    /// Held places do so many passes and then stay empty.
    pub turns: Option<Turns>,
    /// Arrivals while so many sessions are open, over all workers, are dropped.
    pub max_sessions: Option<u64>,
    /// A held session ends after the turn in which it has lived so long, and is replaced.
    pub lifetime: Option<Dist>,
    /// How long the session of a place that is let go may go on to the end of its turn, ns; without it
    /// the session ends after its current step.
    pub ramp_down_ns: Option<u64>,
}

/// How many passes through a session kind's steps held places do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turns {
    /// So many in each place.
    Each(u64),
    /// So many in all places together.
    Shared(u64),
}

impl Model {
    /// The model whose numbers count `of`, along `legs` (at least one) and under `rules`, in its plainest form.
    pub(crate) fn of_legs(of: Of, legs: Vec<Leg>, rules: Rules) -> Self {
        if let &[Leg { from, to, .. }] = legs.as_slice()
            && rules == Rules::default()
        {
            return match of {
                Of::Sessions => Self::Sessions { from, to },
                Of::Arrivals => Self::Arrivals { from, to },
                Of::Requests => Self::Requests { from, to },
            };
        }
        Self::Shaped(Box::new(Shape { of, legs, rules }))
    }

    /// What the model's numbers count.
    #[must_use]
    pub fn of(&self) -> Of {
        match self {
            Self::Sessions { .. } => Of::Sessions,
            Self::Arrivals { .. } => Of::Arrivals,
            Self::Requests { .. } => Of::Requests,
            Self::Shaped(shape) => shape.of,
        }
    }

    /// Its course over a phase of `length_ns`.
    #[must_use]
    pub fn legs(&self, length_ns: u64) -> Vec<Leg> {
        match self {
            Self::Sessions { from, to } | Self::Arrivals { from, to } | Self::Requests { from, to } => {
                vec![Leg { length_ns, from: *from, to: *to }]
            }
            Self::Shaped(shape) => shape.legs.clone(),
        }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> Rules {
        match self {
            Self::Shaped(shape) => shape.rules,
            _ => Rules::default(),
        }
    }

    /// Count or rate at the start and at the end.
    #[must_use]
    pub fn ends(&self) -> (f64, f64) {
        match self {
            Self::Sessions { from, to } | Self::Arrivals { from, to } | Self::Requests { from, to } => {
                (*from, *to)
            }
            Self::Shaped(s) => (s.legs.first().map_or(0.0, |l| l.from), s.legs.last().map_or(0.0, |l| l.to)),
        }
    }

    /// Greatest count or rate.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.legs(0).iter().fold(0.0, |most, leg| most.max(leg.from).max(leg.to))
    }

    /// Starts that it plans over a phase of `length_ns`; 0 where sessions are held.
    #[must_use]
    pub fn starts(&self, length_ns: u64) -> f64 {
        if self.of() == Of::Sessions {
            return 0.0;
        }
        self.legs(length_ns).iter().map(|l| f64::midpoint(l.from, l.to) * l.length_ns as f64 / 1e9).sum()
    }
}

impl SessionKind {
    /// Is it a journey, whose steps are code?
    #[must_use]
    pub fn is_journey(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Journey(_)))
    }

    /// Does a pass never end by itself?
    #[must_use]
    pub fn is_endless(&self) -> bool {
        fn endless(step: &Step) -> bool {
            matches!(step, Step::Repeat(r) if r.times == Times::UntilEnd) || step.inner().any(endless)
        }
        self.steps.iter().any(endless)
    }
}
