//! The sources that read stores' servers: real ones under load, ones that go away and come back, and ones that only pretend.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[path = "stores/postgres.rs"]
mod postgres;
#[path = "stores/rabbitmq.rs"]
mod rabbitmq;
#[path = "stores/redis.rs"]
mod redis;
#[path = "../../backend/tests/common/servers/mod.rs"]
#[expect(dead_code, reason = "the backend's own tests use the rest")]
mod servers;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex};

use dynamometer_profiler::Diagnosis;
use dynamometer_profiler::sources::{Sink, SourceEvent};
use timeline::facts::{EndReason, PlanFacts, RunEnd, RunMeta};
use timeline::histogram::Sparse;
use timeline::recorder::{Handle, Options, Recorder};
use timeline::recording::Reader;
use timeline::snapshot::RunState;
use timeline::{Event, Finding, LaneId, LaneSpec, MonoNs, RunClock};

use watched::Kept;

/// A recorder with the detectors behind it, as a run has one.
struct Run {
    recorder: Recorder,
    clock: RunClock,
    found: Arc<Mutex<Vec<Finding>>>,
    kept: Kept,
}

impl Run {
    fn start(recording: &Path) -> Self {
        let clock = RunClock::start();
        let found = Arc::new(Mutex::new(Vec::new()));
        let (findings, mut diagnosis) = (Arc::clone(&found), Diagnosis::new());
        let diagnose = Box::new(move |timeline: &timeline::Timeline, at| {
            diagnosis.tick(timeline, at);
            *findings.lock().unwrap() = diagnosis.findings().to_vec();
            diagnosis.findings().to_vec()
        });
        let options = Options {
            clock,
            meta: RunMeta::default(),
            plan: PlanFacts::default(),
            gates: Vec::new(),
            state: RunState::Watching,
            diagnose,
        };
        let recorder = Recorder::start(options, Some(recording)).unwrap();
        Self { recorder, clock, found, kept: Kept::default() }
    }

    fn sink(&self) -> Box<dyn Sink> {
        Box::new(Both(self.recorder.handle(), self.kept.clone()))
    }

    fn finding(&self, about: &str) -> Option<Finding> {
        self.found.lock().unwrap().iter().find(|f| f.subject.contains(about)).cloned()
    }

    /// Whether `text` is anywhere in what the run leaves, or in what was said.
    fn end(self, recording: &Path, text: &str) -> bool {
        let finished = self.recorder.finish(RunEnd {
            reason: EndReason::Completed,
            at: self.clock.now(),
            notes: Vec::new(),
        });
        let said = self.kept.0.lock().unwrap().notes.join("\n");
        let written = Reader::open(recording).unwrap().unpacked();
        said.contains(text)
            || format!("{:?}", finished.snapshot).contains(text)
            || written.windows(text.len()).any(|w| w == text.as_bytes())
    }
}

/// To the recorder, and kept for the test to look at.
struct Both(Handle, Kept);

impl Sink for Both {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        self.1.declare(spec.clone());
        self.0.declare(spec)
    }
    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        self.1.sample(lane, at, value);
        self.0.sample(lane, at, value);
    }
    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        self.1.histogram(lane, from, to, cells.clone());
        self.0.histogram(lane, from, to, cells);
    }
    fn event(&mut self, event: SourceEvent) {
        self.1.event(event.clone());
        self.0.event(Event {
            kind: event.kind,
            instance: event.instance,
            start: self.0.at(event.start),
            end: self.0.at(event.end),
            labels: event.labels,
            value: event.value,
            others: event.others,
        });
    }
    fn note(&mut self, source: &str, text: &str) {
        self.1.note(source, text);
        self.0.source(source, text);
    }
}
