//! The offload pool: so many threads, and no more, for work that would keep the event loop from turning.
//!
//! The threads are tokio's blocking ones; what is bounded here is how many of them tasks may take at once.
//! Statements and hashes have threads of their own beside it: a sheet keeps its thread for as long as the database takes, and
//! nobody's log-in is to wait behind it. Dropping a future of this file before its task has a
//! thread takes it out of the queue; afterwards the task finishes, and its thread is free only then.

use std::sync::{Arc, Mutex, PoisonError};

use agent::{Agent, PoolMeter};
use timeline::fault::FaultKind;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::answer::Refusal;
use crate::faults::Faults;
use crate::store::StoreError;

/// The pool.
pub struct Offload {
    places: Mutex<Arc<Semaphore>>,
    meter: PoolMeter,
    planned: usize,
    faults: Arc<Faults>,
}

impl Offload {
    /// Of `planned` threads.
    pub fn new(agent: &Agent, planned: usize, faults: Arc<Faults>) -> Self {
        let places = Mutex::new(Arc::new(Semaphore::new(planned)));
        Self { places, meter: agent.offload(planned), planned, faults }
    }

    /// The size for which the shop was planned.
    pub fn planned(&self) -> usize {
        self.planned
    }

    /// So many threads from now on. Who waits or works in the old pool finishes there.
    pub fn resize(&self, threads: usize) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Semaphore::new(threads));
        self.meter.set_capacity(threads);
    }

    /// Runs `task` on a thread of the pool, when one is free.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waiting = self.meter.begin_wait();
        if places.available_permits() == 0 {
            self.faults[FaultKind::OffloadSaturated].took_effect();
        }
        let place = places.acquire_owned().await.expect("the semaphore is never closed");
        let held = waiting.acquired();
        let done = spawn_blocking(move || {
            let done = task();
            drop((held, place));
            done
        });
        done.await.map_err(|e| Refusal::from(StoreError::Failed(e.to_string().into())))
    }
}
