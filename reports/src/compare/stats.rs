//! What two groups of runs say of one figure: the difference, its interval, and a verdict.
//!
//! Owns the arithmetic. Runs differ from each other by more than the samples inside of one tell (other sessions of the machine,
//! other neighbours, other memory layouts): an error that is worked out from samples within a run alone raises false alarms in
//! up to half of all comparisons. So the error of a run is its own (block bootstrap) *and* that between runs, of which
//! something is known beforehand and more is learned from each repeat: a scaled inverse chi-squared prior with
//! [`PRIOR_RUNS`] runs' weight, the usual way to keep a spread of two or three values from being taken for certain
//! (Gelman et al., Bayesian Data Analysis, 2.6). The interval is Student's.

use rand::RngExt as _;
use rand_pcg::Lcg64Xsh32;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// How many runs' worth of trust the spread has that is assumed before any was repeated.
const PRIOR_RUNS: f64 = 6.0;
/// Smallest share by which a figure must have moved to be called better or worse: less is of no use to anybody.
const LEAST_SHARE: f64 = 0.02;
/// The same for figures that are compared by difference, such as shares of errors.
const LEAST_DIFFERENCE: f64 = 0.001;
/// An interval that is wider than this on either side (of a logarithm: twice) hides too much to be called *same*.
const WIDEST: f64 = std::f64::consts::LN_2;
/// The same for figures that are compared by difference: five in a hundred.
const WIDEST_DIFFERENCE: f64 = 0.05;
/// Resamples of the bootstrap: its standard error is then known to 5%.
const RESAMPLES: usize = 200;
/// Seed of the resamples: the same runs give the same answer.
const SEED: u64 = 0x6469_6666;

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// By the ratio of new to base: times, rates, bytes.
    Ratio,
    /// By the difference of new and base: shares, which may be 0.
    Difference,
}

impl Scale {
    /// On which the arithmetic is done; none where there is no logarithm.
    fn to(self, value: f64) -> Option<f64> {
        match self {
            Self::Ratio => (value > 0.0).then(|| value.ln()),
            Self::Difference => Some(value),
        }
    }

    fn from(self, value: f64) -> f64 {
        match self {
            Self::Ratio => value.exp_m1(),
            Self::Difference => value,
        }
    }
}

/// A figure of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// The figure.
    pub value: f64,
    /// Its standard error by what is known inside of the run, on the scale of comparison.
    pub error: f64,
}

/// What a comparison of one figure comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It moved the good way, by more than chance and noise.
    Better,
    /// Nothing was seen, and anything large would have been.
    Same,
    /// It moved the bad way, by more than chance and noise.
    Worse,
    /// Too little data, or too much noise.
    CannotTell,
}

impl Verdict {
    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// By how much a figure moved: a share of the base (0.1: a tenth more) or a difference, with where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation from run to run that was reckoned with.
    pub noise: f64,
}

/// The question that is asked of one figure.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// How it is compared.
    pub scale: Scale,
    /// Less of it is better.
    pub less_is_better: bool,
    /// Standard deviation from run to run that is assumed beforehand, on the scale of comparison.
    pub assumed: f64,
    /// Chance of a false alarm that is allowed, both sides together.
    pub risk: f64,
}

/// Compares one figure of the runs in `base` with that of those in `new`; no change where either has none. `taught` are further runs, all of one
/// build, of which only their spread is used.
pub fn compare(q: Question, base: &[Value], new: &[Value], taught: &[Value]) -> (Option<Change>, Verdict) {
    let scaled = |values: &[Value]| -> Vec<Value> {
        let on = |v: &Value| Some(Value { value: q.scale.to(v.value)?, error: v.error });
        values.iter().filter_map(on).collect()
    };
    let (base, new, taught) = (scaled(base), scaled(new), scaled(taught));
    let (Some((before, _)), Some((after, _))) = (centre(&base), centre(&new)) else {
        return (None, Verdict::CannotTell);
    };
    let noise = noise(q, &[&base, &new, &taught]);
    let error = (noise.variance * (1.0 / base.len() as f64 + 1.0 / new.len() as f64)).sqrt();
    let half = error * student(1.0 - q.risk / 2.0, noise.freedom);
    let moved = after - before;
    let change = Change {
        value: q.scale.from(moved),
        low: q.scale.from(moved - half),
        high: q.scale.from(moved + half),
        noise: noise.variance.sqrt(),
    };
    (Some(change), verdict(q, moved, half))
}

/// Standard deviation from run to run of runs of one build, on the scale of comparison.
pub fn band(q: Question, runs: &[Value]) -> Option<f64> {
    let runs: Vec<Value> =
        runs.iter().filter_map(|v| Some(Value { value: q.scale.to(v.value)?, error: v.error })).collect();
    (!runs.is_empty()).then(|| noise(q, &[&runs]).variance.sqrt())
}

/// How much runs of one build differ.
struct Noise {
    variance: f64,
    /// How many runs' worth of trust it has.
    freedom: f64,
}

/// What is assumed beforehand, and what the runs of each group show around their own middle.
fn noise(q: Question, groups: &[&[Value]]) -> Noise {
    let all = || groups.iter().copied().flatten();
    let inside = all().map(|v| v.error.powi(2)).sum::<f64>() / all().count() as f64;
    let assumed = q.assumed.powi(2) + inside;
    let spread: f64 = groups.iter().filter_map(|group| centre(group)).map(|c| c.1).sum();
    let repeats: usize = groups.iter().map(|group| group.len().saturating_sub(1)).sum();
    let freedom = PRIOR_RUNS + repeats as f64;
    Noise { variance: (PRIOR_RUNS * assumed + spread) / freedom, freedom }
}

fn verdict(q: Question, moved: f64, half: f64) -> Verdict {
    let (least, widest) = match q.scale {
        Scale::Ratio => (LEAST_SHARE.ln_1p(), WIDEST),
        Scale::Difference => (LEAST_DIFFERENCE, WIDEST_DIFFERENCE),
    };
    if moved.abs() > half && moved.abs() >= least {
        return if (moved < 0.0) == q.less_is_better { Verdict::Better } else { Verdict::Worse };
    }
    if half > widest { Verdict::CannotTell } else { Verdict::Same }
}

/// Mean, and the sum of squares around it; none without a value.
fn centre(values: &[Value]) -> Option<(f64, f64)> {
    let mean = values.iter().map(|v| v.value).sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| (mean, values.iter().map(|v| (v.value - mean).powi(2)).sum()))
}

fn student(quantile: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(quantile))
}

/// Standard error of `figure`, on `scale`, over stretches of `blocks` neighbouring seconds drawn anew with replacement (Künsch 1989: the
/// moving block bootstrap, which keeps how a second depends on the one before). `figure` is told which of `n` seconds were drawn.
/// None where it cannot be told.
pub fn block_error(
    n: usize,
    block: usize,
    scale: Scale,
    mut figure: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<f64> {
    if n < 2 * block {
        return None;
    }
    let mut dice = Lcg64Xsh32::new(SEED, 1);
    let mut drawn = Vec::with_capacity(n + block);
    let mut seen = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.clear();
        while drawn.len() < n {
            let start = dice.random_range(0..=n - block);
            drawn.extend(start..start + block);
        }
        drawn.truncate(n);
        seen.extend(figure(&drawn).and_then(|v| scale.to(v)));
    }
    if seen.len() < RESAMPLES / 2 {
        return None;
    }
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    Some((seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (seen.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(risk: f64) -> Question {
        Question { scale: Scale::Ratio, less_is_better: true, assumed: 0.04, risk }
    }

    /// Values around `centre` that differ by `spread` from run to run.
    fn runs(dice: &mut Lcg64Xsh32, n: usize, centre: f64, spread: f64) -> Vec<Value> {
        let normal = |dice: &mut Lcg64Xsh32| (0..12).map(|_| dice.random::<f64>()).sum::<f64>() - 6.0;
        (0..n).map(|_| Value { value: centre * (spread * normal(dice)).exp(), error: 0.01 }).collect()
    }

    #[test]
    fn runs_of_one_build_are_the_same_and_a_tenth_is_found_with_five_repeats() {
        let mut dice = Lcg64Xsh32::new(7, 1);
        let (mut alarms, mut found) = (0, 0);
        for _ in 0..400 {
            let (a, b) = (runs(&mut dice, 1, 20e6, 0.05), runs(&mut dice, 1, 20e6, 0.05));
            alarms += usize::from(compare(time(0.05), &a, &b, &[]).1 != Verdict::Same);
            let (a, b) = (runs(&mut dice, 5, 20e6, 0.04), runs(&mut dice, 5, 22e6, 0.04));
            found += usize::from(compare(time(0.05), &a, &b, &[]).1 == Verdict::Worse);
        }
        assert!(alarms <= 20, "{alarms} of 400");
        assert!(found >= 360, "{found} of 400");
    }

    #[test]
    fn noise_is_learned_from_repeats() {
        let mut dice = Lcg64Xsh32::new(9, 1);
        let quiet =
            compare(time(0.05), &runs(&mut dice, 10, 1.0, 0.005), &runs(&mut dice, 10, 1.03, 0.005), &[]);
        assert_eq!(quiet.1, Verdict::Worse);
        let wild = compare(time(0.05), &runs(&mut dice, 10, 1.0, 0.3), &runs(&mut dice, 10, 1.03, 0.3), &[]);
        let half = |c: Change| c.high - c.low;
        assert!(half(wild.0.unwrap()) > 4.0 * half(quiet.0.unwrap()), "{wild:?} {quiet:?}");
    }

    #[test]
    fn the_good_way_is_the_figures_own_and_too_little_is_no_verdict() {
        let at = |value| [Value { value, error: 0.0 }; 6];
        let rate = Question { less_is_better: false, ..time(0.05) };
        assert_eq!(compare(rate, &at(100.0), &at(150.0), &[]).1, Verdict::Better);
        assert_eq!(compare(time(0.05), &at(100.0), &at(150.0), &[]).1, Verdict::Worse);
        assert_eq!(compare(time(0.05), &[], &at(150.0), &[]), (None, Verdict::CannotTell));
        let lost = Question { assumed: 2.0, ..time(0.05) };
        assert_eq!(compare(lost, &at(1.0)[..1], &at(1.1)[..1], &[]).1, Verdict::CannotTell);
        let errors = Question { scale: Scale::Difference, less_is_better: true, assumed: 0.0005, risk: 0.05 };
        assert_eq!(compare(errors, &at(0.0), &at(0.02), &[]).1, Verdict::Worse);
        assert_eq!(compare(errors, &at(0.0), &at(0.0), &[]).1, Verdict::Same);
    }

    #[test]
    fn seconds_that_hang_together_widen_the_error() {
        // Ten seconds slow, ten fast, and so on: neighbours are alike.
        let slow_and_fast: Vec<f64> = (0..120).map(|i| if i / 10 % 2 == 0 { 1.0 } else { 3.0 }).collect();
        let mean = |drawn: &[usize]| Some(drawn.iter().map(|&i| slow_and_fast[i]).sum::<f64>() / 120.0);
        let one = block_error(120, 1, Scale::Difference, mean).unwrap();
        let ten = block_error(120, 10, Scale::Difference, mean).unwrap();
        assert!(ten > 2.0 * one, "{ten} {one}");
        assert_eq!(block_error(3, 2, Scale::Ratio, |_| Some(1.0)), None);
    }
}
