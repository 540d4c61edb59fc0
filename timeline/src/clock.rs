//! Time: the only file that reads a clock.
//!
//! A [`MonoNs`] is a reading of this host's `CLOCK_MONOTONIC`, which all processes of one host share
//! (a worker's, an agent's and Node.js's tracing clock are the same). A [`RunTime`] counts from the
//! start of a run and is what timeline, recording and reports speak. [`RunClock`] turns one into the
//! other; [`ClockOffset`] does it for a clock of another host, and keeps its error.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds of `CLOCK_MONOTONIC` on this host. Range: 0 to 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// Reads the clock.
    #[must_use]
    pub fn now() -> Self {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self((t.tv_sec as u64) * 1_000_000_000 + t.tv_nsec as u64)
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since the Unix epoch, for naming runs and nothing else: it can jump.
#[must_use]
pub fn unix_ms() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (t.tv_sec as u64) * 1_000 + (t.tv_nsec as u64) / 1_000_000
}

/// Nanoseconds since the start of the run. Range: 0 to 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunTime(pub u64);

impl RunTime {
    /// The start of the run.
    pub const ZERO: Self = Self(0);

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// From seconds; negative and not-a-number become zero.
    #[must_use]
    pub fn from_secs_f64(s: f64) -> Self {
        Self((s.max(0.0) * 1e9) as u64)
    }

    /// In seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// As on a clock, with tenths: `00:07.9`. Rounded down, as [`Display`](fmt::Display) does.
    #[must_use]
    pub fn tenths(self) -> String {
        format!("{self}.{}", self.as_ms() / 100 % 10)
    }

    /// `self` moved back, stopping at the start of the run.
    #[must_use]
    pub fn back(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_nanos() as u64))
    }
}

impl std::ops::Add<Duration> for RunTime {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_nanos() as u64))
    }
}

/// Minutes and seconds, `01:52`; hours in front when there are any.
impl fmt::Display for RunTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0 / 1_000_000_000;
        if s >= 3600 {
            write!(f, "{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
        } else {
            write!(f, "{:02}:{:02}", s / 60, s % 60)
        }
    }
}

/// A stretch of a run, from `start` up to but not including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant inside.
    pub start: RunTime,
    /// First instant after.
    pub end: RunTime,
}

impl Span {
    /// A span; an `end` before `start` gives an empty span at `start`.
    #[must_use]
    pub fn new(start: RunTime, end: RunTime) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Length.
    #[must_use]
    pub fn length(self) -> Duration {
        self.end.since(self.start)
    }

    /// Is `at` inside?
    #[must_use]
    pub fn contains(self, at: RunTime) -> bool {
        self.start <= at && at < self.end
    }

    /// Length of what both spans cover.
    #[must_use]
    pub fn overlap(self, other: Self) -> Duration {
        self.end.min(other.end).since(self.start.max(other.start))
    }
}

/// Turns readings of this host's monotonic clock into times of one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RunClock {
    origin: MonoNs,
}

impl RunClock {
    /// A clock whose run starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: MonoNs::now() }
    }

    /// A clock whose run started (or will start) at `origin`; all processes of a run share it.
    #[must_use]
    pub const fn with_origin(origin: MonoNs) -> Self {
        Self { origin }
    }

    /// The instant at which the run started.
    #[must_use]
    pub const fn origin(self) -> MonoNs {
        self.origin
    }

    /// The time of the run now; zero before its start.
    #[must_use]
    pub fn now(self) -> RunTime {
        self.at(MonoNs::now())
    }

    /// The time of the run at `t`; zero before its start.
    #[must_use]
    pub const fn at(self, t: MonoNs) -> RunTime {
        RunTime(t.0.saturating_sub(self.origin.0))
    }

    /// The monotonic instant of `t`.
    #[must_use]
    pub const fn mono(self, t: RunTime) -> MonoNs {
        MonoNs(self.origin.0 + t.0)
    }
}

/// How another clock relates to ours: ours = theirs + `offset_ns`, give or take `error_ns`.
///
/// Estimated from the round trip with the least duration: the other side's reading is taken to lie
/// in its middle, so half of that round trip bounds the error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Nanoseconds to add to their reading.
    pub offset_ns: i64,
    /// Bound of the error, nanoseconds.
    pub error_ns: u64,
}

impl ClockOffset {
    /// From one exchange: we asked at `sent`, they read `theirs`, we had the answer at `received`.
    #[must_use]
    pub fn from_exchange(sent: MonoNs, theirs: MonoNs, received: MonoNs) -> Self {
        let half = received.since(sent).as_nanos() as u64 / 2;
        Self { offset_ns: (sent.0 + half) as i64 - theirs.0 as i64, error_ns: half }
    }

    /// The better (smaller error) of two estimates.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        if other.error_ns < self.error_ns { other } else { self }
    }

    /// Their reading in our clock.
    #[must_use]
    pub fn to_ours(self, theirs: MonoNs) -> MonoNs {
        MonoNs((theirs.0 as i64 + self.offset_ns).max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_is_exact_for_a_symmetric_exchange() {
        let o = ClockOffset::from_exchange(MonoNs(1_000), MonoNs(50), MonoNs(1_200));
        assert_eq!(o, ClockOffset { offset_ns: 1_050, error_ns: 100 });
        assert_eq!(o.to_ours(MonoNs(50)), MonoNs(1_100));
    }

    #[test]
    fn spans_overlap_only_where_both_are() {
        let s = |a, b| Span::new(RunTime::from_ms(a), RunTime::from_ms(b));
        assert_eq!(s(0, 10).overlap(s(5, 20)), Duration::from_millis(5));
        assert_eq!(s(0, 10).overlap(s(10, 20)), Duration::ZERO);
        assert_eq!(s(10, 0), s(10, 10));
    }

    #[test]
    fn time_reads_as_on_a_clock() {
        assert_eq!(RunTime::from_ms(112_900).to_string(), "01:52");
        assert_eq!(RunTime::from_ms(3_723_000).to_string(), "1:02:03");
        assert_eq!(RunTime::from_ms(7_960).tenths(), "00:07.9");
    }
}
