//! What sources, load engine and screens hold of the recorder: a way in and a way out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use super::Message;
use crate::clock::{MonoNs, RunClock, RunTime, Span};
use crate::event::{Event, LABEL_MAX};
use crate::facts::RunEnd;
use crate::histogram::Sparse;
use crate::lane::{LaneId, LaneSpec, is_value};
use crate::profile::{self, Profile};
use crate::recording::whole_us;
use crate::snapshot::{RunState, Snapshot};
use crate::store::Entry;
use crate::text::clean;

/// Most lanes of one run; a target that makes up names must not eat our memory.
pub(super) const MAX_LANES: usize = 5_000;
/// Most labels of an event.
const MAX_LABELS: usize = 8;

/// The way in. Cheap to clone; every call returns at once, except that declaring a lane may wait for the recorder.
#[derive(Clone)]
pub struct Handle {
    clock: RunClock,
    send: SyncSender<Message>,
    shared: Arc<Shared>,
    published: Published,
}

#[derive(Default)]
struct Shared {
    lanes: Mutex<HashMap<LaneSpec, LaneId>>,
    dropped: AtomicU64,
}

/// The newest snapshot, for whoever draws.
#[derive(Clone, Default)]
pub struct Published(Arc<Mutex<Arc<Snapshot>>>);

impl Published {
    /// The newest snapshot; an empty one before the first.
    #[must_use]
    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, snapshot: Arc<Snapshot>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

impl Handle {
    pub(super) fn new(clock: RunClock, send: SyncSender<Message>, published: Published) -> Self {
        Self { clock, send, shared: Arc::default(), published }
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> RunClock {
        self.clock
    }

    /// Where snapshots appear.
    #[must_use]
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Entries dropped because the recorder did not keep up, or because of their value ([`is_value`]).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Declares a lane, or finds the one declared with the same words. None when the run has all the
    /// lanes that it may have; the source then has nowhere to put its samples and says so.
    pub fn declare(&self, mut spec: LaneSpec) -> Option<LaneId> {
        for text in [&mut spec.name, &mut spec.subject, &mut spec.instance] {
            *text = clean(text, LABEL_MAX);
        }
        // Held while sending: declarations must reach the recorder in the order of their ids.
        let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = lanes.get(&spec) {
            return Some(*id);
        }
        if lanes.len() >= MAX_LANES {
            return None;
        }
        let id = LaneId(lanes.len() as u32);
        self.send.send(Message::Entry(Entry::Lane(id, spec.clone()))).ok()?;
        lanes.insert(spec, id);
        Some(id)
    }

    /// As [`Handle::declare`], for the recorder itself, which must not wait for its own channel: none means perhaps later.
    pub(super) fn try_declare(&self, spec: &LaneSpec) -> Option<LaneId> {
        let mut lanes = self.shared.lanes.try_lock().ok()?;
        if let Some(id) = lanes.get(spec) {
            return Some(*id);
        }
        let id = LaneId(lanes.len() as u32);
        if lanes.len() >= MAX_LANES {
            return None;
        }
        self.send.try_send(Message::Entry(Entry::Lane(id, spec.clone()))).ok()?;
        lanes.insert(spec.clone(), id);
        Some(id)
    }

    /// A level or rate at an instant of this host's monotonic clock; what is no value ([`is_value`]) is dropped and counted.
    pub fn sample(&self, lane: LaneId, at: MonoNs, value: f64) {
        if is_value(value) {
            let at = whole_us(self.clock.at(at));
            self.offer(Message::Entry(Entry::Sample { lane, at, value }));
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a histogram lane recorded from `from` to `to`.
    pub fn histogram(&self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        if !cells.cells.is_empty() {
            let span = Span::new(whole_us(self.clock.at(from)), whole_us(self.clock.at(to)));
            self.offer(Message::Entry(Entry::Histogram { lane, span, cells }));
        }
    }

    /// Something that happened; its text is made harmless here. One whose value is none is dropped and counted, too.
    pub fn event(&self, mut event: Event) {
        event.start = whole_us(event.start);
        event.end = whole_us(event.end).max(event.start);
        event.kind = clean(&event.kind, LABEL_MAX);
        event.instance = clean(&event.instance, LABEL_MAX);
        event.labels.truncate(MAX_LABELS);
        for (name, value) in &mut event.labels {
            *name = clean(name, LABEL_MAX);
            *value = clean(value, LABEL_MAX);
        }
        if is_value(event.value) {
            self.offer(Message::Entry(Entry::Event(event)));
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where a process spent its CPU time between two instants; one that is larger than what is kept is dropped and counted.
    pub fn profile(&self, instance: &str, from: MonoNs, to: MonoNs, pprof: Vec<u8>) {
        if pprof.len() > profile::MAX_BYTES {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let span = Span::new(whole_us(self.clock.at(from)), whole_us(self.clock.at(to)));
        let instance = clean(instance, LABEL_MAX);
        self.offer(Message::Entry(Entry::Profile(Profile { instance, span, pprof })));
    }

    /// The time of the run at `t`.
    #[must_use]
    pub fn at(&self, t: MonoNs) -> RunTime {
        self.clock.at(t)
    }

    /// A line for people.
    pub fn log(&self, text: &str) {
        self.offer(Message::Log(clean(text, 400)));
    }

    /// One line on how a source does; replaces its earlier line.
    pub fn source(&self, name: &str, line: &str) {
        self.offer(Message::Source(clean(name, LABEL_MAX), clean(line, 400)));
    }

    /// What was attached and what cannot be seen, a line each; becomes part of the run's description.
    pub fn attached(&self, lines: &[String]) {
        self.offer(Message::Attached(lines.iter().map(|l| clean(l, 400)).collect()));
    }

    /// The run is doing something else now.
    pub fn state(&self, state: RunState) {
        self.offer(Message::State(state));
    }

    pub(super) fn finish(&self, end: RunEnd) {
        // Fails only if the recorder is gone already, and then there is nothing left to finish.
        let _ = self.send.send(Message::Finish(end));
    }

    /// Drops and counts when the recorder does not keep up.
    fn offer(&self, message: Message) {
        if let Err(TrySendError::Full(_)) = self.send.try_send(message) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
