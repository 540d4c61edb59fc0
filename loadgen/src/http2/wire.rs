//! A connection as h2 reads and writes it: in turns, and not for ever where nothing comes of it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::State;
use super::{FLOOD_MAX, TURN_MAX};
use crate::connection::Connection;
use crate::kind::ErrorKind;
use crate::turn::give_way;

/// How an answer of HTTP/1 begins, which no frame does: a length of 4.7 MB.
const HTTP1: &[u8] = b"HTTP/1";

/// A connection under h2.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Connection,
    state: Rc<State>,
    /// Has anything come yet?
    heard: bool,
}

impl Wire {
    pub(super) fn new(connection: Connection, state: Rc<State>) -> Self {
        Self { connection, state, heard: false }
    }

    /// The error in h2's form; its kind is kept aside.
    fn failed(&self, kind: ErrorKind) -> io::Error {
        self.state.broken.set(Some(kind));
        io::Error::other(kind.name())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.state.turn.get() >= TURN_MAX {
            give_way(cx);
            return Poll::Pending;
        }
        if this.state.untaken.get() > FLOOD_MAX {
            return Poll::Ready(Err(this.failed(ErrorKind::H2Protocol)));
        }
        let before = into.filled().len();
        let read = ready!(this.connection.poll_read(cx, into));
        if let Err(kind) = read {
            return Poll::Ready(Err(this.failed(kind)));
        }
        let portion = &into.filled()[before..];
        if portion.is_empty() {
            this.state.broken.set(this.state.broken.get().or(Some(ErrorKind::ClosedEarly)));
        } else if !std::mem::replace(&mut this.heard, true) && portion.starts_with(HTTP1) {
            return Poll::Ready(Err(this.failed(ErrorKind::NoH2)));
        }
        this.state.turn.set(this.state.turn.get() + portion.len());
        this.state.untaken.set(this.state.untaken.get() + portion.len() as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let written = match this.connection.write_now(bytes) {
                Ok(rest) => bytes.len() - rest.len(),
                Err(kind) => return Poll::Ready(Err(this.failed(kind))),
            };
            if written > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(written));
            }
            if let Err(kind) = ready!(this.connection.poll_writable(cx)) {
                return Poll::Ready(Err(this.failed(kind)));
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.connection.poll_flush(cx));
        Poll::Ready(flushed.map_err(|kind| self.failed(kind)))
    }

    /// The socket is shut as the connection is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
