//! Periodic stalls: answers stop for a moment again and again, at regular times.
//!
//! **Claim.** Every so often so many of the answers are missing for so long. **Reads** `client.{completed,achieved,service}`. **Needs** four periods, at least
//! 10 s of the same load. **Statistic.** Autocorrelation of the answers in cells of 100 ms over the last 20 s: its highest value at a lag of half a
//! second or more, beyond a trough, must be more than what chance gives five times over. Answers must come less evenly than chance has
//! it, and than requests were sent, or the load itself comes in beats; and some of them must have taken long. Length and depth of a
//! stall are those of the mean period: all periods laid over each other, those before the first stall and after the last left out.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, cannot_tell, evidence};
use super::{attach, silent};
use crate::window;

/// Cells of 100 ms: the window, the fewest, the shortest period.
const CELLS: usize = 200;
const LEAST_CELLS: usize = 100;
const SHORTEST: usize = 5;
const CELL_NS: u64 = 100_000_000;
/// Periods that the window must hold.
const PERIODS: usize = 4;
/// Autocorrelation at the period. Without one its deviation is 1 / sqrt(cells), 0.07 to 0.1, and the highest of 45 lags comes to 0.3.
const REGULAR: f64 = 0.38;
/// Variance over mean of answers per cell: 1 by chance (Poisson), twice that and twice that of requests sent at least.
const UNEVEN: f64 = 2.0;
/// Longest answers over the median, and in themselves, for them to have stood: people notice a quarter of a second. Waiting for
/// one load of a key that all want is shorter, and no fault.
const LONG: f64 = 4.0;
const LEAST_LONG_NS: f64 = 250e6;
/// A cell of the mean period with less than this share of the mean belongs to the stall.
const STALLED: f64 = 0.7;
/// A lag whose autocorrelation is this close to the highest is the period, if it is shorter: multiples are as high.
const AS_HIGH: f64 = 0.85;
/// Answers that take longer are critical.
const CRITICAL_NS: f64 = 1e9;
/// Share of the deepest stall's missing answers that makes one stretch a stall.
const ONE_STALL: f64 = 0.5;

/// Looks at all answers together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::COMPLETED, names::ACHIEVED, names::SERVICE]) {
        return cannot;
    }
    if let Some(silent) = silent(timeline, at) {
        return silent;
    }
    let Some((span, n)) = settled_cells(timeline, at) else {
        return Answer::too_little((LEAST_CELLS as u64 * CELL_NS) as f64 / 1e9);
    };
    Answer::Looked(look_at(timeline, at, span, n).into_iter().collect())
}

/// The newest cells at the load of `at`, and how many there are; none if those are too few.
fn settled_cells(timeline: &Timeline, at: RunTime) -> Option<(Span, usize)> {
    let settled = window::same_load_since(timeline.plan(), at).max(timeline.plan().warm_from());
    // The newest cell may still be on its way.
    let end = (at.0 / CELL_NS).checked_sub(1)?;
    let start = (settled.0.div_ceil(CELL_NS)).max(end.saturating_sub(CELLS as u64));
    let n = usize::try_from(end.checked_sub(start)?).ok()?;
    (n >= LEAST_CELLS).then(|| (Span::new(RunTime(start * CELL_NS), RunTime(end * CELL_NS)), n))
}

fn look_at(timeline: &Timeline, at: RunTime, span: Span, n: usize) -> Option<Claim> {
    let answers = cells(timeline, names::COMPLETED, span, n);
    let sent = cells(timeline, names::ACHIEVED, span, n);
    let (lag, regular) = period(&answers)?;
    let uneven = dispersion(&answers)?;
    let service = window::durations(timeline, names::SERVICE, span);
    let (usual, longest) = (service.quantile_ns(0.5)?, service.quantile_ns(1.0)?);
    let stands = longest >= LEAST_LONG_NS.max(LONG * usual);
    if regular < REGULAR || uneven < UNEVEN * dispersion(&sent)?.max(1.0) || !stands {
        return None;
    }
    let anywhere = stall(&answers, lag)?;
    let stall = stall(stalling(&answers, lag), lag).unwrap_or(anywhere);
    let every = lag as f64 * 0.1;
    let onset = span.start + Duration::from_nanos(stall.begins(&answers, lag) as u64 * CELL_NS);
    let text = format!(
        "answers every {every:.1} s are alike: autocorrelation {regular:.2}, by chance {:.2} at most",
        3.0 / (n as f64).sqrt()
    );
    let long =
        format!("the longest answer took {}, the median {}", Unit::Ns.show(longest), Unit::Ns.show(usual));
    Some(Claim {
        kind: FindingKind::PeriodicStalls,
        identity: String::new(),
        subject: String::new(),
        severity: if longest >= CRITICAL_NS { Severity::Critical } else { Severity::Warning },
        status: Status::Likely,
        onset,
        last: at,
        quiet: Duration::from_secs_f64((3.0 * every).max(5.0)),
        weight: regular,
        claim: format!(
            "answers stall every {every:.1} s since {ONSET}: for about {} each time {} of them are missing, and some take {}",
            Unit::Ns.show(stall.ns),
            Unit::Ratio.show(stall.missing),
            Unit::Ns.show(longest)
        ),
        evidence: vec![
            evidence(text, names::COMPLETED, span, regular, Unit::Ratio),
            evidence(long, names::SERVICE, span, longest, Unit::Ns),
        ],
        contradicting: Vec::new(),
        advice: vec![
            format!(
                "Look for what the target does every {every:.1} s: a cache that expires, a collection, a compaction, a scheduled task, a stopped process."
            ),
            attach("its pauses, cache refreshes and pools in the same moments name the cause"),
        ],
        missing: vec![names::PAUSE.to_owned(), timeline::event::kinds::CACHE_REFRESH.to_owned()],
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// What a rate lane counted in each cell of `span`, over all instances.
fn cells(timeline: &Timeline, name: &str, span: Span, n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n];
    for (since, at, rate) in timeline.named(name).flat_map(|s| window::steps(s, span)) {
        // A sample speaks of the time before it; its middle says which cell.
        let middle = (since.0 + at.0) / 2;
        if let Some(cell) = middle.checked_sub(span.start.0).and_then(|d| out.get_mut((d / CELL_NS) as usize))
        {
            *cell += rate * at.since(since).as_secs_f64();
        }
    }
    out
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len().max(1) as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / x.len().max(1) as f64
}

/// Variance over mean; none without any.
fn dispersion(x: &[f64]) -> Option<f64> {
    let m = mean(x);
    (m > 0.0).then(|| variance(x) / m)
}

/// The period in cells, and how alike the cells one period apart are, beyond those of a third to two thirds of it.
fn period(x: &[f64]) -> Option<(usize, f64)> {
    let (m, v) = (mean(x), variance(x));
    if v <= 0.0 {
        return None;
    }
    let most = x.len() / PERIODS;
    let alike: Vec<f64> = (0..=most)
        .map(|lag| {
            let pairs = x.iter().zip(&x[lag..]);
            pairs.map(|(a, b)| (a - m) * (b - m)).sum::<f64>() / (x.len() - lag) as f64 / v
        })
        .collect();
    let beyond = |lag: usize| {
        let trough = alike[lag / 3..=2 * lag / 3].iter().copied().fold(f64::INFINITY, f64::min);
        alike[lag].min(alike[lag] - trough)
    };
    let all: Vec<(usize, f64)> = (SHORTEST..=most).map(|lag| (lag, beyond(lag))).collect();
    let highest = all.iter().map(|a| a.1).fold(f64::NEG_INFINITY, f64::max);
    let first = all.iter().position(|a| a.1 >= AS_HIGH * highest)?;
    // The top of the hill that begins there.
    let hill = &all[first..(first + first / 4 + 2).min(all.len())];
    hill.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The stalled stretch of the mean period.
struct Stall {
    /// Its first cell, and how many there are.
    first: usize,
    length: usize,
    ns: f64,
    /// Share of the usual answers that are missing in it.
    missing: f64,
    /// Answers of a usual cell.
    usual: f64,
}

/// The mean period: all periods of `x` laid over each other.
fn folded(x: &[f64], lag: usize) -> Vec<f64> {
    (0..lag).map(|phase| mean(&x.iter().skip(phase).step_by(lag).copied().collect::<Vec<_>>())).collect()
}

/// The periods in a row whose mean period explains most: one without a stall makes the others' seem short and shallow.
fn stalling(x: &[f64], lag: usize) -> &[f64] {
    let periods = x.len() / lag;
    let rows = (0..periods).flat_map(|first| (first + 2..=periods).map(move |end| (first, end)));
    let explained = rows.map(|(first, end)| {
        let row = &x[first * lag..end * lag];
        (row, (end - first) as f64 * variance(&folded(row, lag)))
    });
    explained.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(x, |best| best.0)
}

fn stall(x: &[f64], lag: usize) -> Option<Stall> {
    let folded = folded(x, lag);
    let usual = crate::stats::median(folded.clone())?;
    let low = |i: usize| folded[i % lag] < STALLED * usual;
    // The longest run of low cells around the circle.
    let starts = (0..lag).filter(|&i| low(i) && !low(i + lag - 1));
    let runs = starts.map(|first| (first, (0..lag).take_while(|k| low(first + k)).count()));
    let (first, length) = runs.max_by_key(|r| r.1)?;
    let within: f64 = (0..length).map(|k| folded[(first + k) % lag]).sum::<f64>() / length as f64;
    Some(Stall { first, length, ns: (length as u64 * CELL_NS) as f64, missing: 1.0 - within / usual, usual })
}

impl Stall {
    /// The cell in which the first of two stalls in a row begins; the window may reach back to before the first.
    fn begins(&self, x: &[f64], lag: usize) -> usize {
        let whole = x.len().saturating_sub(self.length);
        let lacks: Vec<(usize, f64)> = (self.first..=whole)
            .step_by(lag)
            .map(|at| (at, self.usual - mean(&x[at..at + self.length])))
            .collect();
        let deepest = lacks.iter().map(|l| l.1).fold(0.0, f64::max);
        let stalled = |l: &(usize, f64)| l.1 >= ONE_STALL * deepest;
        let twice = lacks.windows(2).find(|w| w.iter().all(stalled)).map(|w| w[0].0);
        twice.or_else(|| lacks.iter().rfind(|l| stalled(l)).map(|l| l.0)).unwrap_or(self.first)
    }
}
