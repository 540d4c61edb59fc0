//! Young and old: where each key's record lies, promotion, and compaction in one go or in steps.

use std::collections::HashMap;
use std::hash::Hash;

use timeline::MonoNs;

use super::space::{Place, Region};

/// Records copied between two looks at the clock: a few microseconds' worth.
const BETWEEN_LOOKS: usize = 16;

/// Records by key, in two generations.
pub struct Generations<K> {
    index: HashMap<K, At>,
    young: Region<K>,
    /// Promoted records go to `old[into]`. The other one is empty, or being emptied by a compaction.
    old: [Region<K>; 2],
    into: usize,
    /// How far a compaction has come in the region that it empties.
    emptied: Option<Place>,
    /// The young region is collected when it holds this much, bytes.
    young_limit: usize,
    /// Bytes of the old records that somebody's key still points to.
    old_wanted: usize,
    promoted: u64,
}

#[derive(Clone, Copy, PartialEq)]
struct At {
    region: Which,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Which {
    Young,
    Old(usize),
}

/// How much lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of the young region, wanted or not.
    pub young: usize,
    /// Bytes of the old region, and of the one that is being emptied, wanted or not.
    pub old: usize,
    /// Bytes of the old records that nobody wants any more, or that have been copied already.
    pub old_garbage: usize,
    /// Bytes promoted so far.
    pub promoted: u64,
    /// Keys.
    pub records: usize,
}

impl<K: Copy + Eq + Hash> Generations<K> {
    /// Empty; the young region is collected whenever it reaches `young_limit` bytes.
    pub fn new(young_limit: usize) -> Self {
        Self {
            index: HashMap::new(),
            young: Region::new(),
            old: [Region::new(), Region::new()],
            into: 0,
            emptied: None,
            young_limit,
            old_wanted: 0,
            promoted: 0,
        }
    }

    /// Puts the record of `key` in the place of the one it had.
    pub fn put(&mut self, key: K, record: &[u8]) {
        self.remove(key);
        let place = self.young.push(key, record);
        self.index.insert(key, At { region: Which::Young, place });
        if self.young.bytes() >= self.young_limit {
            self.collect_young();
        }
    }

    /// The record of `key`.
    pub fn get(&self, key: K) -> Option<&[u8]> {
        let at = self.index.get(&key)?;
        Some(self.region(at.region).record(at.place))
    }

    /// The record of `key` is wanted no more; says whether there was one.
    pub fn remove(&mut self, key: K) -> bool {
        let Some(at) = self.index.remove(&key) else { return false };
        if at.region != Which::Young {
            self.old_wanted -= self.region(at.region).record(at.place).len();
        }
        true
    }

    /// How much lies where.
    pub fn figures(&self) -> Figures {
        let old = self.old.iter().map(Region::bytes).sum();
        Figures {
            young: self.young.bytes(),
            old,
            old_garbage: old - self.old_wanted,
            promoted: self.promoted,
            records: self.index.len(),
        }
    }

    /// Is a compaction under way, or would one give back more than a quarter of the old region? Less is not worth the
    /// copying of the rest.
    pub fn wants_compaction(&self) -> bool {
        let Figures { old, old_garbage, .. } = self.figures();
        self.emptied.is_some() || old_garbage * 4 > old
    }

    /// Compacts the old region in one go, however long that takes.
    pub fn compact_all(&mut self) {
        self.compact(None);
    }

    /// Goes on with the compaction of the old region, or begins one, until `deadline` and no longer; true when it is
    /// done. Records can be read, put and removed between the steps.
    pub fn compact_step(&mut self, deadline: MonoNs) -> bool {
        self.compact(Some(deadline))
    }

    fn compact(&mut self, deadline: Option<MonoNs>) -> bool {
        let mut place = match self.emptied {
            Some(place) => place,
            None => {
                self.into = 1 - self.into;
                0
            }
        };
        let from = 1 - self.into;
        while let Some(key) = self.old[from].key(place) {
            self.move_if_wanted(key, At { region: Which::Old(from), place });
            place += 1;
            if place.is_multiple_of(BETWEEN_LOOKS) && deadline.is_some_and(|at| MonoNs::now() >= at) {
                self.emptied = Some(place);
                return false;
            }
        }
        self.old[from].clear();
        self.emptied = None;
        true
    }

    /// What is wanted of the young region becomes old; the rest is given back.
    fn collect_young(&mut self) {
        let mut place = 0;
        while let Some(key) = self.young.key(place) {
            if let Some(bytes) = self.move_if_wanted(key, At { region: Which::Young, place }) {
                self.promoted += bytes as u64;
                self.old_wanted += bytes;
            }
            place += 1;
        }
        self.young.clear();
    }

    /// Copies the record at `from` to the old region if it is still that of `key`; gives its length.
    fn move_if_wanted(&mut self, key: K, from: At) -> Option<usize> {
        let at = self.index.get_mut(&key).filter(|at| **at == from)?;
        let [first, second] = &mut self.old;
        let (into, other) = if self.into == 0 { (first, second) } else { (second, first) };
        let source = if from.region == Which::Young { &self.young } else { other };
        let record = source.record(from.place);
        *at = At { region: Which::Old(self.into), place: into.push(key, record) };
        Some(record.len())
    }

    fn region(&self, which: Which) -> &Region<K> {
        match which {
            Which::Young => &self.young,
            Which::Old(n) => &self.old[n],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn survivors_are_promoted_and_the_dead_are_given_back() {
        let mut all = Generations::new(10_000);
        for n in 0..95 {
            all.put(n % 10, &[n; 100]);
        }
        assert_eq!(all.figures(), Figures { young: 9_500, old: 0, old_garbage: 0, promoted: 0, records: 10 });
        for n in 95..100 {
            all.put(n % 10, &[n; 100]);
        }
        assert_eq!(
            all.figures(),
            Figures { young: 0, old: 1_000, old_garbage: 0, promoted: 1_000, records: 10 }
        );
        assert!((90..100).all(|n| all.get(n % 10) == Some(&[n; 100][..])));
        assert!(!all.wants_compaction());
        assert!((0..5).all(|n| all.remove(n)) && !all.remove(0));
        assert_eq!((all.figures().old_garbage, all.wants_compaction()), (500, true));
        all.compact_all();
        assert_eq!(
            all.figures(),
            Figures { young: 0, old: 500, old_garbage: 0, promoted: 1_000, records: 5 }
        );
        assert!(all.get(4).is_none() && all.get(5) == Some(&[95; 100][..]));
    }

    #[test]
    fn a_step_whose_time_is_over_copies_a_handful_and_the_next_goes_on() {
        let mut all = Generations::new(1);
        let records = 10 * BETWEEN_LOOKS as u32;
        for n in 0..records {
            all.put(n, &n.to_be_bytes());
        }
        let mut steps = 1;
        while !all.compact_step(MonoNs(0)) {
            steps += 1;
            // In between: one that has been copied, one that has not, and a new one.
            assert_eq!(all.get(0), Some(&0u32.to_be_bytes()[..]));
            assert_eq!(all.get(records - 1), Some(&(records - 1).to_be_bytes()[..]));
            all.put(records + steps, b"new");
        }
        assert_eq!(steps, 11);
        assert!((0..records).all(|n| all.get(n) == Some(&n.to_be_bytes()[..])));
        assert!((2..=11).all(|n| all.get(records + n) == Some(&b"new"[..])));
        assert_eq!(all.figures().old_garbage, 0);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Put(u8, Vec<u8>),
        Remove(u8),
        Step,
        All,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => (0..12u8, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(k, r)| Act::Put(k, r)),
            2 => (0..12u8).prop_map(Act::Remove),
            3 => Just(Act::Step),
            1 => Just(Act::All),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map_whatever_is_collected_in_between(acts in prop::collection::vec(act(), 0..200)) {
            let mut map = HashMap::new();
            let mut all = Generations::new(500);
            for act in acts {
                match act {
                    Act::Put(key, record) => {
                        all.put(key, &record);
                        map.insert(key, record);
                    }
                    Act::Remove(key) => prop_assert_eq!(all.remove(key), map.remove(&key).is_some()),
                    Act::Step => drop(all.compact_step(MonoNs(0))),
                    Act::All => all.compact_all(),
                }
                for key in 0..12 {
                    prop_assert_eq!(all.get(key), map.get(&key).map(Vec::as_slice));
                }
                let figures = all.figures();
                let wanted: usize = map.values().map(Vec::len).sum();
                prop_assert_eq!(figures.records, map.len());
                prop_assert!(figures.old - figures.old_garbage <= wanted);
                prop_assert!(figures.young <= 700 && figures.old + figures.young >= wanted);
            }
            while !all.compact_step(MonoNs(0)) {}
            all.compact_all();
            prop_assert_eq!(all.figures().old_garbage, 0);
        }
    }
}
