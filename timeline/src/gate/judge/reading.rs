//! The figure that a gate is about, read from the timeline.
//!
//! Owns which lanes a gate's words stand for, and when there are enough samples to say. Over which part of the run is the
//! verdict's business.

use super::Figure;
use crate::clock::Span;
use crate::figures;
use crate::gate::{Stat, Subject};
use crate::histogram::{self, Histogram, MAX_US};
use crate::lane::Shape;
use crate::store::Timeline;

/// Samples that must be expected beyond a quantile before a comparison with it means anything. Their
/// number scatters by its square root, so with ten the share beyond the limit is known to a third.
const TAIL_SAMPLES: f64 = 10.0;
/// If none of `n` samples is beyond the limit, the true share beyond it is below `3/n` with 95%
/// certainty (the rule of three): a gate can hold long before ten samples are expected there.
const RULE_OF_THREE: f64 = 3.0;
/// A gate fails on few samples if a target that just meets it would look so bad in one of a thousand runs.
const SURE: f64 = 0.001;
/// Fewest samples for figures that are no quantiles: means, extremes, levels, slopes.
const FEW: u64 = 10;

/// A figure read from the timeline.
pub(super) struct Reading {
    pub(super) value: f64,
    pub(super) samples: u64,
    /// The samples suffice for the comparison that follows.
    pub(super) enough: bool,
    /// More to say than the value with its unit.
    pub(super) detail: Option<String>,
}

impl Reading {
    /// One that says what it says on any number of samples.
    fn exact(value: f64, samples: u64) -> Self {
        Self { value, samples, enough: true, detail: None }
    }
}

impl Figure<'_> {
    /// Why a lane cannot be read; none if it can or if the gate is about none.
    pub(super) fn lane_trouble(&self, timeline: &Timeline) -> Option<String> {
        let (Subject::Lane(name, _, wanted) | Subject::Growth(name, wanted)) = self.subject else {
            return None;
        };
        match figures::unit(timeline, name) {
            None => Some(format!("no lane {name} in this run")),
            Some(unit) if unit != *wanted => {
                Some(format!("{name} is in {}, not {}", unit.name(), wanted.name()))
            }
            Some(_) => None,
        }
    }

    pub(super) fn read(&self, timeline: &Timeline, spans: &[Span]) -> Option<Reading> {
        let step = self.scope.step.as_deref();
        match self.subject {
            Subject::Time(lane, stat) => {
                self.of_histogram(&figures::merged(timeline, lane, step, spans), *stat)
            }
            Subject::ErrorShare | Subject::ErrorCount => {
                let (finished, errors) = figures::counts(timeline, step, spans);
                self.of_errors(finished, errors)
            }
            Subject::Count => {
                let (samples, _) = figures::counts(timeline, step, spans);
                // Nothing in a window under load is a figure, too; nothing in all of the run is none.
                let stood_still =
                    || self.scope.over.is_some() && figures::under_load(timeline, spans) == spans;
                (samples > 0 || stood_still()).then(|| Reading::exact(samples as f64, samples))
            }
            Subject::AchievedShare => {
                let load = figures::load(timeline, spans);
                let detail = Some("of offered".to_owned());
                let value = load.achieved as f64 / load.offered as f64;
                (load.offered > 0).then(|| Reading { detail, ..Reading::exact(value, load.offered) })
            }
            Subject::Rate(lane) => {
                let seconds = figures::seconds(timeline, spans);
                let samples = figures::total(timeline, lane, None, &figures::under_load(timeline, spans));
                let known = timeline.has(lane) && seconds > 0.0;
                known.then(|| Reading::exact(samples as f64 / seconds, samples))
            }
            Subject::Dropped => {
                let load = figures::load(timeline, spans);
                let samples = load.offered + load.dropped;
                (samples > 0).then(|| Reading::exact(load.dropped as f64, samples))
            }
            Subject::Lane(..) | Subject::Growth(..) if self.lane_trouble(timeline).is_some() => None,
            Subject::Lane(name, stat, _) => {
                let worst = if self.op.is_upper() { Stat::Max } else { Stat::Min };
                self.of_lane(timeline, name, stat.unwrap_or(worst), spans)
            }
            Subject::Growth(name, _) => {
                let spans = figures::under_load(timeline, spans);
                let (value, samples) = figures::growth(timeline, name, step, &spans)?;
                Some(Reading { value, samples, enough: samples >= FEW, detail: None })
            }
        }
    }

    fn of_errors(&self, finished: u64, errors: u64) -> Option<Reading> {
        if finished == 0 {
            return None;
        }
        if *self.subject == Subject::ErrorCount {
            return Some(Reading::exact(errors as f64, finished));
        }
        let (bad, allowed) =
            if self.op.is_upper() { (errors, self.limit) } else { (finished - errors, 1.0 - self.limit) };
        Some(Reading {
            value: errors as f64 / finished as f64,
            samples: finished,
            enough: enough(finished, bad, allowed),
            detail: Some(format!("({errors} of {finished})")),
        })
    }

    fn of_histogram(&self, h: &Histogram, stat: Stat) -> Option<Reading> {
        let samples = h.len();
        let at = |q| histogram::quantile_ns(h, q);
        let value = match stat {
            Stat::Quantile(q) => at(q)?,
            Stat::Min => at(0.0)?,
            Stat::Max | Stat::Last => at(1.0)?,
            Stat::Mean => (samples > 0).then(|| h.mean() * 1e3)?,
        };
        let enough = match stat {
            Stat::Quantile(q) => {
                let good_us = self.limit / 1e3;
                let below = h.count_between(0, (good_us.ceil() as u64).clamp(1, MAX_US) - 1);
                let (bad, allowed) = if self.op.is_upper() { (samples - below, 1.0 - q) } else { (below, q) };
                enough(samples, bad, allowed)
            }
            _ => samples >= FEW || self.is_lost(stat, value),
        };
        Some(Reading { value, samples, enough, detail: None })
    }

    fn of_lane(&self, timeline: &Timeline, name: &str, stat: Stat, spans: &[Span]) -> Option<Reading> {
        let subject = self.scope.step.as_deref();
        if timeline.named(name).next()?.spec.shape == Shape::Histogram && stat != Stat::Last {
            return self.of_histogram(&figures::merged(timeline, name, subject, spans), stat);
        }
        let spans = &figures::under_load(timeline, spans);
        let stats = figures::lane_stats(timeline, name, subject, spans)?;
        let value = match stat {
            Stat::Min => stats.min,
            Stat::Max => stats.max,
            Stat::Mean => stats.mean,
            Stat::Last => stats.last,
            Stat::Quantile(q) => figures::lane_quantile(timeline, name, subject, spans, q)?,
        };
        let enough = stats.count >= FEW || self.is_lost(stat, value);
        Some(Reading { value, samples: stats.count, enough, detail: None })
    }

    /// An extreme that is out of bounds already cannot come back, however few the samples.
    fn is_lost(&self, stat: Stat, value: f64) -> bool {
        let final_ = matches!((stat, self.op.is_upper()), (Stat::Max, true) | (Stat::Min, false));
        final_ && !self.op.holds(value, self.limit)
    }
}

/// Do `n` samples, `bad` of them beyond the limit, suffice to say whether at most `allowed` of all are?
fn enough(n: u64, bad: u64, allowed: f64) -> bool {
    if allowed <= 0.0 {
        return n >= FEW || bad > 0;
    }
    let count = n as f64;
    count * allowed.min(1.0 - allowed) >= TAIL_SAMPLES
        || bad == 0 && count * allowed >= RULE_OF_THREE
        || binomial_tail(n, allowed, bad) < SURE
}

/// Probability of at least `k` hits in `n` tries of probability `p`. Only asked for small `n p`.
fn binomial_tail(n: u64, p: f64, k: u64) -> f64 {
    let odds = p / (1.0 - p);
    let mut term = (n as f64 * (1.0 - p).ln()).exp();
    let mut below = 0.0;
    for i in 0..k {
        below += term;
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
    }
    (1.0 - below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_suffice_where_they_would_hardly_come_by_chance() {
        assert!(enough(1_000, 9, 0.01) && enough(300, 0, 0.01) && !enough(200, 0, 0.01));
        assert!(enough(200, 12, 0.01) && !enough(200, 4, 0.01));
        assert!((binomial_tail(10, 0.5, 5) - 0.623).abs() < 1e-3);
    }
}
