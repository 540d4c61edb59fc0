//! Server-sent events in a plan: a stream that is opened, and an event that is awaited on it.

use serde::{Deserialize, Serialize};

use super::{Awaited, Judgement, StepId, Template};

/// Opens the session's event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenEvents {
    /// Which step.
    pub id: StepId,
    /// Path and query.
    pub path: Template,
    /// Further header fields.
    pub headers: Vec<(String, Template)>,
    /// How the stream is used from then on.
    #[serde(default)]
    pub options: StreamOptions,
}

/// How an event stream is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Longest event that is accepted, bytes of its lines; none: 1 MiB. A longer one ends the stream (`too-large`).
    pub max_event: Option<u32>,
    /// JSONPath to an event's timestamp: ms since the Unix epoch, or a text after RFC 3339.
    pub push_age: Option<String>,
    /// Is a stream that ends opened again, as browsers do?
    pub reconnect: bool,
}

/// Awaits an event; others that come meanwhile are counted as pushed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AwaitEvent {
    /// Which step.
    pub id: StepId,
    /// Its type; none: any. An event that names no type is a `message`.
    pub kind: Option<String>,
    /// What must hold of its data; never [`Awaited::Binary`] or [`Awaited::Closed`].
    pub what: Option<Awaited>,
    /// What else must hold, and what is kept.
    #[serde(default)]
    pub judgement: Judgement,
    /// After this the step has failed (`timeout`), ns.
    pub within_ns: u64,
}
