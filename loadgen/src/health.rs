//! The generator's own health: its CPU time, and the hiccups of its process.
//!
//! A hiccup is what a thread that only sleeps oversleeps: it shows when the process, or the machine, did not run,
//! whatever the load's own loop was doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use timeline::MonoNs;

/// How long the thread sleeps at a time: a hiccup shorter than this cannot matter next to a timer's 1 ms.
const NAP: Duration = Duration::from_millis(2);

/// Watches for hiccups until dropped.
#[derive(Debug)]
pub struct Hiccups {
    longest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hiccups {
    /// Starts watching; without a thread (none can be started) there is nothing to see.
    #[must_use]
    pub fn start() -> Self {
        let (longest, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&longest), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("hiccups".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let before = MonoNs::now();
                std::thread::sleep(NAP);
                let over = MonoNs::now().since(before).saturating_sub(NAP);
                seen.fetch_max(over.as_nanos() as u64, Ordering::Relaxed);
            }
        });
        Self { longest, stop, thread: thread.ok() }
    }

    /// The longest since the last call, ns.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.longest.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Hiccups {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within one nap; had it panicked, there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

/// CPU time of this process so far, all threads, ns.
#[must_use]
pub fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    (t.tv_sec as u64) * 1_000_000_000 + t.tv_nsec as u64
}
