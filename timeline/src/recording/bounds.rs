//! Bounds: what a recording may say and ask for, whoever wrote it. A reader must be able to hold it and to come to its end.

use super::Item;
use crate::clock::{RunTime, Span};
use crate::lane::LaneId;
use crate::store::Entry;

/// Most lanes; two hundred times those of a large run.
const MOST_LANES: u32 = 1 << 17;
/// Latest instant, two weeks: all that is drawn and added up on a grid of the run's length is as long as this at most.
const LATEST: RunTime = RunTime(14 * 24 * 3_600 * 1_000_000_000);
/// What blocks may unpack to: so many times the bytes of the file, and so much besides. Blocks of runs unpack to three to ten times theirs.
const UNPACKED_TIMES: u64 = 64;
const UNPACKED_BESIDE: u64 = 64 << 20;
/// Bytes over which checksums are made in search of a whole block after a damaged one.
const SEARCHED: u64 = 1 << 30;

/// Can this be held? Without it one number is enough to ask for more memory than there is.
pub(super) fn holds(item: &Item) -> bool {
    match item {
        Item::Entry(entry) => match entry {
            Entry::Plan(plan) => plan.phases.iter().all(|p| lies(p.span)),
            Entry::Lane(LaneId(id), _) => *id < MOST_LANES,
            Entry::Sample { at, .. } | Entry::Tick(at) => *at <= LATEST,
            Entry::Histogram { span, cells, .. } => lies(*span) && !cells.cells.is_empty(),
            Entry::Event(event) => lies(Span { start: event.start, end: event.end }),
            Entry::Profile(profile) => lies(profile.span),
        },
        Item::End(end) => end.at <= LATEST,
        Item::Meta(_) | Item::Log(_) => true,
    }
}

fn lies(span: Span) -> bool {
    span.start <= span.end && span.end <= LATEST
}

/// What `bytes` of a file may unpack to.
pub(super) const fn unpacked(bytes: u64) -> u64 {
    bytes.saturating_mul(UNPACKED_TIMES).saturating_add(UNPACKED_BESIDE)
}

/// What is left to search for whole blocks in.
#[derive(Debug)]
pub(super) struct Search(u64);

impl Search {
    pub(super) const fn new() -> Self {
        Self(SEARCHED)
    }

    /// Takes `bytes` of it; false if there is no more.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes as u64);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}
