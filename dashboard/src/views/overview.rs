//! The overview: figures, response times, the target's vital signs on the same columns, findings.
//!
//! Owns which lanes come first and how much room each part gets; the parts draw themselves.

use ratatui::layout::Rect;
use timeline::Unit;
use timeline::lane::names;
use timeline::snapshot::{RunState, Snapshot};

use super::{Scene, findings, log};
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes::{self, Lane};
use crate::layout::{self, SizeClass};
use crate::theme::Role;
use crate::{heatmap, percentiles};

/// Least width of the side panel of the wide layout.
const PANEL: u16 = 44;
/// Rows of the percentile plot in the side panel, its legend and scale among them.
const PLOT_ROWS: u16 = 14;
/// Rows for findings below the lanes.
const FINDING_ROWS: u16 = 4;
/// Least and most rows of the heatmap.
const HEAT_ROWS: (u16, u16) = (5, 14);
/// Most rows of one lane.
const TALLEST: u16 = 3;
/// Lanes that the overview always begins with; what of them is not available is named.
const VITAL_LANES: usize = 5;

/// Heatmap and lanes, cut from the body.
fn aligned_block(body: Rect, size: SizeClass) -> Rect {
    match size {
        SizeClass::Wide => {
            let (left, _) = layout::split_right(body, panel_width(body));
            layout::top(left, FIGURE_ROWS).1
        }
        SizeClass::Standard => layout::top(body, FIGURE_ROWS).1,
        SizeClass::Narrow | SizeClass::TooSmall => layout::top(body, 2 * FIGURE_ROWS).1,
    }
}

/// Lines of figures above everything else.
const FIGURE_ROWS: u16 = 2;

fn panel_width(body: Rect) -> u16 {
    PANEL.max(body.width / 3)
}

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    match scene.size {
        SizeClass::Wide => wide(canvas, body, scene),
        SizeClass::Standard => standard(canvas, body, scene),
        SizeClass::Narrow | SizeClass::TooSmall => narrow(canvas, body, scene),
    }
}

fn wide(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    figure_lines(canvas, body, scene.snapshot);
    let block = aligned_block(body, scene.size);
    let (_, panel) =
        layout::split_right(layout::top(body, FIGURE_ROWS).1, panel_width(body).saturating_sub(1));
    let lanes = told_lanes(scene.snapshot, usize::from(block.height));
    let heat_rows = (block.height / 2).clamp(HEAT_ROWS.0, HEAT_ROWS.1);
    aligned(canvas, block, scene, heat_rows, &lanes, TALLEST);

    let (plot, rest) = layout::top(panel, PLOT_ROWS);
    canvas.heading(layout::row(plot, 0), "percentiles", "warm-up left out");
    percentiles::draw(canvas, layout::top(plot, 1).1, scene.snapshot);
    let log_rows = (rest.height / 3).min(8);
    let (rest, tail) = layout::bottom(rest, log_rows);
    findings::list_with_detail(canvas, rest, scene);
    canvas.heading(layout::row(tail, 0), "log", "newest first");
    log::lines(canvas, layout::top(tail, 1).1, scene, None);
}

fn standard(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    figure_lines(canvas, body, scene.snapshot);
    let block = aligned_block(body, scene.size);
    let (block, below) = layout::bottom(block, FINDING_ROWS + 1 + block.height.saturating_sub(21) / 3);
    // Two headings and the time row take three rows; what is left is shared.
    let free = block.height.saturating_sub(3);
    let heat_rows = free.saturating_sub(VITAL_LANES as u16).clamp(HEAT_ROWS.0, HEAT_ROWS.1);
    let lanes = told_lanes(scene.snapshot, usize::from(free.saturating_sub(heat_rows)));
    aligned(canvas, block, scene, heat_rows, &lanes, 1);
    findings::list(canvas, below, scene);
}

fn narrow(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let lines = [load_line(s, false), health_line(s), response_line(s), tail_line(s)];
    for (i, line) in lines.iter().enumerate() {
        put_line(canvas, layout::row(body, i as u16), line);
    }
    let rest = aligned_block(body, scene.size);
    let finding_rows = (rest.height / 2).min(FINDING_ROWS);
    let (rest, below) = layout::bottom(rest, finding_rows);
    let mut lanes = vital_lanes(s, VITAL_LANES);
    // What waits or stops tells more than what is merely full: pool, cache and pause come first.
    lanes.reverse();
    lanes.swap(0, 1);
    let lanes: Vec<Lane<'_>> = lanes.into_iter().filter(Lane::is_available).collect();
    lanes::stacked(canvas, rest, &scene.axis(rest), s, &lanes, 1);
    findings::brief(canvas, below, scene);
}

fn aligned(
    canvas: &mut Canvas<'_>,
    block: Rect,
    scene: &Scene<'_>,
    heat_rows: u16,
    lanes: &[Lane<'_>],
    tallest: u16,
) {
    let s = scene.snapshot;
    let axis = scene.axis(block);
    let (head, rest) = layout::top(block, 1);
    canvas.heading(head, "response time, log scale, darker = more", &axis.scale_text());
    let (heat, rest) = layout::top(rest, heat_rows);
    heatmap::draw(canvas, heat, &axis, s);
    let (head, rest) = layout::top(rest, 1);
    canvas.heading(head, "target, same time axis", &lag(s));
    lanes::stacked(canvas, rest, &axis, s, lanes, tallest);
}

/// How far the target's newest values are behind.
fn lag(snapshot: &Snapshot) -> String {
    let worst = snapshot.sources.iter().filter_map(|s| Some((s.age_ns?, &s.name))).max();
    match worst {
        Some((ns, source)) if ns > figures::STALE_NS => format!("{source} silent for {}", figures::age(ns)),
        Some((ns, _)) => format!("newest value {} old", figures::age(ns)),
        None if snapshot.sources.is_empty() => "no source attached".to_owned(),
        None if snapshot.sources.iter().all(|s| s.ageless) => String::new(),
        None => "no sample yet".to_owned(),
    }
}

/// The lanes that every overview begins with, then others that the target has, at most `most`.
fn vital_lanes(snapshot: &Snapshot, most: usize) -> Vec<Lane<'_>> {
    let mut out = vec![
        Lane::named(snapshot, "young", names::HEAP_YOUNG),
        Lane::named(snapshot, "old", names::HEAP_OLD),
        Lane::named(snapshot, "pause", names::PAUSE),
    ];
    let alone = |n: usize| n == 1;
    let label = |family: &str, name: &str, n| if alone(n) { family.to_owned() } else { name.to_owned() };
    let mut pools: Vec<_> = snapshot.pools.iter().collect();
    // The fullest pool and the busiest cache stand first; the order is stable for equals.
    pools.sort_by(|a, b| b.waiters.unwrap_or(0.0).total_cmp(&a.waiters.unwrap_or(0.0)));
    let mut caches: Vec<_> = snapshot.caches.iter().collect();
    caches.sort_by(|a, b| b.loads.unwrap_or(0.0).total_cmp(&a.loads.unwrap_or(0.0)));
    let mut pools =
        pools.into_iter().map(|p| Lane::pool(snapshot, label("pool", &p.name, snapshot.pools.len()), p));
    let mut caches = caches
        .into_iter()
        .map(|c| Lane::cache(snapshot, label("cache", &c.name, snapshot.caches.len()), &c.name));
    out.push(pools.next().unwrap_or_else(|| Lane::named(snapshot, "pool", "pool")));
    out.push(caches.next().unwrap_or_else(|| Lane::named(snapshot, "cache", "cache")));
    out.extend(pools.chain(caches));
    let others = [
        ("loop", names::LOOP_DELAY),
        ("cpu", names::PROCESS_CPU),
        ("in flight", names::SERVER_IN_FLIGHT),
        ("resident", names::PROCESS_RESIDENT),
        ("sessions", names::OPEN_SESSIONS),
        ("gen cpu", names::GENERATOR_CPU),
    ];
    out.extend(
        others.into_iter().map(|(label, name)| Lane::named(snapshot, label, name)).filter(Lane::is_available),
    );
    out.truncate(most);
    out
}

/// The same, but those that the target does not have share one row at the end: of a target that nobody looks inside they are most.
fn told_lanes(snapshot: &Snapshot, most: usize) -> Vec<Lane<'_>> {
    let mut lanes = vital_lanes(snapshot, usize::MAX);
    let without = lanes.iter().filter(|l| !l.is_available()).count();
    if without < 2 || snapshot.run.state == RunState::Starting {
        lanes.truncate(most);
        return lanes;
    }
    let (mut there, missing): (Vec<_>, Vec<_>) = lanes.into_iter().partition(Lane::is_available);
    there.truncate(most.saturating_sub(1));
    there.push(Lane::folded(&missing));
    there
}

type Line = Vec<(&'static str, String, Role)>;

fn figure_lines(canvas: &mut Canvas<'_>, body: Rect, snapshot: &Snapshot) {
    let mut load = load_line(snapshot, true);
    load.extend(health_line(snapshot));
    put_line(canvas, layout::row(body, 0), &load);
    let mut times = response_line(snapshot);
    times.extend(tail_line(snapshot));
    times.push(("service p99", figures::quantile(&snapshot.service, |p| p.p99), Role::Text));
    put_line(canvas, layout::row(body, 1), &times);
}

/// Cells between two pairs of label and figure.
const GAP: u16 = 2;

/// Label and figure, a gap between pairs.
fn put_line(canvas: &mut Canvas<'_>, row: Rect, line: &Line) {
    let mut used = 0;
    for (label, figure, role) in line {
        let rest = layout::left(row, used).1;
        let width = canvas.width_of(label).saturating_add(canvas.width_of(figure)).saturating_add(1);
        // Half a figure would be a wrong figure.
        if width > rest.width {
            break;
        }
        used += canvas.pieces(rest, &[(label, Role::Dim), (" ", Role::Dim), (figure, *role)]);
        used = used.saturating_add(GAP);
    }
}

/// Offered and achieved, and whether the generator can be believed.
fn load_line(s: &Snapshot, all: bool) -> Line {
    let rate = |v| figures::of_load(s, Unit::PerSecond.show(v));
    let mut line = vec![
        ("offered", rate(s.load.offered), Role::Strong),
        ("achieved", rate(s.load.achieved), Role::Strong),
    ];
    if let Some(silent) = figures::silent_workers(s) {
        line.push(("silent", silent, Role::Warning));
    }
    if all {
        line.push(("late", figures::count(s.load.late), alarm(s.load.late > 0)));
        line.push(("dropped", figures::count(s.load.dropped), alarm(s.load.dropped > 0)));
    }
    line
}

fn alarm(bad: bool) -> Role {
    if bad { Role::Warning } else { Role::Text }
}

fn health_line(s: &Snapshot) -> Line {
    vec![
        ("err", figures::error_share(s), alarm(s.load.errors > 0)),
        ("open", figures::of_load(s, figures::count(s.load.open_sessions)), Role::Text),
    ]
}

fn response_line(s: &Snapshot) -> Line {
    vec![
        ("resp p50", figures::quantile(&s.response, |p| p.p50), Role::Text),
        ("p99", figures::quantile(&s.response, |p| p.p99), Role::Strong),
    ]
}

fn tail_line(s: &Snapshot) -> Line {
    vec![
        ("p99.9", figures::quantile(&s.response, |p| p.p999), Role::Text),
        ("max", figures::quantile(&s.response, |p| p.max), Role::Text),
    ]
}
