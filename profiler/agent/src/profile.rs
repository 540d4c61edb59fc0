//! A CPU profile on demand: where the target's threads spend their time, as stacks.
//!
//! Owns one run of the profiler at a time, its bounds, and its two forms: pprof's protobuf and a flame
//! graph. Samples are taken by a signal (SIGPROF) 99 times per second of CPU, and unwound by tables, so
//! that no frame pointers are needed.
//!
//! What keeps the target safe: no unwinding out of libraries whose code may hold the loader's or
//! allocator's locks ([`NEVER_UNWOUND`]), and the unwinder's tables are loaded ahead of the first real
//! sample ([`warm_up`]), since loading allocates, which a signal handler must not.
//!
//! The first profile leaves tables of the profiler and names of symbols on the heap for good, once: some
//! 80 MB in this crate's own test, no more with later ones. The heap's lanes show it as a step of that
//! size, as any memory of the process; who judges a run should take no profile in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use pprof::protos::Message;
use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report};
use timeline::clock::MonoNs;

use crate::threads::Stop;

/// Seconds of a profile where none are asked for.
pub(crate) const DEFAULT_SECONDS: u64 = 5;
/// Longest profile, seconds.
pub(crate) const MOST_SECONDS: u64 = 30;
/// Samples per second of CPU; not 100, so that it does not run in step with periodic work.
const FREQUENCY: i32 = 99;
/// Samples per second while warming up; the first would come after a second of CPU, long after the end.
const WARM_UP_FREQUENCY: i32 = 1;
/// Libraries in which a sample is skipped: the unwinder might need what they hold.
const NEVER_UNWOUND: [&str; 5] = ["libc", "libgcc", "pthread", "vdso", "ld-linux"];

/// One profile at a time: the timer and the signal belong to the process.
static BUSY: AtomicBool = AtomicBool::new(false);
/// The unwinder has its tables.
static WARM: AtomicBool = AtomicBool::new(false);

/// In which form a profile is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// pprof's protobuf, not compressed.
    Pprof,
    /// A flame graph.
    Svg,
}

impl Format {
    /// As HTTP names it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Pprof => "application/octet-stream",
            Self::Svg => "image/svg+xml",
        }
    }
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// Another one is being taken.
    #[error("a profile is being taken already")]
    Busy,
    /// The process used no CPU, or only inside libraries that are never unwound.
    #[error("no samples: {0}")]
    Empty(&'static str),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
    /// The profiler could not work.
    #[error("the profiler failed: {0}")]
    Profiler(#[from] pprof::Error),
    /// The signal could not be raised.
    #[error("the profiler's signal failed: {0}")]
    Signal(#[from] nix::Error),
    /// The profile could not be written down.
    #[error("the profile could not be encoded: {0}")]
    Encode(String),
}

/// Gives the turn back when dropped.
struct Turn;

impl Turn {
    fn take() -> Result<Self, ProfileError> {
        BUSY.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| Self)
            .map_err(|_| ProfileError::Busy)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

/// Profiles the process for `length`; must run on one of the agent's threads, which it blocks.
pub(crate) fn take(length: Duration, format: Format, stop: &Stop) -> Result<Vec<u8>, ProfileError> {
    let _turn = Turn::take()?;
    warm_up()?;
    let guard = begin(FREQUENCY)?;
    let until = MonoNs(MonoNs::now().0 + length.as_nanos() as u64);
    if !stop.sleep_until(until) {
        return Err(ProfileError::Stopping);
    }
    let report = guard.report().build();
    drop(guard);
    encode(&report?, format)
}

fn begin(frequency: i32) -> Result<ProfilerGuard<'static>, ProfileError> {
    Ok(ProfilerGuardBuilder::default().frequency(frequency).blocklist(&NEVER_UNWOUND).build()?)
}

/// Has the signal handler run once on this thread, which is known to be outside of the allocator, so that
/// the tables that it loads at first use are there when it interrupts any other.
fn warm_up() -> Result<(), ProfileError> {
    if WARM.load(Ordering::Acquire) {
        return Ok(());
    }
    // Without a block list: this one sample is taken inside `raise`, in libc.
    let guard = ProfilerGuardBuilder::default().frequency(WARM_UP_FREQUENCY).build()?;
    raise(Signal::SIGPROF)?;
    drop(guard);
    WARM.store(true, Ordering::Release);
    Ok(())
}

fn encode(report: &Report, format: Format) -> Result<Vec<u8>, ProfileError> {
    if report.data.is_empty() {
        return Err(ProfileError::Empty(
            "the process used too little CPU, or all of it inside system libraries",
        ));
    }
    // A stack without frames has no name to show; pprof gives such ones where its unwinder fails.
    if report.data.keys().all(|stack| stack.frames.is_empty()) {
        return Err(ProfileError::Empty("no stack could be unwound"));
    }
    let mut bytes = Vec::new();
    match format {
        Format::Pprof => {
            report.pprof()?.encode(&mut bytes).map_err(|e| ProfileError::Encode(e.to_string()))?
        }
        Format::Svg => report.flamegraph(&mut bytes)?,
    }
    Ok(bytes)
}
