//! Robust statistics that detectors share: medians, trends, change points, merged durations.
//!
//! Owns arithmetic on plain numbers. Which window to look at and what a figure means is each
//! detector's business. Every function takes any finite input; none panics on empty input.

use timeline::Span;
use timeline::histogram::Sparse;

/// The middle value; the mean of the two middle ones of an even number. None when empty.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|v| v.is_finite());
    let n = values.len();
    if n == 0 {
        return None;
    }
    // Detectors ask for it hundreds of times a tick, and for nothing else that an order tells.
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| n.is_multiple_of(2));
    Some(lower.map_or(upper, |lower| f64::midpoint(lower, upper)))
}

/// A straight trend through points, by Theil and Sen: the median of all pairwise slopes, which up to
/// 29% of wild points cannot move (Sen 1968).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Value per unit of time.
    pub slope: f64,
    /// The line's value at time 0.
    pub at_zero: f64,
    /// Share of pairs that rise, 0 to 1; 0.5 without trend. Kendall's tau is `2 * rising - 1`.
    pub rising: f64,
    /// Mann and Kendall's statistic: tau's distance from 0 in its own standard deviations.
    pub z: f64,
    /// Median distance of the points from the line.
    pub noise: f64,
}

/// The trend of `points` (time, value); none with fewer than four.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let n = points.len();
    if n < 4 {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let (mut up, mut down) = (0.0_f64, 0.0_f64);
    for (i, a) in points.iter().enumerate() {
        for b in &points[i + 1..] {
            if b.0 <= a.0 {
                continue;
            }
            if b.1 > a.1 {
                up += 1.0;
            } else if b.1 < a.1 {
                down += 1.0;
            }
            slopes.push((b.1 - a.1) / (b.0 - a.0));
        }
    }
    let pairs = slopes.len() as f64;
    let slope = median(slopes)?;
    let at_zero = median(points.iter().map(|p| p.1 - slope * p.0).collect())?;
    let noise = median(points.iter().map(|p| (p.1 - at_zero - slope * p.0).abs()).collect())?;
    let n = n as f64;
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    Some(Trend {
        slope,
        at_zero,
        rising: 0.5 + (up - down) / (2.0 * pairs),
        z: (up - down) / deviation,
        noise,
    })
}

/// Where a series leaves its floor: the knot of the flat-then-rising line with the least squared
/// error. None with fewer than six points.
pub fn knot(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 6 {
        return None;
    }
    points[..points.len() - 3]
        .iter()
        .map(|k| (k.0, hinge_error(points, k.0)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(t, _)| t)
}

/// Where a series goes from one level to another: how many of its values belong to the first one, by the least squared error, and both
/// levels. None with fewer than six values.
pub fn step(values: &[f64]) -> Option<(usize, f64, f64)> {
    /// Values of a level, at least.
    const LEAST: usize = 2;
    if values.len() < 6 {
        return None;
    }
    let level = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let error = |part: &[f64], level: f64| part.iter().map(|v| (v - level).powi(2)).sum::<f64>();
    (LEAST..=values.len() - LEAST)
        .map(|n| {
            let (first, rest) = values.split_at(n);
            let (a, b) = (level(first), level(rest));
            (error(first, a) + error(rest, b), (n, a, b))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, step)| step)
}

/// Squared error of `floor + slope * max(0, t - knot)`, fitted by least squares.
fn hinge_error(points: &[(f64, f64)], knot: f64) -> f64 {
    let n = points.len() as f64;
    let x = |t: f64| (t - knot).max(0.0);
    let mean_x = points.iter().map(|p| x(p.0)).sum::<f64>() / n;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for p in points {
        let (dx, dy) = (x(p.0) - mean_x, p.1 - mean_y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    if xx > 0.0 { yy - xy * xy / xx } else { yy }
}

/// Durations of several intervals and instances, merged: counted once, asked often.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    cells: Vec<(u32, u64)>,
    count: u64,
    sum_us: f64,
}

impl Durations {
    /// Merges the samples of all `intervals`.
    pub fn of<'a>(intervals: impl IntoIterator<Item = &'a (Span, Sparse)>) -> Self {
        let mut cells: Vec<(u32, u64)> = Vec::new();
        for (_, sparse) in intervals {
            cells.extend(sparse.cells.iter().map(|&(v, n)| (v, u64::from(n))));
        }
        cells.sort_unstable_by_key(|c| c.0);
        let count = cells.iter().map(|c| c.1).sum();
        let sum_us = cells.iter().map(|c| f64::from(c.0) * c.1 as f64).sum();
        Self { cells, count, sum_us }
    }

    /// How many samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean, nanoseconds; none when empty.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_us * 1e3 / self.count as f64)
    }

    /// The same of samples that count for `most` (ns) at most: what began before a window was in it no longer than that.
    pub fn mean_up_to_ns(&self, most: f64) -> Option<f64> {
        let sum: f64 = self.cells.iter().map(|c| (f64::from(c.0) * 1e3).min(most) * c.1 as f64).sum();
        (self.count > 0).then(|| sum / self.count as f64)
    }

    /// Standard error of the mean as a share of it: 0.02 of 2,500 samples that differ by as much as they last. None of fewer than two.
    pub fn mean_error(&self) -> Option<f64> {
        let n = self.count as f64;
        let mean = self.sum_us / n;
        let squares: f64 = self.cells.iter().map(|c| (f64::from(c.0) - mean).powi(2) * c.1 as f64).sum();
        (self.count > 1 && mean > 0.0).then(|| (squares / (n - 1.0) / n).sqrt() / mean)
    }

    /// The value at `quantile` (0 to 1), nanoseconds; none when empty.
    pub fn quantile_ns(&self, quantile: f64) -> Option<f64> {
        let rank = ((quantile * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for &(value, n) in &self.cells {
            seen += n;
            if seen >= rank {
                return Some(f64::from(value) * 1e3);
            }
        }
        None
    }

    /// How many samples are longer than `ns`.
    pub fn longer_than(&self, ns: f64) -> u64 {
        longer_than(&self.cells, ns)
    }
}

/// How many samples in cells (value in microseconds, count) are longer than `ns`: of one interval without a copy.
pub fn longer_than<N: Copy + Into<u64>>(cells: &[(u32, N)], ns: f64) -> u64 {
    cells.iter().filter(|c| f64::from(c.0) * 1e3 > ns).map(|c| c.1.into()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timeline::RunTime;
    use timeline::histogram;

    #[test]
    fn a_line_with_wild_points_keeps_its_slope() {
        let points: Vec<(f64, f64)> = (0..30)
            .map(|i| (f64::from(i), if i % 7 == 0 { 1e9 } else { 5.0 + 3.0 * f64::from(i) }))
            .collect();
        let t = trend(&points).unwrap();
        assert!((t.slope - 3.0).abs() < 0.5, "{t:?}");
        assert!(trend(&[(0.0, 1.0)]).is_none());
    }

    #[test]
    fn a_flat_series_has_no_trend() {
        let t = trend(&(0..20).map(|i| (f64::from(i), 7.0)).collect::<Vec<_>>()).unwrap();
        assert_eq!((t.slope, t.rising, t.z), (0.0, 0.5, 0.0));
    }

    #[test]
    fn the_knot_is_where_the_growth_begins() {
        let points: Vec<(f64, f64)> =
            (0..60).map(|i| (f64::from(i), 100.0 + 4.0 * f64::from((i - 22).max(0)))).collect();
        assert_eq!(knot(&points), Some(22.0));
    }

    #[test]
    fn what_began_before_a_window_counts_for_no_more_than_its_length() {
        let cells = Sparse { cells: vec![(10_000, 9), (9_000_000, 1)] };
        let d = Durations::of([&(Span::new(RunTime::ZERO, RunTime::from_ms(1_000)), cells)]);
        assert_eq!((d.mean_ns(), d.mean_up_to_ns(1e9)), (Some(909e6), Some(109e6)));
    }

    proptest! {
        #[test]
        fn merged_quantiles_are_those_of_the_histogram(values in prop::collection::vec(1u64..5_000_000, 1..200), q in 0.0f64..1.0) {
            let mut h = histogram::new();
            values.iter().for_each(|&v| h.saturating_record(v));
            let interval = (Span::new(RunTime::ZERO, RunTime::from_ms(100)), Sparse::of(&h));
            let d = Durations::of([&interval]);
            prop_assert_eq!(d.count(), values.len() as u64);
            prop_assert_eq!(d.quantile_ns(q), histogram::quantile_ns(&h, q));
        }
    }
}
