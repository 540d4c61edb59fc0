//! A region: records in order of arrival, each with its key, given back all at once.

use super::arena::Arena;

/// Where a record lies in its region. Good until the region is cleared.
pub type Place = usize;

/// A region. Where jemalloc gives no arena its records lie in the heap, one by one: dearer to give back, nothing else.
pub struct Region<K> {
    blocks: Blocks,
    keys: Vec<K>,
    bytes: usize,
}

enum Blocks {
    Arena(Arena),
    Heap(Vec<Box<[u8]>>),
}

impl<K: Copy> Region<K> {
    /// Empty.
    pub fn new() -> Self {
        Self::over(Arena::create().map_or(Blocks::Heap(Vec::new()), Blocks::Arena))
    }

    fn over(blocks: Blocks) -> Self {
        Self { blocks, keys: Vec::new(), bytes: 0 }
    }

    /// Keeps a record of `key`.
    ///
    /// # Panics
    /// When there is no memory, as every allocation of this process does.
    pub fn push(&mut self, key: K, record: &[u8]) -> Place {
        match &mut self.blocks {
            Blocks::Arena(arena) => assert!(arena.push(record), "no memory for {} bytes", record.len()),
            Blocks::Heap(boxes) => boxes.push(record.into()),
        }
        self.keys.push(key);
        self.bytes += record.len();
        self.keys.len() - 1
    }

    /// The record at `place`.
    pub fn record(&self, place: Place) -> &[u8] {
        match &self.blocks {
            Blocks::Arena(arena) => arena.block(place),
            Blocks::Heap(boxes) => &boxes[place],
        }
    }

    /// Whose record lies at `place`; none beyond the last.
    pub fn key(&self, place: Place) -> Option<K> {
        self.keys.get(place).copied()
    }

    /// Bytes of all records, wanted or not.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        match &mut self.blocks {
            Blocks::Arena(arena) => arena.clear(),
            Blocks::Heap(boxes) => boxes.clear(),
        }
        self.keys.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_memory_behave_alike() {
        for mut region in [Region::new(), Region::over(Blocks::Heap(Vec::new()))] {
            for round in 0..2 {
                assert_eq!(
                    (region.push('a', b"first"), region.push('b', b""), region.push('a', b"3")),
                    (0, 1, 2)
                );
                assert_eq!(
                    (region.record(0), region.record(1), region.record(2)),
                    (&b"first"[..], &b""[..], &b"3"[..])
                );
                assert_eq!((region.key(1), region.key(3), region.bytes()), (Some('b'), None, 6), "{round}");
                region.clear();
                assert_eq!((region.key(0), region.bytes()), (None, 0));
            }
        }
    }
}
