//! What lies over a view: the keys, read from the one table, and the questions that are asked first.

use ratatui::layout::Rect;

use crate::app::{Model, Question};
use crate::canvas::Canvas;
use crate::keys::{ABOUT_MAX, BINDINGS, Binding, SHOWN_MAX};
use crate::layout;
use crate::theme::Role;

/// Width of the names of keys.
const KEY: u16 = SHOWN_MAX as u16;
/// Width of one column: space, key, space, what it does, space.
const COLUMN: u16 = KEY + ABOUT_MAX as u16 + 3;

/// The keys that work in the view on the screen, from line `first` on.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, model: &Model, first: usize) {
    let told = |b: &&Binding| !b.shown.is_empty() && b.works(model.view, model.capabilities);
    let bindings: Vec<_> = BINDINGS.iter().filter(told).collect();
    let count = u16::try_from(bindings.len()).unwrap_or(u16::MAX);
    let columns = (area.width / COLUMN).clamp(1, 2);
    let rows = count.div_ceil(columns).max(1);
    let place = layout::centred(area, COLUMN.saturating_mul(columns), rows.saturating_add(1));
    // Whole rows are cleared: what would stand beside the keys could not be read anyway.
    canvas.clear(Rect { x: area.x, width: area.width, ..place });
    let (head, body) = layout::top(place, 1);
    let scrolls = rows > body.height;
    let title = format!("keys: {}", model.view.names().0);
    canvas.heading(head, &title, if scrolls { "j k scroll, ? closes" } else { "? closes" });
    let end = usize::from(rows.saturating_sub(body.height));
    canvas.places.end = Some(end);
    let first = first.min(end);
    for (i, column) in bindings.chunks(usize::from(rows)).enumerate() {
        let place = layout::left(body, COLUMN.saturating_mul(i as u16)).1;
        for (line, binding) in column.iter().skip(first).enumerate() {
            put(canvas, layout::row(place, u16::try_from(line).unwrap_or(u16::MAX)), binding);
        }
    }
}

fn put(canvas: &mut Canvas<'_>, row: Rect, binding: &Binding) {
    let row = Rect { width: row.width.min(COLUMN), ..row };
    let key = format!(" {:<width$} ", binding.shown, width = usize::from(KEY));
    canvas.pieces(row, &[(&key, Role::Strong), (binding.about, Role::Text)]);
}

/// A question and what hangs on it, broken into lines that fit the narrowest screen.
pub(super) fn words(question: Question) -> (&'static str, [&'static str; 4]) {
    match question {
        Question::Stop => (
            "stop the load?",
            [
                "More load is planned. What is open is",
                "drained, and the reports are written",
                "of what there was.",
                "y or q stops, any other key does not.",
            ],
        ),
        Question::Halt => (
            "halt the load?",
            [
                "The halt is recorded, and a halted",
                "run cannot pass a gate on response",
                "time.",
                "y halts, any other key does not.",
            ],
        ),
        Question::Suspend => (
            "suspend dyno?",
            [
                "The load goes on, but nobody watches",
                "the target meanwhile: a gap stays.",
                "`fg` should follow within a minute.",
                "y suspends, any other key does not.",
            ],
        ),
    }
}

/// The question before something that cannot be taken back.
pub(super) fn ask(canvas: &mut Canvas<'_>, area: Rect, question: Question) {
    let (title, lines) = words(question);
    let place = layout::centred(area, 40, lines.len() as u16 + 1);
    let edge = Rect { x: place.x.saturating_sub(1), width: place.width.saturating_add(2), ..place };
    canvas.clear(edge.intersection(area));
    canvas.heading(layout::row(place, 0), title, "");
    for (i, line) in lines.iter().enumerate() {
        canvas.pieces(layout::row(place, i as u16 + 1), &[(" ", Role::Text), (line, Role::Text)]);
    }
}
