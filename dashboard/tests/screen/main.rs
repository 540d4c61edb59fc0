//! The dashboard as a person meets it: every view as a picture, keys, figures, hostile text, plain lines.

mod figures;
mod fixture;
mod hostile;
mod keys;
mod laws;
mod plain;
mod views;
mod wild;

use std::sync::Arc;

use dashboard::app::{self, Capabilities, Effect, Model, Msg};
use dashboard::theme::{Ground, Palette, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use timeline::snapshot::Snapshot;

/// Sizes of the three layouts.
const SIZES: [(&str, u16, u16); 3] = [("wide", 120, 36), ("standard", 80, 24), ("narrow", 40, 10)];

fn model(palette: Palette, ascii: bool) -> Model {
    let everything = Capabilities { load: true, marker: true, report: true, replay: None };
    Model::new(Theme::new(palette, Ground::Dark, ascii), everything)
}

fn screen(model: &Model, snapshot: &Snapshot, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app::view(model, snapshot, frame)).unwrap();
    terminal
}

fn buffer(model: &Model, snapshot: &Snapshot, width: u16, height: u16) -> Buffer {
    screen(model, snapshot, width, height).backend().buffer().clone()
}

/// The rows of a screen as text.
fn rows(buffer: &Buffer) -> Vec<String> {
    let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
    (0..buffer.area.height).map(row).collect()
}

fn press(model: &mut Model, code: KeyCode, live: &Arc<Snapshot>) -> Effect {
    app::update(model, Msg::Key(code, KeyModifiers::NONE), live)
}

/// Types a text, one key for each character.
fn keys(model: &mut Model, text: &str, live: &Arc<Snapshot>) {
    for c in text.chars() {
        press(model, KeyCode::Char(c), live);
    }
}
