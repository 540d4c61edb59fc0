//! Keys: one static table that dispatch, hints and help all read.
//!
//! Owns which key does what in which view, and the words for it. A key that is not in the table does
//! nothing; an action that the run cannot carry out is neither offered nor explained.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use crate::app::{Capabilities, View};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stop the load, drain, write the reports; leave when that is done.
    Quit,
    /// The same; the second time abort.
    Interrupt,
    /// Show or hide the keys.
    Help,
    /// The next view.
    NextView,
    /// The view before.
    PreviousView,
    /// A view by its place.
    Go(View),
    /// Cursor by columns: negative is earlier.
    Cursor(i64),
    /// Selection by rows: negative is up.
    Select(isize),
    /// Look into the selected row.
    Inspect,
    /// One step back; never leaves.
    Back,
    /// Filter the list.
    Filter,
    /// The next (or previous) finding in order of time.
    Finding(isize),
    /// Less time on the screen.
    Nearer,
    /// More time on the screen.
    Farther,
    /// The usual zoom, and the newest column again.
    Reset,
    /// Freeze the view; the run, or the replay, goes on.
    Freeze,
    /// Response or service time in tables.
    Measure,
    /// Put a marker on the timeline.
    Marker,
    /// Write the report of the run so far.
    WriteReport,
    /// The next column to sort by.
    Sort,
    /// Sort the other way round.
    Reverse,
    /// Halt the load, or let it go on.
    Halt,
    /// Tenths of the load: negative is less.
    Load(i8),
    /// Hold the replay, or go on.
    Hold,
    /// The replay by seconds: negative is back.
    Seek(i64),
    /// The replay twice as fast, or half.
    Faster(bool),
    /// The terminal's suspend key.
    Suspend,
}

/// A key with or without Control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub code: KeyCode,
    /// Held together with Control?
    pub ctrl: bool,
}

/// What a binding needs of the run to be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The load can be changed.
    Load,
    /// Markers are recorded.
    Marker,
    /// The report can be written before the end.
    Report,
    /// No recording is played.
    Run,
    /// A recording is played.
    Replay,
}

/// A row of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys; any of them.
    pub keys: &'static [Key],
    /// How they are written on the screen; empty: the row before tells of these, too.
    pub shown: &'static str,
    /// What they do.
    pub action: Action,
    /// What that means, for help: a phrase of its own; empty with `shown`.
    pub about: &'static str,
    /// Keys and one word for the hints; empty: in help alone.
    pub hint: (&'static str, &'static str),
    /// Views in which it works.
    pub views: &'static [View],
    /// What it needs.
    pub needs: Needs,
}

const fn char(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: false }
}

const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: true }
}

const fn key(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

const fn bind(keys: &'static [Key], shown: &'static str, action: Action, about: &'static str) -> Binding {
    Binding { keys, shown, action, about, hint: ("", ""), views: View::ALL, needs: Needs::Nothing }
}

/// The other key of a pair: the row before tells of both.
const fn pair(keys: &'static [Key], action: Action) -> Binding {
    bind(keys, "", action, "")
}

impl Binding {
    const fn hint(self, keys: &'static str, word: &'static str) -> Self {
        Self { hint: (keys, word), ..self }
    }

    const fn on(self, views: &'static [View]) -> Self {
        Self { views, ..self }
    }

    const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }
}

/// Views with a time axis.
const AXIS: &[View] =
    &[View::Overview, View::Response, View::Memory, View::Pauses, View::Pools, View::Processes];
/// Views with a list.
const LISTS: &[View] =
    &[View::Overview, View::Sessions, View::Pauses, View::Pools, View::Processes, View::Findings, View::Log];
/// Views whose list can be sorted.
const SORTED: &[View] = &[View::Sessions, View::Processes];
/// Views whose list can be filtered.
const FILTERED: &[View] = &[View::Sessions, View::Pauses, View::Processes, View::Findings, View::Log];

/// Rows of a page.
const PAGE: isize = 10;
/// Further than any list is long.
const END: isize = 1_000_000;
/// Columns of a long step of the cursor.
const FAR: i64 = 10;

/// Seconds of a step through a recording.
const SEEK: i64 = 10;

/// Longest writing of keys, characters.
pub const SHOWN_MAX: usize = 9;
/// Longest description, characters: two columns of keys fit a screen of 80.
pub const ABOUT_MAX: usize = 27;

/// All bindings. Hints are taken in this order and dropped from the right, so `q` and `?` go last. Of a pair of keys the first has the
/// row of both in the help.
pub static BINDINGS: &[Binding] = &[
    bind(&[char('q')], "q", Action::Quit, "stop, drain, write reports").hint("q", "quit").needs(Needs::Run),
    bind(&[char('q')], "q", Action::Quit, "leave the replay").hint("q", "quit").needs(Needs::Replay),
    bind(&[char('?'), key(KeyCode::F(1))], "?", Action::Help, "show or hide these keys").hint("?", "help"),
    bind(&[key(KeyCode::Tab)], "Tab S-Tab", Action::NextView, "next view, view before").hint("Tab", "view"),
    pair(&[key(KeyCode::BackTab)], Action::PreviousView),
    bind(&[char(' ')], "Space", Action::Freeze, "freeze view, run goes on")
        .hint("Space", "freeze")
        .needs(Needs::Run),
    bind(&[char(' ')], "Space", Action::Freeze, "freeze view, replay goes on")
        .hint("Space", "freeze")
        .needs(Needs::Replay),
    bind(&[char('n')], "n N", Action::Finding(1), "to next finding, one before")
        .hint("n", "finding")
        .on(AXIS),
    pair(&[char('N')], Action::Finding(-1)).on(AXIS),
    bind(&[key(KeyCode::Enter)], "Enter", Action::Inspect, "inspect selected finding")
        .hint("Enter", "inspect")
        .on(&[View::Overview, View::Findings]),
    bind(&[char('h'), key(KeyCode::Left)], "h l", Action::Cursor(-1), "cursor earlier, later")
        .hint("h l", "cursor")
        .on(AXIS),
    pair(&[char('l'), key(KeyCode::Right)], Action::Cursor(1)).on(AXIS),
    bind(&[char('H')], "H L", Action::Cursor(-FAR), "ten columns earlier, later").on(AXIS),
    pair(&[char('L')], Action::Cursor(FAR)).on(AXIS),
    bind(&[char('+'), char('=')], "+ -", Action::Nearer, "less, more time on screen")
        .hint("+ -", "zoom")
        .on(AXIS),
    pair(&[char('-')], Action::Farther).on(AXIS),
    bind(&[char('0')], "0", Action::Reset, "usual zoom, newest column").on(AXIS),
    bind(&[char('/')], "/", Action::Filter, "filter the list").hint("/", "filter").on(FILTERED),
    bind(&[char('s')], "s", Action::Sort, "sort by the next column").hint("s", "sort").on(SORTED),
    bind(&[char('r')], "r", Action::Reverse, "sort the other way round").on(SORTED),
    bind(&[char('t')], "t", Action::Measure, "response or service time")
        .hint("t", "measure")
        .on(&[View::Sessions]),
    bind(&[char('p')], "p", Action::Halt, "halt the load, or go on").hint("p", "halt").needs(Needs::Load),
    bind(&[char('<')], "< >", Action::Load(-1), "a tenth less, more load")
        .hint("<>", "load")
        .needs(Needs::Load),
    pair(&[char('>')], Action::Load(1)).needs(Needs::Load),
    bind(&[char('p')], "p", Action::Hold, "hold the replay, or go on").hint("p", "hold").needs(Needs::Replay),
    bind(&[char(',')], ", .", Action::Seek(-SEEK), "ten seconds back, on")
        .hint(", .", "seek")
        .needs(Needs::Replay),
    pair(&[char('.')], Action::Seek(SEEK)).needs(Needs::Replay),
    bind(&[char('[')], "[ ]", Action::Faster(false), "replay half, twice as fast")
        .hint("[ ]", "speed")
        .needs(Needs::Replay),
    pair(&[char(']')], Action::Faster(true)).needs(Needs::Replay),
    bind(&[char('m')], "m", Action::Marker, "put a marker on the time")
        .hint("m", "marker")
        .needs(Needs::Marker),
    bind(&[char('w')], "w", Action::WriteReport, "write the report so far")
        .hint("w", "report")
        .needs(Needs::Report),
    bind(&[char('j'), key(KeyCode::Down)], "j k", Action::Select(1), "row down, up").on(LISTS),
    pair(&[char('k'), key(KeyCode::Up)], Action::Select(-1)).on(LISTS),
    bind(&[key(KeyCode::PageDown)], "PgDn PgUp", Action::Select(PAGE), "ten rows down, up").on(LISTS),
    pair(&[key(KeyCode::PageUp)], Action::Select(-PAGE)).on(LISTS),
    bind(&[char('g'), key(KeyCode::Home)], "g G", Action::Select(-END), "first row, last row").on(LISTS),
    pair(&[char('G'), key(KeyCode::End)], Action::Select(END)).on(LISTS),
    bind(&[key(KeyCode::Esc)], "Esc", Action::Back, "one step back"),
    bind(&[char('1')], "1", Action::Go(View::Overview), "overview"),
    bind(&[char('2')], "2", Action::Go(View::Response), "response times"),
    bind(&[char('3')], "3", Action::Go(View::Sessions), "sessions, steps, errors"),
    bind(&[char('4')], "4", Action::Go(View::Memory), "memory"),
    bind(&[char('5')], "5", Action::Go(View::Pauses), "pauses and loop"),
    bind(&[char('6')], "6", Action::Go(View::Pools), "pools and caches"),
    bind(&[char('7')], "7", Action::Go(View::Processes), "processes and sources"),
    bind(&[char('8')], "8", Action::Go(View::Findings), "findings"),
    bind(&[char('9')], "9", Action::Go(View::Log), "log"),
    bind(&[ctrl('c')], "Ctrl-C", Action::Interrupt, "as q; twice: abort").needs(Needs::Run),
    bind(&[ctrl('c')], "Ctrl-C", Action::Interrupt, "as q").needs(Needs::Replay),
    bind(&[ctrl('z')], "Ctrl-Z", Action::Suspend, "suspend; fg brings it back"),
];

impl Binding {
    /// Does it work in `view` of a run that can do this?
    #[must_use]
    pub fn works(&self, view: View, capabilities: Capabilities) -> bool {
        let able = match self.needs {
            Needs::Nothing => true,
            Needs::Load => capabilities.load,
            Needs::Marker => capabilities.marker,
            Needs::Report => capabilities.report,
            Needs::Run => capabilities.replay.is_none(),
            Needs::Replay => capabilities.replay.is_some(),
        };
        able && self.views.contains(&view)
    }
}

/// What a key means in `view`; none if nothing.
#[must_use]
pub fn action(
    view: View,
    capabilities: Capabilities,
    code: KeyCode,
    modifiers: KeyModifiers,
) -> Option<Action> {
    let pressed = Key { code, ctrl: modifiers.contains(KeyModifiers::CONTROL) };
    BINDINGS.iter().find(|b| b.works(view, capabilities) && b.keys.contains(&pressed)).map(|b| b.action)
}

/// Key and word of every hint in `view`, the most important first.
pub fn hints(view: View, capabilities: Capabilities) -> impl Iterator<Item = (&'static str, &'static str)> {
    BINDINGS.iter().filter(move |b| b.works(view, capabilities) && !b.hint.1.is_empty()).map(|b| b.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Capabilities = Capabilities { load: true, marker: true, report: true, replay: None };
    const REPLAY: Capabilities = Capabilities { load: false, marker: false, report: false, replay: Some(1) };

    #[test]
    fn no_key_means_two_things_in_one_view() {
        for (view, able) in View::ALL.iter().flat_map(|v| [(v, EVERYTHING), (v, REPLAY)]) {
            let keys: Vec<Key> =
                BINDINGS.iter().filter(|b| b.works(*view, able)).flat_map(|b| b.keys).copied().collect();
            for (i, key) in keys.iter().enumerate() {
                assert!(!keys[i + 1..].contains(key), "{key:?} is bound twice in {view:?}");
            }
        }
    }

    #[test]
    fn every_binding_is_described_and_reachable() {
        for (i, b) in BINDINGS.iter().enumerate() {
            let row = if b.shown.is_empty() { &BINDINGS[i - 1] } else { b };
            assert!(!row.about.is_empty() && !row.shown.is_empty() && !b.keys.is_empty(), "{b:?}");
            assert!(row.shown.len() <= SHOWN_MAX && row.about.len() <= ABOUT_MAX, "{b:?}");
            assert_eq!((row.views, row.needs), (b.views, b.needs), "where one of a pair works, both do");
            assert!(!b.views.is_empty(), "{b:?}");
            let able = if b.needs == Needs::Replay { REPLAY } else { EVERYTHING };
            let found = action(b.views[0], able, b.keys[0].code, modifiers(b.keys[0]));
            assert_eq!(found, Some(b.action));
        }
    }

    #[test]
    fn what_the_run_cannot_do_is_not_offered() {
        let nothing = Capabilities { load: false, marker: false, report: false, replay: None };
        assert_eq!(action(View::Overview, nothing, KeyCode::Char('p'), KeyModifiers::NONE), None);
        assert!(hints(View::Overview, nothing).all(|(key, _)| !["p", "<>", "m", "w"].contains(&key)));
        assert!(hints(View::Overview, EVERYTHING).any(|(key, _)| key == "p"));
    }

    #[test]
    fn a_replay_is_told_of_in_its_own_words() {
        let told = |able| {
            let rows = BINDINGS.iter().filter(|b| b.works(View::Overview, able));
            rows.map(|b| b.about).collect::<Vec<_>>().join("\n")
        };
        let (run, replay) = (told(EVERYTHING), told(REPLAY));
        for words in ["write reports", "run goes on", "abort"] {
            assert!(run.contains(words) && !replay.contains(words), "{words}:\n{replay}");
        }
        for words in ["leave the replay", "replay goes on"] {
            assert!(replay.contains(words) && !run.contains(words), "{words}:\n{run}");
        }
        let keys = |able| hints(View::Overview, able).map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(EVERYTHING)[..4], keys(REPLAY)[..4]);
    }

    fn modifiers(key: Key) -> KeyModifiers {
        if key.ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE }
    }
}
