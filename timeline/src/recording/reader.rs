//! The reading end: items in the order in which they became known, whatever state the file is in.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{FILE_NAME, Kind, MAGIC, PACKED_FILE_NAME, VERSION, codec};
use crate::clock::RunTime;
use crate::event::Event;
use crate::facts::{RunEnd, RunMeta};
use crate::frame::{self, BadFrame};
use crate::lane::{LaneId, LaneSpec};
use crate::snapshot::LogLine;
use crate::store::{Entry, Timeline};

/// First bytes of a gzipped file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Most bytes that a gzipped recording may unpack to: an hour of a large run has a tenth of it.
const MAX_UNPACKED: u64 = 4 << 30;

/// Bytes that a growing recording has read before it forgets them: seldom enough that moving the rest costs nothing.
const FORGET: usize = 1 << 20;

/// Why a file cannot be read at all.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file system says no.
    #[error("cannot read the recording {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The first bytes are not a recording's.
    #[error(
        "{path} is not a dyno recording: it does not begin with `dynorec`; a run's folder holds one called {FILE_NAME}"
    )]
    NotARecording {
        /// Which file.
        path: PathBuf,
    },
    /// A newer dyno wrote it in a form that this one does not know.
    #[error("{path} was written in format {found}; this dyno reads up to format {VERSION}: use a newer dyno")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It was cut off before anything was known about the run.
    #[error("{path} ends before the description of the run: nothing can be read from it")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

/// Something in the file that could not be read, and was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, bytes from the start of the file.
    pub offset: u64,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// One thing that a recording says.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// About the run, for people.
    Meta(Box<RunMeta>),
    /// For the timeline.
    Entry(Entry),
    /// A log line.
    Log(LogLine),
    /// The run's end.
    End(RunEnd),
}

/// A whole recording, read.
#[derive(Debug)]
pub struct Loaded {
    /// About the run.
    pub meta: RunMeta,
    /// Everything measured.
    pub timeline: Timeline,
    /// Its end; none if it was cut off.
    pub end: Option<RunEnd>,
    /// Log lines.
    pub log: Vec<LogLine>,
    /// What was skipped.
    pub damage: Vec<Damage>,
}

/// Reads item by item.
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    at: usize,
    /// Bytes before `bytes`, which are not needed any more.
    forgotten: u64,
    /// More may come: what is not whole yet is waited for.
    growing: bool,
    queue: std::collections::VecDeque<Item>,
    damage: Vec<Damage>,
}

impl Reader {
    /// Opens a recording: the file itself or a run's folder. The file may be gzipped.
    ///
    /// # Errors
    /// [`RecordingError`] when there is nothing that can be read.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let path = match in_folder(path) {
            Some(inside) => inside,
            None if path.is_dir() => path.join(FILE_NAME),
            None => path.to_owned(),
        };
        let bytes = std::fs::read(&path)
            .and_then(|bytes| if bytes.starts_with(&GZIP) { gunzip(&bytes) } else { Ok(bytes) })
            .map_err(|source| RecordingError::Io { path: path.clone(), source })?;
        Self::from_bytes(bytes, &path)
    }

    /// The same recording with none of its frames compressed, as it packs best when it is gzipped as a whole. What is
    /// damaged is left out.
    #[must_use]
    pub fn unpacked(mut self) -> Vec<u8> {
        let mut out = self.bytes[..self.at].to_vec();
        while let Some((kind, body, _)) = self.next_frame() {
            out.extend(frame::pack_raw(kind, &body));
        }
        out
    }

    /// Reads from memory; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, RecordingError> {
        let path = path.to_owned();
        let head = MAGIC.len() + 4;
        if bytes.len() < head {
            return Err(if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
                RecordingError::Empty { path }
            } else {
                RecordingError::NotARecording { path }
            });
        }
        if bytes[..MAGIC.len()] != MAGIC {
            return Err(RecordingError::NotARecording { path });
        }
        let version = u32::from_le_bytes(bytes[MAGIC.len()..head].try_into().expect("four bytes"));
        if version > VERSION {
            return Err(RecordingError::Newer { path, found: version });
        }
        Ok(Self {
            bytes,
            at: head,
            forgotten: 0,
            growing: false,
            queue: Default::default(),
            damage: Vec::new(),
        })
    }

    /// Reads what has come so far of a recording that is still being written; [`feed`](Self::feed) gives it more. None if not
    /// even its head has come.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn growing(bytes: &[u8], path: &Path) -> Result<Option<Self>, RecordingError> {
        match Self::from_bytes(bytes.to_vec(), path) {
            Ok(reader) => Ok(Some(Self { growing: true, ..reader })),
            Err(RecordingError::Empty { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes what was appended since. What was read already is forgotten.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at >= FORGET {
            self.bytes.drain(..self.at);
            self.forgotten += self.at as u64;
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What had to be skipped so far.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Reads everything; `on_tick` is called at each tick with the timeline as it was then.
    ///
    /// # Errors
    /// When not even the description of the run can be read.
    pub fn load(
        mut self,
        path: &Path,
        mut on_tick: impl FnMut(&Timeline, RunTime),
    ) -> Result<Loaded, RecordingError> {
        let (mut meta, mut end, mut log) = (None, None, Vec::new());
        let mut timeline = Timeline::new();
        for item in self.by_ref() {
            match item {
                Item::Meta(m) => meta = Some(*m),
                Item::Entry(entry) => {
                    timeline.apply(&entry);
                    if let Entry::Tick(at) = entry {
                        on_tick(&timeline, at);
                    }
                }
                Item::Log(line) => log.push(line),
                Item::End(e) => end = Some(e),
            }
        }
        let meta = meta.ok_or_else(|| RecordingError::Empty { path: path.to_owned() })?;
        Ok(Loaded { meta, timeline, end, log, damage: self.damage })
    }

    /// The next whole frame's kind and body; damage is noted and passed over.
    fn next_frame(&mut self) -> Option<(u8, Vec<u8>, u64)> {
        loop {
            let offset = self.forgotten + self.at as u64;
            match frame::unpack(&self.bytes[self.at..]) {
                Ok((frame, taken)) => {
                    self.at += taken;
                    return Some((frame.kind, frame.body, offset));
                }
                Err(BadFrame::Incomplete) if self.growing || self.at == self.bytes.len() => return None,
                Err(why) => {
                    let next = self.resync(&why);
                    let what = match (&why, next) {
                        (BadFrame::Incomplete, None) => "the recording was cut off here".to_owned(),
                        (_, None) => format!("{why}; nothing can be read after it"),
                        (_, Some(n)) => format!("{why}; {} bytes are skipped", n - self.at),
                    };
                    self.damage.push(Damage { offset, what });
                    self.at = next.unwrap_or(self.bytes.len());
                }
            }
        }
    }

    /// Where the next whole frame begins after a damaged one: where its length says, or else the first
    /// place at which a known kind and a fitting checksum stand.
    fn resync(&self, why: &BadFrame) -> Option<usize> {
        let sound = |at: usize| {
            let rest = self.bytes.get(at..)?;
            Kind::of(*rest.first()?)?;
            frame::unpack(rest).ok().map(|_| at)
        };
        if let BadFrame::Damaged { skip, .. } = why {
            let at = self.at + skip;
            if at == self.bytes.len() || sound(at).is_some() {
                return Some(at);
            }
        }
        (self.at + 1..self.bytes.len()).find_map(sound)
    }

    fn unpack_into_queue(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
        let q = &mut self.queue;
        match kind {
            Kind::Meta => q.push_back(Item::Meta(json(body)?)),
            Kind::Plan => q.push_back(Item::Entry(Entry::Plan(json(body)?))),
            Kind::Lanes => {
                let lanes: Vec<(LaneId, LaneSpec)> = json(body)?;
                q.extend(lanes.into_iter().map(|(id, spec)| Item::Entry(Entry::Lane(id, spec))));
            }
            Kind::Samples => q.extend(
                codec::decode_samples(body)?
                    .into_iter()
                    .map(|(lane, at, value)| Item::Entry(Entry::Sample { lane, at, value })),
            ),
            Kind::Histograms => q.extend(
                codec::decode_intervals(body)?
                    .into_iter()
                    .map(|(lane, span, cells)| Item::Entry(Entry::Histogram { lane, span, cells })),
            ),
            Kind::Events => {
                let events: Vec<Event> = json(body)?;
                q.extend(events.into_iter().map(|e| Item::Entry(Entry::Event(e))));
            }
            Kind::Tick => q.push_back(Item::Entry(Entry::Tick(codec::decode_tick(body)?))),
            Kind::End => q.push_back(Item::End(json(body)?)),
            Kind::Log => {
                let lines: Vec<LogLine> = json(body)?;
                q.extend(lines.into_iter().map(Item::Log));
            }
        }
        Some(())
    }
}

impl Iterator for Reader {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Some(item);
            }
            let (byte, body, offset) = self.next_frame()?;
            let Some(kind) = Kind::of(byte) else {
                continue; // of a newer writer, and meant to be skipped
            };
            if self.unpack_into_queue(kind, &body).is_none() {
                self.queue.clear();
                let what =
                    format!("a {kind:?} block does not have the form that its type announces; skipped");
                self.damage.push(Damage { offset, what });
            }
        }
    }
}

/// The recording in a run's folder, plain or gzipped; none if there is neither.
#[must_use]
pub fn in_folder(folder: &Path) -> Option<PathBuf> {
    [FILE_NAME, PACKED_FILE_NAME].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// Is this file being written at the moment? False also where the file system cannot tell.
#[must_use]
pub fn is_written(file: &Path) -> bool {
    // The lock that is taken to find out goes with the file.
    File::open(file).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut out)?;
    if out.len() as u64 > MAX_UNPACKED {
        return Err(io::Error::other(format!("it unpacks to more than {MAX_UNPACKED} bytes")));
    }
    Ok(out)
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}
