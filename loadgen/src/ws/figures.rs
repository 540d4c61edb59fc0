//! What is counted of WebSockets: opened, closed by code, ping round trips; and of what is pushed, be it on an event
//! stream: bytes, ages.
//!
//! Owns these cells and how they travel to the coordinator; `figures` and `protocol` hold one of each.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use timeline::histogram::{Histogram, Sparse};

use crate::figures::{add, record, take};
use crate::protocol::{Numbers, put, put_sparse};

/// Most different close codes that are told apart: a target could send four thousand.
const CODES_MAX: usize = 32;
/// A close frame without a code (RFC 6455, 7.4.1).
pub const NO_CODE: u16 = 1005;
/// Lost without a close frame.
pub const LOST: u16 = 1006;
/// Stands for all codes beyond those that are told apart.
pub const OTHER_CODES: u16 = 0;

/// Cells of one worker.
#[derive(Debug, Default)]
pub struct WsFigures {
    /// Handshakes that succeeded.
    pub opened: Cell<u64>,
    /// WebSockets that ended, however.
    pub closed: Cell<u64>,
    /// Payload bytes of pushed messages.
    pub pushed_bytes: Cell<u64>,
    /// Pushed messages without a usable timestamp, where one was to be read.
    pub unstamped: Cell<u64>,
    /// Pings sent.
    pub pings: Cell<u64>,
    codes: RefCell<BTreeMap<u16, u64>>,
    /// Histograms come with their first sample: most runs have none.
    times: RefCell<Times>,
}

#[derive(Debug, Default)]
struct Times {
    push_age: Option<Box<Histogram>>,
    ping_rtt: Option<Box<Histogram>>,
}

/// A worker's totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WsCounters {
    /// Handshakes that succeeded.
    pub opened: u64,
    /// WebSockets that ended.
    pub closed: u64,
    /// Payload bytes of pushed messages.
    pub pushed_bytes: u64,
    /// Pushed messages without a usable timestamp.
    pub unstamped: u64,
    /// Pings sent.
    pub pings: u64,
    /// How many ended with which code, codes ascending; 0: all that are not listed.
    pub codes: Vec<(u16, u64)>,
}

/// What was timed within one interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WsHistograms {
    /// Read minus the message's timestamp.
    pub push_age: Sparse,
    /// Pong read minus ping written.
    pub ping_rtt: Sparse,
}

impl WsFigures {
    /// A WebSocket ended with `code`.
    pub fn close(&self, code: u16) {
        add(&self.closed, 1);
        let mut codes = self.codes.borrow_mut();
        let known = codes.len() < CODES_MAX || codes.contains_key(&code);
        *codes.entry(if known { code } else { OTHER_CODES }).or_default() += 1;
    }

    /// A pushed message was this old, ns.
    pub fn push_age(&self, ns: u64) {
        record(&mut self.times.borrow_mut().push_age, ns);
    }

    /// A ping was answered after this long, ns.
    pub fn ping_rtt(&self, ns: u64) {
        record(&mut self.times.borrow_mut().ping_rtt, ns);
    }

    /// What was timed since the last time.
    pub fn take(&self) -> WsHistograms {
        let mut times = self.times.borrow_mut();
        WsHistograms {
            push_age: take(times.push_age.as_deref_mut()),
            ping_rtt: take(times.ping_rtt.as_deref_mut()),
        }
    }

    /// The totals.
    #[must_use]
    pub fn counters(&self) -> WsCounters {
        WsCounters {
            opened: self.opened.get(),
            closed: self.closed.get(),
            pushed_bytes: self.pushed_bytes.get(),
            unstamped: self.unstamped.get(),
            pings: self.pings.get(),
            codes: self.codes.borrow().iter().map(|(&code, &n)| (code, n)).collect(),
        }
    }
}

impl WsCounters {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let totals = [self.opened, self.closed, self.pushed_bytes, self.unstamped, self.pings];
        totals.into_iter().for_each(|n| put(out, n));
        put(out, self.codes.len() as u64);
        for &(code, n) in &self.codes {
            put(out, u64::from(code));
            put(out, n);
        }
    }

    pub(crate) fn get(numbers: &mut Numbers<'_>) -> Option<Self> {
        Some(Self {
            opened: numbers.next()?,
            closed: numbers.next()?,
            pushed_bytes: numbers.next()?,
            unstamped: numbers.next()?,
            pings: numbers.next()?,
            codes: (0..numbers.count()?)
                .map(|_| Some((u16::try_from(numbers.next()?).ok()?, numbers.next()?)))
                .collect::<Option<_>>()?,
        })
    }

    /// WebSockets open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }

    /// How many ended with `code`.
    #[must_use]
    pub fn of_code(&self, code: u16) -> u64 {
        self.codes.iter().find(|(c, _)| *c == code).map_or(0, |(_, n)| *n)
    }
}

impl WsHistograms {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_sparse(out, &self.push_age);
        put_sparse(out, &self.ping_rtt);
    }

    pub(crate) fn get(numbers: &mut Numbers<'_>) -> Option<Self> {
        Some(Self { push_age: numbers.sparse()?, ping_rtt: numbers.sparse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_travel_and_codes_are_bounded() {
        let figures = WsFigures::default();
        (3000..4000).for_each(|code| figures.close(code));
        figures.ping_rtt(5_000_000);
        let (counters, times) = (figures.counters(), figures.take());
        assert_eq!((counters.closed, counters.codes.len()), (1000, CODES_MAX + 1));
        assert_eq!(counters.of_code(OTHER_CODES), 1000 - CODES_MAX as u64);
        let mut wire = Vec::new();
        counters.put(&mut wire);
        times.put(&mut wire);
        let mut numbers = Numbers(&wire);
        assert_eq!(WsCounters::get(&mut numbers), Some(counters));
        assert_eq!(WsHistograms::get(&mut numbers), Some(times));
        assert_eq!(figures.take(), WsHistograms::default());
    }
}
