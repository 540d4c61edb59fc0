//! Figures: what a run came to, read from its timeline.
//!
//! Owns how raw lanes become figures of a step, a phase or a run, so that gates, summary and every
//! report say the same. Histograms are merged before a percentile is read; rates are integrated before
//! they are compared; no percentile is ever averaged. Judging is left to `gate`, wording to the reports.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::{RunTime, Span};
use crate::histogram::{self, Histogram};
use crate::lane::{Combine, LaneSpec, Quality, Shape, names};
use crate::store::{Series, Timeline};
use crate::units::Unit;

/// Grid on which instances of a level lane are added up: the interval at which sources sample.
pub const GRID: Duration = Duration::from_millis(100);
/// How long a level stands in for the samples that an instance has not sent yet, at least. Sources sample
/// without a common beat, so that without this a cell would miss an instance now and then and a sum over
/// instances would dip. A source slower than [`GRID`] is held for two of its own intervals.
const HOLD: Duration = Duration::from_millis(500);
/// An instance that has said nothing for so long is taken to be gone where nothing comes after: sources that end say so, or
/// are seen to end, well before.
const GONE: Duration = Duration::from_secs(3);
/// The slope of a lane is read from so many points at most; their pairs are its square.
const MAX_SLOPE_POINTS: usize = 300;

/// The parts of the run that figures are read over: all phases but warm-up, neighbours joined, none
/// beyond what has been measured. The last part reaches to the end of the data if the last phase is
/// in it, because steps that were started in the phase end after it. Without a plan, all data.
#[must_use]
pub fn measured(timeline: &Timeline) -> Vec<Span> {
    let plan = timeline.plan();
    let end_of_data = after(timeline.now());
    if plan.phases.is_empty() {
        return vec![Span::new(RunTime::ZERO, end_of_data)];
    }
    let mut spans: Vec<Span> = Vec::new();
    for phase in plan.phases.iter().filter(|p| !p.warmup) {
        match spans.last_mut() {
            Some(last) if last.end == phase.span.start => last.end = phase.span.end,
            _ => spans.push(phase.span),
        }
    }
    extend_last(timeline, &mut spans);
    clip(&spans, end_of_data)
}

/// The part of the run that a phase covers, warm-up or not; see [`measured`] for its end.
#[must_use]
pub fn phase(timeline: &Timeline, name: &str) -> Option<Span> {
    let mut spans = vec![timeline.plan().phase(name)?.span];
    extend_last(timeline, &mut spans);
    clip(&spans, after(timeline.now())).pop()
}

/// The last phase's span reaches to the end of the data.
fn extend_last(timeline: &Timeline, spans: &mut [Span]) {
    if let Some(last) = spans.last_mut()
        && last.end == timeline.plan().end()
    {
        last.end = last.end.max(after(timeline.now()));
    }
}

fn clip(spans: &[Span], end: RunTime) -> Vec<Span> {
    spans.iter().filter(|s| s.start < end).map(|s| Span::new(s.start, s.end.min(end))).collect()
}

/// The first instant after `at`.
fn after(at: RunTime) -> RunTime {
    at + Duration::from_nanos(1)
}

/// The spans without the time after the last phase: what levels and rates are read over, since sessions that end then are
/// meant to.
#[must_use]
pub fn under_load(timeline: &Timeline, spans: &[Span]) -> Vec<Span> {
    match timeline.plan().end() {
        RunTime::ZERO => spans.to_vec(),
        planned => clip(spans, planned),
    }
}

/// Length of the spans without the time after the last phase, in seconds: what rates are divided by.
#[must_use]
pub fn seconds(timeline: &Timeline, spans: &[Span]) -> f64 {
    under_load(timeline, spans).iter().map(|s| s.length().as_secs_f64()).sum()
}

/// Figures of one step, or of all.
#[derive(Debug, Clone)]
pub struct StepFigures {
    /// Times the step was finished, errors among them.
    pub count: u64,
    /// Times it failed.
    pub errors: u64,
    /// Response time, microseconds.
    pub response: Histogram,
    /// Service time, microseconds.
    pub service: Histogram,
}

impl StepFigures {
    /// Failed over finished, 0 to 1; none if nothing was finished.
    #[must_use]
    pub fn error_share(&self) -> Option<f64> {
        (self.count > 0).then(|| self.errors as f64 / self.count as f64)
    }
}

/// Figures of a step over `spans`; of all steps together if none is given.
#[must_use]
pub fn step_figures(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> StepFigures {
    let response = merged(timeline, names::RESPONSE, step, spans);
    let service = merged(timeline, names::SERVICE, step, spans);
    let errors = errors(timeline, step, spans);
    let count = finished(timeline, step, spans, response.len(), errors);
    StepFigures { count, errors, response, service }
}

/// Finished and failed steps over `spans`, as [`step_figures`] has them but without the histograms.
#[must_use]
pub fn counts(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> (u64, u64) {
    let errors = errors(timeline, step, spans);
    let intervals = about(timeline, names::RESPONSE, step)
        .flat_map(|series| spans.iter().flat_map(|s| series.intervals_within(*s)));
    let timed: u64 = intervals.map(|(_, cells)| cells.count()).sum();
    (finished(timeline, step, spans, timed, errors), errors)
}

/// Steps finished per second of load over `spans`; none without load. What was begun and finishes after the last phase is no part of it,
/// as that time is none.
#[must_use]
pub fn finished_rate(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> Option<f64> {
    let seconds = seconds(timeline, spans);
    (seconds > 0.0).then(|| counts(timeline, step, &under_load(timeline, spans)).0 as f64 / seconds)
}

/// A step that failed before it could be timed still was one. Where nobody tells of those (goose does not) there are as many as there
/// are errors, at least.
fn finished(timeline: &Timeline, step: Option<&str>, spans: &[Span], timed: u64, errors: u64) -> u64 {
    (timed + total(timeline, names::STEP_UNTIMED, step, spans)).max(errors)
}

/// Failed steps over `spans`: of one step, or of all.
#[must_use]
pub fn errors(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> u64 {
    match step {
        Some(_) => total(timeline, names::STEP_ERRORS, step, spans),
        None => total(timeline, names::ERRORS, None, spans),
    }
}

/// Failed steps by kind of error, most frequent first.
#[must_use]
pub fn errors_by_kind(timeline: &Timeline, spans: &[Span]) -> Vec<(String, u64)> {
    let kinds: BTreeSet<&str> = timeline.named(names::ERRORS).map(|s| s.spec.subject.as_str()).collect();
    let mut list: Vec<(String, u64)> = kinds
        .into_iter()
        .map(|kind| (kind.to_owned(), total(timeline, names::ERRORS, Some(kind), spans)))
        .filter(|(_, n)| *n > 0)
        .collect();
    list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    list
}

/// All steps that were planned or seen: the plan's in its order, others after them by name.
#[must_use]
pub fn steps(timeline: &Timeline) -> Vec<String> {
    let mut steps = timeline.plan().steps.clone();
    let seen: BTreeSet<&str> = [names::RESPONSE, names::STEP_UNTIMED]
        .into_iter()
        .chain(INSIDE)
        .flat_map(|lane| timeline.named(lane))
        .map(|s| s.spec.subject.as_str())
        .filter(|s| !s.is_empty())
        .collect();
    steps.extend(
        seen.into_iter().filter(|s| !timeline.plan().steps.iter().any(|p| p == s)).map(str::to_owned),
    );
    steps
}

/// Samples of a histogram lane over several spans.
#[must_use]
pub fn merged(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> Histogram {
    let mut all = histogram::new();
    for series in about(timeline, name, subject) {
        for (_, cells) in spans.iter().flat_map(|s| series.intervals_within(*s)) {
            cells.add_to(&mut all);
        }
    }
    all
}

/// How many things a rate lane counted over `spans`, all instances together.
#[must_use]
pub fn total(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> u64 {
    about(timeline, name, subject).map(|s| integral(s, spans)).sum::<f64>().round() as u64
}

/// Integral of a rate over `spans`. A sample is the mean since the one before it; the first one's
/// interval is not known and taken to be a source's usual one.
fn integral(series: &Series, spans: &[Span]) -> f64 {
    let mut before: Option<RunTime> = None;
    let mut sum = 0.0;
    for &(at, value) in &series.points {
        let span = Span::new(before.unwrap_or(at.back(GRID)), at);
        before = Some(at);
        if value != 0.0 {
            sum += value * spans.iter().map(|s| s.overlap(span).as_secs_f64()).sum::<f64>();
        }
    }
    sum
}

/// The lanes of a name, about `subject` or about anything. Response times are those of journeys' and guests' own clocks where there are no
/// others.
pub fn about<'a>(
    timeline: &'a Timeline,
    name: &'a str,
    subject: Option<&'a str>,
) -> impl Iterator<Item = &'a Series> + 'a {
    let own = timeline.named(name).filter(move |s| subject.is_none_or(|x| s.spec.subject == x));
    // A step that is only timed inside another one has its times in a lane of their own.
    let inside = INSIDE
        .into_iter()
        .filter(move |_| name == names::RESPONSE && (subject.is_some() || is_guest(timeline)))
        .flat_map(|lane| timeline.named(lane))
        .filter(move |s| subject.is_none_or(|x| s.spec.subject == x));
    own.chain(inside)
}

/// Lanes of times that are no response times: a step has them or response times, never both.
const INSIDE: [&str; 2] = [names::FIRST_BYTE, names::EXCHANGE];

/// Was the load applied by somebody else, who tells of no response times? Then what it tells stands for the whole.
fn is_guest(timeline: &Timeline) -> bool {
    timeline.named(names::RESPONSE).next().is_none()
}

/// What a step's times are: `response` from intended start to end, `first-byte` or `exchange`, which are measured
/// otherwise and have no service time beside them. Without a step: those of all together.
#[must_use]
pub fn measures(timeline: &Timeline, step: Option<&str>) -> &'static str {
    let of = |lane| timeline.named(lane).any(|s| step.is_none_or(|x| s.spec.subject == x));
    if of(names::RESPONSE) {
        return "response";
    }
    match INSIDE.map(of) {
        [true, _] => "first-byte",
        [_, true] => "exchange",
        _ => "response",
    }
}

/// What a lane came to over all its instances.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneStats {
    /// What its first instance declares.
    pub spec: LaneSpec,
    /// How many instances it has.
    pub instances: usize,
    /// Samples: of the histograms, or points of all instances.
    pub count: u64,
    /// Least value; for levels and rates of the instances added up as the lane says.
    pub min: f64,
    /// Half of the values are not above.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// 99 in 100 of the values are not above.
    pub p99: f64,
    /// Greatest value.
    pub max: f64,
    /// Newest value; for a histogram lane the p99 of its newest interval.
    pub last: f64,
}

/// Statistics of a lane over `spans`; none without a sample.
#[must_use]
pub fn lane_stats(
    timeline: &Timeline,
    name: &str,
    subject: Option<&str>,
    spans: &[Span],
) -> Option<LaneStats> {
    let mut specs = about(timeline, name, subject).map(|s| &s.spec);
    let first = specs.next()?.clone();
    let instances: BTreeSet<&str> =
        about(timeline, name, subject).map(|s| s.spec.instance.as_str()).collect();
    let quality = specs.fold(first.quality, |worst, s| worse(worst, s.quality));
    let spec = LaneSpec { quality, ..first };
    let instances = instances.len();
    if spec.shape == Shape::Histogram {
        return histogram_stats(timeline, name, subject, spans, spec, instances);
    }
    let count = about(timeline, name, subject)
        .map(|series| spans.iter().map(|s| series.within(*s).len() as u64).sum::<u64>())
        .sum();
    let grid: Vec<f64> =
        spans.iter().flat_map(|s| grid(timeline, name, subject, *s)).filter_map(|(_, value)| value).collect();
    let last = *grid.last()?;
    let mut sorted = grid;
    sorted.sort_by(f64::total_cmp);
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    Some(LaneStats {
        spec,
        instances,
        count,
        min: sorted[0],
        median: rank(&sorted, 0.5),
        mean,
        p99: rank(&sorted, 0.99),
        max: sorted[sorted.len() - 1],
        last,
    })
}

/// Any quantile (0 to 1) of a level or rate over all instances; none without a sample.
#[must_use]
pub fn lane_quantile(
    timeline: &Timeline,
    name: &str,
    subject: Option<&str>,
    spans: &[Span],
    q: f64,
) -> Option<f64> {
    let mut values: Vec<f64> =
        spans.iter().flat_map(|s| grid(timeline, name, subject, *s)).filter_map(|(_, value)| value).collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| rank(&values, q))
}

fn histogram_stats(
    timeline: &Timeline,
    name: &str,
    subject: Option<&str>,
    spans: &[Span],
    spec: LaneSpec,
    instances: usize,
) -> Option<LaneStats> {
    let all = merged(timeline, name, subject, spans);
    let at = |q| histogram::quantile_ns(&all, q);
    let newest = about(timeline, name, subject)
        .filter_map(|s| spans.iter().rev().find_map(|span| s.intervals_within(*span).last()))
        .map(|(span, _)| *span)
        .max_by_key(|span| span.start)?;
    let last = merged(timeline, name, subject, &[Span::new(newest.start, after(newest.start))]);
    Some(LaneStats {
        spec,
        instances,
        count: all.len(),
        min: at(0.0)?,
        median: at(0.5)?,
        mean: all.mean() * 1e3,
        p99: at(0.99)?,
        max: at(1.0)?,
        last: histogram::quantile_ns(&last, 0.99).unwrap_or_default(),
    })
}

fn worse(a: Quality, b: Quality) -> Quality {
    let order = |q| match q {
        Quality::Exact => 0,
        Quality::Sampled => 1,
        Quality::Inferred => 2,
    };
    if order(b) > order(a) { b } else { a }
}

/// The value at a quantile of sorted values: the least one that so large a share does not exceed.
#[must_use]
pub fn rank(sorted: &[f64], quantile: f64) -> f64 {
    let i = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(i.saturating_sub(1)).copied().unwrap_or_default()
}

/// A level or rate over all instances in cells of [`GRID`], with each cell's end. An instance that
/// has sent nothing for a few cells counts with its newest value; a cell that none speaks of is a gap, and so is a sum
/// that one of its parts is missing from.
#[must_use]
pub fn grid(
    timeline: &Timeline,
    name: &str,
    subject: Option<&str>,
    span: Span,
) -> Vec<(RunTime, Option<f64>)> {
    let step = GRID.as_nanos() as u64;
    let cells = (span.length().as_nanos() as u64).div_ceil(step) as usize;
    let mut out: Vec<(RunTime, Option<f64>)> =
        (0..cells).map(|i| (RunTime(span.start.0 + (i as u64 + 1) * step).min(span.end), None)).collect();
    let mut missing = vec![false; cells];
    for series in about(timeline, name, subject) {
        add_instance(series, span, step, &mut out, &mut missing);
    }
    for (cell, _) in out.iter_mut().zip(missing).filter(|(_, missing)| *missing) {
        cell.1 = None;
    }
    out
}

fn add_instance(
    series: &Series,
    span: Span,
    step: u64,
    out: &mut [(RunTime, Option<f64>)],
    missing: &mut [bool],
) {
    let hold = hold(series);
    let mut next = series.points.partition_point(|p| p.0 < span.start);
    let mut held = next.checked_sub(1).map(|i| series.points[i]);
    for (i, (_, cell)) in out.iter_mut().enumerate() {
        let start = RunTime(span.start.0 + i as u64 * step);
        let end = RunTime(start.0 + step).min(span.end);
        while let Some(point) = series.points.get(next).filter(|p| p.0 < end) {
            held = Some(*point);
            next += 1;
        }
        let Some((_, value)) = held.filter(|(at, _)| start.since(*at) < hold) else {
            let silent = held.is_some_and(|(at, _)| next < series.points.len() || start.since(at) < GONE);
            missing[i] |= silent && series.spec.combine == Combine::Sum;
            continue;
        };
        *cell = Some(match (series.spec.combine, *cell) {
            (_, None) => value,
            (Combine::Max, Some(v)) => v.max(value),
            (Combine::Sum | Combine::Merge, Some(v)) => v + value,
        });
    }
}

fn hold(series: &Series) -> Duration {
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return HOLD };
    let gaps = u32::try_from(series.points.len() - 1).unwrap_or(u32::MAX).max(1);
    HOLD.max(last.0.since(first.0) / gaps * 2)
}

/// How a lane grew over `spans`: its slope per second and the points that it rests on; none below two.
///
/// The median of the slopes of all pairs (Theil and Sen): up to 29 in 100 points may be off, such as
/// the teeth of a collector's saw, without an effect.
#[must_use]
pub fn growth(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> Option<(f64, u64)> {
    let all: Vec<(f64, f64)> = spans
        .iter()
        .flat_map(|s| grid(timeline, name, subject, *s))
        .filter_map(|(at, v)| Some((at.as_secs_f64(), v?)))
        .collect();
    let every = all.len().div_ceil(MAX_SLOPE_POINTS).max(1);
    let points: Vec<(f64, f64)> = all.iter().step_by(every).copied().collect();
    let mut slopes: Vec<f64> = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    if slopes.is_empty() {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    Some((rank(&slopes, 0.5), all.len() as u64))
}

/// The load over `spans`: totals of what was planned, started, finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Planned starts.
    pub offered: u64,
    /// Starts.
    pub achieved: u64,
    /// Steps finished, errors among them.
    pub completed: u64,
    /// Steps that failed.
    pub errors: u64,
    /// Starts later than 10 ms.
    pub late: u64,
    /// Planned starts that never happened.
    pub dropped: u64,
}

/// The load over `spans`.
#[must_use]
pub fn load(timeline: &Timeline, spans: &[Span]) -> Load {
    let sum = |name| total(timeline, name, None, spans);
    Load {
        offered: sum(names::OFFERED),
        achieved: sum(names::ACHIEVED),
        completed: sum(names::COMPLETED),
        errors: sum(names::ERRORS),
        late: sum(names::LATE),
        dropped: sum(names::DROPPED),
    }
}

/// Unit of a lane; none if it is not declared.
#[must_use]
pub fn unit(timeline: &Timeline, name: &str) -> Option<Unit> {
    timeline.named(name).next().map(|s| s.spec.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Sparse;
    use crate::lane::LaneId;
    use crate::store::Entry;
    use proptest::prelude::*;

    fn all() -> Vec<Span> {
        vec![Span::new(RunTime::ZERO, RunTime::from_ms(10_000))]
    }

    fn lane(t: &mut Timeline, id: u32, spec: LaneSpec, points: &[(u64, f64)]) {
        t.apply(&Entry::Lane(LaneId(id), spec));
        for &(ms, value) in points {
            t.apply(&Entry::Sample { lane: LaneId(id), at: RunTime::from_ms(ms), value });
        }
    }

    #[test]
    fn what_failed_before_it_was_timed_was_finished_too() {
        let mut t = Timeline::new();
        let spec = LaneSpec::histogram(names::RESPONSE, "gen-0").about("list");
        t.apply(&Entry::Lane(LaneId(0), spec));
        let span = Span::new(RunTime::ZERO, RunTime::from_ms(1_000));
        // 900 answers, 40 of which failed, and 100 that nobody accepted.
        t.apply(&Entry::Histogram { lane: LaneId(0), span, cells: Sparse { cells: vec![(5_000, 900)] } });
        let rate = |name: &str, about: &str| LaneSpec::rate(name, "gen-0", Unit::PerSecond).about(about);
        let points = |n: f64| [(0, 0.0), (1_000, n)];
        lane(&mut t, 1, rate(names::STEP_UNTIMED, "list"), &points(100.0));
        lane(&mut t, 2, rate(names::STEP_ERRORS, "list"), &points(140.0));
        lane(&mut t, 3, rate(names::ERRORS, "refused"), &points(140.0));
        for step in [None, Some("list")] {
            assert_eq!(counts(&t, step, &all()), (1_000, 140));
            assert_eq!(step_figures(&t, step, &all()).error_share(), Some(0.14));
        }
    }

    #[test]
    fn a_rate_that_appears_late_is_not_integrated_from_the_start() {
        let mut t = Timeline::new();
        let spec = LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond);
        lane(&mut t, 0, spec.clone().about("timeout"), &[(9_000, 20.0), (9_100, 10.0)]);
        lane(&mut t, 1, spec.about("status"), &[(100, 50.0), (200, 0.0)]);
        assert_eq!(errors_by_kind(&t, &all()), [("status".to_owned(), 5), ("timeout".to_owned(), 3)]);
        assert_eq!(errors(&t, None, &[Span::new(RunTime::ZERO, RunTime::from_ms(9_050))]), 8);
    }

    #[test]
    fn instances_out_of_step_add_up_without_dips() {
        let mut t = Timeline::new();
        let every = |from: u64| (0..50).map(|i| (from + i * 150, 4.0)).collect::<Vec<_>>();
        lane(&mut t, 0, LaneSpec::level("pool.db.in-use", "shop-0", Unit::Count), &every(0));
        lane(&mut t, 1, LaneSpec::level("pool.db.in-use", "shop-1", Unit::Count), &every(20));
        let spans = [Span::new(RunTime::from_ms(1_000), RunTime::from_ms(7_000))];
        let stats = lane_stats(&t, "pool.db.in-use", None, &spans).unwrap();
        assert_eq!((stats.min, stats.median, stats.max, stats.instances), (8.0, 8.0, 8.0, 2));
    }

    #[test]
    fn a_sum_without_one_of_its_parts_is_none() {
        let mut t = Timeline::new();
        let every = |silent: std::ops::Range<u64>| {
            (0..100)
                .map(|i| i * 100)
                .filter(|ms| !silent.contains(ms))
                .map(|ms| (ms, 25.0))
                .collect::<Vec<_>>()
        };
        let spec = |n: u32| LaneSpec::level(names::OPEN_WEBSOCKETS, format!("gen-{n}"), Unit::Count);
        lane(&mut t, 0, spec(0), &every(0..0));
        lane(&mut t, 1, spec(1), &every(4_000..6_000));
        let stats = lane_stats(&t, names::OPEN_WEBSOCKETS, None, &all()).unwrap();
        assert_eq!((stats.min, stats.max), (50.0, 50.0), "silent for two seconds, and back");
        // One that never comes back is gone in the end, and the others are all there are.
        lane(&mut t, 2, spec(2), &every(2_000..10_000));
        let late = [Span::new(RunTime::from_ms(8_000), RunTime::from_ms(9_900))];
        assert_eq!(lane_stats(&t, names::OPEN_WEBSOCKETS, None, &late).unwrap().min, 50.0);
    }

    #[test]
    fn a_lane_without_samples_has_no_figures() {
        let mut t = Timeline::new();
        lane(&mut t, 0, LaneSpec::level("heap.old.used", "shop-0", Unit::Bytes), &[]);
        assert_eq!(lane_stats(&t, "heap.old.used", None, &all()), None);
        assert_eq!(lane_stats(&t, "heap.young.used", None, &all()), None);
        assert_eq!(growth(&t, "heap.old.used", None, &all()), None);
    }

    #[test]
    fn histograms_merge_before_a_percentile_is_read() {
        let mut t = Timeline::new();
        for (id, us, n) in [(0, 1_000, 99), (1, 100_000, 1)] {
            t.apply(&Entry::Lane(LaneId(id), LaneSpec::histogram("pool.db.wait", format!("shop-{id}"))));
            let span = Span::new(RunTime::ZERO, RunTime::from_ms(1_000));
            t.apply(&Entry::Histogram { lane: LaneId(id), span, cells: Sparse { cells: vec![(us, n)] } });
        }
        let stats = lane_stats(&t, "pool.db.wait", None, &all()).unwrap();
        assert_eq!((stats.count, stats.median, stats.p99), (100, 1e6, 1e6));
        assert!((stats.max - 1e8).abs() < 1e5);
    }

    proptest! {
        /// Up to a quarter of the points may be anything.
        #[test]
        fn growth_is_not_fooled_by_outliers(slope in -50.0..50.0_f64, wild in prop::collection::vec((0..80_usize, -1e6..1e6_f64), 0..20)) {
            let mut points: Vec<(u64, f64)> = (0..80).map(|i| (i * 100, slope * i as f64 / 10.0)).collect();
            for (i, value) in wild {
                points[i].1 = value;
            }
            let mut t = Timeline::new();
            lane(&mut t, 0, LaneSpec::level("heap.old.used", "shop-0", Unit::Bytes), &points);
            let (found, n) = growth(&t, "heap.old.used", None, &all()).unwrap();
            prop_assert!(n >= 80);
            prop_assert!((found - slope).abs() < 0.6 * slope.abs() + 1.0, "{found} for {slope}");
        }

        /// Parts of a run come to as much as the whole.
        #[test]
        fn totals_add_up_over_any_cut(values in prop::collection::vec(0.0..1e4_f64, 1..60), cut in 0..6_000_u64) {
            let points: Vec<(u64, f64)> = values.iter().enumerate().map(|(i, v)| (100 + i as u64 * 100, *v)).collect();
            let mut t = Timeline::new();
            lane(&mut t, 0, LaneSpec::rate(names::OFFERED, "gen-0", Unit::PerSecond), &points);
            let end = RunTime::from_ms(10_000);
            let part = |a, b| total(&t, names::OFFERED, None, &[Span::new(a, b)]);
            let cut = RunTime::from_ms(cut);
            let (whole, parts) = (part(RunTime::ZERO, end), part(RunTime::ZERO, cut) + part(cut, end));
            prop_assert!(whole.abs_diff(parts) <= 1);
        }
    }
}
