//! Loop blocked: synchronous work of a request keeps the loop from turning.
//!
//! **Claim.** Requests of one route do so much in one go that everybody else waits for it. **Reads** events `pause.worker-stall` (what no
//! hiccup of the process explains), lanes `server.handler`, `loop.utilisation`, `loop.delay`. **Needs** the events, told by whoever watches the loop itself and so tells `loop.delay`, too; the route needs the lane. **Statistic.** At least three
//! stalls in 6 s, or two of a second and more, none of them while the target stopped its work itself (that is a pause). *Blame:* the request that
//! blocks has itself been in its handler for the whole stall and ends soon after it; so the route whose requests of that length end beside
//! nearly all stalls, and hardly ever elsewhere, is to blame. Those who waited were as long in their handlers, but not beside every stall,
//! or several for each. Where the route's others wait for something else (a full pool), those count that were in their handler for the stall and
//! nothing beside. Where blocking requests come one after another and make one stall, those count that end inside of it: at instants of their
//! own, or, where the target reads itself on that loop and tells all of it at once when the loop turns again, by times that add up to the
//! stall's.
//! Without a route to blame nothing is said: then the loop is starved, or the CPU short. Where no handler is told at all it is said of none, unless the
//! loop has little time between the stalls. **Null.** The share of stalls that would have such an
//! end beside them by chance, from how often they are at other times; far above it with six stalls or more, it is confirmed. Where it has
//! stalled so often for so long that there are no other times, a route whose time in handler is that of the stalls, tick by tick and in all, makes it
//! likely, if the loop rests in between.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::queueing::staffed;
use super::{Answer, Claim, ONSET, episodes, evidence, plural};
use crate::functions::{self, Seen};
use crate::loops::{self, OWN_PAUSES};
use crate::routes;
use crate::stats::median;
use crate::window;

/// Window in which stalls count, seconds.
pub(crate) const WINDOW_S: f64 = 6.0;
/// Stalls wanted in it: one is an accident, two are a coincidence.
const LEAST_STALLS: usize = 3;
/// What they must come to: sixty milliseconds are three of the shortest that are told.
const LEAST_TOTAL: Duration = Duration::from_millis(60);
/// Least time that a stall was at work, ns: more than half of the shortest that is told.
const LEAST_OWN_NS: f64 = 12e6;
/// A burst: what disturbs a machine for once (another process that starts, a virtual machine that is moved) stalls all loops several
/// times within so long ...
const BURST: Duration = Duration::from_millis(500);
/// ... and then this share of the stalls lies outside of the thickest one.
const OUTSIDE_BURST: f64 = 0.3;
/// How far back the onset is looked for, and the longest break in it.
const BACK: Duration = Duration::from_secs(20);
const BACK_TO_BACK: Duration = Duration::from_millis(300);
/// Stalls that end in the window may have begun so long before it.
const LONGEST: Duration = Duration::from_secs(6);
/// Stalls so long are no queue of short turns: two of them are enough.
const LONG_STALL: Duration = Duration::from_secs(1);
const LONG_STALLS: usize = 2;
/// Time in handler over the stall, at least: the stall is known to 10 ms, and both to a tick of their clock.
const THROUGH: f64 = 0.8;
/// How long after a stall its request ends: an answer written, a statement or two awaited.
const ENDS_WITHIN: Duration = Duration::from_millis(100);
/// How exactly a stall's end is known.
const KNOWN_TO: Duration = Duration::from_millis(10);
/// Ticks of sources, which are what ends are known to.
const TICK: Duration = Duration::from_millis(100);
/// Share of the stalls beside which requests of the route end, at least.
const BESIDE: f64 = 0.7;
/// ... and so far above the share that chance gives.
const ABOVE_CHANCE: f64 = 0.5;
/// Time in handler of all such requests over all stalls, at most: one request for each stall, and perhaps one more that waits in
/// the same route. Where many wait the route is no more than a victim.
const AT_MOST: f64 = 6.0;
/// Where the loop has little time between the stalls (more of it in those too short to be told) the blame must be plainer: each of five stalls
/// or more ...
const DENSE: f64 = 0.4;
const DENSE_STALLS: usize = 5;
const DENSE_BESIDE: f64 = 0.9;
/// ... with little more than one request for each, which waits for a stall before its own and one after it.
const DENSE_AT_MOST: f64 = 3.5;
/// Instants at which requests of a route end inside of long stalls that they make up one after another: in each, one being that of whoever
/// waited, and in all. Where the instants are not known, so many requests.
const ENDS_EACH: usize = 2;
const ENDS: usize = 4;
/// ... and their time over the stall's.
const IN_A_ROW: RangeInclusive<f64> = 0.5..=1.5;
/// Time in handler over the stall, at most, of a request that did nothing else.
const NOTHING_ELSE: f64 = 1.25;
/// Unless the stalls of the last seconds differ more than so (the ninetieth percentile over the tenth), while the target has a core to itself.
const ALIKE: f64 = 2.0;
const ALIKE_S: f64 = 3.0;
const FULL_CORE: f64 = 0.85;
/// How far back before the window ends of the same length are counted for what chance gives, seconds.
const CHANCE_S: f64 = 20.0;
/// Where there are no other times: the route's time in handler over the stalls, of requests as long as a stall's work; and its correlation with theirs,
/// tick by tick. Of those who wait for stalls that something else makes, one on average at each, as many wait as chance has it: 0.58.
const AS_LONG: RangeInclusive<f64> = 0.8..=1.25;
const TOGETHER: f64 = 0.8;
/// ... and the loop is busy for less than this share of the time: beside one that never rests everybody stalls.
const RESTS: f64 = 0.85;
/// Stalls for the null to be tried.
const CONFIRM_STALLS: usize = 6;
/// Share of the time in stalls that is critical, as for pauses; and a single one that everybody notices.
const CRITICAL_SHARE: f64 = 0.10;
const CRITICAL_STALL: Duration = Duration::from_millis(250);
/// Silence after which it has ended: the window in which stalls count.
const QUIET: Duration = Duration::from_secs(6);
/// Just after a warm-up the queues of the rise still drain, and a just-in-time compiler is at work on code that all requests share.
const SETTLE: Duration = Duration::from_secs(2);

/// Looks at the stalls of all processes together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !tells_of_stalls(timeline) {
        let mut missing = vec![kinds::PAUSE_WORKER_STALL.to_owned()];
        missing.extend(super::missing(timeline, &[names::LOOP_DELAY]));
        return Answer::CannotTell(missing);
    }
    let stalls = stalls(timeline, at);
    if !lasting(&stalls) {
        return Answer::Looked(Vec::new());
    }
    let blame = blame(timeline, at, &stalls);
    let unknown = !timeline.has(names::SERVER_HANDLER) && !dense(timeline, at, &stalls);
    let claims = match blame {
        Some(blame) => vec![claim(timeline, at, &stalls, Some(&blame))],
        None if unknown => vec![claim(timeline, at, &stalls, None)],
        None => Vec::new(),
    };
    Answer::Looked(claims)
}

/// Who watches a loop tells how late its tasks are woken, and of its stalls; a page tells the former alone.
fn tells_of_stalls(timeline: &Timeline) -> bool {
    timeline.named(names::LOOP_DELAY).any(|s| !window::second_hand(timeline, &s.spec.instance))
}

/// Are the stalls of the window rather the work of requests: are they too long for turns, is there a route to blame, or do they differ as that
/// work does?
pub(super) fn by_requests(timeline: &Timeline, at: RunTime) -> bool {
    let stalls = stalls(timeline, at);
    long(&stalls)
        || lasting(&stalls) && (irregular(timeline, at, &stalls) || blame(timeline, at, &stalls).is_some())
}

/// Are there enough stalls, and not only in one burst?
fn lasting(stalls: &[Stall]) -> bool {
    let total: Duration = stalls.iter().map(|s| s.span.length()).sum();
    let n = stalls.len();
    let burst =
        |from: RunTime| stalls.iter().filter(|s| s.span.start >= from && s.span.start < from + BURST).count();
    let thickest = stalls.iter().map(|s| burst(s.span.start)).max().unwrap_or(0);
    long(stalls)
        || n >= LEAST_STALLS && total >= LEAST_TOTAL && (n - thickest) as f64 >= OUTSIDE_BURST * n as f64
}

/// Are there several very long ones?
fn long(stalls: &[Stall]) -> bool {
    stalls.iter().filter(|s| s.span.length() >= LONG_STALL).count() >= LONG_STALLS
}

/// One stall of the loop of one process.
#[derive(Debug, Clone, Copy)]
struct Stall<'a> {
    instance: &'a str,
    span: Span,
    /// What ran, if somebody looked meanwhile.
    function: Option<&'a str>,
}

impl Stall<'_> {
    fn ns(&self) -> f64 {
        self.span.length().as_nanos() as f64
    }

    /// With what of it had passed before it was late.
    fn all_ns(&self) -> f64 {
        self.ns() + KNOWN_TO.as_nanos() as f64
    }
}

fn stalls(timeline: &Timeline, at: RunTime) -> Vec<Stall<'_>> {
    stalls_in(timeline, window::last(at, WINDOW_S))
}

/// Since when the loops have stalled back to back: those before the window are told of nobody, and are the same.
fn since(timeline: &Timeline, stalls: &[Stall], at: RunTime) -> RunTime {
    let first = stalls.iter().map(|s| s.span.start).min().unwrap_or(at);
    let earlier = stalls_in(timeline, Span::new(first.back(BACK), first));
    earlier.iter().rev().filter(|s| s.span.start < first).fold(first, |since, s| {
        if s.span.end + BACK_TO_BACK >= since { since.min(s.span.start) } else { since }
    })
}

/// Those of [`all_in`] in which the process did not pause: beside the others no route is looked for.
fn stalls_in(timeline: &Timeline, span: Span) -> Vec<Stall<'_>> {
    let wide = Span::new(span.start.back(LONGEST), span.end);
    // Stalls in pauses of the process's own are theirs.
    let others: Vec<(&str, Span)> = OWN_PAUSES
        .iter()
        .flat_map(|k| timeline.events(k, wide))
        .map(|e| (e.instance.as_str(), e.span()))
        .collect();
    all_in(timeline, span)
        .filter(|s| others.iter().all(|o| o.0 != s.instance || o.1.overlap(s.span).is_zero()))
        .collect()
}

/// All stalls at which the loop was at work, whatever else the process did.
fn all_in(timeline: &Timeline, span: Span) -> impl Iterator<Item = Stall<'_>> {
    let wide = Span::new(span.start.back(LONGEST), span.end);
    let settled = timeline.plan().warm_from() + SETTLE;
    timeline
        .events(kinds::PAUSE_WORKER_STALL, wide)
        .filter(move |e| e.end >= span.start)
        .filter(move |e| !window::after_plan(timeline.plan(), e.start) && e.start >= settled)
        // For so much of it the loop's thread had no core: a neighbour's doing.
        .filter(|e| e.span().length().as_nanos() as f64 - e.value >= LEAST_OWN_NS)
        .map(|e| Stall { instance: e.instance.as_str(), span: e.span(), function: e.label("function") })
}

/// Has the loop little time between the stalls, or none between all there were? In one with a collection in it there is no rest either.
fn dense(timeline: &Timeline, at: RunTime, stalls: &[Stall]) -> bool {
    let all = || all_in(timeline, window::last(at, WINDOW_S)).collect::<Vec<_>>();
    density(stalls, at) >= DENSE || density(&all(), at) >= RESTS
}

/// Share of the time since the first stall, of two seconds at most, that the worst process spent in them.
fn density(stalls: &[Stall], at: RunTime) -> f64 {
    let from = stalls.iter().map(|s| s.span.start).min().unwrap_or(at).max(at.back(Duration::from_secs(2)));
    let last = stalls.iter().map(|s| s.span.end).max().unwrap_or(at);
    let span = Span::new(from, last.max(from));
    let of = |instance: &str| {
        let own = stalls.iter().filter(|s| s.instance == instance);
        own.map(|s| s.span.overlap(span).as_secs_f64()).sum::<f64>()
    };
    let worst = stalls.iter().map(|s| of(s.instance)).fold(0.0, f64::max);
    worst / window::seconds(span).max(TICK.as_secs_f64())
}

/// The route to blame.
struct Blame<'a> {
    route: &'a str,
    /// How well its requests go with the stalls: the share of the stalls beside or inside which they ended, or tick by tick the correlation.
    fits: f64,
    /// Time in handler beside stalls over the stalls.
    ratio: f64,
    by: By,
}

/// By what a route is to blame.
enum By {
    /// Its requests end beside the stalls; by chance `chance` of them would have one. Of the stalls so many, as a share, were made up by
    /// several of them, and the work of one of those, ns.
    Beside { chance: f64, together: (f64, f64) },
    /// They end inside of long stalls, one after another: the work of one, ns.
    InARow(f64),
    /// There was nothing to compare with: its time in handler is that of the stalls, tick by tick.
    TickByTick,
}

impl Blame<'_> {
    fn above_chance(&self) -> f64 {
        if let By::Beside { chance, .. } = self.by { self.fits - chance } else { self.fits }
    }
}

fn blame<'a>(timeline: &'a Timeline, at: RunTime, stalls: &[Stall]) -> Option<Blame<'a>> {
    beside_them(timeline, at, stalls)
        .or_else(|| in_a_row(timeline, stalls))
        .or_else(|| tick_by_tick(timeline, at, stalls))
}

/// The route whose requests are the stalls, tick by tick.
fn tick_by_tick<'a>(timeline: &'a Timeline, at: RunTime, stalls: &[Stall]) -> Option<Blame<'a>> {
    if stalls.len() < CONFIRM_STALLS {
        return None;
    }
    let last = window::last(at, WINDOW_S);
    let settled = timeline.plan().warm_from() + SETTLE;
    let window = Span::new(last.start.max(settled), last.end);
    let mut ticks: Vec<(&str, Span, f64)> = Vec::new();
    for told in loops::read(timeline, window) {
        let own: Vec<&Stall> = stalls.iter().filter(|s| s.instance == told.instance).collect();
        if own.is_empty() {
            continue;
        }
        let lane = window::of_instance(timeline, names::LOOP_UTILISATION, told.instance)?;
        if told.busy >= RESTS {
            return None;
        }
        ticks.extend(window::steps(lane, window).map(|(from, to, _)| {
            let ended = own.iter().filter(|s| from < s.span.end && s.span.end <= to);
            (told.instance, Span::new(from, to), ended.map(|s| s.all_ns()).sum())
        }));
    }
    let stalled: BTreeSet<&str> = ticks.iter().map(|t| t.0).collect();
    let judged = routes::all(timeline).into_iter().filter_map(|route| {
        let lanes: BTreeMap<&str, &timeline::Series> =
            stalled.iter().filter_map(|&i| Some((i, lane(timeline, i, route)?))).collect();
        let ended = |(instance, tick, stalled): &(&str, Span, f64)| {
            let ended = lanes.get(instance).map(|l| l.intervals_within(*tick)).unwrap_or_default();
            (ended.iter().map(|i| lasting_for(&i.1, &(LEAST_OWN_NS..f64::INFINITY)).1).sum::<f64>(), *stalled)
        };
        let pairs: Vec<(f64, f64)> = ticks.iter().map(ended).collect();
        let (time, all) = pairs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        let (fits, _) = routes::correlated(&pairs)?;
        let ratio = time / all;
        let blame = Blame { route, fits, ratio, by: By::TickByTick };
        (AS_LONG.contains(&ratio) && fits >= TOGETHER).then_some(blame)
    });
    judged.max_by(|a, b| a.fits.total_cmp(&b.fits))
}

/// The route whose requests end beside the stalls.
fn beside_them<'a>(timeline: &'a Timeline, at: RunTime, stalls: &[Stall]) -> Option<Blame<'a>> {
    let dense = dense(timeline, at, stalls);
    if dense && stalls.len() < DENSE_STALLS && !long(stalls) {
        return None;
    }
    let plain = dense && !long(stalls) && !irregular(timeline, at, stalls);
    let (beside, at_most) = if plain { (DENSE_BESIDE, DENSE_AT_MOST) } else { (BESIDE, AT_MOST) };
    let whose = if dense { &[Whose::Through][..] } else { &[Whose::Through, Whose::NothingElse] };
    let candidates = routes::all(timeline)
        .into_iter()
        .flat_map(|route| whose.iter().filter_map(move |&whose| judged(timeline, route, stalls, whose)))
        .filter(|b| b.fits >= beside && b.above_chance() >= ABOVE_CHANCE && b.ratio <= at_most);
    if dense {
        // Then somebody who waited ends beside every stall, too, but several for each.
        return candidates.min_by(|a, b| a.ratio.total_cmp(&b.ratio));
    }
    candidates.max_by(|a, b| a.above_chance().total_cmp(&b.above_chance()).then(b.ratio.total_cmp(&a.ratio)))
}

/// Blocking requests that come as one ends are one long stall. While it lasts nobody else's end, so the route is to blame whose requests
/// end again and again inside of such stalls, and together are about as long.
fn in_a_row<'a>(timeline: &'a Timeline, stalls: &[Stall]) -> Option<Blame<'a>> {
    let long: Vec<&Stall> = stalls.iter().filter(|s| s.span.length() >= LONG_STALL).collect();
    let all: f64 = long.iter().map(|s| s.ns()).sum();
    let judged = routes::all(timeline).into_iter().filter_map(|route| {
        let made = |stall: &Stall| lane(timeline, stall.instance, route).and_then(|l| made_of(l, stall));
        let made: Vec<(f64, Made)> = long.iter().filter_map(|s| Some((s.ns(), made(s)?))).collect();
        let fits = made.iter().map(|m| m.0).sum::<f64>() / all;
        let ratio = made.iter().map(|m| m.1.ns).sum::<f64>() / all;
        let ends: usize = made.iter().map(|m| m.1.ends).sum();
        let each = made.iter().map(|m| m.1.each).reduce(f64::min)?;
        let blamed = Blame { route, fits, ratio, by: By::InARow(each) };
        (ends >= ENDS && fits >= BESIDE).then_some(blamed)
    });
    judged.max_by(|a, b| a.fits.total_cmp(&b.fits))
}

/// What a stall is made of, one request after another.
struct Made {
    /// Instants at which requests of the route ended, or requests where the instants are not known.
    ends: usize,
    /// The work of one, ns.
    each: f64,
    /// Of all.
    ns: f64,
}

/// None where the route's requests that ended inside of the stall are not about as long as it.
fn made_of(lane: &timeline::Series, stall: &Stall) -> Option<Made> {
    told_at_once(lane, stall).map_or_else(|| made_by_instants(lane, stall), |cells| made_by_sum(cells, stall))
}

/// The route's requests of a stall that was told as a whole: who reads a target on the loop that stalls reads nothing meanwhile, so one
/// interval spans it. One of a tick or two would span a short stall by accident.
fn told_at_once<'a>(lane: &'a timeline::Series, stall: &Stall) -> Option<&'a timeline::histogram::Sparse> {
    let Span { start, end } = stall.span;
    if stall.span.length() <= TICK * 2 {
        return None;
    }
    let told = lane.intervals_within(Span::new(start.back(TICK * 2), end));
    told.iter().find(|i| i.0.start <= start && i.0.end + KNOWN_TO >= end).map(|i| &i.1)
}

/// Nobody else's turn comes in a stall, so each request of those that make it up lasts for as long as its own work does, and together they
/// last for as long as the stall. Who was there before it and waits is there all through, and whoever comes after it is soon done: neither
/// counts. Times of some who came in between, and wait, would have to add up to just that as well, in most of the stalls.
fn made_by_sum(cells: &timeline::histogram::Sparse, stall: &Stall) -> Option<Made> {
    let (ends, ns) = lasting_for(cells, &(LEAST_OWN_NS..THROUGH * stall.ns()));
    let ends = usize::try_from(ends).ok().filter(|&n| n >= ENDS_EACH)?;
    let made = Made { ends, each: ns / ends as f64, ns };
    (THROUGH..=NOTHING_ELSE).contains(&(ns / stall.ns())).then_some(made)
}

/// The others waited for the shortest before they did the same: so many of it.
fn made_by_instants(lane: &timeline::Series, stall: &Stall) -> Option<Made> {
    let inside = lane.intervals_within(stall.span);
    let cells = || inside.iter().flat_map(|i| &i.1.cells);
    let each = cells().map(|&(us, _)| f64::from(us) * 1e3).reduce(f64::min)?;
    let ns = each * cells().map(|&(_, n)| f64::from(n)).sum::<f64>();
    (inside.len() >= ENDS_EACH && IN_A_ROW.contains(&(ns / stall.ns()))).then_some(Made {
        ends: inside.len(),
        each,
        ns,
    })
}

/// Do the stalls differ in length as the work of requests does, of which one or several come at a time? The turns of a task that
/// requeues itself are alike, unless others have the core.
fn irregular(timeline: &Timeline, at: RunTime, stalls: &[Stall]) -> bool {
    let recent = window::last(at, ALIKE_S);
    let cores: f64 = loops::read(timeline, recent).iter().filter_map(|l| l.cpu).sum();
    let mut lengths: Vec<f64> =
        stalls.iter().filter(|s| s.span.start >= recent.start).map(Stall::ns).collect();
    lengths.sort_by(f64::total_cmp);
    let n = lengths.len();
    n >= DENSE_STALLS && cores >= FULL_CORE && lengths[n - 1 - n / 10] >= ALIKE * lengths[n / 10]
}

/// Which requests count beside a stall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those in their handler all through it, whatever they did before.
    Through,
    /// Those of which it is all that they did.
    NothingElse,
}

impl Whose {
    /// Times in handler beside a stall of `ns`.
    fn lengths(self, ns: f64) -> Range<f64> {
        let most = match self {
            Self::Through => f64::INFINITY,
            Self::NothingElse => NOTHING_ELSE * ns + KNOWN_TO.as_nanos() as f64,
        };
        THROUGH * ns..most
    }
}

fn judged<'a>(timeline: &'a Timeline, route: &'a str, stalls: &[Stall], whose: Whose) -> Option<Blame<'a>> {
    let (mut hits, mut count, mut time) = (0.0, 0.0, 0.0);
    let mut together: Vec<f64> = Vec::new();
    for stall in stalls {
        let Some(lane) = lane(timeline, stall.instance, route) else { continue };
        let (mut n, mut ns) = beside(lane, stall, whose);
        // Those that make a stall up together are to it what one is that was there all through.
        if n == 0
            && let Some(made) = told_at_once(lane, stall).and_then(|cells| made_by_sum(cells, stall))
        {
            (n, ns) = (1, made.ns);
            together.push(made.each);
        }
        hits += f64::from(u8::from(n > 0));
        count += n as f64;
        time += ns;
    }
    let n = stalls.len() as f64;
    let all: f64 = stalls.iter().map(Stall::all_ns).sum();
    (hits > 0.0).then(|| Blame {
        route,
        fits: hits / n,
        ratio: time / all,
        by: By::Beside {
            chance: chance(timeline, route, stalls, whose, time / count),
            together: (together.len() as f64 / n, median(together).unwrap_or(0.0)),
        },
    })
}

/// Share of the stalls beside which a request of the route that lasts `ns` would end by chance: from how often that is when nothing
/// stalls. Those that do nothing else may be common since something else is wrong, so they are looked for between the stalls.
fn chance(timeline: &Timeline, route: &str, stalls: &[Stall], whose: Whose, ns: f64) -> f64 {
    let first = stalls.iter().map(|s| s.span.start).min().unwrap_or_default();
    let last = stalls.iter().map(|s| s.span.end).max().unwrap_or_default();
    let before = Span::new(first.back(Duration::from_secs_f64(CHANCE_S)), first.back(TICK));
    let looked_at = ENDS_WITHIN + KNOWN_TO + TICK;
    let expected: f64 = window::instances(timeline, names::SERVER_HANDLER)
        .into_iter()
        .map(|instance| {
            let own: Vec<Span> = stalls.iter().filter(|s| s.instance == instance).map(|s| s.span).collect();
            let Some(lane) = lane(timeline, instance, route).filter(|_| !own.is_empty()) else { return 0.0 };
            let between = |span: Span| {
                own.iter().all(|s| span.overlap(Span::new(s.start.back(TICK), s.end + looked_at)).is_zero())
            };
            let (quiet, least_s) = match whose {
                Whose::Through => {
                    (lane.intervals_within(before).iter().collect(), window::seconds(before).max(1.0))
                }
                Whose::NothingElse => {
                    let all = lane.intervals_within(Span::new(first, last));
                    let quiet: Vec<_> = all.iter().filter(|i| between(i.0)).collect();
                    let s = quiet.iter().map(|i| window::seconds(i.0)).sum();
                    (quiet, s)
                }
            };
            let long: u64 = quiet.iter().map(|i| lasting_for(&i.1, &whose.lengths(ns)).0).sum();
            let rate = if least_s > 0.0 { long as f64 / least_s } else { f64::INFINITY };
            own.len() as f64 * (1.0 - (-rate * looked_at.as_secs_f64()).exp())
        })
        .sum();
    expected / stalls.len() as f64
}

fn lane<'a>(timeline: &'a Timeline, instance: &'a str, route: &str) -> Option<&'a timeline::Series> {
    routes::handlers(timeline, instance).find(|s| s.spec.subject == route)
}

/// The route's requests that were there all through the stall and ended beside its end: how many, and their time in handler, ns.
fn beside(lane: &timeline::Series, stall: &Stall, whose: Whose) -> (u64, f64) {
    let end = stall.span.end;
    // A target that reads itself on the loop is late by the stall: the interval in which its request ended has begun before it.
    let around = Span::new(stall.span.start.back(TICK * 2), end + ENDS_WITHIN);
    lane.intervals_within(around)
        .iter()
        .filter(|i| i.0.end > end.back(KNOWN_TO))
        .map(|i| lasting_for(&i.1, &whose.lengths(stall.ns())))
        .fold((0, 0.0), |sum, x| (sum.0 + x.0, sum.1 + x.1))
}

/// How many samples are so long, and their sum.
fn lasting_for(cells: &timeline::histogram::Sparse, ns: &Range<f64>) -> (u64, f64) {
    let long = cells.cells.iter().map(|&(us, n)| (f64::from(us) * 1e3, n)).filter(|c| ns.contains(&c.0));
    long.fold((0, 0.0), |sum, (v, n)| (sum.0 + u64::from(n), sum.1 + v * f64::from(n)))
}

fn claim(timeline: &Timeline, at: RunTime, stalls: &[Stall], blame: Option<&Blame>) -> Claim {
    let span = window::last(at, WINDOW_S);
    let total: f64 = stalls.iter().map(Stall::ns).sum();
    let longest = stalls.iter().map(Stall::ns).fold(0.0, f64::max);
    let middle = median(stalls.iter().map(Stall::ns).collect()).unwrap_or(0.0);
    let mut instances: Vec<&str> = stalls.iter().map(|s| s.instance).collect();
    instances.sort_unstable();
    instances.dedup();
    let share = total / 1e9 / WINDOW_S / instances.len() as f64;
    let critical = share >= CRITICAL_SHARE || longest >= CRITICAL_STALL.as_nanos() as f64;
    let seen = functions::most_seen(stalls.iter().filter_map(|s| s.function));
    let by = seen.as_ref().map_or(String::new(), |s| format!(" in {}", s.function));
    let who =
        blame.map_or(format!("synchronous work{by}"), |b| format!("work done in one go{by} for {}", b.route));
    Claim {
        kind: FindingKind::LoopBlocked,
        identity: blame.map_or(String::new(), |b| b.route.to_owned()),
        subject: blame.map(|b| b.route).or(seen.as_ref().map(|s| s.function)).unwrap_or("").to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: match blame {
            Some(b) if stalls.len() >= CONFIRM_STALLS && !matches!(b.by, By::TickByTick) => Status::Confirmed,
            Some(_) => Status::Likely,
            // Nobody need be blamed for the route where the function itself was seen.
            None if seen.as_ref().is_some_and(|s| s.times >= LEAST_STALLS) => Status::Likely,
            None => Status::Possible,
        },
        onset: since(timeline, stalls, at),
        last: stalls.iter().map(|s| s.span.end).max().unwrap_or(at),
        quiet: QUIET,
        weight: total,
        claim: format!(
            "{who} keeps the loop of {} from turning since {ONSET}: {} in {WINDOW_S} s, {} in the median and up to {}, and everybody else waits",
            instances.join(" and "),
            plural(stalls.len() as f64, "stall"),
            Unit::Ns.show(middle),
            Unit::Ns.show(longest)
        ),
        evidence: supporting(span, stalls, blame, seen.as_ref(), share),
        contradicting: Vec::new(),
        advice: advice(total / 1e9 / WINDOW_S, blame, middle),
        missing: if blame.is_none() { vec![names::SERVER_HANDLER.to_owned()] } else { Vec::new() },
        episodes: episodes(stalls.iter().map(|s| s.span).collect(), TICK),
        remedies: Vec::new(),
        sort: "",
    }
}

fn supporting(
    span: Span,
    stalls: &[Stall],
    blame: Option<&Blame>,
    seen: Option<&Seen>,
    share: f64,
) -> Vec<Evidence> {
    let text = format!(
        "{} that no hiccup of the whole process explains: {} of each loop's time",
        plural(stalls.len() as f64, "stall"),
        Unit::Ratio.show(share)
    );
    let mut list = vec![evidence(text, kinds::PAUSE_WORKER_STALL, span, stalls.len() as f64, Unit::Count)];
    if let Some(b) = blame {
        let (share, route) = (b.fits * 100.0, b.route);
        let text = match b.by {
            By::InARow(_) => format!(
                "requests of {route} ended one after another inside of {share:.0} % of the long ones' time"
            ),
            By::TickByTick => format!(
                "tick by tick the time that requests of {route} were in their handler is that of the stalls (correlation {:.2}), and {:.0} % of it in all",
                b.fits,
                b.ratio * 100.0
            ),
            By::Beside { chance, together } => {
                let several = if together.0 > 0.0 {
                    format!(", or ended several that together took as long ({:.0} %)", together.0 * 100.0)
                } else {
                    String::new()
                };
                format!(
                    "beside {share:.0} % of them ended a request of {route} that had been in its handler all through{several}; {:.0} % would by chance",
                    chance * 100.0
                )
            }
        };
        list.push(evidence(text, names::SERVER_HANDLER, span, b.fits, Unit::Ratio));
    }
    if let Some(s) = seen {
        let text =
            format!("in {} of {} of which the stack was read {} was running", s.times, s.looks, s.function);
        list.push(evidence(text, kinds::PAUSE_WORKER_STALL, span, s.times as f64, Unit::Count));
    }
    list
}

/// Of loops that stall for `stall` ns at a time; `busy` threads would do all of it.
fn advice(busy: f64, blame: Option<&Blame>, stall: f64) -> Vec<String> {
    let Some(b) = blame else {
        return vec!["Take a CPU profile: what runs for more than 10 ms in one go belongs on other threads, or must yield.".to_owned()];
    };
    let stall = match b.by {
        By::InARow(each) => each,
        By::Beside { together: (share, each), .. } if share >= 0.5 => each,
        _ => stall,
    };
    vec![
        format!(
            "Move that work of {} off the loop (spawn_blocking, a worker thread): {:.1} such requests/s of {} keep {:.1} threads busy, so {} are enough.",
            b.route,
            busy * 1e9 / stall.max(1.0),
            Unit::Ns.show(stall),
            busy,
            staffed(busy)
        ),
        format!(
            "Or do it in pieces of 10 ms at most and yield in between, with input that is bounded (a pattern of linear time, a document read as a stream): at {:.0} such requests/s a loop has no time left.",
            (1e9 / stall.max(1.0)).floor()
        ),
    ]
}
