//! The player: a recorded run seen again, as it was at any instant.
//!
//! Owns the way back from a recording to snapshots; how it goes on from tick to tick is `seen`'s.
//! Pace and keys belong to whoever plays.

use std::path::{Path, PathBuf};

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
        Ok(Self { path: path.to_owned(), make_diagnose, meta, length, damage, published, seen })
    }

    /// About the run.
    #[must_use]
    pub fn meta(&self) -> &RunMeta {
        &self.meta
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

    /// The instant shown: that of the last tick played.
    #[must_use]
    pub fn at(&self) -> RunTime {
        self.seen.at
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Shows the run as it was at the first tick from `to` on. Going back plays from the start again.
    ///
    /// # Errors
    /// When the file can no longer be read.
    pub fn seek(&mut self, to: RunTime) -> Result<(), RecordingError> {
        let to = to.min(self.length);
        if to < self.seen.at {
            self.seen = begin(&self.path, &self.meta, (self.make_diagnose)())?;
        }
        let before = self.seen.at;
        while self.seen.at < to && self.seen.tick() {}
        if self.seen.at != before || before == RunTime::ZERO {
            let at = self.seen.at;
            self.published.set(self.seen.snapshot(at));
        }
        Ok(())
    }
}

fn begin(path: &Path, meta: &RunMeta, diagnose: Diagnose) -> Result<Seen, RecordingError> {
    Ok(Seen::new(Reader::open(path)?, meta.clone(), diagnose, RunState::Replaying))
}
