//! Worker lost: a process of the target has ended without being asked to.
//!
//! **Claim.** It died so often, and what it held was lost. **Reads** `process.{deaths,generation}`, `server.{connections,websockets}`,
//! `client.errors`, and the lanes in which a process speaks of itself. **Needs** `process.deaths`: whoever keeps the processes counts them,
//! so that a rolling reload, which raises the generation alone, is no death. **Statistic.** None: a death is counted, not
//! estimated. Who keeps workers may count them together: then it is not known which one it was. **Confirmed** when something else shows it: the process fell silent, its connections went, or clients saw them break.
//!
//! That its successor begins with nothing (no connections, an empty cache) is for [`crate::causes`].

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, period, plural};
use crate::window;

/// Window, seconds: several deaths of a process that crashes every few seconds.
const WINDOW_S: f64 = 30.0;
/// How long after a death its effects on clients are counted: a connection is found broken at its next use.
const AFTERMATH: Duration = Duration::from_secs(3);
/// Silence beside a death that shows it: five samples of a 10 Hz lane.
const SILENCE: Duration = Duration::from_millis(500);
/// Errors that a lost process causes at its clients.
const BROKEN: [&str; 6] =
    ["connect-refused", "reset", "closed-early", "ws-closed", "sse-closed", "stream-reset"];
/// The spacing of deaths may differ from its median by so much and still be a period.
const PERIOD_SPREAD: f64 = 0.25;
/// Time without a death after which it has ended.
const QUIET: Duration = Duration::from_secs(10);
/// Values of levels are carried for so long.
const CARRY: Duration = Duration::from_secs(2);

/// Looks at every process whose deaths are counted.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if timeline.named(names::PROCESS_DEATHS).all(|s| s.points.is_empty()) {
        return Answer::CannotTell(vec![names::PROCESS_DEATHS.to_owned()]);
    }
    let instances = window::instances(timeline, names::PROCESS_DEATHS);
    Answer::Looked(instances.iter().filter_map(|i| look_at(timeline, at, i)).collect())
}

/// A rise of the count: when it happened at the latest and at the earliest, and by how much.
#[derive(Clone, Copy)]
struct Death {
    span: Span,
    many: f64,
}

fn deaths(timeline: &Timeline, instance: &str, span: Span) -> Vec<Death> {
    let Some(lane) = window::of_instance(timeline, names::PROCESS_DEATHS, instance) else {
        return Vec::new();
    };
    window::steps(lane, span)
        .filter_map(|(since, at, count)| {
            let many = count - lane.at(since, Duration::ZERO)?;
            (many >= 1.0).then_some(Death { span: Span::new(since, at), many })
        })
        .filter(|d| !window::after_plan(timeline.plan(), d.span.start))
        .collect()
}

/// Whom the lane of an instance counts: itself, or as the lane's subject says somebody that it keeps.
fn counted<'a>(timeline: &'a Timeline, instance: &str) -> Option<&'a str> {
    let lane = window::of_instance(timeline, names::PROCESS_DEATHS, instance)?;
    Some(lane.spec.subject.as_str()).filter(|subject| !subject.is_empty())
}

fn look_at(timeline: &Timeline, at: RunTime, instance: &str) -> Option<Claim> {
    let deaths = deaths(timeline, instance, window::last(at, WINDOW_S));
    let (first, last) = (deaths.first()?, deaths.last()?);
    let kept = counted(timeline, instance);
    let seen = Seen::read(timeline, at, kept.is_none().then_some(instance), &deaths);
    let who = kept.map_or_else(|| instance.to_owned(), |kept| format!("{kept} of {instance}"));
    let workers = kept.is_none().then(|| {
        window::clusters(timeline, names::PROCESS_DEATHS).get(window::stem(instance)).map_or(1, Vec::len)
    });
    let hurts = seen.broken > 0.0 || seen.gone;
    Some(Claim {
        kind: FindingKind::WorkerLost,
        identity: instance.to_owned(),
        subject: who.clone(),
        severity: if hurts { Severity::Critical } else { Severity::Warning },
        status: if seen.agrees() { Status::Confirmed } else { Status::Likely },
        onset: first.span.start,
        last: last.span.end,
        quiet: seen.period.map_or(QUIET, |p| QUIET.max(p.mul_f64(2.0))),
        weight: seen.many,
        claim: seen.sentence(&who),
        evidence: seen.supporting(&who, Span::new(first.span.start, last.span.end), at),
        contradicting: Vec::new(),
        advice: advice(&who, workers),
        missing: Vec::new(),
        episodes: episodes(deaths.iter().map(|d| d.span).collect(), Duration::ZERO),
        remedies: Vec::new(),
        sort: "",
    })
}

/// What is known of the deaths of one process.
struct Seen {
    many: f64,
    period: Option<Duration>,
    /// Connections and WebSockets open before each death, all together; none where nobody counts them.
    held: Option<f64>,
    /// Longest silence beside a death.
    silence: Duration,
    /// It has not spoken since.
    gone: bool,
    restarted: bool,
    broken: f64,
}

impl Seen {
    /// `instance`: who died, where that is known.
    fn read(timeline: &Timeline, at: RunTime, instance: Option<&str>, deaths: &[Death]) -> Self {
        let held = deaths
            .iter()
            .filter_map(|d| window::connections(timeline, instance?, d.span.start, CARRY))
            .reduce(|a, b| a + b);
        let silences: Vec<(Duration, bool)> =
            deaths.iter().filter_map(|d| silence(timeline, at, instance?, d.span)).collect();
        let generation = |t| {
            window::of_instance(timeline, names::PROCESS_GENERATION, instance?).and_then(|l| l.at(t, CARRY))
        };
        let (before, now) = (generation(deaths[0].span.start), generation(at));
        let ends: Vec<RunTime> = deaths.iter().map(|d| d.span.end).collect();
        Self {
            many: deaths.iter().map(|d| d.many).sum(),
            period: period(&ends, PERIOD_SPREAD),
            held,
            silence: silences.iter().map(|s| s.0).max().unwrap_or_default(),
            gone: silences.last().is_some_and(|s| s.1 && s.0 >= SILENCE),
            restarted: before.zip(now).is_some_and(|(b, n)| n > b),
            broken: deaths.iter().map(|d| broken(timeline, d.span)).sum(),
        }
    }

    fn agrees(&self) -> bool {
        self.silence >= SILENCE || self.broken > 0.0
    }

    fn sentence(&self, instance: &str) -> String {
        let held = self.held.filter(|&h| h >= 1.0);
        let held = held.map_or(String::new(), |h| format!(", with {}", plural(h, "open connection")));
        let then = match (self.gone, self.restarted) {
            (true, _) => "; it has not come back",
            (false, true) => "; it was started again",
            (false, false) => "",
        };
        if self.many < 1.5 {
            return format!("{instance} died after {ONSET} without being asked to{held}{then}");
        }
        let every =
            self.period.map_or(String::new(), |p| format!(", every {}", Unit::Ns.show(p.as_nanos() as f64)));
        format!(
            "{instance} dies again and again since {ONSET}: {}{every}{held}{then}",
            plural(self.many, "time")
        )
    }

    /// `span`: of the deaths, as far as they are known at `at`; what follows from one comes after it.
    fn supporting(&self, instance: &str, span: Span, at: RunTime) -> Vec<Evidence> {
        let until = |after: Duration| Span::new(span.start, (span.end + after).min(at));
        let text = format!("{} of {instance} that nobody asked for", plural(self.many, "end"));
        let mut list = vec![evidence(text, names::PROCESS_DEATHS, span, self.many, Unit::Count)];
        if self.silence >= SILENCE {
            let ns = self.silence.as_nanos() as f64;
            let text = format!("nothing from {instance} for {} at the time", Unit::Ns.show(ns));
            list.push(evidence(text, names::SOURCE_AGE, until(self.silence), ns, Unit::Ns));
        }
        if let Some(held) = self.held {
            let text = format!("{} and WebSockets were open there just before", plural(held, "connection"));
            list.push(evidence(text, names::SERVER_CONNECTIONS, span, held, Unit::Count));
        }
        if self.broken > 0.0 {
            let text = format!(
                "clients met {} of connections in the {} s after",
                plural(self.broken, "break"),
                AFTERMATH.as_secs()
            );
            list.push(evidence(text, names::ERRORS, until(AFTERMATH), self.broken, Unit::Count));
        }
        list
    }
}

/// `workers`: how many there are that do the same; none where that is not known.
fn advice(who: &str, workers: Option<usize>) -> Vec<String> {
    let mut list = vec![format!(
        "Find what ended {who}: its exit status or signal as its keeper saw it, the kernel's log (out of memory), its last words on standard error."
    )];
    match workers {
        Some(1) => {
            list.push("Run a second process beside it: while this one starts again nobody serves.".to_owned())
        }
        Some(workers) => list.push(format!(
            "Keep room for it: with one of {workers} gone, each of the others has {:.2} times its load.",
            workers as f64 / (workers - 1) as f64
        )),
        None => {}
    }
    list.push(
        "Let clients try again what may be done twice (GET, PUT, or with an idempotency key), after a short random wait."
            .to_owned(),
    );
    list
}

/// The longest silence of a process around its death, and whether it lasts; none where it never spoke.
fn silence(timeline: &Timeline, at: RunTime, instance: &str, death: Span) -> Option<(Duration, bool)> {
    let lanes = [names::SERVER_CONNECTIONS, names::HEAP_USED, names::LOOP_UTILISATION];
    let lane = lanes.iter().find_map(|n| window::of_instance(timeline, n, instance))?;
    let around = Span::new(death.start.back(CARRY), at + Duration::from_nanos(1));
    let points = lane.within(around);
    let newest = points.last()?.0;
    let beside = points.windows(2).filter(|w| w[0].0 <= death.end && w[1].0 >= death.start);
    let gap = beside.map(|w| w[1].0.since(w[0].0)).max().unwrap_or_default();
    if newest <= death.end {
        return Some((gap.max(at.since(newest)), true));
    }
    Some((gap, false))
}

/// Errors of clients in the aftermath that a lost process causes.
fn broken(timeline: &Timeline, death: Span) -> f64 {
    let span = Span::new(death.start, death.end + AFTERMATH);
    timeline
        .named(names::ERRORS)
        .filter(|s| BROKEN.contains(&s.spec.subject.as_str()))
        .flat_map(|s| window::steps(s, span))
        .map(|(since, at, rate)| rate * at.since(since).as_secs_f64())
        .sum()
}
