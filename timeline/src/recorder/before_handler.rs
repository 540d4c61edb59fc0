//! What requests wait for outside of the target's handlers: the one lane that needs both sides.
//!
//! Owns [`names::SERVER_BEFORE_HANDLER`]. The server's own timing begins when a request has reached its handler; how long it queued before,
//! in a listen queue or behind a loop that does not turn, only the difference to what clients saw tells. It is written as an entry like any
//! other, so that a replay reads what the live run worked out.

use std::time::Duration;

use super::handle::Handle;
use crate::clock::{RunTime, Span};
use crate::lane::{LaneId, LaneSpec, Quality, names};
use crate::store::{Entry, Timeline};
use crate::units::Unit;

/// Sources deliver within this; what ended later is looked at later.
const SETTLED: Duration = Duration::from_secs(1);
/// Fewer requests in a window say little: it grows until there are so many, ...
const LEAST_REQUESTS: u64 = 25;
/// ... and is given up when it is so long.
const LONGEST: Duration = Duration::from_secs(10);
/// Client and handlers must count the same requests to within this share; the edges of a window cost some.
const COUNTS_AGREE: f64 = 0.15;

/// The lane, once there was something to write in it.
#[derive(Default)]
pub(super) struct BeforeHandler {
    lane: Option<LaneId>,
    told_to: RunTime,
}

impl BeforeHandler {
    /// The value of the newest stretch that is complete at `now`, if there is one.
    pub fn look(&mut self, timeline: &Timeline, handle: &Handle, now: RunTime) -> Option<Entry> {
        if !timeline.has(names::SERVER_HANDLER) {
            return None;
        }
        // From where the last one ended to the end of the client's last interval that is old enough.
        let span = timeline.told_within(names::SERVICE, Span::new(self.told_to, now.back(SETTLED)))?;
        let (requests, service) = timeline.timed(names::SERVICE, span);
        if requests < LEAST_REQUESTS && span.length() < LONGEST {
            return None;
        }
        let (handled, handler) = timeline.timed(names::SERVER_HANDLER, span);
        self.told_to = span.end;
        let agree = (handled as f64 / requests.max(1) as f64 - 1.0).abs() <= COUNTS_AGREE;
        if requests < LEAST_REQUESTS || !agree {
            return None;
        }
        if self.lane.is_none() {
            let spec = LaneSpec::level(names::SERVER_BEFORE_HANDLER, "target", Unit::Ns);
            self.lane = handle.try_declare(&spec.worst().quality(Quality::Inferred));
        }
        // Its declaration comes by the channel, as everybody's does.
        let lane = self.lane.filter(|id| timeline.series().len() > id.0 as usize)?;
        let value = (service / requests as f64 - handler / handled as f64).max(0.0);
        Some(Entry::Sample { lane, at: span.end, value })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::clock::{MonoNs, RunClock};
    use crate::histogram::Sparse;
    use crate::recorder::{Message, Published};

    /// Second `n` of a run: clients count `requests` of 30 ms each, handlers `handled` of 5 ms.
    fn second(timeline: &mut Timeline, n: u64, requests: u32, handled: u32) {
        let span = Span::new(RunTime::from_ms(n * 1_000), RunTime::from_ms(n * 1_000 + 1_000));
        for (lane, us, count) in [(0, 30_000, requests), (1, 5_000, handled)] {
            let cells = Sparse { cells: vec![(us, count)] };
            timeline.apply(&Entry::Histogram { lane: LaneId(lane), span, cells });
        }
    }

    #[test]
    fn what_clients_wait_for_beyond_the_handlers_is_told_where_both_count_alike() {
        let (send, receive) = sync_channel(8);
        let handle = Handle::new(RunClock::with_origin(MonoNs(0)), send, Published::default());
        let mut timeline = Timeline::new();
        for name in [names::SERVICE, names::SERVER_HANDLER] {
            handle.declare(LaneSpec::histogram(name, "x")).unwrap();
        }
        let mut lane = BeforeHandler::default();
        let mut told = Vec::new();
        for (n, requests, handled) in [(0, 100, 100), (1, 100, 98), (2, 100, 60), (3, 10, 10), (4, 20, 20)] {
            while let Ok(Message::Entry(entry)) = receive.try_recv() {
                timeline.apply(&entry);
            }
            second(&mut timeline, n, requests, handled);
            told.push(lane.look(&timeline, &handle, RunTime::from_ms(n * 1_000 + 2_100)).map(|e| match e {
                Entry::Sample { at, value, .. } => (at.as_ms(), (value / 1e6).round()),
                other => panic!("{other:?}"),
            }));
        }
        // The first declares the lane; the third does not count alike; the fourth has too few and goes with the fifth.
        assert_eq!(told, [None, Some((2_000, 25.0)), None, None, Some((5_000, 25.0))]);
    }
}
