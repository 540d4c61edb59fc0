//! The player: a recorded run seen again, as it was at any instant.
//!
//! Owns the way back from a recording to snapshots: the same view and the same detectors as live, fed at
//! the recording's own ticks. Pace and keys belong to whoever plays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::view::View;
use super::{Diagnose, Published};
use crate::clock::RunTime;
use crate::facts::RunMeta;
use crate::finding::Finding;
use crate::gate::Gate;
use crate::recording::{Damage, Item, Reader, RecordingError};
use crate::snapshot::{RunState, RunView};
use crate::store::{Entry, Timeline};

/// A recording that is being played.
pub struct Player {
    path: PathBuf,
    make_diagnose: Box<dyn Fn() -> Diagnose + Send>,
    meta: RunMeta,
    gates: Vec<Gate>,
    length: RunTime,
    damage: Vec<Damage>,
    published: Published,
    seen: Seen,
}

/// Everything up to the instant that is shown.
struct Seen {
    reader: Reader,
    timeline: Timeline,
    view: View,
    diagnose: Diagnose,
    findings: Vec<Finding>,
    at: RunTime,
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
        // A gate of a newer dyno that this one cannot parse is left out of the picture, not of the report.
        let gates = meta.gates.iter().filter_map(|that| Gate::parse(that).ok()).collect();
        let make_diagnose: Box<dyn Fn() -> Diagnose + Send> = Box::new(make_diagnose);
        let seen = Seen::new(path, &meta, make_diagnose())?;
        let damage = reader.damage().to_vec();
        let published = Published::default();
        Ok(Self { path: path.to_owned(), make_diagnose, meta, gates, length, damage, published, seen })
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
            self.seen = Seen::new(&self.path, &self.meta, (self.make_diagnose)())?;
        }
        let before = self.seen.at;
        while self.seen.at < to && self.seen.tick() {}
        if self.seen.at != before || before == RunTime::ZERO {
            let Seen { view, timeline, findings, at, .. } = &mut self.seen;
            view.tick(timeline, findings, &self.gates, *at);
            self.published.set(Arc::new(view.snapshot(timeline, findings, *at, 0)));
        }
        Ok(())
    }
}

impl Seen {
    fn new(path: &Path, meta: &RunMeta, diagnose: Diagnose) -> Result<Self, RecordingError> {
        let run = RunView {
            run_id: meta.run_id.clone(),
            scenario: meta.scenario.clone(),
            target: meta.target.clone(),
            seed: meta.seed,
            state: RunState::Replaying,
            phase: None,
            planned: None,
        };
        let mut view = View::new(run);
        for line in &meta.attached {
            let (name, about) = line.split_once(": ").unwrap_or((line, ""));
            view.source(name.to_owned(), about.to_owned());
        }
        Ok(Self {
            reader: Reader::open(path)?,
            timeline: Timeline::new(),
            view,
            diagnose,
            findings: Vec::new(),
            at: RunTime::ZERO,
        })
    }

    /// Plays up to the next tick; false at the end.
    fn tick(&mut self) -> bool {
        for item in self.reader.by_ref() {
            match item {
                Item::Entry(entry) => {
                    self.timeline.apply(&entry);
                    self.view.apply(&self.timeline, &entry);
                    if let Entry::Plan(plan) = &entry
                        && !plan.phases.is_empty()
                    {
                        self.view.planned(plan.end());
                    }
                    if let Entry::Tick(at) = entry {
                        self.findings = (self.diagnose)(&self.timeline, at);
                        self.at = at;
                        return true;
                    }
                }
                Item::Log(line) => self.view.log(line),
                Item::Meta(_) | Item::End(_) => {}
            }
        }
        false
    }
}
