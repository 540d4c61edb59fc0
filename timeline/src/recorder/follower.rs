//! The follower: a run seen from its recording while it is still being written.
//!
//! Owns the way from bytes that arrive to snapshots, of which the newest is never older than what has arrived. A late joiner is
//! given the recording from its start and so sees the whole history; what the picture shows when nothing more arrives is
//! how old everything has become. Where the bytes come from belongs to whoever feeds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::seen::Seen;
use super::{Diagnose, Published};
use crate::clock::{MonoNs, RunTime};
use crate::facts::{RunEnd, RunMeta};
use crate::finding::Finding;
use crate::recording::{Item, Reader, RecordingError};
use crate::snapshot::RunState;
use crate::store::Timeline;

/// A run that is being followed.
pub struct Follower {
    /// For messages.
    path: PathBuf,
    published: Published,
    stage: Stage,
    /// When the last tick was read, and that there was nothing to read after it.
    caught_up: Option<MonoNs>,
}

/// How far we are.
enum Stage {
    /// Not even the head of the file has come.
    Before { bytes: Vec<u8>, diagnose: Diagnose },
    /// The description of the run has not come as a whole.
    Head { reader: Box<Reader>, diagnose: Diagnose },
    /// The rest.
    Reading(Box<Seen>),
}

impl Follower {
    /// Nothing has come yet. `path` says in messages where it comes from.
    #[must_use]
    pub fn new(path: &Path, diagnose: Diagnose) -> Self {
        Self {
            path: path.to_owned(),
            published: Published::default(),
            stage: Stage::Before { bytes: Vec::new(), diagnose },
            caught_up: None,
        }
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Takes what was appended to the recording.
    ///
    /// # Errors
    /// When this is no recording, or one of a newer dyno.
    pub fn feed(&mut self, more: &[u8]) -> Result<(), RecordingError> {
        let nothing = Stage::Before { bytes: Vec::new(), diagnose: Box::new(|_, _| Vec::new()) };
        self.stage = match std::mem::replace(&mut self.stage, nothing) {
            Stage::Reading(mut seen) => {
                seen.reader.feed(more);
                Stage::Reading(seen)
            }
            Stage::Head { mut reader, diagnose } => {
                reader.feed(more);
                self.begin(reader, diagnose)?
            }
            Stage::Before { mut bytes, diagnose } => {
                bytes.extend_from_slice(more);
                match Reader::growing(&bytes, &self.path)? {
                    Some(reader) => self.begin(Box::new(reader), diagnose)?,
                    None => Stage::Before { bytes, diagnose },
                }
            }
        };
        Ok(())
    }

    /// Begins as soon as the description of the run is there.
    fn begin(&self, mut reader: Box<Reader>, diagnose: Diagnose) -> Result<Stage, RecordingError> {
        match reader.next() {
            Some(Item::Meta(meta)) => {
                Ok(Stage::Reading(Box::new(Seen::new(*reader, *meta, diagnose, RunState::Watching))))
            }
            Some(_) => Err(RecordingError::Empty { path: self.path.clone() }),
            None => Ok(Stage::Head { reader, diagnose }),
        }
    }

    /// Reads on for at most `time`; true if there is more to read. What is shown then is some instant of the history.
    pub fn read(&mut self, time: Duration) -> bool {
        let Stage::Reading(seen) = &mut self.stage else { return false };
        let begin = MonoNs::now();
        let mut read = false;
        while seen.tick() {
            read = true;
            if MonoNs::now().since(begin) >= time {
                self.caught_up = None;
                return true;
            }
        }
        if read || self.caught_up.is_none() {
            self.caught_up = Some(MonoNs::now());
        }
        false
    }

    /// Publishes the run as it is now: as of its last tick, and as much later as nothing came since.
    pub fn publish(&mut self) {
        let Stage::Reading(seen) = &mut self.stage else { return };
        let silent = self.caught_up.filter(|_| seen.end.is_none()).map(|since| MonoNs::now().since(since));
        let at = seen.at + silent.unwrap_or_default();
        self.published.set(seen.snapshot(at));
    }

    /// About the run; none before that is known.
    #[must_use]
    pub fn meta(&self) -> Option<&RunMeta> {
        self.seen().map(|seen| &seen.meta)
    }

    /// Its end; none as long as it goes on.
    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        self.seen()?.end.as_ref()
    }

    /// Everything measured so far, and the findings as they stand.
    #[must_use]
    pub fn measured(&self) -> Option<(&Timeline, &[Finding])> {
        self.seen().map(|seen| (&seen.timeline, &seen.findings[..]))
    }

    /// The time of the last tick that was read.
    #[must_use]
    pub fn at(&self) -> RunTime {
        self.seen().map_or(RunTime::ZERO, |seen| seen.at)
    }

    fn seen(&self) -> Option<&Seen> {
        match &self.stage {
            Stage::Reading(seen) => Some(seen),
            Stage::Before { .. } | Stage::Head { .. } => None,
        }
    }
}
