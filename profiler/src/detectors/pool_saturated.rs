//! Pool saturated: more requests want a connection than the pool has.
//!
//! **Claim.** Requests queue for connections of a pool, and the queue, not the connection, is what they
//! spend their time on. **Reads** `pool.NAME.{capacity,in-use,waiters,wait,hold,timeouts}`,
//! `client.open-sessions`, `host.cpu`. **Needs** `waiters` and `capacity`, and either `wait` with `hold`, or a queue as
//! deep as the pool. **Statistic.** An interval of one instance (100 ms, as sources tick) is *saturated* when somebody
//! waits while (nearly) all connections are out, or when several acquisitions in it waited longer than
//! a median hold. Two rules, both over many intervals: *sustained* (half of the last 3 s) and
//! *bursts* (half a second within 6 s, and whole pools queue ahead of the median waiter). Where a pool is told more seldom (a metrics
//! page, OTLP), each reading is an interval, six of them are the least window, and *sustained* is all of it. **Law.** By the
//! utilisation law a full pool serves capacity / hold; where the rate seen agrees, the finding is confirmed. The capacity that the
//! load needs is Little's law on the arrivals, which a closed loop of sessions lowers while they wait (see `Demand`); none is told where the
//! utilisation law fails. Figures are of the processes whose pools are full, and what is advised is for each of them.
//!
//! Utilisation alone is never blamed, only queueing. Whether something else filled the pool is for
//! [`crate::causes`].

use std::collections::BTreeSet;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

mod advice;
mod demand;

use self::demand::Demand;
use super::queueing::{
    self, CAPACITY_CARRY, Known, LASTING_S, LAW_SERVED, LAW_TOLERANCE, NOTICED_NS, SETTLE,
};
use super::readings::{CELL, Grid, LEAST_READINGS, cell};
use super::{ALONE, Answer, Claim, ONSET, episodes, evidence, plural, quiet, they};
use crate::stats::{Durations, longer_than};
use crate::window;

/// Window of the rule for bursts, seconds: two expiries of a cache that keeps things for 2 to 3 s.
const BURST_WINDOW_S: f64 = 6.0;
/// Saturated cells that the burst rule wants: half a second, never one sample.
const BURST_CELLS: usize = 5;
/// A process's pool is full with the others' if it has as large a part of the saturated cells of the fullest one.
const FULL_SHARE: f64 = 0.5;
/// Saturated cells, less unsaturated ones, that make an episode; a healthy pool of 8 at 70% load (0.19) strings
/// three together once in 150 cells, four once in 800.
const EPISODE_CELLS: i64 = 4;
/// What the warm-up, or the start of a process, has left in the queue drains within so long, if it does ...
const DRAINS: Duration = Duration::from_secs(6);
/// ... without a break of so long.
const BREAK: Duration = Duration::from_millis(500);
/// In bursts: median wait over median hold. In M/M/c the waiting ones wait `ln 2 / (c (1 - load))` holds in the
/// median: 0.58 for 4 connections at 70% load, 0.87 at 80%. One and a half means that a whole pool queues ahead.
const BURST_MEDIAN_HOLDS: f64 = 1.5;
/// In bursts: p99 of wait over median hold.
const BURST_P99_HOLDS: f64 = 3.0;
/// When it lasts: p99 of wait over median hold.
const SUSTAINED_P99_HOLDS: f64 = 1.0;
/// Acquisitions below which a quantile is not worth its name.
const LEAST_ACQUISITIONS: u64 = 20;
/// Waits longer than a hold that make an interval saturated by itself.
const LONG_WAITS: u64 = 5;
/// Saturated cells for the law to be tried: one second.
const LAW_CELLS: usize = 10;
/// Growth of the hold time that contradicts a pool that is merely too small.
const HOLD_GROWTH: f64 = 1.5;
/// Silence after which the saturation has ended.
const QUIET: Duration = Duration::from_secs(8);

/// Looks at every pool.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut pools = timeline.members(names::POOL);
    pools.retain(|p| {
        window::told(timeline, &lane(p, "waiters")) && window::told(timeline, &lane(p, "capacity"))
    });
    if pools.is_empty() {
        return Answer::CannotTell(vec!["pool.NAME.waiters".to_owned(), "pool.NAME.capacity".to_owned()]);
    }
    let read = |p: &&String| timeline.named(&lane(p, "waiters")).any(|s| s.points.len() >= LEAST_READINGS);
    let grids = pools.iter().filter(|p| !read(p)).map(|p| Grid::of(timeline, &lane(p, "waiters"), at));
    // The longest of those that nothing can be said of yet.
    let wanted = grids.map(|g| g.seconds(LASTING_S)).reduce(f64::max);
    let claims = pools.iter().filter_map(|p| look_at(timeline, at, p));
    Answer::of(claims, wanted.is_none(), wanted.unwrap_or(LASTING_S))
}

fn lane(pool: &str, part: &str) -> String {
    names::of(names::POOL, pool, part)
}

/// From when on a queue counts: once the target is warm, and so is a process that has taken another one's place, which compiles, fills its
/// caches and opens its connections beside the others.
fn settled(timeline: &Timeline, pool: &str, at: RunTime, grid: Grid) -> RunTime {
    let recent = window::last(at, DRAINS.as_secs_f64() + BURST_WINDOW_S);
    let instances = window::instances(timeline, &lane(pool, "waiters"));
    let anew = instances.iter().filter_map(|i| window::restarted(timeline, i, recent)).max();
    warmed_up(timeline, pool, at, grid).max(anew.map_or(RunTime::ZERO, |began| began + DRAINS))
}

/// When the warm-up is over, if there is one, and its settling. A queue that has been there since the warm-up counts when it has not drained
/// for a while, since caches still fill.
fn warmed_up(timeline: &Timeline, pool: &str, at: RunTime, grid: Grid) -> RunTime {
    let warm = timeline.plan().warm_from();
    if warm == RunTime::ZERO || at > warm + DRAINS + Duration::from_secs_f64(BURST_WINDOW_S) {
        return warm;
    }
    let since = Span::new(warm.back(BREAK), at);
    let drained = window::instances(timeline, &lane(pool, "waiters"))
        .iter()
        .filter_map(|i| part(timeline, pool, i, since, grid))
        .map(|p| p.unbroken_from(warm))
        .max()
        .filter(|end| *end <= warm + DRAINS);
    (warm + SETTLE).max(drained.unwrap_or(warm))
}

/// One pool of one process over a window.
struct Part<'a> {
    grid: Grid,
    waiters: &'a Series,
    capacity: f64,
    /// Starts of saturated cells, and the instants at which they were seen.
    saturated: Vec<(u64, RunTime)>,
    wait: Option<&'a Series>,
    hold: Option<&'a Series>,
}

fn look_at(timeline: &Timeline, at: RunTime, pool: &str) -> Option<Claim> {
    let grid = Grid::of(timeline, &lane(pool, "waiters"), at);
    // A warm-up is there to fill caches and to log in, and what queues in it takes a while to drain.
    let settled = settled(timeline, pool, at, grid);
    if at <= settled {
        return None;
    }
    let [long, short] = [BURST_WINDOW_S, LASTING_S].map(|s| {
        let span = window::last(at, grid.seconds(s));
        Span::new(span.start.max(settled), span.end)
    });
    let parts: Vec<Part> = window::instances(timeline, &lane(pool, "waiters"))
        .iter()
        .filter_map(|i| part(timeline, pool, i, long, grid))
        .collect();
    let burst_cells = parts.iter().map(|p| p.saturated.len()).max()?;
    if burst_cells < BURST_CELLS {
        return None;
    }
    let settling = window::unsettled(timeline.plan(), at, SETTLE);
    let sustained = parts.iter().any(|p| p.lasts(short, settling));
    let all: Vec<&Part> = parts.iter().collect();
    let seen = Seen::read(timeline, pool, if sustained { short } else { long }, &all, grid);
    let holds = match (sustained, seen.wait.count() >= LEAST_ACQUISITIONS) {
        (true, true) => seen.waits_at_least(SUSTAINED_P99_HOLDS, 0.0),
        // Nothing was acquired, or the runtime times no waits: the queue itself must be as deep as the pool.
        (true, false) => seen.waiters_mean >= seen.capacity,
        (false, true) => !settling && seen.waits_at_least(BURST_P99_HOLDS, BURST_MEDIAN_HOLDS),
        (false, false) => false,
    };
    // A target that gets no CPU holds its connections for longer; that is not the pool's fault.
    let starved = queueing::machine_is_taken(timeline, seen.span);
    (holds && !starved).then(|| claim(timeline, at, pool, &parts, &seen))
}

/// The pool of `instance`; none where nothing was heard of it in `span`: who has gone has no connections, and nobody waits for them.
fn part<'a>(timeline: &'a Timeline, pool: &str, instance: &str, span: Span, grid: Grid) -> Option<Part<'a>> {
    let of = |part: &str| window::of_instance(timeline, &lane(pool, part), instance);
    let waiters = of("waiters").filter(|w| !w.within(span).is_empty())?;
    let capacity_lane = of("capacity")?;
    let capacity = capacity_lane.at(span.end, CAPACITY_CARRY)?;
    let (in_use, wait, hold) = (of("in-use"), of("wait"), of("hold"));
    let mut saturated: Vec<(u64, RunTime)> = Vec::new();
    for &(t, n) in waiters.within(span) {
        let then = capacity_lane.at(t, CAPACITY_CARRY).unwrap_or(capacity);
        if queueing::all_taken(n, in_use.and_then(|l| l.at(t, grid.carry())), then) {
            saturated.push((grid.cell(waiters, t), t));
        }
    }
    if let (Some(wait), Some(hold)) = (wait, hold) {
        let median_hold = Durations::of(hold.intervals_within(span)).quantile_ns(0.5);
        for interval in wait.intervals_within(span) {
            let many = LONG_WAITS * grid.ticks();
            let long = median_hold.is_some_and(|h| longer_than(&interval.1.cells, h) >= many);
            if long {
                saturated.push((grid.cell(waiters, interval.0.end), interval.0.end));
            }
        }
    }
    saturated.sort_unstable();
    saturated.dedup_by_key(|s| s.0);
    Some(Part { grid, waiters, capacity, saturated, wait, hold })
}

impl Part<'_> {
    fn instance(&self) -> &str {
        &self.waiters.spec.instance
    }

    /// Where the first episode of the window begins: +1 for each saturated cell and -1 for each other one,
    /// summed from zero (a CUSUM), reaches [`EPISODE_CELLS`]. Stray cells of a healthy pool lie too thin for it.
    fn onset(&self, at: RunTime) -> Option<RunTime> {
        let mut open: Option<(i64, RunTime, u64)> = None;
        for &(cell, t) in self.saturated.iter().filter(|s| s.1 <= at) {
            let (sum, start) = match open {
                Some((sum, start, before)) if sum > (cell - before) as i64 - 1 => {
                    (sum - (cell - before) as i64 + 2, start)
                }
                _ => (1, t),
            };
            open = Some((sum, start, cell));
            if sum >= EPISODE_CELLS {
                return Some(start);
            }
        }
        None
    }

    /// How long the pool has been saturated since `start`, but for short breaks.
    fn unbroken_from(&self, start: RunTime) -> RunTime {
        let mut all = self.saturated.iter().map(|s| s.1);
        all.try_fold(start, |end, t| if t <= end + BREAK { Ok(end.max(t)) } else { Err(end) })
            .unwrap_or_else(|end| end)
    }

    fn cells_from(&self, start: RunTime) -> usize {
        self.saturated.iter().filter(|s| s.1 >= start).count()
    }

    /// Is it saturated for most of `span`?
    fn lasts(&self, span: Span, settling: bool) -> bool {
        self.cells_from(span.start) >= queueing::lasting_cells(self.grid, self.waiters, span, settling)
    }

    /// The intervals of a histogram lane that end in a saturated cell.
    fn within<'s>(
        &'s self,
        lane: Option<&'s Series>,
        span: Span,
    ) -> impl Iterator<Item = &'s (Span, timeline::histogram::Sparse)> {
        let (grid, waiters, saturated) = (self.grid, self.waiters, &self.saturated);
        lane.into_iter()
            .flat_map(move |l| l.intervals_within(span))
            .filter(move |i| saturated.binary_search_by_key(&grid.cell(waiters, i.0.end), |s| s.0).is_ok())
    }
}

/// Figures of a pool, of some instances or all, over the saturated part of a window.
struct Seen {
    grid: Grid,
    span: Span,
    capacity: f64,
    waiters_peak: f64,
    waiters_mean: f64,
    wait: Durations,
    hold: Durations,
    /// Acquisitions per second of these instances while any of them is saturated.
    asked: Option<f64>,
    /// Acquisitions per second of saturated instances, what the law says they should be, and the connections that it counts.
    rate: Option<f64>,
    law: Option<f64>,
    out: f64,
    law_cells: usize,
    timeouts: f64,
}

impl Seen {
    fn read(timeline: &Timeline, pool: &str, span: Span, parts: &[&Part], grid: Grid) -> Self {
        let wait = Durations::of(parts.iter().flat_map(|p| p.within(p.wait, span)));
        let hold = Durations::of(parts.iter().flat_map(|p| p.within(p.hold, span)));
        let sums = summed(parts, span, (window::seconds(span) * 10.0) as u32, grid);
        let waiting: Vec<f64> = sums.iter().map(|s| s.1).filter(|&n| n >= 1.0).collect();
        // Seconds during which each instance was saturated, and connection-seconds that it had then.
        let (mut seconds, mut connection_seconds) = (0.0_f64, 0.0);
        for p in parts {
            let s = p.within(p.wait, span).map(|i| window::seconds(i.0)).sum::<f64>();
            seconds = seconds.max(s);
            connection_seconds += s * p.capacity;
        }
        let enough = seconds > 0.0 && wait.count() > 0;
        let law = hold.mean_ns().filter(|_| enough).map(|h| connection_seconds / (h / 1e9) / seconds);
        let gave_up = lane(pool, "timeouts");
        let timeouts =
            timeline.named(&gave_up).filter(|s| parts.iter().any(|p| p.instance() == s.spec.instance));
        // Of what a cell stands for, in ticks.
        let cells = parts.iter().map(|p| p.cells_from(span.start)).max().unwrap_or(0);
        Self {
            grid,
            span,
            capacity: parts.iter().map(|p| p.capacity).sum(),
            waiters_peak: waiting.iter().copied().fold(0.0, f64::max),
            waiters_mean: waiting.iter().sum::<f64>() / waiting.len().max(1) as f64,
            asked: asked(parts, span, grid),
            rate: enough.then(|| wait.count() as f64 / seconds),
            law,
            out: if enough { connection_seconds / seconds } else { 0.0 },
            law_cells: cells * grid.ticks() as usize,
            timeouts: window::counted_of(timeouts, span).unwrap_or(0.0),
            wait,
            hold,
        }
    }

    /// Those who wait for the connections of `parts`, `count` points of it.
    fn waiters(&self, parts: &[&Part], count: u32) -> Vec<(f64, f64)> {
        summed(parts, self.span, count, self.grid)
    }

    fn wait_p99(&self) -> f64 {
        self.wait.quantile_ns(0.99).unwrap_or(0.0)
    }

    fn waits_at_least(&self, p99_holds: f64, median_holds: f64) -> bool {
        let Some(hold) = self.hold.quantile_ns(0.5) else {
            return self.wait_p99() >= NOTICED_NS;
        };
        let median = self.wait.quantile_ns(0.5).unwrap_or(0.0);
        self.wait_p99() >= NOTICED_NS.max(p99_holds * hold) && median >= median_holds * hold
    }

    /// How far the rate is from the law's, as a share of that; none as long as too little was seen.
    fn law_error(&self) -> Option<f64> {
        let enough = self.law_cells >= LAW_CELLS && self.wait.count() >= LAW_SERVED;
        self.rate.zip(self.law).filter(|_| enough).map(|(rate, law)| (rate / law - 1.0).abs())
    }

    fn law_agrees(&self) -> bool {
        self.law_error().is_some_and(|e| e <= LAW_TOLERANCE)
    }

    fn law_disagrees(&self) -> bool {
        self.law_error().is_some_and(|e| e > LAW_TOLERANCE)
    }
}

/// Waiters of all these instances, see [`window::summed`].
fn summed(parts: &[&Part], span: Span, count: u32, grid: Grid) -> Vec<(f64, f64)> {
    let there = window::there(parts.iter().map(|p| p.waiters), span, grid.carry());
    window::summed_of(&there.collect::<Vec<_>>(), span, count, grid.carry())
}

/// The processes whose pools are full, and the figures of these alone: what another one has free is of no use to who waits here.
struct Full<'a> {
    parts: Vec<&'a Part<'a>>,
    /// ` of shop-0`; empty where it is all of them.
    whose: String,
    seen: Seen,
}

impl<'a> Full<'a> {
    fn read(timeline: &Timeline, pool: &str, parts: &'a [Part<'a>], span: Span, grid: Grid) -> Self {
        let cells = |p: &Part| p.cells_from(span.start) as f64;
        let most = parts.iter().map(cells).fold(0.0, f64::max);
        let full: Vec<&Part> = parts.iter().filter(|&p| cells(p) >= FULL_SHARE * most).collect();
        let names: Vec<&str> = full.iter().map(|p| p.instance()).collect();
        let whose = queueing::whose(&names, parts.len());
        let seen = Seen::read(timeline, pool, span, &full, grid);
        Self { parts: full, whose, seen }
    }
}

/// Acquisitions per second of all these instances over the cells in which any of them is saturated.
fn asked(parts: &[&Part], span: Span, grid: Grid) -> Option<f64> {
    let saturated = parts.iter().flat_map(|p| &p.saturated).filter(|s| s.1 >= span.start);
    if !grid.is_ticks() {
        // Intervals that are no ticks are of any length, and each instance is told at instants of its own.
        let instants: Vec<RunTime> = saturated.map(|s| s.1).collect();
        let rate = |p: &&Part| {
            let all = p.wait?.intervals_within(span).iter();
            let during = all.filter(|i| instants.iter().any(|t| i.0.start < *t && *t <= i.0.end));
            let of = during.map(|i| (i.1.count(), window::seconds(i.0)));
            let (count, seconds) = of.reduce(|a, b| (a.0 + b.0, a.1 + b.1))?;
            (count > 0).then(|| count as f64 / seconds)
        };
        return parts.iter().filter_map(rate).reduce(|a, b| a + b);
    }
    let cells: BTreeSet<u64> = saturated.map(|s| s.0).collect();
    let lanes = parts.iter().filter_map(|p| p.wait).flat_map(|l| l.intervals_within(span));
    let count: u64 = lanes.filter(|i| cells.contains(&cell(i.0.end))).map(|i| i.1.count()).sum();
    let seconds = cells.len() as f64 * CELL.as_secs_f64();
    (count > 0).then(|| count as f64 / seconds)
}

fn claim(timeline: &Timeline, at: RunTime, pool: &str, parts: &[Part], seen: &Seen) -> Claim {
    let onset = parts.iter().filter_map(|p| p.onset(at)).min().unwrap_or(at);
    let seen_at: Vec<Span> = parts
        .iter()
        .flat_map(|p| &p.saturated)
        .filter(|s| s.1 >= onset)
        .map(|s| Span::new(s.1, s.1 + CELL))
        .collect();
    let last = seen_at.iter().map(|s| s.start).max().unwrap_or(at);
    let full = Full::read(timeline, pool, parts, seen.span, seen.grid);
    // Where the law fails, some connections are not where it takes them to be: no figure follows from holds.
    let demand = Demand::of(timeline, pool, at, &full.parts, &full.seen).filter(|_| !seen.law_disagrees());
    let against = contradicting(timeline, pool, onset, seen);
    let law = law_line(pool, &full, they(seen.law_agrees(), seen.law_disagrees()));
    let untimed = seen.wait.count() == 0 || seen.hold.count() == 0;
    let critical = seen.timeouts >= 1.0 || queueing::hurts(seen.wait_p99(), seen.waiters_mean, seen.capacity);
    Claim {
        kind: FindingKind::PoolSaturated,
        identity: pool.to_owned(),
        subject: pool.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if seen.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last,
        quiet: quiet(Some(seen.grid.length()), QUIET, QUIET),
        weight: seen.wait_p99().max(seen.waiters_peak),
        claim: sentence(pool, &full, demand.as_ref()),
        evidence: supporting(pool, &full, law.clone().filter(|_| !seen.law_disagrees()), demand.as_ref()),
        advice: advice::lines(pool, &full, demand.as_ref(), &against, seen.law_disagrees()),
        remedies: advice::remedies(pool, &full, demand.as_ref(), &against),
        contradicting: against.into_iter().chain(law.filter(|_| seen.law_disagrees())).collect(),
        missing: if untimed { vec![lane(pool, "wait"), lane(pool, "hold")] } else { Vec::new() },
        episodes: episodes(seen_at, seen.grid.length() * 2),
        sort: "",
    }
}

fn sentence(pool: &str, full: &Full, demand: Option<&Demand>) -> String {
    let seen = &full.seen;
    let mut text = format!(
        "pool {pool} saturated from {ONSET}: {} on {}{}",
        plural(seen.waiters_peak, "waiter"),
        plural(seen.capacity, "connection"),
        full.whose
    );
    if seen.wait.count() > 0 {
        text += &format!(", wait p99 {}", Unit::Ns.show(seen.wait_p99()));
    }
    if let Some(wanted) = demand.map(|d| d.wanted) {
        text += ALONE;
        text += &match wanted.unknown() {
            Some(why) => format!("; the load needs at least {}: {why}", wanted.needed()),
            None => format!(
                "; the load needs {} (Little's law: {} x {})",
                wanted.needed(),
                Unit::PerSecond.show(wanted.rate.round()),
                Unit::Ns.show(wanted.time)
            ),
        };
    }
    text
}

fn supporting(pool: &str, full: &Full, law: Option<Evidence>, demand: Option<&Demand>) -> Vec<Evidence> {
    let seen = &full.seen;
    let mut list = Vec::new();
    if let (Some(p99), Some(hold)) = (seen.wait.quantile_ns(0.99), seen.hold.quantile_ns(0.5)) {
        let text = format!(
            "{} for a connection: wait p99 {}, {:.1} times the median hold of {}",
            plural(seen.wait.count() as f64, "request"),
            Unit::Ns.show(p99),
            p99 / hold,
            Unit::Ns.show(hold)
        );
        list.push(evidence(text, lane(pool, "wait"), seen.span, p99, Unit::Ns));
    }
    let waiters = plural(seen.waiters_peak, "waiter");
    let text = match full.parts.len() {
        // Each of several is full at times of its own.
        n @ 2.. => format!(
            "up to {waiters}; in each of {n} processes all {} connections were out",
            Unit::Count.show(seen.capacity / n as f64)
        ),
        _ => format!(
            "up to {waiters} while all {} connections{} were out",
            Unit::Count.show(seen.capacity),
            full.whose
        ),
    };
    list.push(evidence(text, lane(pool, "waiters"), seen.span, seen.waiters_peak, Unit::Count));
    list.extend(law);
    list.extend(demand.map(|d| demand_line(pool, seen, d)));
    if seen.timeouts >= 1.0 {
        let text = format!("{} gave up waiting", plural(seen.timeouts, "request"));
        list.push(evidence(text, lane(pool, "timeouts"), seen.span, seen.timeouts, Unit::Count));
    }
    list
}

/// What the load asks for, and what that keeps busy.
fn demand_line(pool: &str, seen: &Seen, demand: &Demand) -> Evidence {
    let wanted = &demand.wanted;
    let (rate, busy) = (Unit::Count.show(wanted.rate.round()), wanted.busy());
    let (low, high) = demand.interval();
    let interval = format!("(95 % interval {low:.1} to {high:.1})");
    let text = match wanted.known {
        Known::Now => {
            format!("the load asks {rate} times a second and keeps {busy:.1} connections busy {interval}")
        }
        Known::Before => format!(
            "the load asked {rate} times a second before anybody waited, which keeps {busy:.1} connections busy {interval}"
        ),
        Known::AtLeast => format!(
            "{rate} requests a second get a connection and keep {busy:.1} busy {interval}; those who wait ask for nothing else"
        ),
    };
    evidence(ALONE.to_owned() + &text, lane(pool, "wait"), seen.span, wanted.rate, Unit::PerSecond)
}

/// The utilisation law on the pools that are full, and what is made of it.
fn law_line(pool: &str, full: &Full, they: &str) -> Option<Evidence> {
    let seen = &full.seen;
    let (rate, law) = (seen.rate?, seen.law?);
    let at_once = if seen.capacity - seen.out < 0.5 { "" } else { ", not all of them out at once," };
    let text = format!(
        "utilisation law: {} connections{at_once} at a mean hold of {} serve {}, seen {}: they {they}",
        Unit::Count.show(seen.capacity),
        Unit::Ns.show(seen.hold.mean_ns().unwrap_or(0.0)),
        Unit::PerSecond.show(law),
        Unit::PerSecond.show(rate)
    );
    Some(evidence(text, lane(pool, "hold"), seen.span, law, Unit::PerSecond))
}

/// Signs that a bigger pool would only move the queue elsewhere.
fn contradicting(timeline: &Timeline, pool: &str, onset: RunTime, seen: &Seen) -> Vec<Evidence> {
    let mut list: Vec<Evidence> = queueing::cpu_is_short(timeline, seen.span, "holds").into_iter().collect();
    let before = Span::new(onset.back(Duration::from_secs(10)), onset.back(Duration::from_millis(500)));
    let usual = window::durations(timeline, &lane(pool, "hold"), before);
    if usual.count() >= LAW_SERVED
        && let (Some(usual), Some(now)) = (usual.quantile_ns(0.5), seen.hold.quantile_ns(0.5))
        && now >= HOLD_GROWTH * usual
    {
        let text = format!(
            "the median hold was {} before and is {} now: something behind the pool has slowed",
            Unit::Ns.show(usual),
            Unit::Ns.show(now)
        );
        list.push(evidence(text, lane(pool, "hold"), seen.span, now / usual, Unit::Count));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::histogram::Sparse;
    use timeline::{Entry, LaneId, LaneSpec};

    /// A pool of one instance as it is told, each `every` ms.
    #[derive(Clone, Copy)]
    struct Told {
        instance: &'static str,
        every: u64,
        from: u64,
        to: u64,
        capacity: f64,
        waiting: fn(u64) -> f64,
        /// 100 a second wait 250 ms for a connection that they hold for 100 ms.
        timed: bool,
    }

    const PAGE: Told = Told {
        instance: "metrics-1",
        every: 500,
        from: 0,
        to: 80_000,
        capacity: 10.0,
        waiting: |_| 40.0,
        timed: false,
    };

    fn tell(pools: &[Told]) -> Timeline {
        let mut t = Timeline::new();
        for told in pools {
            let mut lane = |spec: LaneSpec| {
                let id = LaneId(t.series().len() as u32);
                t.apply(&Entry::Lane(id, spec));
                id
            };
            let name = |part: &str| super::lane("db", part);
            let mut level = |part: &str| lane(LaneSpec::level(name(part), told.instance, Unit::Count));
            let levels = [level("capacity"), level("in-use"), level("waiters")];
            let mut times = |part: &str| lane(LaneSpec::histogram(name(part), told.instance));
            let (wait, hold) = (times("wait"), times("hold"));
            let mut at = told.from + told.every;
            while at <= told.to {
                let waiting = (told.waiting)(at / told.every);
                let in_use = if waiting > 0.0 { told.capacity } else { 0.0 };
                for (lane, value) in levels.into_iter().zip([told.capacity, in_use, waiting]) {
                    t.apply(&Entry::Sample { lane, at: RunTime::from_ms(at), value });
                }
                let n = if told.timed { (told.every / 10) as u32 } else { 0 };
                for (lane, us) in [(wait, 250_000), (hold, 100_000)].into_iter().filter(|_| n > 0) {
                    let span = Span::new(RunTime::from_ms(at - told.every), RunTime::from_ms(at));
                    t.apply(&Entry::Histogram { lane, span, cells: Sparse { cells: vec![(us, n)] } });
                }
                at += told.every;
            }
        }
        t
    }

    fn claims(t: &Timeline, at_s: u64) -> Vec<Claim> {
        match look(t, RunTime::from_ms(at_s * 1_000)) {
            Answer::Looked(claims) => claims,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_page_tells_now_and_then_is_asked_for_as_often_as_it_was() {
        for every in [200, 500, 1_000] {
            let one = Told { every, timed: true, ..PAGE };
            let found = claims(&tell(&[one]), 20);
            assert!(found[0].claim.contains("Little's law: 100/s x "), "{}", found[0].claim);
        }
        // Two pages out of phase.
        let one = Told { timed: true, ..PAGE };
        let two = Told { instance: "metrics-2", from: 250, timed: true, ..PAGE };
        let found = claims(&tell(&[one, two]), 20);
        assert!(found[0].claim.contains("Little's law: 200/s x "), "{}", found[0].claim);
    }

    #[test]
    fn a_queue_that_is_told_each_second_is_seen() {
        for every in [1_000, 2_000, 15_000] {
            let found = claims(&tell(&[Told { every, ..PAGE }]), 76);
            assert!(found.len() == 1 && found[0].claim.contains("40 waiters on 10 connections"), "{found:?}");
            let quiet = claims(&tell(&[Told { every, waiting: |n| (n % 2) as f64, ..PAGE }]), 76);
            assert!(quiet.is_empty(), "somebody waits now and then: {quiet:?}");
        }
        let few = look(&tell(&[Told { every: 15_000, to: 60_000, ..PAGE }]), RunTime::from_ms(61_000));
        assert_eq!(few, Answer::too_little(90.0));
    }

    #[test]
    fn what_other_processes_have_free_is_of_no_use_to_who_waits() {
        let full = Told { instance: "shop-0", every: 100, timed: true, ..PAGE };
        let free = Told { instance: "shop-1", timed: false, waiting: |_| 0.0, ..full };
        let found = claims(&tell(&[full, free]), 20);
        let said = &found[0];
        let line = |words: &str| said.evidence.iter().any(|e| e.text.contains(words));
        assert!(said.claim.contains("40 waiters on 10 connections of shop-0"), "{}", said.claim);
        assert!(line("up to 40 waiters while all 10 connections of shop-0 were out"), "{:?}", said.evidence);
        assert!(
            line("10 connections at a mean hold of 100 ms serve 100/s, seen 100/s"),
            "{:?}",
            said.evidence
        );
        // More than those that are in use in the one that is full, and the setting is every process's.
        let advised = |c: &Claim, words: &str| c.advice.iter().any(|a| a.contains(words));
        assert!(advised(said, "from 10 to 17 in each process: 9.7 busy on"), "{:?}", said.advice);
        assert_eq!(said.remedies, [timeline::Remedy::number("pool.db.capacity", 17.0)]);
        let both = claims(&tell(&[full, Told { instance: "shop-1", ..full }]), 20);
        assert!(both[0].claim.contains("80 waiters on 20 connections, wait"), "{}", both[0].claim);
        let each = "from 10 to 17 in each of 2 processes: 9.7 busy in each";
        assert!(advised(&both[0], each), "{:?}", both[0].advice);
    }

    #[test]
    fn the_pool_of_a_process_that_has_gone_counts_no_more() {
        let there = Told { instance: "pid-9", every: 100, ..PAGE };
        let gone =
            Told { instance: "pid-7", every: 100, to: 60_000, capacity: 20.0, waiting: |_| 0.0, ..PAGE };
        let found = claims(&tell(&[gone, there]), 68);
        assert!(found[0].claim.contains("40 waiters on 10 connections"), "{}", found[0].claim);
    }
}
