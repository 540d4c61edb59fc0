//! Bounds: what a recording may say and ask for, whoever wrote it. A reader must be able to hold it and to come to its end.

use super::Item;
use crate::clock::{RunTime, Span};
use crate::lane::{LaneId, is_value};
use crate::store::Entry;

/// Most lanes; two hundred times those of a large run.
const MOST_LANES: u32 = 1 << 17;
/// Latest instant, two weeks: all that is drawn and added up on a grid of the run's length is as long as this at most.
pub(super) const LATEST: RunTime = RunTime(14 * 24 * 3_600 * 1_000_000_000);
/// Lanes times seconds: what is read over all lanes for all of the run is as much as this at most. Those of the largest run make it in two
/// days and a half.
const MOST_LANE_SECONDS: u64 = 1 << 30;
/// What blocks may unpack to: so many times the bytes of the file, and so much besides. Blocks of runs unpack to three to ten times theirs.
const UNPACKED_TIMES: u64 = 64;
const UNPACKED_BESIDE: u64 = 64 << 20;
/// Bytes over which checksums are made in search of a whole block after a damaged one.
const SEARCHED: u64 = 1 << 30;

/// Can this be held? Without it one number is enough to ask for more memory than there is, or to make figures that JSON has no word for.
pub(super) fn holds(item: &Item) -> bool {
    match item {
        Item::Entry(entry) => match entry {
            Entry::Plan(plan) => plan.phases.iter().all(|p| lies(p.span)),
            Entry::Lane(LaneId(id), _) => *id < MOST_LANES,
            Entry::Sample { at, value, .. } => *at <= LATEST && is_value(*value),
            Entry::Tick(at) => *at <= LATEST,
            Entry::Histogram { span, cells, .. } => lies(*span) && !cells.cells.is_empty(),
            Entry::Event(event) => lies(Span { start: event.start, end: event.end }) && is_value(event.value),
            Entry::Profile(profile) => lies(profile.span),
        },
        Item::End(end) => end.at <= LATEST,
        Item::Meta(_) | Item::Log(_) => true,
    }
}

/// The latest instant that an entry speaks of.
pub(super) fn latest(entry: &Entry) -> RunTime {
    match entry {
        Entry::Plan(plan) => plan.phases.iter().map(|p| p.span.end).max().unwrap_or_default(),
        Entry::Lane(..) => RunTime::ZERO,
        Entry::Sample { at, .. } | Entry::Tick(at) => *at,
        Entry::Histogram { span, .. } => span.end,
        Entry::Event(event) => event.end,
        Entry::Profile(profile) => profile.span.end,
    }
}

/// How many lanes over how much time have been read so far.
#[derive(Debug, Default)]
pub(super) struct Extent {
    lanes: u64,
    seconds: u64,
}

impl Extent {
    /// Takes the items of a block; false, and takes none, if with them there is more than can be held.
    pub(super) fn takes<'a>(&mut self, items: impl Iterator<Item = &'a Item>) -> bool {
        let (mut lanes, mut seconds) = (self.lanes, self.seconds);
        for item in items {
            match item {
                Item::Entry(Entry::Lane(LaneId(id), _)) => lanes = lanes.max(u64::from(*id) + 1),
                // What is only planned is nothing that is held.
                Item::Entry(Entry::Plan(_)) => {}
                Item::Entry(entry) => seconds = seconds.max(latest(entry).as_ms() / 1_000),
                Item::Meta(_) | Item::Log(_) | Item::End(_) => {}
            }
        }
        let holds = lanes.saturating_mul(seconds) <= MOST_LANE_SECONDS;
        if holds {
            *self = Self { lanes, seconds };
        }
        holds
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
