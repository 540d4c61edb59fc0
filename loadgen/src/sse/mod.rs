//! Server-sent events: bytes of a stream in, events out; no socket, no clock.
//!
//! `decode` reads a stream after the WHATWG standard (HTML, 9.2), `figures` are what is counted of streams, `check` says
//! whether an answer is one. Opening a stream, and opening it again, is `session`'s business.

pub mod decode;
pub mod figures;

use crate::http::answer::Answer;
use crate::kind::ErrorKind;

/// Longest event that is accepted where a scenario does not say, bytes of its lines.
pub const EVENT_MAX: usize = 1 << 20;

/// Header fields of the answer that are needed, in the order in which [`check`] expects them.
#[must_use]
pub fn fields() -> Vec<String> {
    vec!["content-type".to_owned()]
}

/// Does the answer begin a stream? Nothing but 200 and the one type does (HTML, 9.2.3).
///
/// # Errors
/// [`ErrorKind::SseHandshake`].
pub fn check(answer: &Answer<'_>) -> Result<(), ErrorKind> {
    let kind = answer.field(0).and_then(|f| f.split(';').next()).unwrap_or_default().trim();
    let right = answer.status() == 200 && kind.eq_ignore_ascii_case("text/event-stream");
    if right { Ok(()) } else { Err(ErrorKind::SseHandshake) }
}
