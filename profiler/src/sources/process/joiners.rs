//! Joiners: processes that begin to serve the port while it is watched: a service that was started again, a cluster's new workers.
//!
//! Owns looking who serves it. A look walks over all processes of the machine and what they have open, so it has a thread of its own, and the more
//! CPU it takes the fewer there are. One who serves and ends is mostly started again: then one is looked for at once. Whom to watch of them is the
//! source's to say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use timeline::MonoNs;

use crate::sources::discover::{discover, runs};
use crate::sources::{Sink, Source, locked};

/// From one look to the next, at least: as often it is seen whether those who serve still run, which takes nothing.
const PERIOD: Duration = Duration::from_secs(2);
/// After a look that takes much, as it does where much is open, the next one comes so many times the CPU time that it took later, ...
const TIMES: u32 = 100;
/// ... and no later than this. So long, too, whoever takes the place of one that has ended is looked for whatever a look takes.
const SELDOM: Duration = Duration::from_secs(30);

/// Who served the port at the last look, until somebody takes it.
pub(super) type Serving = Arc<Mutex<BTreeSet<u32>>>;

/// Looks who serves a port.
pub(super) struct Joiners {
    port: u16,
    serving: Serving,
    /// Who served the port at the last look.
    served: BTreeSet<u32>,
    /// When the next look comes if none of them ends.
    due: MonoNs,
    /// How many they were before one of them ended, and until when as many are looked for.
    wanted: usize,
    until: MonoNs,
}

impl Joiners {
    /// Whoever serves `port` is put into `serving`; `served`: who does so far.
    pub fn new(port: u16, serving: Serving, served: BTreeSet<u32>) -> Self {
        Self { port, serving, served, due: MonoNs(0), wanted: 0, until: MonoNs(0) }
    }

    /// Is it time for a look? While nobody listens on the port it takes next to nothing.
    fn is_due(&mut self, now: MonoNs) -> bool {
        let ended = self.served.iter().any(|pid| !runs(*pid));
        if ended {
            let before = if now < self.until { self.wanted } else { 0 };
            self.wanted = self.served.len().max(before);
            self.until = after(now, SELDOM);
        }
        let are_missing = now < self.until && self.served.len() < self.wanted;
        ended || are_missing || now >= self.due
    }
}

impl Source for Joiners {
    fn name(&self) -> &str {
        "process joiners"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, _: &mut dyn Sink) {
        let now = MonoNs::now();
        if !self.is_due(now) {
            return;
        }
        // While nobody serves the port there is nobody to watch.
        let (served, took) =
            spent_on(|| discover(self.port).map(|served| served.processes).unwrap_or_default());
        self.due = after(now, rest(took));
        self.served = served.into_iter().map(|process| process.pid).collect();
        *locked(&self.serving) = self.served.clone();
    }
}

/// From a look that took so much CPU time to the next.
fn rest(took: Duration) -> Duration {
    (took * TIMES).min(SELDOM)
}

fn after(now: MonoNs, time: Duration) -> MonoNs {
    MonoNs(now.0 + time.as_nanos() as u64)
}

/// What `work` gives, and the CPU time that it took. By the clock a look would pass for a dear one whenever it has to wait for a core: there would be
/// the fewest while the machine is busy.
fn spent_on<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let before = spent();
    let given = work();
    (given, spent().saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody has this number, so who had it has ended.
    const ENDED: u32 = u32::MAX;

    #[test]
    fn the_more_a_look_takes_the_fewer_there_are() {
        let rest = |ms| rest(Duration::from_millis(ms));
        assert_eq!([3, 60, 5_000].map(rest), [300, 6_000, 30_000].map(Duration::from_millis));
    }

    #[test]
    fn a_look_that_has_to_wait_takes_no_more() {
        let ((), took) = spent_on(|| std::thread::sleep(Duration::from_millis(200)));
        assert!(rest(took) < PERIOD, "{took:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_ended_is_looked_for_at_once_until_somebody_has_taken_the_place_or_for_half_a_minute() {
        let me = std::process::id();
        let at = |s: u64| MonoNs(s * 1_000_000_000);
        let mut joiners = Joiners::new(1, Serving::default(), [me].into());
        joiners.due = at(10_000);
        assert!(!joiners.is_due(at(100)), "the last look took much, and all of them run");
        joiners.served = [me, ENDED].into();
        assert!(joiners.is_due(at(102)));
        // As the look leaves it that finds nobody new.
        joiners.served = [me].into();
        assert!(joiners.is_due(at(104)) && joiners.is_due(at(131)));
        assert!(!joiners.is_due(at(132)), "nobody comes");
        joiners.served = [ENDED].into();
        assert!(joiners.is_due(at(200)));
        joiners.served = BTreeSet::new();
        assert!(joiners.is_due(at(202)));
        joiners.served = [me].into();
        assert!(!joiners.is_due(at(204)), "as many as before");
        assert!(joiners.is_due(at(10_000)), "looks go on");
    }
}
