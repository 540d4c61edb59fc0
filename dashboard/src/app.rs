//! The dashboard without a terminal: model, messages, update, view.
//!
//! Owns what the screen remembers between frames and how keys change it. [`update`] reads nothing but
//! its arguments and [`view`] changes nothing but the size of the screen that the model remembers, so that
//! both run under a test backend; the thread and the terminal belong to [`crate::tui`].

use std::cell::Cell;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use timeline::Finding;
use timeline::amendment::percent;
use timeline::snapshot::{COLUMN_NS, RunState, Snapshot};

use crate::axis::{self, Zoom};
use crate::canvas::Canvas;
use crate::figures;
use crate::keys::{self, Action};
use crate::layout::SizeClass;
use crate::mouse::{self, Spot};
use crate::theme::Theme;
use crate::views;

/// The views, in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Everything at a glance.
    Overview,
    /// Heatmap and percentiles.
    Response,
    /// Phases, steps, errors, workers.
    Sessions,
    /// Generations, allocation, promotion.
    Memory,
    /// Pauses and the async loop.
    Pauses,
    /// Pools and caches.
    Pools,
    /// Processes and sources.
    Processes,
    /// Findings with evidence, advice and causes.
    Findings,
    /// What happened.
    Log,
}

impl View {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Overview,
        Self::Response,
        Self::Sessions,
        Self::Memory,
        Self::Pauses,
        Self::Pools,
        Self::Processes,
        Self::Findings,
        Self::Log,
    ];

    /// Its place, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Long and short name for the tabs.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", "Overview"),
            Self::Response => ("Response", "Response"),
            Self::Sessions => ("Sessions", "Load"),
            Self::Memory => ("Memory", "Memory"),
            Self::Pauses => ("Pauses+loop", "Pauses"),
            Self::Pools => ("Pools+caches", "Pools"),
            Self::Processes => ("Processes", "Procs"),
            Self::Findings => ("Findings", "Findings"),
            Self::Log => ("Log", "Log"),
        }
    }

    fn step(self, by: isize) -> Self {
        let n = Self::ALL.len() as isize;
        Self::ALL[(self as isize + by).rem_euclid(n) as usize]
    }
}

/// What the run behind the screen can do; keys for the rest are neither offered nor explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// [`UiCommand::Scale`] and [`UiCommand::Halt`] have a receiver.
    pub load: bool,
    /// [`UiCommand::Marker`] has one.
    pub marker: bool,
    /// [`UiCommand::WriteReport`] has one.
    pub report: bool,
    /// A recording is played, at first at this speed: [`UiCommand::Play`] has a receiver. Never together with `load`.
    pub replay: Option<u16>,
}

impl Default for Capabilities {
    /// Markers and reports, no change of the load.
    fn default() -> Self {
        Self { load: false, marker: true, report: true, replay: None }
    }
}

/// What the person at the screen asks of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UiCommand {
    /// Stop the load, drain, write the reports.
    Quit,
    /// End at once.
    Abort,
    /// Load from now on as a share of the plan: 1 is as planned. Range: 0 to 10.
    Scale(f64),
    /// Halt the load, or let it go on.
    Halt(bool),
    /// Put a marker on the timeline.
    Marker,
    /// Write the report of the run so far.
    WriteReport,
    /// Change how a recording is played.
    Play(Play),
}

/// How a recording is to be played from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Hold, or go on.
    Hold(bool),
    /// By so many seconds: negative is back.
    Seek(i64),
    /// So many times as fast as it happened. Range: 1 to [`FASTEST`].
    Speed(u16),
}

/// The fastest replay: an hour in about half a minute.
pub const FASTEST: u16 = 128;

/// What lies over the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The keys, from this line on.
    Help(usize),
    /// The filter is being typed.
    Typing,
    /// The person is asked whether something is really meant.
    Question(Question),
}

/// What is only done after a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The load is to be halted.
    Halt,
    /// The program is to be suspended while a load is applied.
    Suspend,
}

/// Which of the two times tables show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// Finished - intended.
    #[default]
    Response,
    /// Finished - started.
    Service,
}

/// What the screen remembers between frames.
#[derive(Debug, Clone)]
pub struct Model {
    /// Colours and glyphs.
    pub theme: Theme,
    /// What the run can do.
    pub capabilities: Capabilities,
    /// The view on the screen.
    pub view: View,
    /// What lies over it.
    pub overlay: Overlay,
    /// Time on the screen.
    pub zoom: Zoom,
    /// Column under the cursor, counted from the run's start; none: the newest values are shown.
    pub cursor: Option<u64>,
    /// The snapshot that the view is frozen at.
    pub frozen: Option<Arc<Snapshot>>,
    /// Lists show only rows with this text in them.
    pub filter: String,
    /// Response or service time in tables.
    pub measure: Measure,
    /// Column that tables are sorted by; 0 is their own order.
    pub sort: usize,
    /// Sorted the other way round?
    pub reverse: bool,
    /// Line of the finding's detail at the top, while it fills the view.
    pub detail: Option<usize>,
    /// The answer to the last key, shown instead of the hints until the next one.
    pub notice: Option<String>,
    /// Quit was asked for.
    pub stopping: bool,
    /// The load is halted.
    pub halted: bool,
    /// Tenths of the planned load.
    pub tenths: u8,
    /// The replay is held.
    pub held: bool,
    /// Speed of the replay, times as fast as it happened.
    pub speed: u16,
    selected: [usize; View::ALL.len()],
    /// The finding that a person chose in a view's list: it stays chosen wherever it is ranked by now.
    chosen: [Option<String>; View::ALL.len()],
    /// The screen that was drawn last, empty before: how far a text scrolls depends on it.
    screen: Cell<Rect>,
}

/// Tenths of the load as planned.
const AS_PLANNED: u8 = 10;
/// Most tenths that can be asked for.
const MOST_TENTHS: u8 = 100;
/// Longest filter that can be typed, characters.
const LONGEST_FILTER: usize = 40;

impl Model {
    /// The overview, following the newest column.
    #[must_use]
    pub fn new(theme: Theme, capabilities: Capabilities) -> Self {
        Self {
            theme,
            capabilities,
            view: View::Overview,
            overlay: Overlay::None,
            zoom: Zoom::default(),
            cursor: None,
            frozen: None,
            filter: String::new(),
            measure: Measure::Response,
            sort: 0,
            reverse: false,
            detail: None,
            notice: None,
            stopping: false,
            halted: false,
            tenths: AS_PLANNED,
            held: false,
            speed: capabilities.replay.unwrap_or(1),
            selected: [0; View::ALL.len()],
            chosen: Default::default(),
            screen: Cell::default(),
        }
    }

    /// The selected row of a view's list, as it was when it was selected.
    #[must_use]
    pub fn selected(&self, view: View) -> usize {
        self.selected[view.index()]
    }

    /// The selected row of a view's `list` of findings: findings are ranked anew while a run lasts, and the
    /// selection goes with the one that was chosen. May lie beyond the end of a list that has become shorter.
    pub(crate) fn row_in(&self, view: View, list: &[&Finding]) -> usize {
        let row = self.selected(view);
        let chosen = |f: &&Finding| self.chosen[view.index()].as_ref() == Some(&f.id);
        if list.get(row).is_some_and(chosen) {
            return row;
        }
        list.iter().position(chosen).unwrap_or(row)
    }

    /// Does a row with this text pass the filter?
    #[must_use]
    pub fn passes(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// The snapshot on the screen: the frozen one, or `live`.
    #[must_use]
    pub fn shown<'a>(&'a self, live: &'a Snapshot) -> &'a Snapshot {
        self.frozen.as_deref().unwrap_or(live)
    }
}

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
    match model.overlay {
        Overlay::Typing => typed(model, code),
        Overlay::Question(question) => return confirmed(model, question, code),
        Overlay::Help(_) if matches!(action, Some(Action::Help | Action::Back | Action::Quit)) => {
            model.overlay = Overlay::None;
        }
        Overlay::Help(first) if scrolled(code, modifiers).is_some() => {
            scroll_help(model, first, scrolled(code, modifiers).unwrap_or(0), model.screen.get(), live);
        }
        Overlay::Help(_) | Overlay::None => {
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
    // As for the mouse, the frame is drawn once more where nobody sees it, and says how far it goes.
    let mut buffer = Buffer::empty(screen);
    let mut canvas = Canvas::new(&mut buffer, model.theme);
    draw(&mut canvas, screen, model, live);
    let end = canvas.places.end.unwrap_or(usize::MAX);
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

fn confirmed(model: &mut Model, question: Question, code: KeyCode) -> Effect {
    model.overlay = Overlay::None;
    match question {
        _ if code != KeyCode::Char('y') => Effect::None,
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

/// Draws one frame.
pub fn view(model: &Model, live: &Snapshot, frame: &mut Frame<'_>) {
    let area = frame.area();
    model.screen.set(area);
    let mut canvas = Canvas::new(frame.buffer_mut(), model.theme);
    draw(&mut canvas, area, model, live);
    if let Some(position) = canvas.focus {
        frame.set_cursor_position(position);
    }
}

fn draw(canvas: &mut Canvas<'_>, area: Rect, model: &Model, live: &Snapshot) {
    if SizeClass::of(area) == SizeClass::TooSmall {
        views::too_small(canvas, area);
    } else {
        views::draw(canvas, area, model, live);
    }
}
