//! The client's side alone: what can be known of a target that nobody has attached to.
//!
//! Owns the reading that the detectors of this group share, and the rule that all of them obey: they speak only
//! while no instrument of the target does, because whoever sees inside names the cause, and these name only what
//! clients feel. So they are never more than *likely*, and each says what to attach to know more. Two things are told beside
//! instruments, too, while nothing that they see explains it: a step's backlog that grows without end, and many connections that are lost.

pub mod connections_refused;
pub mod long_tail;
pub mod periodic_stalls;
pub mod slow_start;
pub mod throughput_knee;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Span, Timeline};

use super::long_pause::OWN_LANES;
use super::{Answer, Claim};
use crate::stats::Durations;
use crate::window;

/// Lateness p99 and CPU of one worker, in cores, from which on what clients feel may be the generator's own doing: see
/// [`generator_limited`](super::generator_limited), which says more of it.
const LATE_NS: f64 = 50e6;
const CPU_FULL: f64 = 0.9;
/// Seconds over which that is judged.
const GENERATOR_S: f64 = 5.0;

/// Sort of what is told though instruments are attached: it stands only while they have found nothing at the same time.
pub(crate) const BESIDE_INSTRUMENTS: &str = "beside-instruments";
/// Sort of what nothing explains that a living target may have: it stands unless they have found that a process has died.
pub(crate) const BESIDE_DEATHS: &str = "beside-deaths";
/// Kinds of this group.
pub(crate) const KINDS: [FindingKind; 5] = [
    FindingKind::ThroughputKnee,
    FindingKind::PeriodicStalls,
    FindingKind::SlowStart,
    FindingKind::ConnectionsRefused,
    FindingKind::LongTail,
];
/// Why nothing is said where they have, or may yet.
pub(crate) const LEFT_TO_INSTRUMENTS: &str = "left to the instruments that are attached to the target";

/// Does what instruments have found explain what is told beside them as `sort`?
pub(crate) fn explains(found: FindingKind, sort: &str) -> bool {
    match sort {
        BESIDE_INSTRUMENTS => true,
        BESIDE_DEATHS => found == FindingKind::WorkerLost,
        _ => false,
    }
}

/// Why this group does not speak at `at`: something is attached, or what clients feel is not the target's doing.
fn silent(timeline: &Timeline, at: RunTime) -> Option<Answer> {
    if alone(timeline) { unfit(timeline, at) } else { Some(beside_instruments(None, "")) }
}

/// What is said where something is attached: it is left to that, but for `claim`, which is of this sort.
fn beside_instruments(claim: Option<Claim>, sort: &'static str) -> Answer {
    match claim {
        Some(claim) => Answer::Looked(vec![Claim { sort, ..claim }]),
        None => Answer::Unready(LEFT_TO_INSTRUMENTS.to_owned()),
    }
}

/// Why what clients feel at `at` says nothing of the target: the plan's load is over, or the generator does not keep up.
fn unfit(timeline: &Timeline, at: RunTime) -> Option<Answer> {
    if window::after_plan(timeline.plan(), at) {
        return Some(Answer::over());
    }
    (!keeps_up(timeline, at)).then(|| Answer::Unready("the load generator did not keep up".to_owned()))
}

fn keeps_up(timeline: &Timeline, at: RunTime) -> bool {
    let span = window::last(at, GENERATOR_S);
    let lateness = window::durations(timeline, names::LATENESS, span);
    let full = timeline
        .named(names::GENERATOR_CPU)
        .any(|s| window::typical_of(s, span).is_some_and(|cores| cores >= CPU_FULL));
    !full && lateness.quantile_ns(0.99).is_none_or(|ns| ns < LATE_NS)
}

/// Does no process of the target say anything of itself?
fn alone(timeline: &Timeline) -> bool {
    let inside = |name: &str| OWN_LANES.iter().any(|p| name.starts_with(p));
    !timeline
        .series()
        .iter()
        .any(|s| inside(&s.spec.name) && !(s.points.is_empty() && s.intervals.is_empty()))
}

/// What to attach, and what that would show, as advice.
fn attach(shows: &str) -> String {
    format!(
        "Attach to the target (its agent, inspector, metrics page or process: --attach) to know why: {shows}."
    )
}

/// One whole second as clients saw it.
struct Second {
    span: Span,
    /// Steps finished.
    completed: f64,
    /// Sessions open, the mean of its samples.
    sessions: f64,
    response: Durations,
}

impl Second {
    fn median_ns(&self) -> f64 {
        self.response.quantile_ns(0.5).unwrap_or(0.0)
    }
}

/// Answers below which a second's median is no figure; of one step there are fewer.
const LEAST_ANSWERS: u64 = 10;
const LEAST_STEP_ANSWERS: u64 = 5;

/// The last `count` whole seconds up to `at` that have answers, in order: of one step, or of all. The newest may still lack its histograms; it
/// is left out.
fn seconds(timeline: &Timeline, at: RunTime, count: u64, step: Option<&str>) -> Vec<Second> {
    let newest = at.0 / 1_000_000_000;
    let whole = (newest.saturating_sub(count)..newest)
        .map(|s| Span::new(RunTime(s * 1_000_000_000), RunTime((s + 1) * 1_000_000_000)));
    whole
        .filter_map(|span| {
            // Histograms of an interval begin a little after the second does.
            let response = match step {
                Some(step) => window::durations_about(timeline, names::RESPONSE, step, span),
                None => window::durations(timeline, names::RESPONSE, span),
            };
            let least = if step.is_some() { LEAST_STEP_ANSWERS } else { LEAST_ANSWERS };
            let sessions: f64 =
                timeline.named(names::OPEN_SESSIONS).filter_map(|s| window::mean_of(s, span)).sum();
            // No lane counts what is finished of one step; its times do.
            let completed = match step {
                Some(_) => response.count() as f64,
                None => window::counted(timeline, names::COMPLETED, span)?,
            };
            (response.count() >= least).then_some(Second { span, completed, sessions, response })
        })
        .collect()
}
