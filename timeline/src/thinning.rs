//! Thinning: what memory keeps of the first hours of a long run.
//!
//! Owns what becomes of a lane's samples when they are old. A recording keeps everything; whoever reads it thins at the same
//! ticks in the same way, so that a run that is read back is the one that was watched. Events are few and stay.

use std::collections::BTreeMap;

use crate::clock::{RunTime, Span};
use crate::histogram::Sparse;
use crate::lane::Shape;
use crate::store::Series;

const SECOND_NS: u64 = 1_000_000_000;
/// What is younger stays as it came.
const WHOLE_NS: u64 = 3_600 * SECOND_NS;
/// So much is thinned at a time: what stays is moved each time, however little goes.
const AT_ONCE_NS: u64 = 600 * SECOND_NS;

/// Up to where lanes are thinned at the tick at `now`.
pub(crate) fn due(now: RunTime) -> RunTime {
    RunTime(now.0.saturating_sub(WHOLE_NS) / AT_ONCE_NS * AT_ONCE_NS)
}

/// Keeps of a lane's samples in `span` what the screens show, which is one column for each second: of levels the last one, the least and the
/// greatest, of rates the mean, of histograms the sum.
pub(crate) fn thin(series: &mut Series, span: Span) {
    let points = series.points.partition_point(|p| p.0 < span.start)
        ..series.points.partition_point(|p| p.0 < span.end);
    let old = &series.points[points.clone()];
    let kept = match series.spec.shape {
        Shape::Rate => {
            let before = points.start.checked_sub(1).map(|i| series.points[i].0);
            means(old, before)
        }
        Shape::Level | Shape::Histogram => seconds(old, |p| p.0).flat_map(extremes).collect(),
    };
    series.points.splice(points, kept);

    let intervals = series.intervals.partition_point(|i| i.0.start < span.start)
        ..series.intervals.partition_point(|i| i.0.start < span.end);
    let kept: Vec<_> = seconds(&series.intervals[intervals.clone()], |i| i.0.start).filter_map(sum).collect();
    series.intervals.splice(intervals, kept);
}

/// What lies in each second.
fn seconds<T>(list: &[T], at: impl Fn(&T) -> RunTime) -> impl Iterator<Item = &[T]> {
    list.chunk_by(move |a, b| at(a).0 / SECOND_NS == at(b).0 / SECOND_NS)
}

/// The last of a second, and before it the least and the greatest where they are others.
fn extremes(second: &[(RunTime, f64)]) -> Vec<(RunTime, f64)> {
    let Some(last) = second.last() else { return Vec::new() };
    let first_of = |worse: fn(f64, f64) -> bool| {
        (1..second.len()).fold(0, |best, i| if worse(second[best].1, second[i].1) { i } else { best })
    };
    let mut kept = [first_of(|best, v| v < best), first_of(|best, v| v > best)];
    kept.sort_unstable();
    let others = kept.iter().map(|&i| second[i]).filter(|p| p.1 != last.1);
    let mut kept: Vec<_> = others.collect();
    kept.dedup();
    kept.push(*last);
    kept
}

/// One sample for each second, its mean: a sample of a rate is the mean since the one before it, so the integral stays what it was. Since when the
/// very first one counts is not known, so it stays by itself.
fn means(rates: &[(RunTime, f64)], mut before: Option<RunTime>) -> Vec<(RunTime, f64)> {
    let mut kept = Vec::new();
    let rest = match (before, rates.split_first()) {
        (None, Some((first, rest))) => {
            kept.push(*first);
            before = Some(first.0);
            rest
        }
        _ => rates,
    };
    for second in seconds(rest, |p| p.0) {
        let Some(&last) = second.last() else { continue };
        let from = before.replace(last.0).unwrap_or(last.0);
        let (mut since, mut sum) = (from, 0.0);
        for &(at, rate) in second {
            sum += rate * at.since(since).as_secs_f64();
            since = at;
        }
        let length = last.0.since(from).as_secs_f64();
        let mean = if second.len() == 1 || length == 0.0 { last.1 } else { sum / length };
        kept.push((last.0, mean));
    }
    kept
}

/// The intervals of a second as one.
fn sum(second: &[(Span, Sparse)]) -> Option<(Span, Sparse)> {
    if let [one] = second {
        return Some(one.clone());
    }
    let spans = second.iter().map(|i| i.0);
    let span = spans.reduce(|a, b| Span::new(a.start.min(b.start), a.end.max(b.end)))?;
    let mut cells: BTreeMap<u32, u32> = BTreeMap::new();
    for &(value, count) in second.iter().flat_map(|i| &i.1.cells) {
        let sum = cells.entry(value).or_default();
        *sum = sum.saturating_add(count);
    }
    Some((span, Sparse { cells: cells.into_iter().collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::LaneSpec;
    use crate::{Entry, LaneId, Timeline, Unit, figures};

    const TENTH_NS: u64 = SECOND_NS / 10;

    /// A level, a rate and a histogram, ten times a second for so many seconds, with a tick each minute.
    fn run(length_s: u64) -> Timeline {
        let specs = [
            LaneSpec::level("heap.used", "shop-0", Unit::Bytes),
            LaneSpec::rate("server.requests", "shop-0", Unit::PerSecond),
            LaneSpec::histogram("server.handler", "shop-0"),
        ];
        let mut timeline = Timeline::new();
        for (id, spec) in (0..).zip(specs) {
            timeline.apply(&Entry::Lane(LaneId(id), spec));
        }
        for n in 1..=length_s * 10 {
            let at = RunTime(n * TENTH_NS);
            let value = (n * 7 % 13) as f64;
            timeline.apply(&Entry::Sample { lane: LaneId(0), at, value });
            timeline.apply(&Entry::Sample { lane: LaneId(1), at, value });
            let cells = Sparse { cells: vec![(100 + (n % 3) as u32, 2)] };
            let span = Span::new(at.back(std::time::Duration::from_nanos(TENTH_NS)), at);
            timeline.apply(&Entry::Histogram { lane: LaneId(2), span, cells });
            if n % 600 == 0 {
                timeline.apply(&Entry::Tick(at));
            }
        }
        timeline
    }

    #[test]
    fn an_hour_stays_whole_and_what_is_older_is_kept_by_the_second() {
        let hour = 3_600;
        let [level, rate, histogram] = &run(hour)
            .series()
            .iter()
            .map(|s| s.points.len().max(s.intervals.len()) as u64)
            .collect::<Vec<_>>()[..]
        else {
            panic!("three lanes");
        };
        assert_eq!([level, rate, histogram], [&(hour * 10); 3]);
        let long = run(3 * hour);
        let old = 2 * hour;
        for series in long.series() {
            let all = series.points.len().max(series.intervals.len()) as u64;
            assert!(all <= hour * 10 + old * 3 + 10, "{}: {all}", series.spec.name);
        }
        let [_, rate, histogram] = long.series() else { panic!("three lanes") };
        assert!((rate.points.len() as u64) < hour * 10 + old + 10);
        assert!((histogram.intervals.len() as u64) < hour * 10 + old + 10);
    }

    #[test]
    fn counts_extremes_and_percentiles_of_a_long_run_are_what_they_were() {
        let long = run(2 * 3_600);
        let all = Span::new(RunTime::ZERO, long.now());
        let samples = 2 * 36_000;
        assert_eq!(long.merged("server.handler", None, all).len(), samples * 2);
        let sum: u64 = (1..=samples).map(|n| n * 7 % 13).sum();
        let counted = figures::total(&long, "server.requests", None, &[all]);
        assert!(counted.abs_diff((sum as f64 / 10.0).round() as u64) <= 1, "{counted} of {sum} tenths");
        let level = &long.series()[0].points;
        let first: Vec<f64> = level.iter().take_while(|p| p.0.0 < 60 * SECOND_NS).map(|p| p.1).collect();
        assert!(first.len() < 200 && first.contains(&0.0) && first.contains(&12.0), "{first:?}");
        let last_of = |second: u64| {
            let within = |p: &&(RunTime, f64)| p.0.0 / SECOND_NS == second;
            level.iter().rfind(within).unwrap().1
        };
        assert_eq!(last_of(5), (59 * 7 % 13) as f64);
    }

    #[test]
    fn what_comes_seldom_stays_as_it_came() {
        let at = |s: u64| RunTime(s * SECOND_NS);
        let mut series = Series {
            spec: LaneSpec::rate("db.rows", "postgres", Unit::PerSecond),
            points: (1..10).map(|n| (at(n * 5), n as f64 / 3.0)).collect(),
            intervals: (1..10)
                .map(|n| (Span::new(at(n * 5), at(n * 5 + 5)), Sparse { cells: vec![(9, n as u32)] }))
                .collect(),
        };
        let before = series.clone();
        thin(&mut series, Span::new(at(0), at(30)));
        assert_eq!((series.points, series.intervals), (before.points, before.intervals));
    }
}
