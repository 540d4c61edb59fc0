//! Hiccups: stretches in which the whole process stood still.
//!
//! Owns the thread that only sleeps and looks how late it wakes, and the memory of what it saw, against
//! which stalls of the async loop are set off (`pauses`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::event::kinds;
use timeline::probe::ProbeEvent;

use crate::run_queue::RunQueue;
use crate::stretch::Stretch;
use crate::tally::lock;
use crate::threads::Stop;
use crate::top::Top;

/// How long the thread sleeps: the finest pause that it can see, and the most by which a hiccup's start is told late. Its
/// wakes are nearly all that the agent costs: on a busy virtual machine of 2 cores one took 22 to 27 us, so
/// naps of 1 ms 2.2 to 2.7 % of one core and these 0.6 %. A quarter of an event, and half of what the detector
/// of pauses allows for.
const NAP: Duration = Duration::from_millis(5);
/// From here on a hiccup is an event, ns. A runnable thread of a busy machine waits for its turn for a few
/// scheduler slices of 3 to 4 ms each; five of them in a row are no longer everyday scheduling, and they
/// are an order above a fast request's service time.
pub(crate) const EVENT_NS: u64 = 20_000_000;
/// From here on lateness is remembered as explaining a loop's stall, ns: above the timer's own error of about 1 ms.
const NOTED_NS: u64 = 2_000_000;
/// Most stretches remembered. Those shorter than an event come at most 200 times a second, and a stall is
/// judged within two ticks of its end, so that only those inside a very long one can be forgotten.
const REMEMBERED: usize = 512;
/// Most hiccup events of one tick; longer ones go first. A tick of 100 ms has room for five.
const MOST_EVENTS: usize = 8;

/// What the thread saw.
#[derive(Debug)]
pub(crate) struct Hiccups {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    until: u64,
    noted: VecDeque<Stretch>,
    events: Top<(Stretch, u64)>,
    longest: u64,
}

/// Hiccups since the last tick.
#[derive(Debug)]
pub(crate) struct HiccupReport {
    /// Longest lateness of any size, ns.
    pub(crate) longest: u64,
    /// The long ones.
    pub(crate) events: (Vec<ProbeEvent>, u64),
}

impl Hiccups {
    /// Nothing seen before `now`.
    pub(crate) fn new(now: u64) -> Self {
        let seen = Seen { until: now, noted: VecDeque::new(), events: Top::new(MOST_EVENTS), longest: 0 };
        Self { seen: Mutex::new(seen) }
    }

    /// The thread woke at `woke`; what is later than a nap after its last waking is lateness. Where that is
    /// a hiccup, `waited` tells for how much of it the thread was ready to run and got no core, ns.
    fn woke(&self, woke: u64, waited: impl FnOnce() -> u64) {
        let mut seen = lock(&self.seen);
        let due = seen.until + NAP.as_nanos() as u64;
        seen.until = woke;
        let late = Stretch { start: due, end: woke };
        seen.longest = seen.longest.max(late.length());
        if late.length() >= NOTED_NS {
            if seen.noted.len() == REMEMBERED {
                seen.noted.pop_front();
            }
            seen.noted.push_back(late);
        }
        if late.length() >= EVENT_NS {
            let waited = waited().min(late.length());
            seen.events.offer(late.length() as f64, || (late, waited));
        }
    }

    /// Up to when hiccups are known, ns.
    pub(crate) fn known_until(&self) -> u64 {
        lock(&self.seen).until
    }

    /// The remembered stretches that overlap `stretch`, oldest first.
    pub(crate) fn within(&self, stretch: Stretch) -> Vec<Stretch> {
        lock(&self.seen).noted.iter().copied().filter(|h| h.overlap(stretch) > 0).collect()
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> HiccupReport {
        let mut seen = lock(&self.seen);
        let (stretches, others) = seen.events.take();
        let event =
            |(s, waited): (Stretch, u64)| ProbeEvent { value: waited as f64, ..s.event(kinds::PAUSE_HICCUP) };
        let events = stretches.into_iter().map(event).collect();
        HiccupReport { longest: std::mem::take(&mut seen.longest), events: (events, others) }
    }
}

/// The thread's work: naps until told to stop.
pub(crate) fn watch(hiccups: &Arc<Hiccups>, stop: &Stop) {
    let mut queue = RunQueue::default();
    let _ = queue.waited();
    hiccups.woke(MonoNs::now().0, || 0);
    let _ = hiccups.take();
    for nap in 0u64.. {
        if stop.asked() {
            break;
        }
        std::thread::sleep(NAP);
        hiccups.woke(MonoNs::now().0, || queue.waited());
        if nap % NAPS_PER_READING == 0 {
            let _ = queue.waited();
        }
    }
}

/// The thread's wait for a core is read this often besides, so that what is charged to a hiccup can have
/// gathered for 30 ms before it at most: a few ms on a busy machine.
const NAPS_PER_READING: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_process_that_was_stopped_shows_one_hiccup_over_the_stop() {
        let hiccups = Hiccups::new(0);
        for n in 1..=10 {
            hiccups.woke(n * 5 * MS + 60_000 * n, || 0);
        }
        let report = hiccups.take();
        assert_eq!((report.longest, report.events.0.len()), (60_000, 0), "60 us of timer error is everyday");
        hiccups.woke(2_053 * MS, || 7 * MS);
        hiccups.woke(2_058 * MS, || 0);
        let report = hiccups.take();
        assert_eq!(report.events.0.len(), 1);
        let event = &report.events.0[0];
        assert_eq!((event.kind.as_str(), event.start, event.end), ("pause.hiccup", 55_600_000, 2_053 * MS));
        assert_eq!(event.value, 7.0 * MS as f64, "for so long it was ready and got no core");
        assert_eq!(report.longest, 1_997_400_000);
        assert_eq!(hiccups.take().longest, 0);
    }

    #[test]
    fn short_lateness_is_noted_but_is_no_event() {
        let hiccups = Hiccups::new(0);
        hiccups.woke(15 * MS, || 0);
        assert_eq!(hiccups.take().events.0, []);
        let all = Stretch { start: 0, end: 100 * MS };
        assert_eq!(hiccups.within(all), [Stretch { start: 5 * MS, end: 15 * MS }]);
        assert_eq!(hiccups.within(Stretch { start: 20 * MS, end: 30 * MS }), []);
    }
}
