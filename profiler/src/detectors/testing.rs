//! What the tests of several detectors share: lanes that are told at one pace.

use timeline::clock::RunTime;
use timeline::{Entry, LaneId, LaneSpec, Timeline};

/// Lanes that are told one value each `every` ms, from then until `until`, ms; their ids count from 0.
pub fn told_each(every: u64, until: u64, lanes: impl IntoIterator<Item = (LaneSpec, f64)>) -> Timeline {
    let mut t = Timeline::new();
    for (lane, (spec, value)) in (0..).map(LaneId).zip(lanes) {
        t.apply(&Entry::Lane(lane, spec));
        for i in 1..=until / every {
            t.apply(&Entry::Sample { lane, at: RunTime::from_ms(i * every), value });
        }
    }
    t
}
