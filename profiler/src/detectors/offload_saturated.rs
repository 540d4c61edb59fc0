//! Offload saturated: tasks wait for a thread of the offload pool.
//!
//! **Claim.** Work that was moved off the loop queues for longer than it runs, since all threads are taken. **Reads**
//! `offload.{capacity,busy,queued,wait,run}`, `loop.utilisation`, `process.cpu`, `host.cpu`. **Needs** capacity and `queued`. **Statistic.** A tick of one process (100 ms) is *full* when
//! tasks wait while (nearly) all threads are busy, and so are those that were not told, up to 2 s of them, between two that are (a loop that is
//! starved tells of its pool once in each turn); half of the last 3 s must be (two thirds while the load settles), and the queue must be worth
//! it: the 90th percentile of the wait reaches the median run and 25 ms, or as many tasks wait as there are threads.
//! A *crowded* pool is one without so many full ticks, in which one task of ten waits for 25 ms or more over 6 s, and which has fewer threads than
//! are wanted so that few wait for what they do. Where a pool is told more seldom (a metrics page, OTLP), each reading is a tick, six of them are the
//! least window, and all must be full. Pools of different names are looked at each for itself. **Law.** By the utilisation law full threads end capacity / run tasks a second; where the rate seen agrees, the finding is
//! confirmed. Threads needed: Little's law on what is asked for, the growth of the
//! queue and what waiting sessions do not ask for among it, and so many more that few wait; none are told where full threads do not end what the law says.
//!
//! Whether something else keeps the threads (a database, a lock, no core left) is for [`crate::causes`]; where the
//! machine is taken by others, nothing is said.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Series, Severity, Span, Status, Timeline, Unit};

use super::queueing::{
    self, CAPACITY_CARRY, Known, LASTING_S, LAW_SERVED, LAW_TOLERANCE, NOTICED_NS, SETTLE, Wanted,
};
use super::readings::{CELL, Grid, LEAST_READINGS};
use super::{ALONE, Answer, Claim, ONSET, cannot_tell, episodes, evidence, plural, quiet, they};
use crate::stats::{Durations, trend};
use crate::window;

/// How far back full ticks are followed for the onset, seconds.
const BACK_S: f64 = 12.0;
/// Window of the rule for a crowded pool, seconds, ...
const CROWDED_S: f64 = 6.0;
/// ... its least tasks: a tenth of them is known to a quarter of itself, ...
const CROWDED_TASKS: u64 = 150;
/// ... and the share of them that wait for 25 ms or more: three times what is left where there are enough.
const CROWDED_SHARE: f64 = 0.1;
/// A tick opens an episode only with so many full ones after it within a second: stray ones do not.
const EPISODE_TICKS: usize = 4;
/// Ticks that were not told for so long, between two full ones, were full: a queue that drained meanwhile would have to be there again.
const UNTOLD: Duration = Duration::from_secs(2);
/// Least tasks for a quantile.
const LEAST_TASKS: u64 = 10;
/// Cores a process uses for each busy thread, from which on the threads compute rather than wait.
const COMPUTES: f64 = 0.25;
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at the offload pools of all processes.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::OFFLOAD_CAPACITY, names::OFFLOAD_QUEUED]) {
        return cannot;
    }
    let grid = Grid::of(timeline, names::OFFLOAD_QUEUED, at);
    let read = timeline.named(names::OFFLOAD_QUEUED).any(|s| s.points.len() >= LEAST_READINGS);
    let pools = window::subjects(timeline, names::OFFLOAD_QUEUED);
    let claims = pools.into_iter().filter_map(|name| find(timeline, name, at, grid));
    Answer::of(claims, read, grid.seconds(LASTING_S))
}

/// The pool of one process.
struct Pool<'a> {
    name: &'a str,
    capacity: f64,
    /// Full ticks, the last [`BACK_S`].
    full: Vec<RunTime>,
    queued: &'a Series,
    threads: &'a Series,
    busy: Option<&'a Series>,
    wait: Option<&'a Series>,
    run: Option<&'a Series>,
}

fn find(timeline: &Timeline, name: &str, at: RunTime, grid: Grid) -> Option<Claim> {
    let span = window::last(at, grid.seconds(LASTING_S));
    let settling = window::unsettled(timeline.plan(), at, SETTLE);
    let mut queues: Vec<&Series> = window::about(timeline, names::OFFLOAD_QUEUED, name).collect();
    queues.sort_by(|a, b| a.spec.instance.cmp(&b.spec.instance));
    let pools: Vec<Pool> = queues.into_iter().filter_map(|q| pool(timeline, q, at, grid)).collect();
    let all = pools.len();
    let full = |p: &Pool, span: Span| p.full.iter().filter(|t| **t >= span.start).count();
    let least = |p: &Pool| queueing::lasting_cells(grid, p.queued, span, settling);
    let (saturated, others): (Vec<Pool>, Vec<Pool>) =
        pools.into_iter().partition(|p| full(p, span) >= least(p));
    if !saturated.is_empty() {
        let seen = Seen::read(&saturated, all, span, grid, true);
        let holds = seen.worth_it() && !starved(timeline, span, &seen);
        return holds.then(|| claim(timeline, at, &saturated, &seen));
    }
    let long = window::last(at, grid.seconds(CROWDED_S));
    let crowded: Vec<Pool> = others.into_iter().filter(|p| full(p, long) >= EPISODE_TICKS).collect();
    let seen = Seen::read(&crowded, all, long, grid, false);
    let holds = !settling && seen.crowded() && !starved(timeline, long, &seen);
    holds.then(|| claim(timeline, at, &crowded, &seen))
}

/// The pool whose queue is `queued`: the other lanes are those of the same name of the same process.
fn pool<'a>(timeline: &'a Timeline, queued: &'a Series, at: RunTime, grid: Grid) -> Option<Pool<'a>> {
    let (instance, subject) = (&queued.spec.instance, &queued.spec.subject);
    let of = |name: &str| {
        timeline.named(name).find(|s| s.spec.instance == *instance && s.spec.subject == *subject)
    };
    let threads = of(names::OFFLOAD_CAPACITY)?;
    let busy = of(names::OFFLOAD_BUSY);
    let back = window::last(at, grid.seconds(BACK_S));
    let full = full_ticks(queued, threads, busy, back, grid);
    // As it was then: somebody may have mended it since.
    let capacity = threads.at(full.last().copied().unwrap_or(at), CAPACITY_CARRY)?;
    let (wait, run) = (of(names::OFFLOAD_WAIT), of(names::OFFLOAD_RUN));
    Some(Pool { name: subject, capacity, full, queued, threads, busy, wait, run })
}

/// The ticks of `span` in which tasks wait while (nearly) all threads are busy, told or between two that are told.
fn full_ticks(
    queued: &Series,
    threads: &Series,
    busy: Option<&Series>,
    span: Span,
    grid: Grid,
) -> Vec<RunTime> {
    let is_full = |&&(t, n): &&(RunTime, f64)| {
        let threads = threads.at(t, CAPACITY_CARRY).unwrap_or(0.0);
        queueing::all_taken(n, busy.and_then(|b| b.at(t, grid.carry())), threads)
    };
    let told = queued.within(span);
    let mut ticks: Vec<RunTime> = told.iter().filter(is_full).map(|p| p.0).collect();
    if !grid.seldom() {
        let both = told.windows(2).filter(|w| w.iter().all(|p| is_full(&p)));
        let apart = both.filter(|w| w[1].0.since(w[0].0) <= UNTOLD);
        ticks.extend(apart.flat_map(|w| between(w[0].0, w[1].0)));
        ticks.sort_unstable();
    }
    ticks
}

/// The ticks between two that are apart.
fn between(a: RunTime, b: RunTime) -> impl Iterator<Item = RunTime> {
    let apart = b.since(a).div_duration_f64(CELL).round() as u32;
    (1..apart).map(move |n| a + CELL * n)
}

/// The first full tick that others follow.
fn first_episode(full: &[RunTime]) -> Option<RunTime> {
    let followed = |t: &RunTime| {
        full.iter().filter(|u| *u >= t && u.since(*t) < Duration::from_secs(1)).count() >= EPISODE_TICKS
    };
    full.iter().copied().find(followed)
}

impl Pool<'_> {
    /// The first full tick that others follow; of a crowded pool, the first.
    fn onset(&self) -> Option<RunTime> {
        first_episode(&self.full).or(self.full.first().copied())
    }
}

/// Figures of the saturated pools over the window.
struct Seen {
    /// The pools' name, where they have one.
    name: String,
    grid: Grid,
    span: Span,
    /// Are the threads full for most of it?
    lasting: bool,
    pools: usize,
    /// There are others of the same name that are not full.
    others: bool,
    /// ` of shop-0`; empty where it is all of them.
    whose: String,
    capacity: f64,
    queued: f64,
    growth: f64,
    wait: Durations,
    run: Durations,
    /// Tasks that ended per second.
    rate: f64,
}

impl Seen {
    fn read(pools: &[Pool], all: usize, span: Span, grid: Grid, lasting: bool) -> Self {
        let wait = Durations::of(pools.iter().filter_map(|p| p.wait).flat_map(|l| l.intervals_within(span)));
        let run = Durations::of(pools.iter().filter_map(|p| p.run).flat_map(|l| l.intervals_within(span)));
        let each = |p: &Pool| {
            let points = p.queued.within(span);
            points.iter().map(|q| q.1).sum::<f64>() / points.len().max(1) as f64
        };
        let slope = |p: &Pool| {
            let points: Vec<_> = p.queued.within(span).iter().map(|q| (q.0.as_secs_f64(), q.1)).collect();
            trend(&points).filter(|t| t.rising > 0.75).map_or(0.0, |t| t.slope.max(0.0))
        };
        let instances: Vec<&str> = pools.iter().map(|p| p.queued.spec.instance.as_str()).collect();
        Self {
            name: pools.first().map_or(String::new(), |p| p.name.to_owned()),
            grid,
            span,
            lasting,
            pools: pools.len(),
            others: pools.len() < all,
            whose: queueing::whose(&instances, all),
            capacity: pools.iter().map(|p| p.capacity).sum(),
            queued: pools.iter().map(each).sum(),
            growth: pools.iter().map(slope).sum(),
            wait,
            rate: run.count() as f64 / window::seconds(span),
            run,
        }
    }

    /// What it is called in a sentence, wherever it is.
    fn name(&self) -> String {
        if self.name.is_empty() { "the offload pool".to_owned() } else { format!("pool {}", self.name) }
    }

    /// And whose it is.
    fn pool(&self) -> String {
        self.name() + &self.whose
    }

    fn wait_p90(&self) -> f64 {
        self.wait.quantile_ns(0.9).unwrap_or(0.0)
    }

    /// Is the queue long for what is queued for?
    fn worth_it(&self) -> bool {
        match self.run.quantile_ns(0.5).filter(|_| self.wait.count() >= LEAST_TASKS) {
            Some(run) => self.wait_p90() >= run.max(NOTICED_NS),
            // Who sends a task of its own there to see how long it waits knows of no other's run, and of no more than one that waits.
            None => {
                self.queued >= self.capacity
                    || self.wait.count() >= LEAST_TASKS && self.wait_p90() >= NOTICED_NS
            }
        }
    }

    /// Do so many tasks wait, and so long, as too few threads make them?
    fn crowded(&self) -> bool {
        let busy = self.rate * self.run.mean_ns().unwrap_or(0.0) / 1e9;
        // Each process has threads of its own.
        let each = busy / self.pools.max(1) as f64;
        let staffed = self.pools as f64 * queueing::staffed(each);
        let waited = self.wait.longer_than(NOTICED_NS) as f64;
        self.wait.count() >= CROWDED_TASKS
            && waited >= CROWDED_SHARE * self.wait.count() as f64
            && self.capacity < staffed
    }

    /// Tasks that full threads end in a second.
    fn law(&self) -> Option<f64> {
        self.run.mean_ns().map(|run| self.capacity / (run / 1e9))
    }

    /// How far the rate is from the law's, as a share of that; none as long as too little was seen.
    fn law_error(&self) -> Option<f64> {
        let law = self.law().filter(|_| self.run.count() >= LAW_SERVED)?;
        Some((self.rate / law - 1.0).abs())
    }

    fn law_agrees(&self) -> bool {
        self.law_error().is_some_and(|e| e <= LAW_TOLERANCE)
    }

    /// Do threads that are full all the time not end what they should? Of those that are not, the law says nothing.
    fn law_fails(&self) -> bool {
        self.lasting && self.law_error().is_some_and(|e| e > LAW_TOLERANCE)
    }

    /// What the load wants of the threads, were nobody to wait: what ends, what the queue grows by, and what sessions that wait do not ask
    /// for. A run counts for the window's length at most.
    fn wanted(&self, timeline: &Timeline, at: RunTime, pools: &[Pool]) -> Option<Wanted> {
        let run = self.run.mean_up_to_ns(window::seconds(self.span) * 1e9).filter(|_| !self.law_fails())?;
        let past = queueing::past(timeline, at);
        let begins = |p: &Pool| first_episode(&full_ticks(p.queued, p.threads, p.busy, past, self.grid));
        let onset = pools.iter().filter_map(begins).min();
        let before = onset.and_then(|t| queueing::rate_before(pools.iter().filter_map(|p| p.run), past, t));
        let queue = (self.queued, self.capacity);
        Some(Wanted::of(timeline, self.span, self.rate + self.growth, run, queue, before))
    }
}

/// Have others the machine, and do the threads want it? Threads that wait need no core.
fn starved(timeline: &Timeline, span: Span, seen: &Seen) -> bool {
    let cores = window::cores_used(timeline, names::PROCESS_CPU, span);
    queueing::machine_is_taken(timeline, span) && cores.is_none_or(|used| used >= COMPUTES * seen.capacity)
}

fn claim(timeline: &Timeline, at: RunTime, pools: &[Pool], seen: &Seen) -> Claim {
    let onset = pools.iter().filter_map(Pool::onset).min().unwrap_or(seen.span.start);
    let ticks: Vec<Span> = pools
        .iter()
        .flat_map(|p| &p.full)
        .filter(|t| **t >= onset)
        .map(|t| Span::new(*t, *t + CELL))
        .collect();
    let last = ticks.iter().map(|s| s.start).max().unwrap_or(at);
    let critical = queueing::hurts(seen.wait_p90(), seen.queued, seen.capacity);
    let against = contradicting(timeline, seen);
    let wanted = seen.wanted(timeline, at, pools);
    Claim {
        kind: FindingKind::OffloadSaturated,
        identity: seen.name.clone(),
        subject: seen.name.clone(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if seen.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last,
        quiet: quiet(Some(seen.grid.length()), QUIET, QUIET),
        weight: seen.wait_p90().max(seen.queued),
        claim: sentence(seen, wanted.as_ref()),
        evidence: supporting(timeline, seen),
        advice: advice(seen, wanted.as_ref(), &against),
        remedies: remedies(seen, wanted.as_ref(), &against),
        contradicting: against.into_iter().chain(told_by_law(seen).filter(|_| seen.law_fails())).collect(),
        missing: if seen.run.count() == 0 { vec![names::OFFLOAD_RUN.to_owned()] } else { Vec::new() },
        episodes: episodes(ticks, seen.grid.length() * 2),
        sort: "",
    }
}

fn sentence(seen: &Seen, wanted: Option<&Wanted>) -> String {
    let lasting = Duration::from_secs_f64(seen.grid.seconds(LASTING_S) + 1.0);
    let mut text = format!(
        "all {} of {} are busy {}from {ONSET} while {} for one",
        plural(seen.capacity, "thread"),
        seen.pool(),
        if seen.span.length() > lasting { "again and again " } else { "" },
        if seen.queued < 1.5 {
            "1 task waits".to_owned()
        } else {
            format!("{} wait", plural(seen.queued, "task"))
        }
    );
    if let Some(run) = seen.run.quantile_ns(0.5).filter(|_| seen.wait.count() > 0) {
        text += &format!(", wait p90 {} for a run of {}", Unit::Ns.show(seen.wait_p90()), Unit::Ns.show(run));
    }
    if let Some(wanted) = wanted.filter(|w| w.needed() > seen.capacity) {
        let why = wanted.unknown().map_or(String::new(), |why| format!(": {why}"));
        text += &format!("{ALONE}; the load needs at least {}{why}", wanted.needed());
    }
    text
}

fn supporting(timeline: &Timeline, seen: &Seen) -> Vec<Evidence> {
    let text = format!(
        "{} wait on average while all {} threads are busy",
        plural(seen.queued, "task"),
        Unit::Count.show(seen.capacity)
    );
    let mut list = vec![evidence(text, names::OFFLOAD_QUEUED, seen.span, seen.queued, Unit::Count)];
    if let Some(run) = seen.run.quantile_ns(0.5).filter(|_| seen.wait.count() > 0) {
        let text = format!(
            "{}: wait p90 {}, {:.1} times the median run of {}",
            plural(seen.wait.count() as f64, "task"),
            Unit::Ns.show(seen.wait_p90()),
            seen.wait_p90() / run,
            Unit::Ns.show(run)
        );
        list.push(evidence(text, names::OFFLOAD_WAIT, seen.span, seen.wait_p90(), Unit::Ns));
    }
    list.extend(told_by_law(seen).filter(|_| !seen.law_fails()));
    if let Some(busy) = window::typical(timeline, names::LOOP_UTILISATION, seen.span) {
        let text = format!("meanwhile the loop is busy for {} of the time", Unit::Ratio.show(busy));
        list.push(evidence(text, names::LOOP_UTILISATION, seen.span, busy, Unit::Ratio));
    }
    list
}

/// What the law says to it.
fn told_by_law(seen: &Seen) -> Option<Evidence> {
    let law = seen.law()?;
    let text = format!(
        "utilisation law: {} threads at a mean run of {} end {} tasks/s, seen {}: they {}",
        Unit::Count.show(seen.capacity),
        Unit::Ns.show(seen.run.mean_ns().unwrap_or(0.0)),
        Unit::Count.show(law.round()),
        Unit::Count.show(seen.rate.round()),
        they(seen.law_agrees(), seen.law_fails())
    );
    Some(evidence(text, names::OFFLOAD_RUN, seen.span, law, Unit::PerSecond))
}

/// The CPU is short: more threads would only share what there is.
fn contradicting(timeline: &Timeline, seen: &Seen) -> Vec<Evidence> {
    let cores = window::cores_used(timeline, names::PROCESS_CPU, seen.span);
    let computes = cores.is_some_and(|used| used >= COMPUTES * seen.capacity);
    let short = queueing::cpu_is_short(timeline, seen.span, "runs").filter(|_| computes);
    short.into_iter().collect()
}

fn remedies(seen: &Seen, wanted: Option<&Wanted>, against: &[Evidence]) -> Vec<Remedy> {
    // A setting names no pool among several.
    let wanted = wanted.filter(|_| against.is_empty() && seen.name.is_empty());
    wanted.map(|w| Remedy::number("offload.threads", w.each(seen.pools))).into_iter().collect()
}

fn advice(seen: &Seen, wanted: Option<&Wanted>, against: &[Evidence]) -> Vec<String> {
    if !against.is_empty() {
        return vec![
            "Make what the tasks compute cheaper (a profile names the function), or give the target more cores or less of it to do.".to_owned(),
            format!(
                "Leave {} at {} until then: with no CPU left, more of them only share what there is.",
                seen.pool(),
                plural(seen.capacity, "thread")
            ),
        ];
    }
    // What fills them is the cause's to cure, where there is one.
    threads(seen, wanted).into_iter().map(|line| ALONE.to_owned() + &line).collect()
}

fn threads(seen: &Seen, wanted: Option<&Wanted>) -> Vec<String> {
    if seen.law_fails() {
        return vec![format!(
            "Find out what keeps the threads of {}, and for how long: how many tasks ended does not fit how long they ran, so how many threads would be enough cannot be told.",
            seen.pool()
        )];
    }
    let Some(wanted) = wanted else {
        return vec![format!(
            "Give {} more threads until no task waits, or give it less to do.",
            seen.pool()
        )];
    };
    let mut list = vec![format!(
        "Raise the threads of {} {}; that is UV_THREADPOOL_SIZE in Node.js, max_blocking_threads in tokio.",
        seen.name(),
        wanted.advice(seen.pools, seen.others, None)
    )];
    if wanted.known != Known::AtLeast && wanted.busy() > seen.capacity {
        list.push(format!(
            "Or bring a run down from {} to {}, and {} threads are enough; what only waits (for a database, a name, a file) is better awaited than offloaded.",
            Unit::Ns.show(wanted.time),
            Unit::Ns.show(wanted.time * seen.capacity / wanted.busy() * 0.8),
            Unit::Count.show(seen.capacity)
        ));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::LaneSpec;

    /// Executors of one process on a page that is read each `every` ms: their names, and how many tasks wait for 10 threads.
    fn page(every: u64, executors: &[(&str, f64)], at_s: u64) -> Vec<Claim> {
        let lanes = executors.iter().flat_map(|&(name, queued)| {
            let told = [
                (names::OFFLOAD_CAPACITY, 10.0),
                (names::OFFLOAD_BUSY, if queued > 0.0 { 10.0 } else { 0.0 }),
                (names::OFFLOAD_QUEUED, queued),
            ];
            told.map(|(lane, n)| (LaneSpec::level(lane, "metrics-8080", Unit::Count).about(name), n))
        });
        let t = told_each(every, at_s * 1_000, lanes);
        match look(&t, RunTime::from_ms(at_s * 1_000)) {
            Answer::Looked(claims) => claims,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_executor_is_looked_at_however_seldom_it_is_told() {
        for every in [100, 1_000, 2_000, 15_000] {
            let found = page(every, &[("applicationTaskExecutor", 0.0), ("mails", 200.0)], 90);
            assert!(found.len() == 1 && found[0].subject == "mails", "{every}: {found:?}");
            assert!(found[0].claim.starts_with("all 10 threads of pool mails are busy from"), "{found:?}");
            assert!(page(every, &[("mails", 0.0)], 90).is_empty());
        }
        assert!(page(100, &[("", 200.0)], 90)[0].claim.starts_with("all 10 threads of the offload pool"));
    }
}
