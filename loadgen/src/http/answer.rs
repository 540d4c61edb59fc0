//! One answer of HTTP/1.1, read in any portions: however the bytes are split, the result is the same.
//! `framed` fills the same answer from HTTP/2.
//!
//! Owns interim answers, limits, and what is kept: the status, the header fields that a step asks for, the body if a check or save
//! needs it. A head that comes in one piece is parsed where it lies; only a partial one is copied. What it says is `head`'s.

mod framed;
mod head;

use self::head::{Head, end_of_head, parse};
use super::body::Body;
use super::coding::Coding;
use super::{BODY_MAX, HEAD_MAX, INTERIM_MAX};
use crate::kind::ErrorKind;
use crate::room::Share;

/// What of an answer is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want<'a> {
    /// The request was `HEAD`: no body follows whatever the head says.
    pub head: bool,
    /// Keep the body.
    pub body: bool,
    /// Keep what `Set-Cookie` says.
    pub cookies: bool,
    /// Names of header fields to keep.
    pub fields: &'a [String],
}

#[derive(Debug)]
enum At {
    Head,
    Body(Body),
    Done,
}

/// What came of an answer: in one byte, since a session's future has no room for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Nothing,
    Something,
    /// `100 Continue` among it.
    Leave,
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Answer<'a> {
    want: Want<'a>,
    at: At,
    interim: u8,
    upgrade: bool,
    status: u16,
    reusable: bool,
    came: Came,
    located: bool,
    coding: Option<Coding>,
    body_bytes: u64,
    /// A head whose end has not come; behind it what is kept of the body. Never both, and a session's future has room for one.
    buffer: Vec<u8>,
    /// What of the worker's room that takes.
    share: Share,
    #[expect(
        clippy::box_collection,
        reason = "it lives in the session's future, where a pointer is a third of this"
    )]
    cookies: Option<Box<Vec<String>>>,
    fields: Box<[Option<String>]>,
}

impl<'a> Answer<'a> {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(want: Want<'a>) -> Self {
        Self {
            want,
            at: At::Head,
            interim: 0,
            upgrade: false,
            status: 0,
            reusable: false,
            came: Came::Nothing,
            located: false,
            coding: None,
            body_bytes: 0,
            buffer: Vec::new(),
            share: Share::default(),
            cookies: None,
            fields: Box::default(),
        }
    }

    /// The same, where `101 Switching Protocols` is an answer like any other, with no body.
    #[must_use]
    pub fn to_upgrade(want: Want<'a>) -> Self {
        Self { upgrade: true, ..Self::new(want) }
    }

    /// Is the answer whole?
    #[must_use]
    pub fn done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// The status; 0 until the head was read.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// May the connection carry a further request?
    #[must_use]
    pub fn reusable(&self) -> bool {
        self.reusable && self.done()
    }

    /// The body that was kept; none before the head was read.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        if matches!(self.at, At::Head) { &[] } else { &self.buffer }
    }

    /// Length of the body, kept or not.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The kept header fields, in the order of [`Want::fields`]; the first of equal ones, or all as one list where the answer is
    /// to an upgrade.
    #[must_use]
    pub fn field(&self, i: usize) -> Option<&str> {
        self.fields.get(i)?.as_deref()
    }

    /// Does its head have a `Location`? That is known whether the field is kept or not.
    #[must_use]
    pub fn located(&self) -> bool {
        self.located
    }

    /// What each `Set-Cookie` says; none unless [`Want::cookies`].
    #[must_use]
    pub fn cookies(&self) -> &[String] {
        self.cookies.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Did anything of it come?
    #[must_use]
    pub fn touched(&self) -> bool {
        self.came > Came::Nothing
    }

    /// Did `100 Continue` come in front, which alone is leave to send a body (RFC 9110, 10.1.1)?
    #[must_use]
    pub fn continued(&self) -> bool {
        self.came == Came::Leave
    }

    /// The connection must not carry a further request: this one was not sent as a whole.
    pub fn forbid_reuse(&mut self) {
        self.reusable = false;
    }

    /// Undoes the coding of the kept body. [`Answer::body_bytes`] stays what came over the wire.
    ///
    /// # Errors
    /// [`ErrorKind::BadCoding`], or [`ErrorKind::TooLarge`] if more comes out than is kept; there is no body then.
    pub fn decode(&mut self) -> Result<(), ErrorKind> {
        if let (true, Some(coding)) = (self.want.body, self.coding.take()) {
            let coded = std::mem::take(&mut self.buffer);
            self.buffer = coding.decode(&coded)?;
        }
        Ok(())
    }

    /// Reads from `bytes`, up to the end of the answer; says how many were read.
    ///
    /// # Errors
    /// The kind that names what is wrong; the answer must not be fed again.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut read = 0;
        if !bytes.is_empty() {
            self.note();
        }
        while read < bytes.len() && !self.done() {
            let rest = &bytes[read..];
            read += match &mut self.at {
                At::Head => self.feed_head(rest)?,
                At::Body(_) => self.feed_body(rest)?,
                At::Done => break,
            };
        }
        Ok(read)
    }

    /// The same, up to the end of the head alone: [`Answer::status`] is 0 until that was read. What follows is for
    /// [`Answer::into_body`].
    ///
    /// # Errors
    /// As for [`Answer::feed`].
    pub(crate) fn feed_to_body(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut read = 0;
        while read < bytes.len() && matches!(self.at, At::Head) {
            read += self.feed_head(&bytes[read..])?;
        }
        Ok(read)
    }

    /// The body behind a head that was read, and its coding; none if it has no body.
    #[must_use]
    pub(crate) fn into_body(self) -> Option<(Body, Option<Coding>)> {
        match self.at {
            At::Body(body) => Some((body, self.coding)),
            At::Head | At::Done => None,
        }
    }

    /// The connection was closed in order.
    ///
    /// # Errors
    /// [`ErrorKind::ClosedEarly`] unless the answer is whole, or whole by this.
    pub fn closed(&mut self) -> Result<(), ErrorKind> {
        match &self.at {
            At::Done => Ok(()),
            At::Body(body) if body.may_close() => {
                self.at = At::Done;
                Ok(())
            }
            At::Head | At::Body(_) => Err(ErrorKind::ClosedEarly),
        }
    }

    /// Something of it came.
    fn note(&mut self) {
        self.came = self.came.max(Came::Something);
    }

    fn keep(&mut self, data: &[u8]) -> Result<(), ErrorKind> {
        self.body_bytes += data.len() as u64;
        if self.want.body {
            if self.buffer.len() + data.len() > BODY_MAX {
                return Err(ErrorKind::TooLarge);
            }
            self.share.is(self.buffer.len() + data.len())?;
            self.buffer.extend_from_slice(data);
        }
        Ok(())
    }

    fn feed_body(&mut self, rest: &[u8]) -> Result<usize, ErrorKind> {
        let At::Body(mut body) = std::mem::replace(&mut self.at, At::Done) else { return Ok(0) };
        let n = body.feed(rest, |data| self.keep(data))?;
        if !body.done() {
            self.at = At::Body(body);
        }
        Ok(n)
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        // httparse would skip empty lines in front; where they are skipped would depend on the split.
        if self.buffer.first().or(bytes.first()) != Some(&b'H') {
            return Err(ErrorKind::BadHead);
        }
        if self.buffer.is_empty() {
            return match parse(bytes, self.want, self.upgrade) {
                Ok(Some(head)) if head.length <= HEAD_MAX => {
                    let n = head.length;
                    self.take(head)?;
                    Ok(n)
                }
                // A bad head is called so at its end, not where the first portion happens to show it.
                _ => self.gather(bytes),
            };
        }
        self.gather(bytes)
    }

    /// Copies what belongs to a head; parses it once its end is there, so that a slow drip costs no more than its bytes.
    fn gather(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let before = self.buffer.len();
        let room = HEAD_MAX + 1 - before;
        self.buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let from = before.saturating_sub(3);
        let Some(end) = end_of_head(&self.buffer[from..]).map(|e| e + from).filter(|&e| e <= HEAD_MAX) else {
            let full = self.buffer.len() > HEAD_MAX;
            self.share.is(self.buffer.len())?;
            return if full { Err(ErrorKind::TooLarge) } else { Ok(bytes.len()) };
        };
        let whole = std::mem::take(&mut self.buffer);
        self.share.is(0)?;
        let head = parse(&whole[..end], self.want, self.upgrade)?.ok_or(ErrorKind::BadHead)?;
        self.take(head)?;
        Ok(end - before)
    }

    fn take(&mut self, head: Head) -> Result<(), ErrorKind> {
        if head.status < 200 && !(self.upgrade && head.status == 101) {
            self.interim += 1;
            if head.status == 100 {
                self.came = Came::Leave;
            }
            // To switch protocols without being asked to leaves nothing that could be read.
            let known = head.status != 101 && head.status >= 100;
            return if known && self.interim <= INTERIM_MAX { Ok(()) } else { Err(ErrorKind::BadHead) };
        }
        let bodiless = self.want.head || matches!(head.status, 101 | 204 | 304);
        self.at = if bodiless { At::Done } else { head.at };
        self.status = head.status;
        self.reusable = head.reusable && !matches!(self.at, At::Body(Body::UntilClose));
        self.located = head.located;
        self.coding = head.coding;
        self.cookies = head.cookies;
        self.fields = head.fields;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Outcome = Result<(u16, Vec<u8>, u64, bool, usize, Vec<String>), ErrorKind>;

    /// Reads `bytes` cut at `cuts`, then the end of the stream; also says how many bytes were taken.
    fn read(bytes: &[u8], cuts: &[usize], want: Want<'_>) -> Outcome {
        let mut answer = Answer::new(want);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut taken = 0;
        for pair in cuts.windows(2) {
            if !answer.done() {
                taken += answer.feed(&bytes[pair[0]..pair[1]])?;
            }
        }
        answer.closed()?;
        let (reusable, cookies) = (answer.reusable(), answer.cookies().to_vec());
        answer.decode()?;
        Ok((answer.status(), answer.body().to_vec(), answer.body_bytes(), reusable, taken, cookies))
    }

    const KEEP: Want<'_> = Want { head: false, body: true, cookies: true, fields: &[] };

    fn outcome(text: &str) -> String {
        match read(text.as_bytes(), &[], KEEP) {
            Ok((status, body, _, reusable, _, _)) => {
                format!("{status} {:?} reusable={reusable}", String::from_utf8_lossy(&body))
            }
            Err(kind) => kind.name().to_owned(),
        }
    }

    #[test]
    fn framings_are_told_apart() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n";
        let cases = [
            format!("{ok}Content-Length: 2\r\n\r\nhi"),
            format!("{ok}Content-Length: 2\r\n\r\nh"),
            format!("{ok}Content-Length: +2\r\n\r\nhi"),
            format!("{ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi"),
            format!("{ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
            format!("{ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            format!("{ok}Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nhi"),
            format!("{ok}Content-Length: 2\r\nContent-Encoding: identity\r\n\r\nhi"),
            format!("{ok}Connection: close\r\nContent-Length: 2\r\n\r\nhi"),
            format!("{ok}\r\nhi"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nT: 1\r\n\r\n"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n2\r\nhi0\r\n\r\n"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
            format!("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n{ok}Content-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 101 Switch\r\n\r\n{ok}\r\n"),
            "HTTP/1.1 100 C\r\n\r\n".repeat(INTERIM_MAX as usize + 1),
            "HTTP/1.1 204 No\r\n\r\n".to_owned(),
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            format!("{old}Content-Length: 2\r\n\r\nhi"),
            format!("{old}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            format!("{ok}Connection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"),
            "SSH-2.0-x\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nA: b".to_owned(),
            String::new(),
        ];
        let told: Vec<String> = cases.iter().map(|c| outcome(c)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        200 "hi" reusable=true
        closed-early
        bad-head
        bad-head
        200 "hi" reusable=true
        bad-head
        bad-coding
        200 "hi" reusable=true
        200 "hi" reusable=false
        200 "hi" reusable=false
        200 "hi" reusable=true
        bad-chunk
        bad-chunk
        200 "" reusable=true
        bad-head
        bad-head
        204 "" reusable=true
        200 "" reusable=false
        200 "hi" reusable=true
        200 "hi" reusable=false
        200 "hi" reusable=false
        bad-head
        closed-early
        closed-early
        "#);
    }

    #[test]
    fn a_head_whose_end_has_not_come_is_no_body() {
        let mut answer = Answer::new(KEEP);
        answer.feed(b"HTTP/1.1 200 OK\r\nContent-").unwrap();
        assert!(answer.body().is_empty());
        answer.feed(b"Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((answer.body(), answer.done()), (&b"hi"[..], true));
    }

    #[test]
    fn a_location_is_noted_though_no_field_is_kept() {
        let none = Want::default();
        let located = |fields: &str, cut: usize| {
            let text = format!("HTTP/1.1 302 X\r\n{fields}Content-Length: 0\r\n\r\n");
            let mut answer = Answer::new(none);
            for portion in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                answer.feed(portion).unwrap();
            }
            assert!(answer.done() && answer.field(0).is_none());
            answer.located()
        };
        for cut in [0, 20] {
            assert!(located("location: /there\r\n", cut));
            assert!(!located("Content-Location: /there\r\n", cut));
        }
        let mut framed = Answer::new(none);
        assert!(!framed.located());
        framed.take_head(302, || std::iter::once(("location", &b"/there"[..]))).unwrap();
        assert!(framed.located());
    }

    #[test]
    fn status_100_alone_is_leave_to_send_a_body() {
        let mut answer = Answer::new(Want::default());
        answer.feed(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 102 P\r\n\r\n").unwrap();
        assert!(answer.touched() && !answer.continued());
        answer.feed(b"HTTP/1.1 100 C\r\n\r\n").unwrap();
        assert!(answer.continued());
        // What follows takes nothing back.
        answer.feed(b"HTTP/1.1 103 Early\r\n\r\n").unwrap();
        assert!(answer.touched() && answer.continued());
        let mut framed = Answer::new(Want::default());
        let continued = |status| framed.take_interim(status).map(|()| framed.continued());
        assert_eq!([103, 100, 103].map(continued), [Ok(false), Ok(true), Ok(true)]);
    }

    #[test]
    fn an_endless_head_is_cut_off() {
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend(b"X: y\r\n".repeat(HEAD_MAX / 6 + 10));
        assert_eq!(read(&text, &[], KEEP), Err(ErrorKind::TooLarge));
        assert_eq!(
            read(&text, &(0..text.len()).step_by(97).collect::<Vec<_>>(), KEEP),
            Err(ErrorKind::TooLarge)
        );
    }

    fn piece() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 304 Not\r\n",
            "HTTP/1.1 100 C\r\n\r\n",
            "HTTP/1.0 404 Gone\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close\r\n",
            "X: y\r\n",
            "Set-Cookie: a=b\r\n",
            "Set-Cookie: c=d; Path=/\r\n",
            "Content-Encoding: zstd\r\n",
            "Content-Encoding: identity\r\n",
            "\r\n",
            "\n",
            "hello",
            "5\r\nhello\r\n",
            "3;q\r\nabc\r\n",
            "0\r\n\r\n",
            "0\r\nT: u\r\n\r\n",
            "\u{1}",
            "H",
            ":",
        ])
        .prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(pieces in prop::collection::vec(piece(), 0..10), cuts in prop::collection::vec(any::<usize>(), 0..12), sound: bool, head: bool) {
            let mut text = if sound { "HTTP/1.1 200 OK\r\n".to_owned() } else { String::new() };
            text.extend(pieces);
            let want = Want { head, ..KEEP };
            prop_assert_eq!(read(text.as_bytes(), &cuts, want), read(text.as_bytes(), &[], want), "{:?}", text);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            text.extend(bytes);
            prop_assert_eq!(read(&text, &cuts, KEEP), read(&text, &[], KEEP));
        }
    }
}
