//! Generator limited: the load itself did not come as planned.
//!
//! **Claim.** The generator was starved, so response times of this run say little about the target: the
//! run is invalid, and findings against the target in the same time are withheld. **Reads** `client.lateness`,
//! `client.offered`, `client.achieved`, `client.dropped`, `generator.hiccup`, `generator.cpu`, `host.steal`. **Needs** one of the
//! first and the hiccup. **Statistic.** Seconds: one is bad when its lateness p99 is 50 ms or more, when a worker
//! stood still for 100 ms, or when half of the machine was stolen (a fifth where starts or timers felt it). Three of the last five must be bad and a good part
//! of all starts, or of the time, be lost; or all five. A hiccup of a noisy machine spoils one or two seconds
//! and few starts. **Confirmed** when two independent signs agree.
//!
//! Starts that fall short of the plan are blamed on the generator only beside another sign: a slow
//! target can hold sessions up, too.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, missing};
use crate::window;

/// Seconds looked at, and how many of them must be bad.
const SECONDS: u64 = 5;
const BAD_SECONDS: usize = 3;
/// What must be lost over all of them unless each is bad: starts later than [`LATE_NS`], or time in which a
/// worker stood still or was robbed. Two hiccups of 300 ms in 5 s are 12%.
const LOST: f64 = 0.15;
/// Lateness p99 that spoils a second: response times of some milliseconds drown in it. A healthy
/// generator has 1.5 ms at 10,000/s.
const LATE_NS: f64 = 50e6;
/// Starts below which a second's p99 is one sample.
const LEAST_STARTS: u64 = 100;
/// Hiccup that spoils a second: the same for all sessions of a worker at once, so twice as much.
const HICCUP_NS: f64 = 100e6;
/// Share of the machine stolen that spoils a second by itself ...
const STOLEN: f64 = 0.5;
/// ... and the share that does where it was felt: starts or timers late by half of what would do alone.
const STOLEN_AND_FELT: f64 = 0.2;
const FELT: f64 = 0.5;
/// Planned starts missing by so much, in share, are a sign.
const SHORT: f64 = 0.05;
/// CPU of one worker, in cores, from which on its one thread is full.
const CPU_FULL: f64 = 0.95;
/// While the load changes, sessions connect in crowds; seconds so early in a phase do not count.
const SETTLE: Duration = Duration::from_secs(2);
/// Good seconds after which it has ended.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at the generator as a whole.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let needed = [names::LATENESS, names::GENERATOR_HICCUP];
    let missing = missing(timeline, &needed);
    if missing.len() == needed.len() {
        return Answer::CannotTell(missing);
    }
    Answer::Looked(look_back(timeline, at).into_iter().collect())
}

/// One bad second and what was wrong with it.
#[derive(Debug, Default, Clone, Copy)]
struct Second {
    late: Option<f64>,
    hiccup: Option<f64>,
    stolen: Option<f64>,
}

impl Second {
    fn read(timeline: &Timeline, span: Span) -> Self {
        let lateness = window::durations(timeline, names::LATENESS, span);
        let hiccup = window::highest(timeline, names::GENERATOR_HICCUP, span);
        let stolen = window::mean(timeline, names::HOST_STEAL, span);
        let late = lateness.quantile_ns(0.99);
        let felt = late.is_some_and(|p| p >= FELT * LATE_NS) || hiccup >= FELT * HICCUP_NS;
        Self {
            late: late.filter(|&p| p >= LATE_NS && lateness.count() >= LEAST_STARTS),
            hiccup: Some(hiccup).filter(|&h| h >= HICCUP_NS),
            stolen: stolen.filter(|&s| s >= STOLEN || (s >= STOLEN_AND_FELT && felt)),
        }
    }

    fn is_bad(self) -> bool {
        self.late.is_some() || self.hiccup.is_some() || self.stolen.is_some()
    }
}

fn look_back(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let bad: Vec<(Span, Second)> = seconds(timeline, at)
        .into_iter()
        .map(|span| (span, Second::read(timeline, span)))
        .filter(|(_, s)| s.is_bad())
        .collect();
    let span = Span::new(bad.first()?.0.start, bad.last()?.0.end);
    let lasting = bad.len() >= SECONDS as usize;
    if !lasting && (bad.len() < BAD_SECONDS || lost(timeline, window::last(span.end, SECONDS as f64)) < LOST)
    {
        return None;
    }
    let signs = signs(timeline, span, &bad);
    let independent = signs.len() >= 2;
    Some(Claim {
        kind: FindingKind::GeneratorLimited,
        identity: String::new(),
        subject: String::new(),
        severity: Severity::Critical,
        status: if independent { Status::Confirmed } else { Status::Likely },
        onset: span.start,
        last: span.end.min(at),
        quiet: QUIET,
        weight: bad.iter().filter_map(|(_, s)| s.late.or(s.hiccup)).fold(0.0, f64::max),
        claim: format!(
            "the load generator could not keep its schedule since {ONSET} ({}): the run is invalid",
            signs.first().map_or("starved", |s| s.text.as_str())
        ),
        evidence: signs,
        contradicting: Vec::new(),
        advice: advice(timeline, span, &bad),
        missing: Vec::new(),
        episodes: episodes(bad.iter().map(|b| b.0).collect(), Duration::from_secs(1)),
        remedies: Vec::new(),
        sort: "",
    })
}

/// The greatest of the shares lost in `span`: late starts, a worker's time spent in hiccups, time stolen.
fn lost(timeline: &Timeline, span: Span) -> f64 {
    let lateness = window::durations(timeline, names::LATENESS, span);
    let late = lateness.longer_than(LATE_NS) as f64 / lateness.count().max(1) as f64;
    let still = |s: &Series| {
        let steps = window::steps(s, span).filter(|&(_, _, ns)| ns >= HICCUP_NS);
        steps.map(|(from, to, ns)| (ns / 1e9).min(to.since(from).as_secs_f64())).sum::<f64>()
            / window::seconds(span)
    };
    let still = timeline.named(names::GENERATOR_HICCUP).map(still).fold(0.0, f64::max);
    let stolen = window::mean(timeline, names::HOST_STEAL, span).unwrap_or(0.0);
    late.max(still).max(stolen)
}

/// Whole seconds of the run that are over and lie in settled load, the last [`SECONDS`] of them.
fn seconds(timeline: &Timeline, at: RunTime) -> Vec<Span> {
    let second = Duration::from_secs(1);
    let plan = timeline.plan();
    let from = plan.warm_from();
    (0..SECONDS)
        .rev()
        .filter_map(|back| {
            // The newest whole second may still lack its histograms, so the one before is the first.
            let end = RunTime(at.0.checked_sub((back + 1) * 1_000_000_000)?);
            Some(Span::new(end.back(second), end))
        })
        .filter(|s| s.length() == second && s.start >= from)
        .filter(|s| !window::unsettled(plan, s.start, SETTLE) && !window::after_plan(plan, s.end))
        .collect()
}

fn signs(timeline: &Timeline, span: Span, bad: &[(Span, Second)]) -> Vec<Evidence> {
    let worst = |f: fn(&Second) -> Option<f64>| {
        let all: Vec<f64> = bad.iter().filter_map(|(_, s)| f(s)).collect();
        (all.len(), all.iter().copied().fold(0.0, f64::max))
    };
    let mut list = Vec::new();
    let (n, late) = worst(|s| s.late);
    if n > 0 {
        let text = format!("lateness p99 up to {} in {n} of {SECONDS} s", Unit::Ns.show(late));
        list.push(evidence(text, names::LATENESS, span, late, Unit::Ns));
    }
    let (n, hiccup) = worst(|s| s.hiccup);
    if n > 0 {
        let text = format!("own hiccups of up to {} in {n} of {SECONDS} s", Unit::Ns.show(hiccup));
        list.push(evidence(text, names::GENERATOR_HICCUP, span, hiccup, Unit::Ns));
    }
    let (n, stolen) = worst(|s| s.stolen);
    if n > 0 {
        let text = format!("up to {} of the machine stolen in {n} of {SECONDS} s", Unit::Ratio.show(stolen));
        list.push(evidence(text, names::HOST_STEAL, span, stolen, Unit::Ratio));
    }
    if let Some(cpu) = fullest_worker(timeline, span).filter(|&c| c >= CPU_FULL) {
        list.push(evidence(
            format!("a worker's core is full: {}", Unit::Cores.show(cpu)),
            names::GENERATOR_CPU,
            span,
            cpu,
            Unit::Cores,
        ));
    }
    if let Some(short) = shortfall(timeline, span).filter(|&s| s >= SHORT) {
        let text = format!("{} of the planned starts are missing", Unit::Ratio.show(short));
        list.push(evidence(text, names::ACHIEVED, span, short, Unit::Ratio));
    }
    list
}

fn fullest_worker(timeline: &Timeline, span: Span) -> Option<f64> {
    timeline.named(names::GENERATOR_CPU).filter_map(|s| window::typical_of(s, span)).max_by(f64::total_cmp)
}

/// Share of the planned starts that did not happen: dropped ones, or offered minus achieved.
fn shortfall(timeline: &Timeline, span: Span) -> Option<f64> {
    let offered = window::counted(timeline, names::OFFERED, span).filter(|&n| n > 0.0)?;
    let dropped = window::counted(timeline, names::DROPPED, span).unwrap_or(0.0);
    let late = window::counted(timeline, names::ACHIEVED, span).map_or(0.0, |a| offered - a);
    Some(dropped.max(late) / offered)
}

fn advice(timeline: &Timeline, span: Span, bad: &[(Span, Second)]) -> Vec<String> {
    let mut list = Vec::new();
    if bad.iter().any(|(_, s)| s.stolen.is_some()) {
        list.push(
            "Run on a machine of your own, or at another time: the hypervisor gave its CPU to others."
                .to_owned(),
        );
    }
    if let Some(cpu) = fullest_worker(timeline, span).filter(|&c| c >= CPU_FULL) {
        list.push(format!(
            "Use more generator workers or machines: the busiest worker takes {}.",
            Unit::Cores.show(cpu)
        ));
    }
    list.push(
        "Give the generator cores of its own (not the target's), or ask for less load, and run again."
            .to_owned(),
    );
    list
}
