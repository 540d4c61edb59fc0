//! HTTP steps: writes a request, reads its answer, checks and keeps what the plan asks for.
//!
//! Owns what becomes of a kept connection: one that the server had closed meanwhile, or on which it had said something unasked,
//! is replaced, after the request was sent only if nothing of the answer had come and the request may be sent twice. Checks run
//! after the step's finish was noted, so they cost the target nothing.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use scenarios::plan::HttpVersion;

use super::carry::Carried;
use super::follow::Ask;
use super::judge::Judged;
use super::{BRAKE_NS, Flow, Session, pushed};
use crate::figures;
use crate::http::answer::Answer;
use crate::http::redirect;
use crate::kind::ErrorKind;
use crate::program::Request;
use crate::shard::{Offer, Output};
use crate::template::write_i64;

/// A request on its way out; it says whether more came meanwhile than the answer.
type Writing<'s> = Pin<Box<dyn Future<Output = Result<bool, ErrorKind>> + 's>>;

impl Session {
    /// Does an HTTP step.
    pub(super) async fn request(&mut self, request: &Request) -> Flow {
        if request.when.as_ref().is_some_and(|when| !when.holds(&self.values())) {
            return Flow::On;
        }
        let started = self.begin(self.shard.program.timeout_ns);
        let answer = self.exchange(request).await;
        let finished = self.shard.now();
        let outcome = answer.and_then(|mut answer| {
            let service_ns = finished.saturating_sub(started);
            match answer.decode() {
                Ok(()) => self.judge(request.id, &request.judging, &Judged::Answer(&answer), service_ns),
                Err(kind) => Err(self.judge_bodiless(&request.judging, &answer, kind)),
            }
        });
        self.finish(request.id, started, finished, outcome);
        if self.state.unreached { self.rest(BRAKE_NS).await } else { Flow::On }
    }

    /// A request and its answer, or that of the last one that redirects lead to; a redirect that is not followed is counted, unless
    /// the step asks for its status. What is asked for is made before the future, which holds it once: an `async fn` would hold its
    /// arguments twice.
    fn exchange<'p>(&mut self, request: &'p Request) -> impl Future<Output = Result<Answer<'p>, ErrorKind>> {
        let mut ask = Ask { request, hop: None, before: self.stream.clone() };
        async move {
            let answer = self.exchange_one(&ask).await?;
            if redirect::leads_on(answer.status()) {
                if let Some(follow) = &ask.request.follow {
                    return Box::pin(self.follow(follow, answer, &mut ask)).await;
                }
                if answer.located() && !ask.request.judging.asks_for(answer.status()) {
                    figures::add(&self.shard.figures.unfollowed_redirects, 1);
                }
            }
            Ok(answer)
        }
    }

    /// One request and its answer.
    pub(super) async fn exchange_one<'p>(&mut self, ask: &Ask<'p>) -> Result<Answer<'p>, ErrorKind> {
        if self.origin.pooled && self.http.is_none() {
            self.http = self.shard.take_pooled();
        }
        let mut fresh = false;
        if self.shard.program.http != HttpVersion::Http1 {
            match Box::pin(self.carry(ask)).await? {
                Carried::Answer(answer) => return Ok(answer),
                Carried::Http1 { fresh: opened } => fresh = opened,
            }
        }
        loop {
            let mut reused = self.http.is_some() && !std::mem::take(&mut fresh);
            // What came before the request was sent answers nothing, and what follows it cannot be told apart (RFC 9112, 9.2).
            if reused && self.http.as_mut().is_some_and(|kept| !kept.is_quiet()) {
                (self.http, reused) = (None, false);
                figures::add(&self.shard.figures.replaced, 1);
            }
            if self.http.is_none() {
                self.http = Some(self.dial(Offer::Http1).await?);
            }
            let mut answer = Answer::new(ask.request.want());
            let mut outcome = match self.write(ask, &mut answer) {
                None => Ok(false),
                Some(writing) => writing.await,
            };
            if outcome == Ok(false) {
                outcome = poll_fn(|cx| self.poll_answer(cx, &mut answer)).await;
            }
            match outcome {
                Ok(excess) => {
                    if excess || !answer.reusable() {
                        self.http = None;
                    }
                    if !answer.cookies().is_empty() {
                        self.take_cookies(ask, &answer);
                    }
                    return Ok(answer);
                }
                Err(kind) => {
                    self.http = None;
                    let closed = matches!(kind, ErrorKind::Reset | ErrorKind::ClosedEarly);
                    // It may have been done all the same: what may be done but once is not asked for again (RFC 9110, 9.2.2).
                    if !reused || answer.touched() || !closed || !ask.is_repeatable() {
                        return Err(ask.kind_of(kind, &answer, &self.shard.figures));
                    }
                    // The same request again: its random parts too.
                    self.stream = ask.before.clone();
                    figures::add(&self.shard.figures.retried, 1);
                }
            }
        }
    }

    /// Writes the request. What does not go out at once is gone on with in a future of its own: few requests need it, and all
    /// would have room for it.
    fn write<'s>(&'s mut self, ask: &'s Ask<'_>, answer: &'s mut Answer<'_>) -> Option<Writing<'s>> {
        if let Some(upload) = ask.upload() {
            return Some(Box::pin(self.upload(ask, upload, answer)));
        }
        if ask.expects() {
            return Some(Box::pin(self.write_expecting(ask, answer)));
        }
        let rest = self.write_request(ask);
        if rest.as_ref().is_ok_and(Vec::is_empty) {
            return None;
        }
        Some(Box::pin(async move { Ok(self.write_rest(rest?, answer).await? && answer.done()) }))
    }

    /// Reads the answer to its end; says whether more came than that.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer<'_>,
    ) -> Poll<Result<bool, ErrorKind>> {
        let Self { shard, seat, socket, rare, http, .. } = self;
        let Some(connection) = http else { return Poll::Ready(Err(ErrorKind::Other)) };
        loop {
            let read = connection.poll_portion(cx, &shard.input, |portion| {
                if portion.is_empty() {
                    return answer.closed().map(|()| false);
                }
                answer.feed(portion).map(|taken| taken < portion.len())
            });
            let more = match read {
                Poll::Ready(Ok(Ok(excess))) if answer.done() => return Poll::Ready(Ok(excess)),
                Poll::Ready(Ok(Ok(_))) => true,
                Poll::Ready(Ok(Err(kind)) | Err(kind)) => return Poll::Ready(Err(kind)),
                Poll::Pending => false,
            };
            // Only now: an answer that is there has come, however late this worker is to read it.
            if shard.seats.expired(*seat) {
                return Poll::Ready(Err(ErrorKind::Timeout));
            }
            if !more {
                break;
            }
        }
        pushed::read(cx, shard, *seat, socket, rare);
        Poll::Pending
    }

    /// Writes the request as far as the socket takes it; gives back a copy of the rest.
    fn write_request(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, ErrorKind> {
        let shard = std::rc::Rc::clone(&self.shard);
        let output = &mut *shard.output.borrow_mut();
        self.compose(ask, output);
        output.wire.extend_from_slice(&output.inner);
        let Some(connection) = &mut self.http else { return Err(ErrorKind::Other) };
        Ok(connection.write_now(&output.wire)?.to_vec())
    }

    /// Puts a request's head into `wire` and its body into `inner`.
    pub(super) fn compose(&mut self, ask: &Ask<'_>, output: &mut Output) {
        output.wire.clear();
        output.inner.clear();
        self.write_head(ask, &mut output.wire);
        if let Some(body) = ask.body() {
            body.write(&mut output.inner, &mut self.values());
            write_i64(&mut output.wire, output.inner.len() as i64);
            output.wire.extend_from_slice(b"\r\n\r\n");
        }
        if let Some(rare) = &self.rare {
            rare.cookies.borrow().put_into(&mut output.wire);
        }
    }

    /// Writes a request's head, as far as it goes without its body.
    pub(super) fn write_head(&mut self, ask: &Ask<'_>, wire: &mut Vec<u8>) {
        match (&ask.hop, &ask.request.follow) {
            (Some(hop), Some(follow)) => self.write_hop(hop, follow, wire),
            _ => ask.request.head.write(wire, &mut self.values()),
        }
    }
}
