//! Slow consumer: what is pushed to clients that do not keep up waits in the target without bound.
//!
//! **Claim.** So many bytes wait for so many clients, and grow so fast. **Reads** `server.send-queue`, `server.send-queue.longest`, `server.websockets`,
//! `heap.used`. **Needs** `server.send-queue.longest` and 5 s of it, or `server.send-queue` and `server.websockets` and 10 s of both. **Statistic.** The client
//! furthest behind falls further behind all the time: over the window the lane never gives back a tenth of what it
//! gained, it grows in its first fifth as in its last, and Mann and Kendall's pairs rise. A bounded queue shows its bound within that time: it falls when its client is let go or has
//! caught up. **Law.** What waits is kept in memory: where live memory grows about as fast, it is confirmed.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, lasting, plural};
use crate::stats::{knot, trend};
use crate::window;

/// Window, seconds. A client on a poor link that gets a megabyte a second loses a few seconds to retransmissions (a timeout of
/// 0.2 s, doubled four times, is 3 s); a queue that has not given anything back for longer is not drained.
const WINDOW_S: f64 = 5.0;
/// The same where only the sum is known, in which clients that come and go hide.
const WINDOW_OF_SUM_S: f64 = 10.0;
/// Share of the window that samples must cover.
const COVERED: f64 = 0.85;
/// Share of the gain that may have been given back.
const GIVEN_BACK: f64 = 0.1;
/// What the first and the last fifth of the window must have gained, over an even part. A queue that grew for less than four
/// of five seconds cannot have this in both.
const EVEN: f64 = 0.6;
const FIFTHS: f64 = 5.0;
/// Share of pairs that rise; a queue that gets a message a second has ties among its pairs.
const RISING: f64 = 0.85;
/// Bytes behind which a client is slow: what a socket's own buffer holds besides is no less.
const LEAST_BEHIND: f64 = 64.0 * 1024.0;
/// Bytes that it must have lost in the window.
const LEAST_GAIN: f64 = 16.0 * 1024.0;
/// Growth of live memory over that of the queues for the law to agree: messages that are shared by queues
/// are kept once, and each has some bytes of its own.
const LAW: std::ops::RangeInclusive<f64> = 0.3..=3.0;
/// Points of a trend.
const POINTS: u32 = 25;
/// Memory by which the time that is left is told, since no lane says what there is.
const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;
/// Time to fill it that is critical.
const CRITICAL_S: f64 = 300.0;
/// How far back the onset is looked for, seconds, and on how many points.
const KNOT_S: f64 = 30.0;
const KNOT_POINTS: u32 = 60;
/// A queue that does not grow for so long is drained, or full.
const QUIET: Duration = Duration::from_secs(5);
/// Values of levels are carried for so long.
const CARRY: Duration = Duration::from_millis(700);

/// Looks at the queues of all processes together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let longest = timeline.has(names::SERVER_SEND_QUEUE_LONGEST);
    let sum = timeline.has(names::SERVER_SEND_QUEUE) && timeline.has(names::SERVER_WEBSOCKETS);
    if !longest && !sum {
        return Answer::CannotTell(vec![names::SERVER_SEND_QUEUE_LONGEST.to_owned()]);
    }
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    let worst = if longest { furthest_behind(timeline, at) } else { by_sum(timeline, at) };
    Answer::Looked(worst.and_then(|w| claim(timeline, at, &w)).into_iter().collect())
}

/// A queue that grows and does not drain.
struct Growing {
    lane: String,
    instance: String,
    span: Span,
    now: f64,
    per_s: f64,
    onset: RunTime,
}

/// The queue of the client furthest behind, of the process where it grows and is longest.
fn furthest_behind(timeline: &Timeline, at: RunTime) -> Option<Growing> {
    let span = window::last(at, WINDOW_S);
    let lanes = timeline.named(names::SERVER_SEND_QUEUE_LONGEST);
    lanes.filter_map(|lane| growing(lane, span)).max_by(|a, b| a.now.total_cmp(&b.now))
}

fn growing(lane: &Series, span: Span) -> Option<Growing> {
    let points: Vec<(f64, f64)> = lane.within(span).iter().map(|p| (p.0.as_secs_f64(), p.1)).collect();
    let (now, per_s) = undrained(&thinned(&points), WINDOW_S)?;
    let before = lane.within(window::last(span.end, KNOT_S));
    let before: Vec<(f64, f64)> = before.iter().map(|p| (p.0.as_secs_f64(), p.1)).collect();
    Some(Growing {
        lane: lane.spec.name.clone(),
        instance: lane.spec.instance.clone(),
        span,
        now,
        per_s,
        onset: onset(&before, span),
    })
}

/// The end of the last fall: what grew before it was drained.
fn onset(points: &[(f64, f64)], span: Span) -> RunTime {
    let peak = points.last().map_or(0.0, |p| p.1);
    let fall = points.windows(2).rposition(|w| w[0].1 - w[1].1 > GIVEN_BACK * peak);
    let since = &points[fall.map_or(0, |i| i + 1)..];
    let stride = since.len().div_ceil(KNOT_POINTS as usize).max(1);
    let thin: Vec<(f64, f64)> = since.iter().step_by(stride).copied().collect();
    knot(&thin).map_or(span.start, RunTime::from_secs_f64).min(span.start + Duration::from_secs(1))
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(POINTS as usize).max(1);
    // The newest always belongs to it.
    let mut thin: Vec<(f64, f64)> = points.iter().rev().step_by(stride).copied().collect();
    thin.reverse();
    thin
}

/// The newest value and the slope of a series that rises through the window and gives nothing back.
fn undrained(points: &[(f64, f64)], length_s: f64) -> Option<(f64, f64)> {
    let (first, last) = (points.first()?, points.last()?);
    let gain = last.1 - first.1;
    if last.0 - first.0 < COVERED * length_s || last.1 < LEAST_BEHIND || gain < LEAST_GAIN {
        return None;
    }
    let fifth = length_s / FIFTHS;
    let early = points.iter().rfind(|p| p.0 <= first.0 + fifth)?.1 - first.1;
    let late = last.1 - points.iter().find(|p| p.0 >= last.0 - fifth)?.1;
    if early.min(late) < EVEN * gain / FIFTHS {
        return None;
    }
    let mut top = first.1;
    for p in points {
        if top - p.1 > GIVEN_BACK * gain {
            return None;
        }
        top = top.max(p.1);
    }
    let t = trend(points).filter(|t| t.rising >= RISING)?;
    Some((last.1, t.slope))
}

/// Where only the sum is known: it grows, and the number of WebSockets does not account for it.
fn by_sum(timeline: &Timeline, at: RunTime) -> Option<Growing> {
    let span = window::last(at, WINDOW_OF_SUM_S);
    let of = |name| window::summed(timeline, name, span, POINTS, CARRY);
    let (queued, sockets) = (of(names::SERVER_SEND_QUEUE), of(names::SERVER_WEBSOCKETS));
    let (now, per_s) = undrained(&queued, WINDOW_OF_SUM_S)?;
    let (before, after) = (sockets.first()?.1.max(1.0), sockets.last()?.1);
    let accounted = queued.first()?.1 * (after / before).max(1.0);
    (now - accounted >= (now - queued.first()?.1) / 2.0).then(|| Growing {
        lane: names::SERVER_SEND_QUEUE.to_owned(),
        instance: String::new(),
        span,
        now,
        per_s,
        onset: span.start,
    })
}

/// What all queues hold and gain, and what memory gains.
struct Figures {
    all: f64,
    per_s: f64,
    clients: f64,
    heap_per_s: Option<f64>,
}

impl Figures {
    fn read(timeline: &Timeline, worst: &Growing) -> Self {
        let of = |name| window::summed(timeline, name, worst.span, POINTS, CARRY);
        let queued = of(names::SERVER_SEND_QUEUE);
        let slope = trend(&queued).map_or(worst.per_s, |t| t.slope).max(worst.per_s);
        let heap = trend(&of(names::HEAP_USED)).map(|t| t.slope);
        Self {
            all: queued.last().map_or(worst.now, |p| p.1).max(worst.now),
            per_s: slope,
            // None is further behind than the worst, and those that read get nothing queued.
            clients: if worst.instance.is_empty() { 1.0 } else { (slope / worst.per_s).round().max(1.0) },
            heap_per_s: heap,
        }
    }

    fn law_agrees(&self) -> bool {
        self.heap_per_s.is_some_and(|h| LAW.contains(&(h / self.per_s)))
    }

    fn left_s(&self) -> f64 {
        ((GIBIBYTE - self.all) / self.per_s).max(0.0)
    }
}

fn claim(timeline: &Timeline, at: RunTime, worst: &Growing) -> Option<Claim> {
    let f = Figures::read(timeline, worst);
    let show = |bytes| Unit::Bytes.show(bytes);
    let many = if worst.instance.is_empty() {
        "clients that do not keep up".to_owned()
    } else {
        format!(
            "about {} that {} not keep up",
            plural(f.clients, "client"),
            if f.clients < 1.5 { "does" } else { "do" }
        )
    };
    let claim = format!(
        "{} wait for {many} and are never let go: {} more each second since {ONSET}, {} behind for the worst",
        show(f.all),
        show(f.per_s),
        show(worst.now)
    );
    (f.per_s > 0.0).then(|| Claim {
        kind: FindingKind::SlowConsumer,
        identity: String::new(),
        subject: worst.instance.clone(),
        severity: if f.left_s() <= CRITICAL_S { Severity::Critical } else { Severity::Warning },
        status: if f.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset: worst.onset,
        last: at,
        quiet: QUIET,
        weight: f.all,
        claim,
        evidence: supporting(timeline, worst, &f),
        contradicting: Vec::new(),
        advice: advice(worst, &f),
        missing: if worst.instance.is_empty() {
            vec![names::SERVER_SEND_QUEUE_LONGEST.to_owned()]
        } else {
            Vec::new()
        },
        episodes: vec![Span::new(worst.onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

fn supporting(timeline: &Timeline, worst: &Growing, f: &Figures) -> Vec<Evidence> {
    let span = worst.span;
    let text = format!(
        "{} and nothing given back for {:.0} s: {} now, {} more each second",
        if worst.instance.is_empty() { "all queues together grow" } else { "the longest queue grows" },
        window::seconds(span),
        Unit::Bytes.show(worst.now),
        Unit::Bytes.show(worst.per_s)
    );
    let mut list = vec![evidence(text, worst.lane.as_str(), span, worst.per_s, Unit::BytesPerSecond)];
    let text = format!("{} wait in all queues together", Unit::Bytes.show(f.all));
    list.push(evidence(text, names::SERVER_SEND_QUEUE, span, f.all, Unit::Bytes));
    if let Some(h) = f.heap_per_s {
        let text = format!(
            "live memory grows {} in the same time, the queues {}",
            Unit::BytesPerSecond.show(h),
            Unit::BytesPerSecond.show(f.per_s)
        );
        list.push(evidence(text, names::HEAP_USED, span, h, Unit::BytesPerSecond));
    }
    let sockets = window::summed(timeline, names::SERVER_WEBSOCKETS, span, 2, CARRY);
    if let Some(n) = sockets.last() {
        let text = format!("{} are open", plural(n.1, "WebSocket"));
        list.push(evidence(text, names::SERVER_WEBSOCKETS, span, n.1, Unit::Count));
    }
    list
}

fn advice(worst: &Growing, f: &Figures) -> Vec<String> {
    // Two seconds of what one client is sent: more than a hiccup of its link, less than a client that has gone.
    let bound = 2.0 * worst.per_s;
    vec![
        format!(
            "Bound each client's queue, by {} say (2 s of what one gets), and let a client go that is further behind, or drop what it has missed and send the newest state.",
            Unit::Bytes.show(bound)
        ),
        format!(
            "At {} a GiB of memory is full of it {} from now.",
            Unit::BytesPerSecond.show(f.per_s),
            lasting(f.left_s())
        ),
        "Let a client go that takes nothing for ten seconds, and send pings, so that those that are gone are noticed.".to_owned(),
    ]
}
