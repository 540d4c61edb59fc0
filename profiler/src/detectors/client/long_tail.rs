//! Long tail: one step answers some requests far later than most.
//!
//! **Claim.** One in a hundred of this step takes so many times its median, and no other step's tail is as long. **Reads** `client.service` by step. **Needs** 500 answers of
//! the step in 5 s of the same load. **Statistic.** p99 of service time over the last five whole seconds: eight medians and 200 ms at least, in four of the
//! five seconds each by itself, and twice that of every other step. (Exponential times have p99 at 6.6 medians.)

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, cannot_tell, evidence};
use super::{attach, silent};
use crate::stats::Durations;
use crate::window;

/// Whole seconds looked at, and those that must show it.
const SECONDS: u64 = 5;
const LEAST_SECONDS: usize = 4;
/// Answers of the step in them: five lie beyond the p99.
const LEAST_ANSWERS: u64 = 500;
/// p99 over the median, and in itself.
const TAIL: f64 = 8.0;
const LEAST_TAIL_NS: f64 = 200e6;
/// The step's p99 over that of any other.
const OVER_OTHERS: f64 = 2.0;
/// p99 that is critical.
const CRITICAL_NS: f64 = 1e9;
/// How long the load must have been the same.
const SETTLE: Duration = Duration::from_secs(3);
/// Not seen for so long has ended it.
const QUIET: Duration = Duration::from_secs(6);

/// Looks at every step.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::SERVICE]) {
        return cannot;
    }
    let end = RunTime(at.0 / 1_000_000_000 * 1_000_000_000);
    let span = Span::new(end.back(Duration::from_secs(SECONDS)), end);
    if let Some(silent) = silent(timeline, at) {
        return silent;
    }
    if window::unsettled(timeline.plan(), span.start, SETTLE) {
        return Answer::too_little(SETTLE.as_secs_f64() + SECONDS as f64);
    }
    Answer::Looked(look_at(timeline, span, at).into_iter().collect())
}

/// A step's lanes, one for each generator process.
fn of_step(timeline: &Timeline, step: &str, span: Span) -> Durations {
    window::durations_about(timeline, names::SERVICE, step, span)
}

fn look_at(timeline: &Timeline, span: Span, at: RunTime) -> Option<Claim> {
    let mut tails: Vec<(&str, f64, Durations)> = window::subjects(timeline, names::SERVICE)
        .into_iter()
        .filter_map(|step| {
            let times = of_step(timeline, step, span);
            Some((step, times.quantile_ns(0.99)?, times))
        })
        .collect();
    tails.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (step, p99, times) = tails.first()?;
    let p50 = times.quantile_ns(0.5)?;
    let others = tails.get(1).map_or(0.0, |t| t.1);
    let long = |p99: f64, p50: f64| p99 >= LEAST_TAIL_NS.max(TAIL * p50);
    if times.count() < LEAST_ANSWERS || !long(*p99, p50) || *p99 < OVER_OTHERS * others {
        return None;
    }
    let each: Vec<Span> = (0..SECONDS)
        .map(|i| Span::new(span.start + Duration::from_secs(i), span.start + Duration::from_secs(i + 1)))
        .filter(|second| {
            let t = of_step(timeline, step, *second);
            t.quantile_ns(0.99).zip(t.quantile_ns(0.5)).is_some_and(|(a, b)| long(a, b))
        })
        .collect();
    let onset = each.first()?.start;
    if each.len() < LEAST_SECONDS {
        return None;
    }
    let text = format!(
        "service p50 {}, p99 {} over {} answers of {step}",
        Unit::Ns.show(p50),
        Unit::Ns.show(*p99),
        Unit::Count.show(times.count() as f64)
    );
    let mut list = vec![evidence(text, names::SERVICE, span, *p99, Unit::Ns)];
    if let Some((other, theirs, _)) = tails.get(1) {
        let text = format!("the next longest tail is that of {other}: p99 {}", Unit::Ns.show(*theirs));
        list.push(evidence(text, names::SERVICE, span, *theirs, Unit::Ns));
    }
    Some(Claim {
        kind: FindingKind::LongTail,
        identity: (*step).to_owned(),
        subject: (*step).to_owned(),
        severity: if *p99 >= CRITICAL_NS { Severity::Critical } else { Severity::Warning },
        status: Status::Likely,
        onset,
        last: at,
        quiet: QUIET,
        weight: *p99,
        claim: format!(
            "step {step} has a long tail since {ONSET}: p99 {} is {:.0} times its median, and no other step's is half as long",
            Unit::Ns.show(*p99),
            p99 / p50.max(1.0)
        ),
        evidence: list,
        contradicting: Vec::new(),
        advice: vec![
            format!(
                "Compare slow and usual requests of {step}: their parameters, sizes, and whether they come at the same moments."
            ),
            attach(
                "time in its handler, pool waits, statements and cache loads of that route say where the slow ones wait",
            ),
        ],
        missing: vec![names::SERVER_HANDLER.to_owned()],
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}
