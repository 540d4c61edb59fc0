//! The response-time heatmap: columns of time, fixed logarithmic rows, darkness by count.
//!
//! Owns rebinning (counts are added, a picture is never scaled) and drawing. Rows are those of
//! [`timeline::snapshot::heat_row`], the same for every run; neighbouring rows are added where the screen
//! has fewer. An empty cell is blank, or part of a gate's line, and no cell with a
//! response in it is.

use ratatui::layout::Rect;
use timeline::lane::names;
use timeline::snapshot::{COLUMN_NS, HEAT_ROWS, HeatColumn, Snapshot, heat_edge_ns, heat_row};

use crate::axis::Axis;
use crate::canvas::Canvas;
use crate::figures;
use crate::layout::{Columns, row};
use crate::theme::{HEAT_LEVELS, Role};

/// How rows of the snapshot become rows of the screen: the lowest one shown, and how many make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    low: usize,
    per_cell: usize,
    shown: usize,
}

impl Rows {
    /// All rows that the snapshot uses, on `height` rows of the screen; taken over the whole snapshot,
    /// so that moving the cursor does not move the rows.
    fn of(heat: &[HeatColumn], height: usize) -> Self {
        let used = |c: &HeatColumn| (c.rows.iter().position(|&n| n > 0), c.rows.iter().rposition(|&n| n > 0));
        let (mut low, mut high) = (HEAT_ROWS, 0);
        for column in heat {
            if let (Some(a), Some(b)) = used(column) {
                (low, high) = (low.min(a), high.max(b));
            }
        }
        let (low, high) = if low > high { (0, 0) } else { (low, high) };
        let mut per_cell = 1;
        // Starting on a multiple of `per_cell` may take one row more, hence the loop.
        while (high / per_cell + 1).saturating_sub(low / per_cell) > height.max(1) {
            per_cell += 1;
        }
        let shown = (high / per_cell + 1).saturating_sub(low / per_cell);
        Self { low: low / per_cell * per_cell, per_cell, shown }
    }

    /// The row of the screen that shows row `row` of the snapshot, counted from below.
    fn of_screen(&self, row: usize) -> Option<usize> {
        let i = row.checked_sub(self.low)? / self.per_cell.max(1);
        (i < self.shown).then_some(i)
    }

    /// Rows of the snapshot behind row `i` of the screen, counted from below.
    fn behind(&self, i: usize) -> std::ops::Range<usize> {
        let start = self.low.saturating_add(i.saturating_mul(self.per_cell));
        start..start.saturating_add(self.per_cell)
    }
}

/// Draws the heatmap into `area`, rows from the bottom up.
pub(crate) fn draw(canvas: &mut Canvas<'_>, area: Rect, axis: &Axis, snapshot: &Snapshot) {
    if area.is_empty() {
        return;
    }
    let columns = Columns::of(area);
    canvas.places.plots.push(columns.plot);
    let rows = Rows::of(&snapshot.heat, usize::from(area.height));
    let counts = counts(axis, snapshot, &rows);
    let most = counts.iter().flatten().copied().max().unwrap_or(0);
    for i in 0..rows.shown.min(usize::from(area.height)) {
        let y = area.bottom().saturating_sub(1).saturating_sub(i as u16);
        let label = Rect { y, height: 1, ..columns.label };
        canvas.right(label, &figures::ns(heat_edge_ns(rows.behind(i).start)), Role::Dim);
        for (x, column) in counts.iter().enumerate() {
            if let Some(level) = level(column[i], most) {
                let style = canvas.theme.heat(level);
                canvas.glyph(
                    columns.plot.x.saturating_add(x as u16),
                    y,
                    canvas.theme.glyphs().heat[level],
                    style,
                );
            }
        }
    }
    limits(canvas, columns.plot, &rows, &counts, snapshot);
    values(canvas, columns.value, axis, snapshot);
    if let Some(x) = axis.cursor_x() {
        let x = columns.plot.x.saturating_add(x);
        canvas.restyle(Rect { x, width: 1, ..area }, Role::Selected);
    }
}

/// Gates on response time, each a line in the row of its limit, behind whatever is drawn there.
fn limits(canvas: &mut Canvas<'_>, plot: Rect, rows: &Rows, counts: &[Vec<u64>], snapshot: &Snapshot) {
    for gate in &snapshot.gates {
        let Some((_, limit)) = gate.line.as_ref().filter(|(lane, _)| lane == names::RESPONSE) else {
            continue;
        };
        let Some(i) = rows.of_screen(heat_row(*limit)).filter(|i| *i < usize::from(plot.height)) else {
            continue;
        };
        let style = canvas.theme.style(if gate.holds == Some(false) { Role::Critical } else { Role::Dim });
        let y = plot.bottom().saturating_sub(1).saturating_sub(i as u16);
        for (x, _) in counts.iter().enumerate().filter(|(_, column)| column[i] == 0) {
            canvas.glyph(plot.x.saturating_add(x as u16), y, canvas.theme.glyphs().rule, style);
        }
    }
}

/// Counts by screen column and screen row.
fn counts(axis: &Axis, snapshot: &Snapshot, rows: &Rows) -> Vec<Vec<u64>> {
    let sum = |heat: &[HeatColumn], i: usize| {
        let cells =
            heat.iter().flat_map(|c| c.rows.get(clamped(rows.behind(i), c.rows.len())).unwrap_or(&[]));
        cells.map(|&n| u64::from(n)).sum()
    };
    let column = |x| {
        let heat = within(&snapshot.heat, axis.indices(x));
        (0..rows.shown).map(|i| sum(heat, i)).collect()
    };
    (0..axis.width()).map(column).collect()
}

/// The part of `list` that `range` covers, which may be less than the range asks for.
pub(crate) fn within<T>(list: &[T], range: std::ops::Range<usize>) -> &[T] {
    list.get(clamped(range, list.len())).unwrap_or(&[])
}

fn clamped(range: std::ops::Range<usize>, len: usize) -> std::ops::Range<usize> {
    range.start.min(len)..range.end.min(len)
}

/// Darkness by the logarithm of the count, so that one slow response among thousands stays visible.
fn level(count: u64, most: u64) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let share = (1.0 + count as f64).ln() / (1.0 + most as f64).ln();
    Some(((share * HEAT_LEVELS as f64).ceil() as usize).clamp(1, HEAT_LEVELS) - 1)
}

/// At the right: what the column under the cursor holds, or the newest one; its age where that is long ago.
fn values(canvas: &mut Canvas<'_>, area: Rect, axis: &Axis, snapshot: &Snapshot) {
    let filled = |c: &&HeatColumn| c.rows.iter().any(|&n| n > 0);
    let heat = match (axis.cursor_indices(), snapshot.heat.iter().rposition(|c| filled(&c))) {
        (Some(indices), _) => within(&snapshot.heat, indices),
        (None, Some(newest)) => {
            let age = age_ns(snapshot, newest);
            if age > figures::STALE_NS {
                canvas.figure(row(area, 0), &format!("stale {}", figures::age(age)), Role::Dim);
                return;
            }
            &snapshot.heat[newest..=newest]
        }
        (None, None) => &[],
    };
    let greatest =
        |pick: fn(&HeatColumn) -> f64| heat.iter().filter(filled).map(pick).fold(None, keep_greater);
    let total: u64 = heat.iter().flat_map(|c| &c.rows).map(|&n| u64::from(n)).sum();
    let figure = |v: Option<f64>| v.map_or_else(|| figures::NONE.to_owned(), figures::ns);
    // Percentiles cannot be merged: those of several columns together are at most the greatest of theirs.
    let most = if heat.iter().filter(filled).count() > 1 { "<=" } else { "" };
    let lines = [
        format!("max {}", figure(greatest(|c| c.max))),
        format!("p99 {most}{}", figure(greatest(|c| c.p99))),
        format!("p50 {most}{}", figure(greatest(|c| c.p50))),
        format!("n {}", figures::count(total)),
    ];
    // Above the screen's figures of the whole run these are of one column: that is said unless it took a figure's room.
    let told = u16::from(usize::from(area.height) > lines.len());
    if told > 0 {
        let when = axis.cursor_time().map_or_else(|| "newest second".to_owned(), |t| format!("at {t}"));
        canvas.figure(row(area, 0), &when, Role::Dim);
    }
    for (i, line) in lines.iter().enumerate() {
        canvas.figure(row(area, i as u16 + told), line, Role::Text);
    }
}

/// How long ago column `i` of the snapshot ended.
fn age_ns(snapshot: &Snapshot, i: usize) -> u64 {
    let end = snapshot.first_column.saturating_add(i as u64).saturating_add(1).saturating_mul(COLUMN_NS);
    snapshot.at.0.saturating_sub(end)
}

fn keep_greater(best: Option<f64>, v: f64) -> Option<f64> {
    Some(best.map_or(v, |b| b.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_on_multiples_and_always_fit() {
        let column = |a: usize, b: usize| {
            let mut rows = vec![0; b + 1];
            (rows[a], rows[b]) = (1, 1);
            HeatColumn { rows, ..HeatColumn::default() }
        };
        assert_eq!(Rows::of(&[column(6, 11)], 6), Rows { low: 6, per_cell: 1, shown: 6 });
        assert_eq!(Rows::of(&[column(7, 30)], 6), Rows { low: 5, per_cell: 5, shown: 6 });
        for height in 1..40 {
            assert!(Rows::of(&[column(0, 34)], height).shown <= height);
        }
        assert_eq!(Rows::of(&[], 6).shown, 1);
    }

    #[test]
    fn one_response_is_seen_beside_a_million() {
        assert_eq!(level(0, 1_000_000), None);
        assert_eq!(level(1, 1_000_000), Some(0));
        assert_eq!(level(1_000_000, 1_000_000), Some(HEAT_LEVELS - 1));
    }
}
