//! Retry storm, and its cure: when a call that came to nothing is made again.
//!
//! The fault slows the service that makes invoices, so that it must refuse some, and has the shop ask again at once,
//! as often as its knob says: the more is refused, the more is asked. The cure asks again after a pause that is drawn, and
//! only as long as a budget allows ([`crate::downstream::retry`]), so a service in need gets a tenth more calls and not many times
//! as many.

use agent::DownstreamMeter;
use timeline::fault::FaultKind;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

use super::{Faults, Lever, Switch, whole};
use crate::broker::Placed;
use crate::downstream::CallError;
use crate::services::billing;

/// Looked at by who calls, and by the service that is called.
pub const LEVER: Lever = Lever::of_both_ends(FaultKind::RetryStorm);

/// Invoices that may be wanted at once; further ones are refused. Waiting for sixteen takes about 20 ms, so who is let in is
/// served in time.
const ROOM: usize = 16;

/// The fault at the caller's end: again at once, up to so many tries in all, whatever it came to.
///
/// # Errors
/// What the last try came to.
pub async fn at_once<T, C>(
    switch: &Switch,
    tries: usize,
    meter: &DownstreamMeter,
    call: impl Fn() -> C,
) -> Result<T, CallError>
where
    C: Future<Output = Result<T, CallError>>,
{
    for _ in 1..tries {
        if let Ok(answer) = call().await {
            return Ok(answer);
        }
        switch.took_effect();
        meter.retried();
    }
    call().await
}

/// The service's end: who makes invoices, one after another, for those who wait.
pub struct Desk {
    room: Semaphore,
    /// There is one device that signs.
    device: Mutex<()>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { room: Semaphore::new(ROOM), device: Mutex::default() }
    }
}

impl Desk {
    /// The invoice of an order; `None` when too many wait already. Dropping it leaves the row.
    ///
    /// # Errors
    /// When the work panics.
    pub async fn make(&self, faults: &Faults, placed: Placed) -> Result<Option<String>, JoinError> {
        let switch = &faults[FaultKind::RetryStorm];
        let Ok(_place) = self.room.try_acquire() else {
            switch.took_effect();
            return Ok(None);
        };
        let _turn = self.device.lock().await;
        let signatures = switch.order().map_or(1, |order| whole(&order, "signatures"));
        spawn_blocking(move || billing::signed(&placed, signatures)).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::downstream::retry::Budget;
    use crate::faults::testing::armed;

    #[tokio::test]
    async fn the_fault_asks_as_often_as_it_may_and_the_cure_within_its_budget() {
        let agent = agent::Agent::builder("shop")
            .token("t".to_owned())
            .listen(([127, 0, 0, 1], 0).into())
            .start()
            .unwrap();
        let meter = agent.downstream("billing");
        let (on, truth) = armed(&[(FaultKind::RetryStorm, &[])]);
        let asked = AtomicU64::new(0);
        let refused = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(CallError::Broken("busy".to_owned()))
        };
        for _ in 0..100 {
            assert!(at_once(&on[FaultKind::RetryStorm], 8, &meter, &refused).await.is_err());
        }
        assert_eq!(asked.swap(0, Ordering::Relaxed), 800);
        assert_eq!(truth.told(), ["armed", "onset"]);
        let budget = Budget::default();
        for _ in 0..100 {
            assert!(budget.spaced(&meter, &refused).await.is_err());
        }
        assert!(
            (110..=120).contains(&asked.load(Ordering::Relaxed)),
            "{asked:?}: what was saved, and a tenth"
        );
    }
}
