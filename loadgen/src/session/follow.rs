//! What an HTTP step does beyond one request and its answer: redirects, cookies, `Expect: 100-continue`.
//!
//! None of it is on the path of a plain request; whoever asks for it gets it boxed.

use std::future::poll_fn;
use std::task::Poll;

use super::Session;
use crate::cookies::{path_of, value_in};
use crate::http::answer::Answer;
use crate::http::redirect;
use crate::kind::ErrorKind;
use crate::program::{Follow, Request};
use crate::random::Stream;

/// How long the body waits for `100 Continue`, ns: a server that knows nothing of it says nothing (RFC 9110, 10.1.1).
const LEAVE_NS: u64 = 1_000_000_000;

/// Where a redirect has led.
#[derive(Debug)]
pub(super) struct Hop {
    /// Path and query.
    path: String,
    /// Was the body dropped on the way?
    pub(super) bare: bool,
}

impl Session {
    /// Follows redirects from `answer` on. `before` is the state of the random numbers before the first request, so that a
    /// body that is sent again is the same.
    pub(super) async fn follow<'p>(
        &mut self,
        request: &'p Request,
        follow: &Follow,
        mut answer: Answer<'p>,
        before: Stream,
    ) -> Result<Answer<'p>, ErrorKind> {
        let mut hop = Hop { path: self.first_path(request, &before), bare: false };
        for _ in 0..follow.max {
            hop.path = match answer.field(follow.location) {
                Some(location) => redirect::resolve(location, &hop.path, &self.shard.program.url)
                    .ok_or(ErrorKind::Redirect)?,
                None => return Ok(answer),
            };
            hop.bare |= redirect::drops_body(answer.status(), &follow.method);
            self.stream = before.clone();
            answer = self.exchange_one(request, Some(&hop), &before).await?;
            if !redirect::leads_on(answer.status()) {
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
    fn first_path(&mut self, request: &Request, before: &Stream) -> String {
        let now = std::mem::replace(&mut self.stream, before.clone());
        let mut head = Vec::new();
        request.head.write(&mut head, &mut self.values());
        self.stream = now;
        path_of(&head).to_owned()
    }

    /// Keeps the cookies that an answer sets, if sessions keep any.
    pub(super) fn take_cookies(
        &mut self,
        request: &Request,
        hop: Option<&Hop>,
        answer: &Answer<'_>,
        before: &Stream,
    ) {
        if !self.shard.program.cookies {
            return;
        }
        let path = hop.map_or_else(|| self.first_path(request, before), |hop| hop.path.clone());
        let jar = self.cookies.get_or_insert_default();
        for set in answer.cookies() {
            jar.take(set, &path, self.shard.program.url.tls);
        }
    }

    /// The cookie `name`: of this answer, or else of the session.
    pub(super) fn cookie(&self, name: &str, answer: &Answer<'_>) -> Option<String> {
        let set = answer.cookies().iter().rev().find_map(|set| value_in(set, name));
        set.or_else(|| self.cookies.as_ref()?.get(name).map(str::to_owned))
    }

    /// Writes the head, waits for leave to go on, writes the body. Says whether more came than an answer that was whole by
    /// then; one that came instead of leave makes the connection useless, since the body was never sent.
    pub(super) async fn write_expecting(
        &mut self,
        request: &Request,
        hop: Option<&Hop>,
        answer: &mut Answer<'_>,
        touched: &mut bool,
    ) -> Result<bool, ErrorKind> {
        let shard = std::rc::Rc::clone(&self.shard);
        let (head, body) = {
            let output = &mut *shard.output.borrow_mut();
            self.compose(request, hop, output);
            (output.wire.clone(), output.inner.clone())
        };
        self.write_rest(head).await?;
        let until = shard.now() + LEAVE_NS;
        let Self { seat, http, .. } = self;
        let Some(connection) = http else { return Err(ErrorKind::Other) };
        let refused = poll_fn(|cx| {
            loop {
                if shard.seats.expired(*seat) {
                    return Poll::Ready(Err(ErrorKind::Timeout));
                }
                let read = connection.poll_portion(cx, &shard.input, |portion| {
                    if portion.is_empty() {
                        return answer.closed();
                    }
                    *touched = true;
                    answer.feed(portion).map(drop)
                });
                match read {
                    Poll::Ready(Ok(Ok(()))) if answer.status() != 0 => return Poll::Ready(Ok(true)),
                    Poll::Ready(Ok(Ok(()))) if answer.interim() > 0 => return Poll::Ready(Ok(false)),
                    Poll::Ready(Ok(Ok(()))) => {}
                    Poll::Ready(Ok(Err(kind)) | Err(kind)) => return Poll::Ready(Err(kind)),
                    Poll::Pending => break,
                }
            }
            shard.seats.poll_nap(*seat, until, || shard.now()).map(|()| Ok(false))
        })
        .await?;
        if !refused {
            self.write_rest(body).await?;
            return Ok(false);
        }
        answer.forbid_reuse();
        Ok(answer.done())
    }
}
