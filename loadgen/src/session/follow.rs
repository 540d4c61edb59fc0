//! What an HTTP step does beyond one request and its answer: redirects, cookies, `Expect: 100-continue`.
//!
//! None of it is on the path of a plain request; whoever asks for it gets it boxed.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::Session;
use crate::cookies::{path_of, value_in};
use crate::figures::Figures;
use crate::http::answer::Answer;
use crate::http::redirect;
use crate::kind::ErrorKind;
use crate::program::{Follow, Request, Upload};
use crate::random::Stream;
use crate::seats::SeatId;
use crate::shard::Shard;
use crate::template::Text;

/// How long the body waits for `100 Continue`, ns: a server that knows nothing of it says nothing (RFC 9110, 10.1.1).
const LEAVE_NS: u64 = 1_000_000_000;

/// Where a redirect has led.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    /// Path and query.
    path: String,
    /// Was the body dropped on the way?
    bare: bool,
}

/// What is asked for, and what it takes to ask for it again.
#[derive(Debug)]
pub(super) struct Ask<'p> {
    pub(super) request: &'p Request,
    pub(super) hop: Option<Box<Hop>>,
    /// The state of the random numbers before the first request: one that is sent again is the same.
    pub(super) before: Stream,
}

impl<'p> Ask<'p> {
    /// The body, unless a redirect has dropped it.
    pub(super) fn body(&self) -> Option<&'p Text> {
        self.request.body.as_ref().filter(|_| !self.hop.as_ref().is_some_and(|hop| hop.bare))
    }

    /// The same for one that is sent piece by piece.
    pub(super) fn upload(&self) -> Option<&'p Upload> {
        self.request.upload.as_deref().filter(|_| !self.hop.as_ref().is_some_and(|hop| hop.bare))
    }

    /// May it be sent again where nobody knows what became of it? What a redirect has stripped of its body is a `GET`, or a `HEAD`.
    pub(super) fn is_repeatable(&self) -> bool {
        self.request.repeatable || self.hop.as_ref().is_some_and(|hop| hop.bare)
    }

    /// What it is called that an answer broke off by this `kind`: that an error page is too large says less than its status does,
    /// which is counted then.
    pub(super) fn kind_of(&self, kind: ErrorKind, answer: &Answer<'_>, figures: &Figures) -> ErrorKind {
        let unwanted = answer.status() != 0 && !self.request.judging.wants(answer.status());
        if kind != ErrorKind::TooLarge || !unwanted {
            return kind;
        }
        figures.unwanted(answer.status())
    }

    /// Does the body wait for leave?
    pub(super) fn expects(&self) -> bool {
        self.request.expects && self.body().is_some()
    }
}

impl Session {
    /// Follows redirects from `answer` on.
    pub(super) async fn follow<'p>(
        &mut self,
        follow: &Follow,
        mut answer: Answer<'p>,
        ask: &mut Ask<'p>,
    ) -> Result<Answer<'p>, ErrorKind> {
        let mut hop = Hop { path: self.first_path(ask), bare: false };
        for _ in 0..follow.max {
            let Some(location) = answer.field(follow.location) else { return Ok(answer) };
            let url = &self.shard.program.url;
            hop.path = redirect::resolve(location, &hop.path, url).ok_or(ErrorKind::Redirect)?;
            hop.bare |= redirect::drops_body(answer.status(), &follow.method);
            self.stream = ask.before.clone();
            ask.hop = Some(Box::new(hop.clone()));
            answer = self.exchange_one(ask).await?;
            if !redirect::leads_on(answer.status()) || answer.field(follow.location).is_none() {
                return Ok(answer);
            }
        }
        Err(ErrorKind::Redirect)
    }

    /// Writes the head of a request that a redirect has led to, as far as [`Request::head`] goes.
    pub(super) fn write_hop(&mut self, hop: &Hop, follow: &Follow, wire: &mut Vec<u8>) {
        let method = match &*follow.method {
            "HEAD" => "HEAD",
            _ if hop.bare => "GET",
            method => method,
        };
        wire.extend_from_slice(method.as_bytes());
        wire.push(b' ');
        wire.extend_from_slice(hop.path.as_bytes());
        let tail = if hop.bare { &follow.bare } else { &follow.tail };
        tail.write(wire, &mut self.values());
    }

    /// The path that a request was sent to, written once more.
    fn first_path(&mut self, ask: &Ask<'_>) -> String {
        let now = std::mem::replace(&mut self.stream, ask.before.clone());
        let mut head = Vec::new();
        ask.request.head.write(&mut head, &mut self.values());
        self.stream = now;
        path_of(&head).to_owned()
    }

    /// Keeps the cookies that an answer sets, if sessions keep any.
    pub(super) fn take_cookies(&mut self, ask: &Ask<'_>, answer: &Answer<'_>) {
        if !self.shard.program.cookies {
            return;
        }
        let path = match &ask.hop {
            Some(hop) => hop.path.clone(),
            None => self.first_path(ask),
        };
        self.keep_cookies(&path, answer);
    }

    /// Keeps the cookies that an answer to a request for `path` sets.
    pub(super) fn keep_cookies(&mut self, path: &str, answer: &Answer<'_>) {
        let mut jar = self.rare.get_or_insert_default().cookies.borrow_mut();
        for set in answer.cookies() {
            jar.take(set, path, self.shard.program.url.tls);
        }
    }

    /// The cookie `name`: of this answer, or else of the session.
    pub(super) fn cookie(&self, name: &str, answer: &Answer<'_>) -> Option<String> {
        let set = answer.cookies().iter().rev().find_map(|set| value_in(set, name));
        set.or_else(|| self.rare.as_ref()?.cookies.borrow().get(name).map(str::to_owned))
    }

    /// Writes the head, waits for leave to go on, writes the body. Says whether more came than an answer that was whole by
    /// then; one that came instead of leave makes the connection useless, since the body was never sent.
    pub(super) async fn write_expecting(
        &mut self,
        ask: &Ask<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<bool, ErrorKind> {
        let shard = std::rc::Rc::clone(&self.shard);
        let (head, body) = {
            let output = &mut *shard.output.borrow_mut();
            self.compose(ask, output);
            (output.wire.clone(), output.inner.clone())
        };
        if self.write_rest(head, answer).await? || self.refused(answer).await? {
            answer.forbid_reuse();
            return Ok(answer.done());
        }
        Ok(self.write_rest(body, answer).await? && answer.done())
    }

    /// Waits for leave to send a body; says whether an answer came instead.
    pub(super) async fn refused(&mut self, answer: &mut Answer<'_>) -> Result<bool, ErrorKind> {
        let Self { shard, seat, http, .. } = self;
        let Some(connection) = http else { return Err(ErrorKind::Other) };
        within_leave(shard, *seat, false, |cx| {
            loop {
                let read = connection.poll_portion(cx, &shard.input, |portion| {
                    if portion.is_empty() {
                        return answer.closed();
                    }
                    answer.feed(portion).map(drop)
                });
                ready!(read)??;
                if answer.status() != 0 || answer.continued() {
                    return Poll::Ready(Ok(answer.status() != 0));
                }
            }
        })
        .await
    }
}

/// Waits by `poll` for leave to send a body, no longer than [`LEAVE_NS`]: `silent` is what that comes to, unless the step's own
/// time is over by then. That holds again behind the wait, however it went: a try that failed may be followed by another.
pub(super) async fn within_leave<E: From<ErrorKind>>(
    shard: &Shard,
    seat: SeatId,
    silent: bool,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<bool, E>>,
) -> Result<bool, E> {
    let deadline = shard.seats.deadline(seat);
    let until = deadline.min(shard.now() + LEAVE_NS);
    shard.seats.limit(seat, until);
    let outcome = poll_fn(|cx| {
        if shard.seats.expired(seat) {
            let late = until == deadline;
            return Poll::Ready(if late { Err(ErrorKind::Timeout.into()) } else { Ok(silent) });
        }
        poll(cx)
    })
    .await;
    shard.seats.limit(seat, deadline);
    outcome
}
