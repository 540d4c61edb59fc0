//! HTTP/2: connections that carry several requests at once, over the crate `h2`.
//!
//! `wire` is a connection as h2 wants it, `link` one that is driven, `hub` the links that a session (a place, a `requests` phase)
//! has, `head` the way from a request as HTTP/1.1 writes it. Frames, HPACK and flow control are h2's; what a step makes of
//! an answer is the same as over HTTP/1.1 and stays in `session`.

pub mod head;
pub mod hub;
pub mod link;
mod wire;

/// Most streams of one connection that is shared: what nginx and h2 allow where nothing is said, so that a server which
/// allows any number is not loaded over a single socket.
pub const STREAMS_MAX: usize = 100;
/// Flow control window of a stream, bytes: 100 Mbit/s at a round trip of 20 ms.
const STREAM_WINDOW: u32 = 256 << 10;
/// Window of a connection, bytes: what a server can make one buffer before anybody reads it.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Most bytes that may come while no session takes anything of them: the whole window four times over, so that only frames which
/// carry nothing (settings, pings, interim heads, what was reset) can be meant.
const FLOOD_MAX: u64 = 4 * CONNECTION_WINDOW as u64;
/// Bytes that a connection reads before others have their turn: as much as a session of HTTP/1.1 reads at once.
const TURN_MAX: usize = 64 << 10;
/// Streams that were reset on this side and are remembered, so that what still comes for them is passed over.
const RESETS_MAX: usize = 256;
