//! Over which parts of a run figures are read.
//!
//! Owns what was measured, which leaves warm-up out and takes in what ends after the last phase, and for how long of it load was
//! applied. What it came to there is left to the figures.

use std::time::Duration;

use crate::clock::{RunTime, Span};
use crate::store::Timeline;

/// The parts of the run that figures are read over: all phases but warm-up, neighbours joined, none
/// beyond what has been measured. The last part reaches to the end of the data if the last phase is
/// in it, because steps that were started in the phase end after it. Without a plan, all data.
#[must_use]
pub fn measured(timeline: &Timeline) -> Vec<Span> {
    let plan = timeline.plan();
    let end_of_data = after(timeline.now());
    if plan.phases.is_empty() {
        return vec![Span::new(RunTime::ZERO, end_of_data)];
    }
    let mut spans: Vec<Span> = Vec::new();
    for phase in plan.phases.iter().filter(|p| !p.warmup) {
        match spans.last_mut() {
            Some(last) if last.end == phase.span.start => last.end = phase.span.end,
            _ => spans.push(phase.span),
        }
    }
    extend_last(timeline, &mut spans);
    clip(&spans, end_of_data)
}

/// The part of the run that a phase covers, warm-up or not; see [`measured`] for its end.
#[must_use]
pub fn phase(timeline: &Timeline, name: &str) -> Option<Span> {
    let mut spans = vec![timeline.plan().phase(name)?.span];
    extend_last(timeline, &mut spans);
    clip(&spans, after(timeline.now())).pop()
}

/// The last phase's span reaches to the end of the data.
fn extend_last(timeline: &Timeline, spans: &mut [Span]) {
    if let Some(last) = spans.last_mut()
        && last.end == timeline.plan().end()
    {
        last.end = last.end.max(after(timeline.now()));
    }
}

fn clip(spans: &[Span], end: RunTime) -> Vec<Span> {
    spans.iter().filter(|s| s.start < end).map(|s| Span::new(s.start, s.end.min(end))).collect()
}

/// The first instant after `at`.
pub(super) fn after(at: RunTime) -> RunTime {
    at + Duration::from_nanos(1)
}

/// The spans without the time after the last phase: what levels and rates are read over, since sessions that end then are
/// meant to.
#[must_use]
pub fn under_load(timeline: &Timeline, spans: &[Span]) -> Vec<Span> {
    match timeline.plan().end() {
        RunTime::ZERO => spans.to_vec(),
        planned => clip(spans, planned),
    }
}

/// Length of the spans without the time after the last phase, in seconds: what rates are divided by.
#[must_use]
pub fn seconds(timeline: &Timeline, spans: &[Span]) -> f64 {
    under_load(timeline, spans).iter().map(|s| s.length().as_secs_f64()).sum()
}
