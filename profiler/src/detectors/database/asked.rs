//! What the requests of one route ask of the database.
//!
//! Owns the sums over a window and all instances, and the choice of that window; what is too much is for detectors.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Span, Timeline};

use crate::window;

/// Requests in a window from which on their mean says something about the route: what two single odd ones add is a
/// quarter of it.
const LEAST_REQUESTS: u64 = 8;
/// Windows that are tried, seconds: the shortest that has enough requests in it.
const WINDOWS_S: [f64; 3] = [2.0, 3.0, 5.0];
/// A cell in the search for an onset: two intervals of a 10 Hz lane, the resolution with which causes are told from effects.
const CELL: Duration = Duration::from_millis(200);
/// How far back an onset is searched: the longest window, and as much again.
const BACK_CELLS: u32 = 50;

/// Sums over the requests of a route within a span.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    timeline: &'a Timeline,
    route: &'a str,
    /// The window.
    pub span: Span,
    /// Requests that used the database and have ended.
    pub requests: u64,
    /// Statements that they sent.
    pub statements: f64,
    /// Those whose fingerprint the same request had sent before.
    pub repeated: f64,
    /// Connections taken.
    pub checkouts: f64,
}

/// Routes whose requests use the database, sorted.
pub fn routes(timeline: &Timeline) -> Vec<&str> {
    window::subjects(timeline, names::SERVER_DB_TIME)
}

impl<'a> Asked<'a> {
    /// Over `span`.
    pub fn within(timeline: &'a Timeline, route: &'a str, span: Span) -> Self {
        let count = |name| window::counted_of(window::about(timeline, name, route), span).unwrap_or_default();
        let timed = window::about(timeline, names::SERVER_DB_TIME, route);
        Self {
            timeline,
            route,
            span,
            requests: timed.flat_map(|s| s.intervals_within(span)).map(|i| i.1.count()).sum(),
            statements: count(names::SERVER_DB_STATEMENTS),
            repeated: count(names::SERVER_DB_REPEATED),
            checkouts: count(names::SERVER_DB_CHECKOUTS),
        }
    }

    /// Mean over the requests of the times with a connection (the wait for it among them), added up; none without requests.
    pub fn time_ns(&self) -> Option<f64> {
        self.mean_of(names::SERVER_DB_TIME)
    }

    /// Mean over the requests of the time in which any of them was under way.
    pub fn wall_ns(&self) -> Option<f64> {
        self.mean_of(names::SERVER_DB_WALL)
    }

    fn mean_of(&self, name: &str) -> Option<f64> {
        window::durations_about(self.timeline, name, self.route, self.span).mean_ns()
    }

    /// Over the shortest window up to `at` that has enough requests in it; none where no window has.
    pub fn lately(timeline: &'a Timeline, route: &'a str, at: RunTime) -> Option<Self> {
        let mut tried = WINDOWS_S.iter().map(|&s| Self::within(timeline, route, window::last(at, s)));
        tried.find(|a| a.requests >= LEAST_REQUESTS)
    }

    /// `total` for each request.
    pub fn each(&self, total: f64) -> f64 {
        total / (self.requests as f64).max(1.0)
    }
}

/// Since when cells have been bad, back from `at` to the last good one; cells of which `bad` says nothing are passed over.
pub fn onset(
    timeline: &Timeline,
    route: &str,
    at: RunTime,
    bad: impl Fn(&Asked) -> Option<bool>,
) -> Option<RunTime> {
    let mut since = None;
    for i in 0..BACK_CELLS {
        let end = at.back(CELL * i) + Duration::from_nanos(1);
        let span = Span::new(end.back(CELL), end);
        match bad(&Asked::within(timeline, route, span)) {
            Some(true) => since = Some(span.start),
            Some(false) => break,
            None => {}
        }
    }
    since
}
