//! Cells: a lane's values in consecutive columns, of which the older ones are shared between snapshots.
//!
//! An hour of five hundred lanes is 50 MB. Copied four times a second that alone would cost several per cent of a core, so a
//! snapshot owns the newest columns only.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::snapshot::Cell;

/// One cell for each column, oldest first; a gap is none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Cell>>", into = "Vec<Option<Cell>>")]
pub struct Cells {
    /// Columns that do not change any more.
    old: Arc<[Option<Cell>]>,
    /// So many of them are before the first column.
    skip: usize,
    new: Vec<Option<Cell>>,
}

impl Cells {
    /// The columns of `old` but for the first `skip` ones, then `new`.
    #[must_use]
    pub fn shared(old: Arc<[Option<Cell>]>, skip: usize, new: Vec<Option<Cell>>) -> Self {
        Self { skip: skip.min(old.len()), old, new }
    }

    /// Columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.old.len() - self.skip + self.new.len()
    }

    /// Are there no columns?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Option<Cell>> + '_ {
        self.within(0..self.len())
    }

    /// The part that `range` covers, which may be less than the range asks for.
    pub fn within(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Option<Cell>> + '_ {
        let old = &self.old[self.skip..];
        let part = |list: &'_ [Option<Cell>], before: usize| {
            let clamp = |i: usize| i.saturating_sub(before).min(list.len());
            clamp(range.start)..clamp(range.end).max(clamp(range.start))
        };
        let (first, second) = (part(old, 0), part(&self.new, old.len()));
        old[first].iter().chain(&self.new[second]).copied()
    }
}

impl From<Vec<Option<Cell>>> for Cells {
    fn from(new: Vec<Option<Cell>>) -> Self {
        Self { new, ..Self::default() }
    }
}

impl From<Cells> for Vec<Option<Cell>> {
    fn from(cells: Cells) -> Self {
        cells.iter().collect()
    }
}

impl FromIterator<Option<Cell>> for Cells {
    fn from_iter<I: IntoIterator<Item = Option<Cell>>>(iter: I) -> Self {
        iter.into_iter().collect::<Vec<_>>().into()
    }
}

/// The same columns, however they are shared.
impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_seen_as_one() {
        let cell = |v: f64| Some(Cell { min: v, max: v, last: v });
        let all: Vec<Option<Cell>> = (0..9).map(|i| (i != 4).then(|| cell(f64::from(i)).unwrap())).collect();
        let shared = Cells::shared(all[..6].into(), 2, all[6..].to_vec());
        let plain = Cells::from(all[2..].to_vec());
        assert_eq!(shared, plain);
        for range in [0..0, 0..3, 3..5, 2..99, 4..7, 9..99, 7..7] {
            let want = plain.iter().enumerate().filter(|(i, _)| range.contains(i)).map(|(_, c)| c);
            assert!(shared.within(range.clone()).eq(want), "{range:?}");
        }
        let json = serde_json::to_string(&shared).unwrap();
        assert_eq!(json, serde_json::to_string(&all[2..]).unwrap(), "the form does not change");
        assert_eq!(serde_json::from_str::<Cells>(&json).unwrap(), plain);
        assert_eq!(Cells::shared(all[..1].into(), 5, Vec::new()).len(), 0);
    }
}
