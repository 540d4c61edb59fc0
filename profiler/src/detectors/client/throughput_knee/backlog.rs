//! One step's backlog: more is asked of it than the target finishes, whatever becomes of the others.
//!
//! Owns the knee's statistic by step, which the sum over all steps may hide, and what is known of such a step from inside.
//! **Statistic.** Over ten whole seconds at one load, none of them in a warm-up, the step's median response time (from its intended
//! start) rises as the whole's does where it is *behind*, and in both halves of them: what drains again does not. Beside
//! instruments it is told while what they watch accounts for less than half of the time, neither loops nor the machine are full, and nothing
//! is told so seldom that these seconds may lack it.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{CPU_FULL, OWN_LANES};
use super::{
    BACK, BEHIND_NS_PER_S, Claim, ONSET, QUIET, Second, asked, attach, evidence, is_behind, medians,
    risen_from, rises, seconds,
};
use crate::detectors::queueing;
use crate::routes;
use crate::stats::{Durations, Trend, median, trend};
use crate::window;

/// Whole seconds looked at, and how many of them must have answers.
const SECONDS: u64 = 10;
const LEAST_SECONDS: usize = 8;
/// Share of the whole rise that each half must have.
const EACH_HALF: f64 = 0.5;
/// Least mean service time of what is waited for, ns. Who falls behind with quicker answers asks more often than one request after the
/// other can be sent.
const LEAST_SERVICE_NS: f64 = 100e6;
/// Share of its time that must be accounted for by what instruments watch for it to be theirs to tell.
const ACCOUNTED: f64 = 0.5;
/// Instruments that tell more seldom than so may have much to say that is not told yet.
const SELDOM: Duration = Duration::from_secs(3);
/// Time in handler over service time, and requests of a route over answers of the step, that may be the same ones.
const SAME_TIME: (f64, f64) = (0.5, 1.25);
const SAME_REQUESTS: f64 = 0.5;

/// The claim where nobody is attached.
pub(super) fn of_a_step(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let found = Backlog::worst(timeline, at)?;
    let more = attach("its handler, pools, queues and the services behind tell what it waits for");
    let missing = vec![names::SERVER_HANDLER.to_owned(), names::of(names::POOL, "*", "wait")];
    found.claim(timeline, at, None, vec![more], missing)
}

/// The claim where instruments are, with what they know of it; none where it is theirs to tell.
pub(super) fn beside_instruments(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let found = Backlog::worst(timeline, at)?;
    let inside = Inside::of(timeline, found.span, &found.waited_for)?;
    let more = vec![
        inside.advice(),
        "Let the target tell of what it waits for there (a pool in its agent or on its metrics page): its size and its waits then say how much is short."
            .to_owned(),
    ];
    let handlers = matches!(inside, Inside::Untimed).then(|| names::SERVER_HANDLER.to_owned());
    let missing = handlers.into_iter().chain([names::of(names::POOL, "*", "wait")]).collect();
    found.claim(timeline, at, Some(&inside), more, missing)
}

/// A step that falls behind.
struct Backlog<'a> {
    step: &'a str,
    last: Vec<Second>,
    span: Span,
    waits: Trend,
    waited_for: Step<'a>,
}

impl<'a> Backlog<'a> {
    /// The one whose answers come latest.
    fn worst(timeline: &'a Timeline, at: RunTime) -> Option<Self> {
        let plan = timeline.plan();
        let settled = window::same_load_since(plan, at).max(plan.warm_from());
        if at.since(settled) < Duration::from_secs(LEAST_SECONDS as u64) {
            return None;
        }
        let steps = window::subjects(timeline, names::RESPONSE).into_iter();
        let now = |b: &Self| b.last.last().map_or(0.0, Second::median_ns);
        steps.filter_map(|step| Self::of(timeline, at, step)).max_by(|a, b| now(a).total_cmp(&now(b)))
    }

    fn of(timeline: &'a Timeline, at: RunTime, step: &'a str) -> Option<Self> {
        let last = seconds(timeline, at, SECONDS, Some(step));
        let span = Span::new(last.first()?.span.start, last.last()?.span.end);
        let plan = timeline.plan();
        let settled = window::same_load_since(plan, span.end).max(plan.warm_from()) <= span.start;
        if last.len() < LEAST_SECONDS || !settled {
            return None;
        }
        let waits = trend(&medians(&last))?;
        let (first, then) = last.split_at(last.len() / 2);
        let slopes = [trend(&medians(first))?.slope, trend(&medians(then))?.slope];
        if !is_behind(&waits) || slopes.iter().any(|slope| *slope < EACH_HALF * BEHIND_NS_PER_S) {
            return None;
        }
        let waited_for = Step::waited_for(timeline, step, span)?;
        Some(Self { step, last, span, waits, waited_for })
    }

    fn claim(
        &self,
        timeline: &Timeline,
        at: RunTime,
        inside: Option<&Inside>,
        more: Vec<String>,
        missing: Vec<String>,
    ) -> Option<Claim> {
        let step = self.step;
        let finished = median(self.last.iter().map(|s| s.completed).collect())?;
        let rate = Unit::PerSecond.show(finished);
        let (before, now) = (self.last.first()?.median_ns(), self.last.last()?.median_ns());
        let onset = risen_from(&seconds(timeline, at, BACK, Some(step)), &self.last)?;
        let claim = format!(
            "the target finishes {rate} of step {step} and no more since {ONSET}; what is asked of it comes to about {}, and its response p50 went from {} to {}{}",
            Unit::PerSecond.show(asked(&self.waits, finished)),
            Unit::Ns.show(before),
            Unit::Ns.show(now),
            inside.map_or_else(String::new, |i| format!("; {}", i.sentence()))
        );
        let text = format!("{rate} of step {step} finished in the median second");
        let mut list = vec![
            evidence(text, names::RESPONSE, self.span, finished, Unit::PerSecond),
            rises(self.span, &self.waits),
            self.waited_for.line(step, self.span),
        ];
        list.extend(inside.and_then(|i| i.line(self.span)));
        let ask = format!(
            "Ask for no more than {rate} of step {step} of this target as it is, or find what holds it at that."
        );
        Some(Claim {
            kind: FindingKind::ThroughputKnee,
            identity: String::new(),
            subject: step.to_owned(),
            severity: Severity::Critical,
            status: Status::Likely,
            onset,
            last: at,
            quiet: QUIET,
            weight: now,
            claim,
            evidence: list,
            contradicting: Vec::new(),
            advice: std::iter::once(ask).chain(more).collect(),
            remedies: Vec::new(),
            missing,
            episodes: vec![Span::new(onset, at)],
            sort: "",
        })
    }
}

/// What a step takes once it is sent.
struct Step<'a> {
    name: &'a str,
    answers: u64,
    mean_ns: f64,
}

impl<'a> Step<'a> {
    fn of(timeline: &Timeline, name: &'a str, span: Span) -> Option<Self> {
        let times = window::durations_about(timeline, names::SERVICE, name, span);
        Some(Self { name, answers: times.count(), mean_ns: times.mean_ns()? })
    }

    /// What sessions that are late for `step` wait for: itself, or the slowest step where it is quick. A turn's first step is late by all
    /// that the turn before it took.
    fn waited_for(timeline: &'a Timeline, step: &'a str, span: Span) -> Option<Self> {
        let own = Self::of(timeline, step, span)?;
        if own.mean_ns >= LEAST_SERVICE_NS {
            return Some(own);
        }
        let often = |s: &Self| s.answers as f64 >= SAME_REQUESTS * own.answers as f64;
        let others = window::subjects(timeline, names::SERVICE).into_iter();
        others
            .filter_map(|name| Self::of(timeline, name, span))
            .filter(|s| s.mean_ns >= LEAST_SERVICE_NS && often(s))
            .max_by(|a, b| a.mean_ns.total_cmp(&b.mean_ns))
    }

    fn line(&self, late: &str, span: Span) -> Evidence {
        let takes = format!("{} takes {} on average once it is sent", self.name, Unit::Ns.show(self.mean_ns));
        let text = if self.name == late {
            takes
        } else {
            format!("of the steps that sessions late for {late} do, {takes}")
        };
        evidence(text, names::SERVICE, span, self.mean_ns, Unit::Ns)
    }
}

/// What instruments know of the time that a step takes.
enum Inside<'a> {
    /// It passes in the handler of this route: requests, their mean time there in ns, and the share of it that anything watched accounts for.
    Handler { route: &'a str, requests: u64, mean_ns: f64, watched: f64 },
    /// It passes in no handler that is watched.
    Elsewhere,
    /// Nobody times handlers.
    Untimed,
}

impl<'a> Inside<'a> {
    /// None where what they watch accounts for it or may do so, or loops or the machine are full: their own findings say more.
    fn of(timeline: &'a Timeline, span: Span, step: &Step) -> Option<Self> {
        let all = step.mean_ns * step.answers as f64;
        let watched = watched_ns(timeline, span) / all;
        if watched >= ACCOUNTED || is_full(timeline, span) || is_told_seldom(timeline, span.end) {
            return None;
        }
        let routes: Vec<(&str, Durations)> = routes::all(timeline)
            .into_iter()
            .map(|route| (route, routes::handled(timeline, route, span)))
            .filter(|(_, times)| times.count() > 0)
            .collect();
        if routes.is_empty() {
            return Some(Self::Untimed);
        }
        let same = |times: &Durations| {
            let long = times.mean_ns().unwrap_or(0.0) / step.mean_ns;
            (SAME_TIME.0..=SAME_TIME.1).contains(&long)
                && times.count() as f64 >= SAME_REQUESTS * step.answers as f64
        };
        let like = routes.iter().filter(|(_, times)| same(times));
        let Some((route, times)) = like.min_by_key(|(_, times)| times.count().abs_diff(step.answers)) else {
            return Some(Self::Elsewhere);
        };
        let route = *route;
        Some(Self::Handler { route, requests: times.count(), mean_ns: times.mean_ns()?, watched })
    }

    fn sentence(&self) -> String {
        match self {
            Self::Handler { route, mean_ns, .. } => format!(
                "requests of {route} spend {} in the handler, and no pool, statement, called service or offload that is watched accounts for it",
                Unit::Ns.show(*mean_ns)
            ),
            Self::Elsewhere => {
                "no handler that is watched takes so long, so it waits before them or behind them".to_owned()
            }
            Self::Untimed => {
                "no pool, statement, called service or offload that is watched accounts for it".to_owned()
            }
        }
    }

    fn line(&self, span: Span) -> Option<Evidence> {
        let Self::Handler { route, requests, mean_ns, watched } = self else { return None };
        let text = format!(
            "{} requests of {route} took {} on average in the handler; all that is watched, of all requests, comes to {} of that",
            Unit::Count.show(*requests as f64),
            Unit::Ns.show(*mean_ns),
            Unit::Ratio.show(*watched)
        );
        Some(evidence(text, names::SERVER_HANDLER, span, *mean_ns, Unit::Ns))
    }

    fn advice(&self) -> String {
        match self {
            Self::Handler { route, .. } => format!(
                "Look at what the handler of {route} awaits that nobody watches: a pool or queue of its own, a lock, a limit of calls at once, a client without instruments."
            ),
            _ => "Look at what its requests wait for that nobody watches: a proxy or balancer before the target, a queue before the handler, a pool of its own, a lock."
                .to_owned(),
        }
    }
}

/// Time of all requests in what instruments watch, ns: timed, or by how many are there. Pools, requests and statements tell of the same
/// time in the database.
fn watched_ns(timeline: &Timeline, span: Span) -> f64 {
    let of = |lane: &str| timeline.timed(lane, span).1;
    let inside = |lane: &str| {
        let levels = timeline.named(lane).filter_map(|s| window::mean_of(s, span));
        levels.sum::<f64>() * window::seconds(span) * 1e9
    };
    let all = |family: &str, part: &str, read: &dyn Fn(&str) -> f64| {
        timeline.members(family).iter().map(|member| read(&names::of(family, member, part))).sum::<f64>()
    };
    let timed = all(names::POOL, "wait", &of) + all(names::POOL, "hold", &of);
    let counted = all(names::POOL, "waiters", &inside) + all(names::POOL, "in-use", &inside);
    let database = timed.max(counted).max(of(names::SERVER_DB_WALL)).max(of(names::DB_TIME));
    let caches = all(names::CACHE, "load", &of) + all(names::CACHE, "time", &of);
    let services = all(names::DOWNSTREAM, "time", &of).max(all(names::DOWNSTREAM, "in-flight", &inside));
    database + caches + services + of(names::OFFLOAD_WAIT) + of(names::OFFLOAD_RUN)
}

/// Has any loop no time left, or, where none is watched, the machine no CPU?
fn is_full(timeline: &Timeline, span: Span) -> bool {
    if window::told(timeline, names::LOOP_UTILISATION) {
        let mut busy = timeline.named(names::LOOP_UTILISATION).filter_map(|s| window::mean_of(s, span));
        return busy.any(|share| share >= CPU_FULL);
    }
    queueing::cpu_is_short(timeline, span, "requests").is_some()
}

/// Does the target tell its times, or what its pools hold, more seldom than each [`SELDOM`]?
fn is_told_seldom(timeline: &Timeline, at: RunTime) -> bool {
    let own = timeline.series().iter().filter(|s| OWN_LANES.iter().any(|p| s.spec.name.starts_with(p)));
    let mut newest = own.filter_map(|s| s.intervals.last());
    let pools = timeline.members(names::POOL);
    let mut paces =
        pools.iter().filter_map(|p| window::pace(timeline, &names::of(names::POOL, p, "in-use"), at));
    newest.any(|(span, _)| span.length() > SELDOM) || paces.any(|pace| pace > SELDOM)
}
