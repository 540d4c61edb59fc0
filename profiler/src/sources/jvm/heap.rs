//! The heap of a JVM: which of its counters become lanes.
//!
//! Owns what *young*, *old* and *live* mean for each collector. A heap without generations (Shenandoah, ZGC up to Java 20) has a total
//! only: HotSpot calls its one space `old`, which would be a lie here. What *lives* is told after a collection of old objects alone, full or
//! by a mark: the old generation falls without one, too, where G1 drops large arrays in a young collection. ZGC and CMS free old objects
//! while the process runs and do not say when they are done, so of theirs nothing is told.

use std::time::Duration;

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Quality, Unit};

use super::perfdata::Counters;
use crate::sources::Sink;

/// HotSpot has at most so many spaces in a generation.
const SPACES: usize = 4;
/// G1's and ZGC's generations may each grow to the whole heap, give or take a header.
const SHARED_WITHIN: f64 = 64.0;

/// What a mark found dead is freed bit by bit, by the young collections after it. It is done when so many in a row, ...
const SETTLED_OVER: i64 = 4;
/// ... in so long a time, have left no less than one before: between a mark and the first of them G1 works for a second or more.
const SETTLED_FOR: Duration = Duration::from_secs(10);

/// One space or generation, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Size {
    used: f64,
    capacity: f64,
    /// 0 where it is not told.
    limit: f64,
}

/// A limit that is told.
fn told(limit: f64) -> Option<f64> {
    (limit > 0.0).then_some(limit)
}

/// A heap at one instant.
#[derive(Debug, Clone, PartialEq)]
struct Heap {
    eden: Size,
    survivor: Size,
    old: Size,
    generations: bool,
    metaspace: Option<Size>,
    limit: f64,
}

impl Heap {
    fn of(c: &Counters) -> Option<Self> {
        let size = |prefix: &str| {
            let part = |what: &str| c.count(&format!("{prefix}.{what}"));
            Some(Size {
                used: part("used")?,
                capacity: part("capacity")?,
                limit: part("maxCapacity").unwrap_or(0.0),
            })
        };
        let young: Vec<Size> =
            (0..SPACES).filter_map(|i| size(&format!("sun.gc.generation.0.space.{i}"))).collect();
        let old = size("sun.gc.generation.1.space.0")?;
        let survivor = young.iter().skip(1).fold(Size::default(), |a, s| Size {
            used: a.used + s.used,
            capacity: a.capacity + s.capacity,
            limit: a.limit + s.limit,
        });
        let limits = [0, 1].map(|g| c.count(&format!("sun.gc.generation.{g}.maxCapacity")).unwrap_or(0.0));
        let shared = (limits[0] - limits[1]).abs() <= SHARED_WITHIN;
        Some(Self {
            eden: young.first().copied().unwrap_or_default(),
            survivor,
            old,
            generations: !young.is_empty(),
            metaspace: size("sun.gc.metaspace"),
            limit: if shared { limits[1] } else { limits[0] + limits[1] },
        })
    }

    fn young(&self) -> f64 {
        self.eden.used + self.survivor.used
    }
}

/// How many collections there were.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Collections {
    young: i64,
    full: i64,
    /// Pauses of G1's concurrent cycles: each comes after its mark.
    marks: i64,
}

impl Collections {
    /// HotSpot numbers them: 0 is the young one, 1 the full one, 2 G1's concurrent cycle. None while one that frees old objects is under
    /// way, since it is counted at its beginning.
    fn of(c: &Counters) -> Option<Self> {
        let number = |i: usize, what: &str| c.number(&format!("sun.gc.collector.{i}.{what}")).unwrap_or(0);
        let is_over = |i: &usize| number(*i, "lastExitTime") >= number(*i, "lastEntryTime");
        let count = |i: usize| number(i, "invocations");
        [1, 2].iter().all(is_over).then(|| Self { young: count(0), full: count(1), marks: count(2) })
    }

    /// Does the collector numbered 1 stop the process until it has freed all?
    fn are_full(c: &Counters) -> bool {
        let name = c.text("sun.gc.collector.1.name").unwrap_or_default();
        !["ZGC", "CMS"].iter().any(|other| name.contains(other))
    }
}

/// The old generation since a mark.
#[derive(Debug, Clone, Copy)]
struct Freeing {
    /// As small as it was, ...
    least: f64,
    /// ... and when, by young collections and by the clock.
    young: i64,
    at: MonoNs,
}

/// What the last collection of old objects left.
#[derive(Debug, Default)]
struct Live {
    /// None before the first reading.
    left: Option<f64>,
    seen: Option<Collections>,
    freeing: Option<Freeing>,
}

impl Live {
    /// Takes one reading of the old generation; before the first collection it is what there was in the beginning.
    fn take(&mut self, old: f64, now: Option<Collections>, at: MonoNs) -> f64 {
        if let Some(now) = now {
            let before = self.seen.replace(now).unwrap_or(now);
            if now.full > before.full {
                (self.left, self.freeing) = (Some(old), None);
            } else if now.marks > before.marks {
                self.freeing = Some(Freeing { least: old, young: now.young, at });
            } else {
                self.free(old, now.young, at);
            }
        }
        *self.left.get_or_insert(old)
    }

    fn free(&mut self, old: f64, young: i64, at: MonoNs) {
        let Some(freeing) = &mut self.freeing else { return };
        if old < freeing.least {
            *freeing = Freeing { least: old, young, at };
        } else if young.saturating_sub(freeing.young) >= SETTLED_OVER && at.since(freeing.at) >= SETTLED_FOR {
            self.left = Some(freeing.least);
            self.freeing = None;
        }
    }
}

/// Reads a lane's value; none where this JVM does not tell it.
type Read = fn(&Heap) -> Option<f64>;

/// The lanes, and what the last collection of old objects left.
pub(super) struct HeapLanes {
    lanes: Vec<(LaneId, Read)>,
    live: Option<(LaneId, Live)>,
    generations: bool,
}

impl HeapLanes {
    /// Does this JVM tell of its heap?
    pub fn are_there(c: &Counters) -> bool {
        Heap::of(c).is_some()
    }

    /// Declares the lanes that this JVM can fill; none if it tells of no heap.
    pub fn declare(c: &Counters, instance: &str, sink: &mut dyn Sink) -> Option<Self> {
        let heap = Heap::of(c)?;
        // Written when a collection ends, and up to Java 23 each 50 ms.
        const USED: Quality = Quality::Sampled;
        let mut table: Vec<(&str, Quality, Read)> = vec![
            (names::HEAP_USED, USED, |h| Some(h.young() + h.old.used)),
            (names::HEAP_CAPACITY, Quality::Exact, |h| {
                Some(h.eden.capacity + h.survivor.capacity + h.old.capacity)
            }),
            (names::HEAP_LIMIT, Quality::Exact, |h| told(h.limit)),
            ("heap.metaspace.used", USED, |h| h.metaspace.map(|m| m.used)),
            ("heap.metaspace.capacity", Quality::Exact, |h| h.metaspace.map(|m| m.capacity)),
            ("heap.metaspace.limit", Quality::Exact, |h| h.metaspace.and_then(|m| told(m.limit))),
        ];
        if heap.generations {
            table.extend([
                (names::HEAP_YOUNG, USED, (|h| Some(h.young())) as Read),
                (names::HEAP_OLD, USED, |h| Some(h.old.used)),
                ("heap.eden.used", USED, |h| Some(h.eden.used)),
                ("heap.eden.capacity", Quality::Exact, |h| Some(h.eden.capacity)),
                ("heap.eden.limit", Quality::Exact, |h| told(h.eden.limit)),
                ("heap.survivor.used", USED, |h| Some(h.survivor.used)),
                ("heap.survivor.capacity", Quality::Exact, |h| Some(h.survivor.capacity)),
                ("heap.survivor.limit", Quality::Exact, |h| told(h.survivor.limit)),
                ("heap.old.capacity", Quality::Exact, |h| Some(h.old.capacity)),
                ("heap.old.limit", Quality::Exact, |h| told(h.old.limit)),
            ]);
        }
        let mut lanes = Vec::new();
        for (name, quality, read) in table {
            let spec = LaneSpec::level(name, instance, Unit::Bytes).quality(quality);
            if let Some(lane) = read(&heap).and_then(|_| sink.declare(spec)) {
                lanes.push((lane, read));
            }
        }
        let live = LaneSpec::level(names::HEAP_LIVE, instance, Unit::Bytes).quality(Quality::Inferred);
        let told = heap.generations && Collections::are_full(c);
        let live = if told { sink.declare(live) } else { None };
        let live = live.map(|lane| (lane, Live::default()));
        Some(Self { lanes, live, generations: heap.generations })
    }

    /// Does this heap tell young from old?
    pub fn generations(&self) -> bool {
        self.generations
    }

    /// Hands one reading over.
    pub fn tell(&mut self, c: &Counters, at: MonoNs, sink: &mut dyn Sink) {
        let Some(heap) = Heap::of(c) else { return };
        for (lane, read) in &self.lanes {
            if let Some(bytes) = read(&heap) {
                sink.sample(*lane, at, bytes);
            }
        }
        if let Some((lane, live)) = &mut self.live {
            sink.sample(*lane, at, live.take(heap.old.used, Collections::of(c), at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::jvm::perfdata::read;

    /// What is told to live, second by second, of an old generation with so many collections: young, full, and pauses of marks.
    fn lives(old: &[(f64, [i64; 3])]) -> Vec<f64> {
        let mut live = Live::default();
        let tell = |(s, (old, [young, full, marks])): (usize, &(f64, [i64; 3]))| {
            live.take(
                *old,
                Some(Collections { young: *young, full: *full, marks: *marks }),
                MonoNs(s as u64 * 1_000_000_000),
            )
        };
        old.iter().enumerate().map(tell).collect()
    }

    #[test]
    fn a_young_collection_that_drops_large_arrays_tells_nothing_of_what_lives() {
        // 1 MB/s of garbage grows old; 6 MB of arrays come after 40 s and go 2 s later.
        let old = |s: i64| 200.0 + s as f64 + if (40..42).contains(&s) { 6.0 } else { 0.0 };
        let readings: Vec<(f64, [i64; 3])> = (0..60).map(|s| (old(s), [s, 0, 0])).collect();
        assert_eq!(lives(&readings), [200.0; 60]);
    }

    #[test]
    fn after_a_mark_what_lives_is_told_when_nothing_more_is_freed() {
        // A mark ends at 50 s, is cleaned up after at 51 s, and three mixed collections free 20 each from 53 s on.
        let old = |s: i64| {
            let freed = (53..=55).filter(|at| *at <= s).count() as f64;
            200.0 + s as f64 - 20.0 * freed
        };
        let marks = |s: i64| i64::from(s >= 50) + i64::from(s >= 51);
        let readings: Vec<(f64, [i64; 3])> = (0..80).map(|s| (old(s), [s, 0, marks(s)])).collect();
        let told = lives(&readings);
        assert_eq!((told[64], told[65], told[79]), (200.0, 195.0, 195.0), "{told:?}");
    }

    #[test]
    fn a_full_collection_tells_at_once_what_lives() {
        let readings = [(200.0, [1, 0, 0]), (240.0, [2, 0, 0]), (205.0, [2, 1, 0]), (230.0, [3, 1, 0])];
        assert_eq!(lives(&readings), [200.0, 200.0, 205.0, 205.0]);
        // It is counted when it begins.
        let counters = |exit: i64| {
            Counters::of(&[
                ("sun.gc.collector.1.invocations", 1),
                ("sun.gc.collector.1.lastEntryTime", 7),
                ("sun.gc.collector.1.lastExitTime", exit),
            ])
        };
        assert_eq!(Collections::of(&counters(0)), None);
        assert_eq!(Collections::of(&counters(9)), Some(Collections { young: 0, full: 1, marks: 0 }));
    }

    #[test]
    fn generations_are_those_that_the_collector_has() {
        let g1 = Heap::of(&read(include_bytes!("../../../tests/jvm/openjdk-17-g1.hsperf")).unwrap()).unwrap();
        assert!(g1.generations);
        assert_eq!((g1.eden.used, g1.survivor.used, g1.old.used), (1_048_576.0, 1_048_576.0, 39_999_056.0));
        assert_eq!(g1.limit, 67_108_872.0, "both generations may grow to it, but not together");
        assert_eq!(
            [g1.eden, g1.survivor, g1.old].map(|s| s.limit),
            [67_108_872.0, 67_108_880.0, 67_108_872.0]
        );
        let zgc =
            Heap::of(&read(include_bytes!("../../../tests/jvm/openjdk-17-zgc.hsperf")).unwrap()).unwrap();
        assert!(!zgc.generations, "its one space is called old");
        assert_eq!(zgc.limit, 134_217_728.0);
    }
}
