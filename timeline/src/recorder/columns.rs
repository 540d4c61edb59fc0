//! Columns: what the screens' time axis shows of each lane, kept up as entries come.
//!
//! A column is one second of the run. Levels and rates keep minimum, maximum and last of each
//! instance; histograms are merged over instances, and a column's percentiles are read from the
//! merged cells (never from percentiles). Only columns of which something is known take room: one
//! lane may speak of a run's first second and of its last one, and of nothing between.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cells::Cells;
use crate::clock::RunTime;
use crate::histogram::Sparse;
use crate::lane::Combine;
use crate::snapshot::{COLUMN_NS, Cell, HeatColumn, heat_row};

/// Columns of an instance that are kept together: where all are known, finding one costs little, and where few are, the others take little.
const TOGETHER: usize = 8;
/// Histogram columns older than this keep their cell only; nothing that late is expected.
const OPEN_COLUMNS: usize = 30;

/// The column that `at` lies in.
pub(super) fn column_of(at: RunTime) -> usize {
    (at.0 / COLUMN_NS) as usize
}

/// One instance's levels or rates.
#[derive(Debug, Default)]
pub(super) struct Levels(BTreeMap<usize, Box<[Option<Cell>; TOGETHER]>>);

impl Levels {
    /// Takes a sample in.
    pub(super) fn add(&mut self, at: RunTime, value: f64) {
        let i = column_of(at);
        let cell = &mut self.0.entry(i / TOGETHER).or_default()[i % TOGETHER];
        *cell = Some(match *cell {
            None => Cell { min: value, max: value, last: value },
            Some(c) => Cell { min: c.min.min(value), max: c.max.max(value), last: value },
        });
    }

    /// What is known of the columns from `first` to before `end`, in order.
    fn between(&self, first: usize, end: usize) -> impl Iterator<Item = (usize, Cell)> {
        let stretches = self.0.range(first / TOGETHER..end.max(first).div_ceil(TOGETHER));
        let columns = stretches.flat_map(|(i, cells)| (i * TOGETHER..).zip(cells.iter()));
        columns.filter(move |(i, _)| (first..end).contains(i)).filter_map(|(i, cell)| Some((i, (*cell)?)))
    }
}

/// Cells of several instances as one lane's, for the columns from `first` to before `end`.
pub(super) fn combine(levels: &[&Levels], how: Combine, first: usize, end: usize) -> Vec<Option<Cell>> {
    // Instance after instance over whole stretches of columns: this runs over an hour of hundreds of lanes, once a minute.
    let mut out: Vec<Option<Cell>> = vec![None; end.saturating_sub(first)];
    for instance in levels {
        for (i, cell) in instance.between(first, end) {
            let own = &mut out[i - first];
            *own = Some(own.map_or(cell, |others| both(others, cell, how)));
        }
    }
    out
}

fn both(a: Cell, b: Cell, how: Combine) -> Cell {
    match how {
        Combine::Max => Cell { min: a.min.max(b.min), max: a.max.max(b.max), last: a.last.max(b.last) },
        Combine::Sum | Combine::Merge => {
            Cell { min: a.min + b.min, max: a.max + b.max, last: a.last + b.last }
        }
    }
}

/// One histogram lane over all instances and subjects.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<usize, MergedColumn>);

#[derive(Debug, Default)]
struct MergedColumn {
    cells: BTreeMap<u32, u64>,
    closed: Option<HeatColumn>,
}

impl Merged {
    /// Takes an interval in; it belongs to the column in which it starts.
    pub(super) fn add(&mut self, at: RunTime, sparse: &Sparse) {
        let i = column_of(at);
        let column = self.0.entry(i).or_default();
        if column.closed.is_none() {
            for &(value, count) in &sparse.cells {
                *column.cells.entry(value).or_default() += u64::from(count);
            }
        }
        // Close what nothing can come for any more; usually exactly one column.
        let Some(old) = i.checked_sub(OPEN_COLUMNS) else { return };
        for (_, column) in self.0.range_mut(..=old).rev() {
            if column.closed.is_some() {
                break;
            }
            column.closed = Some(column.read());
            column.cells = BTreeMap::new();
        }
    }

    /// Rows and percentiles of the columns from `first` to before `end`; none where nothing was recorded.
    pub(super) fn heat(&self, first: usize, end: usize) -> Vec<Option<HeatColumn>> {
        self.each(first, end, HeatColumn::clone)
    }

    /// The same as a lane's cells: least is the median, last the p99.
    pub(super) fn cells(&self, first: usize, end: usize) -> Vec<Option<Cell>> {
        self.each(first, end, |h| Cell { min: h.p50, max: h.max, last: h.p99 })
    }

    fn each<T>(&self, first: usize, end: usize, make: impl Fn(&HeatColumn) -> T) -> Vec<Option<T>> {
        let mut out: Vec<Option<T>> = (first..end).map(|_| None).collect();
        for (i, column) in self.0.range(first..end.max(first)) {
            out[i - first] = Some(column.closed.as_ref().map_or_else(|| make(&column.read()), &make));
        }
        out
    }
}

/// Columns of all lanes that are shared between snapshots.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// The columns from the first to before the second.
    span: (usize, usize),
    cells: BTreeMap<String, Arc<[Option<Cell>]>>,
}

/// Columns by which the shared part grows at a time: about once a minute all lanes are put together anew.
const STEP: usize = 64;

impl Old {
    /// Before the lanes of a snapshot of the columns from `first` to before `end` are asked for.
    pub(super) fn renew(&mut self, first: usize, end: usize) {
        // What may still change is not shared.
        let split = end.saturating_sub(OPEN_COLUMNS) / STEP * STEP;
        if split != self.span.1 {
            self.span = (first.min(split), split);
            self.cells.clear();
        }
    }

    /// A lane's cells; `make` puts them together for the columns from its first to before its second argument.
    pub(super) fn cells(
        &mut self,
        lane: &str,
        first: usize,
        end: usize,
        make: impl Fn(usize, usize) -> Vec<Option<Cell>>,
    ) -> Cells {
        let (from, split) = self.span;
        let old = match self.cells.get(lane) {
            Some(old) => Arc::clone(old),
            None => {
                let old: Arc<[Option<Cell>]> = make(from, split).into();
                self.cells.insert(lane.to_owned(), Arc::clone(&old));
                old
            }
        };
        Cells::shared(old, first.saturating_sub(from), make(split.max(first), end))
    }
}

impl MergedColumn {
    fn read(&self) -> HeatColumn {
        let total: u64 = self.cells.values().sum();
        let mut heat = HeatColumn::default();
        let (half, tail) = ((total as f64 * 0.5).ceil() as u64, (total as f64 * 0.99).ceil() as u64);
        let mut seen = 0;
        for (&us, &count) in &self.cells {
            let ns = f64::from(us) * 1e3;
            let row = heat_row(ns);
            if heat.rows.len() <= row {
                heat.rows.resize(row + 1, 0);
            }
            heat.rows[row] = heat.rows[row].saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            if seen < half && seen + count >= half {
                heat.p50 = ns;
            }
            if seen < tail && seen + count >= tail {
                heat.p99 = ns;
            }
            seen += count;
            heat.max = ns;
        }
        heat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_column_come_from_the_merged_cells() {
        let mut merged = Merged::default();
        merged.add(RunTime::from_ms(100), &Sparse { cells: vec![(1_000, 98)] });
        merged.add(RunTime::from_ms(900), &Sparse { cells: vec![(2_000, 1), (50_000, 1)] });
        let heat = merged.heat(0, 2);
        let column = heat[0].as_ref().unwrap();
        assert_eq!((column.p50, column.p99, column.max), (1e6, 2e6, 50e6));
        assert_eq!(column.rows.iter().sum::<u32>(), 100);
        assert!(heat[1].is_none());
    }

    #[test]
    fn old_columns_are_closed_and_keep_their_figures() {
        let mut merged = Merged::default();
        for s in 0..100 {
            merged.add(RunTime::from_ms(s * 1_000), &Sparse { cells: vec![(1_000 + s as u32, 1)] });
        }
        let heat = merged.heat(0, 100);
        assert!(heat.iter().enumerate().all(|(s, h)| h.as_ref().unwrap().max == (1_000 + s) as f64 * 1e3));
        assert!(merged.0[&0].cells.is_empty());
    }

    #[test]
    fn seconds_of_which_nothing_is_known_take_no_room() {
        let (mut levels, mut merged) = (Levels::default(), Merged::default());
        let (first, last) = (RunTime::from_ms(3_000), RunTime::from_ms(14 * 24 * 3_600_000));
        for at in [last, first] {
            levels.add(at, 1.0);
            merged.add(at, &Sparse { cells: vec![(1_000, 1)] });
        }
        assert_eq!((levels.0.len(), merged.0.len()), (2, 2));
        let end = column_of(last) + 1;
        let known = |cells: Vec<Option<Cell>>| cells.iter().flatten().count();
        assert_eq!(known(combine(&[&levels], Combine::Sum, 0, end)), 2);
        assert_eq!(known(combine(&[&levels], Combine::Sum, end - 9, end)), 1);
        assert_eq!(known(merged.cells(3, end - 1)), 1);
    }

    #[test]
    fn instances_add_up_or_the_worst_speaks() {
        let (mut a, mut b) = (Levels::default(), Levels::default());
        a.add(RunTime::from_ms(10), 1.0);
        a.add(RunTime::from_ms(20), 3.0);
        b.add(RunTime::from_ms(15), 10.0);
        let sum = combine(&[&a, &b], Combine::Sum, 0, 1)[0].unwrap();
        assert_eq!((sum.min, sum.max, sum.last), (11.0, 13.0, 13.0));
        assert_eq!(combine(&[&a, &b], Combine::Max, 0, 1)[0].unwrap().last, 10.0);
        // One that began late, and one that ended early, count where they were.
        b.add(RunTime::from_ms(2_500), 7.0);
        let last = |c: &Option<Cell>| c.map(|c| c.last);
        let all = combine(&[&a, &b], Combine::Sum, 0, 4);
        assert_eq!(all.iter().map(last).collect::<Vec<_>>(), [Some(13.0), None, Some(7.0), None]);
        assert_eq!(combine(&[&a], Combine::Sum, 2, 4), [None, None]);
        assert!(combine(&[], Combine::Sum, 3, 3).is_empty());
    }
}
