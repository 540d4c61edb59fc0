//! The fault `frozen`: a worker process is stopped and continued. Its cure is not to stop it.
//!
//! It lies with the supervisor because a stopped process can do nothing, least of all continue itself.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder, Truth, TruthPoint};

use super::crew::Crew;
use super::truths::Truths;

/// Stops the first worker again and again until the order's span is over. Dropping the future continues
/// the worker and writes the end down, as the end of the span does.
pub async fn freeze(crew: Arc<Crew>, truths: Arc<Truths>, order: FaultOrder) {
    let stop = Duration::from_millis(order.knob("stop_ms") as u64);
    let period = Duration::from_millis(order.knob("period_ms") as u64).max(stop);
    let frozen = Frozen { name: crew.first().to_owned(), crew, truths };
    frozen.write(TruthPoint::Armed);
    let rounds = async {
        let mut begun = false;
        loop {
            let stopped = MonoNs::now();
            if frozen.crew.signal(&frozen.name, Signal::STOP) && !begun {
                begun = true;
                frozen.write_at(TruthPoint::Onset, stopped);
            }
            tokio::time::sleep(stop).await;
            frozen.crew.signal(&frozen.name, Signal::CONT);
            tokio::time::sleep(period - stop).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(Duration::from_millis(order.for_ms), rounds).await;
}

struct Frozen {
    crew: Arc<Crew>,
    truths: Arc<Truths>,
    name: String,
}

impl Frozen {
    fn write(&self, what: TruthPoint) {
        self.write_at(what, MonoNs::now());
    }

    fn write_at(&self, what: TruthPoint, at: MonoNs) {
        self.truths.write(Truth { fault: FaultKind::Frozen, instance: self.name.clone(), what, at });
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.crew.signal(&self.name, Signal::CONT);
        self.write(TruthPoint::Ended);
    }
}
