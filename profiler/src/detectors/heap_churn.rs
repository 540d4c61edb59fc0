//! Heap churn: each request builds large objects and drops them again.
//!
//! **Claim.** So many bytes a second are allocated for one route's requests, and hardly any of them stay. **Reads**
//! `heap.allocated`, `heap.used`, `heap.resident`, `pause.collecting`, `server.handler`, or else events `pause.{minor,major}`; `profile.allocated` for a name. **Needs** `heap.allocated`, and `server.handler` to say more than
//! *possible*. **Statistic.** Over 3 s of settled load: allocation must follow one route's requests tick by tick (least squares, see
//! `routes.rs`), explain half of all that is allocated, and come to half a megabyte a request, so that it is objects of
//! a size for which allocators ask the system, and pages are touched for the first time. A few long requests that
//! work their way through a large file are none of this, nor is memory that grows (a leak, a cache that fills). Where
//! the heap has a collector it must be busy with it. **Law.** What is allocated and does not stay was garbage: where live memory grew by less than a
//! fiftieth of what was allocated, it is confirmed.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural};
use crate::functions::{self, Share};
use crate::routes::{self, Mover};
use crate::stats::{median, step};
use crate::window;

/// Window of the rule, seconds.
const WINDOW_S: f64 = 3.0;
/// What is told more seldom has fewer ticks in it than a route can be told by (see `routes.rs`).
const SELDOM: Duration = Duration::from_millis(200);
/// How far back the onset is looked for, in cells of half a second.
const BACK_CELLS: u32 = 24;
pub(crate) const CELL: Duration = Duration::from_millis(500);
/// Least allocation of the route, bytes per second: at the 1 to 2 GB/s at which new pages are had and written, some
/// hundredths of a core go into nothing else.
const LEAST_RATE: f64 = 48.0 * 1024.0 * 1024.0;
/// Least for each request: 128 pages; usual requests of a shop allocate some ten or hundred kilobytes.
const LEAST_EACH: f64 = 512.0 * 1024.0;
/// Without routes: least for each request, whichever.
const LEAST_EACH_OF_ANY: f64 = 4.0 * 1024.0 * 1024.0;
/// Least requests of the route in the window: what comes rarer is a large job (a hash that is made to take memory), not churn.
const LEAST_REQUESTS: f64 = 45.0;
/// Least share of all allocation that the route must explain.
const LEAST_SHARE: f64 = 0.5;
/// Resident memory now over what it was before, at most; beyond it memory stays, and that is another matter.
const FLAT: f64 = 1.5;
/// ... looked at over so many seconds before the window.
const BEFORE_S: f64 = 10.0;
/// Where there is a collector: share of the time that it must take (JDK Mission Control warns from 5% on).
const COLLECTING: f64 = 0.05;
/// ... and the share that is critical.
const COLLECTING_CRITICALLY: f64 = 0.10;
/// Growth of live memory over what was allocated, at most, for the law.
const STAYS: f64 = 0.02;
/// Cells of at least this share of the present rate belong to the same stretch.
const SAME: f64 = 0.4;
/// ... unless it was so many times less before a step.
const STEP: f64 = 1.5;
/// How far back a profile is looked for: a process rests 20 s and more between two.
const PROFILED: Duration = Duration::from_secs(45);
/// Load must have been the same for so long.
const SETTLE: Duration = Duration::from_secs(3);
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(5);
/// Levels are carried for so long: three ticks of an agent, and a little.
const CARRY: Duration = Duration::from_millis(350);

/// Looks at all processes of the target together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !window::told(timeline, names::HEAP_ALLOCATED) {
        return Answer::CannotTell(vec![names::HEAP_ALLOCATED.to_owned()]);
    }
    if window::unsettled(timeline.plan(), at, SETTLE) || window::after_plan(timeline.plan(), at) {
        return Answer::too_little(SETTLE.as_secs_f64());
    }
    let found = find(timeline, at);
    let gaps = || window::seldom(timeline, names::HEAP_ALLOCATED, at, SELDOM);
    if found.is_none() && timeline.has(names::SERVER_HANDLER) && gaps() {
        return Answer::Unready("too seldom told to follow the requests of a route".to_owned());
    }
    Answer::Looked(found.into_iter().collect())
}

/// What is allocated, and by whom.
struct Churn {
    span: Span,
    /// Bytes a second, of all routes.
    rate: f64,
    mover: Option<Mover>,
    /// Bytes for each request.
    each: f64,
    /// Share of the time in collections, where there are any.
    collecting: Option<f64>,
    /// Growth of live memory over what was allocated.
    stays: Option<f64>,
    /// Who allocates most of it.
    hot: Option<Share>,
}

fn find(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    let counted = window::counted(timeline, names::HEAP_ALLOCATED, span)?;
    let rate = counted / WINDOW_S;
    if rate < LEAST_RATE || grows(timeline, span) {
        return None;
    }
    let collecting = collecting(timeline, span);
    if collecting.is_some_and(|share| share < COLLECTING) {
        return None;
    }
    let instances = window::instances(timeline, names::HEAP_ALLOCATED);
    let mover = routes::mover(timeline, names::HEAP_ALLOCATED, &instances, span);
    let each = each(timeline, span, counted, mover.as_ref())?;
    let live = |at| used(timeline, span, at);
    let stays = live(span.end).zip(live(span.start)).map(|(now, then)| (now - then) / counted);
    let hot = functions::hottest(timeline, kinds::PROFILE_ALLOCATED, Span::new(at.back(PROFILED), at));
    let churn = Churn { span, rate, mover, each, collecting, stays, hot };
    Some(claim(timeline, at, &churn))
}

/// Bytes for each request, if it is churn.
fn each(timeline: &Timeline, span: Span, counted: f64, mover: Option<&Mover>) -> Option<f64> {
    if timeline.has(names::SERVER_HANDLER) {
        let m = mover?;
        let enough = m.requests >= LEAST_REQUESTS
            && m.share >= LEAST_SHARE
            && m.each >= LEAST_EACH
            && m.each * m.requests / WINDOW_S >= LEAST_RATE;
        return enough.then_some(m.each);
    }
    let completed = window::counted(timeline, names::COMPLETED, span)?;
    let each = counted / completed;
    (completed >= LEAST_REQUESTS && each >= LEAST_EACH_OF_ANY).then_some(each)
}

/// Live memory at an end of `span`, of all processes that are there in it.
fn used(timeline: &Timeline, span: Span, at: RunTime) -> Option<f64> {
    let mut lanes = window::present(timeline, names::HEAP_USED, span, CARRY).peekable();
    if lanes.peek().is_none() && window::told(timeline, names::HEAP_USED) {
        return None;
    }
    lanes.map(|s| s.at(at, CARRY)).sum()
}

/// Does resident memory grow beyond what it was before?
fn grows(timeline: &Timeline, span: Span) -> bool {
    let middle = |span: Span, points: u32| {
        median(
            window::summed(timeline, names::HEAP_RESIDENT, span, points, CARRY).iter().map(|p| p.1).collect(),
        )
    };
    let before = Span::new(span.start.back(Duration::from_secs_f64(BEFORE_S)), span.start);
    let now = Span::new(span.end.back(CELL), span.end);
    middle(before, 20).zip(middle(now, 5)).is_some_and(|(then, now)| now > FLAT * then)
}

/// Share of the time in collections of those processes that allocate, each as far as it does; none where no collection was ever seen.
/// Where nobody counts them it is that of those long enough to be told.
fn collecting(timeline: &Timeline, span: Span) -> Option<f64> {
    let shares: Vec<(f64, f64)> = window::instances(timeline, names::HEAP_ALLOCATED)
        .into_iter()
        .filter_map(|instance| {
            let allocated = window::counted_by(timeline, names::HEAP_ALLOCATED, instance, span)?;
            Some((allocated, collecting_in(timeline, instance, span)?))
        })
        .collect();
    let all: f64 = shares.iter().map(|s| s.0).sum();
    (all > 0.0).then(|| shares.iter().map(|(allocated, share)| allocated * share).sum::<f64>() / all)
}

fn collecting_in(timeline: &Timeline, instance: &str, span: Span) -> Option<f64> {
    if let Some(seconds) = window::counted_by(timeline, names::PAUSE_COLLECTING, instance, span) {
        return Some(seconds / WINDOW_S);
    }
    let wide = Span::new(span.start.back(Duration::from_secs_f64(BEFORE_S)), span.end);
    let spans: Vec<Span> = [kinds::PAUSE_MINOR, kinds::PAUSE_MAJOR]
        .iter()
        .flat_map(|k| timeline.events(k, wide))
        .filter(|e| e.instance == instance)
        .map(timeline::Event::span)
        .collect();
    let inside: f64 = spans.iter().map(|s| s.overlap(span).as_secs_f64()).sum();
    (!spans.is_empty()).then(|| inside / WINDOW_S)
}

/// Since when as much is allocated.
fn onset(timeline: &Timeline, churn: &Churn) -> RunTime {
    let cells =
        (0..BACK_CELLS).map(|n| churn.span.end.back(CELL * n)).map(|end| Span::new(end.back(CELL), end));
    let rates: Vec<f64> = cells
        .take_while(|cell| cell.start >= timeline.plan().warm_from())
        .map(|cell| {
            window::counted(timeline, names::HEAP_ALLOCATED, cell).unwrap_or(0.0) / CELL.as_secs_f64()
        })
        .collect();
    let same = rates.iter().take_while(|rate| **rate >= SAME * churn.rate).count();
    // What a few requests allocate varies much: where the rates have stepped up, what is high before that does not belong to it.
    let up = step(&rates).filter(|(_, now, before)| *now >= STEP * before).map_or(rates.len(), |(n, _, _)| n);
    let since = match same.min(up) as u32 {
        0 => churn.span.start,
        n => churn.span.end.back(CELL * n),
    };
    // Within its cell it began with the first tick of as much.
    let cell = Span::new(since, since + CELL);
    let begins = timeline
        .named(names::HEAP_ALLOCATED)
        .flat_map(|s| window::steps(s, cell))
        .filter_map(|(begins, _, rate)| (rate >= SAME * churn.rate).then_some(begins));
    begins.min().map_or(since, |begins| begins.max(since))
}

fn claim(timeline: &Timeline, at: RunTime, churn: &Churn) -> Claim {
    let onset = onset(timeline, churn);
    let garbage = churn.stays.is_some_and(|share| share.abs() <= STAYS);
    let status = match &churn.mover {
        Some(_) if garbage => Status::Confirmed,
        Some(_) => Status::Likely,
        None => Status::Possible,
    };
    let critical = churn.collecting.is_some_and(|share| share >= COLLECTING_CRITICALLY);
    Claim {
        kind: FindingKind::HeapChurn,
        identity: String::new(),
        subject: churn.mover.as_ref().map_or(String::new(), |m| m.route.clone()),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status,
        onset,
        last: at,
        quiet: QUIET,
        weight: churn.rate,
        claim: sentence(churn),
        evidence: supporting(timeline, churn),
        contradicting: Vec::new(),
        advice: advice(timeline, churn),
        missing: if churn.mover.is_none() { vec![names::SERVER_HANDLER.to_owned()] } else { Vec::new() },
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    }
}

fn sentence(churn: &Churn) -> String {
    let who =
        churn.mover.as_ref().map_or("each request".to_owned(), |m| format!("each request of {}", m.route));
    let collecting = churn
        .collecting
        .map_or(String::new(), |s| format!("; collections take {} of the time", Unit::Ratio.show(s)));
    let hot = churn.hot.as_ref().map_or(String::new(), |(function, share)| {
        format!("; {:.0} % of what lies in the heap is allocated in {function}", share * 100.0)
    });
    format!(
        "{who} allocates {} and drops them again since {ONSET}: {} in all{collecting}{hot}",
        Unit::Bytes.show(churn.each),
        Unit::BytesPerSecond.show(churn.rate)
    )
}

fn supporting(timeline: &Timeline, churn: &Churn) -> Vec<Evidence> {
    let text = format!("{} are allocated", Unit::BytesPerSecond.show(churn.rate));
    let mut list = vec![evidence(text, names::HEAP_ALLOCATED, churn.span, churn.rate, Unit::BytesPerSecond)];
    if let Some(m) = &churn.mover {
        let text = format!(
            "they follow the {} requests of {} tick by tick: {} each, {:.0} % of all",
            Unit::Count.show(m.requests),
            m.route,
            Unit::Bytes.show(m.each),
            m.share.min(1.0) * 100.0
        );
        list.push(evidence(text, names::SERVER_HANDLER, churn.span, m.each, Unit::Bytes));
    }
    if let Some(stays) = churn.stays {
        let text = format!(
            "live memory changed by {:.1} % of what was allocated: the rest was garbage",
            // Not "-0.0".
            (stays * 1e3).round() / 10.0 + 0.0
        );
        list.push(evidence(text, names::HEAP_USED, churn.span, stays, Unit::Ratio));
    }
    if let Some(share) = churn.collecting {
        let text = format!("collections take {} of the time", Unit::Ratio.show(share));
        let counted = timeline.has(names::PAUSE_COLLECTING);
        let lane = if counted { names::PAUSE_COLLECTING } else { kinds::PAUSE_MINOR };
        list.push(evidence(text, lane, churn.span, share, Unit::Ratio));
    }
    if let Some((function, share)) = &churn.hot {
        let text = format!("{:.0} % of a profile of allocations lie in {function}", share * 100.0);
        list.push(evidence(text, kinds::PROFILE_ALLOCATED, churn.span, *share, Unit::Ratio));
    }
    list
}

fn advice(timeline: &Timeline, churn: &Churn) -> Vec<String> {
    let Some(m) = &churn.mover else {
        return vec![
            "Find what is allocated for each request (a heap profile tells) and use large buffers again."
                .to_owned(),
        ];
    };
    let rate = m.requests / WINDOW_S;
    // Little's law: how many of them are at work at a time, each of which needs its buffers.
    let time = routes::handled(timeline, &m.route, churn.span).mean_ns().unwrap_or(0.0) / 1e9;
    vec![
        format!(
            "Keep the large buffers of {} and use them again: {} at work at a time ({}/s x {}), so that {} instead of {} are enough.",
            m.route,
            plural((rate * time).ceil().max(1.0), "request"),
            Unit::Count.show(rate.round()),
            Unit::Ns.show(time * 1e9),
            Unit::Bytes.show(m.each * (rate * time).ceil().max(1.0)),
            Unit::BytesPerSecond.show(m.each * rate)
        ),
        "Change values in place instead of copying them, and give only what is needed to the next step."
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::{Entry, LaneId, LaneSpec};

    #[test]
    fn what_is_told_too_seldom_to_follow_a_route_is_not_said_to_be_none() {
        let told = |every: u64| {
            let allocated = LaneSpec::rate(names::HEAP_ALLOCATED, "metrics-8080", Unit::BytesPerSecond);
            let mut t = told_each(every, 30_000, [(allocated, 1e9)]);
            t.apply(&Entry::Lane(LaneId(1), LaneSpec::histogram(names::SERVER_HANDLER, "metrics-8080")));
            look(&t, RunTime::from_ms(30_000))
        };
        assert_eq!(told(100), Answer::Looked(Vec::new()));
        assert!(matches!(told(1_000), Answer::Unready(why) if why.starts_with("too seldom told")));
    }
}
