//! Heap leak: live memory grows steadily and nothing that the target holds for its clients explains it.
//!
//! **Claim.** So many bytes a second stay for ever. **Reads** `heap.used`, `heap.old.used`, `heap.live`, `heap.promoted`, `heap.sampling-error`,
//! `heap.limit`, `client.open-sessions`, `server.websockets`, `server.sessions`, `server.in-flight`, `server.requests`, `server.handler`, `process.resident`; `profile.retained` for a name. **Needs** 8 s of settled load for the exact
//! total, and 5 s more until what was allocated counts as old: 13 s from the leak's beginning.
//! **Statistic.** Theil and Sen's slope over the last 8, 16, 32 and 64 s; it must rise in nine of ten pairs (of the exact total each point is the least of its cell, since requests hold theirs for a moment only), exceed its
//! own noise, not flatten (a cache that fills does; where fewer requests get through, what each keeps), not follow the number of sessions, and outlast what the longest requests hold. The exact total and the sampled old
//! generation must agree, since old alone is an estimate, and the total alone also holds requests in flight.
//! Onset: the knot at which the growth leaves the floor. **Law.** What is promoted per second is at
//! least what the old generation grows by; where both, and the longer window, agree, it is confirmed; not where
//! the last major collection was an early one.
//! **End.** When half of what grew is given back: a leak that comes to rest still holds what it took.
//!
//! Where the heap has a collector, the old generation is what grows, since the young one is mostly garbage, and its saw's teeth hide the growth
//! of a small heap. The old one's own teeth are taken off: what a major collection freed had come in evenly. One must have left what
//! grew: until there was one, nothing is said (both in `collected`). Where it has no generations (Go) what grows is what each collection leaves,
//! so several must lie in the window; and where nobody tells what they leave, nothing can be said at all.
//! With the total alone (no generations) it is *possible* only, and only after 30 s.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

pub(super) mod collected;

use super::{Answer, Claim, ONSET, evidence};
use crate::functions::{self, Share};
use crate::routes;
use crate::stats::{Trend, knot, median, trend};
use crate::window;
use collected::Left;

/// Windows tried, seconds, the longest first: small leaks show in long ones only.
const WINDOWS_S: [f64; 4] = [64.0, 32.0, 16.0, 8.0];
/// A window is so many times as long as the requests of the route that lasts longest: what those hold grows until they end, and some
/// begin while others do.
const OUTLAST: f64 = 3.0;
/// Requests that ended in so many seconds count there.
const ENDED_S: f64 = 30.0;
/// Points per window: 496 pairs, a few microseconds, and each point far enough from the next.
const POINTS: u32 = 32;
/// The longer windows must be as long for the total alone.
const ALONE_S: f64 = 30.0;
/// How long the load must have been the same before a window begins: what was allocated before
/// becomes old for so long (the agent's age threshold).
const AGE: Duration = Duration::from_secs(5);
/// Seconds over which the old generation is compared: what leaked in the first 5 s of an 8 s window is not old yet.
const OLD_WINDOW_S: f64 = 5.0;
/// Share of pairs that rise. Without trend 0.5; the deviation with 32 points is 0.06.
const RISING: f64 = 0.9;
/// The growth over the window in units of the median distance from the line.
const OVER_NOISE: f64 = 6.0;
/// Least growth over the window: absolute, since allocators round and buffers breathe, ...
const LEAST_GROWTH: f64 = 4.0 * 1024.0 * 1024.0;
/// ... and relative to what is live, twice the 1% per minute that collectors drift by.
const LEAST_SHARE: f64 = 0.02;
/// Slope of the second half over that of the first, at least. A cache that fills with time constant T
/// comes to `exp(-4 s / T)` in an 8 s window: below this for all that fill within half a minute or so.
const STEADY: f64 = 0.75;
/// Fastest growth before the window over the window's, at most: what slows down is filling up.
const SLOWING: f64 = 1.2;
/// Requests must be told so often to be compared over blocks.
const REQUESTS_EACH: Duration = Duration::from_secs(1);
/// How the time before the window is cut, and how many such blocks are looked at.
const BLOCK: Duration = Duration::from_secs(8);
const BLOCKS: usize = 4;
/// Share of the growth that sessions must leave unexplained.
const UNEXPLAINED: f64 = 0.5;
/// Old generation's slope over the total's. It follows 5 s later, so it lags at the start of a leak, but
/// runs ahead of a total that is slowing down: by `exp(5 s / T)` for a cache that fills.
const AGREE: std::ops::RangeInclusive<f64> = 0.4..=1.3;
/// The same, for confirmation.
const AGREE_CLOSELY: std::ops::RangeInclusive<f64> = 0.7..=1.3;
/// Promoted per second over the slope, at least: everything that stays was promoted once.
const PROMOTED: f64 = 0.5;
/// Least window for confirmation, seconds.
const CONFIRM_S: f64 = 16.0;
/// Sampled growth must be so many of its own deviations: with a relative error e of all that is live and
/// old, a growth g is known to e * sqrt(g * old).
const SAMPLING_DEVIATIONS: f64 = 3.0;
/// Where there is a collector: share of the growth that a major collection must have left. Without a leak nothing of it stays;
/// with one that fills the old generation beside as much garbage, half.
const LEFT: f64 = 0.5;
/// Time in which memory doubles that is critical.
const CRITICAL_DOUBLING_S: f64 = 300.0;
/// Share of what grew that must still be there for the leak to last: garbage beside it may have gone.
const HELD: f64 = 0.5;
/// Levels are medians over so many seconds, so that no request in flight counts.
const HELD_OVER_S: f64 = 2.0;
/// Growth that stops for so long has ended, once what grew is given back.
const QUIET: Duration = Duration::from_secs(10);
/// Samples are carried for so long.
const CARRY: Duration = Duration::from_secs(2);
/// How far back the knot is looked for, seconds, and on how many points.
const KNOT_S: f64 = 60.0;
const KNOT_POINTS: u32 = 120;

/// Looks at the heap of all processes of the target together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !timeline.has(names::HEAP_USED) {
        return Answer::CannotTell(vec![names::HEAP_USED.to_owned(), names::HEAP_OLD.to_owned()]);
    }
    let mut heaps = window::instances(timeline, names::HEAP_USED).into_iter();
    if !timeline.has(names::HEAP_LIVE) && heaps.any(|heap| collected::untold(timeline, heap)) {
        return Answer::CannotTell(vec![names::HEAP_LIVE.to_owned()]);
    }
    let settled = window::same_load_since(timeline.plan(), at).max(timeline.plan().warm_from());
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    let least_s = (OUTLAST * longest_request_s(timeline, at)).min(WINDOWS_S[0]);
    let lane = grows_in(timeline);
    let windows: Vec<Span> = WINDOWS_S
        .iter()
        .filter(|&&s| s >= least_s)
        .map(|&s| window::last(at, s))
        .filter(|w| w.start >= settled + AGE)
        .collect();
    let growth = windows
        .iter()
        .find_map(|&w| Growth::over(timeline, lane, w).filter(|g| !g.slowing(timeline, settled)));
    let claim = growth.as_ref().and_then(|g| claim(timeline, at, settled, g));
    if claim.is_none() && growth.is_some_and(|g| uncollected(timeline, g.since(timeline, at, settled))) {
        return Answer::Unready("no major collection has shown yet what of its growth is garbage".to_owned());
    }
    // The total alone is heard in long windows only.
    let least_s = if timeline.has(names::HEAP_OLD) { least_s } else { least_s.max(ALONE_S) };
    let least_s = WINDOWS_S.into_iter().filter(|&s| s >= least_s).fold(WINDOWS_S[0], f64::min);
    let enough = windows.iter().rfind(|w| window::seconds(**w) >= least_s);
    let enough = enough.is_some_and(|&w| points(timeline, lane, w).is_some());
    Answer::of(claim, enough, AGE.as_secs_f64() + least_s)
}

/// Has the heap a collector that has not yet told in `span` what lives?
fn uncollected(timeline: &Timeline, span: Span) -> bool {
    timeline.has(names::HEAP_LIVE) && collected::left(timeline, span).is_none()
}

/// The points of a window; none with a gap, since a process came or went.
fn points(timeline: &Timeline, lane: &str, span: Span) -> Option<Vec<(f64, f64)>> {
    let points = collected::cleared(timeline, lane, span, POINTS);
    (points.len() + 2 >= POINTS as usize).then_some(points)
}

/// The lane whose growth is a leak's: all that lives, or with a collector what outlived its minor collections, or what all of its
/// collections left.
fn grows_in(timeline: &Timeline) -> &'static str {
    match (timeline.has(names::HEAP_LIVE), timeline.has(names::HEAP_OLD)) {
        (true, true) => names::HEAP_OLD,
        (true, false) => names::HEAP_LIVE,
        _ => names::HEAP_USED,
    }
}

/// Is what grew from `onset` to `last` still there at `at`? A leak that has come to rest is no smaller for it.
pub fn is_held(timeline: &Timeline, onset: RunTime, last: RunTime, at: RunTime) -> bool {
    let lane = grows_in(timeline);
    let level = |t: RunTime| {
        let points = window::summed(timeline, lane, window::last(t, HELD_OVER_S), POINTS, CARRY);
        median(points.iter().map(|p| p.1).collect())
    };
    match (level(onset), level(last), level(at)) {
        (Some(floor), Some(peak), Some(now)) => peak > floor && now - floor >= HELD * (peak - floor),
        _ => false,
    }
}

/// Growth that nothing explains.
struct Growth {
    lane: &'static str,
    span: Span,
    trend: Trend,
    bytes: f64,
    live: f64,
    linear: bool,
}

impl Growth {
    fn over(timeline: &Timeline, lane: &'static str, span: Span) -> Option<Self> {
        let points = points(timeline, lane, span)?;
        let whole = trend(&points)?;
        let bytes = whole.slope * window::seconds(span);
        let live = points.last()?.1;
        let grows = whole.rising >= RISING
            && bytes >= LEAST_GROWTH.max(LEAST_SHARE * live)
            && bytes >= OVER_NOISE * whole.noise;
        if !grows {
            return None;
        }
        let (first, second) = points.split_at(points.len() / 2);
        let (first, second) = (trend(first)?.slope, trend(second)?.slope);
        let unexplained = whole.slope - explained(timeline, lane, span, live);
        let steady = second >= STEADY * first && second >= STEADY * whole.slope;
        (steady && unexplained >= UNEXPLAINED * whole.slope).then_some(Self {
            lane,
            span,
            trend: whole,
            bytes,
            live,
            linear: second <= whole.slope / STEADY,
        })
    }
}

impl Growth {
    /// What grows, in words.
    fn what(&self) -> &'static str {
        if self.lane == names::HEAP_OLD { "the old generation" } else { "all live memory" }
    }

    /// Seconds in which what lives doubles at this rate.
    fn doubling_s(&self) -> f64 {
        self.live / self.trend.slope
    }

    /// From where the growth leaves the floor, not before the load was settled, until now: longer than the window as a rule.
    fn since(&self, timeline: &Timeline, at: RunTime, settled: RunTime) -> Span {
        let wide = window::last(at, KNOT_S);
        let wide = Span::new(wide.start.max(settled), wide.end);
        let points = collected::cleared(timeline, self.lane, wide, KNOT_POINTS);
        let knot = knot(&points).map_or(self.span.start, RunTime::from_secs_f64);
        Span::new(knot.min(self.span.start + AGE), at)
    }

    /// Has it been slowing down? Walks back through the settled time before the window, block by block, for
    /// as long as each grew faster than the one after it. A floor before a leak ends the walk at once. A leak that slows down only because
    /// fewer requests get through is still one: then what each of them keeps is compared.
    fn slowing(&self, timeline: &Timeline, settled: RunTime) -> bool {
        let often = !window::seldom(timeline, names::SERVER_REQUESTS, self.span.end, REQUESTS_EACH);
        let answered = |span| {
            let count = window::counted(timeline, names::SERVER_REQUESTS, span).filter(|_| often)?;
            Some(count / window::seconds(span)).filter(|&rate| rate > 0.0)
        };
        let now = answered(self.span);
        let fewer = |block| now.zip(answered(block)).map_or(1.0, |(now, then)| now / then.max(now));
        let (mut fastest, mut end) = (self.trend.slope, self.span.start);
        for _ in 0..BLOCKS {
            let block = Span::new(end.back(BLOCK).max(settled), end);
            if block.length() < BLOCK / 2 {
                break;
            }
            let points = collected::cleared(timeline, self.lane, block, POINTS);
            match trend(&points).map(|t| t.slope * fewer(block)).filter(|&slope| slope >= fastest) {
                Some(slope) => fastest = slope,
                None => break,
            }
            end = block.start;
        }
        fastest > SLOWING * self.trend.slope
    }
}

/// Bytes per second that a growing number of sessions, sockets or requests accounts for. All live
/// memory is put down to them, which is more than their share, so a ramp is never taken for a leak.
fn explained(timeline: &Timeline, lane: &str, span: Span, live: f64) -> f64 {
    // Looked at as what grows is: what comes and goes hides neither.
    let read = if lane == names::HEAP_USED { window::summed_least } else { window::summed };
    // Sessions that the target keeps are its own business where the clients' are known: keeping them is the leak.
    let mut holders = vec![names::SERVER_WEBSOCKETS, names::SERVER_IN_FLIGHT];
    holders.push(if timeline.has(names::OPEN_SESSIONS) {
        names::OPEN_SESSIONS
    } else {
        names::SERVER_SESSIONS
    });
    holders
        .into_iter()
        .filter_map(|name| {
            let points = read(timeline, name, span, POINTS, CARRY);
            let t = trend(&points).filter(|t| t.rising >= RISING && t.slope > 0.0)?;
            let count = median(points.iter().map(|p| p.1).collect())?.max(1.0);
            Some(t.slope * live / count)
        })
        .fold(0.0, f64::max)
}

/// The median of the route whose requests last longest, over all processes; 0 without any.
fn longest_request_s(timeline: &Timeline, at: RunTime) -> f64 {
    let instances = window::instances(timeline, names::HEAP_USED).into_iter();
    let longest =
        instances.filter_map(|i| routes::longest(timeline, i, window::last(at, ENDED_S), f64::INFINITY));
    longest.map(|(_, ns)| ns / 1e9).fold(0.0, f64::max)
}

/// What the old generation says.
struct Old {
    slope: f64,
    now: f64,
    promoted: f64,
}

/// None where it contradicts the growth of the total.
fn old_agrees(timeline: &Timeline, at: RunTime, growth: &Growth) -> Option<Old> {
    let span = window::last(at, OLD_WINDOW_S.max(window::seconds(growth.span) - AGE.as_secs_f64()));
    let points = collected::cleared(timeline, names::HEAP_OLD, span, POINTS);
    let t = trend(&points)?;
    let now = points.last()?.1;
    let grown = t.slope * window::seconds(span);
    let error = window::mean(timeline, names::HEAP_ERROR, span).unwrap_or(0.0);
    let known_to = error * (grown.max(0.0) * now.max(0.0)).sqrt();
    let promoted_points = window::summed(timeline, names::HEAP_PROMOTED, span, POINTS, CARRY);
    let promoted = promoted_points.iter().map(|p| p.1).sum::<f64>() / promoted_points.len().max(1) as f64;
    let promoted_enough = !timeline.has(names::HEAP_PROMOTED) || promoted >= PROMOTED * t.slope;
    // It may have grown by less than its sample says, by half at most (see below).
    let no_faster = t.slope - known_to / window::seconds(span) <= AGREE.end() * growth.trend.slope;
    let agrees = t.rising >= RISING
        && t.slope >= AGREE.start() * growth.trend.slope
        && no_faster
        && grown >= SAMPLING_DEVIATIONS * known_to
        && promoted_enough;
    agrees.then_some(Old { slope: t.slope, now, promoted })
}

fn claim(timeline: &Timeline, at: RunTime, settled: RunTime, growth: &Growth) -> Option<Claim> {
    let generations = timeline.has(names::HEAP_OLD);
    let old = old_agrees(timeline, at, growth);
    let length = window::seconds(growth.span);
    if (generations && old.is_none()) || (!generations && length < ALONE_S) {
        return None;
    }
    let whole = growth.since(timeline, at, settled);
    let left = collected::left(timeline, whole);
    if timeline.has(names::HEAP_LIVE) && left.is_none_or(|l| l.share < LEFT) {
        return None;
    }
    let closely = |o: &Old| {
        AGREE_CLOSELY.contains(&(o.slope / growth.trend.slope))
            && (o.promoted > 0.0 || left.is_some_and(|l| !l.is_early))
    };
    let status = match &old {
        None => Status::Possible,
        Some(o) if closely(o) && growth.linear && length >= CONFIRM_S => Status::Confirmed,
        Some(_) => Status::Likely,
    };
    let onset = whole.start;
    let hot = functions::hottest(timeline, kinds::PROFILE_RETAINED, whole);
    Some(Claim {
        kind: FindingKind::HeapLeak,
        identity: String::new(),
        subject: String::new(),
        severity: if growth.doubling_s() <= CRITICAL_DOUBLING_S {
            Severity::Critical
        } else {
            Severity::Warning
        },
        status,
        onset,
        last: at,
        quiet: QUIET,
        weight: growth.bytes,
        claim: sentence(timeline, growth, whole, hot.as_ref()),
        evidence: supporting(timeline, growth, old.as_ref(), left, hot.as_ref()),
        contradicting: Vec::new(),
        advice: advice(timeline, growth, hot.as_ref()),
        missing: if generations { Vec::new() } else { vec![names::HEAP_OLD.to_owned()] },
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// `whole`: from the leak's beginning until its rate was measured, which may be long before the leak is over.
fn sentence(timeline: &Timeline, growth: &Growth, whole: Span, hot: Option<&Share>) -> String {
    let hot = hot.map_or(String::new(), |(function, share)| {
        format!("; {:.0} % of what stays is allocated in {function}", share * 100.0)
    });
    let beside = if timeline.has(names::OPEN_SESSIONS) { "open client sessions" } else { "sessions" };
    format!(
        "{} grows {} since {ONSET} while {beside} do not: about {} until {}{hot}",
        growth.what(),
        Unit::BytesPerSecond.show(growth.trend.slope),
        Unit::Bytes.show(growth.trend.slope * window::seconds(whole)),
        whole.end
    )
}

fn supporting(
    timeline: &Timeline,
    growth: &Growth,
    old: Option<&Old>,
    left: Option<Left>,
    hot: Option<&Share>,
) -> Vec<Evidence> {
    let span = growth.span;
    let text = format!(
        "{} grows {}, in {:.0} % of all pairs of instants over {:.0} s, to {}, which doubles in {} at this rate",
        growth.what(),
        Unit::BytesPerSecond.show(growth.trend.slope),
        growth.trend.rising * 100.0,
        window::seconds(span),
        Unit::Bytes.show(growth.live),
        Unit::Ns.show(growth.doubling_s() * 1e9)
    );
    let mut list = vec![evidence(text, growth.lane, span, growth.trend.slope, Unit::BytesPerSecond)];
    if let Some(o) = old.filter(|_| growth.lane != names::HEAP_OLD) {
        let text = format!(
            "the old generation (sampled) grows {} and holds {}",
            Unit::BytesPerSecond.show(o.slope),
            Unit::Bytes.show(o.now)
        );
        list.push(evidence(text, names::HEAP_OLD, span, o.slope, Unit::BytesPerSecond));
        if timeline.has(names::HEAP_PROMOTED) {
            let text = format!("{} outlives the age threshold", Unit::BytesPerSecond.show(o.promoted));
            list.push(evidence(text, names::HEAP_PROMOTED, span, o.promoted, Unit::BytesPerSecond));
        }
    }
    if let Some(Left { share, .. }) = left {
        let text = format!("the last major collection left {:.0} % of what had come by then", share * 100.0);
        list.push(evidence(text, names::HEAP_LIVE, span, share, Unit::Ratio));
    }
    if let Some((function, share)) = hot {
        let text = format!("{:.0} % of a profile of what stays was allocated in {function}", share * 100.0);
        list.push(evidence(text, kinds::PROFILE_RETAINED, span, *share, Unit::Ratio));
    }
    for name in [names::OPEN_SESSIONS, names::SERVER_SESSIONS, names::PROCESS_RESIDENT] {
        let points = window::summed(timeline, name, span, POINTS, CARRY);
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let unit = if name == names::PROCESS_RESIDENT { Unit::Bytes } else { Unit::Count };
            let text =
                format!("{name} went from {} to {} in the same time", unit.show(first.1), unit.show(last.1));
            list.push(evidence(text, name, span, last.1 - first.1, unit));
        }
    }
    list
}

fn advice(timeline: &Timeline, growth: &Growth, hot: Option<&Share>) -> Vec<String> {
    let kept = trend(&window::summed(timeline, names::SERVER_SESSIONS, growth.span, POINTS, CARRY))
        .filter(|t| t.rising >= RISING && t.slope > 0.0);
    let first = kept.map_or_else(
        || {
            let what = hot.map_or("what is kept and never removed".to_owned(), |(function, _)| {
                format!("who keeps what {function} allocates and never removes it")
            });
            format!("Find {what} (a map without a bound is the usual one) and bound it by number and age.")
        },
        |k| {
            format!(
                "Bound the sessions that the target keeps: {} more each second, about {} each, are never removed.",
                Unit::Count.show((k.slope * 10.0).round() / 10.0), Unit::Bytes.show(growth.trend.slope / k.slope)
            )
        },
    );
    let full = limit_reached(timeline, growth).map(|(instance, limit, in_s)| {
        format!(
            "{instance} comes to its heap's limit of {} in {}; a larger limit only puts that off.",
            Unit::Bytes.show(limit),
            Unit::Ns.show(in_s * 1e9)
        )
    });
    std::iter::once(first).chain(full).collect()
}

/// The process that comes to its heap's limit first at its own pace: its name, the limit, and the seconds until then.
fn limit_reached<'a>(timeline: &'a Timeline, growth: &Growth) -> Option<(&'a str, f64, f64)> {
    let end = growth.span.end;
    let reached = |instance: &'a str| {
        let limit = window::of_instance(timeline, names::HEAP_LIMIT, instance)?.at(end, CARRY)?;
        let lives = collected::cleared_of(timeline, growth.lane, instance, growth.span, POINTS);
        let (now, pace) = (lives.last()?.1, trend(&lives)?.slope);
        (pace > 0.0 && limit > now).then(|| (instance, limit, (limit - now) / pace))
    };
    let all = window::instances(timeline, names::HEAP_LIMIT).into_iter();
    all.filter_map(reached).min_by(|a, b| a.2.total_cmp(&b.2))
}
