//! What the kernel says of the machine and of processes: CPU time by kind, memory.
//!
//! Owns the reading of `/proc`, and what makes a measurement contaminated. A process's CPU time is the scheduler's own, in
//! ticks of 10 ms; it counts all its threads, those that have ended too.

use std::collections::BTreeMap;
use std::fs::read_to_string;

use serde::{Deserialize, Serialize};

/// Ticks of `/proc` in a second, on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;
/// Most of the machine's CPU time that may have gone to its host, or to others on it, while something was measured. A
/// client and a target that leave the machine no idle time lose about as much as others take: 5% is half of the smallest
/// difference that any target asks for.
const OTHERS_MAX: f64 = 0.05;

/// CPU time of the whole machine, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stat {
    user: f64,
    nice: f64,
    system: f64,
    idle: f64,
    steal: f64,
}

impl Stat {
    /// Since the machine's start.
    pub fn now() -> Self {
        Self::parse(&read_to_string("/proc/stat").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let line = text.lines().find_map(|l| l.strip_prefix("cpu ")).unwrap_or_default();
        let n: Vec<f64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0.0);
        Self {
            user: at(0),
            nice: at(1),
            // Interrupts are the system's work too.
            system: at(2) + at(5) + at(6),
            idle: at(3) + at(4),
            steal: at(7),
        }
    }
}

/// What the machine did while something was measured, shares of its CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Went to its host.
    pub steal: f64,
    /// Went to niced processes.
    pub nice: f64,
    /// Nobody wanted it.
    pub idle: f64,
    /// Went to neither client nor target.
    pub others: f64,
}

impl Machine {
    /// Between two readings, of which client and target took `own_s` seconds of CPU.
    pub fn between(before: Stat, after: Stat, own_s: f64) -> Self {
        let part = |of: fn(&Stat) -> f64| of(&after) - of(&before);
        let busy = part(|s| s.user + s.nice + s.system);
        let all = (busy + part(|s| s.idle + s.steal)).max(1.0);
        Self {
            steal: part(|s| s.steal) / all,
            nice: part(|s| s.nice) / all,
            idle: part(|s| s.idle) / all,
            others: (busy - own_s * TICKS).max(0.0) / all,
        }
    }

    /// Did the host or others take so much that what was measured cannot be quoted?
    pub fn contaminated(&self) -> bool {
        self.steal > OTHERS_MAX || self.others > OTHERS_MAX
    }
}

/// CPU time, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// All of it.
    pub all_s: f64,
    /// What the kernel took of it on a process's behalf.
    pub kernel_s: f64,
}

/// CPU time of each of these processes so far.
pub type Cpu = BTreeMap<u32, Spent>;

/// Reads it; a process that is gone is left out.
pub fn cpu(pids: &[u32]) -> Cpu {
    let of = |&pid: &u32| Some((pid, cpu_of(&read_to_string(format!("/proc/{pid}/stat")).ok()?)?));
    pids.iter().filter_map(of).collect()
}

/// What was spent between two readings; what came in between counts from its start.
pub fn spent(before: &Cpu, after: &Cpu) -> Spent {
    after.iter().fold(Spent::default(), |sum, (pid, now)| {
        let then = before.get(pid).copied().unwrap_or_default();
        Spent {
            all_s: sum.all_s + now.all_s - then.all_s,
            kernel_s: sum.kernel_s + now.kernel_s - then.kernel_s,
        }
    })
}

fn cpu_of(stat: &str) -> Option<Spent> {
    // The name in brackets may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    let (user, kernel) = (ticks(11)?, ticks(12)?);
    Some(Spent { all_s: (user + kernel) / TICKS, kernel_s: kernel / TICKS })
}

/// Bytes of a field such as `RssAnon` in a process's status, over some processes.
pub fn memory(pids: &[u32], field: &str) -> f64 {
    pids.iter().filter_map(|pid| kib(&read_to_string(format!("/proc/{pid}/status")).ok()?, field)).sum()
}

/// Bytes of a field of `/proc/meminfo`.
pub fn machine_memory(field: &str) -> f64 {
    kib(&read_to_string("/proc/meminfo").unwrap_or_default(), field).unwrap_or(0.0)
}

fn kib(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// Sockets that these processes have open. Those that the kernel holds for them until they are accepted are not theirs yet.
pub fn sockets(pids: &[u32]) -> u64 {
    let is_socket = |path: std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
    };
    let of = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    pids.iter().flat_map(of).filter(|entry| is_socket(entry.path())).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_others_are_what_is_left() {
        let before = Stat::parse("cpu  100 10 50 1000 0 0 10 5 0 0\ncpu0 1 2 3\n");
        let after = Stat::parse("cpu  150 20 80 1090 10 0 15 10 0 0\n");
        let m = Machine::between(before, after, 0.75);
        // 95 busy, 100 idle, 5 stolen of 200; 75 of the busy ones are ours.
        assert_eq!((m.nice, m.idle, m.steal, m.others), (0.05, 0.5, 0.025, 0.1));
        assert!(m.contaminated());
        assert!(!Machine { others: 0.04, ..m }.contaminated());
    }

    #[test]
    fn sockets_are_counted_once_they_are_open() {
        let me = [std::process::id()];
        let before = sockets(&me);
        let _pairs: Vec<_> =
            (0..200).map(|_| std::os::unix::net::UnixStream::pair()).collect::<Result<_, _>>().unwrap();
        // Other tests of this process open and close a few of their own.
        assert!((350..450).contains(&(sockets(&me) - before)));
    }

    #[test]
    fn the_kernel_s_tables_are_read() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_of(line), Some(Spent { all_s: 3.0, kernel_s: 0.5 }));
        assert_eq!(kib("VmRSS:\t  12 kB\nRssAnon:\t    8 kB\n", "RssAnon"), Some(8192.0));
        let me = std::process::id();
        assert!(memory(&[me], "RssAnon") > 0.0 && cpu(&[me]).contains_key(&me));
        let of = |all_s, kernel_s| Spent { all_s, kernel_s };
        let (before, after) =
            (Cpu::from([(1, of(2.0, 1.0))]), Cpu::from([(1, of(3.0, 1.5)), (2, of(0.5, 0.25))]));
        assert_eq!(spent(&before, &after), of(1.5, 0.75));
    }
}
