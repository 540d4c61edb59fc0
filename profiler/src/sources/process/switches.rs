//! Context switches: how often the threads of a process gave up their core to wait, and how often it was taken from them.
//!
//! Owns the lanes of both. The kernel counts them for each thread (`/proc/TID/status`) and for no process as a whole: `/proc/PID/status`
//! speaks of the first thread alone. What a thread counts between the last reading and its end is not seen.

use std::collections::HashMap;
use std::time::Duration;

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::{of_thread, text, threads_of};
use crate::sources::Sink;

/// Most threads that are read; of a process that has more, nothing is told. Each costs us some 20 microseconds.
const MAX_THREADS: usize = 1_024;
/// Shortest time over which a rate is worth something.
const LEAST: Duration = Duration::from_millis(500);

/// The lanes of one process, and what its threads had counted.
pub(super) struct Switches {
    before: HashMap<u32, Counts>,
    at: MonoNs,
    voluntary: Option<LaneId>,
    involuntary: Option<LaneId>,
}

impl Switches {
    /// None where the system does not count them.
    pub fn declare(pid: u32, instance: &str, sink: &mut dyn Sink) -> Option<Self> {
        let before = read(pid)?;
        let mut rate = |name: &str| sink.declare(LaneSpec::rate(name, instance, Unit::PerSecond));
        let voluntary = rate(names::PROCESS_VOLUNTARY_SWITCHES);
        let involuntary = rate(names::PROCESS_INVOLUNTARY_SWITCHES);
        Some(Self { before, at: MonoNs::now(), voluntary, involuntary })
    }

    /// Reads the threads of `pid` and hands over what they have counted since.
    pub fn tell(&mut self, pid: u32, now: MonoNs, sink: &mut dyn Sink) {
        let elapsed = now.since(self.at);
        if elapsed < LEAST {
            return;
        }
        let Some(counts) = read(pid) else { return };
        let more = grown(&self.before, &counts);
        (self.before, self.at) = (counts, now);
        for (lane, count) in [(self.voluntary, more.voluntary), (self.involuntary, more.involuntary)] {
            if let Some(lane) = lane {
                sink.sample(lane, now, count as f64 / elapsed.as_secs_f64());
            }
        }
    }
}

/// What one thread has counted since it began, or several since they were last read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    voluntary: u64,
    involuntary: u64,
}

impl Counts {
    fn parse(status: &str) -> Option<Self> {
        let of = |name: &str| -> Option<u64> {
            status.lines().find_map(|l| l.strip_prefix(name))?.trim().parse().ok()
        };
        Some(Self {
            voluntary: of("voluntary_ctxt_switches:")?,
            involuntary: of("nonvoluntary_ctxt_switches:")?,
        })
    }

    /// What has come since `before`. A number that is used again, for a new thread, counts from zero.
    fn since(self, before: Self) -> Self {
        if self.voluntary < before.voluntary || self.involuntary < before.involuntary {
            return self;
        }
        Self {
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
        }
    }
}

/// What all threads together have counted since `before`; one that was not there began since.
fn grown(before: &HashMap<u32, Counts>, now: &HashMap<u32, Counts>) -> Counts {
    now.iter().fold(Counts::default(), |all, (thread, counts)| {
        let more = counts.since(before.get(thread).copied().unwrap_or_default());
        Counts {
            voluntary: all.voluntary.saturating_add(more.voluntary),
            involuntary: all.involuntary.saturating_add(more.involuntary),
        }
    })
}

/// The counts of all threads of `pid`; none if it has none that we may see, or too many.
fn read(pid: u32) -> Option<HashMap<u32, Counts>> {
    let threads: Vec<u32> = threads_of(pid).take(MAX_THREADS + 1).collect();
    if threads.len() > MAX_THREADS {
        return None;
    }
    let one = |thread: u32| Some((thread, Counts::parse(&text(of_thread(thread, "status"))?)?));
    let counts: HashMap<u32, Counts> = threads.into_iter().filter_map(one).collect();
    (!counts.is_empty()).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(voluntary: u64, involuntary: u64) -> Counts {
        Counts { voluntary, involuntary }
    }

    #[test]
    fn counts_are_read_from_the_end_of_a_status() {
        let status = "Name:\tvoluntary_ctxt_\nThreads:\t3\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(Counts::parse(status), Some(counts(150, 545)));
        for none in [
            "",
            "Name:\tx\nThreads:\t3\n",
            "voluntary_ctxt_switches:\t150\n",
            "voluntary_ctxt_switches:\t-1\nnonvoluntary_ctxt_switches:\t5\n",
            "voluntary_ctxt_switches:\t99999999999999999999\nnonvoluntary_ctxt_switches:\t5\n",
            "voluntary_ctxt_switches:\nnonvoluntary_ctxt_switches:\n",
        ] {
            assert_eq!(Counts::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn threads_begin_and_end_and_their_numbers_are_used_again() {
        let before = HashMap::from([(1, counts(10, 1)), (2, counts(500, 50)), (3, counts(90, 9))]);
        // The second has ended, the third is another one by now, the fourth is new.
        let now = HashMap::from([(1, counts(12, 1)), (3, counts(4, 0)), (4, counts(7, 3))]);
        assert_eq!(grown(&before, &now), counts(2 + 4 + 7, 3));
        assert_eq!(
            grown(&HashMap::new(), &HashMap::from([(1, counts(u64::MAX, 0)), (2, counts(9, 0))])).voluntary,
            u64::MAX
        );
    }

    #[test]
    fn our_own_threads_are_counted_and_nobody_has_none() {
        if cfg!(target_os = "linux") {
            assert!(
                read(std::process::id()).is_some_and(|threads| threads.contains_key(&std::process::id()))
            );
        }
        assert!(read(u32::MAX).is_none());
    }
}
