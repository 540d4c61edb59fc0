//! Durations recorded between two ticks, in little memory and little time.
//!
//! Owns [`Tally`]: cells of the project's histogram (`timeline::histogram`), kept sparsely, so that a
//! recorder pays a short lock and one small hash step, and the tick pays for the cells in use only. A
//! full histogram takes 190 KB and some 30 us to walk; sixty routes of those ten times a second would be
//! seen in the target's CPU.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use timeline::histogram::{MAX_US, Sparse};

/// Locks; the data of a thread that panicked while holding it is still good, since each step leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Highest set bit up to which the histogram tells single microseconds apart: 3 significant digits need 2048 cells.
const EXACT_BITS: u32 = 11;

type Cells = HashMap<u32, u32, BuildHasherDefault<Mix>>;

/// Durations since the last tick.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    now: Mutex<Cells>,
    spare: Mutex<Cells>,
}

impl Tally {
    /// Records one duration of `ns` nanoseconds; below 1 us counts as that, above an hour as an hour.
    pub(crate) fn record_ns(&self, ns: u64) {
        let cell = cell_of(ns / 1_000);
        let mut cells = lock(&self.now);
        let count = cells.entry(cell).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// What was recorded since the last call.
    pub(crate) fn take(&self) -> Sparse {
        let mut spare = lock(&self.spare);
        std::mem::swap(&mut *spare, &mut *lock(&self.now));
        let mut cells: Vec<(u32, u32)> = spare.drain().collect();
        cells.sort_unstable();
        Sparse { cells }
    }
}

/// The greatest microsecond of the histogram's cell that `us` falls into.
fn cell_of(us: u64) -> u32 {
    let us = us.clamp(1, MAX_US);
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(EXACT_BITS);
    // An hour is below 2^32 us, and filling the low bits does not leave the power of two.
    (us | ((1 << shift) - 1)).min(MAX_US) as u32
}

/// A hasher for small numbers from our own clock: one multiplication.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u32(u32::from(b));
        }
    }

    fn write_u32(&mut self, n: u32) {
        // 2^64 / golden ratio; the table uses the top and the bottom bits, hence the fold.
        let m = (self.0 ^ u64::from(n)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = m ^ (m >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timeline::histogram;

    /// Start of the last cell, which reaches beyond the hour at which both forms cut, ns.
    const LONGEST_ALIKE_NS: u64 = 3_598_000_000_000;

    #[test]
    fn more_than_an_hour_is_an_hour() {
        let tally = Tally::default();
        tally.record_ns(8_000_000_000_000);
        assert_eq!(tally.take().cells, [(MAX_US as u32, 1)]);
    }

    proptest! {
        #[test]
        fn a_tally_is_the_sparse_form_of_the_histogram(ns in prop::collection::vec(0..LONGEST_ALIKE_NS, 0..60)) {
            let tally = Tally::default();
            let mut full = histogram::new();
            for &n in &ns {
                tally.record_ns(n);
                histogram::record_ns(&mut full, n);
            }
            prop_assert_eq!(tally.take(), Sparse::of(&full));
            prop_assert_eq!(tally.take(), Sparse::default());
        }
    }
}
