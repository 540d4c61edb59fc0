//! The reading end: items in the order in which they became known, whatever state the file is in.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::index::Index;
use super::{Damage, FILE_NAME, Kind, MAGIC, PACKED_FILE_NAME, VERSION, bounds, codec};
use crate::clock::RunTime;
use crate::event::Event;
use crate::facts::{RunEnd, RunMeta};
use crate::frame::{self, BadFrame};
use crate::lane::{LaneId, LaneSpec};
use crate::snapshot::LogLine;
use crate::store::{Entry, Timeline};

/// First bytes of a gzipped file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that a growing recording has read before it forgets them: seldom enough that moving the rest costs nothing.
const FORGET: usize = 1 << 20;

/// Why a file cannot be read at all.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file system says no.
    #[error("cannot read the recording {path}: {source}{}", suggestion(.source))]
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
    #[error(
        "{path} ends before the description of the run, so nothing can be read from it: it was cut off in its first moment; give another run"
    )]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

fn suggestion(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; give a run's folder, such as dyno-runs/ID, or the recording in it",
        _ => "",
    }
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
    bytes: Arc<Vec<u8>>,
    at: usize,
    /// Bytes before `bytes`, which are not needed any more.
    forgotten: u64,
    /// More may come: what is not whole yet is waited for.
    growing: bool,
    queue: std::collections::VecDeque<Item>,
    damage: Vec<Damage>,
    tick: RunTime,
    /// Why there is nothing behind the last byte, if there was more.
    cut: Option<String>,
    /// Bytes of the gzipped file.
    gzipped: Option<u64>,
    /// Bytes of the bodies of all blocks so far.
    unpacked: u64,
    extent: bounds::Extent,
    search: bounds::Search,
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
        let failed = |source| RecordingError::Io { path: path.clone(), source };
        // Opening a pipe would wait for its writer, so the kind is looked at first.
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("this is not a regular file")));
        }
        let bytes = std::fs::read(&path).map_err(failed)?;
        if !bytes.starts_with(&GZIP) {
            return Self::from_bytes(bytes, &path);
        }
        let gzipped = Some(bytes.len() as u64);
        let (bytes, cut) = gunzip(&bytes).map_err(failed)?;
        Ok(Self { cut, gzipped, ..Self::from_bytes(bytes, &path)? })
    }

    /// The same recording with none of its frames compressed, as it packs best when it is gzipped as a whole. What is
    /// damaged is left out.
    #[must_use]
    pub fn unpacked(mut self) -> Vec<u8> {
        let mut out = self.bytes[..self.at].to_vec();
        while let Some((kind, body, _)) = self.next_frame() {
            if matches!(Kind::of(kind), Some(Kind::Index | Kind::Foot)) {
                continue; // places change with the blocks' lengths
            }
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
        Ok(Self::over(bytes.into()))
    }

    fn over(bytes: Arc<Vec<u8>>) -> Self {
        Self {
            bytes,
            at: MAGIC.len() + 4,
            forgotten: 0,
            growing: false,
            queue: Default::default(),
            damage: Vec::new(),
            tick: RunTime::ZERO,
            cut: None,
            gzipped: None,
            unpacked: 0,
            extent: bounds::Extent::default(),
            search: bounds::Search::new(),
        }
    }

    /// The same recording from its start; the bytes are shared.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { cut: self.cut.clone(), gzipped: self.gzipped, ..Self::over(Arc::clone(&self.bytes)) }
    }

    /// Goes to the blocks that may speak of `at` and later: what comes next is everything declared before them, and then they.
    /// By the index if the recording has one, else by reading what is before.
    #[must_use]
    pub fn seek(&self, at: RunTime) -> Self {
        let mut there = self.again();
        let start = there.at as u64;
        let (index, damage) = match self.index() {
            Some(index) => (index, Vec::new()),
            None => self.again().scan(),
        };
        let place = index.place(at).unwrap_or(start);
        for offset in index.declared.iter().take_while(|o| **o < place) {
            there.at = *offset as usize;
            // They are in the order of the file: where nothing can be read any more, the others cannot be read either.
            let Some((byte, body, offset)) = there.next_frame() else { break };
            if let Some(kind) = Kind::of(byte) {
                there.take_in(kind, &body, offset);
            }
        }
        there.damage.splice(..0, damage.into_iter().filter(|d| d.offset < place));
        there.at = place as usize;
        there
    }

    /// The index, if the recording was ended in order and its last blocks are whole.
    fn index(&self) -> Option<Index> {
        /// Bytes of the last block: its header and a place.
        const FOOT: usize = frame::HEADER + 8;
        let (foot, _) = frame::unpack(self.bytes.get(self.bytes.len().checked_sub(FOOT)?..)?).ok()?;
        let place = (foot.kind == Kind::Foot as u8).then_some(foot.body)?;
        let place = usize::try_from(u64::from_le_bytes(place.try_into().ok()?)).ok()?;
        let (index, _) = frame::unpack(self.bytes.get(place..)?).ok()?;
        let index = (index.kind == Kind::Index as u8).then(|| Index::decode(&index.body))??;
        let inside = |at: u64| at < self.bytes.len() as u64;
        let sound = index.declared.iter().all(|at| inside(*at)) && index.ticks.iter().all(|t| inside(t.1));
        sound.then_some(index)
    }

    /// What the index would say, and what is damaged.
    fn scan(mut self) -> (Index, Vec<Damage>) {
        let mut index = Index::default();
        while let Some((byte, body, offset)) = self.next_frame() {
            match Kind::of(byte) {
                Some(Kind::Meta | Kind::Plan | Kind::Lanes) => index.declared.push(offset),
                Some(Kind::Tick) => {
                    if let Some(at) = codec::decode_tick(&body) {
                        self.saw_tick(at);
                        index.tick(at, self.at as u64);
                    }
                }
                _ => {}
            }
        }
        (index, self.damage)
    }

    /// Does the recording have an index? One that was cut off has none.
    #[must_use]
    pub fn has_index(&self) -> bool {
        self.index().is_some()
    }

    /// Bytes of the recording, unpacked from gzip.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
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
        // Nobody else has the bytes of a recording that grows, so nothing is copied.
        let all = Arc::make_mut(&mut self.bytes);
        if self.at >= FORGET {
            all.drain(..self.at);
            self.forgotten += self.at as u64;
            self.at = 0;
        }
        all.extend_from_slice(bytes);
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
        timeline.settle();
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
                    self.unpacked += frame.body.len() as u64;
                    let file = self.gzipped.unwrap_or(self.forgotten + self.bytes.len() as u64);
                    let most = bounds::unpacked(file);
                    if self.unpacked > most {
                        let what = format!(
                            "the blocks of {file} bytes unpack to more than {most}; nothing is read after it"
                        );
                        self.note(offset, what, Kind::of(frame.kind));
                        self.at = self.bytes.len();
                        return None;
                    }
                    return Some((frame.kind, frame.body, offset));
                }
                Err(BadFrame::Incomplete) if self.growing => return None,
                Err(BadFrame::Incomplete) if self.at == self.bytes.len() => {
                    if let Some(why) = self.cut.take() {
                        self.note(offset, why, None);
                    }
                    return None;
                }
                Err(why) => {
                    let next = self.resync(&why);
                    let what = match (&why, next) {
                        (BadFrame::Incomplete, None) => "the recording was cut off here".to_owned(),
                        (_, None) => format!("{why}; nothing can be read after it"),
                        (_, Some(n)) => format!("{why}; {} bytes are skipped", n - self.at),
                    };
                    let kind = self.bytes.get(self.at).and_then(|byte| Kind::of(*byte));
                    self.note(offset, what, kind);
                    self.at = next.unwrap_or(self.bytes.len());
                }
            }
        }
    }

    fn note(&mut self, offset: u64, what: String, kind: Option<Kind>) {
        self.damage.push(Damage { offset, what, kind, after: self.tick, before: None });
    }

    fn saw_tick(&mut self, at: RunTime) {
        self.tick = at;
        // The newest ones, whose end was not known yet.
        self.damage.iter_mut().rev().take_while(|d| d.before.is_none()).for_each(|d| d.before = Some(at));
    }

    /// Takes a block's content into the queue; notes it if it does not have its form.
    fn take_in(&mut self, kind: Kind, body: &[u8], offset: u64) {
        let before = self.queue.len();
        let what = if self.unpack_into_queue(kind, body).is_none() {
            "a block does not have the form that its type announces"
        } else if !self.queue.range(before..).all(bounds::holds)
            || !self.extent.takes(self.queue.range(before..))
        {
            "a block speaks of times, lanes or values that no run has"
        } else {
            return;
        };
        self.queue.truncate(before);
        self.note(offset, what.to_owned(), Some(kind));
    }

    /// Where the next whole frame begins after a damaged one: where its length says, or else the first
    /// place at which a known kind and a fitting checksum stand.
    fn resync(&mut self, why: &BadFrame) -> Option<usize> {
        let mut sound = |at: usize| {
            let rest = self.bytes.get(at..)?;
            Kind::of(*rest.first()?)?;
            // Where every byte looks like the head of a long block the search would not end.
            (frame::announced(rest).is_some_and(|length| self.search.takes(length))
                && frame::unpack(rest).is_ok())
            .then_some(at)
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
            Kind::Tick => {
                let at = codec::decode_tick(body)?;
                q.push_back(Item::Entry(Entry::Tick(at)));
                self.saw_tick(at);
            }
            Kind::Profile => q.push_back(Item::Entry(Entry::Profile(codec::decode_profile(body)?))),
            Kind::Index | Kind::Foot => {} // for seeking
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
            self.take_in(kind, &body, offset);
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

/// What a gzipped file unpacks to; if it is cut off or damaged, what comes before that, and why there is no more.
fn gunzip(bytes: &[u8]) -> io::Result<(Vec<u8>, Option<String>)> {
    let mut out = Vec::new();
    let most = bounds::unpacked(bytes.len() as u64);
    let read = flate2::read::GzDecoder::new(bytes).take(most + 1).read_to_end(&mut out);
    if out.len() as u64 > most {
        return Err(io::Error::other(format!("it unpacks to more than {most} bytes")));
    }
    match read {
        Ok(_) => Ok((out, None)),
        Err(e) if out.is_empty() => Err(e),
        Err(e) => Ok((out, Some(format!("the gzipped file is cut off or damaged here ({e})")))),
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}
