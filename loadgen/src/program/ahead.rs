//! What a session may still await: whether a message or event that comes now is of use to a step that follows.
//!
//! Owns the way through loops and forks to such a step. A message sent with `await` is answered by what comes behind it, so it
//! counts for nothing here.

use super::{Awaited, Op, Payload, Send};

/// What an instruction, or one behind it, awaits of what came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ahead {
    /// A message on the WebSocket that is open.
    pub message: bool,
    /// An event on the stream that is open.
    pub event: bool,
}

/// That of each instruction.
pub(super) fn of(ops: &[Op]) -> Vec<Ahead> {
    let mut all = vec![Ahead::default(); ops.len()];
    // Once from the end is enough but for loops, which lead back.
    let mut settled = false;
    while !settled {
        settled = true;
        for (i, op) in ops.iter().enumerate().rev() {
            let mut ahead = Ahead::default();
            for next in next(i, op) {
                let behind = all.get(next).copied().unwrap_or_default();
                ahead.message |= behind.message;
                ahead.event |= behind.event;
            }
            match op {
                Op::Send(send) => ahead.message |= send.only_awaits(),
                Op::AwaitEvent(_) => ahead.event = true,
                // What follows is about another one.
                Op::Connect(_) | Op::Close { .. } => ahead.message = false,
                Op::OpenEvents(_) | Op::CloseEvents(_) => ahead.event = false,
                _ => {}
            }
            settled &= std::mem::replace(&mut all[i], ahead) == ahead;
        }
    }
    all
}

/// Where a session may go on behind the instruction at `i`.
fn next(i: usize, op: &Op) -> Vec<usize> {
    match op {
        Op::Enter { again, .. } => vec![i + 1, again + 1],
        Op::Again { enter, .. } => vec![enter + 1, i + 1],
        Op::If { otherwise, .. } => vec![i + 1, *otherwise],
        Op::Jump(to) => vec![*to],
        Op::Choose { courses, .. } => courses.iter().map(|(_, start)| *start).collect(),
        _ => vec![i + 1],
    }
}

impl Send {
    /// Does it await a message, and send none? Then one that came before will do.
    #[must_use]
    pub fn only_awaits(&self) -> bool {
        let awaits = self.wait.as_ref().is_some_and(|wait| !matches!(wait.what, Awaited::Closed));
        awaits && matches!(self.payload, Payload::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use scenarios::plan::{Dist, Times};

    use super::*;
    use crate::program::Await;

    fn wait() -> Op {
        Op::Wait(Dist::Constant(1))
    }

    fn send(payload: Payload, what: Awaited) -> Op {
        let wait = Await { what, uses_sent: false, judging: None, within_ns: 1 };
        Op::Send(Box::new(Send { id: 0, payload, wait: Some(wait) }))
    }

    fn awaits() -> Op {
        send(Payload::Nothing, Awaited::Binary)
    }

    /// Where something is ahead: a letter for each instruction.
    fn told(ops: &[Op]) -> String {
        of(ops).iter().map(|ahead| if ahead.message { 'm' } else { '.' }).collect()
    }

    #[test]
    fn a_message_is_of_use_up_to_the_last_step_that_awaits_one() {
        assert_eq!(told(&[wait(), awaits(), wait(), awaits(), wait()]), "mmmm.");
        assert_eq!(
            told(&[wait(), Op::Close { id: 0, code: 1000 }, wait(), awaits()]),
            "..mm",
            "the one behind is about no socket of before"
        );
    }

    #[test]
    fn an_answer_and_an_end_are_no_such_messages() {
        let answered = send(Payload::Binary(vec![1]), Awaited::Binary);
        assert_eq!(told(&[wait(), answered, send(Payload::Nothing, Awaited::Closed)]), "...");
    }

    #[test]
    fn loops_lead_back_and_forks_lead_on() {
        let enter = |again| Op::Enter { times: Times::UntilEnd, first: None, again };
        let again = |enter| Op::Again { enter, every: None, goes_on: None };
        // Two loops, one in the other: behind the await another turn may follow.
        let ops = [enter(6), awaits(), enter(4), wait(), again(2), wait(), again(0), wait()];
        assert_eq!(told(&ops), "mmmmmmm.");
        let courses = vec![(1, 1), (1, 3)];
        let ops =
            [Op::Choose { total: 2, courses }, wait(), Op::Jump(5), wait(), Op::Jump(6), awaits(), wait()];
        assert_eq!(told(&ops), "mmm..m.");
    }
}
