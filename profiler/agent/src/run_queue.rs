//! How long a thread was ready to run and got no core.
//!
//! Owns the reading of the scheduler's own count, for a thread that looks at itself. It tells a process that was stopped
//! (it was not ready) or was at work (it had a core) from one whose core was taken (it was ready). What that says of a pause is
//! for those who judge pauses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread::ThreadId;

/// The wait of whichever thread calls.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    /// Whose file it is: the system's name for "this thread" is resolved when it is opened.
    file: Option<(ThreadId, File)>,
    last: u64,
}

impl RunQueue {
    /// Nanoseconds since the last call on the same thread. Nothing on the first call of a thread, and on systems that do not
    /// count it: then every pause counts in full.
    pub(crate) fn waited(&mut self) -> u64 {
        let me = std::thread::current().id();
        if self.file.as_ref().is_none_or(|f| f.0 != me) {
            self.file = File::open("/proc/thread-self/schedstat").ok().map(|f| (me, f));
            self.last = self.read().unwrap_or(0);
            return 0;
        }
        let Some(total) = self.read() else { return 0 };
        total.saturating_sub(std::mem::replace(&mut self.last, total))
    }

    /// The second of three numbers: time on a core, time waiting for one, turns.
    fn read(&self) -> Option<u64> {
        let mut text = [0; 96];
        let n = self.file.as_ref()?.1.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..n]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::RunQueue;
    use std::sync::{Arc, Mutex};

    #[test]
    fn another_thread_begins_anew() {
        let queue = Arc::new(Mutex::new(RunQueue::default()));
        assert_eq!(queue.lock().unwrap().waited(), 0);
        let there = Arc::clone(&queue);
        let first = std::thread::spawn(move || there.lock().unwrap().waited()).join().unwrap();
        assert_eq!(first, 0, "what this thread waited before is nobody's");
    }
}
