//! One connection of HTTP/2: opened, driven by a task of its own, closed when nobody has it any more.
//!
//! Owns what became of the connection, and which kind an error of h2 is. The task belongs to the shard; it answers pings and
//! settings while sessions think, and ends with the last [`Link`], whether the server reads or not.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::Request;

use super::wire::Wire;
use super::{CONNECTION_WINDOW, RESETS_MAX, STREAM_WINDOW};
use crate::connection::Connection;
use crate::http::HEAD_MAX;
use crate::kind::ErrorKind;

/// What a connection's task and those who use it tell each other.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Why the connection is over.
    ended: Cell<Option<ErrorKind>>,
    /// What the socket ended with, which h2 knows no name for.
    pub(super) broken: Cell<Option<ErrorKind>>,
    /// Bytes that came since a session took anything of an answer.
    pub(super) untaken: Cell<u64>,
    /// Bytes that were read in this turn.
    pub(super) turn: Cell<usize>,
    /// Have the server's settings come? Until then nobody knows how many streams it allows.
    settled: Cell<bool>,
    opener: RefCell<Option<Waker>>,
    /// Nobody has the link any more.
    left: Cell<bool>,
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    /// Before `sender`, so that the task knows why it is woken.
    leaving: Leaving,
    sender: SendRequest<Bytes>,
    /// Streams that are in use.
    pub(super) streams: Cell<usize>,
}

#[derive(Debug)]
struct Leaving(Rc<State>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.set(true);
    }
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The server has said that it did nothing with the request (RFC 9113, 8.7).
    pub untouched: bool,
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, untouched: false }
    }
}

impl Link {
    /// Speaks HTTP/2 over `connection`; `drive` is given the task that does so. Ready when the server's settings have come.
    ///
    /// # Errors
    /// The kind of what went wrong. Dropped, it closes the connection.
    pub async fn open(
        connection: Connection,
        drive: impl FnOnce(Pin<Box<dyn Future<Output = ()>>>),
    ) -> Result<Self, ErrorKind> {
        let state = Rc::<State>::default();
        let wire = Wire::new(connection, Rc::clone(&state));
        let opened = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(0)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_MAX as u32)
            .max_concurrent_reset_streams(RESETS_MAX)
            .handshake::<_, Bytes>(wire)
            .await;
        let (sender, connection) = opened.map_err(|e| kind_of(&e, &state))?;
        let link = Self { leaving: Leaving(Rc::clone(&state)), sender, streams: Cell::new(0) };
        drive(Box::pin(run(connection, Rc::clone(&state))));
        poll_fn(|cx| match state.ended.get() {
            Some(kind) => Poll::Ready(Err(kind)),
            None if state.settled.get() => Poll::Ready(Ok(())),
            None => {
                *state.opener.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await?;
        Ok(link)
    }

    /// May it carry a further request?
    #[must_use]
    pub fn usable(&self) -> bool {
        self.state().ended.get().is_none() && self.refused().is_none()
    }

    /// How many streams the server allows.
    #[must_use]
    pub fn room(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Sends a head, with more to follow unless `whole`.
    ///
    /// # Errors
    /// [`Failure`]; nothing was sent.
    pub fn send(
        &self,
        request: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, h2::SendStream<Bytes>), Failure> {
        self.sender.clone().send_request(request, whole).map_err(|e| self.failure(&e))
    }

    /// A session has taken something of its answer.
    pub fn taken(&self) {
        self.state().untaken.set(0);
    }

    /// What an error of one of its streams means.
    #[must_use]
    pub fn failure(&self, error: &h2::Error) -> Failure {
        let refused = error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // A server that leaves names the last stream it looks at: h2 tells the later ones alone.
        let left_out = error.is_remote() && error.is_go_away();
        let kind = match self.refused().filter(|_| error.is_io()) {
            Some(said) if said.is_remote() && said.is_go_away() => ErrorKind::GoAway,
            _ => kind_of(error, self.state()),
        };
        Failure { kind, untouched: refused || left_out }
    }

    /// Why h2 takes no further request for this connection.
    fn refused(&self) -> Option<h2::Error> {
        let ready = self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(e)) = ready { Some(e) } else { None }
    }

    fn state(&self) -> &State {
        &self.leaving.0
    }
}

/// Drives a connection to its end.
async fn run(mut connection: h2::client::Connection<Wire, Bytes>, state: Rc<State>) {
    let ended = poll_fn(|cx| {
        state.turn.set(0);
        let polled = Pin::new(&mut connection).poll(cx);
        if !state.settled.get() && connection.max_concurrent_send_streams() > 0 {
            state.settled.set(true);
            state.opener.take().into_iter().for_each(Waker::wake);
        }
        match polled {
            Poll::Ready(ended) => Poll::Ready(ended),
            // What the socket does not take of our leave at once stays unsaid.
            Poll::Pending if state.left.get() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    let kind = ended.map_or_else(|e| kind_of(&e, &state), |()| ErrorKind::ClosedEarly);
    state.ended.set(Some(kind));
    state.opener.take().into_iter().for_each(Waker::wake);
}

fn kind_of(error: &h2::Error, state: &State) -> ErrorKind {
    match state.broken.get() {
        // Whatever h2 made of it.
        Some(kind @ ErrorKind::NoH2) => kind,
        broken if error.is_io() => broken.unwrap_or(ErrorKind::ClosedEarly),
        _ if error.is_remote() && error.is_go_away() => ErrorKind::GoAway,
        _ if error.is_remote() && error.is_reset() => ErrorKind::StreamReset,
        _ if error.is_library() => ErrorKind::H2Protocol,
        _ => ErrorKind::Other,
    }
}
