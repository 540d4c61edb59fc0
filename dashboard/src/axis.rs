//! The time axis: which columns of the snapshot each cell of a plot shows.
//!
//! Owns zoom, window and cursor arithmetic, so that the heatmap and every lane agree. Cells lie on
//! multiples of their length in the run's time: a rebinned picture does not shimmer as it scrolls.

use std::ops::Range;

use timeline::clock::{RunTime, Span};
use timeline::snapshot::{COLUMN_NS, Snapshot};

/// Seconds that one cell covers, or cells that one second covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    columns: u64,
    cells: u64,
}

/// The zoom levels, from near to far.
const SCALES: [Scale; 9] = [
    Scale { columns: 1, cells: 4 },
    Scale { columns: 1, cells: 2 },
    Scale { columns: 1, cells: 1 },
    Scale { columns: 2, cells: 1 },
    Scale { columns: 5, cells: 1 },
    Scale { columns: 10, cells: 1 },
    Scale { columns: 20, cells: 1 },
    Scale { columns: 30, cells: 1 },
    Scale { columns: 60, cells: 1 },
];

/// Seconds that read as round on a time axis, each dividing the next ones' minutes or hours.
const ROUND_SECONDS: [u64; 10] = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800];
/// Least cells from one written time to the next.
const TICK_CELLS: u64 = 10;

/// How much time fits on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zoom(usize);

impl Default for Zoom {
    /// A second in a cell.
    fn default() -> Self {
        Self(2)
    }
}

impl Zoom {
    /// Less time, more detail.
    #[must_use]
    pub fn nearer(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// More time, less detail.
    #[must_use]
    pub fn farther(self) -> Self {
        Self((self.0 + 1).min(SCALES.len() - 1))
    }

    /// Snapshot columns by which one press moves the cursor.
    #[must_use]
    pub fn step(self) -> u64 {
        self.scale().columns
    }

    fn scale(self) -> Scale {
        SCALES[self.0.min(SCALES.len() - 1)]
    }

    fn cell_of(self, column: u64) -> u64 {
        let s = self.scale();
        column.saturating_mul(s.cells) / s.columns
    }

    fn columns_of(self, cell: u64) -> Range<u64> {
        let s = self.scale();
        let start = cell.saturating_mul(s.columns) / s.cells;
        start..start.saturating_add(s.columns)
    }
}

/// Number of columns in a snapshot: its longest series counts.
#[must_use]
pub fn column_count(snapshot: &Snapshot) -> u64 {
    let lanes = snapshot.lanes.iter().map(|l| l.cells.len()).max().unwrap_or(0);
    lanes.max(snapshot.heat.len()) as u64
}

/// The newest column of a snapshot, counted from the run's start.
#[must_use]
pub fn newest_column(snapshot: &Snapshot) -> u64 {
    snapshot.first_column.saturating_add(column_count(snapshot).saturating_sub(1))
}

/// The axis of one plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    zoom: Zoom,
    first_cell: u64,
    first_column: u64,
    end_column: u64,
    width: u16,
    cursor: Option<u64>,
}

impl Axis {
    /// The newest part that fits into `width` cells, or the part around the cursor.
    pub fn new(snapshot: &Snapshot, width: u16, zoom: Zoom, cursor: Option<u64>) -> Self {
        let first_column = snapshot.first_column;
        let end_column = first_column.saturating_add(column_count(snapshot));
        let cursor = cursor.map(|c| c.clamp(first_column, end_column.saturating_sub(1).max(first_column)));
        let oldest = zoom.cell_of(first_column);
        let newest = zoom.cell_of(end_column.saturating_sub(1)).saturating_add(zoom.scale().cells);
        let last_start = newest.saturating_sub(u64::from(width)).max(oldest);
        let first_cell = match cursor {
            Some(c) => zoom.cell_of(c).saturating_sub(u64::from(width / 2)).clamp(oldest, last_start),
            None => last_start,
        };
        Self { zoom, first_cell, first_column, end_column, width, cursor }
    }

    /// Cells.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Indices into the snapshot's series that cell `x` covers; empty where there is no data yet.
    pub fn indices(&self, x: u16) -> Range<usize> {
        let columns = self.zoom.columns_of(self.first_cell.saturating_add(u64::from(x)));
        let clamp = |c: u64| c.clamp(self.first_column, self.end_column) - self.first_column;
        clamp(columns.start) as usize..clamp(columns.end) as usize
    }

    /// The cell that shows an instant, if it is on the screen.
    pub fn x_of(&self, at: RunTime) -> Option<u16> {
        let cell = self.zoom.cell_of(at.0 / COLUMN_NS);
        let x = u16::try_from(cell.checked_sub(self.first_cell)?).ok()?;
        (x < self.width).then_some(x)
    }

    /// Does any of cell `x` lie in `span`?
    pub fn lies_in(&self, x: u16, span: Span) -> bool {
        let columns = self.zoom.columns_of(self.first_cell.saturating_add(u64::from(x)));
        columns.start.saturating_mul(COLUMN_NS) < span.end.0
            && span.start.0 < columns.end.saturating_mul(COLUMN_NS)
    }

    /// The cell under the cursor.
    pub fn cursor_x(&self) -> Option<u16> {
        self.x_of(RunTime(self.cursor?.saturating_mul(COLUMN_NS)))
    }

    /// Indices into the snapshot's series under the cursor.
    pub fn cursor_indices(&self) -> Option<Range<usize>> {
        self.cursor_x().map(|x| self.indices(x))
    }

    /// Start of the cell under the cursor.
    pub fn cursor_time(&self) -> Option<RunTime> {
        self.cursor_x().map(|x| self.time(x))
    }

    /// Start of cell `x`.
    pub fn time(&self, x: u16) -> RunTime {
        let columns = self.zoom.columns_of(self.first_cell.saturating_add(u64::from(x)));
        RunTime(columns.start.saturating_mul(COLUMN_NS))
    }

    /// Cells that begin at a round time, far enough from each other for the time to be written.
    pub fn ticks(&self) -> impl Iterator<Item = u16> + '_ {
        let s = self.zoom.scale();
        let wide_enough = |seconds: &&u64| **seconds * s.cells / s.columns >= TICK_CELLS;
        let every =
            ROUND_SECONDS.iter().find(wide_enough).copied().unwrap_or(ROUND_SECONDS[ROUND_SECONDS.len() - 1]);
        let cells = every * s.cells / s.columns;
        (0..self.width).filter(move |x| self.first_cell.saturating_add(u64::from(*x)).is_multiple_of(cells))
    }

    /// The column that a click on cell `x` means.
    pub fn column(&self, x: u16) -> u64 {
        self.time(x).0 / COLUMN_NS
    }

    /// What one cell covers, for headings: `1 s a column`.
    pub fn scale_text(&self) -> String {
        let s = self.zoom.scale();
        if s.cells > 1 { format!("1/{} s a column", s.cells) } else { format!("{} s a column", s.columns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::snapshot::HeatColumn;

    fn snapshot(columns: usize, first: u64) -> Snapshot {
        Snapshot { first_column: first, heat: vec![HeatColumn::default(); columns], ..Snapshot::default() }
    }

    #[test]
    fn it_follows_the_newest_column_and_begins_at_the_left_when_young() {
        let axis = Axis::new(&snapshot(10, 0), 60, Zoom::default(), None);
        assert_eq!((axis.indices(0), axis.indices(9), axis.indices(10)), (0..1, 9..10, 10..10));
        let axis = Axis::new(&snapshot(100, 0), 60, Zoom::default(), None);
        assert_eq!((axis.indices(0), axis.indices(59)), (40..41, 99..100));
    }

    #[test]
    fn far_zoom_puts_cells_on_multiples_of_their_length() {
        let zoom = Zoom::default().farther().farther();
        let axis = Axis::new(&snapshot(103, 2), 60, zoom, None);
        assert_eq!(axis.indices(0), 0..3, "seconds 2 to 4 of the cell 0 to 4");
        assert_eq!(axis.indices(1), 3..8);
        assert_eq!(axis.time(20), RunTime::from_ms(100_000));
        assert_eq!(axis.indices(20), 98..103);
    }

    #[test]
    fn the_window_goes_where_the_cursor_is() {
        let s = snapshot(500, 0);
        let axis = Axis::new(&s, 60, Zoom::default(), Some(100));
        assert_eq!(axis.cursor_x(), Some(30));
        assert_eq!(axis.cursor_indices(), Some(100..101));
        assert_eq!(Axis::new(&s, 60, Zoom::default(), Some(3)).cursor_x(), Some(3));
        assert_eq!(Axis::new(&s, 60, Zoom::default(), Some(499)).cursor_x(), Some(59));
        assert_eq!(Axis::new(&s, 60, Zoom::default(), Some(9_999)).cursor_x(), Some(59));
    }
}
