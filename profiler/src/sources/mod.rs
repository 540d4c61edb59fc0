//! Sources: what reads the target and its machine, each on a thread of its own.
//!
//! Owns the trait [`Source`], the way in which sources hand readings over ([`Sink`]) and their
//! lifetime ([`Attached`]). Each source blocks on its own thread, so that a busy async runtime cannot
//! delay it and a slow target delays no other source. Sources judge nothing.

pub mod agent;
pub mod discover;
pub mod host;
pub mod jvm;
pub mod metrics;
pub mod otlp;
pub mod postgres;
pub mod process;
pub mod rabbitmq;
pub mod redis;
pub mod stacks;
pub mod v8;

mod admit;
mod age;
mod agreement;
mod batches;
mod counters;
mod fetch;
mod groups;
mod naming;
mod net_counters;
mod patience;
mod place;
mod precedence;
mod probe_client;
mod profiles;
mod sockets;
#[cfg(test)]
mod testing;
mod troubles;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use timeline::histogram::Sparse;
use timeline::{LaneId, LaneSpec, MonoNs};

pub use fetch::{FetchError, direct};
pub use probe_client::ProbeError;
pub use profiles::{Taken, take_profiles};

/// Takes readings. Times are this host's monotonic clock; the recorder behind it knows the run's.
/// Calls must return at once: a sink that cannot keep up drops and counts.
pub trait Sink: Send {
    /// Declares a lane, or finds the one declared with the same words. None if there is no room for it.
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId>;
    /// A level or rate at an instant; finite.
    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64);
    /// What a histogram lane recorded from `from` to `to`.
    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse);
    /// Something happened.
    fn event(&mut self, event: SourceEvent);
    /// One line for people about source `source`: what it sees, what it cannot, why it fell silent.
    fn note(&mut self, source: &str, text: &str);
    /// The same, and part of the run's report: a failure, a disagreement of sources. Each is said once.
    fn remark(&mut self, source: &str, text: &str) {
        self.note(source, text);
    }
    /// The name of an instance: `short`, or one like `whole` where another instance of the run has that already. A sink that knows of
    /// no others gives `short`.
    fn instance(&mut self, short: &str, _whole: &str) -> String {
        short.to_owned()
    }
}

/// An [`Event`](timeline::Event) on this host's monotonic clock.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceEvent {
    /// Canonical kind from [`timeline::event::kinds`].
    pub kind: String,
    /// Which process.
    pub instance: String,
    /// Began.
    pub start: MonoNs,
    /// Ended; equal to `start` for a point.
    pub end: MonoNs,
    /// Details, at most eight.
    pub labels: Vec<(String, String)>,
    /// Figure of the kind.
    pub value: f64,
    /// Counted, not kept.
    pub others: u64,
}

/// One thing that is read again and again. Dropped on its thread when asked to end: one that left something in the target takes
/// it back then, in a bounded time.
pub trait Source: Send {
    /// Its name: `agent`, `node`, `process`, `host`.
    fn name(&self) -> &str;
    /// From one reading to the next, and to the first.
    fn period(&self) -> Duration;
    /// Reads once and hands over. May block, but only for a bounded time.
    fn poll(&mut self, sink: &mut dyn Sink);
    /// Is there nothing left to read, for ever? Then its thread ends.
    fn is_over(&self) -> bool {
        false
    }
}

/// Why a source could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The agent's endpoint cannot be read.
    #[error("cannot attach the agent at {url}: {why}")]
    Agent {
        /// Its address.
        url: String,
        /// What is wrong.
        why: ProbeError,
    },
    /// The JVM cannot be read.
    #[error("cannot attach the JVM of process {pid}: {why}")]
    Jvm {
        /// Its process id.
        pid: u32,
        /// What is wrong.
        why: jvm::JvmError,
    },
    /// The page of metrics cannot be read.
    #[error("cannot attach the metrics at {url}: {why}")]
    Metrics {
        /// Its address, without query.
        url: String,
        /// What is wrong.
        why: metrics::MetricsError,
    },
    /// Metrics of OpenTelemetry cannot be received.
    #[error("cannot receive OpenTelemetry metrics at {address}: {why}")]
    Otlp {
        /// Where.
        address: std::net::SocketAddr,
        /// What is wrong.
        why: otlp::OtlpError,
    },
    /// The PostgreSQL server cannot be read.
    #[error("cannot attach PostgreSQL at {url}: {why}")]
    Postgres {
        /// Its address, without user.
        url: String,
        /// What is wrong.
        why: postgres::PostgresError,
    },
    /// The RabbitMQ server cannot be read.
    #[error("cannot attach RabbitMQ at {url}: {why}")]
    RabbitMq {
        /// Its address, without user.
        url: String,
        /// What is wrong.
        why: rabbitmq::RabbitMqError,
    },
    /// The Redis server cannot be read.
    #[error("cannot attach Redis at {url}: {why}")]
    Redis {
        /// Its address, without user.
        url: String,
        /// What is wrong.
        why: redis::RedisError,
    },
    /// Nothing that we may see listens on the port.
    #[error("cannot attach the process behind port {port}: {why}")]
    Process {
        /// The port.
        port: u16,
        /// What is wrong.
        why: discover::ProcessError,
    },
    /// The inspector of a process is of no use.
    #[error("cannot attach the inspector of {what}: {why}")]
    V8 {
        /// Which process or address.
        what: String,
        /// What is wrong.
        why: v8::V8Error,
    },
    /// This system does not offer it.
    #[error("{what} is not available on this system: {why}")]
    NotAvailable {
        /// Which source.
        what: &'static str,
        /// What was looked for.
        why: String,
    },
}

/// A sink that several threads share; locked for each call, never while a source waits for the target.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Box<dyn Sink>>>);

impl Shared {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }
}

impl Sink for Shared {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        locked(&self.0).declare(spec)
    }
    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        locked(&self.0).sample(lane, at, value);
    }
    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        locked(&self.0).histogram(lane, from, to, cells);
    }
    fn event(&mut self, event: SourceEvent) {
        locked(&self.0).event(event);
    }
    fn note(&mut self, source: &str, text: &str) {
        locked(&self.0).note(source, text);
    }
    fn remark(&mut self, source: &str, text: &str) {
        locked(&self.0).remark(source, text);
    }
    fn instance(&mut self, short: &str, whole: &str) -> String {
        locked(&self.0).instance(short, whole)
    }
}

/// A thread that panicked leaves the data as it was; there is nothing half-done in it.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line about what was attached; a source that comes to see more replaces it.
#[derive(Clone, Default)]
pub(crate) struct About(Arc<Mutex<String>>);

impl About {
    fn set(&self, line: String) {
        *locked(&self.0) = line;
    }
}

impl From<String> for About {
    fn from(line: String) -> Self {
        Self(Arc::new(Mutex::new(line)))
    }
}

/// The threads of one attachment. Dropping it stops them without waiting.
pub struct Attached {
    about: About,
    crew: Crew,
    stacks: Option<stacks::Stacks>,
    lack: Option<Lack>,
}

/// Says what a source still lacks, if anything.
type Lack = Box<dyn Fn() -> Option<String> + Send + Sync>;

impl Attached {
    fn new(about: impl Into<About>, crew: Crew) -> Self {
        Self { about: about.into(), crew, stacks: None, lack: None }
    }

    fn lacking(mut self, lack: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.lack = Some(Box::new(lack));
        self
    }

    fn sampling(mut self, stacks: stacks::Stacks) -> Self {
        self.stacks = Some(stacks);
        self
    }

    /// Where the CPU of what is attached goes, if this source samples it; it still grows.
    #[must_use]
    pub fn stacks(&self) -> Option<&stacks::Stacks> {
        self.stacks.as_ref()
    }

    /// What was attached and what it cannot see, one line, as far as it is known by now.
    #[must_use]
    pub fn about(&self) -> String {
        locked(&self.about.0).clone()
    }

    /// What it waits for to this moment, one line for the report at the end: who is attached and has told nothing is not healthy.
    #[must_use]
    pub fn lack(&self) -> Option<String> {
        self.lack.as_ref().and_then(|lack| lack())
    }

    /// Asks all threads to end; returns at once.
    pub fn stop(&self) {
        self.crew.stop();
    }

    /// Stops and waits for at most `grace`; true if all threads have ended. One that is still inside a
    /// request then ends by itself when that times out, two seconds at most.
    #[must_use]
    pub fn join(self, grace: Duration) -> bool {
        self.crew.stop();
        let begin = MonoNs::now();
        loop {
            if locked(&self.crew.0.threads).iter().all(JoinHandle::is_finished) {
                return true;
            }
            if MonoNs::now().since(begin) >= grace {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.crew.stop();
    }
}

/// The threads of one attachment and the word that ends them.
#[derive(Clone, Default)]
pub(crate) struct Crew(Arc<CrewState>);

#[derive(Default)]
struct CrewState {
    stopped: Mutex<bool>,
    wake: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Crew {
    /// Polls `source` on a thread of its own until stopped; remarks it if the system gives no thread.
    pub(crate) fn run(&self, mut source: impl Source + 'static, mut sink: Shared) {
        let crew = self.clone();
        let mut notes = sink.clone();
        let source_name = source.name().to_owned();
        let name = format!("dyno-{source_name}");
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let mut due = MonoNs::now();
            loop {
                // Who attached it has read it, or there is nothing yet to be told: the first turn has its time, too.
                let now = MonoNs::now();
                due = next_turn(due, source.period(), now);
                crew.wait(due.since(now));
                if crew.stopped() {
                    return;
                }
                // What a target says must not end a run; should it ever, the others go on, and it is said which one ended.
                let polled = std::panic::catch_unwind(AssertUnwindSafe(|| source.poll(&mut sink)));
                if polled.is_err() {
                    sink.remark(source.name(), "ended by a fault of dyno's own; what it told before stays");
                    return;
                }
                if source.is_over() {
                    return;
                }
            }
        });
        match thread {
            Ok(thread) => {
                let mut threads = locked(&self.0.threads);
                // One that has ended keeps its stack for as long as it is kept.
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
            }
            Err(e) => notes.remark(&source_name, &format!("not started, the system gives no thread: {e}")),
        }
    }

    fn stopped(&self) -> bool {
        *locked(&self.0.stopped)
    }

    fn stop(&self) {
        *locked(&self.0.stopped) = true;
        self.0.wake.notify_all();
    }

    fn wait(&self, for_: Duration) {
        let stopped = locked(&self.0.stopped);
        drop(self.0.wake.wait_timeout_while(stopped, for_, |s| !*s));
    }
}

/// When the next turn is, after one that was due at `due` and is over `now`. Kept on its grid; turns that a slow target cost are left out, not made
/// up for: there is half a period at least between two, or else what came in between would be told as if it had come at once.
fn next_turn(due: MonoNs, period: Duration, now: MonoNs) -> MonoNs {
    let period = period.as_nanos() as u64;
    MonoNs((due.0 + period.max(1_000_000)).max(now.0 + period / 2))
}

pub use agent::attach as attach_agent;
pub use agreement::Agreement;
pub use host::attach as attach_host;
pub use jvm::{attach as attach_jvm, check as check_jvm};
pub use metrics::{attach as attach_metrics, look_for as look_for_metrics};
pub use naming::Naming;
pub use otlp::attach as attach_otlp;
pub use place::shown;
pub use postgres::attach as attach_postgres;
pub use precedence::{Precedence, Rank};
pub use process::attach_served;
pub use rabbitmq::attach as attach_rabbitmq;
pub use redis::attach as attach_redis;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::testing::Keeping;
    use super::*;

    /// Once an hour.
    struct Seldom(Arc<AtomicBool>);

    impl Source for Seldom {
        fn name(&self) -> &str {
            "seldom"
        }

        fn period(&self) -> Duration {
            Duration::from_secs(3_600)
        }

        fn poll(&mut self, _: &mut dyn Sink) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn turns_are_kept_on_a_grid_and_never_follow_each_other_at_once() {
        let ms = |n: u64| MonoNs(n * 1_000_000);
        let next = |over| next_turn(ms(1_000), Duration::from_millis(100), ms(over));
        assert_eq!([1_000, 1_003, 1_050].map(next), [ms(1_100); 3]);
        // Late by so much that the next one was due by now, or would be in a moment.
        assert_eq!([1_099, 1_100, 1_300].map(next), [ms(1_149), ms(1_150), ms(1_350)]);
        assert_eq!(next_turn(ms(1), Duration::ZERO, ms(1)), ms(2));
        assert_eq!(next_turn(ms(1), Duration::ZERO, ms(60)), ms(60), "it is always due");
    }

    #[test]
    fn the_first_turn_comes_a_period_after_attaching() {
        let polled = Arc::new(AtomicBool::new(false));
        let crew = Crew::default();
        crew.run(Seldom(Arc::clone(&polled)), Shared::new(Box::new(Keeping::default())));
        std::thread::sleep(Duration::from_millis(100));
        assert!(Attached::new(String::new(), crew).join(Duration::from_secs(10)));
        assert!(!polled.load(Ordering::Relaxed));
    }
}
