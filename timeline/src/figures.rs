//! Figures: what a run came to, read from its timeline.
//!
//! Owns how raw lanes become figures of a step, a phase or a run, so that gates, summary and every
//! report say the same. Histograms are merged before a percentile is read; rates are integrated before
//! they are compared; no percentile is ever averaged. `spans` says over which parts of a run, `lanes` adds up the
//! instances of levels and rates. Judging is left to `gate`, wording to the reports.

mod lanes;
mod spans;

pub use lanes::{GRID, LaneStats, grid, growth, lane_quantile, lane_stats, rank};
pub use spans::{measured, phase, seconds, under_load};

use std::collections::BTreeSet;

use crate::clock::{RunTime, Span};
use crate::histogram::{self, Histogram};
use crate::lane::names;
use crate::store::{Series, Timeline};
use crate::units::Unit;

/// Figures of one step, or of all.
#[derive(Debug, Clone)]
pub struct StepFigures {
    /// Times the step was finished, errors among them.
    pub count: u64,
    /// Times it failed.
    pub errors: u64,
    /// Response time, microseconds.
    pub response: Histogram,
    /// Service time, microseconds.
    pub service: Histogram,
}

impl StepFigures {
    /// Failed over finished, 0 to 1; none if nothing was finished.
    #[must_use]
    pub fn error_share(&self) -> Option<f64> {
        (self.count > 0).then(|| self.errors as f64 / self.count as f64)
    }
}

/// Figures of a step over `spans`; of all steps together if none is given.
#[must_use]
pub fn step_figures(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> StepFigures {
    let response = merged(timeline, names::RESPONSE, step, spans);
    let service = merged(timeline, names::SERVICE, step, spans);
    let errors = errors(timeline, step, spans);
    let count = finished(timeline, step, spans, response.len(), errors);
    StepFigures { count, errors, response, service }
}

/// Finished and failed steps over `spans`, as [`step_figures`] has them but without the histograms.
#[must_use]
pub fn counts(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> (u64, u64) {
    let errors = errors(timeline, step, spans);
    let intervals = about(timeline, names::RESPONSE, step)
        .flat_map(|series| spans.iter().flat_map(|s| series.intervals_within(*s)));
    let timed: u64 = intervals.map(|(_, cells)| cells.count()).sum();
    (finished(timeline, step, spans, timed, errors), errors)
}

/// Steps finished per second of load over `spans`; none without load. What was begun and finishes after the last phase is no part of it,
/// as that time is none.
#[must_use]
pub fn finished_rate(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> Option<f64> {
    let seconds = seconds(timeline, spans);
    (seconds > 0.0).then(|| counts(timeline, step, &under_load(timeline, spans)).0 as f64 / seconds)
}

/// A step that failed before it could be timed still was one. Where nobody tells of those (goose does not) there are as many as there
/// are errors, at least.
fn finished(timeline: &Timeline, step: Option<&str>, spans: &[Span], timed: u64, errors: u64) -> u64 {
    (timed + total(timeline, names::STEP_UNTIMED, step, spans)).max(errors)
}

/// Failed steps over `spans`: of one step, or of all.
#[must_use]
pub fn errors(timeline: &Timeline, step: Option<&str>, spans: &[Span]) -> u64 {
    match step {
        Some(_) => total(timeline, names::STEP_ERRORS, step, spans),
        None => total(timeline, names::ERRORS, None, spans),
    }
}

/// Failed steps by kind of error, most frequent first.
#[must_use]
pub fn errors_by_kind(timeline: &Timeline, spans: &[Span]) -> Vec<(String, u64)> {
    let kinds: BTreeSet<&str> = timeline.named(names::ERRORS).map(|s| s.spec.subject.as_str()).collect();
    let mut list: Vec<(String, u64)> = kinds
        .into_iter()
        .map(|kind| (kind.to_owned(), total(timeline, names::ERRORS, Some(kind), spans)))
        .filter(|(_, n)| *n > 0)
        .collect();
    list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    list
}

/// All steps that were planned or seen: the plan's in its order, others after them by name.
#[must_use]
pub fn steps(timeline: &Timeline) -> Vec<String> {
    let mut steps = timeline.plan().steps.clone();
    let seen: BTreeSet<&str> = [names::RESPONSE, names::STEP_UNTIMED]
        .into_iter()
        .chain(INSIDE)
        .flat_map(|lane| timeline.named(lane))
        .map(|s| s.spec.subject.as_str())
        .filter(|s| !s.is_empty())
        .collect();
    steps.extend(
        seen.into_iter().filter(|s| !timeline.plan().steps.iter().any(|p| p == s)).map(str::to_owned),
    );
    steps
}

/// Samples of a histogram lane over several spans.
#[must_use]
pub fn merged(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> Histogram {
    let mut all = histogram::new();
    for series in about(timeline, name, subject) {
        for (_, cells) in spans.iter().flat_map(|s| series.intervals_within(*s)) {
            cells.add_to(&mut all);
        }
    }
    all
}

/// How many things a rate lane counted over `spans`, all instances together.
#[must_use]
pub fn total(timeline: &Timeline, name: &str, subject: Option<&str>, spans: &[Span]) -> u64 {
    about(timeline, name, subject).map(|s| integral(s, spans)).sum::<f64>().round() as u64
}

/// Integral of a rate over `spans`. A sample is the mean since the one before it; the first one's
/// interval is not known and taken to be a source's usual one.
fn integral(series: &Series, spans: &[Span]) -> f64 {
    let mut before: Option<RunTime> = None;
    let mut sum = 0.0;
    for &(at, value) in &series.points {
        let span = Span::new(before.unwrap_or(at.back(GRID)), at);
        before = Some(at);
        if value != 0.0 {
            sum += value * spans.iter().map(|s| s.overlap(span).as_secs_f64()).sum::<f64>();
        }
    }
    sum
}

/// The lanes of a name, about `subject` or about anything. Response times are those of journeys' and guests' own clocks where there are no
/// others.
pub fn about<'a>(
    timeline: &'a Timeline,
    name: &'a str,
    subject: Option<&'a str>,
) -> impl Iterator<Item = &'a Series> + 'a {
    let own = timeline.named(name).filter(move |s| subject.is_none_or(|x| s.spec.subject == x));
    // A step that is only timed inside another one has its times in a lane of their own.
    let inside = INSIDE
        .into_iter()
        .filter(move |_| name == names::RESPONSE && (subject.is_some() || is_guest(timeline)))
        .flat_map(|lane| timeline.named(lane))
        .filter(move |s| subject.is_none_or(|x| s.spec.subject == x));
    own.chain(inside)
}

/// Lanes of times that are no response times: a step has them or response times, never both.
const INSIDE: [&str; 2] = [names::FIRST_BYTE, names::EXCHANGE];

/// Was the load applied by somebody else, who tells of no response times? Then what it tells stands for the whole.
fn is_guest(timeline: &Timeline) -> bool {
    timeline.named(names::RESPONSE).next().is_none()
}

/// What a step's times are: `response` from intended start to end, `first-byte` or `exchange`, which are measured
/// otherwise and have no service time beside them. Without a step: those of all together.
#[must_use]
pub fn measures(timeline: &Timeline, step: Option<&str>) -> &'static str {
    let of = |lane| timeline.named(lane).any(|s| step.is_none_or(|x| s.spec.subject == x));
    if of(names::RESPONSE) {
        return "response";
    }
    match INSIDE.map(of) {
        [true, _] => "first-byte",
        [_, true] => "exchange",
        _ => "response",
    }
}

/// The load over `spans`: totals of what was planned, started, finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Planned starts.
    pub offered: u64,
    /// Starts.
    pub achieved: u64,
    /// Steps finished, errors among them.
    pub completed: u64,
    /// Steps that failed.
    pub errors: u64,
    /// Starts later than 10 ms.
    pub late: u64,
    /// Planned starts that never happened.
    pub dropped: u64,
}

/// The load over `spans`.
#[must_use]
pub fn load(timeline: &Timeline, spans: &[Span]) -> Load {
    let sum = |name| total(timeline, name, None, spans);
    Load {
        offered: sum(names::OFFERED),
        achieved: sum(names::ACHIEVED),
        completed: sum(names::COMPLETED),
        errors: sum(names::ERRORS),
        late: sum(names::LATE),
        dropped: sum(names::DROPPED),
    }
}

/// Unit of a lane; none if it is not declared.
#[must_use]
pub fn unit(timeline: &Timeline, name: &str) -> Option<Unit> {
    timeline.named(name).next().map(|s| s.spec.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Sparse;
    use crate::lane::{LaneId, LaneSpec};
    use crate::store::Entry;
    use proptest::prelude::*;

    pub(super) fn all() -> Vec<Span> {
        vec![Span::new(RunTime::ZERO, RunTime::from_ms(10_000))]
    }

    pub(super) fn lane(t: &mut Timeline, id: u32, spec: LaneSpec, points: &[(u64, f64)]) {
        t.apply(&Entry::Lane(LaneId(id), spec));
        for &(ms, value) in points {
            t.apply(&Entry::Sample { lane: LaneId(id), at: RunTime::from_ms(ms), value });
        }
    }

    #[test]
    fn what_failed_before_it_was_timed_was_finished_too() {
        let mut t = Timeline::new();
        let spec = LaneSpec::histogram(names::RESPONSE, "gen-0").about("list");
        t.apply(&Entry::Lane(LaneId(0), spec));
        let span = Span::new(RunTime::ZERO, RunTime::from_ms(1_000));
        // 900 answers, 40 of which failed, and 100 that nobody accepted.
        t.apply(&Entry::Histogram { lane: LaneId(0), span, cells: Sparse { cells: vec![(5_000, 900)] } });
        let rate = |name: &str, about: &str| LaneSpec::rate(name, "gen-0", Unit::PerSecond).about(about);
        let points = |n: f64| [(0, 0.0), (1_000, n)];
        lane(&mut t, 1, rate(names::STEP_UNTIMED, "list"), &points(100.0));
        lane(&mut t, 2, rate(names::STEP_ERRORS, "list"), &points(140.0));
        lane(&mut t, 3, rate(names::ERRORS, "refused"), &points(140.0));
        for step in [None, Some("list")] {
            assert_eq!(counts(&t, step, &all()), (1_000, 140));
            assert_eq!(step_figures(&t, step, &all()).error_share(), Some(0.14));
        }
    }

    #[test]
    fn a_rate_that_appears_late_is_not_integrated_from_the_start() {
        let mut t = Timeline::new();
        let spec = LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond);
        lane(&mut t, 0, spec.clone().about("timeout"), &[(9_000, 20.0), (9_100, 10.0)]);
        lane(&mut t, 1, spec.about("status"), &[(100, 50.0), (200, 0.0)]);
        assert_eq!(errors_by_kind(&t, &all()), [("status".to_owned(), 5), ("timeout".to_owned(), 3)]);
        assert_eq!(errors(&t, None, &[Span::new(RunTime::ZERO, RunTime::from_ms(9_050))]), 8);
    }

    proptest! {
        /// Parts of a run come to as much as the whole.
        #[test]
        fn totals_add_up_over_any_cut(values in prop::collection::vec(0.0..1e4_f64, 1..60), cut in 0..6_000_u64) {
            let points: Vec<(u64, f64)> = values.iter().enumerate().map(|(i, v)| (100 + i as u64 * 100, *v)).collect();
            let mut t = Timeline::new();
            lane(&mut t, 0, LaneSpec::rate(names::OFFERED, "gen-0", Unit::PerSecond), &points);
            let end = RunTime::from_ms(10_000);
            let part = |a, b| total(&t, names::OFFERED, None, &[Span::new(a, b)]);
            let cut = RunTime::from_ms(cut);
            let (whole, parts) = (part(RunTime::ZERO, end), part(RunTime::ZERO, cut) + part(cut, end));
            prop_assert!(whole.abs_diff(parts) <= 1);
        }
    }
}
