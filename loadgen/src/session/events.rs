//! Steps on an event stream: opening it, awaiting an event, closing it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::message::answers_text;
use super::stream::{self, EventStream, Seen};
use super::{BRAKE_NS, Flow, Session, pushed, stream_of};
use crate::kind::ErrorKind;
use crate::program::{AwaitEvent, OpenEvents};
use crate::shard::Offer;
use crate::sse::decode::Event;

impl Session {
    /// Opens the event stream. Without it nothing that follows makes sense: if it fails the session ends.
    pub(super) async fn open_events(&mut self, step: &OpenEvents) -> Flow {
        self.leave_events();
        let started = self.begin(self.shard.program.timeout_ns);
        let opened = self.ask_for_events(step).await;
        let finished = self.shard.now();
        let outcome = opened.map(|stream| self.rare.get_or_insert_default().events = Some(Box::new(stream)));
        self.finish(step.id, started, finished, outcome);
        if self.state.unreached {
            self.rest(BRAKE_NS).await;
        }
        if outcome.is_ok() { Flow::On } else { Flow::End }
    }

    async fn ask_for_events(&mut self, step: &OpenEvents) -> Result<EventStream, ErrorKind> {
        let mut head = Vec::new();
        step.head.write(&mut head, &mut self.values());
        let mut wire = head.clone();
        if let Some(rare) = &self.rare {
            rare.cookies.borrow().put_into(&mut wire);
        }
        let connection = self.dial(Offer::Http1).await?;
        let Self { shard, seat, .. } = self;
        let mut asking = pin!(stream::ask(Rc::clone(shard), connection, wire, step.max_event));
        let open = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Pending => shard.seats.pending(*seat),
            asked => asked,
        })
        .await?;
        // A server that has no events from the start has not given a stream.
        open.map(|open| EventStream::new(open, step, head)).ok_or(ErrorKind::SseHandshake)
    }

    /// Awaits an event, or takes one that came before.
    pub(super) async fn await_event(&mut self, step: &AwaitEvent) -> Flow {
        let started = self.begin(step.within_ns);
        let seen = self.look_for_event(step).await;
        let finished = self.shard.now();
        let broken = seen.is_err();
        let lost = seen == Err(ErrorKind::SseClosed) || self.events().is_none_or(|e| e.failed().is_some());
        let outcome = seen.and_then(|data| {
            self.judge_message(
                step.id,
                step.judging.as_deref(),
                data.as_deref(),
                finished.saturating_sub(started),
            )
        });
        self.finish(step.id, started, finished, outcome);
        if broken && lost {
            // The step's error says it all: it is not counted a second time.
            self.leave_events();
            return Flow::End;
        }
        Flow::On
    }

    /// Gives back the awaited event's data where it is looked into.
    async fn look_for_event(&mut self, step: &AwaitEvent) -> Result<Option<Box<str>>, ErrorKind> {
        let mut expected = Vec::new();
        if let Some(text) = step.text() {
            text.write(&mut expected, &mut self.values());
        }
        let expected = String::from_utf8_lossy(&expected).into_owned();
        let mut data = None;
        let mut is_it = |event: &Event<'_>| {
            let matches = step.kind.as_deref().is_none_or(|kind| kind == event.kind)
                && step.what.as_ref().is_none_or(|what| answers_text(what, &expected, event.data));
            if matches && step.judging.is_some() {
                data = Some(Box::from(event.data));
            }
            matches
        };
        if stream_of(&mut self.rare).is_some_and(|events| events.take_kept(&mut is_it)) {
            return Ok(data);
        }
        loop {
            self.revive_events(self.shard.now());
            let Self { shard, seat, socket, rare, .. } = self;
            let Some(events) = stream_of(rare) else { return Err(ErrorKind::SseClosed) };
            let due = events.due();
            let seen = poll_fn(|cx| {
                // Asleep until it is opened again; a session that is to end does that no more.
                let slept = pushed::poll_due(shard, *seat, socket.as_deref_mut(), due);
                if let Some(socket) = socket {
                    let _ = socket.poll_messages(cx, shard, &mut |_| false);
                }
                match events.poll_events(cx, shard, &mut is_it) {
                    Poll::Ready(Seen::Lost) => {
                        Poll::Ready(Err(events.failed().unwrap_or(ErrorKind::SseClosed)))
                    }
                    Poll::Ready(seen) => Poll::Ready(Ok(seen)),
                    Poll::Pending if events.is_over() => Poll::Ready(Err(ErrorKind::SseClosed)),
                    Poll::Pending if slept.is_ready() => Poll::Ready(Ok(Seen::Down)),
                    Poll::Pending => shard.seats.pending(*seat),
                }
            })
            .await?;
            if seen == Seen::Match {
                return Ok(data);
            }
        }
    }

    /// Closes the event stream as a step of its own: a client just hangs up.
    pub(super) fn close_events(&mut self, id: usize) -> Flow {
        let started = self.begin(self.shard.program.timeout_ns);
        let outcome = if self.leave_events() { Ok(()) } else { Err(ErrorKind::SseClosed) };
        let finished = self.shard.now();
        self.finish(id, started, finished, outcome);
        Flow::On
    }

    /// Opens the event stream again if that is due at `now`.
    pub(super) fn revive_events(&mut self, now: u64) {
        let Some(rare) = &mut self.rare else { return };
        if let Some(events) = &mut rare.events {
            events.revive(now, &self.shard, &rare.cookies.borrow());
        }
    }
}
