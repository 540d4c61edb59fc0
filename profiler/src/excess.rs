//! Excess: how much response time was added, and when.
//!
//! Owns the profile that findings are blamed for: on a grid of 100 ms, how much time requests in progress were above the
//! median of their step (or route) under settled load before anything was found. Whose fault it is belongs to `blame`.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use crate::stats::{Durations, median};
use crate::window;

/// Cell of the grid: the interval at which agents sample.
pub const CELL: Duration = Duration::from_millis(100);
/// The profile looks back so far at most: what a tick costs must not grow with the run.
pub const REACH: Duration = Duration::from_secs(60);
/// The baseline is read from so much settled load at most.
const BASELINE: Duration = Duration::from_secs(20);
/// What was in progress in it has ended so long after it, but for what took longest, and has been told.
const BEYOND: Duration = Duration::from_secs(5);
/// After a change of load, queues and caches need time to settle; as in the detectors.
pub const SETTLE: Duration = Duration::from_secs(2);
/// A step's own median is taken from so many requests at least: its standard error is then about a quarter of the spread.
const LEAST_SAMPLES: u64 = 20;
/// The target's lane, which comes ten times as often, is used in place of the client's if it holds so much of the client's excess; else what was
/// added lies outside handlers (a frozen process, a full listen queue) and only the client knows it.
const LEAST_HELD: f64 = 0.5;
/// Least excess, as a share of the typical time of all requests in the window, that is worth blaming anybody for.
const LEAST_EXCESS: f64 = 0.05;

/// Added response time over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Excess {
    /// The lane it was read from.
    pub lane: &'static str,
    /// Length of that lane's intervals: to so much it is known when time was added.
    pub known_to: Duration,
    /// From the first cell's start to the last one's end.
    pub span: Span,
    /// Nanoseconds of excess in progress in each cell of [`CELL`].
    pub cells: Vec<f64>,
}

impl Excess {
    /// All of it, ns.
    pub fn total(&self) -> f64 {
        self.cells.iter().sum()
    }

    /// Mean of a cell; 0 without cells.
    pub fn mean(&self) -> f64 {
        self.total() / self.cells.len().max(1) as f64
    }

    /// The part of it in `span`, to whole cells.
    pub fn between(&self, span: Span) -> Self {
        let index = |t: RunTime| (t.since(self.span.start).as_nanos() / CELL.as_nanos()) as usize;
        let end = (index(span.end) + 1).min(self.cells.len());
        let start = index(span.start).min(end);
        let at = |i: usize| self.span.start + CELL * i as u32;
        let cells = self.cells[start..end].to_vec();
        Self { lane: self.lane, known_to: self.known_to, span: Span::new(at(start), at(end)), cells }
    }

    /// What was added at `at` by the time since the load is what it is; `onset` is that of the earliest finding.
    /// None where there is nothing to read or nothing was added.
    pub fn read(timeline: &Timeline, at: RunTime, onset: RunTime) -> Option<Self> {
        let since = settled_since(timeline, at);
        let until = if window::after_plan(timeline.plan(), at) { timeline.plan().end() } else { at };
        let span = Span::new(since.max(until.back(REACH)), until);
        if span.length() < CELL * 10 {
            return None;
        }
        let baseline = baseline(timeline, at, onset, &[]);
        let client = Self::of(timeline, names::RESPONSE, span, baseline)?;
        match Self::of(timeline, names::SERVER_HANDLER, span, baseline) {
            Some(server)
                if server.0.known_to < client.0.known_to
                    && server.0.total() >= LEAST_HELD * client.0.total() =>
            {
                server.worth()
            }
            _ => client.worth(),
        }
    }

    fn of(timeline: &Timeline, lane: &'static str, span: Span, baseline: Option<Span>) -> Option<Added> {
        let usual = usual(timeline, lane, baseline, span);
        if usual.is_empty() {
            return None;
        }
        // What was in progress in the window may have ended a while after it.
        let (mut cells, typical) = density(timeline, lane, &usual, span, CELL);
        if let Some(baseline) = baseline {
            subtract_background(&mut cells, span, baseline, || {
                density(timeline, lane, &usual, baseline, BEYOND).0
            });
        }
        let known_to = interval(timeline, lane, span)?;
        Some(Added(Self { lane, known_to, span, cells }, typical))
    }
}

/// Excess in each cell of `span`, by requests that ended up to `beyond` after it; and what all of those would typically take.
fn density(
    timeline: &Timeline,
    lane: &str,
    usual: &BTreeMap<&str, f64>,
    span: Span,
    beyond: Duration,
) -> (Vec<f64>, f64) {
    let count = (span.length().as_nanos() / CELL.as_nanos()) as usize;
    let mut grid = Grid { start: span.start, cells: vec![0.0; count] };
    let mut typical = 0.0;
    for series in timeline.named(lane) {
        let Some(&base) = usual.get(series.spec.subject.as_str()) else { continue };
        for (interval, sparse) in series.intervals_within(Span::new(span.start, span.end + beyond)) {
            typical += base * sparse.count() as f64;
            grid.add(*interval, sparse, base);
        }
    }
    (grid.cells, typical)
}

/// An excess with the time that the same requests would typically take.
struct Added(Excess, f64);

impl Added {
    fn worth(self) -> Option<Excess> {
        (self.0.total() > LEAST_EXCESS * self.1 && self.0.total() > 0.0).then_some(self.0)
    }
}

/// When the load of `at` had settled.
fn settled_since(timeline: &Timeline, at: RunTime) -> RunTime {
    let since = window::same_load_since(timeline.plan(), at);
    (if since > RunTime::ZERO { since + SETTLE } else { SETTLE_AT_START }).max(timeline.plan().warm_from())
}

/// The start of a run is a change of load, too.
const SETTLE_AT_START: RunTime = RunTime(SETTLE.as_nanos() as u64);

/// A baseline is no shorter.
const LEAST_BASELINE: Duration = Duration::from_secs(2);

/// Settled load before `onset` without `others`, in which something else was found, and the while after each that queues and caches need;
/// the newest stretch of it. None if there is less than two seconds. What lasts until `at` is on before and since: it takes nothing if it began
/// before the load was settled, nor where nothing would be left.
pub fn baseline(timeline: &Timeline, at: RunTime, onset: RunTime, others: &[Span]) -> Option<Span> {
    let settled = settled_since(timeline, at);
    // What is in progress at the onset ends after it, and an onset is known to a few samples only.
    let end = onset.back(Duration::from_millis(200));
    let is_over = |o: &Span| o.end + SETTLE < at;
    let clear = |taken: &dyn Fn(&Span) -> bool| {
        newest_clear(settled, end, &others.iter().copied().filter(taken).collect::<Vec<_>>())
    };
    clear(&|o: &Span| o.start > settled || is_over(o)).or_else(|| clear(&is_over))
}

/// The newest stretch from `since` to `end` that none of `taken` has a part in.
fn newest_clear(since: RunTime, mut end: RunTime, taken: &[Span]) -> Option<Span> {
    loop {
        let before = taken.iter().filter(|t| t.start < end);
        let free_from = before.clone().map(|t| (t.end + SETTLE).min(end)).max().unwrap_or_default();
        let span = Span::new(since.max(end.back(BASELINE)).max(free_from), end);
        if span.length() >= LEAST_BASELINE {
            return Some(span);
        }
        // Too short between it and what came after it: before it, then.
        end = before.filter(|t| (t.end + SETTLE).min(end) == free_from).map(|t| t.start).min()?;
        if end <= since {
            return None;
        }
    }
}

/// The typical interval of a histogram lane.
fn interval(timeline: &Timeline, lane: &str, span: Span) -> Option<Duration> {
    let lengths = timeline.named(lane).flat_map(|s| s.intervals_within(span)).map(|i| window::seconds(i.0));
    median(lengths.take(100).collect()).map(Duration::from_secs_f64)
}

/// Median of each subject before anything was found; of the window itself where there is no such time.
fn usual<'a>(
    timeline: &'a Timeline,
    lane: &str,
    baseline: Option<Span>,
    span: Span,
) -> BTreeMap<&'a str, f64> {
    let mut lanes: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in timeline.named(lane) {
        lanes.entry(series.spec.subject.as_str()).or_default().push(series);
    }
    let of = |list: &[&Series], span: Span| {
        let d = Durations::of(list.iter().flat_map(|s| s.intervals_within(span)));
        (d.count() >= LEAST_SAMPLES).then(|| d.quantile_ns(0.5)).flatten()
    };
    lanes
        .into_iter()
        .filter_map(|(subject, list)| {
            let before = baseline.and_then(|b| of(&list, b));
            Some((subject, before.or_else(|| of(&list, span))?))
        })
        .collect()
}

/// Half of all requests are above their median in health, too: the median density of the baseline is taken off. Once the window has
/// left the baseline behind, that is read by itself (`by_itself`), so what is usual stays known for as long as the load lasts.
fn subtract_background(cells: &mut [f64], span: Span, baseline: Span, by_itself: impl FnOnce() -> Vec<f64>) {
    let index = |t: RunTime| (t.since(span.start).as_nanos() / CELL.as_nanos()) as usize;
    let usual = if baseline.start < span.start {
        by_itself()
    } else {
        let (a, b) = (index(baseline.start), index(baseline.end).min(cells.len()));
        cells.get(a..b).unwrap_or_default().to_vec()
    };
    let Some(before) = median(usual) else { return };
    cells.iter_mut().for_each(|c| *c = (*c - before).max(0.0));
}

struct Grid {
    start: RunTime,
    cells: Vec<f64>,
}

impl Grid {
    /// Spreads each request's excess evenly over the time in which it was in progress; requests end evenly over
    /// their interval.
    fn add(&mut self, interval: Span, sparse: &Sparse, base: f64) {
        let length = interval.length().as_nanos() as f64;
        let ends = (length / CELL.as_nanos() as f64).round().clamp(1.0, 50.0);
        let instants: Vec<f64> = (0..ends as u32)
            .map(|i| interval.start.0 as f64 + length * (f64::from(i) + 0.5) / ends)
            .collect();
        for &(us, n) in &sparse.cells {
            let took = f64::from(us) * 1e3;
            let excess = (took - base).max(0.0) * f64::from(n);
            if excess <= 0.0 {
                continue;
            }
            for &end in &instants {
                self.spread(end - took, end, excess / ends);
            }
        }
    }

    fn spread(&mut self, from: f64, to: f64, mass: f64) {
        let cell = CELL.as_nanos() as f64;
        let (a, b) = ((from - self.start.0 as f64) / cell, (to - self.start.0 as f64) / cell);
        let density = mass / (b - a).max(1e-9);
        let last = b.min(self.cells.len() as f64);
        let mut x = a.max(0.0);
        while x < last {
            let i = x as usize;
            let next = ((i + 1) as f64).min(last);
            self.cells[i] += density * (next - x);
            x = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_clear_of_what_else_was_found() {
        let span = |from, to| Span::new(RunTime::from_ms(from), RunTime::from_ms(to));
        let clear = |taken: &[Span]| newest_clear(RunTime::from_ms(4_000), RunTime::from_ms(30_000), taken);
        assert_eq!(clear(&[]), Some(span(10_000, 30_000)), "the newest 20 s");
        assert_eq!(
            clear(&[span(31_000, 40_000)]),
            Some(span(10_000, 30_000)),
            "what came later takes nothing"
        );
        // A while after it has its queues.
        assert_eq!(clear(&[span(9_000, 20_000)]), Some(span(22_000, 30_000)));
        assert_eq!(clear(&[span(9_000, 27_000)]), Some(span(4_000, 9_000)), "too little is left after it");
        assert_eq!(clear(&[span(9_000, 20_000), span(21_000, 29_000)]), Some(span(4_000, 9_000)));
        assert_eq!(clear(&[span(5_000, 29_000)]), None);
        assert_eq!(clear(&[span(3_000, 29_000)]), None);
    }

    #[test]
    fn excess_lies_where_the_request_was_in_progress() {
        let mut grid = Grid { start: RunTime::from_ms(1_000), cells: vec![0.0; 10] };
        // Ended at 1.55 s after 300 ms, of which 10 ms are usual.
        let interval = Span::new(RunTime::from_ms(1_500), RunTime::from_ms(1_600));
        grid.add(interval, &Sparse { cells: vec![(300_000, 2)] }, 1e7);
        let total: f64 = grid.cells.iter().sum();
        assert!((total - 2.0 * 290e6).abs() < 1.0, "{total}");
        assert!(grid.cells[..2].iter().chain(&grid.cells[6..]).all(|&c| c == 0.0), "{:?}", grid.cells);
        assert!(grid.cells[3] > 1.9 * grid.cells[2] && grid.cells[3] == grid.cells[4], "{:?}", grid.cells);
    }
}
