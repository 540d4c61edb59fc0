//! The fault `worker-crash`: a worker process is killed, as the system does when memory runs out. Its keeper starts it
//! again. Its cure is not to kill it.
//!
//! What the worker had in flight is lost; connections that wait in its listen queue are not, since the socket is the
//! supervisor's, and what was committed lies in the database.

use std::time::Duration;

use rustix::process::Signal;
use timeline::MonoNs;
use timeline::fault::FaultOrder;

use super::inflicted::Victim;

/// Kills the worker again and again until the order's span is over. Dropping the future kills it no more.
pub async fn crash(victim: Victim, order: FaultOrder) {
    let period = Duration::from_millis(order.knob("period_ms") as u64);
    let rounds = async {
        let mut begun = false;
        loop {
            let killed = MonoNs::now();
            if victim.signal(Signal::KILL) && !std::mem::replace(&mut begun, true) {
                victim.took_effect(killed);
            }
            tokio::time::sleep(period).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(Duration::from_millis(order.for_ms), rounds).await;
}
