//! Throughput knee: more is asked of the target than it finishes.
//!
//! **Claim.** It finishes so many a second, reached with so many sessions; what is asked beyond that only waits. **Reads** `client.{offered,completed,open-sessions,response}`
//! and the plan. **Needs** 6 s. **Statistic**, over the last six whole seconds, one of three: *short*, completed falls a tenth short of offered, at the same load, while open
//! sessions pile up and responses take a third longer; *behind*, the median response time rises in nine of ten pairs of seconds, by half a second in all, while
//! the plan asks for the same; *flat*, over twelve seconds, sessions grow by a third, and completed does not while responses take a third longer.
//! **Law.** Answers that come later by r seconds each second are those of a load that comes 1 / (1 - r) times as fast as it is finished.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, cannot_tell, evidence};
use super::{Second, attach, seconds, silent};
use crate::stats::{Trend, median, trend};
use crate::window;

/// Whole seconds looked at, and how many of them must have answers.
const SECONDS: u64 = 6;
const LEAST_SECONDS: usize = 5;
/// Share of offered that is not completed; counts at both ends of the window are a hundredth or two.
const SHORT: f64 = 0.1;
/// Growth of open sessions beside it, in share.
const PILED_UP: f64 = 0.2;
/// Share of pairs of seconds that rise.
const RISING: f64 = 0.9;
/// Rise of the median response time over the window that is a backlog, nanoseconds per second: half a second in five.
const BEHIND_NS_PER_S: f64 = 0.1e9;
/// Whole seconds over which a ramp is judged: where it brings what it asks for, their halves differ by a sixth and more, four
/// deviations of counting a few hundred a second.
const RAMP_SECONDS: usize = 12;
/// Growth of what a ramp asks for in them, and of responses.
const MORE: f64 = 1.33;
/// Growth of completed that is none.
const NO_MORE: f64 = 1.05;
/// A second has reached the plateau with this share of it.
const REACHED: f64 = 0.95;
/// How far back the plateau's beginning is looked for, seconds.
const BACK: u64 = 60;
/// Not seen for so long has ended it.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at the whole load.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::COMPLETED, names::RESPONSE]) {
        return cannot;
    }
    if let Some(silent) = silent(timeline, at) {
        return silent;
    }
    if at.as_secs_f64() < SECONDS as f64 {
        return Answer::too_little(SECONDS as f64);
    }
    Answer::Looked(look_at(timeline, at).into_iter().collect())
}

/// How it shows.
enum Sign {
    Short { offered: f64 },
    Behind { asked: f64 },
    Flat { grown: f64 },
}

fn look_at(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let all = seconds(timeline, at, BACK);
    let newest = all.iter().rposition(|s| at.since(s.span.end) >= Duration::from_secs(SECONDS));
    let last = &all[newest.map_or(0, |i| i + 1)..];
    if last.len() < LEAST_SECONDS {
        return None;
    }
    let (first, end) = (last.first()?.span.start, last.last()?.span.end);
    let span = Span::new(first, end);
    let plateau = median(last.iter().map(|s| s.completed).collect())?;
    let medians: Vec<(f64, f64)> = last.iter().map(|s| (s.span.start.as_secs_f64(), s.median_ns())).collect();
    let waits = trend(&medians)?;
    let sign = sign(timeline, span, (&all, last), &waits, plateau)?;
    let knee = all.iter().find(|s| s.completed >= REACHED * plateau)?;
    let onset = risen_from(&all, last)?;
    Some(Claim {
        kind: FindingKind::ThroughputKnee,
        identity: String::new(),
        subject: String::new(),
        severity: Severity::Critical,
        status: Status::Likely,
        onset,
        last: at,
        quiet: QUIET,
        weight: medians.last()?.1,
        claim: sentence(&sign, plateau, knee.sessions, medians.first()?.1, medians.last()?.1),
        evidence: supporting(&sign, span, plateau, &waits, last),
        contradicting: Vec::new(),
        advice: vec![
            format!(
                "Ask for no more than {} of this target as it is, or find what holds it at that; more sessions than {:.0} only wait longer.",
                Unit::PerSecond.show(plateau),
                knee.sessions.max(1.0)
            ),
            attach("CPU, pools, queues and handlers tell which resource is full"),
        ],
        missing: vec![names::SERVER_IN_FLIGHT.to_owned(), names::PROCESS_CPU.to_owned()],
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// `seconds`: all that are known, and the last of them.
fn sign(
    timeline: &Timeline,
    span: Span,
    (all, last): (&[Second], &[Second]),
    waits: &Trend,
    plateau: f64,
) -> Option<Sign> {
    let same = window::same_load_since(timeline.plan(), span.end) <= span.start;
    let length = window::seconds(span);
    let offered = window::counted(timeline, names::OFFERED, span).unwrap_or(0.0) / length;
    let (a, b) = (last.first()?, last.last()?);
    let piled_up = b.sessions >= (1.0 + PILED_UP) * a.sessions.max(1.0);
    let slower = b.median_ns() >= MORE * a.median_ns();
    if same && slower && plateau < (1.0 - SHORT) * offered && piled_up {
        return Some(Sign::Short { offered });
    }
    if same && waits.rising >= RISING && waits.slope >= BEHIND_NS_PER_S {
        let slope = (waits.slope / 1e9).min(0.99);
        return Some(Sign::Behind { asked: plateau / (1.0 - slope) });
    }
    flat(all).map(|grown| Sign::Flat { grown })
}

/// By how much what a ramp asks for has grown without bringing more; none where it brings more, or nothing grows.
fn flat(all: &[Second]) -> Option<f64> {
    let last = &all[all.len().checked_sub(RAMP_SECONDS)?..];
    let (a, b) = (last.first()?, last.last()?);
    let halves = last.split_at(last.len() / 2);
    let mean = |part: &[Second]| part.iter().map(|s| s.completed).sum::<f64>() / part.len().max(1) as f64;
    let medians: Vec<(f64, f64)> = last.iter().map(|s| (s.span.start.as_secs_f64(), s.median_ns())).collect();
    let grown = b.sessions / a.sessions.max(1.0);
    let no_more = mean(halves.1) <= NO_MORE * mean(halves.0);
    let slower = b.median_ns() >= MORE * a.median_ns() && trend(&medians)?.rising >= RISING;
    (grown >= MORE && no_more && slower).then_some(grown)
}

/// The second from which the median response time has risen without a break to what it is now.
fn risen_from(all: &[Second], last: &[Second]) -> Option<RunTime> {
    let now = last.last()?.median_ns();
    // A fifth of what it came to is the floor that it left.
    let floor = all.iter().map(Second::median_ns).fold(f64::INFINITY, f64::min);
    let low = floor + (now - floor) / 5.0;
    let left = all.iter().rposition(|s| s.median_ns() <= low)?;
    Some(all[left].span.end.min(last.last()?.span.end))
}

fn sentence(sign: &Sign, plateau: f64, sessions: f64, before: f64, now: f64) -> String {
    let more = match sign {
        Sign::Short { offered } => format!("{} are offered", Unit::PerSecond.show(*offered)),
        Sign::Behind { asked } => {
            format!("what is asked comes to about {}", Unit::PerSecond.show(*asked))
        }
        Sign::Flat { grown } => format!("{grown:.1} times the sessions bring no more"),
    };
    // With single requests there may be less than one open at a time.
    let reached =
        if sessions >= 1.0 { format!(", reached with {sessions:.0} sessions") } else { String::new() };
    format!(
        "the target finishes {} and no more since {ONSET}{reached}; {more}, and response p50 went from {} to {}",
        Unit::PerSecond.show(plateau),
        Unit::Ns.show(before),
        Unit::Ns.show(now)
    )
}

fn supporting(sign: &Sign, span: Span, plateau: f64, waits: &Trend, last: &[Second]) -> Vec<Evidence> {
    let text = format!("{} finished in the median second", Unit::PerSecond.show(plateau));
    let mut list = vec![evidence(text, names::COMPLETED, span, plateau, Unit::PerSecond)];
    let text = format!(
        "response p50 rises by {} each second, in {:.0} % of all pairs of seconds",
        Unit::Ns.show(waits.slope),
        waits.rising * 100.0
    );
    list.push(evidence(text, names::RESPONSE, span, waits.slope, Unit::Ns));
    if let Sign::Short { offered } = sign {
        let text = format!("{} offered in the same time", Unit::PerSecond.show(*offered));
        list.push(evidence(text, names::OFFERED, span, *offered, Unit::PerSecond));
    }
    if let (Some(a), Some(b)) = (last.first(), last.last()) {
        let text = format!("open sessions went from {:.0} to {:.0}", a.sessions, b.sessions);
        list.push(evidence(text, names::OPEN_SESSIONS, span, b.sessions, Unit::Count));
    }
    list
}
