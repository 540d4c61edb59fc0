//! The HTTP/1.1 client codec: bytes in, answers out; no socket, no clock.
//!
//! `answer` reads answers in any portions, `body` finds a body's end, `chunks` reads the chunked coding, `coding` whole
//! compressed bodies and `stream` those that do not end, `redirect` where a `Location` leads. How requests are written is
//! part of `template` and `program` (their heads are ready-made texts with holes); connections are `session`'s.

pub mod answer;
pub mod chunks;
pub mod coding;

pub(crate) mod body;
pub(crate) mod redirect;
pub(crate) mod stream;

/// Longest head (status line and header fields) of an answer, bytes; what browsers and proxies accept is less.
pub const HEAD_MAX: usize = 64 << 10;
/// Most header fields of an answer.
pub const FIELDS_MAX: usize = 128;
/// Longest body that is kept for checks and saves, bytes; one that is only counted may be of any length.
pub const BODY_MAX: usize = 8 << 20;
/// Most interim (1xx) answers in front of one real answer; a flood of them is an error.
pub const INTERIM_MAX: u8 = 16;
