//! Which CPU cores each side of a bundled run gets.
//!
//! Target and generator on the same core would measure each other. Where there are two cores or
//! more, the target gets the first half and the generator (with coordinator and screen) the rest.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_not_split_and_an_odd_one_goes_to_the_generator() {
        assert_eq!(split(&[0]), None);
        let three = split(&[0, 2, 5]).unwrap();
        assert_eq!((three.target.as_slice(), three.generator.as_slice()), (&[0][..], &[2, 5][..]));
        assert_eq!(three.describe(), "target on core 0, generator on cores 2, 5");
    }
}
