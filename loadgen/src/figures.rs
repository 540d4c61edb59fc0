//! What a worker counts: totals, and per-step histograms handed over as deltas.
//!
//! Owns recording: a cell or a histogram each, no lock, no channel, no allocation after a step's first
//! use. An interval ends exactly at a whole second of the run or at a phase's end, so that none holds samples of two
//! phases: whoever records a later instant first closes it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use timeline::histogram::{self, Histogram, Sparse};

use crate::kind::ErrorKind;
use crate::protocol::{Counters, FailedCheck, Histograms, KindCounters, StepHistograms};
use crate::sse::figures::SseFigures;
use crate::ws::figures::WsFigures;

/// Longest histogram interval, ns.
pub const INTERVAL_NS: u64 = 1_000_000_000;
/// A start this much behind its time is late, ns.
pub const LATE_NS: u64 = 10_000_000;
/// Intervals kept while the coordinator takes none; older ones are dropped and their samples counted.
const INTERVALS_MAX: usize = 60;
/// Most different statuses of failed steps that are told apart: a target could send nine hundred, each of which is a lane.
const STATUSES_MAX: usize = 32;

/// Counters and histograms of one worker.
#[derive(Debug)]
pub struct Figures {
    /// Starts that were planned.
    pub offered: Cell<u64>,
    /// Starts that happened.
    pub achieved: Cell<u64>,
    /// Steps that finished, failed ones among them.
    pub completed: Cell<u64>,
    /// Planned starts that never happened.
    pub dropped: Cell<u64>,
    /// Those of them that the plan had no session free for ...
    pub over_cap: Cell<u64>,
    /// ... and those that this process had no descriptors for.
    pub over_descriptors: Cell<u64>,
    /// Starts that were late by our own fault.
    pub late: Cell<u64>,
    /// WebSocket messages and events of event streams that no step waited for.
    pub pushed: Cell<u64>,
    /// Bytes read.
    pub received: Cell<u64>,
    /// Bytes written.
    pub sent: Cell<u64>,
    /// Kept connections that were found closed, or to have said something unasked, before a request was sent on them: it went out on
    /// a new one.
    pub replaced: Cell<u64>,
    /// Requests that were sent and reset, refused or left without an answer, and were sent again, so that they are no errors. One that
    /// may not be sent twice is none of them: it has failed.
    pub retried: Cell<u64>,
    /// Answers to HTTP steps that were redirects with a `Location` and were not followed, but for those whose step asks for that
    /// status.
    pub unfollowed_redirects: Cell<u64>,
    /// Sessions open now.
    pub open_sessions: Cell<u64>,
    /// Connections open now.
    pub open_connections: Cell<u64>,
    /// WebSockets, and what is pushed on whatever it is.
    pub ws: WsFigures,
    /// Event streams.
    pub sse: SseFigures,
    most_sessions: Cell<u64>,
    errors: [Cell<u64>; ErrorKind::ALL.len()],
    statuses: RefCell<BTreeMap<u16, u64>>,
    rowless: Box<[Cell<u64>]>,
    kinds: Box<[Cell<KindCounters>]>,
    /// By step and number of the check: no more than the plan has.
    failed_checks: RefCell<BTreeMap<(usize, usize), FailedCheck>>,
    lost_samples: Cell<u64>,
    /// When the open interval began, and when it is over.
    begun: Cell<u64>,
    over: Cell<u64>,
    /// When each phase ends; ascending.
    ends: Box<[u64]>,
    open: RefCell<Open>,
    closed: RefCell<VecDeque<Histograms>>,
}

#[derive(Debug)]
struct Open {
    steps: Vec<Step>,
    lateness: Histogram,
    release_error: Histogram,
}

#[derive(Debug, Default)]
struct Step {
    response: Option<Box<Histogram>>,
    service: Option<Box<Histogram>>,
    finished: u64,
    failed: u64,
}

/// Adds to a counter.
pub fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}

/// Records so many ns; a histogram comes with its first sample.
pub fn record(histogram: &mut Option<Box<Histogram>>, ns: u64) {
    histogram::record_ns(histogram.get_or_insert_with(|| Box::new(histogram::new())), ns);
}

/// What was recorded since the last time.
pub fn take(histogram: Option<&mut Histogram>) -> Sparse {
    let Some(histogram) = histogram.filter(|h| !h.is_empty()) else { return Sparse::default() };
    let cells = Sparse::of(histogram);
    histogram.reset();
    cells
}

/// Takes one from a gauge.
pub fn sub(gauge: &Cell<u64>) {
    gauge.set(gauge.get().saturating_sub(1));
}

impl Figures {
    /// Nothing counted, for `steps` steps, `kinds` kinds of sessions, `feeders` feeders and phases that end then (run times, ns;
    /// ascending).
    #[must_use]
    pub fn new(steps: usize, kinds: usize, feeders: usize, ends: impl IntoIterator<Item = u64>) -> Self {
        let zero = || Cell::new(0);
        let ends: Box<[u64]> = ends.into_iter().collect();
        Self {
            offered: zero(),
            achieved: zero(),
            completed: zero(),
            dropped: zero(),
            over_cap: zero(),
            over_descriptors: zero(),
            late: zero(),
            pushed: zero(),
            received: zero(),
            sent: zero(),
            replaced: zero(),
            retried: zero(),
            unfollowed_redirects: zero(),
            open_sessions: zero(),
            open_connections: zero(),
            ws: WsFigures::default(),
            sse: SseFigures::default(),
            most_sessions: zero(),
            errors: [const { Cell::new(0) }; ErrorKind::ALL.len()],
            statuses: RefCell::default(),
            rowless: vec![Cell::default(); feeders].into_boxed_slice(),
            kinds: vec![Cell::default(); kinds].into_boxed_slice(),
            failed_checks: RefCell::default(),
            lost_samples: zero(),
            begun: zero(),
            over: Cell::new(borders(&ends, 0).1),
            ends,
            open: RefCell::new(Open {
                steps: (0..steps).map(|_| Step::default()).collect(),
                lateness: histogram::new(),
                release_error: histogram::new(),
            }),
            closed: RefCell::default(),
        }
    }

    /// Counts an error that belongs to no step, such as a WebSocket lost between steps.
    pub fn error(&self, kind: ErrorKind) {
        add(&self.errors[kind as usize], 1);
    }

    /// An answer's status is why its step fails: the kind of its error, which is counted when the step finishes.
    #[must_use]
    pub fn unwanted(&self, status: u16) -> ErrorKind {
        let mut statuses = self.statuses.borrow_mut();
        if statuses.len() < STATUSES_MAX || statuses.contains_key(&status) {
            *statuses.entry(status).or_default() += 1;
        }
        ErrorKind::Status
    }

    /// A planned start is dropped, since this feeder has no row left for it.
    pub fn rowless(&self, feeder: usize) {
        add(&self.dropped, 1);
        if let Some(cell) = self.rowless.get(feeder) {
            add(cell, 1);
        }
    }

    /// Most sessions that were open at once since the last time.
    pub fn take_most_sessions(&self) -> u64 {
        self.most_sessions.replace(self.open_sessions.get())
    }

    /// A check of a step does not hold; the first time `told` says what was to hold, and what was found.
    pub fn check_failed(&self, step: usize, check: usize, told: impl FnOnce() -> (String, String)) {
        let mut all = self.failed_checks.borrow_mut();
        let failed = all.entry((step, check)).or_insert_with(|| {
            let (what, found) = told();
            FailedCheck { step: step as u16, what, count: 0, found }
        });
        failed.count += 1;
    }

    /// The checks that have failed so far.
    #[must_use]
    pub fn failed_checks(&self) -> Vec<FailedCheck> {
        self.failed_checks.borrow().values().cloned().collect()
    }

    /// A session of this kind begins.
    pub fn opened(&self, kind: usize) {
        add(&self.open_sessions, 1);
        self.most_sessions.update(|most| most.max(self.open_sessions.get()));
        if let Some(cell) = self.kinds.get(kind) {
            cell.update(|k| KindCounters { started: k.started + 1, ..k });
        }
    }

    /// A session of this kind has ended, however it did.
    pub fn ended(&self, kind: usize) {
        sub(&self.open_sessions);
        if let Some(cell) = self.kinds.get(kind) {
            cell.update(|k| KindCounters { ended: k.ended + 1, ..k });
        }
    }

    /// A step starts at `started` that could have started at `due` (run times, ns).
    pub fn started(&self, due: u64, started: u64) {
        self.roll(started);
        add(&self.achieved, 1);
        let lateness = started.saturating_sub(due);
        if lateness > LATE_NS {
            add(&self.late, 1);
        }
        histogram::record_ns(&mut self.open.borrow_mut().lateness, lateness);
    }

    /// A step finished. A failure before any contact with the target has no service time.
    pub fn finished(
        &self,
        step: usize,
        intended: u64,
        started: u64,
        finished: u64,
        failed: Option<ErrorKind>,
    ) {
        self.roll(finished);
        add(&self.completed, 1);
        if let Some(kind) = failed {
            self.error(kind);
        }
        let mut open = self.open.borrow_mut();
        let Some(figures) = open.steps.get_mut(step) else { return };
        figures.finished += 1;
        figures.failed += u64::from(failed.is_some());
        if failed.is_some_and(ErrorKind::before_contact) {
            return;
        }
        record(&mut figures.response, finished.saturating_sub(intended));
        record(&mut figures.service, finished.saturating_sub(started));
    }

    /// Something was timed inside a step at `now`, such as an answer's first byte; `took` ns, or it was only found to have
    /// failed. It is in no total and has no service time.
    pub fn inside(&self, step: usize, now: u64, took: Option<u64>, failed: bool) {
        self.roll(now);
        let mut open = self.open.borrow_mut();
        let Some(figures) = open.steps.get_mut(step) else { return };
        figures.finished += u64::from(took.is_some());
        figures.failed += u64::from(failed);
        if let Some(took) = took {
            record(&mut figures.response, took);
        }
    }

    /// The timer released at `now` what was due at `due`.
    pub fn released(&self, due: u64, now: u64) {
        histogram::record_ns(&mut self.open.borrow_mut().release_error, now.saturating_sub(due));
    }

    /// Closes the interval if `now` lies behind it.
    pub fn roll(&self, now: u64) {
        if now >= self.over.get() {
            self.close(self.over.get(), now);
        }
    }

    /// Closes the last interval, which may be shorter, at `now`.
    pub fn close_last(&self, now: u64) {
        self.roll(now);
        self.close(now, now);
    }

    /// Closes the interval, which ends at `end`; the next one is that in which `now` lies.
    #[cold]
    fn close(&self, end: u64, now: u64) {
        let mut open = self.open.borrow_mut();
        let steps = open.steps.iter_mut().enumerate().filter_map(|(i, s)| s.take(i as u16)).collect();
        let closed = Histograms {
            start: self.begun.get(),
            end,
            steps,
            lateness: take(Some(&mut open.lateness)),
            release_error: take(Some(&mut open.release_error)),
            ws: self.ws.take(),
        };
        let (begun, over) = borders(&self.ends, now);
        self.begun.set(begun);
        self.over.set(over);
        let mut waiting = self.closed.borrow_mut();
        if waiting.len() >= INTERVALS_MAX
            && let Some(lost) = waiting.pop_front()
        {
            add(&self.lost_samples, lost.steps.iter().map(|s| s.service.count()).sum());
        }
        waiting.push_back(closed);
    }

    /// The oldest closed interval that was not taken yet.
    pub fn take_closed(&self) -> Option<Histograms> {
        self.closed.borrow_mut().pop_front()
    }

    /// Puts back what could not be sent.
    pub fn untake(&self, interval: Histograms) {
        self.closed.borrow_mut().push_front(interval);
    }

    /// The counters at `at` (run time, ns); what only the process knows, and what is taken, is left 0.
    #[must_use]
    pub fn counters(&self, at: u64) -> Counters {
        Counters {
            at,
            offered: self.offered.get(),
            achieved: self.achieved.get(),
            completed: self.completed.get(),
            dropped: self.dropped.get(),
            over_cap: self.over_cap.get(),
            over_descriptors: self.over_descriptors.get(),
            late: self.late.get(),
            pushed: self.pushed.get(),
            received: self.received.get(),
            sent: self.sent.get(),
            replaced: self.replaced.get(),
            retried: self.retried.get(),
            unfollowed_redirects: self.unfollowed_redirects.get(),
            open_sessions: self.open_sessions.get(),
            open_connections: self.open_connections.get(),
            lost_samples: self.lost_samples.get(),
            errors: self.errors.iter().map(Cell::get).collect(),
            statuses: self.statuses.borrow().iter().map(|(&status, &n)| (status, n)).collect(),
            rowless: self.rowless.iter().map(Cell::get).collect(),
            kinds: self.kinds.iter().map(Cell::get).collect(),
            ws: self.ws.counters(),
            sse: self.sse.counters(),
            most_sessions: 0,
            cpu_ns: 0,
            hiccup_ns: 0,
        }
    }
}

/// Start and end of the interval in which `at` lies: a whole second each, or the end of a phase that is nearer.
fn borders(ends: &[u64], at: u64) -> (u64, u64) {
    let second = at - at % INTERVAL_NS;
    let past = ends.partition_point(|end| *end <= at);
    let before = past.checked_sub(1).map_or(0, |i| ends[i]);
    let after = ends.get(past).copied().unwrap_or(u64::MAX);
    (second.max(before), after.min(second + INTERVAL_NS))
}

impl Step {
    fn take(&mut self, step: u16) -> Option<StepHistograms> {
        if self.finished == 0 && self.failed == 0 {
            return None;
        }
        let taken = StepHistograms {
            step,
            finished: self.finished,
            failed: self.failed,
            response: take(self.response.as_deref_mut()),
            service: take(self.service.as_deref_mut()),
        };
        (self.finished, self.failed) = (0, 0);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_ends_at_a_whole_second_whoever_comes_first() {
        let f = Figures::new(1, 1, 0, []);
        f.started(0, 20_000_000);
        f.finished(0, 0, 20_000_000, 999_999_999, None);
        f.finished(0, 0, 20_000_000, 1_000_000_000, Some(ErrorKind::Check));
        f.finished(0, 0, 0, 1_000_000_001, Some(ErrorKind::ConnectRefused));
        f.close_last(1_500_000_000);
        let (a, b) = (f.take_closed().unwrap(), f.take_closed().unwrap());
        assert_eq!((a.start, a.end, a.steps[0].finished), (0, 1_000_000_000, 1));
        assert_eq!((b.start, b.end, b.steps[0].finished), (1_000_000_000, 1_500_000_000, 2));
        assert_eq!((b.steps[0].failed, b.steps[0].service.count()), (2, 1));
        assert_eq!((f.late.get(), a.lateness.count()), (1, 1));
        assert!(f.take_closed().is_none());
    }

    #[test]
    fn an_interval_holds_samples_of_one_phase_only() {
        const MS: u64 = 1_000_000;
        let f = Figures::new(1, 1, 0, [500 * MS, 1500 * MS, 2000 * MS, 3300 * MS]);
        for ms in [100, 499, 500, 1200, 1500, 2000, 3100, 3299] {
            f.finished(0, 0, 0, ms * MS, None);
        }
        f.close_last(3400 * MS);
        let told: Vec<_> = std::iter::from_fn(|| f.take_closed())
            .map(|h| (h.start / MS, h.end / MS, h.steps.iter().map(|s| s.finished).sum::<u64>()))
            .collect();
        let phases = [(0, 500, 2), (500, 1000, 1), (1000, 1500, 1), (1500, 2000, 1), (2000, 3000, 1)];
        assert_eq!(told[..5], phases);
        assert_eq!(told[5..], [(3000, 3300, 2), (3300, 3400, 0)], "the last one, and what ends behind it");
    }

    #[test]
    fn a_quiet_gap_gives_one_interval_not_many() {
        let f = Figures::new(1, 1, 0, []);
        f.finished(0, 0, 0, 100, None);
        f.finished(0, 0, 0, 7_200_000_000, None);
        let a = f.take_closed().unwrap();
        assert_eq!((a.start, a.end), (0, 1_000_000_000));
        assert!(f.take_closed().is_none());
        f.close_last(7_300_000_000);
        assert_eq!(f.take_closed().unwrap().start, 7_000_000_000);
    }

    #[test]
    fn statuses_are_told_apart_up_to_a_bound() {
        let f = Figures::new(1, 1, 0, []);
        for status in (400..500).chain([404, 404]) {
            assert_eq!(f.unwanted(status), ErrorKind::Status);
        }
        let statuses = f.counters(0).statuses;
        assert_eq!(statuses.len(), STATUSES_MAX);
        assert_eq!((statuses[0], statuses[4]), ((400, 1), (404, 3)));
    }

    #[test]
    fn the_most_sessions_at_once_are_those_since_they_were_last_taken() {
        let f = Figures::new(1, 1, 0, []);
        (0..3).for_each(|_| f.opened(0));
        (0..2).for_each(|_| f.ended(0));
        assert_eq!((f.open_sessions.get(), f.take_most_sessions()), (1, 3));
        assert_eq!(f.take_most_sessions(), 1, "what is still open, is open in the next interval too");
        f.ended(0);
        assert_eq!((f.take_most_sessions(), f.take_most_sessions()), (1, 0));
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_counted() {
        let f = Figures::new(1, 1, 0, []);
        for i in 0..100 {
            f.finished(0, 0, 0, i * INTERVAL_NS, None);
        }
        assert_eq!(f.closed.borrow().len(), INTERVALS_MAX);
        assert_eq!(f.counters(0).lost_samples, 99 - INTERVALS_MAX as u64);
    }
}
