//! A session's event stream: reads what comes, counts what is pushed, and opens itself again where that is wanted.
//!
//! Owns the connection and when the next attempt is due; who waits beside it has [`EventStream::revive`] called then. Steps
//! over it are `events`' business.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::kept::Kept;
use super::pushed;
use crate::connection::Connection;
use crate::cookies::Jar;
use crate::figures::{self, Figures};
use crate::http::answer::{Answer, Want};
use crate::http::body::Body;
use crate::http::stream::Inflow;
use crate::kind::ErrorKind;
use crate::program::OpenEvents;
use crate::scan::Finder;
use crate::shard::{Offer, Shard};
use crate::sse;
use crate::sse::decode::{Decoder, Event};
use crate::turn::{PORTIONS_AT_ONCE, give_way};

/// How long a client waits before it connects again where the server does not say, ns: the standard leaves "a few
/// seconds" to the client, and this is what Chromium takes.
const RETRY_NS: u64 = 3_000_000_000;
/// The least that a server can make it, ns: less would be a loop, whose cost is no client's.
const RETRY_MIN_NS: u64 = 10_000_000;
/// The most, ns: longer than any phase that this could matter for.
const RETRY_MAX_NS: u64 = 3_600_000_000_000;
const MS_NS: u64 = 1_000_000;
/// What may be held beside the longest event while a portion is worked on, bytes: as much as one portion.
const PORTION: usize = 64 << 10;

/// The event stream of a session.
#[derive(Debug)]
pub(super) struct EventStream {
    phase: Phase,
    max_event: u32,
    push_age: Option<Rc<Finder>>,
    /// None: it is not opened again.
    again: Option<Box<Again>>,
    /// What came before the step that awaits it; none where there is no such step.
    kept: Option<Box<Kept<Past>>>,
}

/// An event that came before.
#[derive(Debug)]
struct Past {
    kind: Box<str>,
    data: Box<str>,
}

#[expect(clippy::large_enum_variant, reason = "the stream is boxed as a whole, and open nearly all the time")]
enum Phase {
    Open(Open),
    /// It is being opened again, until `deadline` (run time, ns).
    Opening {
        attempt: Attempt,
        deadline: u64,
    },
    /// It is to be opened again at this time.
    Down(u64),
    /// The server wants it opened no more (204).
    Over,
    Failed(ErrorKind),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Opening { .. } => "Opening",
            Self::Down(_) => "Down",
            Self::Over => "Over",
            Self::Failed(_) => "Failed",
        })
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<Option<Open>, ErrorKind>>>>;

/// What it takes to open a stream again.
#[derive(Debug)]
struct Again {
    /// The first request's head, without cookies.
    head: Box<[u8]>,
    last_id: Box<[u8]>,
    retry_ns: u64,
}

/// What came of looking at a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The event that was waited for.
    Match,
    /// The stream has ended, and [`EventStream::due`] says when it is to be opened again.
    Down,
    /// The stream is of no use any more.
    Lost,
}

/// A stream whose answer's head was right.
#[derive(Debug)]
pub(super) struct Open {
    connection: Connection,
    figures: Rc<Figures>,
    reading: Reading,
}

impl Drop for Open {
    fn drop(&mut self) {
        figures::add(&self.figures.sse.closed, 1);
    }
}

/// All of an open stream but its connection, which is lent while a portion is worked on.
#[derive(Debug)]
struct Reading {
    body: Body,
    inflow: Option<Inflow>,
    decoder: Decoder,
    /// What was read and is to be parsed first: it came behind an awaited event.
    early: Vec<u8>,
    /// Most bytes of that.
    room: usize,
    /// How it ended; told when all in front of it was looked at.
    end: Option<Result<(), ErrorKind>>,
}

/// Asks for events over `connection` and reads as far as the answer's head; none if the server has none any more (204).
/// Dropped, it closes the connection.
pub(super) async fn ask(
    shard: Rc<Shard>,
    mut connection: Connection,
    head: Vec<u8>,
    max_event: u32,
) -> Result<Option<Open>, ErrorKind> {
    let fields = sse::fields();
    let mut answer = Answer::new(Want { body: true, fields: &fields, ..Want::default() });
    let (mut rest, mut early) = (&head[..], Vec::new());
    poll_fn(|cx| {
        while !rest.is_empty() {
            ready!(connection.poll_writable(cx))?;
            rest = connection.write_now(rest)?;
        }
        // The status is enough to refuse: the body of an error page is not waited for.
        while answer.status() == 0 {
            let read = connection.poll_portion(cx, &shard.input, |portion| {
                if portion.is_empty() {
                    return Err(ErrorKind::ClosedEarly);
                }
                let taken = answer.feed_to_body(portion)?;
                early.extend_from_slice(&portion[taken..]);
                Ok(())
            });
            ready!(read)??;
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    if answer.status() == 204 {
        return Ok(None);
    }
    sse::check(&answer)?;
    let (body, coding) = answer.into_body().unwrap_or((Body::Length(0), None));
    let room = max_event as usize + PORTION;
    let inflow = coding.map(|coding| Inflow::new(coding, room)).transpose()?;
    let decoder = Decoder::new(max_event);
    let mut reading = Reading { body, inflow, decoder, early: Vec::new(), room, end: None };
    reading.begin(&early);
    figures::add(&shard.figures.sse.opened, 1);
    Ok(Some(Open { connection, figures: Rc::clone(&shard.figures), reading }))
}

impl EventStream {
    /// A stream that was just opened by a request with this head, which is written without cookies.
    pub(super) fn new(open: Open, step: &OpenEvents, head: Vec<u8>) -> Self {
        let again =
            || Box::new(Again { head: head.into_boxed_slice(), last_id: Box::default(), retry_ns: RETRY_NS });
        Self {
            phase: Phase::Open(open),
            max_event: step.max_event,
            push_age: step.push_age.clone(),
            again: step.reconnect.then(again),
            kept: None,
        }
    }

    /// From now on events that no step waits for are kept for a later one, or they are not.
    pub(super) fn keep(&mut self, wanted: bool) {
        Kept::set(&mut self.kept, wanted);
    }

    /// Takes the oldest kept event that matches; says whether there was one.
    pub(super) fn take_kept(&mut self, matches: &mut dyn FnMut(&Event<'_>) -> bool) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        kept.take(|past| matches(&Event { kind: &past.kind, data: &past.data }))
    }

    /// Why it is of no use any more: `sse-closed` where the server has ended it in order and it is not opened again.
    pub(super) fn failed(&self) -> Option<ErrorKind> {
        if let Phase::Failed(kind) = self.phase { Some(kind) } else { None }
    }

    /// Has the server said that it has no more?
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// When [`EventStream::revive`] has something to do, run time in ns.
    pub(super) fn due(&self) -> Option<u64> {
        match self.phase {
            Phase::Down(due) => Some(due),
            Phase::Opening { deadline, .. } => Some(deadline),
            Phase::Open(_) | Phase::Over | Phase::Failed(_) => None,
        }
    }

    /// Opens it again if that is due at `now`, or gives up an attempt that has taken too long.
    pub(super) fn revive(&mut self, now: u64, shard: &Rc<Shard>, cookies: &Jar) {
        match (&self.phase, &self.again) {
            (Phase::Opening { deadline, .. }, _) if *deadline <= now => {
                self.broken_off(ErrorKind::Timeout, shard);
            }
            (Phase::Down(due), Some(again)) if *due <= now => {
                figures::add(&shard.figures.sse.reconnects, 1);
                let (head, shard, max_event) = (again.head(cookies), Rc::clone(shard), self.max_event);
                let deadline = now.saturating_add(shard.program.timeout_ns);
                let attempt = Box::pin(async move {
                    let socket = shard.open().await.map_err(|e| ErrorKind::of_connect(&e))?;
                    let connection = shard.secure(socket, Offer::Http1).await?;
                    ask(shard, connection, head, max_event).await
                });
                self.phase = Phase::Opening { attempt, deadline };
            }
            _ => {}
        }
    }

    /// Reads all that is there. Ready when an event matched (others are counted as pushed, and may be kept), or when the stream
    /// has ended. What follows a match is left for the next time.
    pub(super) fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        matches: &mut dyn FnMut(&Event<'_>) -> bool,
    ) -> Poll<Seen> {
        loop {
            let Self { phase, push_age, kept, .. } = self;
            match phase {
                Phase::Open(open) => {
                    let mut each = |event: Event<'_>| {
                        let matched = matches(&event);
                        if !matched {
                            pushed::count(shard, event.data.len(), Some(event.data), push_age.as_deref());
                            if let Some(kept) = kept {
                                let past = || Past { kind: event.kind.into(), data: event.data.into() };
                                kept.keep(event.kind.len() + event.data.len(), past);
                            }
                        }
                        matched
                    };
                    match ready!(open.poll(cx, shard, &mut each)) {
                        None => return Poll::Ready(Seen::Match),
                        Some(end) => self.ended(end, shard),
                    }
                }
                Phase::Opening { attempt, .. } => match ready!(attempt.as_mut().poll(cx)) {
                    Ok(Some(open)) => {
                        self.phase = Phase::Open(open);
                        continue;
                    }
                    Ok(None) => self.phase = Phase::Over,
                    Err(kind) => self.broken_off(kind, shard),
                },
                Phase::Down(_) | Phase::Over => return Poll::Pending,
                Phase::Failed(_) => return Poll::Ready(Seen::Lost),
            }
            if matches!(self.phase, Phase::Down(_)) {
                return Poll::Ready(Seen::Down);
            }
        }
    }

    /// Reads what is there while something else is waited for; should the stream end, that is seen later.
    pub(super) fn read_on(&mut self, cx: &mut Context<'_>, shard: &Shard) {
        let _ = self.poll_events(cx, shard, &mut |_| false);
    }

    /// The open stream has ended.
    fn ended(&mut self, end: Result<(), ErrorKind>, shard: &Shard) {
        let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        if let Some(again) = &mut self.again {
            again.learn(&open.reading.decoder);
        }
        match end {
            Ok(()) if self.again.is_none() => self.phase = Phase::Failed(ErrorKind::SseClosed),
            // That is what opening it again is for; only the attempt is counted.
            Ok(()) => self.rest(shard),
            Err(kind) => self.broken_off(kind, shard),
        }
    }

    /// The stream, or the attempt to open it, has ended by an error.
    fn broken_off(&mut self, kind: ErrorKind, shard: &Shard) {
        // The standard tells what may be better next time from what is meant; another event as large is likely too.
        let meant = matches!(kind, ErrorKind::SseHandshake | ErrorKind::BadCoding | ErrorKind::TooLarge);
        if meant || self.again.is_none() {
            self.phase = Phase::Failed(kind);
        } else {
            shard.figures.error(kind);
            self.rest(shard);
        }
    }

    /// Waits before it is opened again.
    fn rest(&mut self, shard: &Shard) {
        let wait = self.again.as_ref().map_or(RETRY_NS, |again| again.retry_ns);
        self.phase = Phase::Down(shard.now() + wait);
    }
}

impl Again {
    /// Keeps what a stream has said about the next request. A stream that set no id leaves the one before, as browsers do.
    fn learn(&mut self, decoder: &Decoder) {
        if let Some(id) = decoder.last_id() {
            self.last_id = id.into();
        }
        if let Some(ms) = decoder.retry_ms() {
            self.retry_ns = ms.saturating_mul(MS_NS).clamp(RETRY_MIN_NS, RETRY_MAX_NS);
        }
    }

    /// The head of the next request.
    fn head(&self, cookies: &Jar) -> Vec<u8> {
        const FIELD: &[u8] = b"Last-Event-ID: ";
        let mut head = Vec::with_capacity(self.head.len() + FIELD.len() + self.last_id.len() + 2);
        if self.last_id.is_empty() {
            head.extend_from_slice(&self.head);
        } else {
            // One that the scenario gave for the first request is replaced.
            let given =
                |line: &&[u8]| line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD));
            let lines = self.head.split_inclusive(|&b| b == b'\n');
            lines.filter(|line| !given(line)).for_each(|line| head.extend_from_slice(line));
            head.truncate(head.len() - 2);
            [FIELD, &self.last_id, b"\r\n\r\n"].iter().for_each(|part| head.extend_from_slice(part));
        }
        cookies.put_into(&mut head);
        head
    }
}

impl Open {
    /// Reads what is there. Ready with none when `each` wants no more, else with how the stream ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        each: &mut dyn FnMut(Event<'_>) -> bool,
    ) -> Poll<Option<Result<(), ErrorKind>>> {
        let Self { connection, reading, .. } = self;
        for _ in 0..PORTIONS_AT_ONCE {
            if reading.take_early(each) {
                return Poll::Ready(None);
            }
            if let Some(end) = reading.end {
                return Poll::Ready(Some(end));
            }
            // The portion lies in the shard's buffer.
            match ready!(connection.poll_portion(cx, &shard.input, |portion| reading.take(portion, each))) {
                Ok(true) => return Poll::Ready(None),
                Ok(false) => {}
                Err(kind) => reading.end = Some(Err(kind)),
            }
        }
        give_way(cx);
        Poll::Pending
    }
}

impl Reading {
    /// What came in one portion with the answer's head: decoded, and kept until somebody looks.
    fn begin(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pass(bytes, &mut |_| true, true);
        }
        // Nothing at all is a whole body as well.
        if self.end.is_none() && self.body.done() {
            self.end = Some(Ok(()));
        }
    }

    /// Takes a portion; says whether `each` wants no more. What is behind that is kept.
    fn take(&mut self, portion: &[u8], each: &mut dyn FnMut(Event<'_>) -> bool) -> bool {
        if portion.is_empty() {
            let whole = self.body.may_close();
            self.end = Some(if whole { Ok(()) } else { Err(ErrorKind::ClosedEarly) });
            return false;
        }
        self.pass(portion, each, false)
    }

    /// Undoes framing and coding, and parses, unless it is to be `kept`.
    fn pass(&mut self, portion: &[u8], each: &mut dyn FnMut(Event<'_>) -> bool, kept: bool) -> bool {
        let Self { body, inflow, decoder, early, room, .. } = self;
        let mut enough = kept;
        let mut events = |data: &[u8]| {
            let taken = if enough {
                0
            } else {
                decoder.feed(data, |event| {
                    enough = each(event);
                    enough
                })?
            };
            let rest = &data[taken..];
            if early.len() + rest.len() > *room {
                return Err(ErrorKind::TooLarge);
            }
            early.extend_from_slice(rest);
            Ok(())
        };
        let fed = body.feed(portion, |data| match inflow {
            Some(inflow) => inflow.feed(data, &mut events),
            None => events(data),
        });
        self.end = match fed {
            Err(kind) => Some(Err(kind)),
            Ok(_) if body.done() => Some(Ok(())),
            Ok(_) => None,
        };
        enough
    }

    /// Parses what was kept; says whether `each` wants no more.
    fn take_early(&mut self, each: &mut dyn FnMut(Event<'_>) -> bool) -> bool {
        if self.early.is_empty() {
            return false;
        }
        let bytes = std::mem::take(&mut self.early);
        let mut enough = false;
        let fed = self.decoder.feed(&bytes, |event| {
            enough = each(event);
            enough
        });
        match fed {
            Ok(taken) => self.early = bytes[taken..].to_vec(),
            Err(kind) => self.end = Some(Err(kind)),
        }
        enough
    }
}
