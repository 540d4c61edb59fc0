//! The dashboard without a terminal: model, messages, update, view.
//!
//! Owns what the screen remembers between frames. [`update()`], which has a file of its own, reads nothing but its arguments,
//! and [`view`] changes nothing but the size of the screen that the model remembers, so that
//! both run under a test backend; the thread and the terminal belong to [`crate::tui`].

mod update;

pub use update::{Effect, Msg, update};

use std::cell::Cell;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use timeline::Finding;
use timeline::snapshot::Snapshot;

use crate::axis::Zoom;
use crate::canvas::{Canvas, Places};
use crate::layout::SizeClass;
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
    /// The load is to be stopped long before its planned end.
    Stop,
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

/// What lies where on a screen of this size, and how far it scrolls: the frame is drawn once more, where nobody sees it.
pub(crate) fn places(model: &Model, live: &Snapshot, screen: Rect) -> Places {
    let mut buffer = Buffer::empty(screen);
    let mut canvas = Canvas::new(&mut buffer, model.theme);
    draw(&mut canvas, screen, model, live);
    canvas.places
}

fn draw(canvas: &mut Canvas<'_>, area: Rect, model: &Model, live: &Snapshot) {
    if SizeClass::of(area) == SizeClass::TooSmall {
        views::too_small(canvas, area, model.overlay);
    } else {
        views::draw(canvas, area, model, live);
    }
}
