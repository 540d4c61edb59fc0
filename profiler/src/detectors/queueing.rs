//! A queue before servers, whatever they are: connections of a pool, threads that take what a loop gives away.
//!
//! Owns what is reasoned of all such queues alike: when all servers are taken, and for how much of the time they must be; which wait is
//! noticed, and which hurts; what a load of which some waits would ask for, and how many servers are enough for it; and when it is the CPU that
//! is short. Which lanes tell of a queue, and what else is asked of it, is each detector's own.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{Series, Span, Timeline, Unit};

use super::readings::{Grid, LEAST_READINGS};
use super::{evidence, plural};
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
/// How many of those who come may have to wait, at most, where servers are enough.
const MAY_WAIT: f64 = 0.03;
/// Busy servers from which on square-root staffing is exact enough (Halfin and Whitt 1981: with `a + 2 sqrt(a)` 2.7 in 100 wait), and the
/// factor.
const MANY: f64 = 10_000.0;
const STAFFING: f64 = 2.0;
/// Share of the sessions beyond which so many wait that what they would ask for is a guess: at half of them it is twice what is seen.
const MOST_WAITING: f64 = 0.5;
/// Time without a queue is looked for so far back, ...
const PAST: Duration = Duration::from_secs(30);
/// ... ends so long before the first queue, ...
const CALM_MARGIN: Duration = Duration::from_millis(500);
/// ... and must be so long, seconds.
const LEAST_CALM_S: f64 = 2.0;
/// Sessions and queue are counted at different instants: as one number they may differ by so much.
const COUNTED_WITHIN: f64 = 1.1;
/// Processes that are named; more are counted.
pub const MOST_NAMED: usize = 3;
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

/// As far back from `at` as a time without a queue says what the same load asks for: at most half a minute, without the warm-up.
pub fn past(timeline: &Timeline, at: RunTime) -> Span {
    let plan = timeline.plan();
    let since = window::same_load_since(plan, at).max(plan.warm_from());
    Span::new(since.max(at.back(PAST)), at)
}

/// How often a second something ended in `lanes` within `past`, before anybody waited at `onset`; none where that is too little to tell.
pub fn rate_before<'a>(lanes: impl Iterator<Item = &'a Series>, past: Span, onset: RunTime) -> Option<f64> {
    let calm = Span::new(past.start, onset.back(CALM_MARGIN));
    let told: Vec<&(Span, Sparse)> = lanes.flat_map(|s| s.intervals_within(calm)).collect();
    let from = told.iter().map(|i| i.0.start).min()?;
    let to = told.iter().map(|i| i.0.end).max()?;
    let (seconds, count) =
        (window::seconds(Span::new(from, to)), told.iter().map(|i| i.1.count()).sum::<u64>());
    (seconds >= LEAST_CALM_S && count >= LAW_SERVED).then(|| count as f64 / seconds)
}

/// How it is known what a load wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// By what comes now, and by how few of the sessions wait.
    Now,
    /// By what the same load asked for before anybody waited.
    Before,
    /// It is more than what comes now, and nobody can tell how much: most sessions wait, and so ask for nothing.
    AtLeast,
}

/// What a load wants of servers, were nobody to wait.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// So often a second.
    pub rate: f64,
    /// For so long on average, ns.
    pub time: f64,
    /// How the rate is known.
    pub known: Known,
    /// Those who wait, and the servers there are.
    waiting: f64,
    servers: f64,
    /// Sessions that are open; none where requests come on their own.
    open: Option<f64>,
    /// The same where each has one server at most, so that no more can be busy.
    most: Option<f64>,
}

impl Wanted {
    /// Of the `arrivals` a second that ask for one of `servers` for `time` (ns) while `waiting` wait in `span`, and of what came
    /// `before` anybody did.
    ///
    /// Sessions that wait do not ask again: with `n` sessions of which `q` wait, the others ask at the rate of `n - q`, so all of them would
    /// ask `1 / (1 - q/n)` times as often. (The interactive response time law with the wait taken out.) That holds for sessions that pause, by
    /// chance, between requests. Those with a fixed pace fall behind and make up for it without a pause, and those that never pause ask for as
    /// many servers as there are sessions. So it is believed up to what the same load asked for before, and not at all where most wait.
    pub fn of(
        timeline: &Timeline,
        span: Span,
        arrivals: f64,
        time: f64,
        (waiting, servers): (f64, f64),
        before: Option<f64>,
    ) -> Self {
        let open = median(window::sessions(timeline, span)).filter(|&n| n >= 1.0);
        let share = open.map_or(0.0, |n| (waiting / n).min(1.0));
        let all = (share <= MOST_WAITING).then(|| arrivals / (1.0 - share));
        // A load that now asks for more than before is another one.
        let before = before.filter(|&b| open.is_some() && b >= (1.0 - LAW_TOLERANCE) * arrivals);
        let (rate, known) = match (all, before) {
            (Some(all), None) => (all, Known::Now),
            (Some(all), Some(before)) if all <= before => (all, Known::Now),
            (_, Some(before)) => (before.max(arrivals), Known::Before),
            (None, None) => (arrivals, Known::AtLeast),
        };
        // Where more wait and are served than there are sessions, some ask for several at once.
        let most = open.filter(|n| waiting + servers <= COUNTED_WITHIN * n);
        let rate = most.map_or(rate, |n| rate.min(n / (time / 1e9)));
        Self { rate, time, known, waiting, servers, open, most }
    }

    /// Servers busy on average.
    pub fn busy(&self) -> f64 {
        self.rate * self.time / 1e9
    }

    /// The same as whole servers; where it is at least so many, one more than there are.
    pub fn needed(&self) -> f64 {
        let whole = (self.busy() - 1e-9).ceil();
        if self.known == Known::AtLeast { whole.max(self.servers + 1.0) } else { whole }
    }

    /// Servers with which few wait, in each of `processes` that are loaded alike; more than there are now, since somebody waits for those,
    /// and not more than there are sessions.
    pub fn each(&self, processes: usize) -> f64 {
        let n = processes.max(1) as f64;
        let most = self.most.map_or(f64::INFINITY, |sessions| (sessions / n).ceil());
        staffed(self.busy() / n).min(most).max((self.servers / n).floor() + 1.0)
    }

    /// The advice that follows, as the rest of a sentence without its full stop: `from 3 to 10 in each of 2 processes: ...`. There may be
    /// `others` for whose servers nobody waits. The mean of those that are busy may be known to so much of itself on either side, by its 95 %
    /// interval.
    pub fn advice(&self, processes: usize, others: bool, within: Option<f64>) -> String {
        let (n, each) = (processes.max(1) as f64, self.each(processes));
        let place = match (processes, others) {
            (_, true) => " in each process".to_owned(),
            (2.., false) => format!(" in each of {processes} processes"),
            _ => String::new(),
        };
        let to = format!("from {} to {each}{place}", Unit::Count.show(self.servers / n));
        if let Some(why) = self.unknown() {
            return format!("{to} and look again: {why}, and those that never pause use one each");
        }
        if let Some(sessions) = self.most.filter(|_| staffed(self.busy() / n) > each) {
            return format!(
                "{to}: more than one for each of the {} is never used",
                plural(sessions, "session")
            );
        }
        let in_each = if processes > 1 { " in each" } else { "" };
        let busy = self.busy() / n;
        let interval = within.map_or(String::new(), |w| {
            format!(" (95 % interval {:.1} to {:.1})", busy * (1.0 - w).max(0.0), busy * (1.0 + w))
        });
        format!(
            "{to}: {busy:.1} busy{in_each} on average{interval}, and so many more that fewer than 3 in 100 wait for one (Erlang C)"
        )
    }

    /// Why it may be more, as a part of a sentence; none where it is known how much it is.
    pub fn unknown(&self) -> Option<String> {
        let open = self.open.filter(|_| self.known == Known::AtLeast)?;
        let show = |n: f64| Unit::Count.show(n.round());
        Some(format!(
            "how many are enough cannot be told while {} of {} wait",
            show(self.waiting.min(open)),
            plural(open, "session")
        ))
    }
}

/// Whose servers they are, behind their number: ` of shop-0`; nothing where all processes are meant.
pub fn whose(names: &[&str], all: usize) -> String {
    match names.len() {
        n if n >= all => String::new(),
        n if n > MOST_NAMED => format!(" of {n} of {all} processes"),
        _ => format!(" of {}", names.join(" and ")),
    }
}

/// The fewest servers with which at most [`MAY_WAIT`] of those who come wait, where `busy` of them are busy on average: Erlang's formula for
/// arrivals by chance (Erlang C), one at least.
pub fn staffed(busy: f64) -> f64 {
    if !(0.0..MANY).contains(&busy) {
        return (busy + STAFFING * busy.max(0.0).sqrt()).ceil().max(1.0);
    }
    // All who find every server taken are lost (Erlang B), from one number of servers to the next.
    let (mut servers, mut lost) = (0.0, 1.0);
    loop {
        servers += 1.0;
        lost = busy * lost / (servers + busy * lost);
        if busy < servers && lost * servers / (servers - busy * (1.0 - lost)) <= MAY_WAIT {
            return servers;
        }
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

#[cfg(test)]
mod tests {
    use super::staffed;

    #[test]
    fn fewer_than_three_in_a_hundred_wait_at_any_size() {
        let known =
            [(0.0, 1.0), (0.02, 1.0), (1.0, 4.0), (2.0, 6.0), (5.0, 11.0), (25.0, 36.0), (1e4, 10_200.0)];
        for (busy, servers) in known {
            assert_eq!(staffed(busy), servers, "{busy}");
        }
        // Where it is exact and where it is a limit it tells about the same.
        assert!((staffed(9_999.9) - 10_200.0).abs() <= 5.0, "{}", staffed(9_999.9));
    }
}
