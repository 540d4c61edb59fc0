//! Latency: what held the server's one thread, as its latency monitor tells it.
//!
//! Owns the question `LATENCY LATEST`, the lane `cache.redis.pause` and what is remarked. The monitor tells of each kind of event the last
//! one, to the second, and nothing while it is off: so there is a lane only once it has told of one. Servers without the command, and users
//! without the right to it, are asked once.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;

use timeline::lane::names;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::reply::{Reply, command};
use super::{NAME, RedisError};
use crate::sources::Sink;
use crate::sources::troubles::Troubles;

/// It is asked at every so many readings of `INFO`: once a second, as exact as it tells.
const EVERY: u32 = 5;
/// Most kinds of events that are told apart; Redis has about twenty.
const MOST_KINDS: usize = 32;
/// Most characters of a kind's name.
const KIND_MAX: usize = 40;

/// What is known of the server's latency events.
pub(super) struct Latency {
    instance: String,
    /// Does the server answer the question?
    asked: bool,
    turn: u32,
    /// Of each kind the last event; none yet before the first answer.
    last: Option<HashMap<String, Held>>,
    lane: Option<LaneId>,
    said: HashSet<String>,
}

/// When an event ended, in seconds of the server's clock, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    at_s: i64,
    ms: i64,
}

impl Latency {
    pub fn new(instance: &str) -> Self {
        let (turn, last, lane, said) = (0, None, None, HashSet::new());
        Self { instance: instance.to_owned(), asked: true, turn, last, lane, said }
    }

    /// Asks if it is time to. Where the server refuses it is not asked again; an error means that the connection is of no more use.
    pub fn look(
        &mut self,
        line: &mut TcpStream,
        now: MonoNs,
        deadline: MonoNs,
        troubles: &mut Troubles,
        sink: &mut dyn Sink,
    ) -> Result<(), RedisError> {
        let due = self.asked && self.turn.is_multiple_of(EVERY);
        self.turn = self.turn.wrapping_add(1);
        if !due {
            return Ok(());
        }
        match command(line, &["LATENCY", "LATEST"], deadline) {
            Ok(reply) => self.take(&reply, now, troubles, sink),
            Err(RedisError::Refused(why)) => {
                self.asked = false;
                sink.note(
                    NAME,
                    &format!("{}: no latency events: the server refuses LATENCY ({why})", self.instance),
                );
            }
            Err(e) => {
                // What is no answer of this kind would be none the next time.
                self.asked = matches!(e, RedisError::TimedOut | RedisError::Unreachable(_));
                return Err(e);
            }
        }
        Ok(())
    }

    fn take(&mut self, reply: &Reply, now: MonoNs, troubles: &mut Troubles, sink: &mut dyn Sink) {
        let events: HashMap<String, Held> = events(reply).take(MOST_KINDS).collect();
        if self.lane.is_none() && !events.is_empty() {
            let name = names::of(names::CACHE, NAME, "pause");
            self.lane = sink.declare(LaneSpec::level(name, self.instance.as_str(), Unit::Ns).worst());
        }
        // What it tells at first may be long ago.
        let Some(before) = self.last.replace(events) else { return };
        let events = self.last.iter().flatten();
        let new = events
            .filter(|(kind, held)| before.get(*kind) != Some(*held))
            .map(|(kind, held)| (kind, held.ms));
        let mut longest_ms = 0;
        for (kind, ms) in new {
            longest_ms = longest_ms.max(ms);
            if self.said.len() < MOST_KINDS && self.said.insert(kind.clone()) {
                let took = Unit::Ns.show(ms as f64 * 1e6);
                let what = format!("held up for {took} by `{kind}`, as its latency monitor tells");
                troubles.say(&self.instance, &what, sink);
            }
        }
        if let Some(lane) = self.lane {
            sink.sample(lane, now, longest_ms as f64 * 1e6);
        }
    }
}

/// Each is a list: the event's kind, its time, how long the last one took, how long the longest; later versions add to it.
fn events(reply: &Reply) -> impl Iterator<Item = (String, Held)> + '_ {
    let listed = if let Reply::List(listed) = reply { listed.as_slice() } else { &[] };
    listed.iter().filter_map(|event| {
        let Reply::List(of) = event else { return None };
        let [Reply::Text(kind), Reply::Number(at_s), Reply::Number(ms), ..] = of.as_slice() else {
            return None;
        };
        (*ms >= 0).then(|| (clean(kind, KIND_MAX), Held { at_s: *at_s, ms: *ms }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Keeping;

    fn event(kind: &str, at_s: i64, ms: i64) -> Reply {
        let numbers = [at_s, ms, 900].map(Reply::Number);
        Reply::List([vec![Reply::Text(kind.to_owned())], numbers.to_vec()].concat())
    }

    #[test]
    fn what_is_new_is_told_and_what_the_monitor_never_told_of_is_no_zero() {
        let (mut latency, mut told, mut troubles) =
            (Latency::new("redis-1"), Keeping::default(), Troubles::new(NAME));
        let mut take = |events: Vec<Reply>, told: &mut Keeping| {
            latency.take(&Reply::List(events), MonoNs(1), &mut troubles, told);
        };
        take(Vec::new(), &mut told);
        take(Vec::new(), &mut told);
        assert!(told.lanes.is_empty() && told.values.is_empty());
        take(vec![event("fork", 10, 40), Reply::Number(7), event("command", 10, -1)], &mut told);
        take(vec![event("fork", 10, 40)], &mut told);
        take(vec![event("fork", 12, 60), event("command", 12, 20)], &mut told);
        let lanes: Vec<&str> = told.lanes.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(
            (lanes.as_slice(), told.values.as_slice()),
            (&["cache.redis.pause"][..], &[40e6, 0.0, 60e6][..])
        );
        told.remarks.sort();
        assert_eq!(
            told.remarks,
            [
                "redis-1: held up for 20.0 ms by `command`, as its latency monitor tells",
                "redis-1: held up for 40.0 ms by `fork`, as its latency monitor tells"
            ]
        );
    }

    #[test]
    fn what_it_tells_at_first_is_the_past() {
        let (mut latency, mut told) = (Latency::new("redis-1"), Keeping::default());
        for _ in 0..2 {
            let events = Reply::List(vec![event("fork", 10, 40)]);
            latency.take(&events, MonoNs(1), &mut Troubles::new(NAME), &mut told);
        }
        assert_eq!((told.values, told.remarks), (vec![0.0], Vec::new()));
        assert_eq!(events(&Reply::Text("OK".to_owned())).count(), 0);
    }
}
