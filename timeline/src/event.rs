//! Events: points and spans with bounded labels, beside the lanes on the same axis.
//!
//! Owns their shape and the canonical kinds. Sources keep the top few per interval and count the rest
//! in [`Event::others`]; a label's text comes from the target and is never to be trusted.

use serde::{Deserialize, Serialize};

use crate::clock::{RunTime, Span};

/// Most characters of a label's value; sources cut longer ones.
pub const LABEL_MAX: usize = 120;

/// Something that happened in the target, at a point or over a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Canonical kind from [`kinds`].
    pub kind: String,
    /// Which process it happened in.
    pub instance: String,
    /// When it began.
    pub start: RunTime,
    /// When it ended; equal to `start` for a point.
    pub end: RunTime,
    /// Named details: `key`, `route`, `statement`, `loads`, `peer`. At most eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
    /// The figure that belongs to the kind: duplicate loads, bytes; 0 where there is none.
    #[serde(default)]
    pub value: f64,
    /// Events of this kind in the interval that were counted but not kept.
    #[serde(default)]
    pub others: u64,
}

impl Event {
    /// The stretch that it covers.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.start, self.end)
    }

    /// The label called `name`.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Canonical kinds of events.
pub mod kinds {
    /// A timer thread of the target that should have fired and did not: the whole process stood still.
    /// `value`: for how much of it, in ns, the thread was ready to run and got no core; 0 where that is not known. Label `helped`: for how much
    /// of that, in ns, other threads of its process had one, where that is known.
    pub const PAUSE_HICCUP: &str = "pause.hiccup";
    /// The async loop did not come back, while the process ran. `value`: for how much of it, in ns, its thread was ready to run and
    /// got no core; 0 where that is not known. Label `helped`, as above. Label `function`, where somebody looked meanwhile: what ran, `name (folder/file.js:17)`.
    pub const PAUSE_WORKER_STALL: &str = "pause.worker-stall";
    /// A section in which the target stopped its own work under an exclusive lock.
    pub const PAUSE_STOP_THE_WORLD: &str = "pause.stop-the-world";
    /// A collector's minor pause.
    pub const PAUSE_MINOR: &str = "pause.minor";
    /// A collector's major pause.
    pub const PAUSE_MAJOR: &str = "pause.major";
    /// A collector's work beside its minor and major pauses, for which it stops the process, too: V8 begins to mark step by step, or calls
    /// back for what it has found dead.
    pub const PAUSE_INCREMENTAL: &str = "pause.incremental";
    /// The allocator gave memory back in the foreground.
    pub const PAUSE_PURGE: &str = "pause.purge";
    /// One refresh of a cache key. Labels: `cache`, `key`; `value`: loads of that key that ran in the
    /// span, 1 where nothing was duplicated. The span goes from the first load's start to the last one's end.
    pub const CACHE_REFRESH: &str = "cache.refresh";
    /// A function that took much of the CPU in the span. Label `function`: as above; `value`: its share of the samples that were not
    /// idle, with what it calls of libraries and runtime, 0 to 1.
    pub const PROFILE_CPU: &str = "profile.cpu";
    /// A function that allocated much in the span. Label `function`: as above; `value`: its share of the bytes that were allocated, with what it
    /// calls of libraries and runtime, 0 to 1. Bytes outside of a collected heap, such as a buffer's, are not in it.
    pub const PROFILE_ALLOCATED: &str = "profile.allocated";
    /// The same of what was allocated in the span and still lived at its end.
    pub const PROFILE_RETAINED: &str = "profile.retained";
    /// How the database would run a statement, as far as its planner knows without running it. Labels: `statement` (fingerprint),
    /// `plan` (its steps from the top down to the scan that costs most), `before` (the same of the plan that this one takes the place of, if it was
    /// known), and of that scan, as far as it is told, `table`, `filter` and `cost`; `value`: what the planner takes all of it to cost, 0 where it does not say.
    pub const DB_PLAN: &str = "db.plan";
    /// The load generator: a worker process died. Label: `worker`.
    pub const WORKER_LOST: &str = "generator.worker-lost";
    /// The bundled backend did not do what the scenario asks for. Labels: `what` was not done, and `why`.
    pub const ORDER_REFUSED: &str = "backend.order-refused";
    /// A person or gate changed the load, or ended it: see [`Amendment`](crate::Amendment). Labels: `what`.
    pub const AMENDMENT: &str = "client.amendment";
    /// The span over which a person had halted the load, told once it is over.
    pub const HALT: &str = "client.halt";
    /// A person put a mark here.
    pub const MARKER: &str = "client.marker";
    /// A source fell silent or came back. Labels: `source`, `what`.
    pub const SOURCE: &str = "source.state";
}
