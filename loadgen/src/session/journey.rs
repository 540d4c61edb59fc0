//! A visit in code: the session's schedule, stop and time limits around each transaction of a journey.
//!
//! A transaction is a step like any other, from its intended start to its end, timed by our clock. What goose times inside
//! it stops at an answer's head, so it has a step of its own and is never a service time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use journeys::{Seen, Walk};

use super::{Flow, Session};
use crate::journey::{Coded, kind_of, kind_of_seen};
use crate::kind::ErrorKind;

const NS_PER_US: u64 = 1_000;

impl Session {
    /// Walks the journey once: start, visit, stop. The load's end cuts the visit short, its stop part is done all the same.
    pub(super) async fn journey(&mut self, coded: &Coded) -> Flow {
        let walk = self.shard.stage.as_ref().map(|stage| stage.visitor(&coded.name, self.origin.number));
        let Some(Ok(mut walk)) = walk else {
            self.shard.figures.error(ErrorKind::Other);
            return Flow::End;
        };
        let visit = walk.visit(|n| self.stream.below(n));
        let early = visit.start.iter().map(|t| (*t, false));
        let rest = visit.visit.iter().enumerate().map(|(i, t)| (*t, i > 0));
        for (transaction, pauses) in early.chain(rest) {
            if let (true, Some(pause)) = (pauses, coded.pause) {
                let length = self.stream.duration(pause);
                self.rest(length).await;
            }
            if self.shard.halt.since(self.stood) {
                Box::pin(self.stand_still()).await;
            }
            if self.is_to_wind_up() {
                self.state.winding_up = true;
            }
            if self.state.winding_up {
                break;
            }
            self.transaction(coded, &mut walk, transaction).await;
            if self.state.unreached {
                return Flow::End;
            }
        }
        for transaction in visit.stop {
            self.transaction(coded, &mut walk, transaction).await;
        }
        Flow::On
    }

    async fn transaction(&mut self, coded: &Coded, walk: &mut Walk, transaction: usize) {
        let Some(&(step, inside)) = coded.steps.get(transaction) else { return };
        let started = self.begin(self.shard.program.timeout_ns);
        let (mut wrong, mut status) = (None, None);
        let mut seen = |seen: Seen| {
            let kind = kind_of_seen(&seen);
            wrong = wrong.or(kind);
            status = status.or((kind == Some(ErrorKind::Status)).then_some(seen.status));
            let took = (!seen.correction).then_some(seen.us * NS_PER_US);
            self.shard.figures.inside(inside, self.shard.now(), took, kind.is_some());
        };
        let ended = {
            let mut going = pin!(walk.run(transaction, &mut seen));
            poll_fn(|cx| {
                if self.shard.seats.expired(self.seat) {
                    return Poll::Ready(None);
                }
                going.as_mut().poll(cx).map(Some)
            })
            .await
        };
        let outcome = match ended {
            None => {
                walk.flush(&mut seen).await;
                Err(ErrorKind::Timeout)
            }
            Some(Err(failure)) => Err(kind_of(failure)),
            Some(Ok(())) => wrong.map_or(Ok(()), Err),
        };
        let outcome = match (outcome, status) {
            (Err(ErrorKind::Status), Some(status)) => Err(self.shard.figures.unwanted(status)),
            _ => outcome,
        };
        self.finish(step, started, self.shard.now(), outcome);
    }
}
