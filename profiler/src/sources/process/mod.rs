//! The process source: what the system says of the processes behind a port.
//!
//! Owns the lanes `process.*`. CPU time and memory come from `sysinfo` (Linux and macOS), descriptors
//! and threads from `/proc` where there is one; `switches` counts context switches, `throttling` knows of CPU quotas, `sampling` asks who
//! has the CPU, `joiners` finds who serves the port later. It sees no heap, pool or cache: others do, from inside.

mod joiners;
#[cfg(target_os = "linux")]
mod sampling;
mod switches;
mod throttling;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
use timeline::lane::names;
use timeline::text::plural;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::age::Age;
use super::discover::{Runtime, Served, runs};
use super::stacks::Stacks;
use super::troubles::tell;
use super::v8::BUN_OPTION;
use super::{AttachError, Attached, Crew, Shared, Sink, Source, locked};
use joiners::{Joiners, Serving};
use switches::Switches;
use throttling::Throttling;

/// What a look from outside does not show, for the end of the line that says what was attached.
pub const UNSEEN: &str = "; heap, pauses, pools and caches not available without an inspector, a JVM's counters, a metrics page or an agent";
/// Name of the source.
const NAME: &str = "process";
/// From reading to reading: 10 Hz.
const PERIOD: Duration = Duration::from_millis(100);
/// Readings from one CPU figure to the next. The kernel counts CPU time in hundredths of a second, so over
/// half a second the figure is good to 0.02 cores, over a tenth to 0.1.
const CPU_EVERY: u64 = 5;
/// From this much CPU on it is worth asking where it goes, cores.
const BUSY: f64 = 0.5;
/// Readings from one look at the limit of descriptors to the next: it hardly ever changes.
const LIMIT_EVERY: u64 = 50;
/// Readings from one count of descriptors to the next where they must be counted one by one (before Linux 6.2).
const COUNT_EVERY: u64 = 20;
/// Readings from one look at the control groups to the next: a second has ten of the kernel's periods.
const THROTTLED_EVERY: u64 = 10;
/// Readings from one count of context switches to the next, and for how many threads: of twice as many they are counted half as often, so that it
/// takes under a hundredth of a core.
const SWITCHES_EVERY: u64 = 10;
const SWITCHES_THREADS: u64 = 256;
/// Most processes that are watched at a time: as many as have their inspector attached.
const MAX_PROCESSES: usize = 64;
/// Most of them in all: each has ten lanes, and a run has room for 5,000.
const MAX_EVER: usize = 192;
/// Most bytes of one of the kernel's files; the longest, that of the mounts, has some 200 for each of them.
const MAX_TEXT: u64 = 1 << 20;

/// Attaches the processes of `served`, which may be none yet, and those that come to serve its port later; `unseen` ends the line that says what was
/// attached: [`UNSEEN`] where nothing else looks inside.
///
/// # Errors
/// [`AttachError::NotAvailable`]: this system tells nothing of processes.
pub fn attach_served(served: &Served, unseen: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let system = System::new().map_err(|e| AttachError::NotAvailable { what: NAME, why: e.to_string() })?;
    let mut sink = Shared::new(sink);
    let first = served.processes.iter().take(MAX_PROCESSES);
    let watched: Vec<Watched> =
        first.map(|p| Watched::new(&format!("pid-{}", p.pid), p.pid, &mut sink)).collect();
    let crew = Crew::default();
    let (busy, stacks) = (Busy::default(), Stacks::default());
    #[cfg(target_os = "linux")]
    let sampled = {
        // Where nobody is there, we are one by whom it can be told whether the system allows it.
        let anybody = watched.is_empty().then(std::process::id);
        sampling::begin(watched.iter().map(|w| w.pid).chain(anybody), &busy, &stacks, &crew, &sink)
    };
    #[cfg(not(target_os = "linux"))]
    let sampled = "";
    let what = format!("port {}", served.port);
    let mut about = format!("process of {what}: {}{sampled}", seen(&watched));
    if served.hidden > 0 {
        about += &format!(
            "; {} of that port, of processes that we may not see",
            plural(served.hidden, "further socket")
        );
    }
    about += unseen;
    if !unseen.is_empty() && served.processes.iter().any(|p| p.runtime == Runtime::Bun) {
        about += &format!(
            "; Bun's heap and loop are told by an inspector whose path is known: start it with {BUN_OPTION}"
        );
    }
    if served.processes.len() > watched.len() {
        about +=
            &format!("; {} not watched", plural(served.processes.len() - watched.len(), "further process"));
    }
    sink.note(NAME, &about);
    let age = Age::declare(NAME, &what, &mut sink);
    let known = watched.iter().map(|w| w.pid).collect();
    let processes = Processes::new(system, watched, busy, age, served.port);
    crew.run(Joiners::new(served.port, processes.serving.clone(), known), sink.clone());
    let vain = Arc::clone(&processes.vain);
    crew.run(processes, sink);
    Ok(Attached::new(about, crew).sampling(stacks).lacking(move || locked(&vain).clone()))
}

/// Which processes they are, and what is seen of them.
fn seen(watched: &[Watched]) -> String {
    if watched.is_empty() {
        return "nobody at first, of who comes to serve it: CPU, memory, descriptors, threads".to_owned();
    }
    let pids: Vec<String> = watched.iter().map(|p| p.pid.to_string()).collect();
    let switches = if watched.iter().any(|p| p.switches.is_some()) { ", context switches" } else { "" };
    let throttling = if watched.iter().any(|p| p.throttling.is_some()) { ", throttling" } else { "" };
    format!("pid {}: CPU, memory, descriptors, threads{switches}{throttling}", pids.join(", "))
}

/// Processes that have much of a core, and their names, until somebody samples them.
type Busy = Arc<Mutex<BTreeMap<u32, String>>>;

/// While nobody is watched: that one waits in vain, for the end of the run.
type Vain = Arc<Mutex<Option<String>>>;

struct Processes {
    port: u16,
    system: System,
    processes: Vec<Watched>,
    /// Who serves the port, as far as that was looked at since the last turn.
    serving: Serving,
    busy: Busy,
    vain: Vain,
    /// How many have been watched so far.
    ever: usize,
    /// Was it said that there are too many?
    full: bool,
    turn: u64,
    /// When any of them was last seen.
    newest: MonoNs,
    age: Age,
}

impl Processes {
    fn new(system: System, processes: Vec<Watched>, busy: Busy, age: Age, port: u16) -> Self {
        let (ever, serving, newest) = (processes.len(), Serving::default(), MonoNs::now());
        let nobody = processes.is_empty().then(|| format!("{NAME}: nobody has come to serve port {port}"));
        let vain = Arc::new(Mutex::new(nobody));
        Self { port, system, processes, serving, busy, vain, ever, full: false, turn: 0, newest, age }
    }

    /// Watches those who have begun to serve the port.
    fn join(&mut self, sink: &mut dyn Sink) {
        let serving = std::mem::take(&mut *locked(&self.serving));
        for pid in serving {
            // One that has ended since it was looked at is not told of once more.
            let known = self.processes.iter().any(|p| p.pid == pid);
            if known || !runs(pid) {
                continue;
            }
            if self.processes.len() >= MAX_PROCESSES || self.ever >= MAX_EVER {
                self.turn_away(pid, sink);
                return;
            }
            self.ever += 1;
            self.processes.push(Watched::new(&format!("pid-{pid}"), pid, sink));
            sink.note(NAME, &format!("process {pid} has come to serve the port and is watched"));
        }
    }

    fn turn_away(&mut self, pid: u32, sink: &mut dyn Sink) {
        if !std::mem::replace(&mut self.full, true) {
            sink.remark(
                NAME,
                &format!(
                    "process {pid} serves the port, too, and is not watched: of no more than {MAX_PROCESSES} at a time and {MAX_EVER} in all the lanes are kept"
                ),
            );
        }
    }

    /// Says that none is left, each time when it comes to that.
    fn tell_who_is_left(&self, sink: &mut dyn Sink) {
        let mut vain = locked(&self.vain);
        if !self.processes.is_empty() {
            *vain = None;
        } else if vain.is_none() {
            *vain = Some(format!(
                "{NAME}: those that served port {} have ended, and nobody was found who serves it since",
                self.port
            ));
            drop(vain);
            let text = format!(
                "none of those that served port {} is left: who comes to serve it is watched from then on",
                self.port
            );
            sink.note(NAME, &text);
        }
    }

    /// Is it the turn to count context switches?
    fn counts_switches(&self) -> bool {
        let threads: u64 = self.processes.iter().map(|p| p.threads).sum();
        self.turn.is_multiple_of(SWITCHES_EVERY * (1 + threads / SWITCHES_THREADS))
    }
}

struct Watched {
    name: String,
    pid: u32,
    lanes: Lanes,
    /// Instant and CPU milliseconds of the last figure.
    cpu: Option<(MonoNs, u64)>,
    /// Second since the epoch at which it started: a process id is used again.
    started: Option<u64>,
    /// How many threads it had last.
    threads: u64,
    switches: Option<Switches>,
    throttling: Option<Throttling>,
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
        Self {
            name: name.to_owned(),
            pid,
            lanes,
            cpu: None,
            started: None,
            threads: 0,
            switches: Switches::declare(pid, name, sink),
            throttling: Throttling::declare(pid, name, sink),
            gone: false,
        }
    }

    /// Hands its figures over, and says how many cores it has, 0 where that was not looked at; none if it has ended.
    fn read(&mut self, system: &System, turn: u64, now: MonoNs, sink: &mut dyn Sink) -> Option<f64> {
        let process = system.process(Pid::from_u32(self.pid));
        let Some(process) = process.filter(|process| !has_ended(process.status())) else {
            self.ended(sink);
            return None;
        };
        if *self.started.get_or_insert(process.start_time()) != process.start_time() {
            self.ended(sink);
            return None;
        }
        let mut give = |lane: Option<LaneId>, value: Option<f64>| {
            if let (Some(lane), Some(value)) = (lane, value) {
                sink.sample(lane, now, value);
            }
        };
        give(self.lanes.resident, Some(process.memory() as f64));
        let mut cores = None;
        if turn.is_multiple_of(CPU_EVERY) {
            let used = process.accumulated_cpu_time();
            cores = self.cpu.map(|(then, before)| {
                used.saturating_sub(before) as f64 / 1e3 / now.since(then).as_secs_f64().max(1e-3)
            });
            self.cpu = Some((now, used));
            give(self.lanes.cpu, cores);
        }
        give(self.lanes.descriptors, descriptors(self.pid, turn));
        let threads = threads(self.pid);
        self.threads = threads.unwrap_or_default() as u64;
        give(self.lanes.threads, threads);
        if turn.is_multiple_of(LIMIT_EVERY) {
            give(self.lanes.limit, descriptor_limit(self.pid));
        }
        if let Some(throttling) = self.throttling.as_mut().filter(|_| turn.is_multiple_of(THROTTLED_EVERY)) {
            throttling.tell(now, sink);
        }
        Some(cores.unwrap_or(0.0))
    }

    fn ended(&mut self, sink: &mut dyn Sink) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        sink.remark(NAME, &format!("{}: process {} has ended", self.name, self.pid));
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
        self.join(sink);
        let alive: Vec<Pid> = self.processes.iter().map(|p| Pid::from_u32(p.pid)).collect();
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&alive), true, what);
        let now = MonoNs::now();
        let counts_switches = self.counts_switches();
        for process in &mut self.processes {
            if let Some(cores) = process.read(&self.system, self.turn, now, sink) {
                self.newest = now;
                if cores >= BUSY {
                    locked(&self.busy).insert(process.pid, process.name.clone());
                }
                if let Some(switches) = process.switches.as_mut().filter(|_| counts_switches) {
                    switches.tell(process.pid, now, sink);
                }
            }
        }
        self.processes.retain(|p| !p.gone);
        self.tell_who_is_left(sink);
        // Of those who have gone nothing is awaited.
        if self.processes.is_empty() {
            self.newest = now;
        }
        // Of nothing that was ever there nothing is old.
        if self.ever > 0 {
            self.age.tell(self.newest, now, sink);
        }
        self.turn += 1;
    }
}

/// One whose parent has not looked yet is still there, with no memory and no CPU: that is no idle process.
fn has_ended(status: ProcessStatus) -> bool {
    matches!(status, ProcessStatus::Zombie | ProcessStatus::Dead)
}

/// One of the kernel's files. Names of processes and threads in it may be no UTF-8.
fn text(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a thread (by the id of a process: its main one) has had of the CPU so far, ns; zero where the kernel has the file and does not count.
pub(super) fn cpu_ns(thread: u32) -> Option<u64> {
    text(of_thread(thread, "schedstat"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// The threads of a process; none of one that is gone.
fn threads_of(pid: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// One of the kernel's files on a thread: below `/proc` itself, where threads are not listed and are found all the same. Whoever reaps a process of
/// which files below `/proc/PID/task` were read may be busy with that for seconds (Linux 6.18, all on one core: `wait4` in `shrink_dcache_parent`).
fn of_thread(thread: u32, file: &str) -> PathBuf {
    format!("/proc/{thread}/{file}").into()
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
    let stat = text(format!("/proc/{pid}/stat"))?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(17)?.parse().ok()
}

fn descriptor_limit(pid: u32) -> Option<f64> {
    let limits = text(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sources::testing::Keeping;

    #[test]
    fn who_joins_is_watched_once_and_too_many_are_said_once() {
        let mut sink = Keeping::default();
        let age = Age::declare(NAME, "port 1", &mut sink);
        let mut processes = Processes::new(System::new().unwrap(), Vec::new(), Busy::default(), age, 1);
        processes.poll(&mut sink);
        assert!(sink.values.is_empty(), "nothing was ever there that could be old: {:?}", sink.values);
        assert!(locked(&processes.vain).is_some());
        // Nobody has this number, so who has it has ended since.
        let offered = [std::process::id(), u32::MAX];
        for _ in 0..3 {
            locked(&processes.serving).extend(offered);
            processes.poll(&mut sink);
        }
        assert_eq!(sink.notes.len(), 1, "{:?}", sink.notes);
        assert_eq!((processes.processes.len(), processes.ever), (1, 1));
        assert_eq!(*locked(&processes.vain), None);
        processes.processes.clear();
        processes.ever = MAX_EVER;
        for _ in 0..3 {
            locked(&processes.serving).extend(offered);
            processes.poll(&mut sink);
        }
        assert!(processes.processes.is_empty());
        assert_eq!((sink.notes.len(), sink.remarks.len()), (2, 1), "{:?} {:?}", sink.notes, sink.remarks);
        assert!(sink.notes[1].starts_with("none of those that served port 1 is left"), "{:?}", sink.notes);
    }

    #[test]
    fn one_that_has_ended_and_was_not_reaped_is_told_as_ended_and_has_no_figures() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let mut sink = Keeping::default();
        let age = Age::declare(NAME, "port 1", &mut sink);
        let watched = vec![Watched::new("pid-x", pid, &mut sink)];
        let mut processes = Processes::new(System::new().unwrap(), watched, Busy::default(), age, 1);
        processes.poll(&mut sink);
        assert!(sink.values.len() > 1 && sink.remarks.is_empty(), "{:?}", sink.remarks);
        child.kill().unwrap();
        // Its parent is us.
        while runs(pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
        sink.values.clear();
        processes.poll(&mut sink);
        assert_eq!(sink.remarks, [format!("pid-x: process {pid} has ended")]);
        assert_eq!(sink.values.len(), 1, "an age and nothing else: {:?}", sink.values);
        assert!(processes.processes.is_empty());
        child.wait().unwrap();
    }
}
