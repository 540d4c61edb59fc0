//! Which CPU cores each side of a bundled run gets.
//!
//! Target and generator on the same core would measure each other. Where there are two cores or
//! more, the target gets the first half and the generator (with coordinator and screen) the rest.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::family::threads;

/// Looks for threads that are not where they belong, at most: one that is started meanwhile comes from one that is, or is seen by the next.
const MOST_LOOKS: usize = 10;

/// The split of this process's cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Cores of the target.
    pub target: Vec<usize>,
    /// Cores of the generator.
    pub generator: Vec<usize>,
}

impl Split {
    /// As a person reads it.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("target on {}, generator on {}", list(&self.target), list(&self.generator))
    }
}

fn list(cores: &[usize]) -> String {
    let names: Vec<String> = cores.iter().map(ToString::to_string).collect();
    format!("core{} {}", if cores.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// The cores that this process may use; empty where the system does not say.
#[must_use]
pub fn usable() -> Vec<usize> {
    sched_getaffinity(None)
        .map_or_else(|_| Vec::new(), |set| (0..CpuSet::MAX_CPU).filter(|&c| set.is_set(c)).collect())
}

/// Halves of `cores`; none if there is only one to share.
#[must_use]
pub fn split(cores: &[usize]) -> Option<Split> {
    (cores.len() >= 2).then(|| {
        let (target, generator) = cores.split_at(cores.len() / 2);
        Split { target: target.to_vec(), generator: generator.to_vec() }
    })
}

/// Keeps the calling thread, and every thread and process that it starts from now on, on `cores`.
/// A system that refuses leaves things as they are: the split is a help, not a need.
pub fn keep_to(cores: &[usize]) -> bool {
    sched_setaffinity(None, &set_of(cores)).is_ok()
}

/// Keeps processes that run, and whatever they start from now on, on `cores`, as far as the system lets us. They are named:
/// workers end while others go on, and are not for [`family`](crate::family::family).
pub fn keep_processes_to(pids: &[u32], cores: &[usize]) {
    let set = set_of(cores);
    let is_elsewhere = |id: Pid| sched_getaffinity(Some(id)).is_ok_and(|now| now != set);
    let moved = |id: Pid| is_elsewhere(id) && sched_setaffinity(Some(id), &set).is_ok();
    for _ in 0..MOST_LOOKS {
        let all = pids.iter().flat_map(|&pid| threads(pid));
        let ids = all.filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if ids.filter(|&id| moved(id)).count() == 0 {
            return;
        }
    }
}

fn set_of(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::family;

    #[test]
    fn one_core_is_not_split_and_an_odd_one_goes_to_the_generator() {
        assert_eq!(split(&[0]), None);
        let three = split(&[0, 2, 5]).unwrap();
        assert_eq!((three.target.as_slice(), three.generator.as_slice()), (&[0][..], &[2, 5][..]));
        assert_eq!(three.describe(), "target on core 0, generator on cores 2, 5");
    }

    #[test]
    fn processes_that_run_are_moved() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let all = family(shell.id());
        let one = usable()[..1].to_vec();
        keep_processes_to(&all, &one);
        let on = |pid: &u32| sched_getaffinity(Pid::from_raw(*pid as i32)).unwrap();
        assert!(all.len() == 2 && all.iter().all(|pid| on(pid) == set_of(&one)), "{all:?}");
        // From the last to be started on.
        for pid in all.iter().rev() {
            let _ = rustix::process::kill_process(
                Pid::from_raw(*pid as i32).unwrap(),
                rustix::process::Signal::KILL,
            );
        }
        shell.wait().unwrap();
    }
}
