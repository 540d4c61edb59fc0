//! What pairs of measurements say: a ratio with its interval, and whether a target is met.
//!
//! Ratios are compared on their logarithms, where twice and half are equally far from 1. The interval is Student's, for
//! as few pairs as a bench can afford.

use serde::{Deserialize, Serialize};

/// Two-sided 95% quantiles of Student's t for 1, 2, ... degrees of freedom.
const T95: [f64; 15] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
];
/// The same for many.
const T95_MANY: f64 = 1.96;

/// A figure and where it lies with 95% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// A figure that was counted, not estimated.
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// The geometric mean of the ratios first / second; none with fewer than two pairs, or where one is not above 0.
pub fn ratio(pairs: &[(f64, f64)]) -> Option<Interval> {
    let n = pairs.len();
    if n < 2 || pairs.iter().any(|(a, b)| !(*a > 0.0 && *b > 0.0 && a.is_finite() && b.is_finite())) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| (a / b).ln()).collect();
    let mean = logs.iter().sum::<f64>() / n as f64;
    let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let t = T95.get(n - 2).copied().unwrap_or(T95_MANY);
    let half = t * (variance / n as f64).sqrt();
    Some(Interval { value: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less.
    AtLeast(f64),
}

/// Whether it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval keeps the target.
    Met,
    /// None of it does.
    NotMet,
    /// Noise hides the answer, or too few clean pairs were had.
    NotResolvable,
    /// Something that it takes is missing.
    NotMeasured,
    /// There is no target.
    NoTarget,
}

impl Verdict {
    /// What an interval (none: nothing could be quoted) says of a bound.
    pub fn of(interval: Option<Interval>, bound: Option<Bound>) -> Self {
        let (Some(i), Some(bound)) = (interval, bound) else {
            return if interval.is_none() { Self::NotResolvable } else { Self::NoTarget };
        };
        let (kept, broken) = match bound {
            Bound::AtMost(most) => (i.high <= most, i.low > most),
            Bound::AtLeast(least) => (i.low >= least, i.high < least),
        };
        match (kept, broken) {
            (true, _) => Self::Met,
            (_, true) => Self::NotMet,
            _ => Self::NotResolvable,
        }
    }

    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::NotResolvable => "not resolvable",
            Self::NotMeasured => "not measured",
            Self::NoTarget => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_geometric_and_its_interval_students() {
        // Logs ln 2 and ln 8: mean ln 4, standard error ln 2; t for one degree of freedom.
        let i = ratio(&[(2.0, 1.0), (8.0, 1.0)]).unwrap();
        assert!((i.value - 4.0).abs() < 1e-9);
        assert!((i.high / (4.0 * 2f64.powf(12.706)) - 1.0).abs() < 1e-9);
        assert!((i.low * i.high / 16.0 - 1.0).abs() < 1e-9);
        assert_eq!(ratio(&[(1.0, 2.0)]), None);
        assert_eq!(ratio(&[(1.0, 2.0), (1.0, 0.0)]), None);
    }

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        let i = Interval { value: 0.9, low: 0.8, high: 1.0 };
        let of = |bound| Verdict::of(Some(i), Some(bound));
        assert_eq!(of(Bound::AtMost(1.0)), Verdict::Met);
        assert_eq!(of(Bound::AtMost(0.7)), Verdict::NotMet);
        assert_eq!(of(Bound::AtMost(0.95)), Verdict::NotResolvable);
        assert_eq!(of(Bound::AtLeast(0.8)), Verdict::Met);
        assert_eq!(of(Bound::AtLeast(1.1)), Verdict::NotMet);
        assert_eq!(Verdict::of(None, Some(Bound::AtMost(1.0))), Verdict::NotResolvable);
        assert_eq!(Verdict::of(Some(i), None), Verdict::NoTarget);
    }
}
