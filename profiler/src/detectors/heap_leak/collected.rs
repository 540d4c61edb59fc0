//! Heaps with a collector: how much of a growth a major collection left, and how the old generation grew but for its garbage.
//!
//! Garbage that outlived a minor collection lies in the old generation until the next major one. So between two of them a
//! healthy old generation grows as steadily as a leak: a shop on V8 without one by 0.35 MB/s for half a minute, then back to
//! where it began. What a collection left is live; whether that is more than all there was before, garbage
//! included, tells the two apart.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use super::{AGE, CARRY, POINTS, RISING, grows_in};
use crate::stats::trend;
use crate::window;

/// The sample before a collection is that of an earlier tick.
const BEFORE: Duration = Duration::from_millis(1);
/// Growth up to the collection from which on a share of it means something.
const LEAST: f64 = 1024.0 * 1024.0;

/// Lanes that only a collector fills.
const OF_COLLECTORS: [&str; 3] = [names::HEAP_CAPACITY, names::PAUSE_COLLECTING, names::PAUSE_COLLECTIONS];
/// So far back before a span a collection is looked for, from which on garbage has come in.
const CYCLE: Duration = Duration::from_secs(60);
/// Share of a growth's time that the last collection must have seen, at least: what it left says nothing of the many times as much that came
/// after it. Garbage that follows a step was taken for a leak, since the collection right after the step had left all of it. Of a leak
/// whose heap doubles from one collection to the next, the last one has always seen a third.
const SEEN: f64 = 1.0 / 3.0;
/// The same where what came before that collection grew at the pace of what came after it, and stayed: no step with garbage behind it. V8 lets
/// a small heap grow to four times what a collection left, so that of a leak beside as much else that lives the last one has seen a seventh;
/// one that saw less than a fifth is too little to go by.
const SEEN_AT_ITS_PACE: f64 = 0.2;
/// Paces are the same if their quotient lies here: half as much again, which is what a load that is the same differs by in so short a time.
const SAME_PACE: std::ops::RangeInclusive<f64> = (1.0 / 1.5)..=1.5;
/// Of growth that was seen for so short a time so much must have stayed, ...
const STAYED: f64 = 0.9;
/// ... and the time is no shorter than half of what makes an allocation old: a collection leaves what requests still hold.
const LEAST_SEEN: Duration = AGE.checked_div(2).expect("two is not zero");
/// Share of all growth in the span that was in processes with such a collection, at least: the others may have grown by garbage alone. Of
/// two processes alike one is enough, and neither has just half.
const LOOKED_AT: f64 = 0.4;

/// Has that process's heap a collector that has told nothing of what lives? Whatever it grows by may be garbage then. Zero is not told:
/// Micrometer says so until the first collection.
pub fn untold(timeline: &Timeline, instance: &str) -> bool {
    let last = |name| window::of_instance(timeline, name, instance).and_then(|s| s.points.last());
    let collects =
        |name: &str| timeline.named(name).any(|s| s.spec.instance == instance && !s.points.is_empty());
    OF_COLLECTORS.into_iter().any(collects) && last(names::HEAP_LIVE).is_none_or(|p| p.1 <= 0.0)
}

/// The lane that grows as [`window::summed`] gives it, less the garbage in it. What a collection freed had come in evenly since the one
/// before, so the teeth of a saw that rises become the line that they rise along; after the last one garbage goes on coming at its last pace.
/// Of all that lives it is the least of each cell: what requests hold for a moment comes on top of what stays, and hides how that grows.
pub fn cleared(timeline: &Timeline, lane: &str, span: Span, count: u32) -> Vec<(f64, f64)> {
    if lane == names::HEAP_USED {
        return window::summed_least(timeline, lane, span, count, CARRY);
    }
    let points = window::summed(timeline, lane, span, count, CARRY);
    less_garbage(timeline, lane, &window::instances(timeline, lane), span, points)
}

/// The same of one process alone, at `count` of its samples or a few more, the last one among them; of all that lives the least of each cell.
pub fn cleared_of(
    timeline: &Timeline,
    lane: &str,
    instance: &str,
    span: Span,
    count: u32,
) -> Vec<(f64, f64)> {
    let Some(series) = window::of_instance(timeline, lane, instance) else { return Vec::new() };
    let samples = series.within(span);
    let every = (samples.len() / count as usize).max(1);
    let of_cell = |cell: &[(RunTime, f64)]| {
        let least = cell.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let (t, bytes) = *if lane == names::HEAP_USED { least? } else { cell.last()? };
        Some((t.as_secs_f64(), bytes))
    };
    let points = samples.rchunks(every).rev().filter_map(of_cell).collect();
    less_garbage(timeline, lane, &[instance], span, points)
}

/// The `points` of `lane` of these processes without the garbage in them.
fn less_garbage(
    timeline: &Timeline,
    lane: &str,
    instances: &[&str],
    span: Span,
    mut points: Vec<(f64, f64)>,
) -> Vec<(f64, f64)> {
    if lane == names::HEAP_OLD {
        let cycles: Vec<Cycle> = instances.iter().flat_map(|i| cycles(timeline, i, span)).collect();
        for (t, bytes) in &mut points {
            *bytes -= cycles.iter().map(|cycle| cycle.garbage(*t)).sum::<f64>();
        }
    }
    points
}

/// From one major collection, or the first sample, to the next.
struct Cycle {
    from_s: f64,
    until_s: f64,
    /// Bytes of garbage a second.
    pace: f64,
}

impl Cycle {
    fn garbage(&self, t: f64) -> f64 {
        let inside = self.from_s <= t && t < self.until_s;
        if inside { self.pace * (t - self.from_s) } else { 0.0 }
    }
}

/// The cycles of one process that reach into `span`.
fn cycles(timeline: &Timeline, instance: &str, span: Span) -> Vec<Cycle> {
    let lane = |name| window::of_instance(timeline, name, instance);
    let (Some(live), Some(old)) = (lane(names::HEAP_LIVE), lane(names::HEAP_OLD)) else { return Vec::new() };
    let back = Span::new(span.start.back(CYCLE), span.end);
    let Some(&(mut from, mut floor)) = old.within(back).first() else { return Vec::new() };
    let mut cycles: Vec<Cycle> = Vec::new();
    for (until, left) in collections(live, back) {
        if let Some(before) = old.at(until.back(BEFORE), CARRY) {
            let seconds = until.since(from).as_secs_f64();
            let pace = if seconds > 0.0 { (before - left).max(0.0) / seconds } else { 0.0 };
            cycles.push(Cycle { from_s: from.as_secs_f64(), until_s: until.as_secs_f64(), pace });
        }
        (from, floor) = (until, left);
    }
    if let (Some(last), Some(now)) = (cycles.last(), old.at(span.end, CARRY)) {
        let since = span.end.since(from).as_secs_f64();
        let pace = last.pace.min((now - floor).max(0.0) / since);
        cycles.push(Cycle { from_s: from.as_secs_f64(), until_s: f64::INFINITY, pace });
    }
    cycles
}

/// Major collections as `live` tells them: when one was told, and what it left. The lane changes with a collection, and with nothing else.
fn collections(live: &Series, span: Span) -> impl Iterator<Item = (RunTime, f64)> + '_ {
    window::steps(live, span).filter(|s| live.at(s.0, CARRY) != Some(s.2)).map(|s| (s.1, s.2))
}

/// What the last major collections left of a growth.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The share of it, 0 to 1.
    pub share: f64,
    /// One of them saw less than a third of the time, and speaks only by the pace of what came after.
    pub is_early: bool,
}

/// Does `old` grow in `after` as steadily and at the same pace as in `before`? A step does neither: what lies before it does not rise.
fn goes_on(old: &Series, before: Span, after: Span) -> bool {
    let pace = |span: Span| {
        let samples = old.within(span);
        let every = samples.len().div_ceil(POINTS as usize).max(1);
        let points: Vec<_> = samples.iter().step_by(every).map(|p| (p.0.as_secs_f64(), p.1)).collect();
        trend(&points).filter(|t| t.rising >= RISING).map(|t| t.slope)
    };
    pace(before).zip(pace(after)).is_some_and(|(then, now)| SAME_PACE.contains(&(now / then)))
}

/// Of what the old generation grew by in `span` from its lowest to the last major collection, the share that this one left, over all
/// processes that had one. The lowest is what an earlier collection left, where there was one: nothing but what lives. None without a
/// collection to tell, one that came too early, and where most of the growth was in other processes. A heap without generations grows in
/// what its collections leave. One that came early speaks where its growth went on at the same pace.
pub fn left(timeline: &Timeline, span: Span) -> Option<Left> {
    let (mut grown, mut stayed, mut is_early) = (0.0, 0.0, false);
    let (mut all, mut looked_at) = (0.0, 0.0);
    let grows = grows_in(timeline);
    for instance in window::instances(timeline, grows) {
        let lane = |name| window::of_instance(timeline, name, instance);
        let (live, Some(old)) = (lane(names::HEAP_LIVE), lane(grows)) else { continue };
        if live.is_none() && !untold(timeline, instance) {
            continue;
        }
        let (first, last) = (old.at(span.start, CARRY), old.at(span.end, CARRY));
        let growth = first.zip(last).map_or(0.0, |(first, last)| (last - first).max(0.0));
        all += growth;
        let Some(live) = live else { continue };
        let Some((at, floor)) = collections(live, span).last() else { continue };
        let saw = |share| at >= span.start + span.length().mul_f64(share);
        let until = Span::new(span.start, at.back(BEFORE));
        let lowest = old.within(until).iter().map(|p| p.1).chain(first).reduce(f64::min);
        let (Some(lowest), Some(before)) = (lowest, old.at(until.end, CARRY)) else { continue };
        let (came, kept) = (before - lowest, floor - lowest);
        let early = !saw(SEEN);
        let at_its_pace = || {
            until.length() >= LEAST_SEEN
                && kept >= STAYED * came
                && goes_on(old, until, Span::new(at, span.end))
        };
        if !early || (saw(SEEN_AT_ITS_PACE) && at_its_pace()) {
            is_early |= early;
            grown += came;
            stayed += kept;
            looked_at += growth;
        }
    }
    let enough = grown >= LEAST && looked_at >= LOOKED_AT * all;
    enough.then(|| Left { share: (stayed / grown).min(1.0), is_early })
}
