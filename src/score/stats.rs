//! How far a score can be believed: intervals of shares, of counts and of quantiles, each with 95% confidence.

use loadgen::random::Stream;
use serde::{Deserialize, Serialize};

/// Two-sided 95% quantile of the normal distribution.
const Z: f64 = 1.959_964;
/// Samples drawn anew for a quantile's interval; its ends are then the 25th from either side of a thousand.
const RESAMPLES: usize = 1_000;
/// Seed of those draws: the same times give the same interval.
const RESAMPLE_SEED: u64 = 1;

/// A figure and where it lies with 95% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Out of how many.
    pub of: usize,
}

/// The share `hits` / `of` with Wilson's interval, which stays within 0 to 1 and is honest near both; none of nothing.
pub fn share(hits: usize, of: usize) -> Option<Estimate> {
    if of == 0 {
        return None;
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let scale = 1.0 / (1.0 + Z * Z / n);
    let middle = scale * (p + Z * Z / (2.0 * n));
    let half = scale * Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(Estimate { value: p, low: (middle - half).max(0.0), high: (middle + half).min(1.0), of })
}

/// So many events in so many runs, for each run; the interval is that of a Poisson count in Byar's approximation, which for none at
/// all comes to 3.7 events, as the exact one does.
pub fn rate(events: usize, runs: usize) -> Option<Estimate> {
    if runs == 0 {
        return None;
    }
    let (n, x, more) = (runs as f64, events as f64, events as f64 + 1.0);
    let limit = |x: f64, z: f64| x * (1.0 - 1.0 / (9.0 * x) + z / (3.0 * x.sqrt())).powi(3);
    let low = if events == 0 { 0.0 } else { limit(x, -Z).max(0.0) };
    Some(Estimate { value: x / n, low: low / n, high: limit(more, Z) / n, of: runs })
}

/// A quantile by nearest rank, with the percentile bootstrap's interval; none of no values.
pub fn quantile(values: &[f64], q: f64) -> Option<Estimate> {
    let value = nearest(&mut values.to_vec(), q)?;
    let mut stream = Stream::of(RESAMPLE_SEED, values.len() as u64);
    let mut draw = || values[stream.below(values.len() as u64) as usize];
    let mut again: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| nearest(&mut (0..values.len()).map(|_| draw()).collect::<Vec<_>>(), q))
        .collect();
    let low = nearest(&mut again, 0.025)?;
    let high = nearest(&mut again, 0.975)?;
    Some(Estimate { value, low, high, of: values.len() })
}

fn nearest(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_wilsons_interval() {
        // Worked out by hand for 8 of 10.
        let e = share(8, 10).unwrap();
        assert!((e.low - 0.4902).abs() < 1e-3 && (e.high - 0.9433).abs() < 1e-3, "{e:?}");
        let all = share(100, 100).unwrap();
        assert!((all.low - 0.963).abs() < 1e-3 && (all.high - 1.0).abs() < 1e-9, "{all:?}");
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn counts_have_poissons_interval() {
        // Exact: 0 has 3.689 above it, 10 lies in 4.795 to 18.39.
        let none = rate(0, 1).unwrap();
        assert!(none.low == 0.0 && (none.high - 3.69).abs() < 0.05, "{none:?}");
        let ten = rate(10, 2).unwrap();
        assert!((ten.value - 5.0).abs() < 1e-9);
        assert!((ten.low * 2.0 - 4.795).abs() < 0.05 && (ten.high * 2.0 - 18.39).abs() < 0.05, "{ten:?}");
    }

    #[test]
    fn quantiles_lie_in_their_interval_and_repeat() {
        let values: Vec<f64> = (1..=101).map(f64::from).collect();
        let e = quantile(&values, 0.5).unwrap();
        assert_eq!((e.value, e.of), (51.0, 101));
        // Two standard errors of the median of 101 evenly spread values: about 10.
        assert!((35.0..51.0).contains(&e.low) && (52.0..68.0).contains(&e.high), "{e:?}");
        assert_eq!(quantile(&values, 0.5), Some(e));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[2.0], 0.95).unwrap().value, 2.0);
    }
}
