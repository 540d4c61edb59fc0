//! A session's WebSocket: reads what comes, answers pings and closes, counts what is pushed.
//!
//! Owns the connection after the handshake and the close codes. Steps over it are `message`'s business.

use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::figures;
use crate::kind::ErrorKind;
use crate::random::Stream;
use crate::shard::Shard;
use crate::ws::decode::{Decoder, Message};
use crate::ws::{encode, opcode};

/// Most bytes that wait to be written; pongs beyond that are left out (only the newest ping needs one).
const WAITING_MAX: usize = 16 << 10;

/// Close codes that a client sends (RFC 6455, 7.4.1).
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_CONSISTENT: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    connection: Connection,
    decoder: Decoder,
    waiting: Vec<u8>,
    ended: Option<ErrorKind>,
    said_close: bool,
}

impl Socket {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, decoder: Decoder::default(), waiting: Vec::new(), ended: None, said_close: false }
    }

    /// Why it ended, if it did: `ws-closed` where the server closed it in order.
    pub(super) fn ended(&self) -> Option<ErrorKind> {
        self.ended
    }

    /// Was everything written?
    pub(super) fn flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes bytes that came in one portion with the handshake.
    pub(super) fn take_early(&mut self, bytes: &[u8], shard: &Shard, stream: &mut Stream) {
        if let Err(kind) = self.take(bytes, shard, stream, &mut |_| false) {
            self.fail(kind, stream);
        }
    }

    /// Reads all that is there. Ready with true when a text message matched (others are counted as pushed),
    /// with false when the WebSocket has ended.
    pub(super) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        stream: &mut Stream,
        matches: &mut dyn FnMut(&str) -> bool,
    ) -> Poll<bool> {
        let mut matched = false;
        while self.ended.is_none() && !matched {
            if !self.waiting.is_empty() && self.poll_flush(cx).is_err() {
                break;
            }
            // The portion lies in the shard's buffer; what is done with it needs all of the socket.
            let Self { connection, decoder, .. } = self;
            let mut replies = Replies { waiting: &mut self.waiting, closed: None };
            let read = connection.poll_portion(cx, &shard.input, |portion| {
                if portion.is_empty() {
                    return Err(ErrorKind::ClosedEarly);
                }
                decoder.feed(portion, |message| {
                    matched |= replies.take(message, shard, stream, !matched, matches);
                    Ok(())
                })
            });
            let closed = replies.closed;
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(Ok(()))) => self.closed(closed, stream),
                Poll::Ready(Ok(Err(kind)) | Err(kind)) => {
                    self.closed(closed, stream);
                    self.fail(kind, stream);
                }
            }
        }
        match (matched, self.ended) {
            (true, _) => Poll::Ready(true),
            (false, Some(_)) => Poll::Ready(false),
            (false, None) => Poll::Pending,
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        shard: &Shard,
        stream: &mut Stream,
        matches: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), ErrorKind> {
        let mut replies = Replies { waiting: &mut self.waiting, closed: None };
        let read = self.decoder.feed(bytes, |message| {
            replies.take(message, shard, stream, false, matches);
            Ok(())
        });
        let closed = replies.closed;
        self.closed(closed, stream);
        read
    }

    /// The server's close frame came: it is answered, unless it answers ours.
    fn closed(&mut self, closed: Option<Option<u16>>, stream: &mut Stream) {
        let Some(code) = closed else { return };
        if self.ended.is_none() {
            self.ended = Some(ErrorKind::WsClosed);
            self.say_close(code.unwrap_or(NORMAL), stream);
        }
    }

    fn fail(&mut self, kind: ErrorKind, stream: &mut Stream) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(kind);
        match kind {
            ErrorKind::WsProtocol => self.say_close(PROTOCOL_ERROR, stream),
            ErrorKind::WsUtf8 => self.say_close(NOT_CONSISTENT, stream),
            ErrorKind::TooLarge => self.say_close(TOO_BIG, stream),
            _ => {}
        }
    }

    /// Sends a close frame, once; whether it gets through does not matter any more if the socket is full.
    pub(super) fn say_close(&mut self, code: u16, stream: &mut Stream) {
        if !std::mem::replace(&mut self.said_close, true) {
            encode::close(&mut self.waiting, code, stream.mask());
            self.flush_now();
        }
    }

    /// Begins the closing handshake.
    pub(super) fn begin_close(&mut self, stream: &mut Stream) {
        self.say_close(NORMAL, stream);
    }

    /// Sends a text message as far as the socket takes it; the rest goes out as the socket is polled.
    pub(super) fn send_text(
        &mut self,
        wire: &mut Vec<u8>,
        text: &[u8],
        mask: [u8; 4],
    ) -> Result<(), ErrorKind> {
        if let Some(kind) = self.ended {
            return Err(kind);
        }
        wire.clear();
        encode::frame(wire, opcode::TEXT, text, mask);
        let rest = if self.waiting.is_empty() { self.connection.write_now(wire) } else { Ok(&wire[..]) };
        match rest {
            Ok(rest) => {
                self.waiting.extend_from_slice(rest);
                Ok(())
            }
            Err(kind) => {
                self.ended = Some(kind);
                Err(kind)
            }
        }
    }

    fn flush_now(&mut self) {
        match self.connection.write_now(&self.waiting).map(<[u8]>::len) {
            Ok(0) => self.waiting = Vec::new(),
            Ok(left) => drop(self.waiting.drain(..self.waiting.len() - left)),
            Err(kind) => self.ended = self.ended.or(Some(kind)),
        }
    }

    /// Writes what waits, as far as possible; an error ends the WebSocket.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), ErrorKind> {
        while !self.waiting.is_empty() {
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

/// What one portion of messages leads to.
struct Replies<'a> {
    waiting: &'a mut Vec<u8>,
    closed: Option<Option<u16>>,
}

impl Replies<'_> {
    /// Takes a message; says whether it is the one waited for.
    fn take(
        &mut self,
        message: Message<'_>,
        shard: &Shard,
        stream: &mut Stream,
        waited: bool,
        matches: &mut dyn FnMut(&str) -> bool,
    ) -> bool {
        // Nothing counts behind a close frame (RFC 6455, 5.5.1).
        if self.closed.is_some() {
            return false;
        }
        match message {
            Message::Text(text) if waited && matches(text) => return true,
            Message::Text(_) | Message::Binary(_) => figures::add(&shard.figures.pushed, 1),
            Message::Ping(payload) if self.waiting.len() < WAITING_MAX => {
                encode::frame(self.waiting, opcode::PONG, payload, stream.mask());
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(code) => self.closed = Some(code),
        }
        false
    }
}
