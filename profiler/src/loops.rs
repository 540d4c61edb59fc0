//! Loops: how busy the async loop of a process is, and what a request costs it.
//!
//! Owns reading `loop.*`, `process.cpu` and the requests of one process together. Whether a busy loop is blocked, starved or
//! merely out of CPU is each detector's business. All of it is bounded by the window.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use crate::routes;
use crate::stats::{Durations, median};
use crate::window;

/// A sample of a loop that is at work. Not more, because a runtime adds a long stretch only when it is over: a loop that never
/// rests, in stretches of 120 ms, shows 0.3 to 0.6 in every third tick of 100 ms.
const BUSY: f64 = 0.3;
/// What is usual is looked at in cells of a second over so many seconds.
const USUAL_CELLS: u32 = 30;
const CELL: Duration = Duration::from_secs(1);
/// Requests in a cell for its cost to be worth its name.
const LEAST_REQUESTS: f64 = 5.0;
/// Cells for anything to be usual.
const LEAST_CELLS: usize = 3;
/// A loop that does not turn tells of itself when it does again: longest time that one sample speaks of.
const LONGEST: Duration = Duration::from_secs(3);
/// Pauses that are the process's own or its collector's.
pub const OWN_PAUSES: [&str; 5] = [
    kinds::PAUSE_STOP_THE_WORLD,
    kinds::PAUSE_MAJOR,
    kinds::PAUSE_MINOR,
    kinds::PAUSE_INCREMENTAL,
    kinds::PAUSE_PURGE,
];

/// The loop of one process over a window.
#[derive(Debug, Clone)]
pub struct Loop<'a> {
    /// Which process.
    pub instance: &'a str,
    /// Share of the time it was busy, mean.
    pub busy: f64,
    /// Share of the samples in which it was at work and not waiting for any.
    pub at_work: f64,
    /// How late its tasks were woken.
    pub delay: Durations,
    /// CPU of the process, cores.
    pub cpu: Option<f64>,
    /// Requests that ended per second.
    pub requests: f64,
    /// Share of the time in pauses of its own.
    pub paused: f64,
}

impl Loop<'_> {
    /// CPU that is left when its own pauses have had a core to themselves all the time, which is as much as they can have taken.
    pub fn beside_pauses(&self) -> Option<f64> {
        self.cpu.map(|cpu| (cpu - self.paused).max(0.0))
    }
}

/// The loops of all processes that have one and whose use is known in `span`.
pub fn read(timeline: &Timeline, span: Span) -> Vec<Loop<'_>> {
    window::instances(timeline, names::LOOP_UTILISATION)
        .into_iter()
        .filter_map(|instance| {
            let lane = window::of_instance(timeline, names::LOOP_UTILISATION, instance)?;
            let (busy, told) = (window::mean_of(lane, span)?, lane.within(span));
            let delay = window::of_instance(timeline, names::LOOP_DELAY, instance);
            Some(Loop {
                instance,
                busy,
                at_work: told.iter().filter(|p| p.1 >= BUSY).count() as f64 / told.len() as f64,
                delay: Durations::of(delay.into_iter().flat_map(|l| ending_in(l, span))),
                cpu: cpu(timeline, instance, span),
                requests: routes::ended(timeline, instance, span) / window::seconds(span),
                paused: paused(timeline, instance, span),
            })
        })
        .collect()
}

/// What was told within `span`, also of the time before it.
fn ending_in(lane: &Series, span: Span) -> impl Iterator<Item = &(Span, Sparse)> {
    let wide = Span::new(span.start.back(LONGEST), span.end);
    lane.intervals_within(wide).iter().filter(move |i| i.0.end > span.start)
}

fn paused(timeline: &Timeline, instance: &str, span: Span) -> f64 {
    let wide = Span::new(span.start.back(LONGEST), span.end);
    let own =
        OWN_PAUSES.iter().flat_map(|kind| timeline.events(kind, wide)).filter(|e| e.instance == instance);
    own.map(|e| e.span().overlap(span).as_secs_f64()).sum::<f64>() / window::seconds(span)
}

fn cpu(timeline: &Timeline, instance: &str, span: Span) -> Option<f64> {
    window::mean_of(window::of_instance(timeline, names::PROCESS_CPU, instance)?, span)
}

/// What is usual for a process: over the seconds before `until` the cheapest quarter, so that neither the trouble
/// itself nor a neighbour's counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// CPU seconds for each request.
    pub cost: f64,
    /// CPU of the process, cores.
    pub cpu: f64,
    /// Requests per second.
    pub requests: f64,
}

/// What was usual for the process in the 30 s before `until`; none if too little is known. What was usual for the one in
/// whose place it was started is not usual for it: it has its code to compile and its connections to open.
pub fn usual(timeline: &Timeline, instance: &str, until: RunTime) -> Option<Usual> {
    let began = window::restarted(timeline, instance, Span::new(until.back(CELL * USUAL_CELLS), until));
    let mut cells: Vec<Usual> = (0..USUAL_CELLS)
        .filter_map(|n| {
            let end = until.back(CELL * n);
            let cell = Span::new(end.back(CELL), end);
            if began.is_some_and(|began| cell.start < began) {
                return None;
            }
            let requests = routes::ended(timeline, instance, cell);
            let cpu = cpu(timeline, instance, cell)?;
            (requests >= LEAST_REQUESTS).then(|| Usual { cost: cpu / requests, cpu, requests })
        })
        .collect();
    if cells.len() < LEAST_CELLS {
        return None;
    }
    cells.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    cells.truncate(cells.len().div_ceil(4).max(LEAST_CELLS));
    let middle = |of: fn(&Usual) -> f64| median(cells.iter().map(of).collect());
    Some(Usual { cost: middle(|c| c.cost)?, cpu: middle(|c| c.cpu)?, requests: middle(|c| c.requests)? })
}

/// From when on the loop of the process was at work without a break of more than `gap`, at most so far `back`. A sample speaks of the time
/// since the one before it.
pub fn busy_since(
    timeline: &Timeline,
    instance: &str,
    at: RunTime,
    back: Duration,
    gap: Duration,
) -> Option<RunTime> {
    let lane = window::of_instance(timeline, names::LOOP_UTILISATION, instance)?;
    let points = lane.within(Span::new(at.back(back), at + Duration::from_nanos(1)));
    let mut since: Option<RunTime> = None;
    for (i, &(t, busy)) in points.iter().enumerate().rev() {
        if since.unwrap_or(at).since(t) > gap {
            break;
        }
        if busy >= BUSY {
            let before = i.checked_sub(1).map_or(t, |i| points[i].0);
            since = Some(if t.since(before) > gap { before.max(t.back(LONGEST)) } else { t });
        }
    }
    since
}
