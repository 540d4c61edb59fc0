//! The recorder: the one writer of a run's timeline.
//!
//! Sources and load engine hold a [`Handle`] and hand in lanes, samples, histograms and events through
//! a bounded channel. One thread owns the [`Timeline`]: it applies what comes, appends it to the
//! recording, runs the detectors at every tick and publishes an immutable [`Snapshot`] a few times a second.
//! When the channel is full the entry is dropped and counted; a measurement never waits for a screen.

mod before_handler;
mod columns;
mod follower;
mod handle;
mod player;
mod seen;
mod view;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use before_handler::BeforeHandler;
pub use follower::Follower;
pub use handle::{Handle, Published};
pub use player::Player;
use view::View;

use crate::clock::{RunClock, RunTime};
use crate::facts::{PlanFacts, RunEnd, RunMeta};
use crate::finding::Finding;
use crate::gate::Gate;
use crate::recording::{Writer, whole_us};
use crate::snapshot::{LogLine, RunState, RunView, Snapshot};
use crate::store::{Entry, Timeline};

/// Time from the end of a tick to the next one: detectors run and the recording is appended to. Half a second keeps the
/// time to find well under the aim of 3 s and a killed run's loss under one.
pub const TICK: Duration = Duration::from_millis(500);
/// Time from snapshot to snapshot.
const SNAPSHOT: Duration = Duration::from_millis(250);
/// Messages that may wait for the recorder: two seconds of 500 lanes at 10 Hz, and room for a burst.
const QUEUE: usize = 16_384;

/// Runs the detectors: given everything known at a tick, gives the findings as they stand, ranked.
pub type Diagnose = Box<dyn FnMut(&Timeline, RunTime) -> Vec<Finding> + Send>;

/// What a recorder is started with.
pub struct Options {
    /// The run's clock.
    pub clock: RunClock,
    /// About the run.
    pub meta: RunMeta,
    /// The plan as far as detectors may know it.
    pub plan: PlanFacts,
    /// Gates in the plan's order.
    pub gates: Vec<Gate>,
    /// What the run is when it starts.
    pub state: RunState,
    /// The detectors.
    pub diagnose: Diagnose,
}

/// What a finished run leaves in memory.
#[derive(Debug)]
pub struct Finished {
    /// Everything measured.
    pub timeline: Timeline,
    /// The findings as they stood at the last tick.
    pub findings: Vec<Finding>,
    /// About the run.
    pub meta: RunMeta,
    /// How it ended; its notes include what befell the recording.
    pub end: RunEnd,
    /// The last snapshot.
    pub snapshot: Arc<Snapshot>,
}

/// A running recorder.
pub struct Recorder {
    handle: Handle,
    thread: JoinHandle<Finished>,
}

/// What the recorder's thread is told.
pub(crate) enum Message {
    /// A fact.
    Entry(Entry),
    /// A line for people.
    Log(String),
    /// The run is doing something else now.
    State(RunState),
    /// A source's one-line state: its name, the line.
    Source(String, String),
    /// What was attached, a line each.
    Attached(Vec<String>),
    /// That was all.
    Finish(RunEnd),
}

impl Recorder {
    /// Starts the thread; with a path, also a recording there.
    ///
    /// # Errors
    /// When the recording cannot be created.
    pub fn start(options: Options, recording: Option<&Path>) -> io::Result<Self> {
        let writer = recording.map(|path| Writer::create(path, &options.meta)).transpose()?;
        let (send, receive) = sync_channel(QUEUE);
        let published = Published::default();
        let handle = Handle::new(options.clock, send, published.clone());
        let mut work = Work::new(options, writer, published, handle.clone());
        // Whoever draws at once sees what run it is.
        work.publish(work.clock.now());
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || work.run(receive))?;
        Ok(Self { handle, thread })
    }

    /// A handle for whoever has something to record.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes in all that was sent before, ticks once more, ends the recording.
    ///
    /// # Panics
    /// If the recorder's thread panicked, which is a bug of ours that must end the run.
    #[must_use]
    pub fn finish(self, end: RunEnd) -> Finished {
        self.handle.finish(end);
        self.thread.join().expect("the recorder's thread does not panic")
    }
}

/// The recorder's thread and all that it owns.
struct Work {
    clock: RunClock,
    meta: RunMeta,
    gates: Vec<Gate>,
    diagnose: Diagnose,
    timeline: Timeline,
    view: View,
    findings: Vec<Finding>,
    writer: Option<Writer>,
    notes: Vec<String>,
    published: Published,
    handle: Handle,
    before_handler: BeforeHandler,
}

impl Work {
    fn new(options: Options, writer: Option<Writer>, published: Published, handle: Handle) -> Self {
        let run = RunView {
            run_id: options.meta.run_id.clone(),
            scenario: options.meta.scenario.clone(),
            target: options.meta.target.clone(),
            seed: options.meta.seed,
            state: options.state,
            phase: None,
            planned: (!options.plan.phases.is_empty()).then(|| options.plan.end()),
        };
        let mut work = Self {
            clock: options.clock,
            meta: options.meta,
            gates: options.gates,
            diagnose: options.diagnose,
            timeline: Timeline::new(),
            view: View::new(run),
            findings: Vec::new(),
            writer,
            notes: Vec::new(),
            published,
            handle,
            before_handler: BeforeHandler::default(),
        };
        work.take(Entry::Plan(options.plan));
        work
    }

    fn run(mut self, receive: Receiver<Message>) -> Finished {
        let mut next_tick = self.clock.now() + TICK;
        let mut next_snapshot = self.clock.now() + SNAPSHOT;
        let end = loop {
            let now = self.clock.now();
            // The next one counts from the end of this: work that takes longer than its own interval must leave time to listen.
            if now >= next_tick {
                self.tick(now);
                next_tick = self.clock.now() + TICK;
            }
            if now >= next_snapshot {
                self.publish(now);
                next_snapshot = self.clock.now() + SNAPSHOT;
            }
            if let Some(end) = self.drain(&receive) {
                break end;
            }
            match receive.recv_timeout(next_tick.min(next_snapshot).since(self.clock.now())) {
                Ok(Message::Finish(end)) => break end,
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the recorder itself holds a sender")
                }
            }
        };
        self.end(end)
    }

    /// Hears what waits, and no more than can wait at once, so that a flood does not hold up the ticks; gives the end if it came.
    fn drain(&mut self, receive: &Receiver<Message>) -> Option<RunEnd> {
        for message in receive.try_iter().take(QUEUE) {
            match message {
                Message::Finish(end) => return Some(end),
                message => self.hear(message),
            }
        }
        None
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Entry(entry) => self.take(entry),
            Message::Log(text) => self.log(text, None),
            Message::State(state) => self.view.state(state),
            Message::Source(name, line) => {
                self.log(format!("{name}: {line}"), Some(name.clone()));
                self.view.source(name, line);
            }
            Message::Attached(lines) => {
                self.meta.attached = lines;
                let meta = self.meta.clone();
                self.write(|w| {
                    w.meta(meta);
                    Ok(())
                });
            }
            Message::Finish(_) => unreachable!("handled by the loop"),
        }
    }

    fn take(&mut self, entry: Entry) {
        self.timeline.apply(&entry);
        self.view.apply(&self.timeline, &entry);
        self.write(|w| w.add(&entry));
    }

    fn log(&mut self, text: String, source: Option<String>) {
        let line = LogLine { at: whole_us(self.clock.now()), text, source };
        self.view.log(line.clone());
        self.write(|w| {
            w.log(line);
            Ok(())
        });
    }

    /// A write error ends the recording, not the run; it is said at once and again in the summary.
    fn write(&mut self, act: impl FnOnce(&mut Writer) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(e) = act(writer) {
            self.writer = None;
            let note =
                format!("the recording ended at {}: {e}; the run goes on without it", self.clock.now());
            self.notes.push(note.clone());
            self.view.log(LogLine { at: self.clock.now(), text: note, source: None });
        }
    }

    fn tick(&mut self, now: RunTime) {
        let at = whole_us(now);
        if let Some(entry) = self.before_handler.look(&self.timeline, &self.handle, at) {
            self.take(entry);
        }
        self.take(Entry::Tick(at));
        let findings = (self.diagnose)(&self.timeline, at);
        for finding in &findings {
            let known = self.findings.iter().find(|f| f.id == finding.id);
            if known.is_none_or(|k| k.status < finding.status) {
                let text = format!(
                    "{} {} ({}): {}",
                    finding.id,
                    finding.kind.name(),
                    finding.status.name(),
                    finding.claim
                );
                self.log(text, None);
            }
        }
        self.findings = findings;
        self.view.tick(&self.timeline, &self.findings, &self.gates, at);
    }

    fn publish(&mut self, now: RunTime) {
        let snapshot = self.view.snapshot(&self.timeline, &self.findings, now, self.handle.dropped());
        self.published.set(Arc::new(snapshot));
    }

    fn end(mut self, mut end: RunEnd) -> Finished {
        // The last picture of a run is that of its recording, ages of lanes and all.
        let now = whole_us(self.clock.now());
        self.tick(now);
        self.view.state(RunState::Done);
        end.at = now;
        end.notes.append(&mut self.notes);
        let dropped = self.handle.dropped();
        if dropped > 0 {
            end.notes.push(format!("{dropped} samples or events were dropped before the recorder"));
        }
        if let Some(writer) = self.writer.take()
            && let Err(e) = writer.finish(&end)
        {
            end.notes.push(format!("the recording could not be ended in order: {e}"));
        }
        self.publish(now);
        let snapshot = self.published.get();
        Finished { timeline: self.timeline, findings: self.findings, meta: self.meta, end, snapshot }
    }
}
