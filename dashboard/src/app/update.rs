//! Update: what a key, a click or the wheel changes in the model, and what follows from it.
//!
//! Owns everything that is done to a [`Model`] once there is one. It reads nothing but its arguments; which key means what is left to
//! [`crate::keys`], what lies at a cell to [`crate::mouse`], and carrying out what follows to [`crate::tui`].

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use timeline::Finding;
use timeline::amendment::percent;
use timeline::snapshot::{COLUMN_NS, RunState, Snapshot};

use super::{
    AS_PLANNED, Capabilities, FASTEST, Measure, Model, Overlay, Play, Question, UiCommand, View, places,
};
use crate::axis::{self, Zoom};
use crate::figures;
use crate::keys::{self, Action};
use crate::mouse::{self, Spot};
use crate::views;

/// Most tenths that can be asked for.
const MOST_TENTHS: u8 = 100;
/// A load whose planned end is further away than this is not stopped without a question: nobody begins a run anew that is as good as over.
const MUCH_LEFT: Duration = Duration::from_secs(10);
/// Longest filter that can be typed, characters.
const LONGEST_FILTER: usize = 40;

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyCode, KeyModifiers),
    /// The mouse was clicked at a cell of a screen of this size.
    Click(Position, Rect),
    /// The wheel was turned over a cell of a screen of this size: negative is up.
    Wheel(isize, Position, Rect),
}

/// What follows from a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Tell the run.
    Send(UiCommand),
    /// Stop this process until somebody lets it go on.
    Suspend,
    /// Leave the dashboard, and tell the run if there is something to tell.
    Leave(Option<UiCommand>),
}

/// Changes the model and says what follows.
pub fn update(model: &mut Model, msg: Msg, live: &Arc<Snapshot>) -> Effect {
    match msg {
        Msg::Key(code, modifiers) => {
            model.notice = None;
            on_key(model, code, modifiers, live)
        }
        Msg::Click(at, screen) => {
            click(model, at, screen, live);
            Effect::None
        }
        Msg::Wheel(by, at, screen) => {
            wheel(model, by, at, screen, live);
            Effect::None
        }
    }
}

fn on_key(model: &mut Model, code: KeyCode, modifiers: KeyModifiers, live: &Arc<Snapshot>) -> Effect {
    let action = keys::action(model.view, model.capabilities, code, modifiers);
    // Ctrl-C works whatever lies over the view.
    if action == Some(Action::Interrupt) {
        return interrupt(model, live);
    }
    match (model.overlay, scrolled(code, modifiers)) {
        (Overlay::Typing, _) => typed(model, code),
        (Overlay::Question(question), _) => return confirmed(model, question, code, live),
        (Overlay::Help(_), _) if matches!(action, Some(Action::Help | Action::Back | Action::Quit)) => {
            model.overlay = Overlay::None;
        }
        (Overlay::Help(first), Some(by)) => scroll_help(model, first, by, model.screen.get(), live),
        (Overlay::Help(_) | Overlay::None, _) => {
            if let Some(action) = action {
                return act(model, action, live);
            }
        }
    }
    Effect::None
}

fn scroll_help(model: &mut Model, first: usize, by: isize, screen: Rect, live: &Snapshot) {
    model.overlay = Overlay::Help(scrolled_on(model, first, by, screen, live));
}

/// First line of a text that is scrolled by `by` lines. It ends where the picture does, so that the first press back is seen.
fn scrolled_on(model: &Model, first: usize, by: isize, screen: Rect, live: &Snapshot) -> usize {
    let end = places(model, live, screen).end.unwrap_or(usize::MAX);
    first.min(end).saturating_add_signed(by).min(end)
}

/// Rows by which a key moves a list; the keys' own list moves in every view.
fn scrolled(code: KeyCode, modifiers: KeyModifiers) -> Option<isize> {
    match keys::action(View::Log, Capabilities::default(), code, modifiers) {
        Some(Action::Select(by)) => Some(by),
        _ => None,
    }
}

fn act(model: &mut Model, action: Action, live: &Arc<Snapshot>) -> Effect {
    match action {
        Action::Quit if has_much_left(model, live) => model.overlay = Overlay::Question(Question::Stop),
        Action::Quit => return quit(model, live),
        Action::Interrupt => return interrupt(model, live),
        Action::Help => model.overlay = Overlay::Help(0),
        Action::NextView => go(model, model.view.step(1)),
        Action::PreviousView => go(model, model.view.step(-1)),
        Action::Go(view) => go(model, view),
        Action::Cursor(by) => move_cursor(model, by, live),
        Action::Select(by) => select(model, by, model.screen.get(), live),
        Action::Inspect => inspect(model, live),
        Action::Back => back(model),
        Action::Filter => model.overlay = Overlay::Typing,
        Action::Finding(by) => next_finding(model, by, live),
        Action::Nearer => model.zoom = model.zoom.nearer(),
        Action::Farther => model.zoom = model.zoom.farther(),
        Action::Reset => (model.zoom, model.cursor) = (Zoom::default(), None),
        Action::Freeze => model.frozen = if model.frozen.is_some() { None } else { Some(Arc::clone(live)) },
        Action::Measure => {
            model.measure =
                if model.measure == Measure::Response { Measure::Service } else { Measure::Response };
        }
        Action::Marker => return send(model, UiCommand::Marker, format!("marker set at {}", live.at)),
        Action::WriteReport => {
            return send(model, UiCommand::WriteReport, "writing the report so far".to_owned());
        }
        Action::Sort => model.sort = (model.sort + 1) % views::sort_columns(model.view).max(1),
        Action::Reverse => model.reverse = !model.reverse,
        Action::Halt | Action::Load(_) if !may_change_load(model, live) => {
            model.notice = Some("there is no load to change any more".to_owned());
        }
        Action::Halt if model.halted => {
            model.halted = false;
            return send(model, UiCommand::Halt(false), "the load goes on".to_owned());
        }
        Action::Halt => model.overlay = Overlay::Question(Question::Halt),
        Action::Load(by) => return change_load(model, by),
        Action::Hold => {
            model.held = !model.held;
            let notice = if model.held { "held; p goes on" } else { "goes on" };
            return send(model, UiCommand::Play(Play::Hold(model.held)), notice.to_owned());
        }
        Action::Seek(by) => return send(model, UiCommand::Play(Play::Seek(by)), format!("{by:+} s")),
        Action::Faster(faster) => {
            model.speed = if faster { model.speed * 2 } else { model.speed / 2 }.clamp(1, FASTEST);
            let speed = model.speed;
            return send(model, UiCommand::Play(Play::Speed(speed)), format!("{speed} times as fast"));
        }
        Action::Suspend if is_loaded(live) => model.overlay = Overlay::Question(Question::Suspend),
        Action::Suspend => return Effect::Suspend,
    }
    Effect::None
}

fn send(model: &mut Model, command: UiCommand, notice: String) -> Effect {
    model.notice = Some(notice);
    Effect::Send(command)
}

/// Stops the run, or leaves at once where there is no load to drain.
fn quit(model: &mut Model, live: &Snapshot) -> Effect {
    match live.run.state {
        RunState::Done => Effect::Leave(None),
        RunState::Watching | RunState::Replaying => Effect::Leave(Some(UiCommand::Quit)),
        RunState::Starting | RunState::Running | RunState::Draining if model.stopping => {
            model.notice = Some("stopping already; Ctrl-C aborts".to_owned());
            Effect::None
        }
        RunState::Starting | RunState::Running | RunState::Draining => {
            model.stopping = true;
            Effect::Send(UiCommand::Quit)
        }
    }
}

fn interrupt(model: &mut Model, live: &Snapshot) -> Effect {
    if model.stopping && live.run.state != RunState::Done {
        return Effect::Leave(Some(UiCommand::Abort));
    }
    quit(model, live)
}

fn go(model: &mut Model, view: View) {
    if model.view != view {
        model.view = view;
        model.detail = None;
        model.filter.clear();
        (model.sort, model.reverse) = (0, false);
    }
}

fn typed(model: &mut Model, code: KeyCode) {
    match code {
        KeyCode::Esc => {
            model.filter.clear();
            model.overlay = Overlay::None;
        }
        KeyCode::Enter => model.overlay = Overlay::None,
        KeyCode::Backspace => {
            model.filter.pop();
        }
        KeyCode::Char(c) if model.filter.chars().count() < LONGEST_FILTER => model.filter.push(c),
        _ => {}
    }
    let view = model.view;
    choose(model, view, 0, None);
}

/// Selects a row of a view's list; of findings the one with this identity.
fn choose(model: &mut Model, view: View, row: usize, finding: Option<String>) {
    model.selected[view.index()] = row;
    model.chosen[view.index()] = finding;
}

fn confirmed(model: &mut Model, question: Question, code: KeyCode, live: &Snapshot) -> Effect {
    model.overlay = Overlay::None;
    // Who presses `q` twice means it.
    let meant = code == KeyCode::Char('y') || (question == Question::Stop && code == KeyCode::Char('q'));
    match question {
        _ if !meant => Effect::None,
        Question::Stop => quit(model, live),
        Question::Halt => {
            model.halted = true;
            send(model, UiCommand::Halt(true), "the load is halted; p lets it go on".to_owned())
        }
        Question::Suspend => Effect::Suspend,
    }
}

/// Does this process apply a load?
fn is_loaded(live: &Snapshot) -> bool {
    matches!(live.run.state, RunState::Starting | RunState::Running | RunState::Draining)
}

/// Is there a load, and is it not about to end?
fn may_change_load(model: &Model, live: &Snapshot) -> bool {
    matches!(live.run.state, RunState::Starting | RunState::Running) && !model.stopping
}

/// Is more load planned than one would lose without a thought? Not known of a load without a planned end.
fn has_much_left(model: &Model, live: &Snapshot) -> bool {
    may_change_load(model, live) && live.run.planned.is_some_and(|end| end.since(live.at) > MUCH_LEFT)
}

fn change_load(model: &mut Model, by: i8) -> Effect {
    model.tenths = model.tenths.saturating_add_signed(by).min(MOST_TENTHS);
    let share = f64::from(model.tenths) / f64::from(AS_PLANNED);
    send(model, UiCommand::Scale(share), format!("load: {} of the plan", percent(share)))
}

fn move_cursor(model: &mut Model, by: i64, live: &Snapshot) {
    let shown = model.shown(live);
    let (first, newest) = (shown.first_column, axis::newest_column(shown));
    let step = by.unsigned_abs().saturating_mul(model.zoom.step());
    let from = model.cursor.unwrap_or(newest).clamp(first, newest);
    let to = if by < 0 { from.saturating_sub(step) } else { from.saturating_add(step) };
    let selected = figures::seen(shown).enumerate().filter(|(_, f)| covers(f, to));
    let selected = selected.max_by_key(|(_, f)| f.onset).map(|(i, f)| (i, f.id.clone()));
    // Past the newest column the cursor lets go, and the newest values are shown again.
    model.cursor = (to <= newest).then(|| to.max(first));
    if let (Some((i, id)), Some(_)) = (selected, model.cursor) {
        choose(model, View::Overview, i, Some(id));
    }
}

/// Was the finding there in this column?
fn covers(finding: &Finding, column: u64) -> bool {
    let ended = finding.ended.map_or(u64::MAX, |t| t.0 / COLUMN_NS);
    (finding.onset.0 / COLUMN_NS..=ended).contains(&column)
}

fn next_finding(model: &mut Model, by: isize, live: &Snapshot) {
    let seen: Vec<&Finding> = figures::seen(model.shown(live)).collect();
    if seen.is_empty() {
        model.notice = Some("no finding so far".to_owned());
        return;
    }
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_by_key(|&i| seen[i].onset);
    let selected = model.row_in(View::Overview, &seen);
    let here = order.iter().position(|&i| i == selected);
    let last = order.len() as isize;
    let next = match (model.cursor, here) {
        (Some(_), Some(at)) => (at as isize + by).rem_euclid(last),
        _ if by > 0 => 0,
        _ => last - 1,
    };
    let i = order[next as usize];
    let (onset, id) = (seen[i].onset, seen[i].id.clone());
    model.cursor = Some(onset.0 / COLUMN_NS);
    choose(model, View::Overview, i, Some(id));
}

fn select(model: &mut Model, by: isize, screen: Rect, live: &Snapshot) {
    if let Some(first) = model.detail {
        model.detail = Some(scrolled_on(model, first, by, screen, live));
        return;
    }
    let (view, shown) = (model.view, model.shown(live));
    let last = views::row_count(model, shown).saturating_sub(1);
    let at = model.row_in(view, &views::listed(model, shown));
    choose_row(model, at.min(last).saturating_add_signed(by).min(last), live);
}

/// Selects a row of the list on the screen, and the finding that stands there.
fn choose_row(model: &mut Model, row: usize, live: &Snapshot) {
    let view = model.view;
    let finding = views::listed(model, model.shown(live)).get(row).map(|f| f.id.clone());
    choose(model, view, row, finding);
}

fn inspect(model: &mut Model, live: &Snapshot) {
    let listed = views::listed(model, model.shown(live));
    let row = model.row_in(model.view, &listed).min(listed.len().saturating_sub(1));
    let Some(id) = listed.get(row).map(|f| f.id.clone()) else { return };
    choose_row(model, row, live);
    go(model, View::Findings);
    // The overview lists only what is there; the view of findings lists all.
    let row = views::listed(model, model.shown(live)).iter().position(|f| f.id == id).unwrap_or(0);
    choose(model, View::Findings, row, Some(id));
    model.detail = Some(0);
}

fn back(model: &mut Model) {
    if !model.filter.is_empty() {
        model.filter.clear();
    } else if model.detail.take().is_none() {
        model.cursor = None;
    }
}

fn click(model: &mut Model, at: Position, screen: Rect, live: &Snapshot) {
    match mouse::spot(model, live, at, screen) {
        Spot::Tab(view) => go(model, view),
        Spot::Row(row) => choose_row(model, row, live),
        Spot::Time(column) => model.cursor = column,
        Spot::Nothing => {}
    }
}

/// Over a plot the wheel moves in time, elsewhere through the list.
fn wheel(model: &mut Model, by: isize, at: Position, screen: Rect, live: &Snapshot) {
    match (model.overlay, mouse::spot(model, live, at, screen)) {
        (Overlay::Help(first), _) => scroll_help(model, first, by, screen, live),
        (Overlay::None | Overlay::Typing, Spot::Time(_)) => move_cursor(model, by as i64, live),
        (Overlay::None | Overlay::Typing, _) => select(model, by, screen, live),
        (Overlay::Question(_), _) => {}
    }
}
