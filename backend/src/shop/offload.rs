//! The offload pool: so many threads, and no more, for work that would keep the event loop from turning.
//!
//! The threads are tokio's blocking ones, of a runtime that does nothing else; what is bounded here is how many of them
//! tasks may take at once. Statements and hashes have those of the event loop: a sheet keeps its thread for as long as the
//! database takes, so nobody's log-in is to wait behind it, and however many threads are held, none of them is one for
//! which sheets wait. Dropping a future of this file before its task has a
//! thread takes it out of the queue; afterwards the task finishes, and its thread is free only then.

use std::sync::{Arc, Mutex, PoisonError};

use agent::{Agent, PoolMeter};
use timeline::fault::FaultKind;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::answer::Refusal;
use crate::faults::Faults;
use crate::remedies::MOST;
use crate::store::StoreError;

/// The pool.
pub struct Offload {
    places: Mutex<Arc<Semaphore>>,
    meter: PoolMeter,
    planned: usize,
    faults: Arc<Faults>,
    /// Whose blocking threads they are. They come when they are needed. None only while it is dropped.
    threads: Option<Runtime>,
}

impl Offload {
    /// Of `planned` threads.
    pub fn new(agent: &Agent, planned: usize, faults: Arc<Faults>) -> Self {
        let places = Mutex::new(Arc::new(Semaphore::new(planned)));
        let threads = Builder::new_current_thread().max_blocking_threads(planned.max(MOST as usize)).build();
        let threads = threads.expect("it has no drivers, so it asks the system for nothing");
        Self { places, meter: agent.offload(planned), planned, faults, threads: Some(threads) }
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
        let threads = self.threads.as_ref().expect("they are there until it is dropped");
        let done = threads.spawn_blocking(move || {
            let done = task();
            drop((held, place));
            done
        });
        done.await.map_err(|e| Refusal::from(StoreError::Failed(e.to_string().into())))
    }
}

impl Drop for Offload {
    /// Waits for no task: an event loop may not.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::runtime::Handle;
    use tokio::task::spawn_blocking;
    use tokio::time::timeout;

    use super::*;
    use crate::faults::testing::armed;

    #[test]
    fn tasks_take_no_thread_from_the_statements_for_which_they_wait() {
        let agent = Agent::builder("shop").token("t").start().unwrap();
        let (faults, _truth) = armed(&[]);
        let offload = Offload::new(&agent, 2, faults);
        offload.resize(20);
        let one_thread = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let done = one_thread.block_on(async {
            let tasks = (0..20).map(|_| {
                let event_loop = Handle::current();
                offload.run(move || event_loop.block_on(async { spawn_blocking(|| ()).await.is_ok() }))
            });
            timeout(Duration::from_secs(60), join_all(tasks)).await
        });
        // Dropping it would wait for those that wait for ever.
        one_thread.shutdown_background();
        assert!(done.unwrap().iter().all(|answered| matches!(answered, Ok(true))));
    }
}
