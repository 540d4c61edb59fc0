//! The async loop as a task sees it: how late it is woken.
//!
//! Owns the task that sleeps on the watched runtime, its histogram (corrected for the probes that a long
//! delay prevented), stalls as candidates (with how long their thread had no core), and the runtime's own busy time. Which part of a stall was a
//! hiccup of the whole process is `pauses`' question.
//!
//! The runtime needs its time driver (`enable_time`); its wheel has a resolution of 1 ms, so delays of up
//! to 2 ms are everyday.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timeline::clock::MonoNs;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::task::AbortHandle;

use crate::hiccup::EVENT_NS;
use crate::run_queue::RunQueue;
use crate::stretch::Stretch;
use crate::tally::{Tally, lock};

/// How often the task wants to be woken: a stall of 20 ms cannot hide between two wakes, at 100 wakes a second.
const INTERVAL: Duration = Duration::from_millis(10);
/// Most stalls kept until they are judged (within two ticks, in which there is room for ten).
const MOST_STALLS: usize = 64;
/// Most entries by which one delay is corrected: 60 s of them; a longer delay needs no finer picture.
const MOST_CORRECTIONS: u64 = 6_000;

/// A stretch in which the loop did not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    /// From when the task was due until it was woken.
    pub(crate) stretch: Stretch,
    /// For how much of it the thread was ready to run and got no core, ns.
    pub(crate) waited: u64,
}

impl Stall {
    /// How much of the wait falls to `piece` of it, ns: when within the stall the thread waited is not known, so it is spread evenly.
    pub(crate) fn waited_in(self, piece: Stretch) -> u64 {
        let share = piece.overlap(self.stretch) as f64 / self.stretch.length().max(1) as f64;
        (self.waited as f64 * share) as u64
    }
}

/// One watched runtime.
#[derive(Debug)]
pub(crate) struct LoopState {
    /// When the task should be woken next, ns; 0 before it ran first.
    due: AtomicU64,
    alive: AtomicBool,
    stalls: Mutex<Vec<Stall>>,
    delay: Arc<Tally>,
}

impl LoopState {
    fn new(delay: Arc<Tally>) -> Self {
        Self { due: AtomicU64::new(0), alive: AtomicBool::new(true), stalls: Mutex::new(Vec::new()), delay }
    }

    /// The task was due at `due` and woke at `woke`. For `waited` ns since it woke last its
    /// thread was ready to run and got no core.
    fn woke(&self, due: u64, woke: u64, waited: u64) {
        let stretch = Stretch { start: due, end: woke };
        record_corrected(&self.delay, stretch.length());
        if stretch.length() >= EVENT_NS {
            let mut stalls = lock(&self.stalls);
            if stalls.len() < MOST_STALLS {
                stalls.push(Stall { stretch, waited: waited.min(stretch.length()) });
            }
        }
    }

    /// Stalls that ended by `until`; later ones stay.
    pub(crate) fn take_stalls(&self, until: u64) -> Vec<Stall> {
        lock(&self.stalls).extract_if(.., |s| s.stretch.end <= until).collect()
    }

    /// How late the task is at `now` although it has not been woken yet, ns.
    pub(crate) fn overdue(&self, now: u64) -> u64 {
        match self.due.load(Ordering::Relaxed) {
            due if due > 0 && self.alive() => now.saturating_sub(due),
            _ => 0,
        }
    }

    /// Whether the task still runs (its runtime lives).
    pub(crate) fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    fn started(&self) -> bool {
        self.due.load(Ordering::Relaxed) > 0
    }
}

/// Records a delay, and those that further probes would have seen had it not kept them from starting.
fn record_corrected(tally: &Tally, delay: u64) {
    let interval = INTERVAL.as_nanos() as u64;
    tally.record_ns(delay);
    for n in 1..=(delay / interval).min(MOST_CORRECTIONS) {
        tally.record_ns(delay - n * interval);
    }
}

/// A runtime and what is read from it. Dropped: its task is aborted.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What the task tells.
    pub(crate) state: Arc<LoopState>,
    metrics: RuntimeMetrics,
    workers: Vec<WorkerTime>,
    task: AbortHandle,
}

impl Watched {
    /// Starts the task on `runtime`; its delays go to `delay`.
    pub(crate) fn start(runtime: &Handle, delay: Arc<Tally>) -> Self {
        let state = Arc::new(LoopState::new(delay));
        let task = runtime.spawn(probe(Ending(Arc::clone(&state)))).abort_handle();
        let metrics = runtime.metrics();
        let workers = vec![WorkerTime::default(); metrics.num_workers()];
        Self { state, metrics, workers, task }
    }

    /// Share of the last `elapsed_ns` that the workers were busy, 0 to 1; none before the runtime ran.
    pub(crate) fn utilisation(&mut self, elapsed_ns: u64) -> Option<f64> {
        let mut busy = 0;
        for (n, worker) in self.workers.iter_mut().enumerate() {
            let total = self.metrics.worker_total_busy_duration(n).as_nanos() as u64;
            busy += worker.busy(total, self.metrics.worker_park_unpark_count(n), elapsed_ns);
        }
        let all = elapsed_ns * self.workers.len().max(1) as u64;
        self.state.started().then(|| busy as f64 / all as f64)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Busy time of one worker, made timely: the runtime adds a stretch of work only when it is over.
#[derive(Debug, Clone, Default)]
struct WorkerTime {
    total: u64,
    parks: u64,
    /// Busy time that was told before the runtime added it, ns.
    ahead: u64,
}

impl WorkerTime {
    /// Nanoseconds of the last `elapsed`; `parks` is odd while the worker sleeps.
    fn busy(&mut self, total: u64, parks: u64, elapsed: u64) -> u64 {
        let fresh = total.saturating_sub(self.total);
        let still_at_it = fresh == 0 && parks == self.parks && parks.is_multiple_of(2);
        self.total = total;
        self.parks = parks;
        if still_at_it {
            self.ahead += elapsed;
            return elapsed;
        }
        let told = std::mem::take(&mut self.ahead);
        fresh.saturating_sub(told).min(elapsed)
    }
}

/// Marks the end of the task, however it ends.
struct Ending(Arc<LoopState>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.alive.store(false, Ordering::Relaxed);
    }
}

async fn probe(state: Ending) {
    let mut last = MonoNs::now().0;
    let mut queue = RunQueue::default();
    loop {
        let due = last + INTERVAL.as_nanos() as u64;
        state.0.due.store(due, Ordering::Relaxed);
        tokio::time::sleep(INTERVAL).await;
        last = MonoNs::now().0;
        // Read each time, for some 3 us: where siblings share a core, the waits of a tenth of a second come to more than a stall.
        let waited = queue.waited();
        state.0.woke(due, last, waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_long_delay_counts_for_the_probes_that_it_prevented() {
        let tally = Tally::default();
        record_corrected(&tally, 35 * MS);
        let cells: Vec<u32> = tally.take().cells.iter().map(|c| c.0 / 1_000).collect();
        assert_eq!(cells, [5, 15, 25, 35]);
    }

    #[test]
    fn busy_time_is_told_while_a_poll_still_runs_and_not_twice() {
        let mut worker = WorkerTime::default();
        assert_eq!(worker.busy(30 * MS, 3, 100 * MS), 30 * MS);
        assert_eq!(worker.busy(30 * MS, 3, 100 * MS), 0, "asleep");
        assert_eq!(worker.busy(40 * MS, 4, 100 * MS), 10 * MS, "woke, and began a long poll");
        assert_eq!(worker.busy(40 * MS, 4, 100 * MS), 100 * MS);
        assert_eq!(worker.busy(40 * MS, 4, 100 * MS), 100 * MS);
        assert_eq!(worker.busy(260 * MS, 5, 100 * MS), 20 * MS, "220 ms at last, 200 of them told");
    }

    #[test]
    fn stalls_wait_until_hiccups_are_known_for_their_time() {
        let state = LoopState::new(Arc::default());
        state.woke(10 * MS, 12 * MS, 2 * MS);
        state.woke(22 * MS, 90 * MS, 34 * MS);
        assert_eq!(state.take_stalls(89 * MS), []);
        let stall = Stall { stretch: Stretch { start: 22 * MS, end: 90 * MS }, waited: 34 * MS };
        assert_eq!(state.take_stalls(90 * MS), [stall]);
        assert_eq!(stall.waited_in(Stretch { start: 22 * MS, end: 56 * MS }), 17 * MS);
        assert_eq!(state.take_stalls(90 * MS), []);
    }
}
