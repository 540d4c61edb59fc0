//! Tables and lists: columns, a selected row that is always on the screen, and what was left out.
//!
//! Owns widths, scrolling (stateless: the offset follows from selection and height) and the selected
//! row's mark. Sorting and filtering are done by whoever fills the table.

use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use crate::canvas::Canvas;
use crate::layout;
use crate::theme::Role;

/// One column: heading and width; a width of zero takes what is left (at most one such column).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub title: &'static str,
    pub width: u16,
    pub right: bool,
}

/// Least cells in which a text says anything.
const LEAST_WORDS: u16 = 4;

/// Text to the left, of this width.
pub(crate) const fn words(title: &'static str, width: u16) -> Column {
    Column { title, width, right: false }
}

/// Figures to the right, of this width.
pub(crate) const fn figure(title: &'static str, width: u16) -> Column {
    Column { title, width, right: true }
}

/// One row: a text for each column, and its role.
pub(crate) struct Row {
    pub cells: Vec<String>,
    pub role: Role,
}

impl Row {
    /// An ordinary row.
    pub fn text(cells: Vec<String>) -> Self {
        Self { cells, role: Role::Text }
    }
}

/// First row shown so that row `selected` of `n` is within `height` rows.
pub(crate) fn offset(selected: usize, n: usize, height: usize) -> usize {
    selected.saturating_sub(height / 2).min(n.saturating_sub(height))
}

/// The view's list, or the part of it that a table shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    /// Which row of the list the table begins with.
    pub first: usize,
    /// The chosen row of the list.
    pub selected: usize,
}

impl List {
    /// All of a list of `n` rows, which may have become shorter since row `selected` was chosen.
    pub fn whole(selected: usize, n: usize) -> Self {
        Self { first: 0, selected: selected.min(n.saturating_sub(1)) }
    }
}

/// Draws headings and rows. Columns that do not fit are left out from the right. Of a `list` the chosen row is marked.
pub(crate) fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    columns: &[Column],
    rows: &[Row],
    list: Option<List>,
) {
    let (head, body) = layout::top(area, 1);
    if head.is_empty() {
        return;
    }
    let places = places(head, columns);
    for (column, place) in columns.iter().zip(&places) {
        put(canvas, *column, *place, column.title, Role::Dim);
    }
    let height = usize::from(body.height);
    let selected = list.and_then(|l| l.selected.checked_sub(l.first)).filter(|s| *s < rows.len());
    let first = offset(selected.unwrap_or(0), rows.len(), height);
    for (i, row) in rows.iter().enumerate().skip(first).take(height) {
        let line = layout::row(body, (i - first) as u16);
        for ((column, place), text) in columns.iter().zip(&places).zip(&row.cells) {
            put(canvas, *column, Rect { y: line.y, ..*place }, text, row.role);
        }
        if let Some(list) = list {
            choosable(canvas, line, list.first + i, list.selected);
        }
    }
    // What lies outside is said on the heading's row, not left to be guessed.
    if rows.len() > height {
        let note = format!("{}-{} of {}", first + 1, (first + height).min(rows.len()), rows.len());
        // Where the last column takes what is left, the cells behind its title are free.
        let last = columns.iter().zip(&places).next_back().map_or(head.x, |(column, place)| {
            let title =
                if column.right { place.width } else { canvas.width_of(column.title).min(place.width) };
            place.x.saturating_add(title)
        });
        let free = head.right().saturating_sub(last);
        if usize::from(free) > note.len() {
            canvas.right(head, &note, Role::Dim);
        }
    }
}

/// The same, or what is said where there are no rows.
pub(crate) fn draw_or(
    canvas: &mut Canvas<'_>,
    area: Rect,
    columns: &[Column],
    rows: &[Row],
    list: Option<List>,
    none: &str,
) {
    if rows.is_empty() {
        canvas.pieces(layout::row(area, 0), &[(" ", Role::Dim), (none, Role::Dim)]);
    } else {
        draw(canvas, area, columns, rows, list);
    }
}

/// What a heading says of a list of `n` rows of which the first `shown` are on the screen: nothing where that is all of them.
pub(crate) fn shown_of(shown: usize, n: usize) -> String {
    if shown < n { format!("{shown} of {n}") } else { String::new() }
}

/// Draws the part of a list that fits, one line each. A chosen row is among it and marked.
pub(crate) fn scroll<T>(
    canvas: &mut Canvas<'_>,
    area: Rect,
    all: &[T],
    selected: Option<usize>,
    draw: impl Fn(&mut Canvas<'_>, Rect, &T),
) {
    let height = usize::from(area.height);
    let first = offset(selected.unwrap_or(0), all.len(), height);
    for (i, one) in all.iter().enumerate().skip(first).take(height) {
        let line = layout::row(area, (i - first) as u16);
        draw(canvas, line, one);
        if let Some(selected) = selected {
            choosable(canvas, line, i, selected);
        }
    }
}

/// Row `i` of a list of which row `selected` is chosen, drawn on `line`.
fn choosable(canvas: &mut Canvas<'_>, line: Rect, i: usize, selected: usize) {
    canvas.places.rows.push((line, i));
    if i == selected {
        select(canvas, line);
    }
}

/// Marks a row as selected: reversed, a pointer in its first column, the terminal's cursor on it.
fn select(canvas: &mut Canvas<'_>, line: Rect) {
    if line.is_empty() {
        return;
    }
    canvas.glyph(line.x, line.y, canvas.theme.glyphs().pointer, canvas.theme.style(Role::Strong));
    canvas.restyle(line, Role::Selected);
    canvas.focus = Some(Position { x: line.x, y: line.y });
}

/// Where each column lies; the first cell of a row is kept for the pointer.
fn places(area: Rect, columns: &[Column]) -> Vec<Rect> {
    let fixed: u16 = columns.iter().map(|c| c.width.saturating_add(1)).fold(1, u16::saturating_add);
    let rest = area.width.saturating_sub(fixed);
    let mut x = area.x.saturating_add(1);
    let mut out = Vec::with_capacity(columns.len());
    for column in columns {
        let wanted = if column.width == 0 { rest } else { column.width };
        let room = area.right().saturating_sub(x);
        // Half a figure would be a wrong figure: a right column is drawn whole or not at all. A letter of a word says nothing.
        let least = if column.right { wanted } else { wanted.min(LEAST_WORDS) };
        let width = if least > room { 0 } else { wanted.min(room) };
        out.push(Rect { x, width, ..area });
        x = x.saturating_add(width).saturating_add(1);
    }
    out
}

fn put(canvas: &mut Canvas<'_>, column: Column, place: Rect, text: &str, role: Role) {
    if column.right {
        canvas.figure(place, text, role);
    } else {
        canvas.pieces(place, &[(text, role)]);
    }
}

/// Breaks a text into lines of at most `width` cells, at spaces where it can. A character that is wider is a line of its own.
pub(crate) fn wrap(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width).max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let used = cells(&line);
        if used > 0 && used + 1 + cells(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let mut rest = word;
        while cells(rest) > width {
            let (head, tail) = rest.split_at(fitting(rest, width));
            lines.push(head.to_owned());
            rest = tail;
        }
        line.push_str(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Cells that a text takes at most.
fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// The same of a character. A combining one takes none, but a cell of its own where only ASCII is drawn.
fn cells_of(c: char) -> usize {
    if c.is_ascii() {
        return 1;
    }
    let mut bytes = [0; 4];
    Span::raw(&*c.encode_utf8(&mut bytes)).width().max(1)
}

/// Bytes of the first characters of a text that fit into `width` cells; one character at least.
fn fitting(text: &str, width: usize) -> usize {
    let mut used = 0;
    for (i, c) in text.char_indices() {
        used += cells_of(c);
        if used > width && i > 0 {
            return i;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_always_within_reach() {
        for n in 0..30_usize {
            for height in 1..12 {
                for selected in 0..n {
                    let first = offset(selected, n, height);
                    assert!((first..first + height).contains(&selected));
                }
            }
        }
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert!(wrap("", 5).is_empty());
    }

    #[test]
    fn lines_are_as_wide_as_their_cells_and_lose_no_character() {
        let text = "漢".repeat(100);
        let lines = wrap(&text, 40);
        assert!(lines.iter().all(|l| Span::raw(l.as_str()).width() <= 40), "{lines:?}");
        assert_eq!((lines.len(), lines.concat()), (5, text));
        assert_eq!(wrap("漢字 ab", 5), ["漢字", "ab"], "a space and two letters are three more");
        assert_eq!(wrap("漢字", 1), ["漢", "字"], "what fits nowhere is not lost");
    }
}
