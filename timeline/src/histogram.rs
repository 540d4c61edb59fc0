//! Histograms of durations: one configuration for the whole project.
//!
//! Owns range and precision (3 significant digits, 1 us to 1 h, in **microseconds**) and [`Sparse`], the
//! small form in which intervals are kept, sent and recorded: an empty full-range histogram takes
//! 190 KB, an interval with a few hundred samples a kilobyte. Merging is exact in either form; a percentile
//! is only ever taken from a merged histogram.

use serde::{Deserialize, Serialize};

/// A histogram of durations in microseconds.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// Longest duration that is told apart, microseconds: one hour. Longer ones count as this.
pub const MAX_US: u64 = 3_600_000_000;

/// An empty histogram of the project's range and precision.
#[must_use]
pub fn new() -> Histogram {
    Histogram::new_with_bounds(1, MAX_US, 3).expect("constant bounds are valid")
}

/// Records nanoseconds; below a microsecond counts as one, above an hour as an hour.
pub fn record_ns(histogram: &mut Histogram, ns: u64) {
    histogram.saturating_record((ns / 1_000).max(1));
}

/// The value at `quantile` (0 to 1) in nanoseconds; none without samples.
#[must_use]
pub fn quantile_ns(histogram: &Histogram, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile) as f64 * 1e3)
}

/// The values at `quantiles` (0 to 1, ascending) in nanoseconds, read in one pass; empty without samples.
#[must_use]
pub fn quantiles_ns(histogram: &Histogram, quantiles: impl IntoIterator<Item = f64>) -> Vec<f64> {
    if histogram.is_empty() {
        return Vec::new();
    }
    histogram.value_at_quantiles(quantiles).map(|us| us as f64 * 1e3).collect()
}

/// The used cells of a histogram: value in microseconds (1 to [`MAX_US`]) and count, values ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sparse {
    /// Value and count.
    pub cells: Vec<(u32, u32)>,
}

impl Sparse {
    /// The used cells of `histogram`.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let cells = histogram
            .iter_recorded()
            .map(|v| {
                let value = v.value_iterated_to().clamp(1, MAX_US) as u32;
                (value, u32::try_from(v.count_at_value()).unwrap_or(u32::MAX))
            })
            .collect();
        Self { cells }
    }

    /// How many samples it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cells.iter().map(|&(_, n)| u64::from(n)).sum()
    }

    /// Sum of the samples, microseconds, to the histogram's precision.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.cells.iter().map(|&(v, n)| u64::from(v) * u64::from(n)).sum()
    }

    /// Greatest sample, nanoseconds; none when empty.
    #[must_use]
    pub fn max_ns(&self) -> Option<f64> {
        self.cells.last().map(|&(v, _)| f64::from(v) * 1e3)
    }

    /// Adds its samples to `total`.
    pub fn add_to(&self, total: &mut Histogram) {
        for &(value, count) in &self.cells {
            total.saturating_record_n(u64::from(value).max(1), u64::from(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(values: &[u64]) -> Histogram {
        let mut h = new();
        values.iter().for_each(|&v| h.saturating_record(v));
        h
    }

    proptest! {
        #[test]
        fn merging_sparse_forms_is_recording_all(a in prop::collection::vec(1..MAX_US, 0..50), b in prop::collection::vec(1..MAX_US, 0..50)) {
            let mut merged = new();
            Sparse::of(&filled(&a)).add_to(&mut merged);
            Sparse::of(&filled(&b)).add_to(&mut merged);
            let all: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, filled(&all));
        }

        #[test]
        fn merging_does_not_depend_on_order(a in prop::collection::vec(1..MAX_US, 0..50), b in prop::collection::vec(1..MAX_US, 0..50)) {
            let (mut x, mut y) = (filled(&a), filled(&b));
            x.add(filled(&b)).unwrap();
            y.add(filled(&a)).unwrap();
            prop_assert_eq!(x, y);
        }
    }
}
