//! Batches: one process's readings in the probe's form, from its first answer on.
//!
//! Owns what must be known from one answer to the next: the process behind the name, its clock, which ticks are
//! known, how many were lost. Ticks that were missed are asked for again; what the process no longer keeps is counted. How an answer
//! is fetched is the source's business, what of it may be let in is `admit`'s.

use timeline::MonoNs;
use timeline::Unit;
use timeline::clock::ClockOffset;
use timeline::probe::Batch;

use super::Sink;
use super::admit::{Admission, believable};
use super::troubles::tell;

/// How fast two clocks may drift apart: 50 parts in a million, the worst of common quartz.
const DRIFT_PPM: u64 = 50;

/// A batch with the instants around the request, for the clock offset.
pub(super) struct Answered {
    pub batch: Batch,
    pub sent: MonoNs,
    pub received: MonoNs,
}

/// What is known of one process.
pub(super) struct Batches {
    source: &'static str,
    instance: String,
    attached: MonoNs,
    process: Option<Process>,
    seq: u64,
    lost: u64,
    clock: Option<Clock>,
    admission: Admission,
    said_refused: usize,
}

/// Whose ticks they are.
#[derive(Clone, Copy)]
struct Process {
    pid: u32,
    /// When its ticks began, by its clock; 0 where it does not say.
    began: u64,
}

impl Process {
    fn of(batch: &Batch) -> Self {
        Self { pid: batch.pid, began: batch.began }
    }

    /// In a container each process has the id 1: then only its beginning tells it from the one before.
    fn is(self, other: Self) -> bool {
        let said = self.began > 0 && other.began > 0;
        self.pid == other.pid && (!said || self.began == other.began)
    }
}

/// The best offset so far and when it was measured.
#[derive(Clone, Copy)]
struct Clock {
    offset: ClockOffset,
    at: MonoNs,
}

impl Clock {
    /// The better of the known estimate, with its drift, and a new one. Clocks that cannot be told
    /// apart are one clock: processes of one host share it, and then nothing need be moved.
    fn better(known: Option<Self>, new: ClockOffset, at: MonoNs) -> Self {
        let new = Self { offset: new, at };
        let Some(known) = known else { return new };
        let drift = at.since(known.at).as_nanos() as u64 / 1_000_000 * DRIFT_PPM;
        if new.offset.error_ns <= known.offset.error_ns.saturating_add(drift) { new } else { known }
    }

    fn to_ours(self, theirs: u64) -> MonoNs {
        if self.is_ours() { MonoNs(theirs) } else { self.offset.to_ours(MonoNs(theirs)) }
    }

    fn is_ours(self) -> bool {
        self.offset.offset_ns.unsigned_abs() <= self.offset.error_ns
    }
}

impl Batches {
    /// Of `instance` as `source` sees it; nothing from before `attached` is taken.
    pub fn new(source: &'static str, instance: &str, attached: MonoNs) -> Self {
        Self {
            source,
            instance: instance.to_owned(),
            attached,
            process: None,
            seq: 0,
            lost: 0,
            clock: None,
            admission: Admission::new(instance),
            said_refused: 0,
        }
    }

    /// The newest tick that is known: what to ask after.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Takes an answer in; gives the time of its newest tick.
    ///
    /// # Errors
    /// What is wrong with the whole of it, as a sentence.
    pub fn take(&mut self, answered: Answered, sink: &mut dyn Sink) -> Result<Option<MonoNs>, String> {
        let Answered { batch, sent, received } = answered;
        if !believable(batch.now.0) {
            return Err("its clock reads a century of uptime".to_owned());
        }
        let process = Process::of(&batch);
        if self.process.is_some_and(|known| !known.is(process)) {
            self.restarted(process, sink);
            return Ok(None); // its ticks count from 1 again: ask anew
        }
        self.measure_clock(ClockOffset::from_exchange(sent, batch.now, received), received, process, sink);
        self.count_lost(batch.lost, sink);
        self.admission.lanes(batch.lanes, sink);
        let Some(clock) = self.clock else { return Ok(None) };
        let mut newest = None;
        for tick in batch.ticks {
            if tick.seq <= self.seq {
                continue;
            }
            self.seq = tick.seq;
            if believable(tick.at) {
                let at = clock.to_ours(tick.at);
                if at < self.attached {
                    continue; // from before we looked: no part of this run
                }
                newest = newest.max(Some(MonoNs(at.0.min(received.0))));
            }
            self.admission.tick(tick, &|t| clock.to_ours(t), received, sink);
        }
        self.say_refused(sink);
        Ok(newest)
    }

    /// Whoever answers counts its ticks from 1 again, and numbers its lanes anew.
    pub fn begin_anew(&mut self) {
        self.seq = 0;
        self.admission.restart();
    }

    fn restarted(&mut self, process: Process, sink: &mut dyn Sink) {
        self.process = Some(process);
        self.clock = None;
        self.begin_anew();
        tell(self.source, &self.instance, "restarted", sink);
        let text = format!("{}: another process is behind the name now (pid {})", self.instance, process.pid);
        sink.note(self.source, &text);
    }

    fn measure_clock(&mut self, offset: ClockOffset, at: MonoNs, process: Process, sink: &mut dyn Sink) {
        let first = self.clock.is_none();
        let clock = Clock::better(self.clock, offset, at);
        self.clock = Some(clock);
        self.process = Some(process);
        if first {
            let error = Unit::Ns.show(clock.offset.error_ns as f64);
            let how = if clock.is_ours() {
                format!("shares our clock (told apart to {error})")
            } else {
                format!(
                    "clock {} from ours, give or take {error}",
                    Unit::Ns.show(clock.offset.offset_ns as f64)
                )
            };
            sink.note(self.source, &format!("{} (pid {}): {how}", self.instance, process.pid));
        }
    }

    /// Says the total each time it doubles.
    fn count_lost(&mut self, lost: u64, sink: &mut dyn Sink) {
        // A first look may well come when the agent has run for longer than it keeps ticks.
        if lost == 0 || self.seq == 0 {
            return;
        }
        let before = self.lost;
        self.lost = self.lost.saturating_add(lost);
        if before == 0 || self.lost / 2 >= before {
            let text = format!("{}: {} ticks lost, asked for too late", self.instance, self.lost);
            sink.note(self.source, &text);
        }
    }

    fn say_refused(&mut self, sink: &mut dyn Sink) {
        if self.admission.refused.len() > self.said_refused {
            self.said_refused = self.admission.refused.len();
            let reasons: Vec<&str> = self.admission.refused.keys().copied().collect();
            sink.note(self.source, &format!("{}: not taken: {}", self.instance, reasons.join("; ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use timeline::probe::{Tick, VERSION};

    use super::*;
    use crate::sources::testing::Keeping;

    /// Tick `seq` of a process that began then.
    fn answered(began: u64, seq: u64) -> Answered {
        let at = MonoNs(60_000_000_000);
        let batch = Batch {
            version: VERSION,
            instance: "shop-0".to_owned(),
            pid: 1,
            began,
            now: at,
            lanes: Vec::new(),
            ticks: vec![Tick { seq, at: at.0, ..Tick::default() }],
            lost: 0,
        };
        Answered { batch, sent: at, received: at }
    }

    #[test]
    fn a_process_with_the_id_of_the_one_before_is_read_from_its_first_tick() {
        let (mut batches, mut told) = (Batches::new("agent", "shop-0", MonoNs(1)), Keeping::default());
        let mut asks_after = |began: u64, seq: u64| {
            batches.take(answered(began, seq), &mut told).unwrap();
            batches.seq()
        };
        assert_eq!((asks_after(5, 40), asks_after(5, 41)), (40, 41));
        assert_eq!((asks_after(9, 1), asks_after(9, 1)), (0, 1), "it is asked anew");
        // Who does not say when it began is known by its id alone.
        assert_eq!((asks_after(0, 2), asks_after(7, 3)), (2, 3));
        assert_eq!(told.events.len(), 1, "restarted once");
    }
}
