//! A histogram of a page as a histogram of ours: from cumulative buckets, or from count and sum alone.
//!
//! Owns where in its bucket a duration is put. Buckets are coarse (prom-client's second one goes from 1 to 10 ms), so all
//! durations of an interval are shifted by one share of their bucket's width, chosen so that their sum comes to what the
//! page says: a lone duration comes out exactly, and the mean always does. Without buckets all are put at the mean. Where the last bucket,
//! `+Inf`, is missing, the count stands for it; without either, nobody knows how many took longest.

use timeline::histogram::{MAX_US, Sparse};

/// Most limits of one histogram; client libraries' defaults have 11, finely cut ones 70.
const MAX_LIMITS: usize = 256;
/// Longest duration that is told apart, ns.
const LONGEST_NS: f64 = MAX_US as f64 * 1e3;
/// Most durations of a bucket: no page has counted so many, and sums of them are still numbers.
const MOST: f64 = 1e18;

/// What a histogram or summary has grown by in an interval, all series of a lane together.
#[derive(Default)]
pub(super) struct Buckets {
    /// Upper limit, ns, and how many durations at most so long.
    limits: Vec<(f64, f64)>,
    /// ns.
    pub sum: f64,
    /// None where the page does not say.
    count: Option<f64>,
}

impl Buckets {
    pub fn clear(&mut self) {
        self.limits.clear();
        self.sum = 0.0;
        self.count = None;
    }

    pub fn are_there(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Is it said how many there are in all?
    pub fn are_whole(&self) -> bool {
        self.count.is_some() || self.have_last()
    }

    fn have_last(&self) -> bool {
        self.limits.iter().any(|(limit, _)| limit.is_infinite())
    }

    /// `more` durations in all.
    pub fn counted(&mut self, more: f64) {
        *self.count.get_or_insert(0.0) += more;
    }

    /// `more` durations of at most `limit` ns. None is shorter than nothing.
    pub fn bucket(&mut self, limit: f64, more: f64) {
        if limit.is_nan() || limit < 0.0 {
            return;
        }
        let more = more.min(MOST);
        if let Some(known) = self.limits.iter_mut().find(|(l, _)| *l == limit) {
            known.1 += more;
        } else if self.limits.len() < MAX_LIMITS {
            self.limits.push((limit, more));
        }
    }

    /// The durations.
    pub fn cells(&self) -> Sparse {
        let parts = if self.limits.is_empty() { self.lump() } else { self.parts() };
        let low: f64 = parts.iter().map(|p| p.low * p.n).sum();
        let width: f64 = parts.iter().map(|p| (p.high - p.low) * p.n).sum();
        let share = if width <= 0.0 {
            0.0
        } else if self.sum > 0.0 && self.sum.is_finite() && low.is_finite() {
            ((self.sum - low) / width).clamp(0.0, 1.0)
        } else {
            0.5
        };
        let mut cells: Vec<(u32, u32)> = Vec::with_capacity(parts.len());
        for part in parts {
            let us =
                ((part.low + share * (part.high - part.low)) / 1e3).round().clamp(1.0, MAX_US as f64) as u32;
            let n = part.n.round().min(f64::from(u32::MAX)) as u32;
            match cells.last_mut() {
                _ if n == 0 => {}
                Some(last) if last.0 >= us => last.1 = last.1.saturating_add(n),
                _ => cells.push((us, n)),
            }
        }
        Sparse { cells }
    }

    /// Count and sum alone: all at the mean.
    fn lump(&self) -> Vec<Part> {
        let count = self.count.unwrap_or(0.0);
        let mean = if count > 0.0 { (self.sum / count).min(LONGEST_NS) } else { 0.0 };
        vec![Part { low: mean, high: mean, n: count }]
    }

    fn parts(&self) -> Vec<Part> {
        let mut limits = self.limits.clone();
        if let Some(count) = self.count.filter(|_| !self.have_last()) {
            limits.push((f64::INFINITY, count.min(MOST)));
        }
        limits.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut parts: Vec<Part> = Vec::with_capacity(limits.len());
        let (mut low, mut below) = (0.0, 0.0);
        for (limit, so_many) in limits {
            // Series with other limits, or a page that lies: a bucket never holds fewer than none.
            let n = (so_many - below).max(0.0);
            let high = if limit.is_finite() { limit } else { self.beyond(low, n, &parts) };
            let high = high.clamp(low, LONGEST_NS);
            parts.push(Part { low, high, n });
            (low, below) = (high, so_many.max(below));
        }
        parts
    }

    /// Upper end of the bucket without one: what the others leave of the sum even if they were all as short as they can be.
    fn beyond(&self, low: f64, n: f64, others: &[Part]) -> f64 {
        let least: f64 = others.iter().map(|p| p.low * p.n).sum();
        let mean = (self.sum - least) / n;
        if n > 0.0 && mean.is_finite() { mean } else { low }
    }
}

/// Durations between two limits, ns.
struct Part {
    low: f64,
    high: f64,
    n: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: f64 = 1e6;

    fn filled(buckets: &[(f64, f64)], sum: f64) -> Buckets {
        let mut b = Buckets { sum, count: buckets.last().map(|l| l.1), ..Buckets::default() };
        buckets.iter().for_each(|&(l, n)| b.bucket(l, n));
        b
    }

    #[test]
    fn a_lone_duration_comes_out_as_it_was() {
        let b = filled(&[(MS, 0.0), (10.0 * MS, 0.0), (100.0 * MS, 1.0), (f64::INFINITY, 1.0)], 43.0 * MS);
        assert_eq!(b.cells().cells, [(43_000, 1)]);
        let beyond = filled(&[(MS, 0.0), (f64::INFINITY, 1.0)], 7_000.0 * MS);
        assert_eq!(beyond.cells().cells, [(7_000_000, 1)]);
    }

    #[test]
    fn without_buckets_all_lie_at_the_mean_and_without_a_sum_in_the_middle() {
        let lump = Buckets { sum: 30.0 * MS, count: Some(3.0), ..Buckets::default() };
        assert_eq!(lump.cells().cells, [(10_000, 3)]);
        assert_eq!(filled(&[(MS, 0.0), (3.0 * MS, 4.0)], 0.0).cells().cells, [(2_000, 4)]);
        assert!(Buckets::default().cells().cells.is_empty());
    }

    #[test]
    fn the_count_stands_for_the_last_bucket_where_that_is_missing() {
        let (buckets, last) = ([(MS, 2.0), (10.0 * MS, 3.0)], (f64::INFINITY, 5.0));
        let with = filled(&[buckets[0], buckets[1], last], 200.0 * MS);
        let mut without = Buckets { sum: 200.0 * MS, ..Buckets::default() };
        buckets.iter().for_each(|&(limit, n)| without.bucket(limit, n));
        assert!(with.are_whole() && !without.are_whole());
        without.counted(5.0);
        assert!(without.are_whole());
        assert_eq!((without.cells().count(), without.cells().cells), (5, with.cells().cells));
        // A count that says less than the buckets takes nothing away from them.
        without.count = Some(1.0);
        assert_eq!(without.cells().count(), 3);
    }

    #[test]
    fn limits_and_sums_beyond_all_numbers_are_none() {
        let mut b = Buckets { sum: f64::INFINITY, count: Some(f64::INFINITY), ..Buckets::default() };
        for (limit, n) in [
            (f64::NEG_INFINITY, 1e308),
            (f64::NEG_INFINITY, 1e308),
            (1e9, 5.0),
            (f64::INFINITY, f64::MAX),
            (f64::INFINITY, f64::MAX),
        ] {
            b.bucket(limit, n);
        }
        assert!(b.cells().cells.iter().all(|c| (1..=MAX_US as u32).contains(&c.0)));
    }

    proptest! {
        #[test]
        fn cells_are_in_order_whatever_the_page_says(
            limits in prop::collection::vec((prop::num::f64::ANY, 0.0..1e308f64), 0..20), sum in 0.0..1e308f64, count in 0.0..1e308f64
        ) {
            let mut b = Buckets { sum, count: Some(count), ..Buckets::default() };
            limits.iter().filter(|l| !l.0.is_nan()).for_each(|&(l, n)| b.bucket(l, n));
            let cells = b.cells().cells;
            prop_assert!(cells.windows(2).all(|w| w[0].0 < w[1].0), "{cells:?}");
            prop_assert!(cells.iter().all(|&(v, n)| v >= 1 && u64::from(v) <= MAX_US && n > 0));
        }

        #[test]
        fn the_mean_is_kept(durations in prop::collection::vec(0.2..9_000.0f64, 1..40)) {
            let limits = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, f64::INFINITY];
            let at_most = |l: f64| (l * MS, durations.iter().filter(|&&d| d <= l).count() as f64);
            let sum: f64 = durations.iter().sum();
            let b = filled(&limits.map(at_most), sum * MS);
            let cells = b.cells();
            prop_assert_eq!(cells.count(), durations.len() as u64);
            let got = cells.sum_us() as f64 / 1e3;
            prop_assert!((got - sum).abs() <= sum * 0.001 + durations.len() as f64 * 0.001, "{} {}", got, sum);
        }
    }
}
