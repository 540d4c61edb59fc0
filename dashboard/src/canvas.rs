//! The canvas: how text and glyphs get onto the screen, and the last barrier for hostile text.
//!
//! Owns clipping (nothing is ever drawn outside the buffer, whatever the arithmetic of a view says) and
//! cleaning: every string passes [`clean`] here, although sources have cleaned theirs already. What is
//! drawn where belongs to the views; they leave word here of what a mouse may be pointed at ([`Places`]).

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::Span;

use crate::theme::{Role, Theme};

/// Most characters of one string that are looked at: no screen is wider, and cleaning stays cheap.
const LONGEST: usize = 1_000;

/// What a mouse may be pointed at on the screen that was drawn, and how far it scrolls.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Rows of the view's list on the screen, and which one of the list each is.
    pub rows: Vec<(Rect, usize)>,
    /// Plots whose columns are time.
    pub plots: Vec<Rect>,
    /// The greatest first line of a text that scrolls, beyond which nothing new comes; of several the uppermost's.
    pub end: Option<usize>,
}

/// A buffer with a theme.
pub(crate) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    /// Colours and glyphs.
    pub theme: Theme,
    /// Where the terminal's own cursor belongs, so that a screen reader follows the selection.
    pub focus: Option<Position>,
    /// For the mouse, and for keys that scroll.
    pub places: Places,
}

impl<'a> Canvas<'a> {
    /// Draws into `buffer`.
    pub fn new(buffer: &'a mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme, focus: None, places: Places::default() }
    }

    /// Text at `x`, `y`, at most `width` cells, cut with an ellipsis; gives the cells used.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        self.styled(x, y, width, text, self.theme.style(role))
    }

    /// The same in any style.
    pub fn styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y < area.y || y >= area.bottom() || x < area.x || x >= area.right() || width == 0 {
            return 0;
        }
        let width = width.min(area.right() - x);
        let text = clean(text, self.theme.is_ascii());
        let fits = Span::raw(text.as_str()).width() <= usize::from(width);
        let room = if fits { width } else { width - 1 };
        let (mut end, _) = self.buffer.set_stringn(x, y, &text, usize::from(room), style);
        if !fits {
            let cut = self.theme.glyphs().cut;
            (end, _) = self.buffer.set_stringn(end, y, cut, 1, style);
        }
        end.saturating_sub(x)
    }

    /// Text against the right edge of a row.
    pub fn right(&mut self, row: Rect, text: &str, role: Role) {
        if row.is_empty() {
            return;
        }
        let width = self.width_of(text).min(row.width);
        self.text(row.right().saturating_sub(width), row.y, width, text, role);
    }

    /// A figure against the right edge of a row: whole, or the cut mark alone. Half a figure would be a wrong figure.
    pub fn figure(&mut self, row: Rect, text: &str, role: Role) {
        let fits = self.width_of(text) <= row.width;
        let cut = self.theme.glyphs().cut;
        self.right(row, if fits { text } else { cut }, role);
    }

    /// Pieces of text one after another; gives the cells used.
    pub fn pieces(&mut self, row: Rect, pieces: &[(&str, Role)]) -> u16 {
        let mut used = 0;
        for (text, role) in pieces.iter().filter(|_| !row.is_empty()) {
            let room = row.width.saturating_sub(used);
            used += self.text(row.x.saturating_add(used), row.y, room, text, *role);
        }
        used
    }

    /// One glyph of our own.
    pub fn glyph(&mut self, x: u16, y: u16, glyph: &'static str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_symbol(glyph).set_style(style);
        }
    }

    /// Adds a role's style to what is drawn already.
    pub fn restyle(&mut self, area: Rect, role: Role) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.theme.style(role));
    }

    /// Empties an area.
    pub fn clear(&mut self, area: Rect) {
        for position in area.intersection(self.buffer.area).positions() {
            self.buffer[position].reset();
        }
    }

    /// A rule with a heading at its left and a note at its right.
    pub fn heading(&mut self, row: Rect, left: &str, note: &str) {
        if row.is_empty() {
            return;
        }
        let rule = self.theme.glyphs().rule;
        let style = self.theme.style(Role::Dim);
        for x in row.x..row.right() {
            self.glyph(x, row.y, rule, style);
        }
        let used = self.text(
            row.x.saturating_add(2),
            row.y,
            row.width.saturating_sub(3),
            &format!(" {left} "),
            Role::Strong,
        );
        let free = row.width.saturating_sub(used).saturating_sub(4);
        let note = format!(" {note} ");
        if note.len() > 2 && self.width_of(&note) <= free {
            let row = Rect { width: row.width.saturating_sub(1), ..row };
            self.right(row, &note, Role::Dim);
        }
    }

    /// Cells that `text` takes once it is cleaned.
    pub fn width_of(&self, text: &str) -> u16 {
        let text = clean(text, self.theme.is_ascii());
        u16::try_from(Span::raw(text.as_str()).width()).unwrap_or(u16::MAX)
    }
}

/// `text` without anything that a terminal could obey; in ASCII mode without anything else than ASCII.
pub(crate) fn clean(text: &str, ascii: bool) -> String {
    let text = timeline::text::clean(text, LONGEST);
    if ascii && !text.is_ascii() {
        text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
    } else {
        text
    }
}
