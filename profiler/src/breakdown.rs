//! Queueing decomposition: the mean response time of a request, split into waits and work, before and after an onset.
//!
//! Owns which lane is which part and what of it a kind of finding is about. Means, not percentiles, because only means add
//! up. The client's side counts each request once; the target's lanes are sums over the same stretch, divided by the
//! requests that its handlers finished. Where both counts disagree the target's side cannot be set beside the client's: both counts are
//! told, and requests without a handler count as such that spent no time in one. The mix of requests may change with the onset; then so do
//! the parts, which is part of what users feel.

use std::collections::BTreeSet;
use std::time::Duration;

use timeline::breakdown::{Breakdown, Law, Part};
use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Series, Span, Timeline, Unit};

use crate::detectors::long_pause::SORTS;
use crate::excess;
use crate::ledger::Entry;
use crate::window;

/// Means are taken over so much at most.
const LONGEST: Duration = Duration::from_secs(30);
/// And over so many requests at least: a mean of times that are spread exponentially is then known to a fifth.
const LEAST_REQUESTS: u64 = 25;
/// Client and handlers must count the same requests to within this share. Messages of WebSockets are steps without a handler.
const COUNTS_AGREE: f64 = 0.1;

/// Which part is meant; the order is that in which a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Generator,
    BeforeHandler,
    ConnectionWait,
    ConnectionHold,
    OffloadWait,
    OffloadRun,
    Downstream,
    Handler,
    CacheLoad,
    LoopDelay,
    Pause,
}

/// The parts that a kind of finding adds to; none where it adds to none directly (memory that fills, a worker that is lost).
const fn own(kind: FindingKind) -> &'static [Slot] {
    use FindingKind as K;
    match kind {
        K::PoolSaturated | K::PoolLeak => &[Slot::ConnectionWait],
        K::ConnectionChurn | K::SlowQuery | K::QueryFanOut | K::SerialAwaits | K::PoolOversized => {
            &[Slot::ConnectionWait, Slot::ConnectionHold]
        }
        K::CacheStampede | K::CacheAvalanche | K::CachePenetration | K::CacheCold | K::CacheThrash => {
            &[Slot::CacheLoad]
        }
        K::LongPause => &[Slot::Pause],
        // What holds the loop counts in its own handler; what waits for the loop has not reached one.
        K::LoopBlocked | K::LoopStarved | K::CpuSaturated => &[Slot::BeforeHandler, Slot::Handler],
        K::OffloadSaturated => &[Slot::OffloadWait],
        K::DownstreamCascade | K::RetryStorm => &[Slot::Downstream],
        K::AcceptOverflow => &[Slot::BeforeHandler],
        _ => &[],
    }
}

/// The breakdown around a finding's onset; none without settled load before it in which nothing of `others` was found, with too few requests,
/// or where its own wait was there before.
pub fn of(timeline: &Timeline, at: RunTime, entry: &Entry, others: &[Span]) -> Option<Breakdown> {
    let onset = entry.finding.onset;
    let end = entry.finding.ended.unwrap_or(at);
    let since = window::same_load_since(timeline.plan(), end);
    let before = excess::baseline(timeline, end, onset, others)?;
    let after = Span::new(onset.max(since).max(end.back(LONGEST)), end);
    // The client tells once a second, and what the target told meanwhile must not be set beside what the client has not told yet.
    let told = |span| timeline.told_within(names::RESPONSE, span);
    let (before, after) = (told(before)?, told(after)?);
    let (a, b) = (Means::read(timeline, before)?, Means::read(timeline, after)?);
    let own = own(entry.finding.kind);
    if waited_before(&a, &b, own) {
        return None;
    }
    let split = a.split() && b.split();
    let inside = |slot: Slot| matches!(slot, Slot::CacheLoad | Slot::LoopDelay | Slot::Pause);
    let (within, parts): (Vec<_>, Vec<_>) = read_all(timeline, &a, &b, own)
        .into_iter()
        // Without the split the time is told whole, and what the target shows lies somewhere in it.
        .partition(|(slot, _)| inside(*slot) || !split && *slot != Slot::Generator);
    let mut parts: Vec<Part> = parts.into_iter().map(|p| p.1).collect();
    if !split {
        parts.push(whole_service(&a, &b));
    }
    Some(Breakdown {
        finding: entry.finding.id.clone(),
        before,
        after,
        requests_before: a.requests,
        requests_after: b.requests,
        handled_before: a.handled,
        handled_after: b.handled,
        response_before: a.response,
        response_after: b.response,
        service_before: a.service,
        service_after: b.service,
        parts,
        inside: within.into_iter().map(|p| p.1).collect(),
        laws: laws(timeline, after),
        missing: missing(&a, &b),
    })
}

/// Where so much of the wait that a finding is about was there before its onset, as a share of what there was since, it was on by then:
/// detectors need a while to be sure of a queue, and in health nobody waits.
const WAITED_BEFORE: f64 = 0.5;
/// A wait below this is none, ns: what it takes to hand over a thing that is free.
const WAITED_NS: f64 = 1e5;

/// Is the finding about a wait alone, and was that there before?
fn waited_before(a: &Means, b: &Means, own: &[Slot]) -> bool {
    let wait = |m: &Means| match own {
        [Slot::ConnectionWait] => m.connection.map(|c| c.0),
        [Slot::OffloadWait] => m.offload_wait,
        _ => None,
    };
    wait(a).zip(wait(b)).is_some_and(|(a, b)| a >= WAITED_NS && a >= WAITED_BEFORE * b)
}

/// All parts that both stretches show.
fn read_all(timeline: &Timeline, a: &Means, b: &Means, own: &[Slot]) -> Vec<(Slot, Part)> {
    let part = |&(slot, what, lane, inferred, read): &(Slot, &str, &str, bool, Read)| {
        let (what, lane) = (what.to_owned(), only(timeline, lane));
        Some((
            slot,
            Part { what, lane, before: read(a)?, after: read(b)?, own: own.contains(&slot), inferred },
        ))
    };
    TABLE.iter().filter_map(part).collect()
}

/// A lane of all members of a family, or of the only one that there is.
fn only(timeline: &Timeline, lane: &str) -> String {
    let parts = lane.split_once(".*.").map(|(family, part)| (family, part, timeline.members(family)));
    match parts {
        Some((family, part, members)) if members.len() == 1 => names::of(family, &members[0], part),
        _ => lane.to_owned(),
    }
}

fn whole_service(a: &Means, b: &Means) -> Part {
    Part {
        what: "from sending to the end of the answer".to_owned(),
        lane: names::SERVICE.to_owned(),
        before: a.service,
        after: b.service,
        own: false,
        inferred: false,
    }
}

fn missing(a: &Means, b: &Means) -> Vec<String> {
    let mut list = Vec::new();
    if a.handler.is_none() || b.handler.is_none() {
        list.push(names::SERVER_HANDLER.to_owned());
    }
    if a.connection.is_none() || b.connection.is_none() {
        list.push(names::of(names::POOL, "*", "wait"));
    }
    list
}

type Read = fn(&Means) -> Option<f64>;

/// Each part: what it is in words, its lanes, whether it is concluded, and how it is read.
const TABLE: &[(Slot, &str, &str, bool, Read)] = &[
    (
        Slot::Generator,
        "due but not sent: its session waits for the answer before, or the generator is late",
        "client.response - client.service",
        false,
        |m| Some((m.response - m.service).max(0.0)),
    ),
    (
        Slot::BeforeHandler,
        "before and after the handler: connecting, listen queue, event loop, network",
        "client.service - server.handler",
        true,
        |m| Some((m.service - m.handler?).max(0.0)),
    ),
    (Slot::ConnectionWait, "waiting for a connection of a pool", "pool.*.wait", false, |m| {
        m.connection.map(|c| c.0)
    }),
    (
        Slot::ConnectionHold,
        "holding a connection: statements and their round trips",
        "pool.*.hold",
        false,
        |m| m.connection.map(|c| c.1),
    ),
    (Slot::OffloadWait, "waiting for an offload thread", names::OFFLOAD_WAIT, false, |m| m.offload_wait),
    (Slot::OffloadRun, "on an offload thread", names::OFFLOAD_RUN, false, |m| m.offload_run),
    (Slot::Downstream, "waiting for services behind", "downstream.*.time", false, |m| m.downstream),
    (Slot::Handler, "the rest of the handler", names::SERVER_HANDLER, true, |m| Some(m.rest()?.max(0.0))),
    (Slot::CacheLoad, "loading what a cache did not hold", "cache.*.load", false, |m| m.cache_load),
    (Slot::LoopDelay, "one turn of the event loop coming late", names::LOOP_DELAY, true, |m| m.loop_delay),
    (Slot::Pause, "standing still with the process", names::PAUSE, true, |m| m.pause),
];

/// Mean nanoseconds of a request over a stretch.
struct Means {
    requests: u64,
    handled: u64,
    response: f64,
    service: f64,
    handler: Option<f64>,
    /// Waiting for a connection, holding one.
    connection: Option<(f64, f64)>,
    offload_wait: Option<f64>,
    offload_run: Option<f64>,
    downstream: Option<f64>,
    cache_load: Option<f64>,
    loop_delay: Option<f64>,
    pause: Option<f64>,
}

impl Means {
    fn read(timeline: &Timeline, span: Span) -> Option<Self> {
        let (requests, response) = sum(timeline, names::RESPONSE, span)?;
        let (served, service) = sum(timeline, names::SERVICE, span)?;
        if requests < LEAST_REQUESTS || served == 0 {
            return None;
        }
        let (handled, handler) = sum(timeline, names::SERVER_HANDLER, span).unwrap_or((0, 0.0));
        // Not all that clients count has a handler: then it is a mean over all that they count, as the client's times are.
        let all = if agree(handled, requests) { handled } else { handled.max(requests) };
        let each = (handled > 0).then_some(all as f64);
        let of_each = |found: Option<(u64, f64)>| Some(found?.1 / each?);
        let family = |family: &str, part: &str| family_sum(timeline, family, part, span);
        Some(Self {
            requests,
            handled,
            response: response / requests as f64,
            service: service / served as f64,
            handler: each.map(|n| handler / n),
            connection: connection(timeline, span, each),
            offload_wait: of_each(sum(timeline, names::OFFLOAD_WAIT, span)),
            offload_run: of_each(sum(timeline, names::OFFLOAD_RUN, span)),
            downstream: of_each(family(names::DOWNSTREAM, "time")),
            cache_load: of_each(family(names::CACHE, "load")),
            loop_delay: sum(timeline, names::LOOP_DELAY, span).map(|(n, s)| s / n as f64),
            pause: pause(timeline, span, (handled > 0).then_some(handled as f64)),
        })
    }

    /// Can the target's times be set beside the client's?
    fn split(&self) -> bool {
        self.handler.is_some() && agree(self.handled, self.requests)
    }

    /// What of the handler no other part accounts for; negative where parts belong to work outside of requests.
    fn rest(&self) -> Option<f64> {
        let connection = self.connection.map_or(0.0, |c| c.0 + c.1);
        let others = [self.offload_wait, self.offload_run, self.downstream];
        Some(self.handler? - connection - others.iter().flatten().sum::<f64>())
    }
}

fn agree(handled: u64, requests: u64) -> bool {
    (handled as f64 / requests as f64 - 1.0).abs() <= COUNTS_AGREE
}

/// Samples of a histogram lane in a stretch and their sum in ns; none without any.
fn sum(timeline: &Timeline, lane: &str, span: Span) -> Option<(u64, f64)> {
    Some(timeline.timed(lane, span)).filter(|found| found.0 > 0)
}

fn family_sum(timeline: &Timeline, family: &str, part: &str, span: Span) -> Option<(u64, f64)> {
    let members = timeline.members(family);
    let sums = members.iter().filter_map(|m| sum(timeline, &names::of(family, m, part), span));
    sums.reduce(|a, b| (a.0 + b.0, a.1 + b.1))
}

/// Waiting and holding of a request. Where the target times whole requests (`server.db.wall`), what overlaps counts once
/// and what workers do beside requests does not count; the pools then say only how it is divided.
fn connection(timeline: &Timeline, span: Span, each: Option<f64>) -> Option<(f64, f64)> {
    let wait = family_sum(timeline, names::POOL, "wait", span)?.1;
    let hold = family_sum(timeline, names::POOL, "hold", span)?.1;
    let all = sum(timeline, names::SERVER_DB_WALL, span).map_or(wait + hold, |w| w.1) / each?;
    let waiting = if wait + hold > 0.0 { wait / (wait + hold) } else { 0.0 };
    Some((all * waiting, all * (1.0 - waiting)))
}

/// Pauses of each process: whoever is inside waits for all of it, whoever comes meanwhile for half.
fn pause(timeline: &Timeline, span: Span, each: Option<f64>) -> Option<f64> {
    timeline.has(names::PAUSE).then_some(())?;
    // One that tells each 15 s is there in a span of 5 s, one that had gone before is not. A process may have a lane for each sort of pause.
    let carry = window::pace(timeline, names::PAUSE, span.end).unwrap_or_default();
    let present = window::present(timeline, names::PAUSE, span, carry);
    let instances: BTreeSet<&str> = present.map(|s| s.spec.instance.as_str()).collect();
    let rate = each? / window::seconds(span).max(1e-9) / instances.len().max(1) as f64;
    let inside = |instance: &str| {
        let lane = window::of_instance(timeline, names::SERVER_IN_FLIGHT, instance);
        lane.and_then(|l| window::mean_of(l, span)).unwrap_or_default()
    };
    let mut waited = 0.0;
    for (instance, stop) in stops(timeline, span) {
        let d = window::seconds(stop);
        // A mean level counts the long queues of the stops themselves; before one there were no more than came in its length.
        waited += rate * d * d / 2.0 + inside(instance).min(rate * d) * d;
    }
    Some(waited * 1e9 / each?)
}

/// The stops of each process that begin in `span`; the same one is told by several timers and counts once.
fn stops(timeline: &Timeline, span: Span) -> Vec<(&str, Span)> {
    let events = timeline.all_events();
    let mut stops: Vec<(&str, Span)> = events[events.partition_point(|e| e.start < span.start)..]
        .iter()
        .take_while(|e| e.start < span.end)
        .filter(|e| SORTS.contains(&e.kind.as_str()))
        .map(|e| (e.instance.as_str(), e.span()))
        .collect();
    stops.sort_by_key(|s| (s.0, s.1.start, s.1.end));
    stops.dedup_by(|next, open| {
        let same = next.0 == open.0 && next.1.start <= open.1.end;
        if same {
            open.1.end = open.1.end.max(next.1.end);
        }
        same
    });
    stops
}

/// Little's law (`L = rate x time`) wherever a lane counts what is inside and another one times it.
fn laws(timeline: &Timeline, span: Span) -> Vec<Law> {
    let mut list = Vec::new();
    list.extend(little(
        timeline,
        span,
        "requests inside handlers",
        names::SERVER_IN_FLIGHT,
        names::SERVER_HANDLER,
    ));
    for pool in timeline.members(names::POOL) {
        let lane = |part| names::of(names::POOL, &pool, part);
        let text = format!("connections of pool {pool} in use");
        list.extend(little(timeline, span, &text, &lane("in-use"), &lane("hold")));
        let text = format!("waiters for pool {pool}");
        list.extend(little(timeline, span, &text, &lane("waiters"), &lane("wait")));
    }
    list.extend(sessions(timeline, span));
    list
}

/// What each reading is allowed to miss by: the histograms' precision and edges of the span.
const TOLERANCE: f64 = 0.05;
/// Standard errors of the mean level that are allowed besides.
const ERRORS: f64 = 3.0;

fn little(timeline: &Timeline, span: Span, what: &str, level: &str, time: &str) -> Option<Law> {
    let (count, ns) = sum(timeline, time, span)?;
    let seconds = window::seconds(span);
    let blocks = blocks(timeline, level, span);
    let n = blocks.len() as f64;
    if n < 3.0 {
        return None;
    }
    let seen = blocks.iter().sum::<f64>() / n;
    let error = (blocks.iter().map(|b| (b - seen).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
    let expected = ns / 1e9 / seconds;
    let mean = ns / count as f64;
    let edge = edge(timeline, time, span);
    let closes = (seen - expected).abs() <= TOLERANCE * expected + ERRORS * error + edge + 0.1;
    let text = format!(
        "{what}: {} x {} = {expected:.1} by Little's law, {seen:.1} counted",
        Unit::PerSecond.show(count as f64 / seconds),
        Unit::Ns.show(mean)
    );
    Some(Law { text, lane: level.to_owned(), span, expected, seen, unit: Unit::Count, closes })
}

/// What stays that cross an edge of the span may add: of a stay of `s` seconds that ends in it, up to all lies before it, and what is
/// inside at its end has not been timed yet. Over a span of `t` seconds that is the sum of `s^2 / 2 / t^2` at each edge.
fn edge(timeline: &Timeline, time: &str, span: Span) -> f64 {
    let cells = timeline.named(time).flat_map(|s| s.intervals_within(span)).flat_map(|i| &i.1.cells);
    let squares: f64 = cells.map(|&(us, n)| (f64::from(us) / 1e6).powi(2) * f64::from(n)).sum();
    squares / window::seconds(span).powi(2)
}

/// Means of a level over seconds, all instances added up: samples within a second depend on one another.
fn blocks(timeline: &Timeline, level: &str, span: Span) -> Vec<f64> {
    let seconds = window::seconds(span) as u64;
    // Who was gone before has nothing inside; who goes meanwhile leaves seconds of which the sum is not known.
    let lanes: Vec<&Series> = window::present(timeline, level, span, Duration::ZERO).collect();
    if lanes.is_empty() {
        return Vec::new();
    }
    (0..seconds)
        .filter_map(|i| {
            let start = span.start + Duration::from_secs(i);
            let second = Span::new(start, start + Duration::from_secs(1));
            lanes.iter().map(|s| window::mean_of(s, second)).sum::<Option<f64>>()
        })
        .collect()
}

/// The client's side: requests that wait for an answer cannot be more than there are sessions, or connections where
/// sessions send several requests at once.
fn sessions(timeline: &Timeline, span: Span) -> Option<Law> {
    let (count, ns) = sum(timeline, names::SERVICE, span)?;
    let seconds = window::seconds(span);
    let mean = |lane: &str| {
        let blocks = blocks(timeline, lane, span);
        (blocks.len() >= 3).then(|| blocks.iter().sum::<f64>() / blocks.len() as f64)
    };
    let seen = mean(names::OPEN_SESSIONS)?.max(mean(names::OPEN_CONNECTIONS).unwrap_or(0.0));
    if seen < 1.0 {
        return None;
    }
    let expected = ns / 1e9 / seconds;
    let mean = ns / count as f64;
    let edge = edge(timeline, names::SERVICE, span);
    let text = format!(
        "requests that wait for an answer: {} x {} = {expected:.1} by Little's law, at most the {seen:.1} sessions or connections that are open",
        Unit::PerSecond.show(count as f64 / seconds),
        Unit::Ns.show(mean)
    );
    let closes = expected <= seen * (1.0 + TOLERANCE) + edge;
    Some(Law { text, lane: names::OPEN_SESSIONS.to_owned(), span, expected, seen, unit: Unit::Count, closes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::event::kinds;
    use timeline::{Entry, Event, LaneId, LaneSpec};

    /// What one of 1,000 requests waits, ns, where one process stops for 200 ms within 20 to 30 s. Those who tell of their pauses: a name,
    /// from and until which second, and each how many.
    fn waited(tellers: &[(&str, u64, u64, usize)]) -> f64 {
        let at = |s: u64| RunTime::from_ms(s * 1_000);
        let mut timeline = Timeline::new();
        for (i, &(instance, from, until, each)) in tellers.iter().enumerate() {
            let lane = LaneId(i as u32);
            timeline.apply(&Entry::Lane(lane, LaneSpec::level(names::PAUSE, instance, Unit::Ns).worst()));
            for second in (from..=until).step_by(each) {
                timeline.apply(&Entry::Sample { lane, at: at(second), value: 0.0 });
            }
        }
        timeline.apply(&Entry::Event(Event {
            kind: kinds::PAUSE_HICCUP.to_owned(),
            instance: "shop-0".to_owned(),
            start: at(25),
            end: at(25) + Duration::from_millis(200),
            labels: Vec::new(),
            value: 0.0,
            others: 0,
        }));
        pause(&timeline, Span::new(at(20), at(30)), Some(1_000.0)).unwrap()
    }

    #[test]
    fn requests_are_shared_by_those_who_are_there() {
        // 100/s for 0.2 s are 20 requests, and each waits 0.1 s of it: 2 s, over 1,000 requests.
        let alone = waited(&[("shop-0", 0, 40, 1)]);
        assert!((alone - 2e6).abs() < 1.0, "{alone}");
        assert_eq!(waited(&[("pid-7", 0, 10, 1), ("shop-0", 12, 40, 1)]), alone, "started again");
        assert_eq!(waited(&[("shop-0", 0, 40, 1), ("shop-0", 0, 40, 1)]), alone, "minor and major ones");
        assert_eq!(waited(&[("shop-0", 0, 40, 1), ("shop-1", 0, 40, 1)]), alone / 2.0);
        assert_eq!(waited(&[("shop-0", 0, 40, 16), ("shop-1", 0, 40, 16)]), alone / 2.0, "told seldom");
    }
}
