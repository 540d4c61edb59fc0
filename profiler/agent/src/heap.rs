//! The heap by age, and its exact totals.
//!
//! Owns the lanes `heap.*`. Young, old, allocated and promoted come from sampled blocks and say so; used,
//! resident, active and retained are jemalloc's own. Nothing sampled is corrected by a total. If the target does
//! not allocate through [`Alloc`](crate::Alloc), there is no such lane at all.

use std::time::Duration;

use tikv_jemalloc_ctl::{epoch, epoch_mib, stats};
use timeline::lane::{LaneSpec, Quality, names};
use timeline::units::Unit;

use crate::ages::{Sample, TABLE};
use crate::draft::{Collect, Draft, LaneNo};
use crate::sampling;

/// Samples that found no room in the table, per second: declared once there are any, since the sampled
/// lanes are too small by them.
const DROPPED: &str = "heap.samples-dropped";

/// Live bytes by age, estimated.
#[derive(Debug, Default, PartialEq)]
struct Ages {
    young: f64,
    old: f64,
    promoted: f64,
    /// Of the sum of young and old, bytes squared.
    variance: f64,
}

/// Which births count as what.
#[derive(Debug, Clone, Copy)]
struct Thresholds {
    /// Born at or before: old.
    old: u64,
    /// Born after: not promoted at the last look.
    old_before: u64,
}

impl Ages {
    fn add(&mut self, sample: Sample, at: Thresholds) {
        let weight = sample.weight as f64;
        if sample.birth <= at.old {
            self.old += weight;
            if sample.birth > at.old_before {
                self.promoted += weight;
            }
        } else {
            self.young += weight;
        }
        // A block counted with weight w = size / p has the variance w^2 (1 - p) = w (w - size).
        self.variance += weight * (weight - sample.size as f64).max(0.0);
    }

    /// Relative standard error of all live bytes; none if there is no sample.
    fn error(&self) -> Option<f64> {
        let live = self.young + self.old;
        (live > 0.0).then(|| (self.variance.sqrt() / live).min(1.0))
    }
}

/// What jemalloc's totals are told as.
const LANES: [&str; 4] = [names::HEAP_USED, names::HEAP_RESIDENT, names::HEAP_ACTIVE, names::HEAP_RETAINED];

/// jemalloc's totals, by handles looked up once.
struct Totals {
    epoch: epoch_mib,
    used: stats::allocated_mib,
    resident: stats::resident_mib,
    active: stats::active_mib,
    retained: stats::retained_mib,
}

impl Totals {
    fn open() -> Option<Self> {
        Some(Self {
            epoch: epoch::mib().ok()?,
            used: stats::allocated::mib().ok()?,
            resident: stats::resident::mib().ok()?,
            active: stats::active::mib().ok()?,
            retained: stats::retained::mib().ok()?,
        })
    }

    /// In the order of `LANES`.
    fn read(&self) -> Option<[usize; LANES.len()]> {
        self.epoch.advance().ok()?;
        let Self { used, resident, active, retained, .. } = self;
        Some([used.read().ok()?, resident.read().ok()?, active.read().ok()?, retained.read().ok()?])
    }
}

struct HeapLanes {
    young: LaneNo,
    old: LaneNo,
    allocated: LaneNo,
    promoted: LaneNo,
    error: LaneNo,
    totals: Option<(Totals, [LaneNo; LANES.len()])>,
}

/// The lanes of the heap.
pub(crate) struct Heap {
    age_threshold: u64,
    allocated: u64,
    dropped: u64,
    dropped_lane: Option<LaneNo>,
    lanes: Option<HeapLanes>,
}

impl Heap {
    /// A block is old from this age on.
    pub(crate) fn new(age_threshold: Duration) -> Self {
        let age_threshold = u64::try_from(age_threshold.as_nanos()).unwrap_or(u64::MAX);
        Self { age_threshold, allocated: sampling::allocated(), dropped: 0, dropped_lane: None, lanes: None }
    }

    fn declare(draft: &mut Draft<'_>) -> HeapLanes {
        let mut sampled = |spec: LaneSpec| draft.lanes.declare(spec.quality(Quality::Sampled));
        let young = sampled(LaneSpec::level(names::HEAP_YOUNG, "", Unit::Bytes));
        let old = sampled(LaneSpec::level(names::HEAP_OLD, "", Unit::Bytes));
        let allocated = sampled(LaneSpec::rate(names::HEAP_ALLOCATED, "", Unit::BytesPerSecond));
        let promoted = sampled(LaneSpec::rate(names::HEAP_PROMOTED, "", Unit::BytesPerSecond));
        let error = sampled(LaneSpec::level(names::HEAP_ERROR, "", Unit::Ratio).worst());
        let totals = Totals::open().map(|totals| {
            (totals, LANES.map(|name| draft.lanes.declare(LaneSpec::level(name, "", Unit::Bytes))))
        });
        HeapLanes { young, old, allocated, promoted, error, totals }
    }

    fn ages(&self, draft: &Draft<'_>) -> Ages {
        let old = draft.now.0.saturating_sub(self.age_threshold);
        let at = Thresholds { old, old_before: old.saturating_sub(draft.elapsed_ns) };
        let mut ages = Ages::default();
        TABLE.each(|sample| ages.add(sample, at));
        ages
    }

    fn tell_dropped(&mut self, draft: &mut Draft<'_>) {
        let dropped = TABLE.dropped();
        if dropped == 0 {
            return;
        }
        let lane = *self
            .dropped_lane
            .get_or_insert_with(|| draft.lanes.declare(LaneSpec::rate(DROPPED, "", Unit::PerSecond)));
        draft.rate(lane, (dropped - self.dropped) as f64);
        self.dropped = dropped;
    }
}

impl Collect for Heap {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        if !sampling::installed() {
            return;
        }
        let ages = self.ages(draft);
        let allocated = sampling::allocated();
        let fresh = allocated.saturating_sub(self.allocated);
        self.allocated = allocated;
        let lanes = self.lanes.get_or_insert_with(|| Self::declare(draft));
        draft.level(lanes.young, ages.young);
        draft.level(lanes.old, ages.old);
        draft.rate(lanes.promoted, ages.promoted);
        draft.rate(lanes.allocated, fresh as f64);
        if let Some(error) = ages.error() {
            draft.level(lanes.error, error);
        }
        if let Some((totals, exact)) = &lanes.totals
            && let Some(values) = totals.read()
        {
            exact.iter().zip(values).for_each(|(lane, value)| draft.level(*lane, value as f64));
        }
        self.tell_dropped(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Thresholds = Thresholds { old: 1_000, old_before: 900 };

    const fn born(birth: u64) -> Sample {
        Sample { size: 60, weight: 100, birth }
    }

    #[test]
    fn a_block_is_promoted_once_when_it_outlives_the_threshold() {
        let mut ages = Ages::default();
        for birth in [500, 900, 901, 1_000, 1_001] {
            ages.add(born(birth), AT);
        }
        assert_eq!((ages.old, ages.young, ages.promoted), (400.0, 100.0, 200.0));
    }

    #[test]
    fn the_error_is_that_of_a_weighted_sample() {
        assert_eq!(Ages::default().error(), None);
        let mut ages = Ages::default();
        (0..100).for_each(|_| ages.add(born(0), AT));
        // sqrt(100 * 100 * 40) / 10,000
        assert!((ages.error().unwrap() - 0.063_245).abs() < 1e-5);
    }
}
