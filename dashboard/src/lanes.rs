//! Lanes: one series each, all on the columns of the heatmap.
//!
//! Owns how a series becomes bars (maximum of each column, so that no spike is lost; a gap stays a gap)
//! and what stands beside it. Which lanes a view shows is the view's business.

use std::borrow::Cow;

use ratatui::layout::Rect;
use timeline::cells::Cells;
use timeline::event::kinds;
use timeline::lane::names;
use timeline::snapshot::{Cell, LaneView, PoolView, RunState, Snapshot};
use timeline::{Shape, Span, Unit};

use crate::axis::Axis;
use crate::canvas::Canvas;
use crate::figures;
use crate::layout::{self, Columns};
use crate::theme::{BAR_LEVELS, Role};

/// Least rows of a block of lanes with the time under them.
const ROWS_FOR_TIME: u16 = 3;

/// One lane of a view.
pub(crate) struct Lane<'a> {
    label: String,
    series: Option<&'a LaneView>,
    /// Value at the top of the plot where the lane has one: capacity, 100 %.
    full: Option<f64>,
    /// Columns in which somebody waited are marked.
    waiters: Option<&'a LaneView>,
    pool: Option<&'a PoolView>,
    /// Put before the value where there is room: `loads`.
    prefix: &'static str,
    /// Limits that gates set to it: where, and whether the gate fails.
    limits: Vec<(f64, bool)>,
    /// Said in its place where there is no series.
    missing: Cow<'static, str>,
}

impl<'a> Lane<'a> {
    /// The lane called `name`; shown as not available if the snapshot has none.
    pub fn named(snapshot: &'a Snapshot, label: impl Into<String>, name: &str) -> Self {
        let series = find(snapshot, name);
        let full = series.filter(|l| l.unit == Unit::Ratio).map(|_| 1.0);
        let limits = snapshot.gates.iter().filter_map(|g| {
            let (_, limit) = g.line.as_ref().filter(|(lane, _)| lane == name)?;
            Some((*limit, g.holds == Some(false)))
        });
        let limits = limits.collect();
        // Before a run begins nothing can be told of what its target lacks.
        let starting = snapshot.run.state == RunState::Starting;
        let missing = if starting { "waiting for the target" } else { "not available from this target" };
        Self {
            label: label.into(),
            series,
            full,
            waiters: None,
            pool: None,
            prefix: "",
            limits,
            missing: missing.into(),
        }
    }

    /// A pool: connections in use against its capacity, and who waits.
    pub fn pool(snapshot: &'a Snapshot, label: impl Into<String>, pool: &'a PoolView) -> Self {
        let of = |part| names::of(names::POOL, &pool.name, part);
        Self {
            full: pool.capacity.filter(|c| *c > 0.0),
            waiters: find(snapshot, &of("waiters")),
            pool: Some(pool),
            ..Self::named(snapshot, label, &of("in-use"))
        }
    }

    /// A cache: how often something had to be loaded.
    pub fn cache(snapshot: &'a Snapshot, label: impl Into<String>, cache: &str) -> Self {
        let name = names::of(names::CACHE, cache, "loads");
        Self { prefix: "loads ", ..Self::named(snapshot, label, &name) }
    }

    /// One row for all of `lanes`, which have no series: it names them.
    pub fn folded(lanes: &[Self]) -> Self {
        let labels: Vec<&str> = lanes.iter().map(|l| l.label.as_str()).collect();
        Self {
            label: "others".to_owned(),
            series: None,
            full: None,
            waiters: None,
            pool: None,
            prefix: "",
            limits: Vec::new(),
            missing: format!("not available: {}", labels.join(", ")).into(),
        }
    }

    /// Is there any series behind it?
    pub fn is_available(&self) -> bool {
        self.series.is_some()
    }

    /// What stands at the right, in `room` cells: the values under the cursor, or the newest ones.
    fn value(&self, axis: &Axis, room: u16) -> (String, Role) {
        let Some(series) = self.series else { return (figures::NONE.to_owned(), Role::Dim) };
        if let Some(indices) = axis.cursor_indices() {
            return self.value_at(indices, room);
        }
        if series.last.is_some() && series.age_ns > figures::STALE_NS {
            return (figures::newest(series), Role::Dim);
        }
        if let Some(pool) = self.pool {
            let waits = pool.waiters.is_some_and(|w| w > 0.0);
            return (figures::pool(pool, room), if waits { Role::Warning } else { Role::Text });
        }
        (self.prefixed(figures::newest(series), room), Role::Text)
    }

    /// A figure without the prefix says less, half a figure says something wrong.
    fn prefixed(&self, figure: String, room: u16) -> String {
        let whole = format!("{}{figure}", self.prefix);
        if whole.len() <= usize::from(room) { whole } else { figure }
    }

    fn value_at(&self, indices: std::ops::Range<usize>, room: u16) -> (String, Role) {
        let Some(cell) = self.series.and_then(|s| peak(&s.cells, indices.clone())) else {
            return ("no data".to_owned(), Role::Dim);
        };
        let unit = self.series.map_or(Unit::Count, |s| s.unit);
        let mark = self.series.map_or("", |s| figures::quality_mark(s.quality));
        if self.series.is_some_and(|s| s.shape == Shape::Histogram) {
            // A column has its p99, as the newest one has. Those of several cannot be merged: their greatest value is said.
            let (word, v) = if indices.len() == 1 { ("", cell.last) } else { ("max ", cell.max) };
            return (format!("{word}{mark}{}", unit.show(v)), Role::Text);
        }
        if let Some(pool) = self.pool {
            let waiters = self.waiters.and_then(|w| peak(&w.cells, indices)).map(|c| c.max);
            let then =
                PoolView { in_use: Some(cell.max), waiters, capacity: pool.capacity, ..PoolView::default() };
            let waits = waiters.is_some_and(|w| w > 0.0);
            return (figures::pool(&then, room), if waits { Role::Warning } else { Role::Text });
        }
        (self.prefixed(format!("{mark}{}", unit.show(cell.max)), room), Role::Text)
    }

    /// Draws it over all rows of `area`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, area: Rect, axis: &Axis) {
        if area.is_empty() {
            return;
        }
        let columns = Columns::of(area);
        canvas.places.plots.push(columns.plot);
        let last = area.height - 1;
        canvas.pieces(columns.row(last).label, &[(&self.label, Role::Text)]);
        let place = columns.row(last).value;
        let (value, role) = self.value(axis, place.width);
        canvas.figure(place, &value, role);
        let Some(series) = self.series else {
            canvas.pieces(columns.row(last).plot, &[(&*self.missing, Role::Dim)]);
            return;
        };
        let full = self.full.unwrap_or_else(|| greatest(series));
        if last > 0 {
            // A tall lane says what its full height means.
            canvas.right(columns.row(0).label, &series.unit.show(full), Role::Dim);
        }
        self.bars(canvas, columns.plot, axis, series, full);
    }

    /// Gates' limits, below the bars. One row is no room for a line.
    fn lines(&self, canvas: &mut Canvas<'_>, plot: Rect, axis: &Axis, full: f64) {
        for &(limit, fails) in
            self.limits.iter().filter(|(limit, _)| plot.height > 1 && *limit > 0.0 && *limit <= full)
        {
            let row = (limit / full * f64::from(plot.height)).ceil() as u16;
            let style = canvas.theme.style(if fails { Role::Critical } else { Role::Dim });
            let y = plot.bottom().saturating_sub(row.max(1));
            for x in 0..axis.width().min(plot.width) {
                canvas.glyph(plot.x.saturating_add(x), y, canvas.theme.glyphs().rule, style);
            }
        }
    }

    fn bars(&self, canvas: &mut Canvas<'_>, plot: Rect, axis: &Axis, series: &LaneView, full: f64) {
        self.lines(canvas, plot, axis, full);
        let style = canvas.theme.style(Role::Curve);
        let warned = canvas.theme.style(Role::Warning);
        let glyphs = canvas.theme.glyphs();
        for x in 0..axis.width().min(plot.width) {
            let indices = axis.indices(x);
            let cell = peak(&series.cells, indices.clone()).filter(|c| c.max.is_finite());
            let Some(cell) = cell else { continue };
            let waited = self.waiters.and_then(|w| peak(&w.cells, indices)).is_some_and(|c| c.max > 0.0);
            for (i, level) in stack(cell.max, full, plot.height).enumerate() {
                let y = plot.bottom().saturating_sub(1).saturating_sub(i as u16);
                let top_of_pool = waited && i + 1 == usize::from(plot.height);
                let (glyph, style) =
                    if top_of_pool { (glyphs.waited, warned) } else { (glyphs.bars[level], style) };
                canvas.glyph(plot.x.saturating_add(x), y, glyph, style);
            }
            if waited {
                // Whatever the fill says, a column in which somebody waited is marked at its top.
                canvas.glyph(plot.x.saturating_add(x), plot.y, glyphs.waited, warned);
            }
        }
        if let Some(x) = axis.cursor_x() {
            canvas.restyle(Rect { x: plot.x.saturating_add(x), width: 1, ..plot }, Role::Selected);
        }
    }
}

/// Lanes below each other, as tall as the area allows up to `tallest` rows each, and the time under
/// them; gives the rows that are left.
pub(crate) fn stacked(
    canvas: &mut Canvas<'_>,
    area: Rect,
    axis: &Axis,
    snapshot: &Snapshot,
    lanes: &[Lane<'_>],
    tallest: u16,
) -> Rect {
    let count = u16::try_from(lanes.len()).unwrap_or(u16::MAX).max(1);
    // Where there is hardly any room, a second lane says more than the time.
    let time_rows = u16::from(area.height >= ROWS_FOR_TIME);
    let height = (area.height.saturating_sub(time_rows) / count).clamp(1, tallest.max(1));
    let mut rest = area;
    for lane in lanes {
        if rest.height <= time_rows {
            break;
        }
        let (place, below) = layout::top(rest, height.min(rest.height - time_rows));
        lane.draw(canvas, place, axis);
        rest = below;
    }
    let (time, rest) = layout::top(rest, time_rows);
    time_row(canvas, time, axis, snapshot);
    rest
}

/// The lane called `name`.
pub(crate) fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a LaneView> {
    snapshot.lanes.iter().find(|l| l.name == name)
}

/// Least and greatest of the cells in `indices`; none if all are gaps.
fn peak(cells: &Cells, indices: std::ops::Range<usize>) -> Option<Cell> {
    cells.within(indices).flatten().reduce(|a, b| Cell {
        min: a.min.min(b.min),
        max: a.max.max(b.max),
        last: b.last,
    })
}

/// The greatest value of the whole series, so that the scale does not jump while the window moves.
fn greatest(series: &LaneView) -> f64 {
    series.cells.iter().flatten().map(|c| c.max).filter(|m| m.is_finite()).fold(0.0, f64::max)
}

/// Bar levels of a value from the bottom row up: full cells, then the broken one. Zero is the lowest
/// level, and nothing else is.
fn stack(value: f64, full: f64, height: u16) -> impl Iterator<Item = usize> {
    let per_cell = BAR_LEVELS - 1;
    let all = per_cell * usize::from(height.max(1));
    let share = if full > 0.0 && value.is_finite() { (value / full).clamp(0.0, 1.0) } else { 0.0 };
    let steps = if value > 0.0 { ((share * all as f64).round() as usize).max(1) } else { 0 };
    let broken = steps % per_cell;
    let cells = (0..steps / per_cell).map(move |_| per_cell);
    cells.chain((broken > 0 || steps == 0).then_some(broken))
}

/// The row under the lanes: times, onsets of findings, changes of the load, the cursor.
pub(crate) fn time_row(canvas: &mut Canvas<'_>, area: Rect, axis: &Axis, snapshot: &Snapshot) {
    let columns = Columns::of(layout::row(area, 0));
    let plot = columns.plot;
    if plot.is_empty() {
        return;
    }
    canvas.places.plots.push(plot);
    let marks = marks(canvas, axis, snapshot);
    times(canvas, plot, axis, &marks);
    for (x, glyph, role) in marks {
        canvas.glyph(plot.x.saturating_add(x), plot.y, glyph, canvas.theme.style(role));
    }
    match axis.cursor_time() {
        Some(at) => {
            canvas.pieces(columns.label, &[("cursor", Role::Strong)]);
            canvas.right(columns.value, &format!("at {at}"), Role::Strong);
        }
        None => {
            canvas.pieces(columns.label, &[("time", Role::Dim)]);
            canvas.right(columns.value, &format!("now {}", snapshot.at), Role::Dim);
        }
    }
}

/// What is marked on the time row; later ones lie over earlier ones.
fn marks(canvas: &Canvas<'_>, axis: &Axis, snapshot: &Snapshot) -> Vec<(u16, &'static str, Role)> {
    let glyphs = canvas.theme.glyphs();
    let of = |kind: &'static str| snapshot.events.iter().filter(move |e| e.kind == kind);
    let changes = of(kinds::AMENDMENT).chain(of(kinds::MARKER));
    let changes = changes.filter_map(|e| Some((axis.x_of(e.start)?, glyphs.mark, Role::Strong)));
    let halts = of(kinds::HALT).map(|e| e.span());
    let lasting = snapshot.load.halted_since.map(|since| Span::new(since, snapshot.at.max(since)));
    let halts = halts.chain(lasting).flat_map(|span| {
        let columns = (0..axis.width()).filter(move |x| axis.lies_in(*x, span));
        columns.map(|x| (x, glyphs.halted, Role::Strong))
    });
    let found = figures::seen(snapshot).rev().filter_map(|f| {
        let glyph = &f.severity.glyph()[..1];
        Some((axis.x_of(f.onset)?, glyph, figures::severity_role(f.severity)))
    });
    let cursor = axis.cursor_x().map(|x| (x, glyphs.cursor, Role::Selected));
    halts.chain(changes).chain(found).chain(cursor).collect()
}

/// Round times, left out where a mark lies.
fn times(canvas: &mut Canvas<'_>, plot: Rect, axis: &Axis, marks: &[(u16, &'static str, Role)]) {
    let tick = canvas.theme.glyphs().tick;
    for x in axis.ticks().filter(|x| *x < plot.width) {
        let text = axis.time(x).to_string();
        let end = x.saturating_add(text.len() as u16).saturating_add(1);
        let marked = marks.iter().any(|(at, ..)| (x..=end).contains(at));
        if end <= plot.width && !marked {
            canvas.glyph(plot.x + x, plot.y, tick, canvas.theme.style(Role::Dim));
            canvas.text(plot.x + x + 1, plot.y, plot.width - x, &text, Role::Dim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_lowest_bar_and_nothing_else_is() {
        let of = |v, h| stack(v, 100.0, h).collect::<Vec<_>>();
        assert_eq!(of(0.0, 1), [0]);
        assert_eq!(of(0.001, 1), [1]);
        assert_eq!(of(100.0, 1), [7]);
        assert_eq!(of(400.0, 1), [7]);
        assert_eq!(of(50.0, 2), [7]);
        assert_eq!(of(75.0, 2), [7, 4]);
        assert_eq!(of(f64::NAN, 2), [0]);
    }

    #[test]
    fn a_column_shows_its_greatest_value_and_a_gap_shows_none() {
        let cell = |max| Some(Cell { min: 0.0, max, last: 1.0 });
        let peak = |cells: Vec<Option<Cell>>, indices| peak(&Cells::from(cells), indices);
        assert_eq!(peak(vec![cell(1.0), None, cell(9.0)], 0..3).map(|c| c.max), Some(9.0));
        assert_eq!(peak(vec![None, None], 0..2), None);
        assert_eq!(peak(vec![], 5..9), None);
    }
}
