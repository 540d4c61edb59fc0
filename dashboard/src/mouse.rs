//! The mouse: what a click or a turn of the wheel means where it happened.
//!
//! Owns the way from a cell of the screen to a view, a row or an instant. Where these lie is not worked out a second time: the frame
//! that the person pointed at is drawn once more, where nobody sees it, and its [`places`] are asked.

use ratatui::layout::{Position, Rect};
use timeline::snapshot::Snapshot;

use crate::app::{Model, Overlay, places};
use crate::axis::{self, Axis};
use crate::layout::Shell;
use crate::views;

/// What lies at a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The tab of a view.
    Tab(crate::app::View),
    /// A row of the view's list.
    Row(usize),
    /// A column of the time axis, counted from the run's start; none: to the right of the newest.
    Time(Option<u64>),
    /// Nothing that could be meant.
    Nothing,
}

/// What the person pointed at, on a screen of this size that shows `model`. Under a question or the help there is nothing.
pub(crate) fn spot(model: &Model, live: &Snapshot, at: Position, screen: Rect) -> Spot {
    if !matches!(model.overlay, Overlay::None | Overlay::Typing) {
        return Spot::Nothing;
    }
    let tabs = Shell::of(screen).tabs;
    if tabs.contains(at) {
        let hit = views::tab_places(tabs).into_iter().find(|(_, place)| place.contains(at));
        return hit.map_or(Spot::Nothing, |(view, _)| Spot::Tab(view));
    }
    let places = places(model, live, screen);
    if let Some((_, row)) = places.rows.iter().find(|(place, _)| place.contains(at)) {
        return Spot::Row(*row);
    }
    let Some(plot) = places.plots.iter().find(|plot| plot.contains(at)) else { return Spot::Nothing };
    let shown = model.shown(live);
    let column = Axis::new(shown, plot.width, model.zoom, model.cursor).column(at.x - plot.x);
    Spot::Time((column <= axis::newest_column(shown)).then_some(column))
}
