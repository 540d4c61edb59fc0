//! Whatever the size, the snapshot and the keys: nothing panics, and nothing leaves the buffer.

use std::sync::Arc;

use dashboard::app::{self, Msg, View};
use dashboard::keys::BINDINGS;
use dashboard::plain::Plain;
use dashboard::theme::Palette;
use proptest::prelude::*;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::layout::{Position, Rect};

use crate::fixture;
use crate::wild::Wild;
use crate::{model, screen};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_size_and_any_snapshot_can_be_drawn(
        seed in any::<u64>(),
        width in 0..200u16,
        height in 0..80u16,
        pressed in prop::collection::vec(0..BINDINGS.len(), 0..12),
        click in (0..220u16, 0..90u16),
        ascii in any::<bool>(),
    ) {
        let mut wild = Wild(seed);
        let live = Arc::new(wild.snapshot());
        let later = wild.snapshot();
        let mut model = model(Palette::Sixteen, ascii);
        for i in pressed {
            let key = BINDINGS[i].keys[0];
            let modifiers = if key.ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            app::update(&mut model, Msg::Key(key.code, modifiers), &live);
        }
        app::update(&mut model, Msg::Click(Position::from(click), Rect::new(0, 0, width, height)), &live);
        app::update(&mut model, Msg::Wheel(1, Position::from(click), Rect::new(0, 0, width, height)), &live);
        screen(&model, &live, width, height);
        screen(&model, &later, width, height);
    }

    #[test]
    fn every_view_fits_any_size(width in 0..200u16, height in 0..80u16, second in 0..90u64, cursor in prop::option::of(0..90u64)) {
        let live = fixture::flash_sale(second);
        for view in View::ALL {
            let mut model = model(Palette::True, false);
            (model.view, model.cursor) = (*view, cursor);
            screen(&model, &live, width, height);
        }
    }

    #[test]
    fn plain_lines_survive_any_snapshot_and_are_single_lines(seed in any::<u64>()) {
        let mut wild = Wild(seed);
        let mut plain = Plain::new();
        for _ in 0..4 {
            for line in plain.lines(&wild.snapshot()) {
                prop_assert!(!line.chars().any(char::is_control));
                prop_assert!(line.starts_with("t="));
            }
        }
    }
}
