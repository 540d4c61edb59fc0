//! Which look-up walks along an index that does not find its rows, where the database's server counts what is fetched by way of indexes.
//!
//! A planner that misses an index and is to give the first few rows in the order of another walks that one from its end and filters: no counter of
//! scans shows it. Owns the account: rows of a table fetched by way of its indexes, less those that other statements gave, for each call of a
//! look-up. They must have become many of late, and the look-up slower as they did, more than other statements have. One that counts or sums up
//! wants more rows than it gives, so nothing is said of it.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Span, Timeline};

use super::by_table::Asked;
use super::{
    GROWTH, LEAST_ADDED_NS, LEAST_CALLS, LEAST_RATIO, LEAST_SCANNED, Scan, Way, by_table, by_time, plan,
};
use crate::detectors::database::statement;
use crate::window;

/// Window, seconds: two answers of the server at least.
const WINDOW: Duration = Duration::from_secs(3);
/// So much of a past must have been told for its rows to be known to be few: an answer of the server lies in it, and what it is of.
const LEAST_TOLD: Duration = Duration::from_secs(2);

/// Look-ups that walk.
pub(super) fn walks(timeline: &Timeline, at: RunTime) -> Vec<Scan> {
    let statements = window::subjects(timeline, names::DB_CALLS);
    window::subjects(timeline, names::DB_TABLE_FETCHED)
        .iter()
        .filter_map(|table| of_table(timeline, table, &statements, at))
        .collect()
}

/// The one that costs most of those in which the table is looked up.
fn of_table(timeline: &Timeline, table: &str, statements: &[&str], at: RunTime) -> Option<Scan> {
    let span = Span::new(at.back(WINDOW), at);
    if by_table::heard(timeline, names::DB_TABLE_FETCHED, table, span) < LEAST_CALLS * LEAST_SCANNED {
        return None;
    }
    let asked = by_table::asked(statements, table);
    let told = by_table::told_since(timeline, names::DB_TABLE_FETCHED, table)?;
    let look = Look { timeline, table, asked: &asked, told };
    let slower = asked.iter().filter_map(|a| look.at(a, span));
    slower.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, scan)| scan)
}

/// What is known of a table.
struct Look<'a> {
    timeline: &'a Timeline,
    table: &'a str,
    /// Statements that name it.
    asked: &'a [Asked<'a>],
    /// Since when the server has told what is fetched of it.
    told: RunTime,
}

impl Look<'_> {
    /// A look-up that walks, and the time that this costs.
    fn at(&self, asked: &Asked, span: Span) -> Option<(f64, Scan)> {
        let (text, at) = (asked.text, span.end);
        let filter = asked.looks_up.clone()?;
        if statement::sums_up(text) {
            return None;
        }
        let few = |block| self.rows(text, block).is_some_and(|rows| rows < LEAST_SCANNED);
        let recent = Span::new(at.back(WINDOW / 2), at);
        let took = by_time::times(self.timeline, text, recent).quantile_ns(0.5)?;
        let (past, block) = by_time::best(self.timeline, text, span.start, few)?;
        if took < (GROWTH * past).max(past + LEAST_ADDED_NS) {
            return None;
        }
        let usual = by_time::growth_of_others(self.timeline, text, recent, block);
        if usual.is_some_and(|usual| took < GROWTH * usual * past) {
            return None;
        }
        let since = by_time::onset(self.timeline, text, at, (took * past).sqrt());
        if at.since(since) < by_time::LASTS {
            return None;
        }
        // Calls from before it would dilute what one reads; and it is slow for this only if it read as much when it began to be.
        let now = Span::new(span.start.max(since), at);
        let first = Span::new(since, at.min(since + WINDOW));
        let (calls, given) = (self.calls(text, now)?, self.given(text, now)?);
        let (read, then, before) = (self.rows(text, now)?, self.rows(text, first)?, self.rows(text, block)?);
        let least = LEAST_SCANNED.max(LEAST_RATIO * (given / calls).max(1.0)).max(LEAST_RATIO * before);
        if read.min(then) < least {
            return None;
        }
        let scan = Scan {
            text: text.to_owned(),
            filter,
            span: now,
            since,
            last: at,
            calls,
            way: Way::Walks(read),
            given: Some(given / calls),
            // Another statement may want what is fetched.
            sure: self.others(text).all(|a| self.calls(a.text, now).is_none()),
            lane: names::DB_TABLE_FETCHED,
            locks: None,
        };
        let seeks = plan::of(self.timeline, &scan, at).is_some_and(|p| p.seeks);
        (!seeks).then_some(((took - past) * calls, scan))
    }

    /// The other statements that name the table.
    fn others(&self, text: &str) -> impl Iterator<Item = &Asked<'_>> {
        self.asked.iter().filter(move |a| a.text != text)
    }

    /// Rows fetched for each call, as far as they were told.
    fn rows(&self, text: &str, span: Span) -> Option<f64> {
        let told = Span::new(span.start.max(self.told), span.end.max(self.told));
        let is_whole = told.start == span.start || told.length() >= LEAST_TOLD;
        let calls = self.calls(text, told).filter(|_| is_whole)?;
        let fetched = by_table::heard(self.timeline, names::DB_TABLE_FETCHED, self.table, told);
        let theirs: f64 = self.others(text).filter_map(|a| self.given(a.text, told)).sum();
        Some((fetched - theirs).max(0.0) / calls)
    }

    /// Calls in `span`, if there are enough.
    fn calls(&self, text: &str, span: Span) -> Option<f64> {
        let calls = window::counted_of(window::about(self.timeline, names::DB_CALLS, text), span)?;
        (calls >= LEAST_CALLS).then_some(calls)
    }

    /// Rows that a statement gave.
    fn given(&self, text: &str, span: Span) -> Option<f64> {
        window::counted_of(window::about(self.timeline, names::DB_ROWS, text), span)
    }
}
