//! WebSockets in a plan: the handshake, how the socket is used, and messages that are sent and awaited.

use serde::{Deserialize, Serialize};

use super::{Judgement, StepId, Template};

/// A WebSocket handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Which step.
    pub id: StepId,
    /// Path and query.
    pub path: Template,
    /// Further header fields.
    pub headers: Vec<(String, Template)>,
    /// Subprotocols asked for, the best first, with commas between; the server must choose one of them or none.
    pub subprotocol: Option<String>,
    /// How the WebSocket is used from then on.
    #[serde(default)]
    pub options: SocketOptions,
}

/// How a WebSocket is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SocketOptions {
    /// Longest message that is accepted, bytes; none: 1 MiB. A longer one ends the WebSocket (`too-large`).
    pub max_message: Option<u32>,
    /// Offer of permessage-deflate.
    pub deflate: Option<Deflate>,
    /// JSONPath to a pushed message's timestamp: ms since the Unix epoch, or a text after RFC 3339.
    pub push_age: Option<String>,
    /// How often a waiting session pings, ns.
    pub ping_every_ns: Option<u64>,
    /// Is every pushed message sent back?
    pub echo: bool,
    /// Most bytes of a message that go into one frame, at least 1: a longer one is sent in fragments; none: all of it.
    #[serde(default)]
    pub max_frame: Option<u32>,
}

/// The end of a WebSocket by the closing handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Which step.
    pub id: StepId,
    /// The code that is sent: 1000, or 3000 to 4999, which are the applications' own.
    pub code: u16,
}

impl Close {
    /// A normal end (RFC 6455, 7.4.1).
    pub const NORMAL: u16 = 1000;
}

/// What permessage-deflate (RFC 7692) is offered with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deflate {
    /// The server is to start each message with an empty window.
    pub server_no_context_takeover: bool,
    /// We start each message with an empty window, and keep none between them.
    pub client_no_context_takeover: bool,
    /// The server's largest window as a power of two, 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// Ours, 9 to 15.
    pub client_max_window_bits: Option<u8>,
}

/// A WebSocket message, the wait for one, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Send {
    /// Which step.
    pub id: StepId,
    /// What is sent.
    pub payload: Payload,
    /// What answers it; a [`Part::Sent`](super::Part::Sent) in it refers to a top-level field of the sent JSON, by name.
    pub wait: Option<Await>,
}

/// What a [`Send`] sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// A text message.
    Text(Template),
    /// A binary message.
    Binary(Vec<u8>),
    /// Nothing: the step only awaits.
    Nothing,
}

/// Which message answers the one sent; others that come meanwhile are counted as pushed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Await {
    /// How it is known.
    pub what: Awaited,
    /// What else must hold, and what is kept; of a text message only.
    #[serde(default)]
    pub judgement: Judgement,
    /// After this the step has failed (`timeout`), ns.
    pub within_ns: u64,
}

/// How an awaited message is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Awaited {
    /// A text message in which a JSONPath finds this first; `${sent.FIELD}` is a top-level field of what was sent.
    JsonEquals(String, Template),
    /// A text message in which a JSONPath finds anything.
    JsonAny(String),
    /// A text message that holds this text.
    Contains(Template),
    /// A text message that this regular expression matches somewhere.
    Regex(String),
    /// Any binary message.
    Binary,
    /// No message, but that the server ends the WebSocket, in whatever way; the session goes on without it.
    Closed,
}
