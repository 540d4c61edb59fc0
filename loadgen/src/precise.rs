//! The precise timer: a timerfd up to just before an instant, then looking at the clock until it has come.
//!
//! For a machine with a core to spare: while arrivals are dense the loop never sleeps. It looks at sockets between two looks
//! at the clock, so waiting delays no session. The default is tokio's wheel, whose grain is a millisecond.

#[cfg(target_os = "linux")]
pub use linux::Precise;
#[cfg(not(target_os = "linux"))]
pub use other::Precise;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// How long before the instant the timer fires, for the kernel's own lateness: its p99 with a sleeping core is
    /// 50 to 85 us.
    const AHEAD: Duration = Duration::from_micros(100);

    /// A timer of its own, on one loop.
    #[derive(Debug)]
    pub struct Precise {
        fd: AsyncFd<OwnedFd>,
    }

    impl Precise {
        /// A timer; inside a runtime only.
        ///
        /// # Errors
        /// What the system says.
        #[expect(
            deprecated,
            reason = "its successor is unsafe for descriptors that could be closed or swapped; this one is owned, and is not"
        )]
        pub fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Ok(Self { fd: AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)? })
        }

        /// Sets it to fire shortly before `left` has gone by; says no if that is so soon that only looking at the clock
        /// is exact enough.
        ///
        /// # Errors
        /// What the system says.
        pub fn set(&self, left: Duration) -> io::Result<bool> {
            let Some(sleep) = left.checked_sub(AHEAD).filter(|d| !d.is_zero()) else { return Ok(false) };
            let spec =
                |d: Duration| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: i64::from(d.subsec_nanos()) };
            let once = Itimerspec { it_interval: spec(Duration::ZERO), it_value: spec(sleep) };
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
            Ok(true)
        }

        /// Has it fired?
        pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
            loop {
                // Without its driver the runtime is about to end, and nothing is to be waited for.
                let Ok(mut guard) = ready!(self.fd.poll_read_ready(cx)) else { return Poll::Ready(()) };
                let mut count = [0; 8];
                let read = guard.try_io(|fd| Ok(rustix::io::read(fd, &mut count)?));
                if let Ok(_fired) = read {
                    return Poll::Ready(());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::task::{Context, Poll};
    use std::time::Duration;

    /// There is none here.
    #[derive(Debug)]
    pub struct Precise;

    impl Precise {
        /// # Errors
        /// Always.
        pub fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// # Errors
        /// Never.
        pub fn set(&self, _: Duration) -> io::Result<bool> {
            Ok(false)
        }

        /// At once.
        pub fn poll(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
}
