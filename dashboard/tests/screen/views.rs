//! Every view at every size, as a picture to look at, and what colours must not decide.

use std::sync::Arc;

use dashboard::app::{self, Msg, View};
use dashboard::theme::Palette;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::style::{Color, Modifier};
use timeline::{RunTime, Unit};

use crate::{SIZES, buffer, fixture, keys, model, press, screen};

const PALETTES: [Palette; 4] = [Palette::None, Palette::Sixteen, Palette::Cube, Palette::True];

fn picture(name: &str, model: &dashboard::app::Model, width: u16, height: u16) {
    let live = fixture::flash_sale(66);
    insta::assert_snapshot!(name, screen(model, &live, width, height).backend());
}

#[test]
fn every_view_at_every_size() {
    for view in View::ALL {
        for (size, width, height) in SIZES {
            let mut model = model(Palette::None, false);
            model.view = *view;
            picture(&format!("{}_{size}", view.names().1.to_lowercase()), &model, width, height);
        }
    }
}

#[test]
fn every_view_in_ascii() {
    for view in View::ALL {
        let mut model = model(Palette::None, true);
        model.view = *view;
        let live = fixture::flash_sale(66);
        for (_, width, height) in SIZES {
            let buffer = buffer(&model, &live, width, height);
            assert!(buffer.content().iter().all(|c| c.symbol().is_ascii()), "{view:?} at {width}x{height}");
        }
    }
    picture("overview_ascii", &model(Palette::None, true), 80, 24);
}

#[test]
fn overlays_banners_and_details() {
    let live = Arc::new(fixture::flash_sale(66));
    let mut help = model(Palette::None, false);
    press(&mut help, KeyCode::Char('?'), &live);
    picture("help_standard", &help, 80, 24);
    picture("help_narrow", &help, 40, 10);

    let mut cursor = model(Palette::None, false);
    keys(&mut cursor, "nn", &live);
    picture("cursor_standard", &cursor, 80, 24);

    let mut detail = model(Palette::None, false);
    keys(&mut detail, "n", &live);
    press(&mut detail, KeyCode::Enter, &live);
    picture("detail_standard", &detail, 80, 24);

    let mut frozen = model(Palette::None, false);
    press(&mut frozen, KeyCode::Char(' '), &Arc::new(fixture::flash_sale(45)));
    picture("frozen_standard", &frozen, 80, 24);
    picture("frozen_narrow", &frozen, 40, 10);

    let mut halt = model(Palette::None, false);
    press(&mut halt, KeyCode::Char('p'), &live);
    picture("halt_standard", &halt, 80, 24);

    let mut stop = model(Palette::None, false);
    press(&mut stop, KeyCode::Char('q'), &live);
    picture("stop_narrow", &stop, 40, 10);

    let mut suspend = model(Palette::None, false);
    app::update(&mut suspend, Msg::Key(KeyCode::Char('z'), KeyModifiers::CONTROL), &live);
    picture("suspend_narrow", &suspend, 40, 10);

    let mut stopped = fixture::flash_sale(66);
    fixture::halt(&mut stopped, 60);
    for (size, width, height) in SIZES {
        let mut halted = model(Palette::None, size == "standard");
        let drawn = screen(&halted, &stopped, width, height);
        insta::assert_snapshot!(format!("halted_{size}"), drawn.backend());
        halted.frozen = Some(Arc::new(stopped.clone()));
        let text = crate::rows(&buffer(&halted, &stopped, width, height)).join("\n");
        assert!(text.contains("FROZEN") && text.contains("HALTED"), "{text}");
    }

    let mut far = model(Palette::None, false);
    keys(&mut far, "--", &live);
    picture("zoomed_out_standard", &far, 80, 24);
}

#[test]
fn too_small_says_what_it_has_and_needs() {
    picture("too_small", &model(Palette::None, false), 39, 9);
    let empty = timeline::snapshot::Snapshot::default();
    insta::assert_snapshot!("empty_standard", screen(&model(Palette::None, false), &empty, 80, 24).backend());
}

#[test]
fn without_a_palette_every_cell_is_colourless_and_the_selection_still_shows() {
    let live = fixture::flash_sale(66);
    for view in View::ALL {
        for (_, width, height) in SIZES {
            let mut model = model(Palette::None, false);
            (model.view, model.cursor) = (*view, Some(50));
            let buffer = buffer(&model, &live, width, height);
            let colourless = |c: &ratatui::buffer::Cell| c.fg == Color::Reset && c.bg == Color::Reset;
            assert!(buffer.content().iter().all(colourless), "{view:?} at {width}x{height}");
        }
    }
    for palette in PALETTES {
        let mut model = model(palette, false);
        model.view = View::Findings;
        let buffer = buffer(&model, &live, 80, 24);
        let reversed = |y: u16| (0..80).all(|x| buffer[(x, y)].modifier.contains(Modifier::REVERSED));
        let rows: Vec<u16> = (0..24).filter(|y| reversed(*y)).collect();
        assert_eq!(rows, [3], "{palette:?}: the first finding, below header, tabs and heading");
    }
}

#[test]
fn palettes_with_colour_use_it_and_only_their_own() {
    let live = fixture::flash_sale(66);
    for palette in PALETTES {
        let buffer = buffer(&model(palette, false), &live, 120, 36);
        let colours: Vec<Color> =
            buffer.content().iter().map(|c| c.fg).filter(|c| *c != Color::Reset).collect();
        assert_eq!(colours.is_empty(), palette == Palette::None);
        for colour in colours {
            let own = match colour {
                Color::Rgb(..) => Palette::True,
                Color::Indexed(_) => Palette::Cube,
                _ => Palette::Sixteen,
            };
            assert_eq!(own, palette);
        }
    }
}

/// The flash sale in which everything has been silent for 12 s, with the screen of a view.
fn silent(view: View) -> String {
    let mut live = fixture::flash_sale(50);
    let age = 12_000_000_000;
    live.load.age_ns = Some(age);
    live.sources.iter_mut().for_each(|s| s.age_ns = Some(age));
    live.processes.iter_mut().for_each(|p| p.age_ns = age);
    live.pools.iter_mut().for_each(|p| p.age_ns = age);
    live.caches.iter_mut().for_each(|c| c.age_ns = age);
    live.lanes.iter_mut().for_each(|l| l.age_ns = age);
    let mut model = model(Palette::None, true);
    model.view = view;
    crate::rows(&buffer(&model, &live, 120, 36)).join("\n")
}

#[test]
fn what_is_silent_shows_its_age_in_every_view_that_has_its_figures() {
    let overview = silent(View::Overview);
    for text in ["offered silent 12 s", "achieved silent 12 s", "open silent 12 s", "stale 12 s"] {
        assert!(overview.contains(text), "{text:?} is not in\n{overview}");
    }
    assert!(overview.contains("silent for 12 s"), "the heading of the target's lanes:\n{overview}");
    let sessions = silent(View::Sessions);
    assert!(
        sessions.contains("sessions open silent 12 s")
            && sessions.lines().any(|l| l.contains("session kinds") && l.contains("silent 12 s"))
            && sessions.lines().any(|l| l.contains("buyer") && l.matches("n/a").count() == 2)
            && sessions.contains("silent for 12 s"),
        "{sessions}"
    );
    let pools = silent(View::Pools);
    assert_eq!(pools.lines().filter(|l| l.contains("silent") && l.contains("12 s")).count(), 2, "{pools}");
    let processes = silent(View::Processes);
    assert!(processes.contains("silent for 12 s") && processes.contains("12 s old"), "{processes}");
    assert!(silent(View::Memory).contains("stale 12 s"));
    assert!(silent(View::Pauses).contains("stale 12 s"));
}

#[test]
fn without_load_no_load_is_shown_and_one_silent_worker_is_named() {
    let mut live = fixture::flash_sale(50);
    let mut overview = model(Palette::None, true);
    overview.view = View::Overview;
    // One of the target's is silent, too, and no worker whatever its name begins with.
    for (at, name) in [(0, "gen-0"), (2, "general-api")] {
        name.clone_into(&mut live.processes[at].name);
        live.processes[at].age_ns = 12_000_000_000;
    }
    let rows = crate::rows(&buffer(&overview, &live, 120, 36)).join("\n");
    assert!(rows.contains("silent gen-0 12 s") && !rows.contains("general-api"), "{rows}");
    live.load.age_ns = None;
    let rows = crate::rows(&buffer(&overview, &live, 120, 36)).join("\n");
    assert!(rows.contains("offered n/a") && rows.contains("open n/a"), "{rows}");
}

#[test]
fn responses_of_long_ago_are_not_told_as_those_of_now() {
    let mut live = fixture::flash_sale(50);
    let newest = format!("max {}", Unit::Ns.show(live.heat[49].max));
    for view in [View::Overview, View::Response] {
        let mut model = model(Palette::None, true);
        model.view = view;
        live.at = RunTime::from_ms(52_000);
        let text = crate::rows(&buffer(&model, &live, 80, 24)).join("\n");
        assert!(text.contains(&newest) && !text.contains("stale"), "{newest} is not in\n{text}");
        live.at = RunTime::from_ms(62_000);
        let text = crate::rows(&buffer(&model, &live, 80, 24)).join("\n");
        assert!(text.contains("stale 12 s") && !text.contains(&newest), "{text}");
        model.cursor = Some(49);
        let text = crate::rows(&buffer(&model, &live, 80, 24)).join("\n");
        assert!(text.contains(&newest) && !text.contains("stale"), "what is asked for is told:\n{text}");
    }
}

#[test]
fn a_list_says_how_much_of_it_is_on_the_screen() {
    let mut live = fixture::flash_sale(66);
    live.sources = vec![live.sources[0].clone(); 12];
    live.gates = vec![live.gates[0].clone(); 8];
    let stop = live.events.iter().find(|e| e.kind.starts_with("pause.")).unwrap().clone();
    live.events = vec![stop; 30];
    for (view, said) in
        [(View::Processes, "6 of 12"), (View::Response, "5 of 8"), (View::Pauses, "1-7 of 30")]
    {
        let mut model = model(Palette::None, true);
        model.view = view;
        let text = crate::rows(&buffer(&model, &live, 80, 24)).join("\n");
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[test]
fn a_gap_stays_blank_and_a_stale_lane_shows_its_age() {
    let mut live = fixture::flash_sale(50);
    let old = live.lanes.iter_mut().find(|l| l.name == timeline::lane::names::HEAP_OLD).unwrap();
    old.age_ns = 12_000_000_000;
    let rows = crate::rows(&buffer(&model(Palette::None, true), &live, 80, 24));
    let row = |label: &str| rows.iter().find(|r| r.starts_with(label)).unwrap();
    assert!(row("old").trim_end().ends_with("stale 12 s"), "{}", row("old"));
    // The plot begins after the label column (10) and a space; seconds 20 to 22 have no pause sample.
    let pause: Vec<char> = row("pause").chars().skip(11).collect();
    assert_eq!(&pause[20..23], [' ', ' ', ' ']);
    assert!(pause[..20].iter().chain(&pause[23..50]).all(|c| *c != ' '));
}
