//! Heap bloat: single requests hold a whole file or result in memory.
//!
//! **Claim.** Live memory jumps by so much for few requests, stays up as long as they last, and falls in one go. **Reads** `heap.used` (where there
//! is a collector, which lets garbage lie, what it left: `heap.live`; without it nothing can be said), `heap.NAME.*`,
//! `server.in-flight`, `pool.NAME.waiters`, `server.websockets`, `server.handler`, events `pause.{stop-the-world,major}`. **Needs** `heap.used`. **Statistic.** In one process, within 10 s: a *rise* of 32 MiB
//! within 2 s over what lives there usually (the lowest tenth of 30 s), at settled load, with so few requests in flight that each stands for
//! 4 MiB (where it is twice that size those are left out that waited for a connection already before it rose); and what tells it from a cache that is filled or a module that is loaded once: a *drop* by half as much within half a second, or a route
//! whose requests last long enough to hold it, or four times that size. What a collection left shows all that came since the one before: the size
//! alone counts only where that one was within 2 s, too. A leak rises for longer, generations that the target manages itself are subtracted,
//! and what a collection or compaction takes is theirs: where they come again and again, a rise counts by what it gains between two of them.
//! **Law.** What a request holds goes when it ends: where two drops came with ends of the same seldom route, it is confirmed.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::heap_leak::collected;
use super::{Answer, Claim, ONSET, episodes, evidence, plural};
use crate::routes;
use crate::stats::median;
use crate::window;

/// Window in which rises and drops count, seconds.
const WINDOW_S: f64 = 10.0;
/// What lives usually is looked at over so many seconds.
const USUAL_S: f64 = 30.0;
/// Least rise, bytes: more than a service of some hundred requests a second takes for all of them.
const RISE: f64 = 32.0 * 1024.0 * 1024.0;
/// ... within so long: slower growth is a leak, a cache or a queue.
const RISE_WITHIN: Duration = Duration::from_secs(2);
/// Least drop, bytes, ...
const DROP: f64 = 16.0 * 1024.0 * 1024.0;
/// ... within so long.
const DROP_WITHIN: Duration = Duration::from_millis(500);
/// So much in one go is no module, and no cache that requests fill: it counts though nothing tells yet that it goes again, ...
const LARGE: f64 = 128.0 * 1024.0 * 1024.0;
/// ... and more than what many WebSockets take that are opened at once, bytes for each that is open.
const EACH_SOCKET: f64 = 64.0 * 1024.0;
/// So much is not what those have become heavier by who wait for a connection: others, perhaps, than a moment ago.
const BY_WAITING: f64 = 2.0 * RISE;
/// Share of a rise at which it has begun.
const BEGUN: f64 = 0.125;
/// Samples so high above the usual wanted: half a second.
const HIGH_SAMPLES: usize = 5;
/// Least bytes for each request in flight.
const EACH: f64 = 4.0 * 1024.0 * 1024.0;
/// A request that lasts so long can hold memory that is seen for half a second, ns. One that lasts for longer than the window waits for
/// something (a long poll), and is there whatever comes and goes.
const LONG_NS: f64 = 500e6;
/// Requests of a seldom route: ends of it beside a drop are no accident.
const SELDOM_PER_S: f64 = 2.0;
/// How long after a drop a request may end, and before.
const BESIDE: Duration = Duration::from_millis(300);
/// Load must have been the same for so long.
const SETTLE: Duration = Duration::from_secs(3);
/// Silence after which it has ended: requests that hold so much come one by one.
const QUIET: Duration = Duration::from_secs(10);
/// Levels are carried for so long: three ticks of an agent, and a little.
const CARRY: Duration = Duration::from_millis(350);
/// Parts of generations that the target manages itself.
const MANAGED: [&str; 3] = ["young", "old", "garbage"];

/// Looks at the heap of each process.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !timeline.has(names::HEAP_USED) {
        return Answer::CannotTell(vec![names::HEAP_USED.to_owned()]);
    }
    let heaps = window::instances(timeline, names::HEAP_USED).into_iter();
    let told: Vec<&str> = heaps.filter(|heap| !collected::untold(timeline, heap)).collect();
    if told.is_empty() && !timeline.has(names::HEAP_LIVE) {
        return Answer::CannotTell(vec![names::HEAP_LIVE.to_owned()]);
    }
    if told.is_empty() {
        return Answer::Unready("no collection has shown yet what of the heap is garbage".to_owned());
    }
    if window::unsettled(timeline.plan(), at, SETTLE) || window::after_plan(timeline.plan(), at) {
        return Answer::too_little(SETTLE.as_secs_f64());
    }
    let humps: Vec<Hump> = told.into_iter().filter_map(|i| Hump::of(timeline, i, at)).collect();
    Answer::Looked(claim(timeline, at, &humps).into_iter().collect())
}

/// How live memory of one process went up, and perhaps down again.
struct Hump<'a> {
    instance: &'a str,
    /// The lane that tells what lives.
    lane: &'a str,
    usual: f64,
    top: f64,
    /// Did it come within [`RISE_WITHIN`] for certain?
    sudden: bool,
    /// Instants at which it was high.
    high: Vec<RunTime>,
    drops: Vec<RunTime>,
    in_flight: Option<f64>,
    /// So many of them as had been waiting for a connection all the time since before it rose.
    waited: f64,
    websockets: Option<f64>,
    /// The route whose requests last longest, with their median, ns.
    long: Option<(&'a str, f64)>,
}

impl<'a> Hump<'a> {
    fn of(timeline: &'a Timeline, instance: &'a str, at: RunTime) -> Option<Self> {
        let collected = window::of_instance(timeline, names::HEAP_LIVE, instance);
        let used = collected.or(window::of_instance(timeline, names::HEAP_USED, instance))?;
        let managed = managed(timeline, instance);
        let own =
            |&(t, v): &(RunTime, f64)| (t, v - managed.iter().filter_map(|s| s.at(t, CARRY)).sum::<f64>());
        // Beginnings of processes and ramps are not usual.
        let settled = window::same_load_since(timeline.plan(), at).max(timeline.plan().warm_from());
        let wide = window::last(at, USUAL_S);
        let wide = Span::new(wide.start.max(settled), wide.end);
        // A collection that left nothing is one that has not been yet.
        let is_told = |p: &&(RunTime, f64)| collected.is_none() || p.1 > 0.0;
        let told: Vec<(RunTime, f64)> = used.within(wide).iter().filter(is_told).copied().collect();
        let points: Vec<(RunTime, f64)> = told.iter().map(own).collect();
        let usual = lowest_tenth(&points)?;
        let recent = window::last(at, WINDOW_S);
        let from = points.partition_point(|p| p.0 < recent.start);
        let (told, points) = (&told[from..], &points[from..]);
        // What a collection left changes with collections and with nothing else.
        let excused = if collected.is_some() { Vec::new() } else { excused(timeline, instance, recent) };
        let free = |t: RunTime, within: Duration| {
            let span = Span::new(t.back(within), t + Duration::from_nanos(1));
            excused.iter().all(|e| e.overlap(span).is_zero())
        };
        let rises = |points: &[(RunTime, f64)]| {
            points.iter().any(|&(t, v)| {
                v - usual >= RISE
                    && free(t, Duration::ZERO)
                    && v - lowest(points, t, undisturbed(&excused, t)) >= RISE
            })
        };
        // Between two collections the lane says what the first of them left, however much has come since.
        let sudden = collected.is_none() || rises(&changes(told, points));
        let high: Vec<RunTime> = points.iter().filter(|p| p.1 - usual >= RISE / 2.0).map(|p| p.0).collect();
        if !rises(points) || high.len() < HIGH_SAMPLES {
            return None;
        }
        let mut drops: Vec<RunTime> = points
            .iter()
            .filter(|&&(t, v)| highest(points, t, DROP_WITHIN) - v >= DROP && free(t, DROP_WITHIN))
            .map(|p| p.0)
            .collect();
        drops.dedup_by(|next, open| next.since(*open) <= DROP_WITHIN);
        let in_flight = usual_while(timeline, names::SERVER_IN_FLIGHT, instance, &high);
        // Where as many wait as are in flight, others than requests are among them.
        let begun = |p: &&(RunTime, f64)| Some(&p.0) < high.first() && p.1 - usual <= BEGUN * RISE;
        // What a collection left may have come at any time since the one before it.
        let rose = points.iter().rfind(begun).filter(|_| collected.is_none()).map(|p| p.0);
        let waited = waited_throughout(timeline, instance, rose, &high);
        let waited = if in_flight.is_some_and(|all| waited < all) { waited } else { 0.0 };
        Some(Self {
            instance,
            lane: &used.spec.name,
            usual,
            top: points.iter().map(|p| p.1).fold(usual, f64::max),
            sudden,
            in_flight,
            waited,
            websockets: usual_while(timeline, names::SERVER_WEBSOCKETS, instance, &high),
            high,
            drops,
            long: routes::longest(timeline, instance, wide, WINDOW_S * 1e9).filter(|r| r.1 >= LONG_NS),
        })
    }

    fn rise(&self) -> f64 {
        self.top - self.usual
    }

    /// Is it few requests that hold it, and do they hold it?
    fn held_by_few(&self) -> bool {
        let beyond = |bytes: f64| self.rise() >= bytes.max(EACH_SOCKET * self.websockets.unwrap_or(0.0));
        let large = beyond(LARGE);
        let enough_for = |n: f64| self.rise() >= EACH * n.max(1.0);
        let few =
            self.in_flight.is_none_or(|n| enough_for(n) || beyond(BY_WAITING) && enough_for(n - self.waited));
        few && (!self.drops.is_empty() || self.long.is_some() || (large && self.sudden))
    }

    /// Drops with an end of the long route beside them, if its ends are seldom.
    fn ended_with(&self, timeline: &Timeline, at: RunTime) -> usize {
        let Some((route, _)) = self.long else { return 0 };
        let span = window::last(at, WINDOW_S);
        let ends: Vec<Span> = routes::handlers(timeline, self.instance)
            .filter(|s| s.spec.subject == route)
            .flat_map(|s| s.intervals_within(span))
            .map(|i| i.0)
            .collect();
        if ends.len() as f64 > SELDOM_PER_S * WINDOW_S {
            return 0;
        }
        let beside = |t: &RunTime| ends.iter().any(|e| e.start <= *t + BESIDE && e.end + BESIDE >= *t);
        self.drops.iter().filter(|t| beside(t)).count()
    }
}

fn managed<'a>(timeline: &'a Timeline, instance: &str) -> Vec<&'a Series> {
    timeline
        .members(names::HEAP)
        .iter()
        .flat_map(|m| MANAGED.map(|part| names::of(names::HEAP, m, part)))
        .filter_map(|name| window::of_instance(timeline, &name, instance))
        .collect()
}

/// Those of `points` at which the lane, `told`, changed: a collection each.
fn changes(told: &[(RunTime, f64)], points: &[(RunTime, f64)]) -> Vec<(RunTime, f64)> {
    let steps = told.windows(2).zip(points.iter().skip(1));
    steps.filter(|(w, _)| w[0].1.total_cmp(&w[1].1).is_ne()).map(|(_, p)| *p).collect()
}

fn lowest_tenth(points: &[(RunTime, f64)]) -> Option<f64> {
    let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 10).copied()
}

fn since(points: &[(RunTime, f64)], t: RunTime, within: Duration) -> impl Iterator<Item = f64> + '_ {
    let from = points.partition_point(|p| p.0 < t.back(within));
    points[from..].iter().take_while(move |p| p.0 <= t).map(|p| p.1)
}

fn lowest(points: &[(RunTime, f64)], t: RunTime, within: Duration) -> f64 {
    since(points, t, within).fold(f64::INFINITY, f64::min)
}

fn highest(points: &[(RunTime, f64)], t: RunTime, within: Duration) -> f64 {
    since(points, t, within).fold(0.0, f64::max)
}

/// For how long before `t`, [`RISE_WITHIN`] at most, the process neither copied nor collected its heap: what came before that is no part of
/// a rise, for nobody knows what of it was a copy.
fn undisturbed(excused: &[Span], t: RunTime) -> Duration {
    let since = excused.iter().map(|e| e.end).filter(|&end| end <= t).max();
    since.map_or(RISE_WITHIN, |end| t.since(end).min(RISE_WITHIN))
}

/// Stretches in which the process copied or collected its heap.
fn excused(timeline: &Timeline, instance: &str, span: Span) -> Vec<Span> {
    let wide = Span::new(span.start.back(RISE_WITHIN), span.end);
    [kinds::PAUSE_STOP_THE_WORLD, kinds::PAUSE_MAJOR]
        .iter()
        .flat_map(|k| timeline.events(k, wide))
        .filter(|e| e.instance == instance)
        // Told at the end, while the copy was made before and after as well.
        .map(|e| Span::new(e.start.back(BESIDE), e.end + BESIDE))
        .collect()
}

/// As many as waited for a connection of the process at any time from when memory `rose` (or the longest that it may have taken) until it was
/// last high.
fn waited_throughout(timeline: &Timeline, instance: &str, rose: Option<RunTime>, high: &[RunTime]) -> f64 {
    let (Some(&first), Some(&last)) = (high.first(), high.last()) else { return 0.0 };
    let longest = first.back(RISE_WITHIN);
    let span = Span::new(rose.map_or(longest, |rose| rose.max(longest)), last);
    let pools = timeline.members(names::POOL);
    let least = pools.iter().filter_map(|pool| {
        let lane = names::of(names::POOL, pool, "waiters");
        let waiters = window::of_instance(timeline, &lane, instance)?;
        let at_first = waiters.at(span.start, CARRY)?;
        waiters.within(span).iter().map(|p| p.1).chain([at_first]).reduce(f64::min)
    });
    least.sum()
}

/// The median of a lane while it was high.
fn usual_while(timeline: &Timeline, lane: &str, instance: &str, high: &[RunTime]) -> Option<f64> {
    let lane = window::of_instance(timeline, lane, instance)?;
    median(high.iter().filter_map(|t| lane.at(*t, CARRY)).collect())
}

fn claim(timeline: &Timeline, at: RunTime, humps: &[Hump]) -> Option<Claim> {
    let humps: Vec<&Hump> = humps.iter().filter(|h| h.held_by_few()).collect();
    let worst = humps.iter().max_by(|a, b| a.rise().total_cmp(&b.rise()))?;
    let ended: usize = humps.iter().map(|h| h.ended_with(timeline, at)).sum();
    let high: Vec<Span> =
        humps.iter().flat_map(|h| &h.high).map(|t| Span::new(*t, *t + Duration::from_millis(100))).collect();
    let onset = high.iter().map(|s| s.start).min()?;
    let span = Span::new(onset, high.iter().map(|s| s.end).max()?);
    Some(Claim {
        kind: FindingKind::HeapBloat,
        identity: String::new(),
        subject: worst.long.map_or(String::new(), |l| l.0.to_owned()),
        severity: Severity::Warning,
        status: if ended >= 2 { Status::Confirmed } else { Status::Likely },
        onset,
        last: span.end.min(at),
        quiet: QUIET,
        weight: worst.rise(),
        claim: sentence(worst),
        evidence: supporting(&humps, span, ended),
        contradicting: Vec::new(),
        advice: advice(worst),
        missing: if worst.long.is_none() { vec![names::SERVER_HANDLER.to_owned()] } else { Vec::new() },
        episodes: episodes(high, Duration::from_millis(250)),
        remedies: Vec::new(),
        sort: "",
    })
}

fn sentence(h: &Hump) -> String {
    let who = match h.long {
        Some((route, time)) => {
            format!("requests of {route}, which last {}, hold", Unit::Ns.show(time))
        }
        None => "few requests hold".to_owned(),
    };
    format!(
        "{who} whole files or results in memory since {ONSET}: live memory of {} jumps from {} to {}{}",
        h.instance,
        Unit::Bytes.show(h.usual),
        Unit::Bytes.show(h.top),
        h.in_flight.map_or(String::new(), |n| format!(" with {}", in_flight(n, h.waited)))
    )
}

fn in_flight(n: f64, waited: f64) -> String {
    let others = if waited >= 1.0 {
        format!(", of which {} wait for a connection, as before", Unit::Count.show(waited))
    } else {
        String::new()
    };
    format!("{} in flight{others}", plural(n.max(1.0), "request"))
}

fn supporting(humps: &[&Hump], span: Span, ended: usize) -> Vec<Evidence> {
    let mut list: Vec<Evidence> = humps
        .iter()
        .map(|h| {
            let text = format!(
                "{}: up by {} within {} s, and {} of at least {}",
                h.instance,
                Unit::Bytes.show(h.rise()),
                RISE_WITHIN.as_secs(),
                plural(h.drops.len() as f64, "drop"),
                Unit::Bytes.show(DROP)
            );
            evidence(text, h.lane, span, h.rise(), Unit::Bytes)
        })
        .collect();
    let busiest = humps.iter().filter_map(|h| Some((h.in_flight?, h.waited)));
    if let Some((n, waited)) = busiest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let text = format!("meanwhile {}", in_flight(n, waited));
        list.push(evidence(text, names::SERVER_IN_FLIGHT, span, n, Unit::Count));
    }
    if ended > 0 {
        let text = format!("{} came as such a request ended", plural(ended as f64, "drop"));
        list.push(evidence(text, names::SERVER_HANDLER, span, ended as f64, Unit::Count));
    }
    list
}

fn advice(h: &Hump) -> Vec<String> {
    let whose = h.long.map_or("the requests that hold it".to_owned(), |l| l.0.to_owned());
    vec![
        format!(
            "Read and write in {whose} as a stream, a chunk at a time: memory then does not depend on the size of a file; now {} are held, and ten times as many such requests take {}.",
            Unit::Bytes.show(h.rise()),
            Unit::Bytes.show(h.rise() * 10.0)
        ),
        "Until then, bound the size of a file and let only as many such requests run at once as memory has room for.".to_owned(),
    ]
}
