//! Everything up to the instant that is shown of a run that is read back, and how it goes on to the next tick.
//!
//! Owns the same view and the same detectors as live, fed at the recording's own ticks. Where the recording comes from and
//! how fast it is read belongs to [`Player`](super::Player) and [`Follower`](super::Follower).

use std::sync::Arc;

use super::Diagnose;
use super::view::View;
use crate::clock::RunTime;
use crate::facts::{RunEnd, RunMeta};
use crate::finding::Finding;
use crate::gate::Gate;
use crate::recording::{Item, Reader};
use crate::snapshot::{RunState, RunView, Snapshot};
use crate::store::{Entry, Timeline};

/// A run as far as it has been read.
pub(super) struct Seen {
    pub reader: Reader,
    pub meta: RunMeta,
    pub timeline: Timeline,
    pub findings: Vec<Finding>,
    /// Time of the last tick.
    pub at: RunTime,
    pub end: Option<RunEnd>,
    view: View,
    diagnose: Diagnose,
    gates: Vec<Gate>,
    /// Log lines have told of sources, so what was said at the start is outdated.
    told: bool,
}

impl Seen {
    /// Of the run that `meta` describes, at its start.
    pub fn new(reader: Reader, meta: RunMeta, diagnose: Diagnose, state: RunState) -> Self {
        let run = RunView {
            run_id: meta.run_id.clone(),
            scenario: meta.scenario.clone(),
            target: meta.target.clone(),
            seed: meta.seed,
            state,
            phase: None,
            planned: None,
        };
        // A gate of a newer dyno that this one cannot parse is left out of the picture, not of the report.
        let gates = meta.gates.iter().filter_map(|that| Gate::parse(that).ok()).collect();
        let mut seen = Self {
            reader,
            meta: RunMeta::default(),
            timeline: Timeline::new(),
            findings: Vec::new(),
            at: RunTime::ZERO,
            end: None,
            view: View::new(run),
            diagnose,
            gates,
            told: false,
        };
        seen.meta(meta);
        seen
    }

    /// Reads up to the next tick; false at the end of what there is.
    pub fn tick(&mut self) -> bool {
        while let Some(item) = self.reader.next() {
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
                Item::Log(line) => {
                    if let Some((source, state)) = line.state() {
                        if !std::mem::replace(&mut self.told, true) {
                            self.view.forget_sources();
                        }
                        self.view.source(source.to_owned(), state.to_owned());
                    }
                    self.view.log(line);
                }
                Item::Meta(meta) => self.meta(*meta),
                Item::End(end) => {
                    self.view.state(RunState::Done);
                    self.end = Some(end);
                }
            }
        }
        false
    }

    /// How the run looks at `at`, which is not before the last tick.
    pub fn snapshot(&mut self, at: RunTime) -> Arc<Snapshot> {
        self.view.tick(&self.timeline, &self.findings, &self.gates, at);
        Arc::new(self.view.snapshot(&self.timeline, &self.findings, at, 0))
    }

    /// A recording from before log lines told whose state they are says only what was attached at its start.
    fn meta(&mut self, meta: RunMeta) {
        if !self.told {
            self.view.forget_sources();
            for line in &meta.attached {
                let name = line.split([' ', ':']).next().unwrap_or_default();
                let about = line.split_once(": ").map_or("", |(_, about)| about);
                self.view.source(name.to_owned(), about.to_owned());
            }
        }
        self.meta = meta;
    }
}
