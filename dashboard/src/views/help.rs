//! What lies over a view: the keys, read from the one table, and the question before a halt.

use ratatui::layout::Rect;

use crate::app::Model;
use crate::canvas::Canvas;
use crate::keys::BINDINGS;
use crate::layout;
use crate::theme::Role;

/// Width of one column of keys.
const COLUMN: u16 = 52;

/// The keys that work in the view on the screen.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, model: &Model) {
    let bindings: Vec<_> = BINDINGS.iter().filter(|b| b.works(model.view, model.capabilities)).collect();
    let count = u16::try_from(bindings.len()).unwrap_or(u16::MAX);
    let columns = (area.width / COLUMN).clamp(1, 2);
    let height = count.div_ceil(columns).saturating_add(1);
    // Too many for one column on a short screen: two narrower ones, as long as words stay readable.
    let columns = if height > area.height && area.width >= COLUMN { 2 } else { columns };
    let height = count.div_ceil(columns).saturating_add(1).min(area.height);
    let width = COLUMN.saturating_mul(columns).min(area.width);
    let place = layout::centred(area, width, height);
    canvas.clear(place);
    let title = format!("keys: {}", model.view.names().0);
    canvas.heading(layout::row(place, 0), &title, "? closes");
    let (_, body) = layout::top(place, 1);
    let per_column = count.div_ceil(columns).max(1);
    for (i, binding) in bindings.iter().enumerate() {
        let (column, row) = (i as u16 / per_column, i as u16 % per_column);
        let width = body.width / columns;
        let line = layout::row(body, row);
        let line = Rect { x: line.x.saturating_add(width.saturating_mul(column)), width: width.saturating_sub(1), ..line };
        canvas.pieces(line, &[(&format!(" {:<7}", binding.shown), Role::Strong), (binding.about, Role::Text)]);
    }
}

/// The question before the load is halted.
pub(super) fn confirm_halt(canvas: &mut Canvas<'_>, area: Rect) {
    let place = layout::centred(area, 60, 4);
    canvas.clear(place);
    canvas.heading(layout::row(place, 0), "halt the load?", "");
    let lines = ["It is recorded, and a halted run cannot pass a", "gate on response time.", "y halts, any other key does not."];
    for (i, line) in lines.iter().enumerate() {
        canvas.pieces(layout::row(place, i as u16 + 1), &[(" ", Role::Text), (line, Role::Text)]);
    }
}
