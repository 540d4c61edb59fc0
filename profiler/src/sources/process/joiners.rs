//! Joiners: processes that begin to serve the port while it is watched: a service that was started again, a cluster's new workers.
//!
//! Owns looking who serves it. A look walks over all processes of the machine and what they have open, so it has a thread of its own, and the more
//! it takes the fewer there are. Whom to watch of them is the source's to say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timeline::MonoNs;

use crate::sources::discover::discover;
use crate::sources::{Sink, Source, locked};

/// From one look to the next.
const PERIOD: Duration = Duration::from_secs(2);
/// The same for a look that takes long, as it does where many connections are open: so many times what it took, ...
const TIMES: u32 = 100;
/// ... and no more than this.
const SELDOM: Duration = Duration::from_secs(30);

/// Who served the port at the last look, until somebody takes it.
pub(super) type Serving = Arc<Mutex<BTreeSet<u32>>>;

/// Looks who serves a port.
pub(super) struct Joiners {
    port: u16,
    serving: Serving,
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
        let begin = MonoNs::now();
        // While nobody serves the port there is nobody to watch.
        let served = discover(self.port).map(|served| served.processes).unwrap_or_default();
        self.took = MonoNs::now().since(begin);
        *locked(&self.serving) = served.into_iter().map(|process| process.pid).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_look_takes_the_fewer_there_are() {
        let after =
            |ms| Joiners { took: Duration::from_millis(ms), ..Joiners::new(1, Serving::default()) }.period();
        assert_eq!([3, 60, 5_000].map(after), [2, 6, 30].map(Duration::from_secs));
    }
}
