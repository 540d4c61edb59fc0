//! Sessions: how far the plan is, its phases, the kinds of sessions, the steps, errors by kind, the workers that apply the load.

use ratatui::layout::Rect;
use timeline::Unit;
use timeline::lane::is_generator;
use timeline::snapshot::{Percentiles, ProcessView, StepView};

use super::{Scene, phases};
use crate::app::Measure;
use crate::canvas::Canvas;
use crate::figures;
use crate::layout::{self, SizeClass};
use crate::table::{self, Row, figure, words};
use crate::theme::Role;

/// Orders of the table of steps.
pub(super) const SORTS: [&str; 5] = ["in the plan's order", "by count", "by errors", "by p99", "by max"];
/// Kinds of errors that are shown; the others are counted.
const MOST_KINDS: usize = 8;
/// Width of the progress bar.
const BAR: u16 = 30;
/// Width of the panel with errors and workers, beside the steps where there is room.
const PANEL: u16 = 40;
/// Width of a worker's age: `2.9 s old`, and a space before.
const AGE: u16 = 10;
/// Width of the kinds of sessions, beside the phases, where there is less room.
const KINDS: u16 = 32;

fn measured(scene: &Scene<'_>, step: &StepView) -> Percentiles {
    match scene.model.measure {
        Measure::Response => step.response,
        Measure::Service => step.service,
    }
}

/// How many of a step have ended, those among them that have no time.
fn count(scene: &Scene<'_>, step: &StepView) -> u64 {
    measured(scene, step).count.saturating_add(step.untimed)
}

/// Steps that pass the filter, in the chosen order.
pub(super) fn rows<'a>(scene: &Scene<'a>) -> Vec<&'a StepView> {
    let mut all: Vec<&StepView> =
        scene.snapshot.steps.iter().filter(|s| scene.model.passes(&s.name)).collect();
    match scene.model.sort {
        1 => all.sort_by_key(|s| std::cmp::Reverse(count(scene, s))),
        2 => all.sort_by_key(|s| std::cmp::Reverse(s.errors)),
        3 => all.sort_by(|a, b| measured(scene, b).p99.total_cmp(&measured(scene, a).p99)),
        4 => all.sort_by(|a, b| measured(scene, b).max.total_cmp(&measured(scene, a).max)),
        _ => {}
    }
    if scene.model.reverse {
        all.reverse();
    }
    all
}

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let head_rows = if scene.size == SizeClass::Narrow { 2 } else { 4 };
    let (upper, rest) = layout::top(body, head_rows);
    progress(canvas, upper, scene);
    match scene.size {
        SizeClass::Narrow | SizeClass::TooSmall => steps(canvas, rest, scene),
        SizeClass::Standard => {
            let (plan, rest) = layout::top(rest, phases::rows(scene.snapshot).min(rest.height / 3));
            // Errors and workers get the rows that they need, and no more than two fifths.
            let lower = u16::try_from(lower_rows(scene)).unwrap_or(u16::MAX);
            let (list, below) = layout::bottom(rest, lower.min(rest.height.saturating_mul(2) / 5));
            let (left, right) = beside(plan, KINDS);
            phases::phases(canvas, left, scene.snapshot);
            phases::kinds(canvas, right, scene.snapshot);
            steps(canvas, list, scene);
            let (left, right) = beside(below, below.width / 2);
            errors(canvas, left, scene);
            workers(canvas, right, scene);
        }
        SizeClass::Wide => {
            let (list, panel) = beside(rest, PANEL);
            let (plan, list) = layout::top(list, phases::rows(scene.snapshot).min(list.height / 3));
            phases::phases(canvas, plan, scene.snapshot);
            steps(canvas, list, scene);
            let (top, rest) = layout::top(panel, plan.height);
            let (above, below) = layout::top(rest, rest.height / 2);
            phases::kinds(canvas, top, scene.snapshot);
            errors(canvas, above, scene);
            workers(canvas, below, scene);
        }
    }
}

/// Rows that errors and workers take beside each other, with their heading.
fn lower_rows(scene: &Scene<'_>) -> usize {
    let workers = scene.snapshot.processes.iter().filter(|p| is_generator(&p.name)).count();
    let kinds = scene.snapshot.errors.len().min(MOST_KINDS + 1);
    workers.max(kinds).max(1) + 1
}

/// What is left of a panel of `width` cells at the right, a cell between them, and the panel.
fn beside(area: Rect, width: u16) -> (Rect, Rect) {
    let (left, right) = layout::split_right(area, width);
    (Rect { width: left.width.saturating_sub(1), ..left }, right)
}

fn progress(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let phase = match &s.run.phase {
        Some((name, number, of)) => format!("phase {name} {number}/{of}  "),
        None => "no phase  ".to_owned(),
    };
    let row = layout::row(area, 0);
    let used = canvas.pieces(row, &[(&phase, Role::Strong)]);
    if let Some(planned) = s.run.planned.filter(|p| p.0 > 0) {
        let (_, rest) = layout::left(row, used);
        let share = (s.at.0 as f64 / planned.0 as f64).clamp(0.0, 1.0);
        let text = format!(" {} of {planned}", s.at);
        let width = BAR.min(rest.width.saturating_sub(canvas.width_of(&text)));
        let done = (share * f64::from(width)).round() as u16;
        let [full, open] = canvas.theme.glyphs().progress;
        let style = canvas.theme.style(Role::Curve);
        for x in 0..width {
            canvas.glyph(rest.x.saturating_add(x), rest.y, if x < done { full } else { open }, style);
        }
        canvas.pieces(layout::left(rest, width).1, &[(&text, Role::Text)]);
    }
    let l = &s.load;
    let rate = |v| figures::of_load(s, Unit::PerSecond.show(v));
    let lines = [
        format!(
            "sessions open {}  connections {}",
            figures::of_load(s, figures::count(l.open_sessions)),
            figures::of_load(s, figures::count(l.open_connections))
        ),
        format!(
            "offered {}  achieved {}  completed {}",
            rate(l.offered),
            rate(l.achieved),
            rate(l.completed)
        ),
        format!(
            "late {}  lateness p99 {}  dropped {}  steps {}  failed {}",
            figures::count(l.late),
            figures::show(Unit::Ns, l.lateness_p99),
            figures::count(l.dropped),
            figures::count(l.requests),
            figures::count(l.errors)
        ),
    ];
    for (i, line) in lines.iter().enumerate() {
        canvas.pieces(layout::row(area, i as u16 + 1), &[(line, Role::Text)]);
    }
}

fn steps(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let name = match scene.model.measure {
        Measure::Response => "response time by step",
        Measure::Service => "service time by step",
    };
    let order = SORTS.get(scene.model.sort).copied().unwrap_or_default();
    canvas.heading(layout::row(area, 0), name, order);
    let columns = [
        words("step", if scene.size == SizeClass::Narrow { 13 } else { 20 }),
        figure("p50", 7),
        figure("p99", 7),
        figure("n", 6),
        figure("failed", 6),
        figure("p90", 7),
        figure("p99.9", 7),
        figure("max", 7),
    ];
    let row = |s: &&StepView| {
        let p = measured(scene, s);
        Row {
            cells: vec![
                s.name.clone(),
                figures::quantile(&p, |p| p.p50),
                figures::quantile(&p, |p| p.p99),
                figures::count(count(scene, s)),
                figures::count(s.errors),
                figures::quantile(&p, |p| p.p90),
                figures::quantile(&p, |p| p.p999),
                figures::quantile(&p, |p| p.max),
            ],
            role: if s.errors > 0 { Role::Warning } else { Role::Text },
        }
    };
    let rows: Vec<Row> = rows(scene).iter().map(row).collect();
    table::draw(canvas, layout::top(area, 1).1, &columns, &rows, Some(scene.list(rows.len())));
}

fn errors(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    canvas.heading(layout::row(area, 0), "errors by kind", &figures::error_share(s));
    if s.errors.is_empty() {
        canvas.pieces(layout::row(area, 1), &[(" none", Role::Dim)]);
    }
    // The last row says how many are left out, if any are.
    let room = usize::from(area.height.saturating_sub(1)).min(MOST_KINDS + 1);
    let most = if s.errors.len() <= room { room } else { room.saturating_sub(1) };
    for (i, (kind, n)) in s.errors.iter().take(most).enumerate() {
        let (row, right) = layout::split_right(layout::row(area, i as u16 + 1), 8);
        canvas.pieces(row, &[(" ", Role::Text), (kind, Role::Text)]);
        canvas.right(right, &figures::count(*n), Role::Strong);
    }
    let more = s.errors.len().saturating_sub(most);
    if more > 0 {
        let row = layout::row(area, most as u16 + 1);
        canvas.pieces(row, &[(&format!(" and {more} other kinds"), Role::Dim)]);
    }
}

/// The generator's own processes: they tell whether the load can be believed. Those that are silent come first.
fn workers(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let is_silent = |p: &ProcessView| p.age_ns > figures::STALE_NS;
    let mut workers: Vec<_> = scene.snapshot.processes.iter().filter(|p| is_generator(&p.name)).collect();
    workers.sort_by_key(|p| !is_silent(p));
    let shown = usize::from(area.height.saturating_sub(1));
    canvas.heading(layout::row(area, 0), "generator workers", &table::shown_of(shown, workers.len()));
    if workers.is_empty() {
        canvas.pieces(layout::row(area, 1), &[(" none", Role::Dim)]);
    }
    for (i, p) in workers.iter().enumerate().take(shown) {
        let (row, right) = layout::split_right(layout::row(area, i as u16 + 1), AGE);
        let age = figures::age(p.age_ns);
        if is_silent(p) {
            canvas.pieces(row, &[(&format!(" {:<8} silent for {age}", p.name), Role::Warning)]);
            continue;
        }
        let cpu = figures::show(Unit::Cores, p.cpu);
        let text = format!(" {:<8} {cpu} {}", p.name, figures::show(Unit::Bytes, p.resident));
        canvas.pieces(row, &[(&text, Role::Text)]);
        canvas.right(right, &format!("{age} old"), Role::Dim);
    }
}
