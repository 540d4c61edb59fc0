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
    use super::*;
    use crate::http::answer::Want;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// What becomes of an answer to KEY with these fields beside those that agree, or instead of them.
    fn agrees(asked: Option<&str>, agreeing: bool, more: &str) -> bool {
        let right = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let head = format!("HTTP/1.1 101 X\r\n{}{more}\r\n", if agreeing { right } else { "" });
        let fields = fields();
        let mut answer = Answer::to_upgrade(Want { fields: &fields, ..Want::default() });
        answer.feed(head.as_bytes()).unwrap();
        check(&answer, KEY, asked, None).is_ok()
    }

    #[test]
    fn nothing_is_agreed_to_that_was_not_offered() {
        let chosen = |name: &str| format!("Sec-WebSocket-Protocol: {name}\r\n");
        assert!(agrees(None, true, ""));
        assert!(agrees(Some("v2, v1"), true, ""), "the server need not choose any");
        assert!(agrees(Some("v2, v1"), true, &chosen("v1")));
        for (asked, more) in [
            (Some("v2, v1"), chosen("v3")),
            (Some("v2, v1"), chosen("v2, v1")),
            (None, chosen("v1")),
            (None, "Sec-WebSocket-Extensions: permessage-deflate\r\n".to_owned()),
        ] {
            assert!(!agrees(asked, true, &more), "{asked:?} {more}");
        }
        assert!(!agrees(None, false, "Upgrade: websocket\r\nConnection: Upgrade\r\n"), "no proof");
        let unproven = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n";
        assert!(!agrees(None, false, unproven));
    }

    #[test]
    fn fields_that_come_in_several_lines_are_one_list() {
        let proof = format!("Sec-WebSocket-Accept: {}\r\n", accept(KEY));
        let lines = "Connection: keep-alive\r\nUpgrade: h2c\r\nconnection: Upgrade\r\nUpgrade: websocket\r\n";
        assert!(agrees(None, false, &format!("{lines}{proof}")));
        // What must stand there once is no list (RFC 6455, 11.3).
        assert!(!agrees(None, false, &format!("{lines}{proof}{proof}")));
        let twice = "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v2\r\n";
        assert!(!agrees(Some("v1, v2"), true, twice));
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
