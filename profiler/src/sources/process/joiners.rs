//! Joiners: processes that begin to serve the port while it is watched: a service that was started again, a cluster's new workers.
//!
//! Owns looking who serves it. A look walks over all processes of the machine and what they have open, so it has a thread of its own, and the more
//! CPU it takes the fewer there are. Whom to watch of them is the source's to say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::sources::discover::discover;
use crate::sources::{Sink, Source, locked};

/// From one look to the next.
const PERIOD: Duration = Duration::from_secs(2);
/// The same for a look that takes much, as it does where many connections are open: so many times the CPU time that it took, ...
const TIMES: u32 = 100;
/// ... and no more than this.
const SELDOM: Duration = Duration::from_secs(30);

/// Who served the port at the last look, until somebody takes it.
pub(super) type Serving = Arc<Mutex<BTreeSet<u32>>>;

/// Looks who serves a port.
pub(super) struct Joiners {
    port: u16,
    serving: Serving,
    /// CPU time of the last look.
    took: Duration,
}

impl Joiners {
    /// Whoever serves `port` is put into `serving`.
    pub fn new(port: u16, serving: Serving) -> Self {
        Self { port, serving, took: Duration::ZERO }
    }
}

impl Source for Joiners {
    fn name(&self) -> &str {
        "process joiners"
    }

    fn period(&self) -> Duration {
        (self.took * TIMES).clamp(PERIOD, SELDOM)
    }

    fn poll(&mut self, _: &mut dyn Sink) {
        // While nobody serves the port there is nobody to watch.
        let (served, took) =
            spent_on(|| discover(self.port).map(|served| served.processes).unwrap_or_default());
        self.took = took;
        *locked(&self.serving) = served.into_iter().map(|process| process.pid).collect();
    }
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

    fn after(took: Duration) -> Duration {
        Joiners { took, ..Joiners::new(1, Serving::default()) }.period()
    }

    #[test]
    fn the_more_a_look_takes_the_fewer_there_are() {
        let after = |ms| after(Duration::from_millis(ms));
        assert_eq!([3, 60, 5_000].map(after), [2, 6, 30].map(Duration::from_secs));
    }

    #[test]
    fn a_look_that_has_to_wait_takes_no_more() {
        let ((), took) = spent_on(|| std::thread::sleep(Duration::from_millis(200)));
        assert_eq!(after(took), PERIOD);
    }
}
