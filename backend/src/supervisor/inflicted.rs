//! The faults that the supervisor inflicts on its workers, because none could do that to itself and go on.
//!
//! Owns the table of them, and the one task that each has while it is on. What each does lies in a file of its own.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use rustix::process::Signal;
use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder, Truth, TruthPoint};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::crew::Crew;
use super::truths::Truths;
use super::{crash, frozen};

/// What a fault does to its victim, until its span is over.
type Inflict = fn(Victim, FaultOrder) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One row for each fault of the supervisor; a worker's levers have the others.
const INFLICTED: &[(FaultKind, Inflict)] = &[
    (FaultKind::Frozen, |victim, order| Box::pin(frozen::freeze(victim, order))),
    (FaultKind::WorkerCrash, |victim, order| Box::pin(crash::crash(victim, order))),
];

#[cfg(test)]
/// Is it the supervisor that inflicts this fault?
pub fn is_inflicted(fault: FaultKind) -> bool {
    INFLICTED.iter().any(|(kind, _)| *kind == fault)
}

/// The faults that are on.
pub struct Inflicted {
    crew: Arc<Crew>,
    truths: Arc<Truths>,
    /// At most one task for each fault.
    on: Mutex<BTreeMap<FaultKind, JoinSet<()>>>,
}

impl Inflicted {
    /// On workers of `crew`; none is on.
    pub fn new(crew: Arc<Crew>, truths: Arc<Truths>) -> Self {
        Self { crew, truths, on: Mutex::default() }
    }

    /// Begins a fault, if it is one of the supervisor's. One that is on already begins anew.
    pub async fn begin(&self, order: &FaultOrder) -> bool {
        let Some((kind, inflict)) = INFLICTED.iter().find(|(kind, _)| *kind == order.name) else {
            return false;
        };
        let mut on = self.on.lock().await;
        let task = on.entry(*kind).or_default();
        task.shutdown().await;
        let victim = Victim {
            name: self.crew.first().to_owned(),
            fault: *kind,
            crew: self.crew.clone(),
            truths: self.truths.clone(),
        };
        victim.write(TruthPoint::Armed, MonoNs::now());
        task.spawn(inflict(victim, order.clone()));
        true
    }

    /// Ends them all, and waits until they have.
    pub async fn end_all(&self) {
        for task in self.on.lock().await.values_mut() {
            task.shutdown().await;
        }
    }
}

/// The worker that suffers a fault. Dropping it writes the fault's end down.
pub struct Victim {
    fault: FaultKind,
    crew: Arc<Crew>,
    truths: Arc<Truths>,
    name: String,
}

impl Victim {
    /// Sends a signal to the process of that name, if there is one.
    pub fn signal(&self, signal: Signal) -> bool {
        self.crew.signal(&self.name, signal)
    }

    /// The fault has its first effect, which was at `at`.
    pub fn took_effect(&self, at: MonoNs) {
        self.write(TruthPoint::Onset, at);
    }

    fn write(&self, what: TruthPoint, at: MonoNs) {
        self.truths.write(Truth { fault: self.fault, instance: self.name.clone(), what, at });
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.write(TruthPoint::Ended, MonoNs::now());
    }
}
