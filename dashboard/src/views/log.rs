//! The log: what happened, newest first.

use ratatui::layout::Rect;
use timeline::snapshot::LogLine;

use super::Scene;
use crate::canvas::Canvas;
use crate::figures;
use crate::layout;
use crate::table;
use crate::theme::Role;

/// Lines that pass the filter, newest first.
pub(super) fn rows<'a>(scene: &Scene<'a>) -> Vec<&'a LogLine> {
    scene.snapshot.log.iter().rev().filter(|l| scene.model.passes(l.shown())).collect()
}

/// The view.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let dropped = scene.snapshot.dropped_entries;
    let note = format!("newest first; samples and events dropped: {}", figures::count(dropped));
    canvas.heading(layout::row(body, 0), "log", &note);
    lines(canvas, layout::top(body, 1).1, scene, Some(scene.model.selected(scene.model.view)));
}

/// The lines themselves.
pub(super) fn lines(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>, selected: Option<usize>) {
    let all = if selected.is_some() { rows(scene) } else { scene.snapshot.log.iter().rev().collect() };
    if all.is_empty() {
        canvas.pieces(layout::row(area, 0), &[(" nothing so far", Role::Dim)]);
        return;
    }
    let selected = selected.map(|s| s.min(all.len() - 1));
    table::scroll(canvas, area, &all, selected, |canvas, row, line| {
        let at = format!(" {}  ", line.at);
        canvas.pieces(row, &[(&at, Role::Dim), (line.shown(), Role::Text)]);
    });
}
