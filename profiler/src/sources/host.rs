//! The host source: CPU of the whole machine, in use and stolen, its run queue, and what its TCP had to drop or to send again.
//!
//! Owns the lanes `host.*`: CPU and run queue from `/proc/stat`, TCP from `net_counters`. Where there is none
//! (macOS) it is not available. What a stolen core means for a run is the detectors' to say.

use std::fs;
use std::time::Duration;

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::age::Age;
use super::net_counters::NetCounters;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};

/// Name of the source and of the lanes' instance.
const NAME: &str = "host";
/// From reading to reading: 2 Hz; on two cores that is 100 ticks of the kernel's counter, a resolution of 1%.
const PERIOD: Duration = Duration::from_millis(500);
/// Ticks below which a share is worth nothing.
const LEAST_TICKS: u64 = 20;
const STAT: &str = "/proc/stat";

/// Watches this machine.
///
/// # Errors
/// [`AttachError::NotAvailable`]: the system has no `/proc/stat`.
pub fn attach(sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let first = Counters::read().map_err(|why| AttachError::NotAvailable { what: NAME, why })?;
    let mut sink = Shared::new(sink);
    let share = |name| LaneSpec::level(name, NAME, Unit::Ratio).worst();
    let host = Host {
        before: first,
        cpu: sink.declare(share(names::HOST_CPU)),
        steal: sink.declare(share(names::HOST_STEAL)),
        cores: sink.declare(LaneSpec::level(names::HOST_CORES, NAME, Unit::Count).worst()),
        queue: first
            .running
            .and_then(|_| sink.declare(LaneSpec::level(names::HOST_RUN_QUEUE, NAME, Unit::Count).worst())),
        count: first.cores,
        net: NetCounters::read().map(|first| Net::new(first, &mut sink)),
        newest: MonoNs::now(),
        age: Age::declare(NAME, NAME, &mut sink),
    };
    let queue = if host.queue.is_some() { ", run queue" } else { "" };
    let tcp = if host.net.is_some() { "; connections dropped, segments sent again" } else { "" };
    let about = format!("host: CPU in use and stolen{queue}{tcp}");
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(host, sink);
    Ok(Attached::new(about, crew))
}

struct Host {
    before: Counters,
    cpu: Option<LaneId>,
    steal: Option<LaneId>,
    cores: Option<LaneId>,
    queue: Option<LaneId>,
    count: u64,
    net: Option<Net>,
    newest: MonoNs,
    age: Age,
}

impl Host {
    /// Who runs or waits now, and shares since the last ones, if there are any to be had.
    fn cpu(&mut self, sink: &mut dyn Sink) {
        let (Ok(counters), now) = (Counters::read(), MonoNs::now()) else { return };
        if let (Some(lane), Some(running)) = (self.queue, counters.running) {
            sink.sample(lane, now, running as f64);
        }
        let Some((cpu, stolen)) = counters.shares_since(self.before) else { return };
        self.before = counters;
        self.newest = now;
        for (lane, value) in [(self.cpu, cpu), (self.steal, stolen), (self.cores, self.count as f64)] {
            if let Some(lane) = lane {
                sink.sample(lane, now, value);
            }
        }
    }
}

/// What TCP counts, where the system tells it.
struct Net {
    before: (MonoNs, NetCounters),
    overflows: Option<LaneId>,
    drops: Option<LaneId>,
    retransmits: Option<LaneId>,
}

impl Net {
    fn new(first: NetCounters, sink: &mut dyn Sink) -> Self {
        let mut rate = |name| sink.declare(LaneSpec::rate(name, NAME, Unit::PerSecond));
        Self {
            before: (MonoNs::now(), first),
            overflows: rate(names::HOST_LISTEN_OVERFLOWS),
            drops: rate(names::HOST_LISTEN_DROPS),
            retransmits: rate(names::HOST_RETRANSMITS),
        }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let (Some(counters), now) = (NetCounters::read(), MonoNs::now()) else { return };
        let (then, before) = std::mem::replace(&mut self.before, (now, counters));
        let seconds = now.since(then).as_secs_f64().max(1e-3);
        let lanes = [
            (self.overflows, counters.overflows, before.overflows),
            (self.drops, counters.drops, before.drops),
            (self.retransmits, counters.retransmits, before.retransmits),
        ];
        for (lane, now_is, was) in lanes {
            if let Some(lane) = lane {
                sink.sample(lane, now, now_is.saturating_sub(was) as f64 / seconds);
            }
        }
    }
}

/// Ticks since boot, and who runs or waits for a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    all: u64,
    idle: u64,
    stolen: u64,
    cores: u64,
    /// Threads that are runnable: on a core, or waiting for one. The reading one is on a core.
    running: Option<u64>,
}

impl Counters {
    fn read() -> Result<Self, String> {
        let text = fs::read_to_string(STAT).map_err(|e| format!("{STAT}: {e}"))?;
        Self::parse(&text).ok_or_else(|| {
            format!("{STAT} does not begin with a line of the form `cpu user nice system idle ...`")
        })
    }

    /// `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guests are part of user and nice.
    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_ascii_whitespace()
            .take(8)
            .map_while(|w| w.parse().ok())
            .collect();
        let at = |i: usize| numbers.get(i).copied().unwrap_or(0);
        let core = |l: &&str| {
            l.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cores = text.lines().filter(core).count() as u64;
        let running = text.lines().find_map(|l| l.strip_prefix("procs_running ")?.trim().parse().ok());
        let (all, idle) = (numbers.iter().sum(), at(3) + at(4));
        (numbers.len() >= 4).then_some(Self { all, idle, stolen: at(7), cores, running })
    }

    /// Share in use and share stolen since `before`; none if hardly any tick has passed.
    fn shares_since(self, before: Self) -> Option<(f64, f64)> {
        let all = self.all.checked_sub(before.all).filter(|&d| d >= LEAST_TICKS)? as f64;
        let idle = self.idle.saturating_sub(before.idle) as f64;
        let stolen = self.stolen.saturating_sub(before.stolen) as f64;
        Some(((1.0 - (idle + stolen) / all).clamp(0.0, 1.0), (stolen / all).clamp(0.0, 1.0)))
    }
}

impl Source for Host {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        if let Some(net) = &mut self.net {
            net.poll(sink);
        }
        self.cpu(sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_that_passed() {
        let a = Counters::parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\nintr 5").unwrap();
        assert_eq!(a.cores, 1);
        let b = Counters::parse("cpu  160 0 120 790 110 0 0 20 0 0\n").unwrap();
        assert_eq!(b.shares_since(a), Some((0.4, 0.1)));
        assert_eq!(b.shares_since(b), None);
        assert_eq!(Counters::parse("intr 5"), None);
    }

    #[test]
    fn the_run_queue_is_a_number_or_not_told() {
        let running = |line: &str| Counters::parse(&format!("cpu  1 2 3 4\n{line}\n")).unwrap().running;
        assert_eq!(running("procs_running 7\nprocs_blocked 1"), Some(7));
        for none in
            ["procs_blocked 1", "procs_running", "procs_running many", "procs_running 99999999999999999999"]
        {
            assert_eq!(running(none), None, "{none}");
        }
    }
}
