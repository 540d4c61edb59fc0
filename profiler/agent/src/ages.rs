//! The table of sampled blocks: which live block was sampled, how much it stands for, since when.
//!
//! Owns a fixed piece of static memory that never allocates, locks or recurses, so that it may be used
//! inside the allocator. A block is put in before its address is given out and taken out before it is
//! given back, so at any time one thread alone speaks about an address; only the reader of all slots
//! ([`Table::each`]) may see a slot in change, and then leaves it out.
//!
//! In front of the slots is a counting filter of 32 KB: a free whose cell is zero (nearly all of them)
//! needs one load to know that its block was not sampled.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// Slots of one bucket. With 4 on average (8 GiB live at 512 KiB a sample) about one bucket in a million is full.
const WAYS: usize = 16;
/// Filter cells of one bucket; a cell cannot overflow, since it counts slots of one bucket.
const CELLS: usize = 8;
/// Buckets of the real table: 65,536 slots, 2 MiB that stay untouched until they are used.
const BUCKETS: usize = 4096;
/// In place of an address: the slot is being filled. No block has this address.
const FILLING: usize = 1;

/// What is known of a sampled block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its bytes, as far as they were subject to sampling.
    pub(crate) size: u64,
    /// Bytes of the whole heap that it stands for; at least `size` when it was sampled in one piece.
    pub(crate) weight: u64,
    /// When it was allocated, ns of the monotonic clock.
    pub(crate) birth: u64,
}

#[repr(align(64))]
struct Bucket {
    address: [AtomicUsize; WAYS],
    size: [AtomicU64; WAYS],
    weight: [AtomicU64; WAYS],
    birth: [AtomicU64; WAYS],
}

impl Bucket {
    const fn new() -> Self {
        Self {
            address: [const { AtomicUsize::new(0) }; WAYS],
            size: [const { AtomicU64::new(0) }; WAYS],
            weight: [const { AtomicU64::new(0) }; WAYS],
            birth: [const { AtomicU64::new(0) }; WAYS],
        }
    }

    fn read(&self, way: usize) -> Sample {
        Sample {
            size: self.size[way].load(Ordering::Relaxed),
            weight: self.weight[way].load(Ordering::Relaxed),
            birth: self.birth[way].load(Ordering::Relaxed),
        }
    }

    /// A free slot, claimed.
    fn claim(&self) -> Option<usize> {
        self.address.iter().position(|slot| {
            slot.load(Ordering::Relaxed) == 0
                && slot.compare_exchange(0, FILLING, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }
}

/// Sampled blocks by address. `N` buckets, a power of two.
pub(crate) struct Table<const N: usize> {
    filter: [[AtomicU8; CELLS]; N],
    buckets: [Bucket; N],
    dropped: AtomicU64,
}

/// The process has one heap, hence one table.
pub(crate) static TABLE: Table<BUCKETS> = Table::new();

impl<const N: usize> Table<N> {
    /// An empty table.
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two() && N > 1, "addresses are spread by their top bits");
        Self {
            filter: [const { [const { AtomicU8::new(0) }; CELLS] }; N],
            buckets: [const { Bucket::new() }; N],
            dropped: AtomicU64::new(0),
        }
    }

    /// Bucket and filter cell of `address`.
    #[inline]
    const fn place(address: usize) -> (usize, usize) {
        // Blocks are 16 bytes apart or more. The factor is 2^64 / golden ratio; its product's top bits are well spread.
        let hash = ((address >> 4) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bits = (N * CELLS).trailing_zeros();
        let cell = (hash >> (u64::BITS - bits)) as usize;
        (cell / CELLS, cell % CELLS)
    }

    /// Puts a block in; false (and counted) if there is no room. The caller has not given `address` out yet.
    pub(crate) fn put(&self, address: usize, sample: Sample) -> bool {
        let (bucket, cell) = Self::place(address);
        let slots = &self.buckets[bucket];
        let Some(way) = slots.claim() else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        slots.size[way].store(sample.size, Ordering::Relaxed);
        slots.weight[way].store(sample.weight, Ordering::Relaxed);
        slots.birth[way].store(sample.birth, Ordering::Relaxed);
        // Whoever frees the block got its address after this, hence sees the cell.
        self.filter[bucket][cell].fetch_add(1, Ordering::Relaxed);
        slots.address[way].store(address, Ordering::Release);
        true
    }

    /// Takes a block out if it is in. The caller has not given `address` back yet.
    #[inline]
    pub(crate) fn take(&self, address: usize) -> Option<Sample> {
        let (bucket, cell) = Self::place(address);
        if self.filter[bucket][cell].load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.find(address, bucket, cell)
    }

    #[cold]
    fn find(&self, address: usize, bucket: usize, cell: usize) -> Option<Sample> {
        let slots = &self.buckets[bucket];
        let way = slots.address.iter().position(|a| a.load(Ordering::Relaxed) == address)?;
        let sample = slots.read(way);
        slots.address[way].store(0, Ordering::Release);
        self.filter[bucket][cell].fetch_sub(1, Ordering::Relaxed);
        Some(sample)
    }

    /// Every block that is in throughout the look at its slot.
    pub(crate) fn each(&self, mut see: impl FnMut(Sample)) {
        for (cells, slots) in self.filter.iter().zip(&self.buckets) {
            if cells.iter().all(|c| c.load(Ordering::Relaxed) == 0) {
                continue;
            }
            for (way, slot) in slots.address.iter().enumerate() {
                let before = slot.load(Ordering::Acquire);
                if before <= FILLING {
                    continue;
                }
                let sample = slots.read(way);
                std::sync::atomic::fence(Ordering::Acquire);
                if slot.load(Ordering::Relaxed) == before {
                    see(sample);
                }
            }
        }
    }

    /// Samples that found no room so far; sampled figures are too small by them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const fn sample(n: u64) -> Sample {
        Sample { size: n, weight: n * 2, birth: n * 3 }
    }

    fn all<const N: usize>(table: &Table<N>) -> Vec<u64> {
        let mut sizes = Vec::new();
        table.each(|s| sizes.push(s.size));
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn what_is_put_in_comes_out_once() {
        let table = Table::<4>::new();
        assert_eq!(table.take(0x1000), None);
        assert!(table.put(0x1000, sample(7)));
        assert_eq!(all(&table), [7]);
        assert_eq!(table.take(0x1000), Some(sample(7)));
        assert_eq!(table.take(0x1000), None);
        assert!(all(&table).is_empty());
    }

    #[test]
    fn a_full_table_drops_and_counts() {
        let table = Table::<2>::new();
        let put = (1..=100_u64).filter(|&n| table.put(n as usize * 16, sample(n))).count();
        assert!(put <= 2 * WAYS && put > WAYS);
        assert_eq!(table.dropped(), 100 - put as u64);
        assert_eq!(all(&table).len(), put);
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 1..200_usize), 0..400)) {
            let table = Table::<64>::new();
            let mut map = HashMap::new();
            for (n, (put, address)) in steps.into_iter().enumerate() {
                let address = address * 16;
                if put && !map.contains_key(&address) {
                    let s = sample(n as u64 + 1);
                    if table.put(address, s) {
                        map.insert(address, s);
                    }
                } else if !put {
                    prop_assert_eq!(table.take(address), map.remove(&address));
                }
            }
            let mut sizes: Vec<u64> = map.values().map(|s| s.size).collect();
            sizes.sort_unstable();
            prop_assert_eq!(all(&table), sizes);
        }
    }

    #[test]
    fn threads_that_share_a_table_do_not_lose_blocks() {
        let table = Table::<256>::new();
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..2_000_usize {
                        let address = (thread * 100_000 + round % 50 + 1) * 16;
                        let s = sample((thread * 10_000 + round) as u64);
                        assert!(table.put(address, s));
                        assert_eq!(table.take(address), Some(s));
                    }
                });
            }
            for _ in 0..200 {
                table.each(|s| assert_eq!(s.weight, s.size * 2));
            }
        });
        assert!(all(&table).is_empty());
    }
}
