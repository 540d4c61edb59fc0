//! What a lane came to over all its instances.
//!
//! Owns the grid on which instances that sample without a common beat are added up, when a silent one is missed, and what is
//! read from it: extremes, quantiles, growth. Which lanes are meant, and what is counted in them, is left to the figures.

use std::collections::BTreeSet;
use std::time::Duration;

use super::spans::after;
use super::{about, merged};
use crate::clock::{RunTime, Span};
use crate::histogram;
use crate::lane::{Combine, LaneSpec, Quality, Shape};
use crate::store::{Series, Timeline};

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
    let lanes: Vec<&Series> = about(timeline, name, subject).collect();
    let first = lanes.first()?.spec.clone();
    let quality = lanes.iter().fold(first.quality, |worst, s| worse(worst, s.spec.quality));
    let spec = LaneSpec { quality, ..first };
    let instances = lanes.iter().map(|s| s.spec.instance.as_str()).collect::<BTreeSet<_>>().len();
    if spec.shape == Shape::Histogram {
        return histogram_stats(timeline, name, subject, spans, spec, instances);
    }
    let count =
        lanes.iter().map(|series| spans.iter().map(|s| series.within(*s).len() as u64).sum::<u64>()).sum();
    let mut values: Vec<f64> = known(timeline, name, subject, spans).map(|(_, value)| value).collect();
    let last = *values.last()?;
    values.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some(LaneStats {
        spec,
        instances,
        count,
        min: values[0],
        median: rank(&values, 0.5),
        mean,
        p99: rank(&values, 0.99),
        max: values[values.len() - 1],
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
    let mut values: Vec<f64> = known(timeline, name, subject, spans).map(|(_, value)| value).collect();
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

/// The cells of the grids of all `spans` that something is known of.
fn known(
    timeline: &Timeline,
    name: &str,
    subject: Option<&str>,
    spans: &[Span],
) -> impl Iterator<Item = (RunTime, f64)> {
    spans.iter().flat_map(move |s| grid(timeline, name, subject, *s)).filter_map(|(at, v)| Some((at, v?)))
}

/// How a lane grew over `spans`: its slope per second and the points that it rests on; none below two.
///
/// The median of the slopes of all pairs (Theil and Sen): up to 29 in 100 points may be off, such as
/// the teeth of a collector's saw, without an effect.
#[must_use]
pub fn growth(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> Option<(f64, u64)> {
    let all: Vec<(f64, f64)> =
        known(timeline, name, subject, spans).map(|(at, value)| (at.as_secs_f64(), value)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::{all, lane};
    use crate::histogram::Sparse;
    use crate::lane::{LaneId, names};
    use crate::store::Entry;
    use crate::units::Unit;
    use proptest::prelude::*;

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
    }
}
