//! A sink for tests of sources: it keeps what it is told.

use timeline::histogram::Sparse;
use timeline::{LaneId, LaneSpec, MonoNs};

use super::{Naming, Sink, SourceEvent};

/// Readings of a counter, with when each was asked for and had come. The first answer was on its way for half a second, the second one for no
/// time: the counter grows by 1,000 a second from question to answer, and by 500 from then on.
pub(super) const FIRST_LATE: [(u32, MonoNs, MonoNs); 3] = [
    (1_000, MonoNs(1_000_000_000), MonoNs(1_498_000_000)),
    (1_500, MonoNs(1_499_000_000), MonoNs(1_500_000_000)),
    (1_625, MonoNs(1_749_000_000), MonoNs(1_749_000_000)),
];

/// What it was told, in order.
#[derive(Default)]
pub(super) struct Keeping {
    pub lanes: Vec<LaneSpec>,
    pub values: Vec<f64>,
    pub events: Vec<SourceEvent>,
    pub notes: Vec<String>,
    pub remarks: Vec<String>,
    naming: Naming,
}

impl Sink for Keeping {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let known = self.lanes.iter().position(|l| *l == spec).unwrap_or(self.lanes.len());
        if known == self.lanes.len() {
            self.lanes.push(spec);
        }
        Some(LaneId(known as u32))
    }

    fn sample(&mut self, _: LaneId, _: MonoNs, value: f64) {
        self.values.push(value);
    }

    fn histogram(&mut self, _: LaneId, _: MonoNs, _: MonoNs, _: Sparse) {}

    fn event(&mut self, event: SourceEvent) {
        self.events.push(event);
    }

    fn note(&mut self, _: &str, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn remark(&mut self, _: &str, text: &str) {
        self.remarks.push(text.to_owned());
    }

    fn instance(&mut self, short: &str, whole: &str) -> String {
        self.naming.unique(short, whole)
    }
}
