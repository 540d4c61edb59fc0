//! Pieces: stretches of a schedule over which a rate or a held count changes linearly.
//!
//! Owns the arithmetic: the integral of a rate, its inverse, and when a ramp passes a count. A piece is
//! a phase, or a part of one where a person has changed the load meanwhile.

use scenarios::plan::{Of, Phase};

const NS_PER_S: f64 = 1e9;

/// What a piece's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Sessions held at a count.
    Held,
    /// Sessions arriving, per second.
    Arrivals,
    /// Single passes on pooled connections, per second.
    Requests,
}

/// A stretch with one linear change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// From the run's start, ns.
    pub start: u64,
    /// Its end, ns.
    pub end: u64,
    /// What is loaded.
    pub load: Load,
    /// Rate per second or count at the start, as scaled; finite, not negative.
    pub from: f64,
    /// The same at the end.
    pub to: f64,
    /// Both as planned.
    planned: (f64, f64),
    /// Arrivals that all earlier pieces of the same kind (even, or at random) hold, not rounded.
    pub base: f64,
    /// Do arrivals come at random?
    pub random: bool,
    /// Are places held before it let go, and its own held anew: do these or those count their passes?
    pub anew: bool,
}

impl Piece {
    /// The pieces of a plan, in order, without gaps.
    #[must_use]
    pub fn of_phases(phases: &[Phase]) -> Vec<Self> {
        let mut start = 0;
        let mut counted = false;
        let mut pieces = Vec::with_capacity(phases.len());
        for phase in phases {
            let load = match phase.model.of() {
                Of::Sessions => Load::Held,
                Of::Arrivals => Load::Arrivals,
                Of::Requests => Load::Requests,
            };
            let rules = phase.model.rules();
            let past = start + phase.length_ns;
            // Places whose passes were counted are empty, or go on counting: they are of no use to the next phase either.
            let anew = std::mem::replace(&mut counted, rules.turns.is_some()) || counted;
            for (i, leg) in phase.model.legs(phase.length_ns).into_iter().enumerate() {
                let end = past.min(start + leg.length_ns);
                let planned = (sane(leg.from), sane(leg.to));
                pieces.push(Self {
                    start,
                    end,
                    load,
                    from: planned.0,
                    to: planned.1,
                    planned,
                    base: 0.0,
                    random: rules.random,
                    anew: i == 0 && anew,
                });
                start = end;
            }
            start = past;
        }
        rebase(&mut pieces);
        pieces
    }

    /// Arrivals within the piece, not rounded; 0 where sessions are held.
    #[must_use]
    pub fn arrivals(&self) -> f64 {
        if self.load == Load::Held { 0.0 } else { (self.from + self.to) / 2.0 * self.seconds() }
    }

    /// Rate or count at `at`, which is cut to the piece.
    #[must_use]
    pub fn value_at(&self, at: u64) -> f64 {
        let share = at.clamp(self.start, self.end).saturating_sub(self.start) as f64
            / (self.end - self.start).max(1) as f64;
        self.from + (self.to - self.from) * share
    }

    /// The parts before and from `at` on, which lies inside.
    #[must_use]
    pub fn split(self, at: u64) -> (Self, Self) {
        let share = (at - self.start) as f64 / (self.end - self.start).max(1) as f64;
        let planned = self.planned.0 + (self.planned.1 - self.planned.0) * share;
        let value = self.value_at(at);
        let before = Self { end: at, to: value, planned: (self.planned.0, planned), ..self };
        let after = Self { start: at, from: value, planned: (planned, self.planned.1), anew: false, ..self };
        (before, after)
    }

    /// From now on it is so many times what was planned.
    pub fn scale(&mut self, factor: f64) {
        (self.from, self.to) = (self.planned.0 * factor, self.planned.1 * factor);
    }

    /// Number of the first arrival inside: arrival n lies where the integral passes n + 1/2.
    #[must_use]
    pub fn first(&self) -> u64 {
        (self.base - 0.5).ceil().max(0.0) as u64
    }

    /// Number of the first arrival after it.
    #[must_use]
    pub fn past(&self) -> u64 {
        (self.base + self.arrivals() - 0.5).ceil().max(0.0) as u64
    }

    /// When arrival `n` is due, ns from the run's start; cut to the piece.
    #[must_use]
    pub fn due(&self, n: u64) -> u64 {
        self.when(n as f64 + 0.5)
    }

    /// When the integral passes `place`, ns from the run's start; cut to the piece.
    #[must_use]
    pub fn when(&self, place: f64) -> u64 {
        let wanted = (place - self.base).max(0.0);
        let slope = (self.to - self.from) / self.seconds();
        // Of wanted = from t + slope t^2 / 2 the root that loses no digits when slope is near 0.
        let root = (self.from * self.from + 2.0 * slope * wanted).max(0.0).sqrt();
        let s = 2.0 * wanted / (self.from + root);
        let at = self.start + (s * NS_PER_S) as u64;
        at.clamp(self.start, self.end.saturating_sub(1).max(self.start))
    }

    /// When a held count passes `count` on its way from `from` to `to`, ns; none if it does not before the end.
    #[must_use]
    pub fn passes(&self, count: f64) -> Option<u64> {
        let share = (count - self.from) / (self.to - self.from);
        if !share.is_finite() || !(0.0..1.0).contains(&share) {
            return None;
        }
        let at = self.start + (share * (self.end - self.start) as f64) as u64;
        (at < self.end).then_some(at)
    }

    fn seconds(&self) -> f64 {
        (self.end - self.start).max(1) as f64 / NS_PER_S
    }
}

/// Sets every piece's base from the ones before it. Even arrivals and those at random are integrals of their own.
pub fn rebase(pieces: &mut [Piece]) {
    let mut sums = [0.0; 2];
    for p in pieces {
        let sum = &mut sums[usize::from(p.random)];
        p.base = *sum;
        *sum += p.arrivals();
    }
}

fn sane(x: f64) -> f64 {
    if x.is_finite() { x.max(0.0) } else { 0.0 }
}
