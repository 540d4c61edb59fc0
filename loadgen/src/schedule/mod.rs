//! The schedule: the intended start of every arrival, from plan and seed, before anything runs.
//!
//! Owns when sessions begin and end and which worker has which; [`Schedule`] is a pure iterator that
//! knows no clock. Arrival n lies where the integral of the rate passes n + 1/2, or, where arrivals come at random,
//! event n of a Poisson process of rate 1 that follows from the seed alone, and belongs to worker n mod workers; held session k is started as the count reaches it and belongs to worker k mod workers. So the
//! parts of all workers are disjoint and complete whatever their number, and a lost worker is a known
//! fraction. Releasing what is due is `release`'s business.

mod chance;
mod piece;

use scenarios::plan::RunPlan;

use chance::Event;
use piece::{Load, Piece};

/// Held sessions are numbered `generation * HELD_STRIDE + place`: more places than any machine can hold open.
const HELD_STRIDE: u64 = 1 << 20;
/// Held sessions are numbered from here if the plan has arrivals as well, which are numbered from 0.
const HELD_BASE: u64 = 1 << 44;

/// Arrivals at random are numbered from here, so that even ones keep their numbers whatever chance does.
const CHANCE_BASE: u64 = 1 << 43;

/// What is to happen at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A session arrives.
    Arrive {
        /// Its number, unique over all workers.
        number: u64,
        /// Does it use pooled connections (a `requests` phase)?
        pooled: bool,
    },
    /// The place is to be held from now on: a session starts there, and another when it ends.
    Hold {
        /// Which place.
        place: u32,
    },
    /// The place is given up: its session ends after its current step.
    LetGo {
        /// Which place.
        place: u32,
    },
}

/// An action and its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// From the run's start, ns.
    pub at: u64,
    /// What.
    pub action: Action,
}

/// Numbers of the sessions in one held place: unique over all places and workers, and apart from those of arrivals.
#[derive(Debug, Clone, Copy)]
pub struct Numbering {
    first: u64,
}

impl Numbering {
    /// The number of the session that holds the place after `generation` earlier ones there.
    #[must_use]
    pub const fn held(self, generation: u64) -> u64 {
        self.first + generation * HELD_STRIDE
    }
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    piece: usize,
    /// Has the count of places jumped to where the piece begins?
    settled: bool,
    /// Places held after all that was given out, over all workers.
    held: u32,
    /// Arrivals below this number are given out or belong to others.
    next: u64,
    /// The next event of the arrivals at random.
    event: Event,
    /// When the last one was due, ns.
    event_at: u64,
    /// Have the places of earlier pieces been let go, where the piece holds its own anew?
    cleared: bool,
}

/// One worker's part of a run's schedule, in order of time.
#[derive(Debug, Clone)]
pub struct Schedule {
    pieces: Vec<Piece>,
    worker: u64,
    workers: u64,
    held_base: u64,
    seed: u64,
    factor: f64,
    halted: bool,
    /// The instant of the last action given out.
    given: u64,
    cursor: Cursor,
    peeked: Option<(Planned, Cursor)>,
}

impl Schedule {
    /// The part of worker `worker` of `workers`.
    ///
    /// # Panics
    /// If `worker` is not below `workers`.
    #[must_use]
    pub fn new(plan: &RunPlan, worker: u32, workers: u32) -> Self {
        assert!(worker < workers, "worker {worker} of {workers} does not exist");
        let pieces = Piece::of_phases(&plan.phases);
        let arrivals = pieces.iter().any(|p| p.load != Load::Held);
        Self {
            pieces,
            worker: u64::from(worker),
            workers: u64::from(workers),
            held_base: if arrivals { HELD_BASE } else { 0 },
            seed: plan.seed,
            factor: 1.0,
            halted: false,
            given: 0,
            cursor: Cursor {
                piece: 0,
                settled: false,
                held: 0,
                next: 0,
                event: Event::first(plan.seed),
                event_at: 0,
                cleared: false,
            },
            peeked: None,
        }
    }

    /// When the load ends, ns from the run's start.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |p| p.end)
    }

    /// The next action, without taking it.
    pub fn peek(&mut self) -> Option<Planned> {
        if self.peeked.is_none() {
            self.peeked = self.advance(self.cursor);
        }
        self.peeked.map(|(planned, _)| planned)
    }

    /// How the sessions that hold `place` are numbered.
    #[must_use]
    pub const fn numbering(&self, place: u32) -> Numbering {
        Numbering { first: self.held_base + place as u64 }
    }

    /// From `at` on, but not before the last action given out, rates and counts are `factor` times what the plan says.
    pub fn scale(&mut self, at: u64, factor: f64) {
        if !factor.is_finite() || factor < 0.0 || factor.total_cmp(&self.factor).is_eq() {
            return;
        }
        self.factor = factor;
        self.changed(at);
    }

    /// From `at` on, but not before the last action given out, nothing arrives any more, or again. Held places are as
    /// planned all the same: who holds one stands still.
    pub fn halt(&mut self, at: u64, halted: bool) {
        if std::mem::replace(&mut self.halted, halted) != halted {
            self.changed(at);
        }
    }

    fn changed(&mut self, at: u64) {
        self.peeked = None;
        // The instant of a ramp's step is rounded down to a nanosecond: just behind it the count is surely passed.
        let at = if self.given > 0 { at.max(self.given + 1) } else { at };
        if let Some(i) = self.pieces.iter().position(|p| p.start < at && at < p.end) {
            let (before, after) = self.pieces[i].split(at);
            self.pieces[i] = before;
            self.pieces.insert(i + 1, after);
            if self.cursor.piece > i {
                self.cursor.piece += 1;
            }
        }
        // The places of a piece that begins only now are counted anew.
        if self.pieces.get(self.cursor.piece).is_some_and(|p| p.start >= at) {
            self.cursor.settled = false;
        }
        let arriving = if self.halted { 0.0 } else { self.factor };
        let held = self.factor;
        let later = self.pieces.iter_mut().filter(|p| p.start >= at);
        later.for_each(|p| p.scale(if p.load == Load::Held { held } else { arriving }));
        piece::rebase(&mut self.pieces);
    }

    /// The first action of ours after `c`, and the cursor behind it.
    fn advance(&self, mut c: Cursor) -> Option<(Planned, Cursor)> {
        while let Some(p) = self.pieces.get(c.piece) {
            let found = match self.change_of_places(p, &mut c) {
                None if p.load != Load::Held && p.random => self.chance(p, &mut c),
                None if p.load != Load::Held => self.arrival(p, &mut c),
                change => change,
            };
            match found {
                Some(planned) if self.ours(planned.action) => return Some((planned, c)),
                Some(_) => {}
                None => (c.piece, c.settled, c.cleared) = (c.piece + 1, false, false),
            }
        }
        None
    }

    fn ours(&self, action: Action) -> bool {
        let n = match action {
            Action::Arrive { number, .. } => number,
            Action::Hold { place } | Action::LetGo { place } => u64::from(place),
        };
        n % self.workers == self.worker
    }

    /// The next place to hold or let go within `p`: at its start a jump to where it begins, then the ramp.
    fn change_of_places(&self, p: &Piece, c: &mut Cursor) -> Option<Planned> {
        let held_from = if p.load == Load::Held { places(p.from) } else { 0 };
        let held_to = if p.load == Load::Held { places(p.to) } else { 0 };
        if p.anew && !c.cleared {
            if c.held > 0 {
                return Some(change(c, c.held - 1, p.start));
            }
            c.cleared = true;
        }
        if !c.settled && c.held != held_from {
            let held = if c.held < held_from { c.held + 1 } else { c.held - 1 };
            return Some(change(c, held, p.start));
        }
        c.settled = true;
        if held_from < held_to && c.held < held_to {
            let at = p.passes(f64::from(c.held + 1))?;
            return Some(change(c, c.held + 1, at));
        }
        if held_to < held_from && c.held > held_to {
            let at = p.passes(f64::from(c.held))?;
            return Some(change(c, c.held - 1, at));
        }
        None
    }

    fn arrival(&self, p: &Piece, c: &mut Cursor) -> Option<Planned> {
        let from = c.next.max(p.first());
        // The first number from there on that is ours.
        let n = from + (self.worker + self.workers - from % self.workers) % self.workers;
        if n >= p.past() {
            c.next = c.next.max(p.past());
            return None;
        }
        c.next = n + 1;
        Some(Planned { at: p.due(n), action: Action::Arrive { number: n, pooled: p.load == Load::Requests } })
    }
}

impl Schedule {
    /// The next arrival at random within `p`. Every worker draws all of them, its own and the others', which costs
    /// some nanoseconds each and makes their instants the same whatever the number of workers.
    fn chance(&self, p: &Piece, c: &mut Cursor) -> Option<Planned> {
        let past = p.base + p.arrivals();
        while c.event.place < past {
            let Event { number, place } = c.event;
            c.event = c.event.next(self.seed);
            // Rounding could put two that lie closer than a nanosecond the wrong way round.
            c.event_at = c.event_at.max(p.when(place));
            let number = CHANCE_BASE + number;
            if number % self.workers == self.worker {
                let action = Action::Arrive { number, pooled: p.load == Load::Requests };
                return Some(Planned { at: c.event_at, action });
            }
        }
        None
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        self.peek()?;
        let (planned, cursor) = self.peeked.take()?;
        self.cursor = cursor;
        self.given = planned.at;
        Some(planned)
    }
}

/// Whole places of a count; a hair's breadth below a whole number counts as it.
fn places(count: f64) -> u32 {
    (count + 1e-9).min((HELD_STRIDE - 1) as f64) as u32
}

fn change(c: &mut Cursor, held: u32, at: u64) -> Planned {
    let place = held.min(c.held);
    let action = if held > c.held { Action::Hold { place } } else { Action::LetGo { place } };
    c.held = held;
    Planned { at, action }
}

#[cfg(test)]
mod tests;
