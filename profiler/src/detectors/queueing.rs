//! A queue before servers, whatever they are: connections of a pool, threads that take what a loop gives away.
//!
//! Owns what is reasoned of all such queues alike: when all servers are taken, and for how much of the time they must be; which wait is
//! noticed, and which hurts; how many servers are enough; and when it is the CPU that is short. Which lanes tell of a queue, and what else
//! is asked of it, is each detector's own.

use std::time::Duration;

use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Series, Span, Timeline, Unit};

use super::evidence;
use super::readings::{Grid, LEAST_READINGS};
use crate::stats::median;
use crate::window;

/// Window of the rule for what lasts, seconds.
pub const LASTING_S: f64 = 3.0;
/// Cells with a queue that it wants: half of its 30. With M/M/c 4 servers at 70% load queue somebody in 0.30 of all instants, 8 in 0.19,
/// so half is four deviations away.
const LASTING_CELLS: usize = 15;
/// The same while the load settles: two thirds, since filling caches and first logins queue for a while.
const SETTLING_CELLS: usize = 20;
/// How long after the start of a phase only the stricter rule speaks: one window.
pub const SETTLE: Duration = Duration::from_secs(3);
/// Capacity is declared rarely by some sources.
pub const CAPACITY_CARRY: Duration = Duration::from_secs(60);
/// Share of the servers that is "all of them": counters are read one after the other, so one in ten may be on its way out.
const ALL: f64 = 0.9;
/// Least wait that anybody notices, ns; shorter ones hide in the spread of response times.
pub const NOTICED_NS: f64 = 25e6;
/// Wait that hurts whatever the service does, ns: people notice a quarter of a second.
const HURTS_NS: f64 = 250e6;
/// ... as does a queue of so many for each server.
const HURTS_EACH: f64 = 2.0;
/// The rate may differ from that of full servers by so much for the utilisation law to agree: what is served at both ends of an interval
/// is counted in only one of the two.
pub const LAW_TOLERANCE: f64 = 0.25;
/// Served, for the law to be tried: 14% standard error.
pub const LAW_SERVED: u64 = 50;
/// Square-root staffing (Halfin and Whitt 1981): with `a + 2 sqrt(a)` servers fewer than 3 in 100 wait.
const STAFFING: f64 = 2.0;
/// CPU of the whole host from which on it, not the servers, may be short.
const CPU_SHORT: f64 = 0.95;
/// ... and with this share of it in the hands of others no verdict on a queue is possible. The system's own
/// work for a busy loopback comes to a fifth at most; two fifths are somebody else's.
const OTHERS_SHARE: f64 = 0.4;

/// Do some wait while (nearly) all servers are busy? Where nobody tells how many are, all are.
pub fn all_taken(waiting: f64, busy: Option<f64>, servers: f64) -> bool {
    waiting >= 1.0 && busy.is_none_or(|b| b >= ALL * servers)
}

/// In how many cells of `span` all servers must be taken for the queue to last; where readings are few, in all of them.
pub fn lasting_cells(grid: Grid, queue: &Series, span: Span, settling: bool) -> usize {
    match (grid.seldom(), settling) {
        (true, _) => LEAST_READINGS.max(queue.within(span).len()),
        (false, true) => SETTLING_CELLS,
        (false, false) => LASTING_CELLS,
    }
}

/// Is it critical that so many wait for so long, ns?
pub fn hurts(wait_ns: f64, waiting: f64, servers: f64) -> bool {
    wait_ns >= HURTS_NS || waiting >= HURTS_EACH * servers
}

/// Share of the sessions that wait while `waiting` do, `most` of them at most; 0 where requests come on their own.
///
/// Sessions that wait do not ask again: with `n` sessions of which `q` wait, the others ask at the rate of `n - q`, so all of them would
/// ask `1 / (1 - q/n)` times as often. (The interactive response time law with the wait taken out; it holds before and after a queue
/// has settled.)
pub fn waiting_share(timeline: &Timeline, waiting: f64, span: Span, most: f64) -> f64 {
    let sessions = median(window::sessions(timeline, span)).filter(|&n| n >= 1.0);
    sessions.map_or(0.0, |n| (waiting / n).clamp(0.0, most))
}

/// Servers with which few wait, where `busy` of them are busy on average; not yet a whole number.
pub fn staffed(busy: f64) -> f64 {
    busy + STAFFING * busy.sqrt()
}

/// The same where somebody waits now for `servers`, which so are not enough.
pub fn enough(busy: f64, servers: f64) -> f64 {
    staffed(busy).ceil().max(servers + 1.0)
}

/// So many servers in all, evenly over the processes.
pub fn each(servers: f64, processes: usize) -> f64 {
    (servers / processes.max(1) as f64).ceil()
}

/// The same as words behind a number, where there are several processes.
pub fn in_each(servers: f64, processes: usize) -> String {
    if processes > 1 {
        format!(" (that is {} in each of {processes} processes)", each(servers, processes))
    } else {
        String::new()
    }
}

/// Have others the machine? Servers that get no CPU are busy for longer, and that is not their number's fault.
pub fn machine_is_taken(timeline: &Timeline, span: Span) -> bool {
    others_of_full(timeline, span).is_some_and(|share| share >= OTHERS_SHARE)
}

/// Is it full, and not with others?
pub fn machine_is_filled(timeline: &Timeline, span: Span) -> bool {
    others_of_full(timeline, span).is_some_and(|share| share < OTHERS_SHARE)
}

/// What others have of a machine whose CPU is all in use.
fn others_of_full(timeline: &Timeline, span: Span) -> Option<f64> {
    window::mean(timeline, names::HOST_CPU, span).filter(|&c| c >= CPU_SHORT)?;
    window::taken_by_others(timeline, span)
}

/// The line that speaks against more servers where the CPU is short: they would only share what there is, and so `what` they do may be long.
pub fn cpu_is_short(timeline: &Timeline, span: Span, what: &str) -> Option<Evidence> {
    let cpu = window::mean(timeline, names::HOST_CPU, span).filter(|&c| c >= CPU_SHORT)?;
    let used = Unit::Ratio.show(cpu);
    let text = format!("{used} of the host's CPU is in use: {what} may be long because the CPU is short");
    Some(evidence(text, names::HOST_CPU, span, cpu, Unit::Ratio))
}
