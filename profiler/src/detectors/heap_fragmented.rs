//! Heap fragmented: far more memory is resident than lives, and it is not given back.
//!
//! **Claim.** So many resident bytes lie in holes. **Reads** `heap.active`, `heap.resident`, `heap.used`, `heap.allocated`, `server.handler`. **Needs**
//! what lives and what is resident, and **6 s** in which the holes were there: the least data. **Statistic.** In one process, over all of the
//! last 6 s. Where the allocator tells which pages hold something that lives, holes are what else is on them: at no sample fewer than 16 MiB, nor
//! than 1.5 times what lives, by the median of 6 s so that what leaps for a moment does not count, but the highest such median of the last 30 s:
//! where much lived until just now, pages are still emptying. Elsewhere resident memory must be
//! 2.5 times what lived at the highest within the last 16 s, and 16 MiB more. The highest, and so far back, because an allocator keeps pages that
//! were in use for about 10 s before it gives them back (jemalloc's default decay): that is cold memory, not holes. Neither may
//! be shrinking, which is how cold memory looks, and pages that empty. Onset: when the holes, or resident memory, left their floor before the first
//! instant from which the holes are there without a break. **Null.** Cold memory is gone after the decay: where the holes stayed for 12 s, it is confirmed.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, cannot_tell, evidence, plural};
use crate::routes;
use crate::stats::median;
use crate::window;

/// The least data, seconds.
const WINDOW_S: f64 = 6.0;
/// The same for confirmation: longer than the decay.
const CONFIRM_S: f64 = 12.0;
/// How far back what lived is looked at, seconds: window and decay.
const LIVED_S: f64 = 16.0;
/// The same where pages are told: what ends after 5 s on average, 64 to a page, has by then left most of them. In windows that begin half
/// of one apart, so that none of what leapt up and sinks is left out by where they lie.
const EMPTIES_S: f64 = 30.0;
const LIVED_WINDOWS: u32 = (2.0 * EMPTIES_S / WINDOW_S) as u32 - 1;
/// How far back the onset is looked for, seconds.
const BACK_S: f64 = 60.0;
/// Memory with its holes over live memory. Size classes waste a fifth at most and a healthy heap of some megabytes keeps twice what lives.
const RATIO: f64 = 2.5;
/// Resident beyond live memory, bytes: what threads' caches, half-used slabs and the allocator itself take stays below.
const LEAST_HOLES: f64 = 16.0 * 1024.0 * 1024.0;
/// Memory at the end of the window over its beginning, at least: the decay of jemalloc gives half back in 5 s.
const STAYS: f64 = 0.9;
/// Samples of which the median is taken there, where memory leaps: two seconds.
const STAYS_POINTS: usize = 20;
/// Samples of the window wanted, of 60.
const LEAST_POINTS: usize = 40;
/// Holes that are critical: three of four resident bytes, and much.
const CRITICAL_RATIO: f64 = 4.0;
const CRITICAL_HOLES: f64 = 256.0 * 1024.0 * 1024.0;
/// Holes gather for so long before they are told apart; they began when resident memory left its floor by this share of the rise.
const GATHERS: Duration = Duration::from_secs(3);
const FLOOR: f64 = 0.1;
/// Silence after which it has ended: an allocator gives pages back by and by.
const QUIET: Duration = Duration::from_secs(10);
/// Levels are carried for so long: three ticks of an agent, and a little.
const CARRY: Duration = Duration::from_millis(350);

/// Looks at the heap of each process.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::HEAP_RESIDENT, names::HEAP_USED]) {
        return cannot;
    }
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    let heaps: Vec<Heap> = window::instances(timeline, names::HEAP_RESIDENT)
        .into_iter()
        .filter_map(|i| {
            let active = window::of_instance(timeline, names::HEAP_ACTIVE, i);
            match active.filter(|a| a.at(at, CARRY).is_some()) {
                Some(active) => Heap::of_pages(timeline, active, i, at),
                None => Heap::of_resident(timeline, i, at),
            }
        })
        .collect();
    Answer::Looked(if heaps.is_empty() { Vec::new() } else { vec![claim(timeline, at, &heaps)] })
}

/// The heap of one process that has holes.
struct Heap<'a> {
    instance: &'a str,
    /// What tells its memory with the holes.
    lane: &'static str,
    /// What lives and the holes.
    resident: f64,
    /// Against which they are measured, and how it was read.
    lived: f64,
    read: String,
    live: f64,
    since: RunTime,
}

impl<'a> Heap<'a> {
    /// By the pages on which something lives.
    fn of_pages(timeline: &Timeline, active: &Series, instance: &'a str, at: RunTime) -> Option<Self> {
        let used = window::of_instance(timeline, names::HEAP_USED, instance)?;
        let holes = |seconds: f64| -> Vec<(RunTime, f64)> {
            let points = active.within(window::last(at, seconds)).iter();
            points.filter_map(|&(t, a)| Some((t, a - used.at(t, CARRY)?))).collect()
        };
        let lately = holes(WINDOW_S);
        let least = lately.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        if lately.len() < LEAST_POINTS || least < LEAST_HOLES || !stays(active, at)? {
            return None; // most heaps at most times: nothing more need be read
        }
        let usual = |at: RunTime| window::typical_of(used, window::last(at, WINDOW_S));
        let ends = (0..LIVED_WINDOWS).map(|n| at.back(Duration::from_secs_f64(WINDOW_S / 2.0) * n));
        let lived = ends.filter_map(usual).fold(0.0, f64::max);
        (lived > 0.0 && are_many(least, lived)).then(|| Self {
            instance,
            lane: names::HEAP_ACTIVE,
            resident: lived + least,
            lived,
            read: format!("usually live at the highest of the last {EMPTIES_S} s"),
            live: usual(at).unwrap_or(lived),
            since: since(&holes(BACK_S), at, |t, holes| usual(t).is_none_or(|lived| are_many(holes, lived))),
        })
    }

    /// By all that is resident, cold memory among it.
    fn of_resident(timeline: &Timeline, instance: &'a str, at: RunTime) -> Option<Self> {
        let resident = window::of_instance(timeline, names::HEAP_RESIDENT, instance)?;
        let used = window::of_instance(timeline, names::HEAP_USED, instance)?;
        let lived = used.within(window::last(at, LIVED_S)).iter().map(|p| p.1).fold(0.0, f64::max);
        let points = resident.within(window::last(at, WINDOW_S));
        let (first, last) = (points.first()?.1, points.last()?.1);
        let found = points.len() >= LEAST_POINTS
            && lived > 0.0
            && last >= STAYS * first
            && points.iter().all(|p| are_many(p.1 - lived, lived));
        found.then(|| Self {
            instance,
            lane: names::HEAP_RESIDENT,
            resident: last,
            lived,
            read: format!("live at the highest of the last {LIVED_S} s"),
            live: used.at(at, CARRY).unwrap_or(lived),
            since: since(resident.within(window::last(at, BACK_S)), at, |t, r| {
                used.at(t, CARRY).is_none_or(|u| are_many(r - u, u))
            }),
        })
    }

    fn holes(&self) -> f64 {
        self.resident - self.lived
    }
}

/// Is so much in holes beside so much that lives worth telling?
fn are_many(holes: f64, lived: f64) -> bool {
    holes >= LEAST_HOLES && holes >= (RATIO - 1.0) * lived
}

/// Are as many pages in use at the end of the window as at its beginning, by medians?
fn stays(active: &Series, at: RunTime) -> Option<bool> {
    let points = active.within(window::last(at, WINDOW_S));
    let usual = |points: &[(RunTime, f64)]| median(points.iter().map(|p| p.1).collect());
    let last = points.len().checked_sub(STAYS_POINTS)?;
    Some(usual(&points[last..])? >= STAYS * usual(&points[..STAYS_POINTS])?)
}

/// From when on, without a break, so much was `apart`; and before, gathered.
fn since(points: &[(RunTime, f64)], at: RunTime, apart: impl Fn(RunTime, f64) -> bool) -> RunTime {
    let begins = points.len() - points.iter().rev().take_while(|p| apart(p.0, p.1)).count();
    let Some(&(apart_since, top)) = points.get(begins) else { return at };
    let rise = &points[points.partition_point(|p| p.0 < apart_since.back(GATHERS))..begins];
    let low = rise.first().map_or(top, |floor| floor.1 + FLOOR * (top - floor.1));
    rise.iter().rev().find(|p| p.1 <= low).map_or(apart_since, |p| p.0)
}

fn claim(timeline: &Timeline, at: RunTime, heaps: &[Heap]) -> Claim {
    let sum = |of: fn(&Heap) -> f64| heaps.iter().map(of).sum::<f64>();
    let (resident, lived, live, holes) =
        (sum(|h| h.resident), sum(|h| h.lived), sum(|h| h.live), sum(|h| h.holes()));
    let onset = heaps.iter().map(|h| h.since).min().unwrap_or(at);
    let critical = resident >= CRITICAL_RATIO * lived && holes >= CRITICAL_HOLES;
    let span = Span::new(onset, at + Duration::from_nanos(1));
    let instances: Vec<&str> = heaps.iter().map(|h| h.instance).collect();
    let route = routes::mover(timeline, names::HEAP_ALLOCATED, &instances, window::last(at, WINDOW_S))
        .filter(|m| m.share >= 0.5)
        .map(|m| m.route);
    Claim {
        kind: FindingKind::HeapFragmented,
        identity: String::new(),
        subject: String::new(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if at.since(onset).as_secs_f64() >= CONFIRM_S { Status::Confirmed } else { Status::Likely },
        onset,
        last: at,
        quiet: QUIET,
        weight: holes,
        claim: format!(
            "{} are resident in {} for {} that live, {:.1} times as much, since {ONSET}: {} lie in holes that cannot be given back",
            Unit::Bytes.show(resident),
            plural(heaps.len() as f64, "process"),
            Unit::Bytes.show(live),
            resident / live.max(1.0),
            Unit::Bytes.show(holes)
        ),
        evidence: supporting(timeline, span, heaps, route.as_deref()),
        contradicting: Vec::new(),
        advice: advice(route.as_deref(), holes),
        missing: Vec::new(),
        episodes: vec![span],
        remedies: Vec::new(),
        sort: "",
    }
}

fn supporting(timeline: &Timeline, span: Span, heaps: &[Heap], route: Option<&str>) -> Vec<Evidence> {
    let mut list: Vec<Evidence> = heaps
        .iter()
        .map(|h| {
            let text = format!(
                "{}: {} resident, {} {}: {:.1} times as much",
                h.instance,
                Unit::Bytes.show(h.resident),
                Unit::Bytes.show(h.lived),
                h.read,
                h.resident / h.lived
            );
            evidence(text, h.lane, span, h.resident, Unit::Bytes)
        })
        .collect();
    let text = format!("so for {:.0} s, longer than pages are kept that were in use", window::seconds(span));
    if window::seconds(span) >= CONFIRM_S {
        list.push(evidence(text, names::HEAP_USED, span, window::seconds(span) * 1e9, Unit::Ns));
    }
    if let (Some(route), Some(rate)) = (route, window::mean(timeline, names::HEAP_ALLOCATED, span)) {
        let text = format!("most of what is allocated is allocated for {route}");
        list.push(evidence(text, names::HEAP_ALLOCATED, span, rate, Unit::BytesPerSecond));
    }
    list
}

fn advice(route: Option<&str>, holes: f64) -> Vec<String> {
    let whose = route.map_or("requests".to_owned(), |r| format!("requests of {r}"));
    vec![
        format!(
            "Put what {whose} need only for themselves into an arena that goes as a whole, and copy out of it what is kept: {} come back.",
            Unit::Bytes.show(holes)
        ),
        "Allocate what is kept apart from what is not (an arena of jemalloc's own, a slab, one buffer for all of it), so that whole pages become free.".to_owned(),
    ]
}
