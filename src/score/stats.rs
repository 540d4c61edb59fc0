//! How far a score can be believed: intervals of shares, of counts and of quantiles, each with 95% confidence.

use serde::{Deserialize, Serialize};

/// Two-sided 95% quantile of the normal distribution.
const Z: f64 = 1.959_964;
/// What may lie beyond either end of an interval.
const TAIL: f64 = 0.025;

/// A figure and where it lies with 95% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end; none: the sample is too small to have one.
    pub low: Option<f64>,
    /// Upper end, likewise.
    pub high: Option<f64>,
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
    let (low, high) = ((middle - half).max(0.0), (middle + half).min(1.0));
    Some(Estimate { value: p, low: Some(low), high: Some(high), of })
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
    Some(Estimate { value: x / n, low: Some(low / n), high: Some(limit(more, Z) / n), of: runs })
}

/// A quantile by nearest rank; none of no values. The ends of its interval are values of the sample, whatever these are spread like: how
/// many of them lie below the true quantile is binomial. Where even the least or the greatest value may lie on the wrong side of
/// it, there is no such end: the 95th percentile has an upper one from 72 values on.
pub fn quantile(values: &[f64], q: f64) -> Option<Estimate> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    let value = *values.get(rank.max(1) - 1)?;
    let of = values.len();
    let (low, high) = ranks(of, q);
    let of_rank = |rank: usize| values[rank - 1];
    Some(Estimate { value, low: low.map(of_rank), high: high.map(of_rank), of })
}

/// Ranks, of `n` values, between which the quantile `q` lies: that fewer values than the first rank lie below it has a chance of [`TAIL`] at
/// most, and so has that as many as the second rank do.
fn ranks(n: usize, q: f64) -> (Option<usize>, Option<usize>) {
    let chances = binomial(n, q);
    let (mut below, mut above) = (0.0, 0.0);
    let within = |sum: &mut f64, chance: f64| {
        *sum += chance;
        *sum <= TAIL
    };
    let low = (1..=n).take_while(|rank| within(&mut below, chances[rank - 1])).last();
    let high = (1..=n).rev().take_while(|&rank| within(&mut above, chances[rank])).last();
    (low, high)
}

/// The chance of each of 0 to `n` of `n` where one has the chance `q`. By logarithms, as the first of many are smaller than a float can be.
fn binomial(n: usize, q: f64) -> Vec<f64> {
    let mut ln = n as f64 * (1.0 - q).ln();
    let mut chances = Vec::with_capacity(n + 1);
    for k in 0..=n {
        chances.push(ln.exp());
        ln += ((n - k) as f64 / (k + 1) as f64).ln() + (q / (1.0 - q)).ln();
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interval that has both ends.
    fn ends(e: &Estimate) -> (f64, f64) {
        (e.low.unwrap(), e.high.unwrap())
    }

    #[test]
    fn shares_have_wilsons_interval() {
        // Worked out by hand for 8 of 10.
        let e = share(8, 10).unwrap();
        let (low, high) = ends(&e);
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3, "{e:?}");
        let all = share(100, 100).unwrap();
        let (low, high) = ends(&all);
        assert!((low - 0.963).abs() < 1e-3 && (high - 1.0).abs() < 1e-9, "{all:?}");
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn counts_have_poissons_interval() {
        // Exact: 0 has 3.689 above it, 10 lies in 4.795 to 18.39.
        let none = rate(0, 1).unwrap();
        let (low, high) = ends(&none);
        assert!(low == 0.0 && (high - 3.69).abs() < 0.05, "{none:?}");
        let ten = rate(10, 2).unwrap();
        assert!((ten.value - 5.0).abs() < 1e-9);
        let (low, high) = ends(&ten);
        assert!((low * 2.0 - 4.795).abs() < 0.05 && (high * 2.0 - 18.39).abs() < 0.05, "{ten:?}");
    }

    #[test]
    fn quantiles_lie_between_values_of_the_sample() {
        let values: Vec<f64> = (1..=101).map(f64::from).collect();
        let e = quantile(&values, 0.5).unwrap();
        assert_eq!((e.value, e.of), (51.0, 101));
        // Two standard errors of the median of 101 evenly spread values: about 10.
        let (low, high) = ends(&e);
        assert!((35.0..51.0).contains(&low) && (52.0..68.0).contains(&high), "{e:?}");
        assert_eq!(quantile(&[], 0.5), None);
        // Tables of the sign test have the third and the tenth of twelve values: 1.9 % lie beyond either.
        assert_eq!(ranks(12, 0.5), (Some(3), Some(10)));
        // The first chances of so many are no floats any more.
        let many: Vec<f64> = (1..=20_000).map(f64::from).collect();
        let (low, high) = ends(&quantile(&many, 0.95).unwrap());
        assert!((18_930.0..18_950.0).contains(&low) && (19_050.0..19_070.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn a_small_sample_does_not_say_how_late_the_latest_are() {
        let twelve: Vec<f64> = (1..=12).map(f64::from).collect();
        let p95 = quantile(&twelve, 0.95).unwrap();
        assert_eq!((p95.value, p95.high), (12.0, None));
        assert!(p95.low.unwrap() < 12.0, "{p95:?}");
        let one = quantile(&[2.0], 0.5).unwrap();
        assert_eq!((one.value, one.low, one.high), (2.0, None, None));
        assert_eq!((ranks(71, 0.95).1, ranks(72, 0.95).1), (None, Some(72)));
    }
}
