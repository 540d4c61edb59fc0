//! The process source: what the system says of the processes behind a port.
//!
//! Owns the lanes `process.*`. CPU time and memory come from `sysinfo` (Linux and macOS), descriptors
//! and threads from `/proc` where there is one. It sees no heap, pool or cache: that takes an agent.

use std::fs;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::age::Age;
use super::discover::{Served, discover};
use super::troubles::tell;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};

/// Name of the source.
const NAME: &str = "process";
/// From reading to reading: 10 Hz.
const PERIOD: Duration = Duration::from_millis(100);
/// Readings from one CPU figure to the next. The kernel counts CPU time in hundredths of a second, so over
/// half a second the figure is good to 0.02 cores, over a tenth to 0.1.
const CPU_EVERY: u64 = 5;
/// Readings from one look at the limit of descriptors to the next: it hardly ever changes.
const LIMIT_EVERY: u64 = 50;
/// Readings from one count of descriptors to the next where they must be counted one by one (before Linux 6.2).
const COUNT_EVERY: u64 = 20;

/// Attaches the processes that serve `port` of this machine.
///
/// # Errors
/// [`AttachError::Process`]: nobody listens there, we may not see who, or this system does not tell.
pub fn attach(port: u16, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let served = discover(port)?;
    attach_served(&served, "; heap, pauses, pools and caches not available without an agent", sink)
}

/// Attaches the processes of `served`; `unseen` ends the line that says what was attached.
///
/// # Errors
/// [`AttachError::NotAvailable`]: this system tells nothing of processes.
pub fn attach_served(served: &Served, unseen: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let named: Vec<(String, u32)> =
        served.processes.iter().map(|p| (format!("pid-{}", p.pid), p.pid)).collect();
    let hidden = if served.hidden > 0 {
        format!("; {} further socket(s) of that port belong to processes that we may not see", served.hidden)
    } else {
        String::new()
    };
    start(&named, &format!("port {}", served.port), &format!("{hidden}{unseen}"), sink)
}

/// Attaches processes whose ids are known; `named` holds the name of each instance and its process id.
///
/// # Errors
/// [`AttachError::NotAvailable`]: this system tells nothing of processes.
pub fn attach_pids(named: &[(String, u32)], sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    start(named, "known processes", "; heap, pauses, pools and caches not available without an agent", sink)
}

fn start(
    named: &[(String, u32)],
    what: &str,
    unseen: &str,
    sink: Box<dyn Sink>,
) -> Result<Attached, AttachError> {
    let system = System::new().map_err(|e| AttachError::NotAvailable { what: NAME, why: e.to_string() })?;
    let mut sink = Shared::new(sink);
    let pids: Vec<String> = named.iter().map(|(_, pid)| pid.to_string()).collect();
    let about =
        format!("process of {what}: pid {}: CPU, memory, descriptors, threads{unseen}", pids.join(", "));
    sink.note(NAME, &about);
    let processes = named.iter().map(|(name, pid)| Watched::new(name, *pid, &mut sink)).collect();
    let age = Age::declare(NAME, what, &mut sink);
    let crew = Crew::default();
    crew.run(Processes { system, processes, turn: 0, newest: MonoNs::now(), age }, sink);
    Ok(Attached::new(about, crew))
}

struct Processes {
    system: System,
    processes: Vec<Watched>,
    turn: u64,
    /// When any of them was last seen.
    newest: MonoNs,
    age: Age,
}

struct Watched {
    name: String,
    pid: u32,
    lanes: Lanes,
    /// Instant and CPU milliseconds of the last figure.
    cpu: Option<(MonoNs, u64)>,
    /// Second since the epoch at which it started: a process id is used again.
    started: Option<u64>,
    gone: bool,
}

struct Lanes {
    cpu: Option<LaneId>,
    resident: Option<LaneId>,
    descriptors: Option<LaneId>,
    limit: Option<LaneId>,
    threads: Option<LaneId>,
}

impl Watched {
    fn new(name: &str, pid: u32, sink: &mut dyn Sink) -> Self {
        let mut level = |lane: &str, unit| sink.declare(LaneSpec::level(lane, name, unit));
        let lanes = Lanes {
            cpu: level(names::PROCESS_CPU, Unit::Cores),
            resident: level(names::PROCESS_RESIDENT, Unit::Bytes),
            descriptors: level(names::PROCESS_DESCRIPTORS, Unit::Count),
            limit: sink.declare(LaneSpec::level(names::PROCESS_DESCRIPTOR_LIMIT, name, Unit::Count).worst()),
            threads: sink.declare(LaneSpec::level(names::PROCESS_THREADS, name, Unit::Count)),
        };
        Self { name: name.to_owned(), pid, lanes, cpu: None, started: None, gone: false }
    }

    /// Hands its figures over; false if it has ended.
    fn read(&mut self, system: &System, turn: u64, now: MonoNs, sink: &mut dyn Sink) -> bool {
        let Some(process) = system.process(Pid::from_u32(self.pid)) else {
            self.ended(sink);
            return false;
        };
        if *self.started.get_or_insert(process.start_time()) != process.start_time() {
            self.ended(sink);
            return false;
        }
        let mut give = |lane: Option<LaneId>, value: Option<f64>| {
            if let (Some(lane), Some(value)) = (lane, value) {
                sink.sample(lane, now, value);
            }
        };
        give(self.lanes.resident, Some(process.memory() as f64));
        if turn.is_multiple_of(CPU_EVERY) {
            let used = process.accumulated_cpu_time();
            let cores = self.cpu.map(|(then, before)| {
                used.saturating_sub(before) as f64 / 1e3 / now.since(then).as_secs_f64().max(1e-3)
            });
            self.cpu = Some((now, used));
            give(self.lanes.cpu, cores);
        }
        give(self.lanes.descriptors, descriptors(self.pid, turn));
        give(self.lanes.threads, threads(self.pid));
        if turn.is_multiple_of(LIMIT_EVERY) {
            give(self.lanes.limit, descriptor_limit(self.pid));
        }
        true
    }

    fn ended(&mut self, sink: &mut dyn Sink) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        sink.note(NAME, &format!("{}: process {} has ended", self.name, self.pid));
        tell(NAME, &self.name, "gone", sink);
    }
}

impl Source for Processes {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let alive: Vec<Pid> =
            self.processes.iter().filter(|p| !p.gone).map(|p| Pid::from_u32(p.pid)).collect();
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&alive), true, what);
        let now = MonoNs::now();
        for process in self.processes.iter_mut().filter(|p| !p.gone) {
            if process.read(&self.system, self.turn, now, sink) {
                self.newest = now;
            }
        }
        self.age.tell(self.newest, now, sink);
        self.turn += 1;
    }
}

/// Open descriptors. Since Linux 6.2 the directory's size is their number; before, they are counted.
fn descriptors(pid: u32, turn: u64) -> Option<f64> {
    let dir = format!("/proc/{pid}/fd");
    let size = fs::metadata(&dir).ok()?.len();
    if size > 0 {
        return Some(size as f64);
    }
    turn.is_multiple_of(COUNT_EVERY).then(|| fs::read_dir(&dir).ok().map(|d| d.count() as f64)).flatten()
}

/// Threads: the 20th word of `stat`, counted from behind the name, which may hold anything.
fn threads(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(17)?.parse().ok()
}

fn descriptor_limit(pid: u32) -> Option<f64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
