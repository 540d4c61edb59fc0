//! A session's WebSocket: reads what comes, answers pings and closes, counts what is pushed.
//!
//! Owns the connection after the handshake, the masks of its frames and the close codes. Steps over it are `message`'s business.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use scenarios::plan::Close;

use super::kept::Kept;
use super::pushed;
use crate::connection::Connection;
use crate::figures;
use crate::kind::ErrorKind;
use crate::program::Connect;
use crate::random::Masks;
use crate::room::Share;
use crate::scan::Finder;
use crate::shard::Shard;
use crate::turn::{PORTIONS_AT_ONCE, give_way};
use crate::ws::decode::{Decoder, Message};
use crate::ws::deflate::{Agreed, Deflater, Inflater};
use crate::ws::figures::{LOST, NO_CODE};
use crate::ws::{encode, opcode};

/// Most bytes that may wait to be written when more is to join them; pongs beyond that are left out (only the newest ping needs
/// one), a message waits, and a WebSocket that echoes reads no more until the other side has taken them.
const WAITING_MAX: usize = 16 << 10;

/// Close codes that a client sends (RFC 6455, 7.4.1) beside that of a normal end.
const PROTOCOL_ERROR: u16 = 1002;
const NOT_CONSISTENT: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    connection: Connection,
    inbox: Inbox,
    masks: Masks,
    ended: Option<ErrorKind>,
    said_close: bool,
    /// Was its turn over before all was read that had come?
    behind: bool,
    /// The code under which its end is counted.
    code: u16,
}

/// All of a socket but its connection, which is lent while a portion is worked on.
#[derive(Debug)]
struct Inbox {
    decoder: Decoder,
    extra: Option<Box<Extra>>,
}

/// What only some WebSockets have, and an idle plain one does not pay for.
#[derive(Debug, Default)]
struct Extra {
    deflater: Option<Deflater>,
    push_age: Option<Rc<Finder>>,
    /// Time between pings, ns, and when the next one is due (run time); 0: none.
    ping_every: u64,
    ping_due: u64,
    /// When the last ping went out, and the last one that was answered: its payload says when it was sent.
    pinged: u64,
    ponged: u64,
    echo: bool,
    max_frame: Option<u32>,
    /// Bytes that were read and are to be looked at first: they came with the handshake, or behind an awaited message.
    early: Vec<u8>,
    /// What is still to be written.
    waiting: Vec<u8>,
    /// What of the worker's room that takes.
    share: Share,
    /// What came before the step that awaits it; none where there is no such step.
    kept: Option<Box<Kept<Past>>>,
}

/// A message that came before: its text, none of a binary one, which no step looks into.
type Past = Option<Box<str>>;

impl Extra {
    fn of(connect: &Connect, agreed: Option<&Agreed>, now: u64, early: Vec<u8>) -> Option<Box<Self>> {
        let plain = agreed.is_none()
            && connect.push_age.is_none()
            && connect.ping_every_ns.is_none()
            && !connect.echo
            && connect.max_frame.is_none()
            && early.is_empty();
        let ping_every = connect.ping_every_ns.unwrap_or(0);
        (!plain).then(|| {
            Box::new(Self {
                deflater: agreed.map(Deflater::new),
                push_age: connect.push_age.clone(),
                ping_every,
                ping_due: if ping_every > 0 { now + ping_every } else { 0 },
                echo: connect.echo,
                max_frame: connect.max_frame,
                early,
                ..Self::default()
            })
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connection.figures().ws.close(self.code);
    }
}

impl Socket {
    /// After the handshake, with what came behind its answer.
    pub(super) fn new(
        connection: Connection,
        connect: &Connect,
        agreed: Option<&Agreed>,
        early: Vec<u8>,
        masks: Masks,
        shard: &Shard,
    ) -> Self {
        figures::add(&shard.figures.ws.opened, 1);
        let inflater = agreed.map(|a| Box::new(Inflater::new(a)));
        Self {
            connection,
            inbox: Inbox {
                decoder: Decoder::new(connect.max_message, inflater),
                extra: Extra::of(connect, agreed, shard.now(), early),
            },
            masks,
            ended: None,
            said_close: false,
            behind: false,
            code: LOST,
        }
    }

    /// Why it ended, if it did: `ws-closed` where the server closed it in order.
    pub(super) fn ended(&self) -> Option<ErrorKind> {
        self.ended
    }

    /// Was everything written?
    pub(super) fn flushed(&self) -> bool {
        self.inbox.waiting().is_empty()
    }

    /// Was enough written for a further message? Whatever the other side reads, no more than that and one message ever waits.
    pub(super) fn has_room(&self) -> bool {
        self.inbox.waiting().len() <= WAITING_MAX
    }

    /// Is there more to be read of what had come when it was last polled?
    pub(super) fn is_behind(&self) -> bool {
        self.behind && self.ended.is_none()
    }

    /// From now on messages that no step waits for are kept for a later one, or they are not.
    pub(super) fn keep(&mut self, wanted: bool) {
        // One that keeps nothing need not remember that.
        if wanted || self.inbox.extra.is_some() {
            Kept::set(&mut self.inbox.extra.get_or_insert_default().kept, wanted);
        }
    }

    /// Takes the oldest kept message that matches; says whether there was one.
    pub(super) fn take_kept(&mut self, matches: &mut dyn FnMut(&Message<'_>) -> bool) -> bool {
        let Some(kept) = self.inbox.extra.as_mut().and_then(|e| e.kept.as_mut()) else { return false };
        kept.take(|past| matches(&past.as_deref().map_or(Message::Binary(&[]), Message::Text)))
    }

    /// When the next ping is due, run time in ns.
    pub(super) fn ping_due(&self) -> Option<u64> {
        self.inbox.extra.as_ref().map(|e| e.ping_due).filter(|due| *due > 0)
    }

    /// Pings, if that is due at `now`. Pings that were missed meanwhile are left out.
    pub(super) fn ping(&mut self, now: u64) {
        let Some(extra) = self.inbox.extra.as_mut().filter(|e| e.ping_due > 0 && e.ping_due <= now) else {
            return;
        };
        let missed = (now - extra.ping_due) / extra.ping_every;
        extra.ping_due += (missed + 1) * extra.ping_every;
        if self.ended.is_none() && !self.said_close && extra.waiting.len() < WAITING_MAX {
            extra.pinged = now;
            figures::add(&self.connection.figures().ws.pings, 1);
            encode::frame(&mut extra.waiting, opcode::PING, &now.to_be_bytes(), self.masks.draw());
            self.flush_now();
        }
    }

    /// Reads all that is there, or as much as a turn allows. Ready with true when a message matched (others are counted as
    /// pushed, and may be kept), with false when the WebSocket has ended. What follows a match is left for the next time.
    pub(super) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        matches: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> Poll<bool> {
        let matched = Cell::new(false);
        let mut portions = 0;
        self.behind = false;
        while self.ended.is_none() && !matched.get() {
            if portions == PORTIONS_AT_ONCE {
                self.behind = true;
                give_way(cx);
                break;
            }
            portions += 1;
            if !self.flushed() && self.poll_flush(cx).is_err() {
                break;
            }
            if self.inbox.is_clogged() {
                break;
            }
            let Self { connection, inbox, masks, said_close, .. } = self;
            let mut taking =
                Taking { shard, masks, matched: &matched, said_close: *said_close, closed: None };
            let early = inbox.extra.as_mut().map(|e| std::mem::take(&mut e.early)).unwrap_or_default();
            let read = if early.is_empty() {
                // The portion lies in the shard's buffer.
                connection.poll_portion(cx, &shard.input, |portion| {
                    if portion.is_empty() {
                        return Err(ErrorKind::ClosedEarly);
                    }
                    inbox.take(portion, &mut taking, matches)
                })
            } else {
                Poll::Ready(Ok(inbox.take(&early, &mut taking, matches)))
            };
            let closed = taking.closed;
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(Ok(()))) => self.closed(closed),
                Poll::Ready(Ok(Err(kind)) | Err(kind)) => {
                    self.closed(closed);
                    self.fail(kind);
                }
            }
        }
        match (matched.get(), self.ended) {
            (true, _) => Poll::Ready(true),
            (false, Some(_)) => Poll::Ready(false),
            (false, None) => Poll::Pending,
        }
    }

    /// The server's close frame came: it is answered, unless it answers ours.
    fn closed(&mut self, closed: Option<Option<u16>>) {
        let Some(code) = closed else { return };
        if self.ended.is_none() {
            self.ended = Some(ErrorKind::WsClosed);
            self.code = code.unwrap_or(NO_CODE);
            self.say_close(code.unwrap_or(Close::NORMAL));
        }
    }

    fn fail(&mut self, kind: ErrorKind) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(kind);
        let code = match kind {
            ErrorKind::WsProtocol => PROTOCOL_ERROR,
            ErrorKind::WsUtf8 => NOT_CONSISTENT,
            ErrorKind::TooLarge => TOO_BIG,
            _ => return,
        };
        self.code = code;
        self.say_close(code);
    }

    /// Sends a close frame, once, which begins or ends the closing handshake; whether it gets through does not matter any more if the socket is full.
    pub(super) fn say_close(&mut self, code: u16) {
        if !std::mem::replace(&mut self.said_close, true) {
            encode::close(self.inbox.outbox(), code, self.masks.draw());
            self.flush_now();
        }
    }

    /// Sends a message as far as the socket takes it; the rest goes out as the socket is polled. Whoever calls this has seen
    /// that there is room.
    pub(super) fn send(&mut self, wire: &mut Vec<u8>, opcode: u8, payload: &[u8]) -> Result<(), ErrorKind> {
        if let Some(kind) = self.ended {
            return Err(kind);
        }
        wire.clear();
        self.inbox.put(wire, opcode, payload, self.masks.draw());
        let rest = if self.flushed() { self.connection.write_now(wire) } else { Ok(&wire[..]) };
        // What is half written cannot be taken back: without room for the rest the WebSocket is of no use any more.
        let sent = rest.and_then(|rest| self.inbox.queue(rest));
        self.ended = sent.err();
        sent
    }

    fn flush_now(&mut self) {
        let waiting = self.inbox.outbox();
        match self.connection.write_now(waiting).map(<[u8]>::len) {
            Ok(0) => *waiting = Vec::new(),
            Ok(left) => drop(waiting.drain(..waiting.len() - left)),
            Err(kind) => self.ended = self.ended.or(Some(kind)),
        }
        self.inbox.give_back();
    }

    /// Writes what waits, as far as possible; an error ends the WebSocket.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), ErrorKind> {
        while !self.flushed() {
            match self.connection.poll_writable(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => self.flush_now(),
                Poll::Ready(Err(kind)) => self.ended = self.ended.or(Some(kind)),
            }
            if let Some(kind) = self.ended {
                return Err(kind);
            }
        }
        Ok(())
    }
}

/// What one portion of messages is taken with, and leads to.
struct Taking<'a> {
    shard: &'a Shard,
    masks: &'a mut Masks,
    matched: &'a Cell<bool>,
    said_close: bool,
    closed: Option<Option<u16>>,
}

impl Inbox {
    /// Must what waits go out before more is read? Only an echo grows with what is read.
    fn is_clogged(&self) -> bool {
        self.waiting().len() > WAITING_MAX && self.extra.as_ref().is_some_and(|e| e.echo)
    }

    /// What is still to be written.
    fn waiting(&self) -> &[u8] {
        self.extra.as_ref().map_or(&[], |e| &e.waiting)
    }

    /// Where what is to be written goes.
    fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.extra.get_or_insert_default().waiting
    }

    /// Puts the rest of a message there, which has no bound of its own and so needs room.
    fn queue(&mut self, rest: &[u8]) -> Result<(), ErrorKind> {
        if rest.is_empty() {
            return Ok(());
        }
        let extra = self.extra.get_or_insert_default();
        extra.share.is(extra.waiting.len() + rest.len())?;
        extra.waiting.extend_from_slice(rest);
        Ok(())
    }

    /// Gives the room back that is not needed any more.
    fn give_back(&mut self) {
        if let Some(extra) = &mut self.extra {
            // Refused only where it has grown by control frames, which are few.
            let _ = extra.share.is(extra.waiting.len());
        }
    }

    /// Appends a message's frames, compressed where that was agreed to.
    fn put(&mut self, out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
        put(self.extra.as_deref_mut(), out, opcode, payload, mask);
    }

    /// Takes messages up to the one waited for.
    fn take(
        &mut self,
        bytes: &[u8],
        taking: &mut Taking<'_>,
        matches: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> Result<(), ErrorKind> {
        let Self { decoder, extra } = self;
        let matched = taking.matched;
        let taken = decoder.feed_until(
            bytes,
            |message| taking.message(&message, extra, matches),
            || matched.get(),
        )?;
        if taken < bytes.len() && taking.closed.is_none() {
            extra.get_or_insert_default().early.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }
}

impl Taking<'_> {
    fn message(
        &mut self,
        message: &Message<'_>,
        extra: &mut Option<Box<Extra>>,
        matches: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> Result<(), ErrorKind> {
        // Nothing counts behind a close frame (RFC 6455, 5.5.1).
        if self.closed.is_some() {
            return Ok(());
        }
        match message {
            Message::Text(_) | Message::Binary(_) if matches(message) => self.matched.set(true),
            Message::Text(text) => {
                self.pushed(opcode::TEXT, text.as_bytes(), Some(text), extra.as_deref_mut())?;
            }
            Message::Binary(bytes) => self.pushed(opcode::BINARY, bytes, None, extra.as_deref_mut())?,
            Message::Ping(payload) => {
                let waiting = &mut extra.get_or_insert_default().waiting;
                if waiting.len() < WAITING_MAX {
                    encode::frame(waiting, opcode::PONG, payload, self.masks.draw());
                }
            }
            Message::Pong(payload) => self.pong(payload, extra.as_deref_mut()),
            Message::Close(code) => self.closed = Some(*code),
        }
        Ok(())
    }

    /// A message that nobody waited for.
    fn pushed(
        &mut self,
        opcode: u8,
        payload: &[u8],
        text: Option<&str>,
        extra: Option<&mut Extra>,
    ) -> Result<(), ErrorKind> {
        let push_age = extra.as_ref().and_then(|e| e.push_age.as_deref());
        pushed::count(self.shard, payload.len(), text, push_age);
        let Some(extra) = extra else { return Ok(()) };
        if let Some(kept) = &mut extra.kept {
            kept.keep(text.map_or(0, str::len), || text.map(Box::<str>::from));
        }
        // We send no data behind our own close frame (RFC 6455, 5.5.1).
        if extra.echo && !self.said_close {
            let mut waiting = std::mem::take(&mut extra.waiting);
            put(Some(extra), &mut waiting, opcode, payload, self.masks.draw());
            extra.waiting = waiting;
            // As long as what came: that has no bound of its own, and so needs room.
            extra.share.is(extra.waiting.len())?;
        }
        Ok(())
    }

    /// A pong tells by its payload which ping it answers; any other is legal and says nothing.
    fn pong(&self, payload: &[u8], extra: Option<&mut Extra>) {
        let (Some(extra), Ok(sent)) = (extra, <[u8; 8]>::try_from(payload)) else { return };
        let sent = u64::from_be_bytes(sent);
        if sent > extra.ponged && sent <= extra.pinged {
            extra.ponged = sent;
            let now = self.shard.now();
            self.shard.figures.roll(now);
            self.shard.figures.ws.ping_rtt(now.saturating_sub(sent));
        }
    }
}

/// Appends a message's frames, compressed where that was agreed to.
fn put(extra: Option<&mut Extra>, out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    let Some(extra) = extra else { return encode::frame(out, opcode, payload, mask) };
    let most = extra.max_frame.map_or(usize::MAX, |most| most as usize);
    match extra.deflater.as_mut().and_then(|d| d.deflate(payload)) {
        Some(small) => encode::message(out, opcode | encode::COMPRESSED, &small, mask, most),
        None => encode::message(out, opcode, payload, mask, most),
    }
}
