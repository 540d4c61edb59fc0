//! The writing end: groups of entries, appended in one write, synced beside.
//!
//! A full disk (or any other write error) ends the *recording*: the file is cut back to the last whole
//! group, the error is given to the caller once, and further groups are refused quietly.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::index::Index;
use super::{Kind, MAGIC, VERSION, codec};
use crate::clock::RunTime;
use crate::event::Event;
use crate::facts::{PlanFacts, RunEnd, RunMeta};
use crate::frame;
use crate::lane::{LaneId, LaneSpec};
use crate::profile::Profile;
use crate::snapshot::LogLine;
use crate::store::Entry;

/// Appends to a recording. As long as it lives, [`is_written`](super::is_written) is true of the file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    written: u64,
    broken: bool,
    pending: Pending,
    index: Index,
    syncer: Option<(SyncSender<()>, JoinHandle<()>)>,
}

/// Entries since the last group.
#[derive(Debug, Default)]
struct Pending {
    meta: Option<RunMeta>,
    plan: Option<PlanFacts>,
    lanes: Vec<(LaneId, LaneSpec)>,
    samples: Vec<codec::Sample>,
    intervals: Vec<codec::Interval>,
    events: Vec<Event>,
    profiles: Vec<Profile>,
    log: Vec<LogLine>,
}

impl Writer {
    /// Creates the file (which must not exist) and writes its head.
    ///
    /// # Errors
    /// Whatever the file system says: exists, no space, no permission.
    pub fn create(path: &Path, meta: &RunMeta) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        mark_as_written(&file);
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend(json_frame(Kind::Meta, meta));
        file.write_all(&head)?;
        let syncer = start_syncer(file.try_clone()?)?;
        Ok(Self {
            file,
            written: head.len() as u64,
            broken: false,
            pending: Pending::default(),
            index: Index { declared: vec![(MAGIC.len() + 4) as u64], ticks: Vec::new() },
            syncer: Some(syncer),
        })
    }

    /// Keeps an entry for the next group. A tick closes the group and writes it.
    ///
    /// # Errors
    /// Of the write, once; after it the recording has ended and everything is accepted and forgotten.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let p = &mut self.pending;
        match entry {
            Entry::Plan(plan) => p.plan = Some(plan.clone()),
            Entry::Lane(id, spec) => p.lanes.push((*id, spec.clone())),
            Entry::Sample { lane, at, value } => p.samples.push((*lane, *at, *value)),
            Entry::Histogram { lane, span, cells } => p.intervals.push((*lane, *span, cells.clone())),
            Entry::Event(event) => p.events.push(event.clone()),
            Entry::Profile(profile) => p.profiles.push(profile.clone()),
            Entry::Tick(at) => return self.flush(Some(*at)),
        }
        Ok(())
    }

    /// Keeps a later description of the run for the next group; it replaces the one at the head.
    pub fn meta(&mut self, meta: RunMeta) {
        self.pending.meta = Some(meta);
    }

    /// Keeps a log line for the next group.
    pub fn log(&mut self, line: LogLine) {
        self.pending.log.push(line);
    }

    /// Writes what is left, the end mark and the index, and syncs.
    ///
    /// # Errors
    /// Of the write or the sync.
    pub fn finish(mut self, end: &RunEnd) -> io::Result<()> {
        self.flush(None)?;
        self.append(&json_frame(Kind::End, end))?;
        let mut last = frame::pack_to_keep(Kind::Index as u8, &self.index.encode());
        last.extend(frame::pack_raw(Kind::Foot as u8, &self.written.to_le_bytes()));
        self.append(&last)?;
        if !self.broken {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Writes what is left, without an end mark: for what is made of a recording that was cut off.
    ///
    /// # Errors
    /// Of the write or the sync.
    pub fn stop(mut self) -> io::Result<()> {
        self.flush(None)?;
        if self.broken { Ok(()) } else { self.file.sync_data() }
    }

    fn flush(&mut self, tick: Option<RunTime>) -> io::Result<()> {
        let p = std::mem::take(&mut self.pending);
        let mut group = Vec::new();
        let declared = [
            p.meta.as_ref().map(|meta| json_frame(Kind::Meta, meta)),
            p.plan.as_ref().map(|plan| json_frame(Kind::Plan, plan)),
            (!p.lanes.is_empty()).then(|| json_frame(Kind::Lanes, &p.lanes)),
        ];
        for block in declared.into_iter().flatten() {
            self.index.declared.push(self.written + group.len() as u64);
            group.extend(block);
        }
        if !p.samples.is_empty() {
            group.extend(frame::pack_to_keep(Kind::Samples as u8, &codec::encode_samples(&p.samples)));
        }
        if !p.intervals.is_empty() {
            group.extend(frame::pack_to_keep(Kind::Histograms as u8, &codec::encode_intervals(&p.intervals)));
        }
        if !p.events.is_empty() {
            group.extend(json_frame(Kind::Events, &p.events));
        }
        for profile in &p.profiles {
            group.extend(frame::pack_to_keep(Kind::Profile as u8, &codec::encode_profile(profile)));
        }
        if !p.log.is_empty() {
            group.extend(json_frame(Kind::Log, &p.log));
        }
        if let Some(at) = tick {
            group.extend(frame::pack_to_keep(Kind::Tick as u8, &codec::encode_tick(at)));
        }
        self.append(&group)?;
        if let Some(at) = tick {
            self.index.tick(at, self.written);
        }
        Ok(())
    }

    fn append(&mut self, group: &[u8]) -> io::Result<()> {
        if self.broken || group.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.file.write_all(group) {
            self.broken = true;
            // Half a group may be there; readers would survive it, but a clean end is better.
            let _ = self.file.set_len(self.written);
            return Err(e);
        }
        self.written += group.len() as u64;
        if let Some((poke, _)) = &self.syncer {
            match poke.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {} // full: a sync is under way and the next one covers this
                Err(TrySendError::Disconnected(())) => {} // the syncer met an error: the next write will, too
            }
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((poke, thread)) = self.syncer.take() {
            drop(poke);
            let _ = thread.join();
        }
    }
}

/// Times that a file is tried to be locked: a reader that looks for the lock holds one itself for a moment.
const TRIES: usize = 5;

/// A lock says that the file is being written; the kernel takes it away however the writer ends. A file system without locks
/// only means that nobody can tell.
fn mark_as_written(file: &File) {
    for _ in 0..TRIES {
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Syncing can take hundreds of milliseconds on a busy disk, which must not hold up the recorder.
fn start_syncer(file: File) -> io::Result<(SyncSender<()>, JoinHandle<()>)> {
    let (poke, poked) = sync_channel::<()>(1);
    let thread = std::thread::Builder::new().name("recording-sync".to_owned()).spawn(move || {
        while poked.recv().is_ok() {
            if file.sync_data().is_err() {
                break;
            }
        }
    })?;
    Ok((poke, thread))
}

fn json_frame(kind: Kind, value: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("our own types serialise");
    frame::pack_to_keep(kind as u8, &body)
}
