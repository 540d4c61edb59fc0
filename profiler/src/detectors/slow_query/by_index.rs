//! Which look-up walks along an index that does not find its rows, where the database's server counts what is fetched by way of indexes.
//!
//! A planner that misses an index and is to give the first few rows in the order of another walks that one from its end and filters: no counter of
//! scans shows it. Owns the account: rows of a table fetched by way of its indexes for each call of a look-up. Those that some call wants so are
//! in it, too, so they must have become many of late, and the look-up slower with them.

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Span, Timeline};

use super::{GROWTH, LEAST_ADDED_NS, LEAST_CALLS, LEAST_RATIO, LEAST_SCANNED, Scan, Way, by_table, by_time};
use crate::detectors::database::statement::Filter;
use crate::window;

/// Window, seconds: two answers of the server at least.
const WINDOW_S: f64 = 3.0;

/// Look-ups that walk.
pub(super) fn walks(timeline: &Timeline, at: RunTime) -> Vec<Scan> {
    let span = window::last(at, WINDOW_S);
    let statements = window::subjects(timeline, names::DB_CALLS);
    window::subjects(timeline, names::DB_TABLE_FETCHED)
        .iter()
        .filter_map(|table| of_table(timeline, table, &statements, span, at))
        .collect()
}

/// The one that has slowed down most, of those in which the table is looked up.
fn of_table(timeline: &Timeline, table: &str, statements: &[&str], span: Span, at: RunTime) -> Option<Scan> {
    if fetched(timeline, table, span) < LEAST_CALLS * LEAST_SCANNED {
        return None;
    }
    let asked = by_table::asked(statements, table);
    let slower = asked.into_iter().filter_map(|a| of_look_up(timeline, table, a.text, a.looks_up?, span, at));
    slower.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, scan)| scan)
}

/// The look-up, with the growth of its time.
fn of_look_up(
    timeline: &Timeline,
    table: &str,
    text: &str,
    filter: Filter,
    span: Span,
    at: RunTime,
) -> Option<(f64, Scan)> {
    let told = by_table::told_since(timeline, names::DB_TABLE_FETCHED, table)?;
    // What was not told then may have been many.
    let rows = |span: Span| {
        let told = Span::new(span.start.max(told), span.end.max(told));
        Some(fetched(timeline, table, told) / calls(timeline, text, told)?)
    };
    let few = |block| rows(block).is_some_and(|rows| rows < LEAST_SCANNED);
    let took = by_time::times(timeline, text, window::last(at, WINDOW_S / 2.0)).quantile_ns(0.5)?;
    let (past, block) = by_time::best(timeline, text, span.start, few)?;
    if took < (GROWTH * past).max(past + LEAST_ADDED_NS) {
        return None;
    }
    let since = by_time::onset(timeline, text, at, (took * past).sqrt());
    if at.since(since) < by_time::LASTS {
        return None;
    }
    // Calls from before it would dilute what one reads.
    let of = Span::new(span.start.max(since), span.end);
    let (calls, now, before) = (calls(timeline, text, of)?, rows(of)?, rows(block)?);
    let given = window::counted_of(window::about(timeline, names::DB_ROWS, text), of).map(|n| n / calls);
    let wanted = given.unwrap_or(1.0).max(1.0);
    if now < LEAST_SCANNED.max(LEAST_RATIO * wanted).max(LEAST_RATIO * before) {
        return None;
    }
    let scan = Scan {
        text: text.to_owned(),
        filter,
        span: of,
        since,
        last: at,
        calls,
        way: Way::Walks(now),
        given,
        sure: true,
        lane: names::DB_TABLE_FETCHED,
        locks: None,
    };
    Some((took / past.max(1.0), scan))
}

/// Calls in `span`, if there are enough.
fn calls(timeline: &Timeline, text: &str, span: Span) -> Option<f64> {
    let calls = window::counted_of(window::about(timeline, names::DB_CALLS, text), span)?;
    (calls >= LEAST_CALLS).then_some(calls)
}

fn fetched(timeline: &Timeline, table: &str, span: Span) -> f64 {
    by_table::heard(timeline, names::DB_TABLE_FETCHED, table, span)
}
