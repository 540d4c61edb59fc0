//! The upgrade from HTTP/1.1: the key that is sent and the answer that proves the server understood.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scenarios::plan::Deflate;
use sha1::{Digest, Sha1};

use crate::http::answer::Answer;
use crate::kind::ErrorKind;
use crate::ws::deflate::{self, Agreed};

/// The constant of RFC 6455, 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Header fields of the answer that are needed, in the order in which [`check`] expects them.
#[must_use]
pub fn fields() -> Vec<String> {
    let names = ["accept", "protocol", "extensions"].map(|n| format!("sec-websocket-{n}"));
    names.into_iter().chain(["upgrade".to_owned(), "connection".to_owned()]).collect()
}

/// A key from 16 random bytes.
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// What a server answers to `key`.
#[must_use]
pub fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Did the server agree to a WebSocket, and to no subprotocol or extension that was not asked for? Gives back the terms of
/// compression, if it wants that.
///
/// # Errors
/// [`ErrorKind::WsHandshake`].
pub fn check(
    answer: &Answer<'_>,
    key: &str,
    asked: Option<&str>,
    deflate: Option<&Deflate>,
) -> Result<Option<Agreed>, ErrorKind> {
    let has = |i, word: &str| {
        answer.field(i).is_some_and(|f| f.split(',').any(|w| w.trim().eq_ignore_ascii_case(word)))
    };
    let agreed = answer.status() == 101
        && answer.field(0).map(str::trim) == Some(&*accept(key))
        && has(3, "websocket")
        && has(4, "upgrade")
        && answer.field(1).is_none_or(|p| asked.is_some_and(|a| a.split(',').any(|a| a.trim() == p.trim())));
    if agreed { deflate::agree(deflate, answer.field(2)) } else { Err(ErrorKind::WsHandshake) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(super::accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
