//! The recording on disk: `recording.dyno`.
//!
//! A file is the eight bytes `dynorec\n`, a little-endian `u32` format version, then [frames](crate::frame)
//! whose kinds are in [`Kind`]. Every half second the writer appends one group: what was declared,
//! samples (columnar), histograms, events, log lines, and last a tick, at which detectors ran. A reader
//! that applies entries in this order and runs the detectors at each tick comes to the same findings,
//! to the byte, as the live run did.
//!
//! Kinds that a reader does not know are skipped, so old readers survive new writers; a higher
//! *version* means that even the frames changed, and is refused by name. A file that was cut off
//! anywhere reads up to the last whole frame. A damaged frame is named and skipped. Whoever writes a file holds a
//! lock on it; since it only grows, it can be read while it is being written.
//!
//! This module owns the format; `FORMAT.md` of this crate tells it to those who write a reader of their own. [`Writer`] and
//! [`Reader`] are its two ends; [`trim`] and [`merge`] make a recording of recordings.

mod bounds;
mod codec;
mod damage;
mod edit;
#[cfg(test)]
mod format_test;
mod index;
mod reader;
mod writer;

pub use damage::Damage;
pub use edit::{EditError, Edited, merge, trim};
pub use reader::{Item, Loaded, Reader, RecordingError, in_folder, is_written};
pub use writer::Writer;

/// First bytes of every recording.
pub const MAGIC: [u8; 8] = *b"dynorec\n";
/// Version of the frames and of what the known kinds mean.
pub const VERSION: u32 = 1;
/// Name of the file inside a run's folder.
pub const FILE_NAME: &str = "recording.dyno";
/// The same where it was gzipped, which readers take as well.
pub const PACKED_FILE_NAME: &str = "recording.dyno.gz";

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`RunMeta`](crate::facts::RunMeta) as JSON; for people, never shown to detectors. The last one counts.
    Meta = 1,
    /// [`PlanFacts`](crate::facts::PlanFacts) as JSON.
    Plan = 2,
    /// Declared lanes as a JSON array of `[id, spec]`.
    Lanes = 3,
    /// Samples, columnar: for each lane its id, count, times (microsecond deltas, varints), values (f64).
    Samples = 4,
    /// Histogram intervals: lane, start, length, cells (delta varints).
    Histograms = 5,
    /// Events as a JSON array.
    Events = 6,
    /// Detectors ran: time in microseconds, varint.
    Tick = 7,
    /// [`RunEnd`](crate::facts::RunEnd) as JSON.
    End = 8,
    /// Log lines as a JSON array.
    Log = 9,
    /// Where to begin reading for an instant; written last, and only for speed.
    Index = 10,
    /// Where the index begins: the last block of a recording that was ended in order.
    Foot = 11,
    /// A CPU profile: instance, start, length, pprof's bytes.
    Profile = 12,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Meta,
        Self::Plan,
        Self::Lanes,
        Self::Samples,
        Self::Histograms,
        Self::Events,
        Self::Tick,
        Self::End,
        Self::Log,
        Self::Index,
        Self::Foot,
        Self::Profile,
    ];

    /// What such a block holds, in words.
    #[must_use]
    pub const fn holds(self) -> &'static str {
        match self {
            Self::Meta => "the description of the run",
            Self::Plan => "the plan",
            Self::Lanes => "names of lanes",
            Self::Samples => "samples",
            Self::Histograms => "histograms",
            Self::Events => "events",
            Self::Tick => "the mark of a tick",
            Self::End => "how the run ended",
            Self::Log => "log lines",
            Self::Index => "the index",
            Self::Foot => "the place of the index",
            Self::Profile => "a CPU profile",
        }
    }

    /// The kind with this byte.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|k| *k as u8 == byte)
    }
}

/// Times are kept to the microsecond. The recorder rounds *before* anything reads them, so that live
/// data and recording are the same.
#[must_use]
pub const fn whole_us(at: crate::RunTime) -> crate::RunTime {
    crate::RunTime(at.0 / 1_000 * 1_000)
}
