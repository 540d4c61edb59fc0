//! Scripted keys: what a sequence does to the model, and what reaches the run.

use std::sync::Arc;

use dashboard::app::{self, Capabilities, Effect, Model, Msg, Overlay, Question, UiCommand, View};
use dashboard::keys::BINDINGS;
use dashboard::theme::{Ground, Palette, Theme};
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use timeline::snapshot::{RunState, Snapshot};
use timeline::{Finding, RunTime};

use crate::{fixture, keys, model, press};

fn live() -> Arc<Snapshot> {
    Arc::new(fixture::flash_sale(66))
}

fn in_state(state: RunState) -> Arc<Snapshot> {
    let mut s = fixture::flash_sale(66);
    s.run.state = state;
    Arc::new(s)
}

fn ctrl_c(model: &mut Model, live: &Arc<Snapshot>) -> Effect {
    app::update(model, Msg::Key(KeyCode::Char('c'), KeyModifiers::CONTROL), live)
}

#[test]
fn first_ctrl_c_drains_and_the_second_aborts() {
    let mut m = model(Palette::None, false);
    assert_eq!(ctrl_c(&mut m, &live()), Effect::Send(UiCommand::Quit));
    assert_eq!(ctrl_c(&mut m, &in_state(RunState::Draining)), Effect::Leave(Some(UiCommand::Abort)));

    let mut m = model(Palette::None, false);
    keys(&mut m, "q", &live());
    assert_eq!(press(&mut m, KeyCode::Char('y'), &live()), Effect::Send(UiCommand::Quit));
    assert_eq!(press(&mut m, KeyCode::Char('q'), &live()), Effect::None, "impatience is not an abort");
    assert_eq!(m.overlay, Overlay::None, "it has been answered");
    assert_eq!(ctrl_c(&mut m, &live()), Effect::Leave(Some(UiCommand::Abort)));
}

#[test]
fn quitting_asks_once_while_load_is_planned_for_longer() {
    let q = KeyCode::Char('q');
    let at = |second: u64, state: RunState, planned: Option<RunTime>| {
        let mut s = fixture::flash_sale(second);
        (s.run.state, s.run.planned) = (state, planned);
        Arc::new(s)
    };
    let end = Some(RunTime::from_ms(90_000));
    for state in [RunState::Starting, RunState::Running] {
        let live = at(79, state, end);
        let mut m = model(Palette::None, false);
        assert_eq!(press(&mut m, q, &live), Effect::None);
        assert_eq!((m.overlay, m.stopping), (Overlay::Question(Question::Stop), false));
        assert_eq!(press(&mut m, KeyCode::Char('n'), &live), Effect::None);
        assert_eq!((m.overlay, m.stopping), (Overlay::None, false));
        assert_eq!(press(&mut m, q, &live), Effect::None);
        assert_eq!(press(&mut m, q, &live), Effect::Send(UiCommand::Quit), "the second q is an answer");
        assert!(m.stopping);
    }
    for live in
        [at(80, RunState::Running, end), at(79, RunState::Running, None), at(79, RunState::Draining, end)]
    {
        let mut m = model(Palette::None, false);
        assert_eq!(press(&mut m, q, &live), Effect::Send(UiCommand::Quit), "{:?}", live.run);
    }
    let mut m = model(Palette::None, false);
    keys(&mut m, "q", &at(79, RunState::Running, end));
    assert_eq!(press(&mut m, q, &at(89, RunState::Done, end)), Effect::Leave(None), "it ended meanwhile");
}

#[test]
fn a_question_is_read_on_a_screen_that_is_too_small() {
    for (key, title) in [('q', "stop the load? y"), ('p', "halt the load? y")] {
        let mut m = model(Palette::None, false);
        let text = |m: &Model| crate::rows(&crate::buffer(m, &live(), 39, 9)).join("\n");
        assert!(text(&m).contains("too small"), "{}", text(&m));
        press(&mut m, KeyCode::Char(key), &live());
        assert!(text(&m).contains(title), "{}", text(&m));
    }
}

#[test]
fn quitting_leaves_at_once_where_nothing_is_loaded() {
    for (state, expected) in [
        (RunState::Done, None),
        (RunState::Watching, Some(UiCommand::Quit)),
        (RunState::Replaying, Some(UiCommand::Quit)),
    ] {
        let mut m = model(Palette::None, false);
        assert_eq!(press(&mut m, KeyCode::Char('q'), &in_state(state)), Effect::Leave(expected));
        let mut m = model(Palette::None, false);
        assert_eq!(ctrl_c(&mut m, &in_state(state)), Effect::Leave(expected));
    }
}

#[test]
fn ctrl_c_works_over_everything() {
    for opening in ['?', 'p', 'q'] {
        let mut m = model(Palette::None, false);
        press(&mut m, KeyCode::Char(opening), &live());
        assert_ne!(m.overlay, Overlay::None);
        assert_eq!(ctrl_c(&mut m, &live()), Effect::Send(UiCommand::Quit));
    }
    let mut m = model(Palette::None, false);
    keys(&mut m, "9/", &live());
    assert_eq!(m.overlay, Overlay::Typing);
    assert_eq!(ctrl_c(&mut m, &live()), Effect::Send(UiCommand::Quit));
}

#[test]
fn views_by_number_and_by_tab() {
    let mut m = model(Palette::None, false);
    for (i, view) in View::ALL.iter().enumerate() {
        keys(&mut m, &(i + 1).to_string(), &live());
        assert_eq!(m.view, *view);
    }
    press(&mut m, KeyCode::Tab, &live());
    assert_eq!(m.view, View::Overview);
    press(&mut m, KeyCode::BackTab, &live());
    assert_eq!(m.view, View::Log);
}

#[test]
fn the_cursor_moves_selects_the_finding_there_and_lets_go_at_the_newest_column() {
    let mut m = model(Palette::None, false);
    keys(&mut m, "h", &live());
    assert_eq!(m.cursor, Some(64));
    keys(&mut m, "HH", &live());
    assert_eq!(m.cursor, Some(44));
    assert_eq!(m.selected(View::Overview), 1, "the pool, whose onset is the latest by then");
    keys(&mut m, "H", &live());
    assert_eq!((m.cursor, m.selected(View::Overview)), (Some(34), 2), "the leak, since second 30");
    keys(&mut m, "LLLL", &live());
    assert_eq!(m.cursor, None);
    press(&mut m, KeyCode::Left, &live());
    press(&mut m, KeyCode::Esc, &live());
    assert_eq!(m.cursor, None);
}

#[test]
fn n_walks_through_the_findings_in_order_of_time() {
    let mut m = model(Palette::None, false);
    let mut visited = Vec::new();
    for _ in 0..4 {
        keys(&mut m, "n", &live());
        visited.push((m.cursor.unwrap(), m.selected(View::Overview)));
    }
    assert_eq!(visited, [(30, 2), (40, 0), (40, 1), (30, 2)]);
    keys(&mut m, "N", &live());
    assert_eq!(m.selected(View::Overview), 1);
    keys(&mut m, "N", &Arc::new(fixture::flash_sale(10)));
    assert!(m.notice.is_some(), "nothing to go to");
}

#[test]
fn enter_opens_the_selected_finding_and_esc_closes_it() {
    let mut m = model(Palette::None, false);
    keys(&mut m, "j", &live());
    press(&mut m, KeyCode::Enter, &live());
    assert_eq!((m.view, m.detail, m.selected(View::Findings)), (View::Findings, Some(0), 1));
    keys(&mut m, "jj", &live());
    assert_eq!((m.detail, m.selected(View::Findings)), (Some(2), 1), "j scrolls the detail");
    press(&mut m, KeyCode::Esc, &live());
    assert_eq!(m.detail, None);
}

#[test]
fn the_way_back_from_the_end_of_a_text_begins_with_the_first_press() {
    for opening in [KeyCode::Enter, KeyCode::Char('?')] {
        let mut m = model(Palette::None, false);
        let picture = |m: &Model| crate::rows(&crate::buffer(m, &live(), 40, 10));
        press(&mut m, opening, &live());
        let top = picture(&m);
        keys(&mut m, "GGj", &live());
        let end = picture(&m);
        assert_ne!(end, top, "{opening:?}: the text is longer than the screen");
        keys(&mut m, "k", &live());
        assert_ne!(picture(&m), end, "{opening:?}");
        keys(&mut m, "j", &live());
        assert_eq!(picture(&m), end, "{opening:?}");
    }
}

#[test]
fn the_chosen_finding_stays_chosen_whatever_is_ranked_in_front_of_it() {
    let mut later = fixture::flash_sale(66);
    let first = Finding { id: "F9".into(), ..later.findings[2].clone() };
    later.findings.insert(0, first);
    let later = Arc::new(later);
    let mut m = model(Palette::None, false);
    press(&mut m, KeyCode::Enter, &live());
    let text = |m: &Model| crate::rows(&crate::buffer(m, &later, 80, 24)).join("\n");
    assert!(text(&m).contains("finding F1"), "it is open:\n{}", text(&m));
    press(&mut m, KeyCode::Esc, &later);
    let marked = |m: &Model| text(m).lines().find(|l| l.starts_with('›')).map(str::to_owned).unwrap();
    assert!(marked(&m).contains(" F1 "), "{}", text(&m));
    keys(&mut m, "j", &later);
    assert!(marked(&m).contains(" F2 "), "{}", text(&m));
    press(&mut m, KeyCode::Enter, &live());
    assert!(text(&m).contains("finding F2"), "{}", text(&m));
    keys(&mut m, "1", &later);
    assert!(marked(&m).contains(" F1 "), "inspected from here:\n{}", text(&m));
    keys(&mut m, "nnn", &live());
    assert!(marked(&m).contains(" F2 "), "{}", text(&m));
}

#[test]
fn space_freezes_the_view_and_nothing_else() {
    let mut m = model(Palette::None, false);
    assert_eq!(press(&mut m, KeyCode::Char(' '), &live()), Effect::None);
    let later = fixture::flash_sale(80);
    assert_eq!(m.shown(&later).at, live().at);
    let banner = |m: &Model| crate::rows(&crate::buffer(m, &later, 80, 24))[1].clone();
    assert!(banner(&m).contains("the run goes on"), "{}", banner(&m));
    m.capabilities = Capabilities { load: false, marker: false, report: false, replay: Some(1) };
    assert!(banner(&m).contains("the replay goes on"), "{}", banner(&m));
    press(&mut m, KeyCode::Char(' '), &live());
    assert_eq!(m.shown(&later).at, later.at);
}

#[test]
fn halting_asks_first() {
    let mut m = model(Palette::None, false);
    keys(&mut m, "p", &live());
    assert_eq!(press(&mut m, KeyCode::Char('n'), &live()), Effect::None);
    assert!(!m.halted);
    keys(&mut m, "p", &live());
    assert_eq!(press(&mut m, KeyCode::Char('y'), &live()), Effect::Send(UiCommand::Halt(true)));
    assert_eq!(press(&mut m, KeyCode::Char('p'), &live()), Effect::Send(UiCommand::Halt(false)));
}

#[test]
fn what_is_over_is_neither_halted_nor_scaled() {
    for state in [RunState::Draining, RunState::Done] {
        let mut m = model(Palette::None, false);
        for key in "p<>".chars() {
            assert_eq!(press(&mut m, KeyCode::Char(key), &in_state(state)), Effect::None);
            assert_eq!((m.overlay, m.notice.is_some()), (Overlay::None, true));
        }
    }
}

#[test]
fn load_changes_by_tenths_of_the_plan() {
    let mut m = model(Palette::None, false);
    assert_eq!(press(&mut m, KeyCode::Char('<'), &live()), Effect::Send(UiCommand::Scale(0.9)));
    assert_eq!(press(&mut m, KeyCode::Char('>'), &live()), Effect::Send(UiCommand::Scale(1.0)));
    keys(&mut m, &"<".repeat(20), &live());
    assert_eq!(press(&mut m, KeyCode::Char('<'), &live()), Effect::Send(UiCommand::Scale(0.0)));
}

#[test]
fn what_the_run_cannot_do_has_no_key() {
    let nothing = Capabilities { load: false, marker: false, report: false, replay: None };
    let mut m = Model::new(Theme::new(Palette::None, Ground::Dark, false), nothing);
    for key in "p<>mw".chars() {
        assert_eq!(press(&mut m, KeyCode::Char(key), &live()), Effect::None);
        assert_eq!(m.overlay, Overlay::None);
    }
    let help = crate::rows(&crate::buffer(&m, &live(), 120, 36)).join("\n");
    assert!(!help.contains("marker on") && !help.contains("halt"));
}

#[test]
fn the_filter_narrows_lists_until_esc() {
    let mut m = model(Palette::None, false);
    keys(&mut m, "9/F2", &live());
    press(&mut m, KeyCode::Enter, &live());
    let text = crate::rows(&crate::buffer(&m, &live(), 80, 24)).join("\n");
    assert!(text.contains("finding F2") && !text.contains("finding F1"), "{text}");
    press(&mut m, KeyCode::Esc, &live());
    assert!(m.filter.is_empty());
}

#[test]
fn steps_sort_and_turn_round() {
    let mut m = model(Palette::None, false);
    keys(&mut m, "3sss", &live());
    let order = |m: &Model| -> Vec<usize> {
        let rows = crate::rows(&crate::buffer(m, &live(), 120, 36));
        ["product ", "log in ", "feed "]
            .map(|n| rows.iter().position(|r| r.trim_start_matches(['›', ' ']).starts_with(n)).unwrap())
            .into()
    };
    let by_p99 = order(&m);
    assert!(by_p99.is_sorted(), "{by_p99:?}");
    keys(&mut m, "r", &live());
    assert!(order(&m).is_sorted_by(|a, b| a > b));
}

#[test]
fn steps_are_sorted_by_the_count_that_they_show() {
    let mut s = fixture::flash_sale(66);
    // Most of them failed before any contact with the target.
    s.steps.iter_mut().find(|s| s.name == "feed").unwrap().untimed = 200_000;
    let s = Arc::new(s);
    let mut m = model(Palette::None, false);
    keys(&mut m, "3s", &s);
    let rows = crate::rows(&crate::buffer(&m, &s, 120, 36));
    let row = |name: &str| rows.iter().position(|r| r.trim_start_matches(['›', ' ']).starts_with(name));
    assert!(row("feed ").is_some() && row("feed ") < row("product "), "{}", rows.join("\n"));
}

#[test]
fn a_click_opens_a_tab_or_places_the_cursor() {
    let mut m = model(Palette::None, false);
    let screen = Rect::new(0, 0, 80, 24);
    app::update(&mut m, Msg::Click(Position::new(23, 1), screen), &live());
    assert_eq!(m.view, View::Sessions);
    keys(&mut m, "1", &live());
    app::update(&mut m, Msg::Click(Position::new(11, 8), screen), &live());
    assert_eq!(m.cursor, Some(66 - 55), "the first of the 55 columns on the screen");
}

#[test]
fn a_screen_that_is_too_small_has_nothing_to_click_at() {
    let (mut m, live, screen) = (model(Palette::None, false), live(), Rect::new(0, 0, 80, 9));
    for at in screen.positions() {
        app::update(&mut m, Msg::Click(at, screen), &live);
        assert_eq!((m.view, m.selected(m.view), m.cursor), (View::Overview, 0, None), "{at:?}");
    }
}

/// The row of the screen with this text.
fn row_of(m: &Model, text: &str) -> u16 {
    let rows = crate::rows(&crate::buffer(m, &live(), 80, 24));
    rows.iter().position(|r| r.contains(text)).unwrap_or_else(|| panic!("{text}:\n{}", rows.join("\n")))
        as u16
}

#[test]
fn a_click_chooses_a_row_and_the_wheel_moves_what_it_is_turned_over() {
    let screen = Rect::new(0, 0, 80, 24);
    let mut m = model(Palette::None, false);
    for (view, text, row) in [
        (View::Overview, "pool saturated", 1),
        (View::Sessions, " checkout ", 4),
        (View::Pools, " product ", 1),
        (View::Processes, " shop-0 ", 2),
        (View::Findings, "heap leak", 2),
        (View::Log, "phase rush", 5),
    ] {
        m.view = view;
        let at = Position::new(30, row_of(&m, text));
        app::update(&mut m, Msg::Click(at, screen), &live());
        assert_eq!(m.selected(view), row, "{view:?}");
        app::update(&mut m, Msg::Wheel(-1, at, screen), &live());
        assert_eq!((m.selected(view), m.cursor), (row - 1, None), "{view:?}");
    }
    m.view = View::Memory;
    let over = Position::new(30, row_of(&m, "young"));
    app::update(&mut m, Msg::Wheel(-1, over, screen), &live());
    assert_eq!(m.cursor, Some(64), "over a plot the wheel goes back in time");
    m.view = View::Response;
    let below = Position::new(12, row_of(&m, "response - service"));
    app::update(&mut m, Msg::Click(below, screen), &live());
    assert_eq!(m.cursor, Some(64), "the percentile plot has no time axis");
    keys(&mut m, "?", &live());
    app::update(&mut m, Msg::Wheel(2, over, screen), &live());
    assert_eq!(m.overlay, Overlay::Help(0), "all keys are on the screen");
    app::update(&mut m, Msg::Wheel(2, over, Rect::new(0, 0, 40, 10)), &live());
    app::update(&mut m, Msg::Click(over, screen), &live());
    assert_eq!((m.overlay, m.cursor), (Overlay::Help(2), Some(64)), "the help covers the view");
}

#[test]
fn suspending_asks_first_while_a_load_is_applied() {
    let ctrl_z = |m: &mut Model, live: &Arc<Snapshot>| {
        app::update(m, Msg::Key(KeyCode::Char('z'), KeyModifiers::CONTROL), live)
    };
    for state in [RunState::Starting, RunState::Running, RunState::Draining] {
        let mut m = model(Palette::None, false);
        for (answer, effect) in [('n', Effect::None), ('y', Effect::Suspend)] {
            assert_eq!(ctrl_z(&mut m, &in_state(state)), Effect::None);
            assert_eq!(m.overlay, Overlay::Question(Question::Suspend));
            assert_eq!(press(&mut m, KeyCode::Char(answer), &in_state(state)), effect);
            assert!(!m.halted, "only the program is stopped");
        }
    }
    for state in [RunState::Watching, RunState::Replaying, RunState::Done] {
        assert_eq!(ctrl_z(&mut model(Palette::None, false), &in_state(state)), Effect::Suspend);
    }
}

#[test]
fn any_key_in_any_view_is_harmless() {
    for b in BINDINGS {
        for view in View::ALL {
            for snapshot in [live(), Arc::new(Snapshot::default())] {
                let mut m = model(Palette::None, false);
                m.view = *view;
                let modifiers = if b.keys[0].ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                app::update(&mut m, Msg::Key(b.keys[0].code, modifiers), &snapshot);
                crate::buffer(&m, &snapshot, 80, 24);
            }
        }
    }
}
