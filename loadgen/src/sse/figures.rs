//! What is counted of event streams: opened, ended, opened again. What they push is counted with all that is pushed.
//!
//! Owns these cells and how they travel to the coordinator; `figures` and `protocol` hold one of each.

use std::cell::Cell;

use crate::protocol::{Numbers, put};

/// Cells of one worker.
#[derive(Debug, Default)]
pub struct SseFigures {
    /// Streams whose answer's head was right, those opened again among them.
    pub opened: Cell<u64>,
    /// Streams that ended, however.
    pub closed: Cell<u64>,
    /// Attempts to open a stream again.
    pub reconnects: Cell<u64>,
}

/// A worker's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SseCounters {
    /// Streams whose answer's head was right.
    pub opened: u64,
    /// Streams that ended.
    pub closed: u64,
    /// Attempts to open a stream again.
    pub reconnects: u64,
}

impl SseFigures {
    /// The totals.
    #[must_use]
    pub fn counters(&self) -> SseCounters {
        SseCounters {
            opened: self.opened.get(),
            closed: self.closed.get(),
            reconnects: self.reconnects.get(),
        }
    }
}

impl SseCounters {
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        [self.opened, self.closed, self.reconnects].into_iter().for_each(|n| put(out, n));
    }

    pub(crate) fn get(numbers: &mut Numbers<'_>) -> Option<Self> {
        Some(Self { opened: numbers.next()?, closed: numbers.next()?, reconnects: numbers.next()? })
    }

    /// Streams open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}
