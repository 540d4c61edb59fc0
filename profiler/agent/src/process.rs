//! The process as the operating system sees it.
//!
//! Owns the lanes `process.*`. CPU is read each tick; the rest twice a second, since it costs file
//! look-ups. What a system does not tell (threads and descriptors off Linux) is not declared.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Draft, LaneNo};

/// Ticks between readings of everything but CPU: 2 Hz.
const SLOW_TICKS: u32 = 5;
/// Descriptors of this process, on Linux.
const DESCRIPTORS: &str = "/proc/self/fd";
/// Threads of this process, on Linux.
const STATUS: &str = "/proc/self/status";

/// The lanes of the process.
pub(crate) struct Process {
    system: Option<System>,
    pid: Option<Pid>,
    cpu_ns: u64,
    ticks: u32,
    cpu: Option<LaneNo>,
    resident: Option<LaneNo>,
    descriptors: Option<LaneNo>,
    limit: Option<LaneNo>,
    threads: Option<LaneNo>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            system: System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            cpu_ns: cpu_ns(),
            ticks: 0,
            cpu: None,
            resident: None,
            descriptors: None,
            limit: None,
            threads: None,
        }
    }

    fn resident(&mut self) -> Option<u64> {
        let (pid, system) = (self.pid?, self.system.as_mut()?);
        let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        system.process(pid).map(sysinfo::Process::memory)
    }

    fn slow(&mut self, draft: &mut Draft<'_>) {
        let resident = self.resident();
        tell(draft, &mut self.resident, level(names::PROCESS_RESIDENT, Unit::Bytes), resident);
        tell(draft, &mut self.descriptors, level(names::PROCESS_DESCRIPTORS, Unit::Count), descriptors());
        let limit = getrlimit(Resource::Nofile).current;
        tell(draft, &mut self.limit, level(names::PROCESS_DESCRIPTOR_LIMIT, Unit::Count).worst(), limit);
        tell(draft, &mut self.threads, level(names::PROCESS_THREADS, Unit::Count), threads());
    }
}

impl Collect for Process {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        let cpu = cpu_ns();
        let lane =
            *self.cpu.get_or_insert_with(|| draft.lanes.declare(level(names::PROCESS_CPU, Unit::Cores)));
        draft.level(lane, cpu.saturating_sub(self.cpu_ns) as f64 / draft.elapsed_ns as f64);
        self.cpu_ns = cpu;
        if self.ticks.is_multiple_of(SLOW_TICKS) {
            self.slow(draft);
        }
        self.ticks = self.ticks.wrapping_add(1);
    }
}

fn level(name: &str, unit: Unit) -> LaneSpec {
    LaneSpec::level(name, "", unit)
}

/// Tells a value if there is one; the lane is declared with its first.
fn tell(draft: &mut Draft<'_>, lane: &mut Option<LaneNo>, spec: LaneSpec, value: Option<u64>) {
    if let Some(value) = value {
        let lane = *lane.get_or_insert_with(|| draft.lanes.declare(spec));
        draft.level(lane, value as f64);
    }
}

/// CPU time of all threads so far, ns. Not a clock that tells when: it stands still while the process does.
fn cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    (t.tv_sec as u64) * 1_000_000_000 + t.tv_nsec as u64
}

/// Open descriptors. Linux tells their number as the directory's size since 6.2; before, they are counted,
/// which takes milliseconds where there are tens of thousands.
fn descriptors() -> Option<u64> {
    match rustix::fs::stat(DESCRIPTORS).ok()?.st_size {
        size if size > 0 => u64::try_from(size).ok(),
        // Counting opens the directory itself, which is not the target's.
        _ => Some((fs::read_dir(DESCRIPTORS).ok()?.count() as u64).saturating_sub(1)),
    }
}

fn threads() -> Option<u64> {
    let status = fs::read_to_string(STATUS).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Threads:"))?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_one_descriptor_more() {
        let before = descriptors().unwrap();
        let files: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = descriptors().unwrap();
        drop(files);
        // Other tests open and close files at the same time.
        assert!((80..=120).contains(&(after - before)), "{before} -> {after}");
    }

    #[test]
    fn work_takes_cpu_and_a_process_has_threads() {
        let before = cpu_ns();
        let mut x = 1_u64;
        while cpu_ns() - before < 5_000_000 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(threads().unwrap() >= 1);
    }
}
