//! A cache's lanes on one grid of time: what cache detectors look at together.
//!
//! Owns the grid (sums over processes, [`CELL`] long), one rule on it: when many keys were missed at once
//! ([`mass_misses`]: not one key many times), and how what recurs in a cache is judged alike: by its loads' times, and by its silence. Why they were gone is each detector's question.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Series, Span, Timeline, Unit};

use crate::detectors::{episodes, evidence, quiet};
use crate::stats::Durations;
use crate::window;

/// The tick of sources at 10 Hz.
pub const CELL: Duration = Duration::from_millis(100);
/// A mass miss is judged on so many cells: sources of several processes tick at different instants.
pub const TRIPLE: usize = 3;
/// Keys that must be loaded in them. Two or three popular ones that expire together are no mass.
const LEAST_KEYS: f64 = 15.0;
/// Least share of look-ups that must miss: half of what is wanted is gone.
const LEAST_RATIO: f64 = 0.5;
/// ... and so many times the usual share. The same is asked of the keys that are loaded for each look-up: while one popular key is
/// loaded by all who miss it, most look-ups miss, and no more keys are loaded than ever.
const RATIO_GROWTH: f64 = 2.0;
/// ... and so many standard deviations of a Poisson count above it: chance does that once in 3 million windows.
const DEVIATIONS: f64 = 5.0;
/// Cells with look-ups needed before the usual share is known: one second.
const LEAST_USUAL: usize = 10;
/// It is over when the share has come down to this part of its height above the usual one.
const OVER: f64 = 0.3;
/// After a change of load new keys are asked for, and missing them is no fault: time to see each once.
const SETTLE: Duration = Duration::from_secs(3);
/// Levels are carried for so long.
const CARRY: Duration = Duration::from_millis(350);
/// Loads that take so many times what they took before have found a queue: it hurts now.
const CRITICAL_SLOWDOWN: f64 = 2.0;
/// Silence after which what recurs in a cache has ended while its period is not known, and the least where it is.
const QUIET: Duration = Duration::from_secs(15);
const LEAST_QUIET: Duration = Duration::from_secs(5);

/// `cache.NAME.PART`.
pub fn lane(cache: &str, part: &str) -> String {
    names::of(names::CACHE, cache, part)
}

/// What rate lane `name` counted in each cell of `span`, over all processes.
pub fn counts(timeline: &Timeline, name: &str, span: Span) -> Vec<f64> {
    let mut cells = vec![0.0; cells_in(span)];
    for series in timeline.named(name) {
        for (since, at, rate) in window::steps(series, span) {
            if let Some(cell) = cells.get_mut(index(span, at)) {
                *cell += rate.max(0.0) * at.since(since).as_secs_f64();
            }
        }
    }
    cells
}

fn cells_in(span: Span) -> usize {
    (span.length().as_nanos() / CELL.as_nanos()) as usize + 1
}

/// The cell of `span` in which `at` lies.
fn index(span: Span, at: RunTime) -> usize {
    (at.since(span.start).as_nanos() / CELL.as_nanos()) as usize
}

/// When cell `i` of `span` begins.
pub fn start_of(span: Span, i: usize) -> RunTime {
    span.start + CELL * u32::try_from(i).unwrap_or(u32::MAX)
}

/// The level over all processes at `at`; none where nobody tells it.
pub fn level(timeline: &Timeline, name: &str, at: RunTime) -> Option<f64> {
    timeline.named(name).filter_map(|s| s.at(at, CARRY)).reduce(|a, b| a + b)
}

/// Highest level of one process in the three ticks before `at`: what it held.
pub fn held_before(series: &Series, at: RunTime) -> Option<f64> {
    let before = Span::new(at.back(CELL * 4), at + Duration::from_nanos(1));
    series.within(before).iter().map(|p| p.1).reduce(f64::max)
}

/// Look-ups that missed in `span`, and all of them.
pub fn miss_counts(timeline: &Timeline, cache: &str, span: Span) -> Option<(f64, f64)> {
    let misses = window::counted(timeline, &lane(cache, "misses"), span)?;
    let hits = window::counted(timeline, &lane(cache, "hits"), span)?;
    Some((misses, hits + misses))
}

/// Share of look-ups that missed in `span`; none with fewer than `least` of them.
pub fn miss_share(timeline: &Timeline, cache: &str, span: Span, least: f64) -> Option<f64> {
    let (misses, all) = miss_counts(timeline, cache, span)?;
    (all >= least).then(|| misses / all)
}

/// One time at which many keys were missed at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MassMiss {
    /// From the first cell of many misses until the share has come down.
    pub span: Span,
    /// Share of look-ups that usually miss, and that missed at its height.
    pub usual: f64,
    pub height: f64,
    /// Keys loaded in it: loads that were no duplicates.
    pub keys: f64,
    /// Misses in it.
    pub misses: f64,
    /// Look-ups in the [`TRIPLE`] cells of its height: what that share was counted from.
    pub looks: f64,
}

struct Grid {
    span: Span,
    hits: Vec<f64>,
    misses: Vec<f64>,
    keys: Vec<f64>,
}

impl Grid {
    fn over(cells: &[f64], i: usize) -> f64 {
        cells[i + 1 - TRIPLE..=i].iter().sum()
    }

    /// Misses and look-ups of the cells up to and with `i`.
    fn at(&self, i: usize) -> (f64, f64) {
        let misses = Self::over(&self.misses, i);
        (misses, misses + Self::over(&self.hits, i))
    }
}

/// All mass misses in `span`, in order.
pub fn mass_misses(timeline: &Timeline, cache: &str, span: Span) -> Vec<MassMiss> {
    let of = |part: &str| counts(timeline, &lane(cache, part), span);
    let keys: Vec<f64> =
        of("loads").iter().zip(of("duplicate-loads")).map(|(l, d)| (l - d).max(0.0)).collect();
    if keys.windows(TRIPLE).all(|three| three.iter().sum::<f64>() < LEAST_KEYS) {
        return Vec::new(); // most caches at most times: nothing more need be read
    }
    let grid = Grid { span, hits: of("hits"), misses: of("misses"), keys };
    let (mut found, mut usual) = (Vec::new(), Usual::default());
    let mut i = TRIPLE - 1;
    while i < grid.misses.len() {
        match begins(timeline, &grid, &usual, i) {
            Some(share) => {
                let end = end_of(&grid, share, i);
                found.push(mass_miss(&grid, share, i, end));
                i = end + TRIPLE;
            }
            None => {
                usual.see(grid.misses[i], grid.hits[i], grid.keys[i]);
                i += 1;
            }
        }
    }
    found
}

/// Misses and hits of cells in which all was as usual.
#[derive(Default)]
struct Usual {
    cells: usize,
    misses: f64,
    hits: f64,
    keys: f64,
}

impl Usual {
    fn see(&mut self, misses: f64, hits: f64, keys: f64) {
        if misses + hits > 0.0 {
            self.cells += 1;
            // The past fades within a second or two, so that a cache which fills is not held to its empty beginning.
            self.misses = self.misses * 0.95 + misses;
            self.hits = self.hits * 0.95 + hits;
            self.keys = self.keys * 0.95 + keys;
        }
    }

    /// Misses and loaded keys for each look-up.
    fn shares(&self) -> Option<(f64, f64)> {
        let all = (self.misses + self.hits).max(f64::MIN_POSITIVE);
        (self.cells >= LEAST_USUAL).then(|| (self.misses / all, self.keys / all))
    }
}

/// The usual share, if a mass miss begins in the cells that end with `i`.
fn begins(timeline: &Timeline, grid: &Grid, usual: &Usual, i: usize) -> Option<f64> {
    let keys = Grid::over(&grid.keys, i);
    if keys < LEAST_KEYS {
        return None;
    }
    let (share, keys_share) = usual.shares()?;
    let (misses, all) = grid.at(i);
    let many = misses >= LEAST_RATIO * all && leaps(misses, share * all) && leaps(keys, keys_share * all);
    let settled = !window::unsettled(timeline.plan(), start_of(grid.span, i), SETTLE);
    (many && settled).then_some(share)
}

/// Is a count far above what was to be expected, in proportion and for a count of chance?
pub fn leaps(count: f64, expected: f64) -> bool {
    count >= RATIO_GROWTH * expected && count - expected >= DEVIATIONS * (expected + 1.0).sqrt()
}

/// The last cell of the mass miss that begins at `i`.
fn end_of(grid: &Grid, usual: f64, i: usize) -> usize {
    let mut height = 0.0_f64;
    for k in i..grid.misses.len() {
        let (misses, all) = grid.at(k);
        let share = if all > 0.0 { misses / all } else { height };
        height = height.max(share);
        if share < usual + OVER * (height - usual) {
            return k;
        }
    }
    grid.misses.len() - 1
}

fn mass_miss(grid: &Grid, usual: f64, i: usize, end: usize) -> MassMiss {
    let first = (i + 1 - TRIPLE..=i)
        .find(|&k| grid.misses[k] > RATIO_GROWTH * usual * (grid.misses[k] + grid.hits[k]) + 1.0)
        .unwrap_or(i);
    let triples =
        (i..=end).map(|k| grid.at(k)).filter(|c| c.1 > 0.0).map(|(misses, all)| (misses / all, all));
    let (height, looks) = triples.fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a });
    MassMiss {
        span: Span::new(start_of(grid.span, first), start_of(grid.span, end + 1)),
        usual,
        height,
        keys: grid.keys[first..=end].iter().sum(),
        misses: grid.misses[first..=end].iter().sum(),
        looks,
    }
}

/// What a load took before something began, and meanwhile: medians, ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadTimes {
    pub before: f64,
    pub now: f64,
}

impl LoadTimes {
    /// In the ten seconds before `onset`, and within `spans`; none where either is unknown.
    pub fn read(timeline: &Timeline, cache: &str, onset: RunTime, spans: &[Span]) -> Option<Self> {
        let name = lane(cache, "load");
        let of = |span: Span| {
            timeline.named(&name).flat_map(move |s| s.intervals_within(span)).collect::<Vec<_>>()
        };
        let earlier = Span::new(onset.back(Duration::from_secs(10)), onset.back(CELL));
        let before = Durations::of(of(earlier)).quantile_ns(0.5)?;
        let now = Durations::of(spans.iter().flat_map(|&s| of(s))).quantile_ns(0.5)?;
        Some(Self { before, now })
    }

    /// Do loads queue?
    pub fn hurt(self) -> bool {
        self.now >= CRITICAL_SLOWDOWN * self.before
    }

    /// Both times, as a line of evidence.
    pub fn evidence(self, cache: &str, span: Span) -> Evidence {
        let (now, before) = (Unit::Ns.show(self.now), Unit::Ns.show(self.before));
        let text = format!("a load takes {now} meanwhile, {before} before");
        evidence(text, lane(cache, "load"), span, self.now, Unit::Ns)
    }
}

/// Silence after which what recurs in a cache has ended.
pub fn recurring_quiet(period: Option<Duration>) -> Duration {
    quiet(period, QUIET, LEAST_QUIET)
}

/// Share of the samples in `span` with more than nothing, of the process that has most: does it last?
pub fn sampled(timeline: &Timeline, name: &str, span: Span) -> f64 {
    let share = |series: &Series| {
        let all: Vec<bool> = window::steps(series, span).map(|s| s.2 > 0.0).collect();
        all.iter().filter(|&&some| some).count() as f64 / all.len().max(1) as f64
    };
    timeline.named(name).map(share).fold(0.0, f64::max)
}

/// The samples in `span` with more than nothing, of all processes, as spans; those at most `gap` apart are one.
pub fn busy(timeline: &Timeline, name: &str, span: Span, gap: Duration) -> Vec<Span> {
    let some = timeline.named(name).flat_map(|s| window::steps(s, span)).filter(|s| s.2 > 0.0);
    episodes(some.map(|s| Span::new(s.0, s.1)).collect(), gap)
}
