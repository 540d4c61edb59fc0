//! The player: a recorded run seen again, as it was at any instant.
//!
//! Owns the way back from a recording to snapshots; how it goes on from tick to tick is `seen`'s.
//! Pace and keys belong to whoever plays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::seen::Seen;
use super::{Diagnose, Published};
use crate::clock::RunTime;
use crate::facts::RunMeta;
use crate::recording::{Damage, Item, Reader, RecordingError};
use crate::snapshot::RunState;
use crate::store::Entry;

/// A recording that is being played.
pub struct Player {
    path: PathBuf,
    make_diagnose: Box<dyn Fn() -> Diagnose + Send>,
    meta: RunMeta,
    length: RunTime,
    damage: Vec<Damage>,
    published: Published,
    seen: Seen,
    /// Time of the tick before the one that is shown; the run's start if there is none.
    previous: RunTime,
    /// Number of the last picture; unlike that of the view, which begins anew with every way back, it only rises.
    seq: u64,
}

impl Player {
    /// Opens a recording (the file or its run's folder) at its start; `make_diagnose` gives fresh detectors
    /// whenever it is wound back.
    ///
    /// # Errors
    /// [`RecordingError`] when there is nothing that can be played.
    pub fn open(
        path: &Path,
        make_diagnose: impl Fn() -> Diagnose + Send + 'static,
    ) -> Result<Self, RecordingError> {
        let mut meta = None;
        let mut length = RunTime::ZERO;
        let mut reader = Reader::open(path)?;
        for item in reader.by_ref() {
            match item {
                Item::Meta(m) => meta = Some(*m),
                Item::Entry(Entry::Tick(at)) => length = length.max(at),
                Item::Entry(_) | Item::Log(_) | Item::End(_) => {}
            }
        }
        let meta = meta.ok_or_else(|| RecordingError::Empty { path: path.to_owned() })?;
        let make_diagnose: Box<dyn Fn() -> Diagnose + Send> = Box::new(make_diagnose);
        let seen = begin(path, &meta, make_diagnose())?;
        let damage = reader.damage().to_vec();
        let published = Published::default();
        Ok(Self {
            path: path.to_owned(),
            make_diagnose,
            meta,
            length,
            damage,
            published,
            seen,
            previous: RunTime::ZERO,
            seq: 0,
        })
    }

    /// What of the file could not be read.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The last instant that can be shown.
    #[must_use]
    pub fn length(&self) -> RunTime {
        self.length
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Shows the run as it was at the first tick from `to` on. Going back to an earlier tick plays from the start again.
    ///
    /// # Errors
    /// When the file can no longer be read.
    pub fn seek(&mut self, to: RunTime) -> Result<(), RecordingError> {
        let to = to.min(self.length);
        let shown = self.seen.at;
        // A replay's steps are shorter than a tick: as long as the tick before is earlier than `to`, the one that is shown is still the
        // first from `to` on.
        if to < shown && to <= self.previous {
            self.seen = begin(&self.path, &self.meta, (self.make_diagnose)())?;
            self.previous = RunTime::ZERO;
        }
        while self.seen.at < to {
            let before = self.seen.at;
            if !self.seen.tick() {
                break;
            }
            self.previous = before;
        }
        if self.seen.at != shown || self.seq == 0 {
            self.publish();
        }
        Ok(())
    }

    fn publish(&mut self) {
        let at = self.seen.at;
        let mut snapshot = self.seen.snapshot(at);
        self.seq += 1;
        Arc::make_mut(&mut snapshot).seq = self.seq;
        self.published.set(snapshot);
    }
}

fn begin(path: &Path, meta: &RunMeta, diagnose: Diagnose) -> Result<Seen, RecordingError> {
    Ok(Seen::new(Reader::open(path)?, meta.clone(), diagnose, RunState::Replaying))
}
