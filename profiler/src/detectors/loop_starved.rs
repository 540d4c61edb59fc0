//! Loop starved: the loop is busy with itself, and input waits although nothing runs for long.
//!
//! **Claim.** A task that requeues itself ahead of I/O takes the loop. **Reads** `loop.utilisation`, `loop.delay`, `process.cpu`, `server.handler`. **Needs** all four, and some seconds
//! before it in which the same requests cost what they usually do. **Statistic.** In one process, over 2 s: the loop is busy in four of five samples; half
//! of all wakes are 4 ms late or more (a loop that is busy with requests looks for input in between, and its timer's own error is 1 ms); and the requests do not account for
//! it: the process uses twice the CPU, and each request costs three times, of what is usual; where the process cannot have so much, requests
//! explain less than a quarter of what it has. Nor do pauses of its own account for it: what they took, a core all the time at most, is left
//! out of all that. That tells it from a lack of CPU, in which more
//! requests come at the same cost, and from neighbours, who leave the process less CPU, not more. What [`super::loop_blocked`] can blame on a route is not
//! starved. **Null.** The usual second is the cheapest quarter of the last thirty; where also fewer requests end than
//! usual, for twenty times the wait, it is confirmed.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, cannot_tell, evidence, loop_blocked, plural};
use crate::loops::{self, Loop, Usual};
use crate::stats::Durations;
use crate::window;

/// Window of the rule, seconds.
const WINDOW_S: f64 = 2.0;
/// Share of the time in which the loop is busy, as far as its runtime tells in time.
const BUSY: f64 = 0.7;
/// Share of the samples in which it is at work: hardly ever does it wait for any.
const AT_WORK: f64 = 0.8;
/// Least median delay of a wake, ns: four times a timer's error.
const LATE_NS: f64 = 4e6;
/// Least wakes for a median.
const LEAST_WAKES: u64 = 20;
/// CPU in one turn of the loop, seconds, from which on something in it is long by itself: a runtime looks for input after some
/// dozens of tasks (61 in tokio), which would each have to last for the 20 ms from which on a stall is told.
const LONG_TURN_S: f64 = 1.2;
/// CPU of the process over the usual.
const MORE_CPU: f64 = 2.0;
/// CPU of each request over the usual: what requests take more of varies by less with what is asked for.
const MORE_COST: f64 = 3.0;
/// Where others have the core, too, there is no twice the CPU to be had: then requests explain next to nothing of what it has.
const UNEXPLAINED: f64 = 0.75;
/// Share of the time in pauses of the process's own from which on they are what takes the CPU.
const PAUSED: f64 = 0.25;
/// Median delay over the usual one, for confirmation.
const MUCH_LATER: f64 = 20.0;
/// Usual delays are looked at in so many seconds before the onset.
const BEFORE: Duration = Duration::from_secs(10);
/// How far back the onset is looked for, and the longest break in it.
const BACK: Duration = Duration::from_secs(30);
const GAP: Duration = Duration::from_millis(500);
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(4);

/// Looks at the loop of each process.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(
        timeline,
        &[names::LOOP_UTILISATION, names::LOOP_DELAY, names::PROCESS_CPU, names::SERVER_HANDLER],
    ) {
        return cannot;
    }
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    let starved: Vec<Starved> = loops::read(timeline, window::last(at, WINDOW_S))
        .into_iter()
        .filter_map(|l| Starved::of(timeline, l, at))
        .collect();
    if starved.is_empty() || loop_blocked::by_requests(timeline, at) {
        return Answer::Looked(Vec::new());
    }
    Answer::Looked(vec![claim(timeline, at, &starved)])
}

/// A loop that requests do not account for.
struct Starved<'a> {
    now: Loop<'a>,
    usual: Usual,
    late: f64,
    since: RunTime,
    usual_late: Option<f64>,
    /// CPU that no request accounts for, cores.
    unexplained: f64,
}

impl<'a> Starved<'a> {
    fn of(timeline: &'a Timeline, now: Loop<'a>, at: RunTime) -> Option<Self> {
        let late = now.delay.quantile_ns(0.5)?;
        if now.busy < BUSY || now.at_work < AT_WORK || now.delay.count() < LEAST_WAKES || late < LATE_NS {
            return None;
        }
        // Wakes come at random within a turn of the loop, so it lasts twice their median delay.
        if 2.0 * late / 1e9 * now.cpu? >= LONG_TURN_S {
            return None;
        }
        let usual = loops::usual(timeline, now.instance, at)?;
        let cpu = now.cpu?;
        // No task of the loop took what its own pauses did.
        let of_loop = now.beside_pauses()?;
        let unexplained = (of_loop - usual.cost * now.requests).max(0.0);
        let more_cpu = of_loop >= MORE_CPU * usual.cpu || unexplained >= UNEXPLAINED * cpu;
        // A process that ends no request at all spends its CPU on none.
        let more_cost = now.requests <= 0.0 || of_loop / now.requests >= MORE_COST * usual.cost;
        if !more_cpu || !more_cost || now.paused >= PAUSED {
            return None;
        }
        let lane = window::of_instance(timeline, names::LOOP_DELAY, now.instance)?;
        // Requests alone may have kept it busy before.
        let since = loops::busy_since(timeline, now.instance, at, BACK, GAP)?.max(late_since(lane, at));
        let before = Span::new(since.back(BEFORE), since.back(GAP));
        let usual_late = Durations::of(lane.intervals_within(before)).quantile_ns(0.5);
        Some(Self { now, usual, late, since, usual_late, unexplained })
    }

    fn confirmed(&self) -> bool {
        self.now.requests <= self.usual.requests
            && self.usual_late.is_some_and(|usual| self.late >= MUCH_LATER * usual)
    }
}

/// Since when half of all wakes have been late, but for an interval now and then.
fn late_since(lane: &Series, at: RunTime) -> RunTime {
    let intervals = lane.intervals_within(Span::new(at.back(BACK), at));
    let (mut since, mut in_time) = (at, 0);
    for interval in intervals.iter().rev() {
        let late = Durations::of([interval]).quantile_ns(0.5).is_some_and(|ns| ns >= LATE_NS);
        (since, in_time) = if late { (interval.0.start, 0) } else { (since, in_time + 1) };
        if in_time > 1 {
            break;
        }
    }
    since
}

fn claim(timeline: &Timeline, at: RunTime, starved: &[Starved]) -> Claim {
    let span = window::last(at, WINDOW_S);
    let onset = starved.iter().map(|s| s.since).min().unwrap_or(at);
    let worst = starved.iter().map(|s| s.late).fold(0.0, f64::max);
    let unexplained: f64 = starved.iter().map(|s| s.unexplained).sum();
    let names: Vec<&str> = starved.iter().map(|s| s.now.instance).collect();
    let stalls = timeline.events(kinds::PAUSE_WORKER_STALL, span).count();
    Claim {
        kind: FindingKind::LoopStarved,
        identity: String::new(),
        subject: names.join(", "),
        severity: Severity::Critical,
        status: if starved.iter().all(Starved::confirmed) { Status::Confirmed } else { Status::Likely },
        onset,
        last: at,
        quiet: QUIET,
        weight: worst,
        claim: format!(
            "the loop of {} is busy for {} of the time since {ONSET} with what no request asked for ({} cores), and input waits: wakes are {} late in the median",
            names.join(" and "),
            Unit::Ratio.show(starved.iter().map(|s| s.now.busy).sum::<f64>() / starved.len() as f64),
            figure(unexplained),
            Unit::Ns.show(worst)
        ),
        evidence: starved.iter().flat_map(|s| supporting(span, s)).collect(),
        contradicting: Vec::new(),
        advice: vec![
            "Look for a task that wakes itself at once, or puts its next turn ahead of I/O (process.nextTick, a channel to itself, wake_by_ref before Pending), and let it yield so that the loop looks for input between turns (setImmediate, yield_now).".to_owned(),
            format!(
                "It takes {} cores now: let it rest when there is nothing to do{}.",
                figure(unexplained),
                if stalls > 0 { format!("; its turns add up to {} of 20 ms and more in {WINDOW_S} s", plural(stalls as f64, "stall")) } else { String::new() }
            ),
        ],
        missing: Vec::new(),
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    }
}

fn figure(cores: f64) -> String {
    format!("{:.1}", (cores * 10.0).round() / 10.0)
}

fn supporting(span: Span, s: &Starved) -> Vec<Evidence> {
    let name = s.now.instance;
    let text = format!("{name}: the loop is busy for {} of the time", Unit::Ratio.show(s.now.busy));
    let mut list = vec![evidence(text, names::LOOP_UTILISATION, span, s.now.busy, Unit::Ratio)];
    let before = s.usual_late.map_or(String::new(), |ns| format!(", before {}", Unit::Ns.show(ns)));
    let text = format!("{name}: wakes are {} late in the median{before}", Unit::Ns.show(s.late));
    list.push(evidence(text, names::LOOP_DELAY, span, s.late, Unit::Ns));
    let text = format!(
        "{name}: {} cores for {:.0} requests/s, while usually {} cores do for {:.0}",
        Unit::Count.show(round(s.now.cpu.unwrap_or(0.0))),
        s.now.requests,
        Unit::Count.show(round(s.usual.cpu)),
        s.usual.requests
    );
    list.push(evidence(text, names::PROCESS_CPU, span, s.now.cpu.unwrap_or(0.0), Unit::Cores));
    list
}

fn round(cores: f64) -> f64 {
    (cores * 100.0).round() / 100.0
}
