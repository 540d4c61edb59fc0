//! Sizes: which of the three layouts an area gets, and how it is cut into named rectangles.
//!
//! Owns the frame that all views share (header, tabs, body, footer) and the columns that all lanes and
//! the heatmap share. Pure functions of an area; no rectangle outlives a frame.

use ratatui::layout::Rect;

/// Least width and height of the narrow layout; below it the screen only says so.
pub(crate) const LEAST: (u16, u16) = (40, 10);
/// Least size of the standard layout.
const STANDARD: (u16, u16) = (80, 24);
/// Least size of the wide layout.
const WIDE: (u16, u16) = (120, 36);

/// Which layout an area gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeClass {
    /// Below 40 x 10: nothing fits.
    TooSmall,
    /// From 40 x 10.
    Narrow,
    /// From 80 x 24.
    Standard,
    /// From 120 x 36.
    Wide,
}

impl SizeClass {
    /// The class of an area.
    #[must_use]
    pub fn of(area: Rect) -> Self {
        let at_least = |(w, h): (u16, u16)| area.width >= w && area.height >= h;
        if at_least(WIDE) {
            Self::Wide
        } else if at_least(STANDARD) {
            Self::Standard
        } else if at_least(LEAST) {
            Self::Narrow
        } else {
            Self::TooSmall
        }
    }
}

/// The rectangles that all views share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shell {
    /// Scenario, phase, time, state, findings.
    pub header: Rect,
    /// The views; a banner while the screen is frozen. Empty when narrow or too small.
    pub tabs: Rect,
    /// The view.
    pub body: Rect,
    /// Key hints.
    pub footer: Rect,
}

impl Shell {
    /// Cuts the whole area.
    pub fn of(area: Rect) -> Self {
        let (header, rest) = top(area, 1);
        let (tabs, rest) = top(rest, if SizeClass::of(area) >= SizeClass::Standard { 1 } else { 0 });
        let (body, footer) = bottom(rest, 1);
        Self { header, tabs, body, footer }
    }
}

/// The columns that heatmap and lanes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Names and row labels.
    pub label: Rect,
    /// The time axis.
    pub plot: Rect,
    /// Newest values, or those under the cursor.
    pub value: Rect,
}

/// Width of the label column: `46.9 MiB/s` fits.
const LABEL: u16 = 10;
/// The same where there is room: names of caches fit.
const LABEL_WIDE: u16 = 14;
/// Width of the value column: `loads 4.12k/s` fits.
const VALUE: u16 = 13;
/// From this width on labels get more room.
const ROOMY: u16 = 90;

impl Columns {
    /// Cuts an area.
    pub fn of(area: Rect) -> Self {
        let (label, rest) = left(area, if area.width >= ROOMY { LABEL_WIDE } else { LABEL });
        let (_, rest) = left(rest, 1);
        let (rest, value) = split_right(rest, VALUE.min(rest.width / 2));
        let (plot, _) = split_right(rest, 1);
        Self { label, plot, value }
    }

    /// One row of them, `index` from the top.
    pub fn row(&self, index: u16) -> Self {
        Self { label: row(self.label, index), plot: row(self.plot, index), value: row(self.value, index) }
    }
}

/// The upper `n` rows and the rest.
pub(crate) fn top(area: Rect, n: u16) -> (Rect, Rect) {
    let n = n.min(area.height);
    (Rect { height: n, ..area }, Rect { y: area.y.saturating_add(n), height: area.height - n, ..area })
}

/// The rest and the lower `n` rows.
pub(crate) fn bottom(area: Rect, n: u16) -> (Rect, Rect) {
    let n = n.min(area.height);
    top(area, area.height - n)
}

/// The left `n` columns and the rest.
pub(crate) fn left(area: Rect, n: u16) -> (Rect, Rect) {
    let n = n.min(area.width);
    (Rect { width: n, ..area }, Rect { x: area.x.saturating_add(n), width: area.width - n, ..area })
}

/// The rest and the right `n` columns.
pub(crate) fn split_right(area: Rect, n: u16) -> (Rect, Rect) {
    let n = n.min(area.width);
    left(area, area.width - n)
}

/// Row `index` of an area; empty beyond its end.
pub(crate) fn row(area: Rect, index: u16) -> Rect {
    if index >= area.height {
        return Rect { height: 0, ..area };
    }
    Rect { y: area.y.saturating_add(index), height: 1, ..area }
}

/// A centred rectangle of at most this size.
pub(crate) fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (w, h) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - w) / 2, y: area.y + (area.height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_exactly_where_promised() {
        let of = |w, h| SizeClass::of(Rect::new(0, 0, w, h));
        assert_eq!([of(39, 10), of(40, 9)], [SizeClass::TooSmall; 2]);
        assert_eq!([of(40, 10), of(79, 24), of(80, 23)], [SizeClass::Narrow; 3]);
        assert_eq!([of(80, 24), of(119, 36), of(120, 35)], [SizeClass::Standard; 3]);
        assert_eq!(of(120, 36), SizeClass::Wide);
    }
}
