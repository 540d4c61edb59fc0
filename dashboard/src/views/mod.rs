//! The views: the frame around them, and which one is drawn.
//!
//! Owns header, tabs, footer and overlays' order; each view's file owns what lies in the body.

mod findings;
mod help;
mod log;
mod memory;
mod overview;
mod pauses;
mod phases;
mod pools;
mod processes;
mod response;
mod sessions;
mod stores;

use ratatui::layout::Rect;
use timeline::amendment::percent;
use timeline::snapshot::{RunState, Snapshot};
use timeline::{Finding, RunTime, Severity};

use crate::app::{Model, Overlay, View};
use crate::axis::Axis;
use crate::canvas::Canvas;
use crate::figures;
use crate::keys;
use crate::layout::{self, Columns, LEAST, Shell, SizeClass};
use crate::table::List;
use crate::theme::Role;

/// All that a view may look at.
#[derive(Clone, Copy)]
struct Scene<'a> {
    model: &'a Model,
    /// The snapshot on the screen: live or frozen.
    snapshot: &'a Snapshot,
    size: SizeClass,
}

impl<'a> Scene<'a> {
    fn new(model: &'a Model, live: &'a Snapshot, area: Rect) -> Self {
        Self { model, snapshot: model.shown(live), size: SizeClass::of(area) }
    }

    /// The time axis of a block of lanes in `area`.
    fn axis(&self, area: Rect) -> Axis {
        Axis::new(self.snapshot, Columns::of(area).plot.width, self.model.zoom, self.model.cursor)
    }

    /// The list of the view on the screen, of `n` rows.
    fn list(&self, n: usize) -> List {
        List::whole(self.model.selected(self.model.view), n)
    }
}

/// Draws header, tabs, view, footer and what lies over them.
pub(crate) fn draw(canvas: &mut Canvas<'_>, area: Rect, model: &Model, live: &Snapshot) {
    let scene = Scene::new(model, live, area);
    let shell = Shell::of(area);
    header(canvas, shell.header, &scene, live);
    tabs(canvas, shell.tabs, &scene, live);
    match model.view {
        View::Overview => overview::draw(canvas, shell.body, &scene),
        View::Response => response::draw(canvas, shell.body, &scene),
        View::Sessions => sessions::draw(canvas, shell.body, &scene),
        View::Memory => memory::draw(canvas, shell.body, &scene),
        View::Pauses => pauses::draw(canvas, shell.body, &scene),
        View::Pools => pools::draw(canvas, shell.body, &scene),
        View::Processes => processes::draw(canvas, shell.body, &scene),
        View::Findings => findings::draw(canvas, shell.body, &scene),
        View::Log => log::draw(canvas, shell.body, &scene),
    }
    footer(canvas, shell.footer, &scene, live);
    match model.overlay {
        Overlay::Help(first) => help::draw(canvas, area, model, first),
        Overlay::Question(question) => help::ask(canvas, area, question),
        Overlay::None | Overlay::Typing => {}
    }
}

/// The findings in the list of the view on the screen, in its order.
pub(crate) fn listed<'a>(model: &'a Model, snapshot: &'a Snapshot) -> Vec<&'a Finding> {
    findings::listed(&Scene { model, snapshot, size: SizeClass::Standard })
}

/// Rows of the list of the view on the screen.
pub(crate) fn row_count(model: &Model, snapshot: &Snapshot) -> usize {
    let scene = Scene { model, snapshot, size: SizeClass::Standard };
    match model.view {
        View::Overview | View::Findings => findings::listed(&scene).len(),
        View::Sessions => sessions::rows(&scene).len(),
        View::Pauses => pauses::rows(&scene).len(),
        View::Pools => pools::row_count(&scene),
        View::Processes => processes::rows(&scene).len(),
        View::Log => log::rows(&scene).len(),
        View::Response | View::Memory => 0,
    }
}

/// Columns that the view's table can be sorted by, its own order among them.
pub(crate) fn sort_columns(view: View) -> usize {
    match view {
        View::Sessions => sessions::SORTS.len(),
        View::Processes => processes::SORTS.len(),
        _ => 1,
    }
}

/// What is shown where nothing else fits: a question that waits for its answer, or what would fit.
pub(crate) fn too_small(canvas: &mut Canvas<'_>, area: Rect, overlay: Overlay) {
    let text = match overlay {
        Overlay::Question(question) => format!("{} y does, any other key does not", help::words(question).0),
        Overlay::None | Overlay::Help(_) | Overlay::Typing => format!(
            "terminal too small: have {}x{}, need {}x{}, q quits",
            area.width, area.height, LEAST.0, LEAST.1
        ),
    };
    for (i, line) in crate::table::wrap(&text, area.width).iter().enumerate() {
        canvas.pieces(layout::row(area, u16::try_from(i).unwrap_or(u16::MAX)), &[(line, Role::Text)]);
    }
}

fn header(canvas: &mut Canvas<'_>, row: Rect, scene: &Scene<'_>, live: &Snapshot) {
    let right = standing(scene, live);
    let width: u16 = right.iter().map(|(t, _)| canvas.width_of(t)).fold(0, u16::saturating_add);
    let (left, right_row) = layout::split_right(row, width);
    let left = Rect { width: left.width.saturating_sub(1), ..left };
    canvas.pieces(left, &borrowed(&what_runs(scene, live)));
    canvas.pieces(right_row, &borrowed(&right));
}

/// Scenario, phase, time; the rest where there is room.
fn what_runs(scene: &Scene<'_>, live: &Snapshot) -> Vec<(String, Role)> {
    let run = &live.run;
    let roomy = scene.size >= SizeClass::Standard;
    let gap = if roomy { "  " } else { " " };
    let mut pieces = vec![(run.scenario.clone(), Role::Strong)];
    if let Some((name, number, of)) = &run.phase {
        pieces.push((format!("{gap}{name} {number}/{of}"), Role::Text));
    }
    match run.planned.filter(|_| roomy) {
        Some(planned) => pieces.push((format!("{gap}{} of {planned}", live.at), Role::Text)),
        None => pieces.push((format!("{gap}{}", live.at), Role::Text)),
    }
    if roomy {
        pieces.push((format!("  seed {}", run.seed), Role::Dim));
    }
    if scene.size == SizeClass::Wide {
        pieces.push((format!("  {}", run.target), Role::Dim));
    }
    pieces
}

/// State of the run, failing gates, findings by severity; the worst alone where there is little room.
fn standing(scene: &Scene<'_>, live: &Snapshot) -> Vec<(String, Role)> {
    let roomy = scene.size >= SizeClass::Standard;
    let gap = if roomy { "  " } else { " " };
    let mut right = vec![(state_text(scene.model, live), Role::Strong)];
    let failing = live.gates.iter().filter(|g| g.holds == Some(false)).count();
    if failing > 0 && roomy {
        right.push((format!("  gates {failing}/{} FAIL", live.gates.len()), Role::Critical));
    }
    let severities = [Severity::Critical, Severity::Warning, Severity::Info];
    let counts = severities.map(|s| (s, figures::seen(live).filter(|f| f.severity == s).count()));
    for (severity, n) in
        counts.into_iter().filter(|(_, n)| *n > 0).take(if roomy { severities.len() } else { 1 })
    {
        right.push((format!("{gap}{} {n}", severity.glyph()), figures::severity_role(severity)));
    }
    right
}

fn borrowed(pieces: &[(String, Role)]) -> Vec<(&str, Role)> {
    pieces.iter().map(|(t, r)| (t.as_str(), *r)).collect()
}

/// What the run does, and what a person has made of its load.
fn state_text(model: &Model, live: &Snapshot) -> String {
    let state = match live.run.state {
        RunState::Running if model.stopping => "STOPPING".to_owned(),
        RunState::Running | RunState::Replaying if live.load.halted_since.is_some() => "HALTED".to_owned(),
        state => state.name().to_uppercase(),
    };
    let loaded = matches!(live.run.state, RunState::Running | RunState::Replaying);
    match live.load.factor.filter(|_| loaded) {
        Some(factor) => format!("{state} {}", percent(factor).replace(' ', "")),
        None => state,
    }
}

/// Where each tab lies in a row; short names where the long ones do not fit.
pub(crate) fn tab_places(row: Rect) -> Vec<(View, Rect)> {
    let long = has_long_tabs(row);
    let mut rest = row;
    View::ALL
        .iter()
        .map(|view| {
            let (place, right) = layout::left(rest, tab_text(*view, long).len() as u16);
            rest = layout::left(right, 1).1;
            (*view, place)
        })
        .collect()
}

fn has_long_tabs(row: Rect) -> bool {
    let all: usize = View::ALL.iter().map(|v| tab_text(*v, true).len() + 1).sum();
    all <= usize::from(row.width)
}

fn tab_text(view: View, long: bool) -> String {
    let (name, short) = view.names();
    format!("{} {}", view.index() + 1, if long { name } else { short })
}

fn tabs(canvas: &mut Canvas<'_>, row: Rect, scene: &Scene<'_>, live: &Snapshot) {
    if row.is_empty() {
        return;
    }
    if let Some(text) = banner(scene.model, live) {
        canvas.pieces(row, &[(&text, Role::Selected)]);
        return;
    }
    let long = has_long_tabs(row);
    for (view, place) in tab_places(row) {
        let active = view == scene.model.view;
        canvas.pieces(place, &[(&tab_text(view, long), if active { Role::Selected } else { Role::Dim })]);
    }
}

/// What must not be overlooked: a frozen view, a halted load. The sentence before its first semicolon fits the narrowest screen.
fn banner(model: &Model, live: &Snapshot) -> Option<String> {
    let ago = |at: RunTime| figures::age(live.at.since(at).as_nanos() as u64);
    let frozen = model.frozen.as_ref().map(|f| format!("FROZEN at {}, {} ago", f.at, ago(f.at)));
    let halted = live.load.halted_since.filter(|_| live.run.state != RunState::Done);
    let halted = halted.map(|since| format!("HALTED at {since}, for {}", ago(since)));
    match (frozen, halted) {
        (Some(frozen), None) => {
            let what = if model.capabilities.replay.is_some() { "replay" } else { "run" };
            Some(format!(" {frozen}; the {what} goes on; Space shows it again "))
        }
        (None, Some(halted)) if model.capabilities.load => {
            Some(format!(" {halted}; nothing starts, no gate on times can pass; p goes on "))
        }
        (None, Some(halted)) => Some(format!(" {halted}; nothing starts, no gate on times can pass ")),
        (Some(frozen), Some(halted)) => Some(format!(" {frozen}; {halted}; Space, then p ")),
        (None, None) => None,
    }
}

fn footer(canvas: &mut Canvas<'_>, row: Rect, scene: &Scene<'_>, live: &Snapshot) {
    let model = scene.model;
    let has_tabs = scene.size >= SizeClass::Standard;
    if model.overlay == Overlay::Typing {
        let end = "_  Enter keeps, Esc clears";
        canvas.pieces(row, &[("filter: ", Role::Strong), (&model.filter, Role::Text), (end, Role::Dim)]);
    } else if let Some(notice) = &model.notice {
        canvas.pieces(row, &[(notice, Role::Strong)]);
    } else if let Some(text) = banner(model, live).filter(|_| !has_tabs) {
        canvas.pieces(row, &[(text.trim(), Role::Selected)]);
    } else {
        // Without tabs the footer says which view this is.
        let place = format!(" {}/{} {}", model.view.index() + 1, View::ALL.len(), model.view.names().1);
        let width = if has_tabs { 0 } else { canvas.width_of(&place) };
        let (row, right) = layout::split_right(row, width);
        canvas.right(right, &place, Role::Dim);
        hints(canvas, row, model, live);
    }
}

/// Cells between two hints.
const GAP: u16 = 2;

/// What holds for now, then the keys that work here, as far as there is room.
fn hints(canvas: &mut Canvas<'_>, row: Rect, model: &Model, live: &Snapshot) {
    let state = match (live.run.state == RunState::Done, model.stopping) {
        (true, _) => "the run is over; ",
        (false, true) => "stopping, Ctrl-C aborts; ",
        (false, false) => "",
    };
    let mut used = canvas.pieces(row, &[(state, Role::Strong)]);
    if !model.filter.is_empty() {
        let rest = layout::left(row, used).1;
        used += canvas
            .pieces(rest, &[("filtered by ", Role::Dim), (&model.filter, Role::Strong), ("  ", Role::Dim)]);
    }
    for (key, word) in keys::hints(model.view, model.capabilities) {
        let rest = layout::left(row, used).1;
        if key.len() + word.len() + 1 > usize::from(rest.width) {
            break;
        }
        used += canvas.pieces(rest, &[(key, Role::Strong), (" ", Role::Dim), (word, Role::Dim)]);
        used = used.saturating_add(GAP);
    }
}
