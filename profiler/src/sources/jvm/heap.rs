//! The heap of a JVM: which of its counters become lanes.
//!
//! Owns what *young*, *old* and *live* mean for each collector. A heap without generations (Shenandoah, ZGC up to Java 20) has a total
//! only: HotSpot calls its one space `old`, which would be a lie here.

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Quality, Unit};

use super::perfdata::Counters;
use crate::sources::Sink;

/// HotSpot has at most so many spaces in a generation.
const SPACES: usize = 4;
/// G1's and ZGC's generations may each grow to the whole heap, give or take a header.
const SHARED_WITHIN: f64 = 64.0;

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

/// Reads a lane's value; none where this JVM does not tell it.
type Read = fn(&Heap) -> Option<f64>;

/// The lanes, and what the last collection of old objects left.
pub(super) struct HeapLanes {
    lanes: Vec<(LaneId, Read)>,
    live: Option<LaneId>,
    left: Option<f64>,
    /// The old generation as it was last.
    old: f64,
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
        let live = if heap.generations { sink.declare(live) } else { None };
        Some(Self { lanes, live, left: None, old: heap.old.used, generations: heap.generations })
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
        // Only a collection of old objects makes them fewer. G1 does so bit by bit and may never do a full one.
        if heap.old.used < self.old {
            self.left = Some(heap.old.used);
        }
        self.old = heap.old.used;
        if let Some(lane) = self.live {
            sink.sample(lane, at, *self.left.get_or_insert(heap.old.used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::jvm::perfdata::read;

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
