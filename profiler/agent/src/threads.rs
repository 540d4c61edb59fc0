//! The agent's own threads: started with a name, told to stop, waited for.
//!
//! Owns the flag and the handles. None of them runs on the target's async runtime, so that a runtime
//! that has stopped is still seen.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use timeline::clock::MonoNs;

use crate::tally::lock;

/// The order to stop, which threads look at.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// Whether threads should end.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps until `until` unless asked to stop; true if the time has come. Must run on one of [`Threads`].
    pub(crate) fn sleep_until(&self, until: MonoNs) -> bool {
        loop {
            if self.asked() {
                return false;
            }
            let left = until.since(MonoNs::now());
            if left == Duration::ZERO {
                return true;
            }
            thread::park_timeout(left);
        }
    }
}

/// Threads under one order to stop.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    stop: Arc<Stop>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// The order, for work that wants to look at it.
    pub(crate) fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }

    /// Starts a thread; those that have ended are forgotten.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(crate) fn start(&self, name: &str, work: impl FnOnce(&Stop) + Send + 'static) -> io::Result<()> {
        let stop = self.stop();
        let handle = thread::Builder::new().name(name.to_owned()).spawn(move || work(&stop))?;
        let mut running = lock(&self.running);
        running.retain(|t| !t.is_finished());
        running.push(handle);
        Ok(())
    }

    /// Asks all to stop and wakes the sleeping ones.
    pub(crate) fn ask(&self) {
        self.stop.0.store(true, Ordering::Release);
        lock(&self.running).iter().for_each(|t| t.thread().unpark());
    }

    /// Waits until all have ended; a thread that panicked has ended too.
    pub(crate) fn join(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        for thread in running {
            let _ = thread.join();
        }
    }
}
