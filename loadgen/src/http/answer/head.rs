//! The head of an answer: its status, its framing (RFC 9112, 6), and what of its fields is kept.
//!
//! Owns where a head ends and how a whole one is read. How it comes together from portions, and what becomes of it, is left to `answer`.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

use super::{At, Want};
use crate::http::FIELDS_MAX;
use crate::http::body::Body;
use crate::http::coding::Coding;
use crate::kind::ErrorKind;

/// What a head says.
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) status: u16,
    pub(super) at: At,
    pub(super) reusable: bool,
    pub(super) located: bool,
    pub(super) coding: Option<Coding>,
    #[expect(
        clippy::box_collection,
        reason = "it lives in the session's future, where a pointer is a third of this"
    )]
    pub(super) cookies: Option<Box<Vec<String>>>,
    pub(super) fields: Box<[Option<String>]>,
}

/// The place behind the empty line that ends a head.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut i = 0;
    while let Some(at) = bytes[i..].iter().position(|&b| b == b'\n') {
        let next = i + at + 1;
        match &bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            _ => i = next,
        }
    }
    None
}

/// Parses a head; none if its end is not there. What is kept of equal fields may be `joined`.
pub(super) fn parse(bytes: &[u8], want: Want<'_>, joined: bool) -> Result<Option<Head>, ErrorKind> {
    // Not initialised: clearing 4 KiB would cost as much as parsing.
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    let Status::Complete(length) = parsed.map_err(|_| ErrorKind::BadHead)? else {
        return Ok(None);
    };
    let (mut noted, mut chunked, mut coded) = (Noted::default(), false, false);
    let (mut closes, mut keeps) = (false, false);
    for field in response.headers.iter() {
        let name = field.name;
        if noted.take(name, field.value, want)? {
            continue;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            coded = true;
            chunked = tokens(field.value).last().is_some_and(|t| t.eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case("connection") {
            for token in tokens(field.value) {
                closes |= token.eq_ignore_ascii_case(b"close");
                keeps |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    // Two framings at once: whoever is in between may have read the other one (RFC 9112, 6.3).
    if coded && noted.length.is_some() {
        return Err(ErrorKind::BadHead);
    }
    // Whoever says that it closes does, whatever else it says (RFC 9112, 9.3). HTTP/1.0 closes unless it says otherwise, and where
    // it uses a framing that it does not know (6.1).
    let reusable = !closes && (response.version == Some(1) || (keeps && !coded));
    let at = match (coded, chunked, noted.length) {
        (true, true, _) => At::Body(Body::Chunks(Box::default())),
        (true, false, _) | (false, _, None) => At::Body(Body::UntilClose),
        (false, _, Some(0)) => At::Done,
        (false, _, Some(n)) => At::Body(Body::Length(n)),
    };
    Ok(Some(Head {
        length,
        status: response.code.unwrap_or(0),
        fields: kept(want, joined, || response.headers.iter().map(|f| (f.name, f.value))),
        reusable,
        located: noted.located,
        coding: noted.coding,
        cookies: noted.cookies,
        at,
    }))
}

/// What fields say whatever the version of HTTP.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) length: Option<u64>,
    pub(super) located: bool,
    pub(super) coding: Option<Coding>,
    #[expect(clippy::box_collection, reason = "it moves into the answer, which says why")]
    pub(super) cookies: Option<Box<Vec<String>>>,
}

impl Noted {
    /// Takes note of a field, if it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &[u8], want: Want<'_>) -> Result<bool, ErrorKind> {
        if name.eq_ignore_ascii_case("content-length") {
            let n = number(value)?;
            if self.length.is_some_and(|m| m != n) {
                return Err(ErrorKind::BadHead);
            }
            self.length = Some(n);
        } else if name.eq_ignore_ascii_case("location") {
            self.located = true;
        } else if want.body && name.eq_ignore_ascii_case("content-encoding") {
            // A second field is a second coding on top.
            self.coding = if self.coding.is_some() { Some(Coding::Unknown) } else { Coding::of(value) };
        } else if want.cookies && name.eq_ignore_ascii_case("set-cookie") {
            self.cookies.get_or_insert_default().push(String::from_utf8_lossy(value).into_owned());
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// The fields that are wanted: the first of equal ones, or all of them `joined` to the one list that they are (RFC 9110, 5.3).
pub(super) fn kept<'h, I: Iterator<Item = (&'h str, &'h [u8])>>(
    want: Want<'_>,
    joined: bool,
    fields: impl Fn() -> I,
) -> Box<[Option<String>]> {
    let find = |name: &String| {
        let mut equal = fields().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut value = String::from_utf8_lossy(equal.next()?.1).into_owned();
        if joined {
            equal.for_each(|(_, more)| {
                value.push_str(", ");
                value.push_str(&String::from_utf8_lossy(more));
            });
        }
        Some(value)
    };
    want.fields.iter().map(find).collect()
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

/// A `Content-Length`: digits alone (a sign or list would be read differently by others).
fn number(value: &[u8]) -> Result<u64, ErrorKind> {
    let digits = value.trim_ascii();
    let sound = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    if !sound {
        return Err(ErrorKind::BadHead);
    }
    Ok(digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}
