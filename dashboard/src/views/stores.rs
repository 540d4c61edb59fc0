//! Stores and services behind the target: one row each, with the newest values of their lanes.
//!
//! Owns which lanes speak of a store, and their short words. A row appears with the first of them.

use std::collections::BTreeSet;

use ratatui::layout::Rect;
use timeline::lane::names;
use timeline::snapshot::{LaneView, Snapshot};

use crate::canvas::Canvas;
use crate::figures;
use crate::lanes;
use crate::layout;
use crate::table;
use crate::theme::Role;

/// What is said of the database, and the lane that says it. Times are p99.
const DATABASE: [(&str, &str); 6] = [
    ("calls", names::DB_CALLS),
    ("p99", names::DB_TIME),
    ("failed", names::DB_FAILURES),
    ("waiting", names::DB_WAITING),
    ("active", names::DB_ACTIVE),
    ("connections", names::DB_CONNECTIONS),
];
/// The same for each member of a family: the last part of its lane's name.
const FAMILIES: [(&str, &[(&str, &str)]); 2] = [
    (
        names::BROKER,
        &[
            ("depth", "depth"),
            ("consumers", "consumers"),
            ("age p99", "age"),
            ("in", "published"),
            ("out", "consumed"),
        ],
    ),
    (
        names::DOWNSTREAM,
        &[
            ("calls", "calls"),
            ("p99", "time"),
            ("failed", "failures"),
            ("retries", "retries"),
            ("open", "in-flight"),
        ],
    ),
];
/// Width of a name.
const NAME: u16 = 14;

/// Each store's name and what is said of it.
fn rows(s: &Snapshot) -> Vec<(String, String)> {
    let told = |lanes: &[(&str, Option<&LaneView>)]| {
        let parts =
            lanes.iter().filter_map(|(word, lane)| Some(format!("{word} {}", figures::newest((*lane)?))));
        parts.collect::<Vec<_>>().join("  ")
    };
    let database: Vec<_> = DATABASE.iter().map(|(word, name)| (*word, lanes::find(s, name))).collect();
    let mut rows = vec![("database".to_owned(), told(&database))];
    for (family, parts) in FAMILIES {
        for member in members(s, family) {
            let of = |part: &str| lanes::find(s, &names::of(family, member, part));
            let lanes: Vec<_> = parts.iter().map(|(word, part)| (*word, of(part))).collect();
            rows.push((member.to_owned(), told(&lanes)));
        }
    }
    rows.retain(|(_, told)| !told.is_empty());
    rows
}

/// Members of a family of lanes, each once, sorted.
fn members<'a>(s: &'a Snapshot, family: &str) -> BTreeSet<&'a str> {
    let of = |l: &'a LaneView| Some(l.name.strip_prefix(family)?.strip_prefix('.')?.rsplit_once('.')?.0);
    s.lanes.iter().filter_map(of).collect()
}

/// Draws those that there are, in a third of `area` at most; gives what is left of it.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, s: &Snapshot) -> Rect {
    let rows = rows(s);
    if rows.is_empty() {
        return area;
    }
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(1).min(area.height / 3);
    let (list, rest) = layout::top(area, height);
    let shown = usize::from(height.saturating_sub(1));
    canvas.heading(layout::row(list, 0), "stores and services", &table::shown_of(shown, rows.len()));
    for (i, (name, told)) in rows.iter().enumerate() {
        let row = layout::row(list, u16::try_from(i + 1).unwrap_or(u16::MAX));
        let (left, right) = layout::left(row, NAME);
        canvas.pieces(left, &[(" ", Role::Text), (name, Role::Strong)]);
        canvas.pieces(layout::left(right, 1).1, &[(told, Role::Text)]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::cells::Cells;
    use timeline::lane::Quality;
    use timeline::{Shape, Unit};

    #[test]
    fn a_service_has_one_row_whatever_another_one_s_name_begins_with() {
        let lane = |name: &str| LaneView {
            name: format!("downstream.{name}"),
            unit: Unit::Count,
            shape: Shape::Level,
            quality: Quality::Exact,
            cells: Cells::default(),
            last: Some(2.0),
            age_ns: 0,
        };
        let lanes = ["users.calls", "users.findAll.calls", "users.retries"].map(lane).into();
        let rows = rows(&Snapshot { lanes, ..Snapshot::default() });
        let rows: Vec<_> = rows.iter().map(|(name, told)| (name.as_str(), told.as_str())).collect();
        assert_eq!(rows, [("users", "calls 2  retries 2"), ("users.findAll", "calls 2")]);
    }
}
