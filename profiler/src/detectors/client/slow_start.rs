//! Slow start: the first seconds are far slower than those after, with no more load.
//!
//! **Claim.** So long the median answer took so many times as long as later. **Reads** `client.{response,completed}`. **Needs** the run's
//! beginning and five seconds after it. **Statistic.** Medians of whole seconds from the first answers on: at least three in a row are three times the
//! median of the five after them, and 20 ms above it, although no more was finished in them. One or two slow seconds are connections being opened,
//! and a warm-up that the plan declares is there to be slow in.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, cannot_tell, evidence};
use super::{Second, attach, seconds, silent};
use crate::stats::median;

/// Seconds of the run in which a start can be told.
const BEGINNING_S: u64 = 40;
/// Slow seconds in a row, and settled ones after them.
const LEAST_SLOW: usize = 3;
const SETTLED: usize = 5;
/// Median answer of a slow second over the later one, and how much longer it is in itself.
const SLOWER: f64 = 3.0;
const LEAST_EXCESS_NS: f64 = 20e6;
/// Finished in slow seconds over later ones, at most.
const NO_MORE_LOAD: f64 = 1.2;
/// It is over when it is told, and is told for as long as it can be.
const QUIET: Duration = Duration::from_secs(BEGINNING_S);

/// Looks at the beginning of the run.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::RESPONSE, names::COMPLETED]) {
        return cannot;
    }
    let warm = timeline.plan().warm_from();
    if let Some(silent) = silent(timeline, at) {
        return silent;
    }
    if at > warm + QUIET {
        return Answer::Unready("nothing could be told of the beginning of the run".to_owned());
    }
    let mut all = seconds(timeline, at, BEGINNING_S, None);
    all.retain(|s| s.span.start >= warm);
    let least = LEAST_SLOW + SETTLED;
    Answer::of(look_at(&all), all.len() >= least, least as f64)
}

fn look_at(all: &[Second]) -> Option<Claim> {
    let settled = all.len().checked_sub(SETTLED).map(|i| &all[i..])?;
    let later = median(settled.iter().map(Second::median_ns).collect())?;
    let done = median(settled.iter().map(|s| s.completed).collect())?;
    let slow = |s: &Second| {
        s.median_ns() >= (SLOWER * later).max(later + LEAST_EXCESS_NS) && s.completed <= NO_MORE_LOAD * done
    };
    let many = all.iter().take_while(|s| slow(s)).count();
    // What is slow again later is no start.
    if many < LEAST_SLOW || all[many..].len() < SETTLED || all[many..].iter().any(slow) {
        return None;
    }
    let span = Span::new(all[0].span.start, all[many - 1].span.end);
    let first = median(all[..many].iter().map(Second::median_ns).collect())?;
    let text = format!(
        "response p50 {} in the first {many} s, {} after",
        Unit::Ns.show(first),
        Unit::Ns.show(later)
    );
    Some(Claim {
        kind: FindingKind::SlowStart,
        identity: String::new(),
        subject: String::new(),
        severity: Severity::Info,
        status: Status::Likely,
        onset: span.start,
        last: span.end,
        quiet: QUIET,
        weight: many as f64,
        claim: format!(
            "the target starts slowly: for {many} s from {ONSET} on the median answer took {}, {:.1} times as long as after",
            Unit::Ns.show(first),
            first / later.max(1.0)
        ),
        evidence: vec![evidence(text, names::RESPONSE, span, first, Unit::Ns)],
        contradicting: Vec::new(),
        advice: vec![
            "Warm it up before it takes load: open its pools, fill its caches, let its compiler see the hot paths; then let it be found (readiness probe).".to_owned(),
            attach("misses of its caches, connections that it opens and CPU time in its first seconds name what is cold"),
        ],
        missing: vec!["cache.NAME.misses".to_owned(), "pool.NAME.opened".to_owned()],
        episodes: vec![span],
        remedies: Vec::new(),
        sort: "",
    })
}
