//! The index at a recording's end: where to begin reading for an instant, and where everything that must be known before it is.
//!
//! It is only for speed: without one (a killed run) the same is found by reading all blocks.

use super::codec::{put, take};
use crate::clock::RunTime;

/// At least so much of the run lies between two ticks of the index: 720 of them an hour.
const STEP_US: u64 = 5_000_000;

/// Places in a recording, bytes from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Blocks that declare something: descriptions, plans, lanes.
    pub declared: Vec<u64>,
    /// Ticks, microseconds, and the place behind each.
    pub ticks: Vec<(u64, u64)>,
}

impl Index {
    /// Notes a tick and the place behind it, unless one shortly before it was noted.
    pub(super) fn tick(&mut self, at: RunTime, behind: u64) {
        let us = at.0 / 1_000;
        if self.ticks.last().is_none_or(|(last, _)| us >= last + STEP_US) {
            self.ticks.push((us, behind));
        }
    }

    /// Where the first block stands that may speak of `at` or later; none: from the start.
    pub(super) fn place(&self, at: RunTime) -> Option<u64> {
        let i = self.ticks.partition_point(|(us, _)| us * 1_000 <= at.0);
        Some(self.ticks[i.checked_sub(1)?].1)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.declared.len() as u64);
        let mut last = 0;
        for &at in &self.declared {
            put(&mut out, at - last);
            last = at;
        }
        put(&mut out, self.ticks.len() as u64);
        let (mut us, mut at) = (0, 0);
        for &(u, a) in &self.ticks {
            put(&mut out, u - us);
            put(&mut out, a - at);
            (us, at) = (u, a);
        }
        out
    }

    pub(super) fn decode(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let mut index = Self::default();
        let mut last = 0u64;
        for _ in 0..take(body)? {
            let step = take(body)?;
            // A block that stood there twice would be read twice.
            (step > 0 || index.declared.is_empty()).then_some(())?;
            last = last.checked_add(step)?;
            index.declared.push(last);
        }
        let (mut us, mut at) = (0u64, 0u64);
        for _ in 0..take(body)? {
            us = us.checked_add(take(body)?)?;
            at = at.checked_add(take(body)?)?;
            index.ticks.push((us, at));
        }
        body.is_empty().then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_index_comes_back(declared in prop::collection::btree_set(0u64..1 << 40, 0..9), ticks in prop::collection::btree_map(0u64..1 << 40, 0u64..99, 0..9)) {
            let mut at = 0;
            let ticks = ticks.into_iter().map(|(us, step)| { at += step; (us, at) }).collect();
            let index = Index { declared: declared.into_iter().collect(), ticks };
            prop_assert_eq!(Index::decode(&index.encode()), Some(index));
        }

        #[test]
        fn foreign_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Index::decode(&body);
        }
    }

    #[test]
    fn no_block_is_declared_twice() {
        let once = Index { declared: vec![12, 90, 91], ticks: vec![(7, 95)] };
        assert_eq!(Index::decode(&once.encode()), Some(once));
        let twice = Index { declared: vec![12, 90, 90], ticks: Vec::new() };
        assert_eq!(Index::decode(&twice.encode()), None);
    }

    #[test]
    fn the_place_is_behind_the_last_tick_before() {
        let mut index = Index::default();
        for s in [1, 2, 6, 12] {
            index.tick(RunTime::from_ms(s * 1_000), s * 10);
        }
        assert_eq!(index.ticks.len(), 3, "2 s is too near to 1 s");
        let place = |ms| index.place(RunTime::from_ms(ms));
        assert_eq!(
            [place(999), place(1_000), place(11_999), place(90_000)],
            [None, Some(10), Some(60), Some(120)]
        );
    }
}
