//! The JVM source: the counters that HotSpot maps into a file, without agent and without flag.
//!
//! Owns when they are read and what is said of them. Where the file is belongs to `find`, its form to `perfdata`, what becomes of
//! counters to `heap` and `pauses`, who takes the place of a JVM that has ended to `successor`. Reading costs the JVM nothing: it writes into shared memory whether anybody looks or not.

mod find;
mod heap;
mod pauses;
mod perfdata;
mod successor;

use std::time::Duration;

use thiserror::Error;
use timeline::clock::unix_ms;
use timeline::lane::names;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::age::Age;
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};
use find::Data;
use heap::HeapLanes;
use pauses::{Origin, Pauses, counts_collections};
use perfdata::Counters;
pub use perfdata::PerfDataError;
use successor::Successor;

/// Name of the source.
const NAME: &str = "jvm";
/// From reading to reading: 10 Hz.
const PERIOD: Duration = Duration::from_millis(100);
/// The same when the process has ended.
const GONE_PERIOD: Duration = Duration::from_secs(2);
/// Most characters of the JVM's own words.
const WORDS: usize = 80;

/// Why a JVM cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum JvmError {
    /// There is no such process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// It keeps no such file.
    #[error(
        "process {0} keeps no /tmp/hsperfdata_USER/{0}: it is no HotSpot JVM, or runs with -XX:-UsePerfData or -XX:+PerfDisableSharedMem"
    )]
    NoData(u32),
    /// The file was there and is not any more.
    #[error("process {0} has ended")]
    Gone(u32),
    /// The system does not let us.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// Its path.
        file: String,
        /// What the system says.
        why: String,
    },
    /// Somebody else put it there.
    #[error("{0} is no plain file of the process's own user")]
    NotTheirs(String),
    /// It is too long for what it should be.
    #[error("its performance data is longer than 1 MiB")]
    TooLong,
    /// It holds something else.
    #[error("its performance data cannot be used: {0}")]
    Data(#[from] PerfDataError),
    /// It has no heap's counters.
    #[error("its performance data tells of no heap")]
    NoHeap,
}

/// Attaches the JVM that is process `pid`, and after its end the one that serves its port instead. Its instance is named `pid-PID`, as the
/// process source names it.
///
/// # Errors
/// [`AttachError::Jvm`]: there is no such process, or it is no HotSpot JVM that we may read.
pub fn attach(pid: u32, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let mut sink = Shared::new(sink);
    let mut jvm = Jvm::new(pid, &mut sink).map_err(|why| AttachError::Jvm { pid, why })?;
    jvm.successor = Successor::of(pid);
    let about = jvm.about.clone();
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(jvm, sink);
    Ok(Attached::new(about, crew))
}

/// Can the JVM that is process `pid` be read at this moment?
///
/// # Errors
/// As those of [`attach`].
pub fn check(pid: u32) -> Result<(), AttachError> {
    let heap = || -> Result<bool, JvmError> {
        let (_, counters) = Data::find(pid)?;
        Ok(HeapLanes::are_there(&counters))
    };
    let told = heap().and_then(|there| if there { Ok(()) } else { Err(JvmError::NoHeap) });
    told.map_err(|why| AttachError::Jvm { pid, why })
}

struct Jvm {
    pid: u32,
    data: Data,
    instance: String,
    about: String,
    heap: HeapLanes,
    pauses: Pauses,
    longest: Option<LaneId>,
    collecting: Option<LaneId>,
    threads: Option<LaneId>,
    age: Age,
    newest: MonoNs,
    gone: bool,
    troubles: Troubles,
    successor: Successor,
}

impl Jvm {
    fn new(pid: u32, sink: &mut dyn Sink) -> Result<Self, JvmError> {
        let (data, counters) = Data::find(pid)?;
        let now = MonoNs::now();
        let instance = format!("pid-{pid}");
        let heap = HeapLanes::declare(&counters, &instance, sink).ok_or(JvmError::NoHeap)?;
        let longest = LaneSpec::level(names::PAUSE, &instance, Unit::Ns).worst();
        let collecting = LaneSpec::rate(names::PAUSE_COLLECTING, &instance, Unit::Ratio).worst();
        Ok(Self {
            pid,
            data,
            about: about(&counters, pid, heap.generations()),
            heap,
            pauses: Pauses::new(Origin::new(&counters, now, i64::try_from(unix_ms()).unwrap_or(i64::MAX))),
            longest: sink.declare(longest),
            collecting: if counts_collections(&counters) { sink.declare(collecting) } else { None },
            threads: sink.declare(LaneSpec::level(names::RUNTIME_THREADS, &instance, Unit::Count)),
            age: Age::declare(NAME, &instance, sink),
            instance,
            newest: now,
            gone: false,
            troubles: Troubles::new(NAME),
            successor: Successor::default(),
        })
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), JvmError> {
        let begin = MonoNs::now();
        let counters = self.data.read()?;
        let end = MonoNs::now();
        self.newest = end;
        self.heap.tell(&counters, end, sink);
        let pauses = self.pauses.tell(&counters, &self.instance, begin, end, sink);
        let threads = counters.count("java.threads.live");
        for (lane, value) in
            [(self.longest, pauses.longest), (self.collecting, pauses.collecting), (self.threads, threads)]
        {
            if let (Some(lane), Some(value)) = (lane, value) {
                sink.sample(lane, end, value);
            }
        }
        Ok(())
    }

    /// Reads the JVM that serves its port instead, if there is one by now.
    fn give_way(&mut self, sink: &mut dyn Sink) {
        let Some(pid) = self.successor.find(self.pid) else { return };
        match Jvm::new(pid, sink) {
            Ok(next) => {
                sink.note(NAME, &format!("process {pid} has taken its place: {}", next.about));
                let before = std::mem::replace(self, next);
                self.successor = before.successor;
            }
            Err(why) => self.troubles.say(&format!("pid-{pid}"), &why, sink),
        }
    }
}

fn about(c: &Counters, pid: u32, generations: bool) -> String {
    let said = |name: &str, or: &str| clean(c.text(name).filter(|t| !t.is_empty()).unwrap_or(or), WORDS);
    let version = said("java.property.java.version", "unknown version");
    let heap = if generations { "heap by generation" } else { "heap without generations" };
    format!(
        "jvm {pid}: {} {version}: {heap}, pauses, safepoints, threads; pools and caches not available without a page of metrics",
        said("java.property.java.vm.name", "HotSpot")
    )
}

impl Source for Jvm {
    fn name(&self) -> &str {
        &self.instance
    }

    fn period(&self) -> Duration {
        if self.gone { GONE_PERIOD } else { PERIOD }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let result = self.read(sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
        match result {
            Ok(()) => self.troubles.over(&self.instance, sink),
            Err(e) => {
                self.gone = matches!(e, JvmError::Gone(_));
                let state = if self.gone { "gone" } else { "failing" };
                self.troubles.began(&self.instance, state, &e, sink);
                if self.gone {
                    self.give_way(sink);
                }
            }
        }
    }
}
