//! Memory: generations, allocation and promotion, on one time axis.

use ratatui::layout::Rect;
use timeline::lane::names;

use super::Scene;
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes::{self, Lane};
use crate::layout;

/// Most rows of one lane.
const TALLEST: u16 = 4;

/// Labels and canonical names, from young to what the kernel sees.
const LANES: [(&str, &str); 10] = [
    ("young", names::HEAP_YOUNG),
    ("old", names::HEAP_OLD),
    ("live", names::HEAP_USED),
    ("alloc", names::HEAP_ALLOCATED),
    ("promoted", names::HEAP_PROMOTED),
    ("collecting", names::PAUSE_COLLECTING),
    ("resident", names::HEAP_RESIDENT),
    ("active", names::HEAP_ACTIVE),
    ("retained", names::HEAP_RETAINED),
    ("process", names::PROCESS_RESIDENT),
];

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let (head, area) = layout::top(body, 1);
    let error = lanes::find(scene.snapshot, names::HEAP_ERROR).filter(|l| l.age_ns <= figures::STALE_NS);
    let error = error.and_then(|l| l.last);
    let note = error.map_or_else(
        || "~ estimated by sampling".to_owned(),
        |e| format!("~ estimated by sampling, error {}", timeline::Unit::Ratio.show(e)),
    );
    canvas.heading(head, "memory by age", &note);
    // The first two are the promise of the view; the others appear where the target has them.
    let lanes: Vec<Lane<'_>> = LANES
        .iter()
        .enumerate()
        .map(|(i, (label, name))| (i, Lane::named(scene.snapshot, *label, name)))
        .filter(|(i, lane)| *i < 2 || lane.is_available())
        .map(|(_, lane)| lane)
        .collect();
    let rest = lanes::stacked(canvas, area, &scene.axis(area), scene.snapshot, &lanes, TALLEST);
    let about = figures::seen(scene.snapshot).filter(|f| f.kind.name().starts_with("heap"));
    for (i, finding) in about.enumerate() {
        let row = layout::row(layout::top(rest, 1).1, i as u16);
        let head = format!("{} {} ", finding.severity.glyph(), finding.id);
        canvas.pieces(
            row,
            &[(&head, figures::severity_role(finding.severity)), (&finding.claim, crate::theme::Role::Text)],
        );
    }
}
