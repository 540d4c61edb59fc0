//! The halt: for how long a worker's load has stood still.
//!
//! Owns one clock that runs while the load is halted. Sessions look at it before each step and put off what they had
//! intended by what it has run meanwhile. Who begins and ends a halt is `release`'s business.

use std::cell::Cell;

/// The halts of a worker. Times are run time in ns.
#[derive(Debug, Default)]
pub struct Halt {
    since: Cell<Option<u64>>,
    /// How long the halts before have lasted.
    before: Cell<u64>,
}

impl Halt {
    /// Nothing starts from `now` on.
    pub fn begin(&self, now: u64) {
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
    }

    /// The halt is over; says whether there was one.
    pub fn end(&self, now: u64) -> bool {
        self.before.set(self.stood(now));
        self.since.take().is_some()
    }

    /// Does it last?
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.since.get().is_some()
    }

    /// How long the load has stood still until `now`, ns.
    #[must_use]
    pub fn stood(&self, now: u64) -> u64 {
        self.before.get() + self.since.get().map_or(0, |since| now.saturating_sub(since))
    }

    /// Has the load stood still at any time since it had for `stood` ns?
    #[must_use]
    pub fn since(&self, stood: u64) -> bool {
        self.lasts() || self.before.get() != stood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_while_it_lasts_and_only_then() {
        let halt = Halt::default();
        assert!(!halt.end(5) && !halt.since(0));
        halt.begin(10);
        halt.begin(20);
        assert_eq!((halt.lasts(), halt.stood(25), halt.since(15)), (true, 15, true));
        assert!(halt.end(30));
        assert_eq!((halt.lasts(), halt.stood(99), halt.since(20), halt.since(15)), (false, 20, false, true));
    }
}
