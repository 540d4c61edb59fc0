//! The fault `frozen`: a worker process is stopped and continued. Its cure is not to stop it.
//!
//! It lies with the supervisor because a stopped process can do nothing, least of all continue itself.

use std::time::Duration;

use rustix::process::Signal;
use timeline::MonoNs;
use timeline::fault::FaultOrder;

use super::inflicted::Victim;

/// Stops the worker again and again until the order's span is over. Dropping the future continues
/// the worker and writes the end down, as the end of the span does.
pub async fn freeze(victim: Victim, order: FaultOrder) {
    let stop = Duration::from_millis(order.knob("stop_ms") as u64);
    let period = Duration::from_millis(order.knob("period_ms") as u64).max(stop);
    let frozen = Frozen(victim);
    let rounds = async {
        let mut begun = false;
        loop {
            let stopped = MonoNs::now();
            if frozen.0.signal(Signal::STOP) && !std::mem::replace(&mut begun, true) {
                frozen.0.took_effect(stopped);
            }
            tokio::time::sleep(stop).await;
            frozen.0.signal(Signal::CONT);
            tokio::time::sleep(period - stop).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(Duration::from_millis(order.for_ms), rounds).await;
}

/// Continued when dropped; the victim's own drop comes after that.
struct Frozen(Victim);

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}
