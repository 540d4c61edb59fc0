//! Pauses and the async loop: what stopped the target's own work, and the list of single stops.

use ratatui::layout::Rect;
use timeline::Event;
use timeline::lane::names;

use super::Scene;
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes::{self, Lane};
use crate::layout;
use crate::table::{self, Row, figure, words};

/// Most rows of one lane.
const TALLEST: u16 = 3;
/// Labels and canonical names.
const LANES: [(&str, &str); 4] = [
    ("pause", names::PAUSE),
    ("loop", names::LOOP_DELAY),
    ("busy", names::LOOP_UTILISATION),
    ("gen", names::GENERATOR_HICCUP),
];

/// Pauses that pass the filter, newest first.
pub(super) fn rows<'a>(scene: &Scene<'a>) -> Vec<&'a Event> {
    let text = |e: &Event| format!("{} {} {}", e.kind, e.instance, labels(e));
    let pauses = scene.snapshot.events.iter().rev().filter(|e| e.kind.starts_with("pause."));
    pauses.filter(|e| scene.model.passes(&text(e))).collect()
}

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let (upper, lower) = layout::top(body, body.height.saturating_mul(3) / 5);
    let (head, area) = layout::top(upper, 1);
    let axis = scene.axis(area);
    canvas.heading(head, "pauses and loop", &format!("worst of each column, {}", axis.scale_text()));
    let lanes: Vec<Lane<'_>> =
        LANES.iter().map(|(label, name)| Lane::named(scene.snapshot, *label, name)).collect();
    lanes::stacked(canvas, area, &axis, scene.snapshot, &lanes, TALLEST);

    let (head, list) = layout::top(lower, 1);
    let events = rows(scene);
    canvas.heading(head, "single stops", "newest first; shorter ones are in the lane");
    let columns =
        [words("at", 7), figure("took", 8), words("what", 20), words("where", 10), words("details", 0)];
    let rows: Vec<Row> = events.iter().map(|e| Row::text(cells(e))).collect();
    table::draw(canvas, list, &columns, &rows, Some(scene.list(rows.len())));
}

fn cells(e: &Event) -> Vec<String> {
    let took = e.span().length().as_nanos() as f64;
    let others = if e.others > 0 { format!(" and {} more", figures::count(e.others)) } else { String::new() };
    vec![
        e.start.to_string(),
        figures::ns(took),
        e.kind.trim_start_matches("pause.").to_owned(),
        e.instance.clone(),
        format!("{}{others}", labels(e)),
    ]
}

/// Labels of an event: `route=/login key=product:7`.
pub(super) fn labels(e: &Event) -> String {
    let labels: Vec<String> = e.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(" ")
}
