//! Processes of target and generator, what is attached, the stores behind the target, and the machine.

use ratatui::layout::Rect;
use timeline::Unit;
use timeline::lane::names;
use timeline::snapshot::ProcessView;

use super::{Scene, stores};
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes::{self, Lane};
use crate::layout::{self, SizeClass};
use crate::table::{self, Row, figure, words};
use crate::theme::Role;

/// Orders of the table.
pub(super) const SORTS: [&str; 4] = ["as named", "by CPU", "by memory", "by descriptors"];
/// Lanes below the tables.
const LANES: [(&str, &str); 18] = [
    ("cpu", names::PROCESS_CPU),
    ("throttled", names::PROCESS_THROTTLED),
    ("resident", names::PROCESS_RESIDENT),
    ("in flight", names::SERVER_IN_FLIGHT),
    ("sockets", names::SERVER_WEBSOCKETS),
    ("http", names::SERVER_CONNECTIONS),
    ("accept q", names::PROCESS_LISTEN_QUEUE),
    ("send q", names::SERVER_SEND_QUEUE),
    ("descr.", names::PROCESS_DESCRIPTORS),
    ("sql", names::DB_CALLS),
    ("sql time", names::DB_TIME),
    ("gen cpu", names::GENERATOR_CPU),
    ("hiccup", names::GENERATOR_HICCUP),
    ("host cpu", names::HOST_CPU),
    ("steal", names::HOST_STEAL),
    ("run queue", names::HOST_RUN_QUEUE),
    ("vol. sw.", names::PROCESS_VOLUNTARY_SWITCHES),
    ("invol. sw.", names::PROCESS_INVOLUNTARY_SWITCHES),
];

/// Processes that pass the filter, in the chosen order.
pub(super) fn rows<'a>(scene: &Scene<'a>) -> Vec<&'a ProcessView> {
    let mut all: Vec<&ProcessView> =
        scene.snapshot.processes.iter().filter(|p| scene.model.passes(&p.name)).collect();
    let by = |pick: fn(&ProcessView) -> Option<f64>| {
        move |a: &&ProcessView, b: &&ProcessView| pick(b).unwrap_or(-1.0).total_cmp(&pick(a).unwrap_or(-1.0))
    };
    match scene.model.sort {
        1 => all.sort_by(by(|p| p.cpu)),
        2 => all.sort_by(by(|p| p.resident)),
        3 => all.sort_by(by(|p| p.descriptors)),
        _ => {}
    }
    if scene.model.reverse {
        all.reverse();
    }
    all
}

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let processes = rows(scene);
    let share = (body.height / 3).max(4);
    let height = |n: usize, extra: u16| u16::try_from(n).unwrap_or(u16::MAX).saturating_add(extra).min(share);
    let (area, rest) = layout::top(body, height(processes.len(), 2));
    let order = SORTS.get(scene.model.sort).copied().unwrap_or_default();
    canvas.heading(layout::row(area, 0), "processes", order);
    let rows: Vec<Row> = processes.iter().map(|p| row(p)).collect();
    let columns =
        [words("name", 12), figure("CPU", 11), figure("memory", 9), figure("descr.", 7), words("", 0)];
    table::draw(canvas, layout::top(area, 1).1, &columns, &rows, Some(scene.list(rows.len())));

    let (area, rest) = layout::top(rest, height(s.sources.len().max(1), 1));
    let shown = usize::from(area.height.saturating_sub(1));
    canvas.heading(layout::row(area, 0), "sources", &table::shown_of(shown, s.sources.len()));
    if s.sources.is_empty() {
        canvas.pieces(layout::row(area, 1), &[(" nothing is attached", Role::Dim)]);
    }
    for (i, source) in s.sources.iter().enumerate() {
        let row = layout::row(area, u16::try_from(i + 1).unwrap_or(u16::MAX));
        let stale = source.age_ns.is_none_or(|a| a > figures::STALE_NS);
        let age = match source.age_ns {
            Some(age) => format!("{} old", figures::age(age)),
            None if source.ageless => String::new(),
            None => "no sample yet".to_owned(),
        };
        let (row, right) = layout::split_right(row, 14);
        canvas.pieces(row, &[(&format!(" {:<9} ", source.name), Role::Strong), (source.about(), Role::Text)]);
        canvas.right(right, &age, if stale { Role::Warning } else { Role::Dim });
    }
    let rest = if scene.size >= SizeClass::Standard { stores::draw(canvas, rest, s) } else { rest };
    let lanes: Vec<Lane<'_>> =
        LANES.iter().map(|(label, name)| Lane::named(s, *label, name)).filter(Lane::is_available).collect();
    let (head, area) = layout::top(rest, 1);
    if !lanes.is_empty() && area.height > 1 {
        canvas.heading(head, "target, generator, machine", "");
        lanes::stacked(canvas, area, &scene.axis(area), s, &lanes, 2);
    }
}

/// A process; one that fell silent shows its age instead of its last values.
fn row(p: &ProcessView) -> Row {
    if p.age_ns > figures::STALE_NS {
        let cells = vec![
            p.name.clone(),
            String::new(),
            String::new(),
            String::new(),
            format!("silent for {}", figures::age(p.age_ns)),
        ];
        return Row { cells, role: Role::Warning };
    }
    Row::text(vec![
        p.name.clone(),
        figures::show(Unit::Cores, p.cpu),
        figures::show(Unit::Bytes, p.resident),
        figures::show(Unit::Count, p.descriptors),
        String::new(),
    ])
}
