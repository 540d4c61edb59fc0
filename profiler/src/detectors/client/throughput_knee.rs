//! Throughput knee: more is asked of the target than it finishes.
//!
//! **Claim.** It finishes so many a second, reached with so many sessions (since it last finished clearly more, if ever it did); what is asked beyond that only waits.
//! Where the sum of all steps hides it, that of the one whose backlog grows: see `backlog`. **Reads** `client.{offered,completed,open-sessions,response}`
//! and the plan. **Needs** 6 s. **Statistic**, over the last six whole seconds, one of three: *short*, completed falls a tenth short of offered, at the same load, while open
//! sessions pile up and responses take a third longer; *behind*, the median response time rises in nine of ten pairs of seconds, by half a second in all, while
//! the plan asks for the same; *flat*, over twelve seconds, sessions grow by a third, and completed does not while responses take a third longer.
//! **Law.** Answers that come later by r seconds each second are those of a load that comes 1 / (1 - r) times as fast as it is finished.

mod backlog;

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, cannot_tell, evidence};
use super::{BESIDE_INSTRUMENTS, Second, alone, attach, beside_instruments, seconds, unfit};
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
/// What was finished before was clearly more from so many times the plateau on, and so many deviations of counting it besides.
const FELL: f64 = 1.2;
const FELL_DEVIATIONS: f64 = 2.0;
/// Seconds of which what was finished before is the median, and those that the plateau must have had since.
const BEFORE: usize = 5;
const SINCE: usize = 3;
/// How far back the plateau's beginning is looked for, seconds.
const BACK: u64 = 60;
/// Not seen for so long has ended it.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at the whole load, then at each step; beside instruments at steps alone.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::COMPLETED, names::RESPONSE]) {
        return cannot;
    }
    let unfit = unfit(timeline, at);
    if !alone(timeline) {
        let fit = unfit.is_none();
        let backlog = fit.then(|| backlog::beside_instruments(timeline, at)).flatten();
        return beside_instruments(backlog, BESIDE_INSTRUMENTS);
    }
    if let Some(unfit) = unfit {
        return unfit;
    }
    if at.as_secs_f64() < SECONDS as f64 {
        return Answer::too_little(SECONDS as f64);
    }
    let claim = look_at(timeline, at).or_else(|| backlog::of_a_step(timeline, at));
    Answer::Looked(claim.into_iter().collect())
}

/// How it shows.
enum Sign {
    Short { offered: f64 },
    Behind { asked: f64 },
    Flat { grown: f64 },
}

fn look_at(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let all = seconds(timeline, at, BACK, None);
    let newest = all.iter().rposition(|s| at.since(s.span.end) >= Duration::from_secs(SECONDS));
    let last = &all[newest.map_or(0, |i| i + 1)..];
    if last.len() < LEAST_SECONDS {
        return None;
    }
    let (first, end) = (last.first()?.span.start, last.last()?.span.end);
    let span = Span::new(first, end);
    let plateau = median(last.iter().map(|s| s.completed).collect())?;
    let medians = medians(last);
    let waits = trend(&medians)?;
    let sign = sign(timeline, span, (&all, last), &waits, plateau)?;
    let fell = Fell::of(&all, plateau);
    let since = &all[fell.as_ref().map_or(0, |f| f.next)..];
    let knee = since.iter().find(|s| s.completed >= REACHED * plateau).or(since.last())?;
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
        claim: sentence(
            &sign,
            plateau,
            (knee.sessions, fell.as_ref()),
            medians.first()?.1,
            medians.last()?.1,
        ),
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

/// Each second's start with its median response time, ns.
fn medians(seconds: &[Second]) -> Vec<(f64, f64)> {
    seconds.iter().map(|s| (s.span.start.as_secs_f64(), s.median_ns())).collect()
}

/// What the target finished before it came down to its plateau: how many sessions had brought so little on the way up says nothing then.
struct Fell {
    rate: f64,
    until: RunTime,
    /// The first second after it.
    next: usize,
}

impl Fell {
    /// None where it never finished clearly more, but for a wild second.
    fn of(all: &[Second], plateau: f64) -> Option<Self> {
        let more = FELL * plateau + FELL_DEVIATIONS * plateau.sqrt();
        let before = &all[..all.len().saturating_sub(SINCE)];
        let next = before.iter().rposition(|s| s.completed >= more)? + 1;
        let lately = before[next.saturating_sub(BEFORE)..next].iter().map(|s| s.completed);
        let rate = median(lately.collect()).filter(|rate| *rate >= more)?;
        Some(Self { rate, until: before[next - 1].span.end, next })
    }
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
    if same && is_behind(waits) {
        return Some(Sign::Behind { asked: asked(waits, plateau) });
    }
    flat(all).map(|grown| Sign::Flat { grown })
}

/// Do answers come later and later?
fn is_behind(waits: &Trend) -> bool {
    waits.rising >= RISING && waits.slope >= BEHIND_NS_PER_S
}

/// What is asked, by the law, where so much is finished.
fn asked(waits: &Trend, finished: f64) -> f64 {
    finished / (1.0 - (waits.slope / 1e9).min(0.99))
}

/// By how much what a ramp asks for has grown without bringing more; none where it brings more, or nothing grows.
fn flat(all: &[Second]) -> Option<f64> {
    let last = &all[all.len().checked_sub(RAMP_SECONDS)?..];
    let (a, b) = (last.first()?, last.last()?);
    let halves = last.split_at(last.len() / 2);
    let mean = |part: &[Second]| part.iter().map(|s| s.completed).sum::<f64>() / part.len().max(1) as f64;
    let grown = b.sessions / a.sessions.max(1.0);
    let no_more = mean(halves.1) <= NO_MORE * mean(halves.0);
    let slower = b.median_ns() >= MORE * a.median_ns() && trend(&medians(last))?.rising >= RISING;
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

fn sentence(
    sign: &Sign,
    plateau: f64,
    (sessions, fell): (f64, Option<&Fell>),
    before: f64,
    now: f64,
) -> String {
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
    let finished = fell.map_or_else(String::new, |f| {
        format!("; it finished {} until {}", Unit::PerSecond.show(f.rate), f.until)
    });
    format!(
        "the target finishes {} and no more since {ONSET}{reached}{finished}; {more}, and response p50 went from {} to {}",
        Unit::PerSecond.show(plateau),
        Unit::Ns.show(before),
        Unit::Ns.show(now)
    )
}

fn supporting(sign: &Sign, span: Span, plateau: f64, waits: &Trend, last: &[Second]) -> Vec<Evidence> {
    let text = format!("{} finished in the median second", Unit::PerSecond.show(plateau));
    let mut list = vec![evidence(text, names::COMPLETED, span, plateau, Unit::PerSecond)];
    list.push(rises(span, waits));
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

fn rises(span: Span, waits: &Trend) -> Evidence {
    let text = format!(
        "response p50 rises by {} each second, in {:.0} % of all pairs of seconds",
        Unit::Ns.show(waits.slope),
        waits.rising * 100.0
    );
    evidence(text, names::RESPONSE, span, waits.slope, Unit::Ns)
}
