//! What the database's planner says of a slow statement.
//!
//! Owns the reading of plans, PostgreSQL's and SQLite's, and the choice of the plan: the newest one of the statement. It is evidence of a missing index if its costliest scan is one of the whole
//! table in which the statement looks up, and that is large. One that does not scan speaks against it only if it was made while the
//! statement was slow, and speaks for it where much is fetched by way of indexes and it leaves rows to a filter. Where nothing is left to one, it
//! finds its rows by an index. Of a plan that has turned from an index to such a
//! scan no more is wanted than that the statement has become slower with it (`by_time`).

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::{Event, Span, Timeline, Unit};

use super::{LEAST_SCANNED, Scan};
use crate::detectors::database::statement::{Filter, is_table};
use crate::detectors::evidence;

/// A statement is planned anew within so long of its becoming slow: the source looks once a second, and plans every two.
pub(super) const SETTLED: Duration = Duration::from_secs(3);

/// Least cost of a scan that takes long: PostgreSQL counts a hundredth for each row (`cpu_tuple_cost`), and its pages besides.
const LEAST_COST: f64 = 0.01 * LEAST_SCANNED;

/// How far back it is looked whether a plan has turned. What a statement has taken for longer is what it usually takes.
const BACK: Duration = Duration::from_secs(300);
/// Most statements of which that is told at once.
const MOST_TURNED: usize = 64;
/// Of SQLite's scans those of no whole table: along an index, of the values in the text, of what a program makes up.
const NO_TABLE_SCAN: [&str; 4] = [" USING ", " CONSTANT ROW", " VALUES CLAUSE", " VIRTUAL TABLE "];

/// A plan, as evidence.
pub(super) struct Plan {
    /// Does it scan a whole table?
    pub scans: bool,
    /// Does it find its rows by an index alone?
    pub seeks: bool,
    /// Does it go along an index and tell its rows by a filter?
    pub walks: bool,
    pub evidence: Evidence,
}

/// The plan that was made of `scan`'s statement, if it says something of it.
pub(super) fn of(timeline: &Timeline, scan: &Scan, at: RunTime) -> Option<Plan> {
    let told = timeline.events(kinds::DB_PLAN, Span::new(RunTime::ZERO, at + Duration::from_nanos(1)));
    let newest = told.filter(|e| e.label("statement") == Some(&scan.text)).last()?;
    let steps = newest.label("plan")?;
    let scans = is_whole(steps);
    // Whoever scans another table, or a small one, may do so rightly: nothing is told of this index.
    let tells = if scans { is_sought(newest, scan) } else { newest.start >= scan.since + SETTLED };
    if !tells {
        return None;
    }
    let filter = newest.label("filter").filter(|f| !f.is_empty());
    let seeks = filter.is_none() && seeks_for(last_step(steps), scan);
    let walks = filter.is_some() && is_index(last_step(steps));
    let filter = filter.filter(|_| scans || walks);
    let filter = filter.map_or(String::new(), |f| format!(", where rows are told by {f} alone"));
    let before = newest.label("before").filter(|before| !before.is_empty() && scans);
    let before = before.map_or(String::new(), |before| format!(" instead of {before}"));
    let cost = newest.value;
    let cost = if cost > 0.0 { format!("cost {}; ", Unit::Count.show(cost)) } else { String::new() };
    let text = format!("the database plans it as {steps}{before}{filter} ({cost}estimated, for any value)");
    let span = Span::new(newest.start, at);
    let evidence = evidence(text, kinds::DB_PLAN, span, newest.value, Unit::Count);
    Some(Plan { scans, seeks, walks, evidence })
}

/// Statements whose plan has turned, in the last minutes, from an index to a scan of a whole table and is that still, and when that was told.
pub(super) fn turned(timeline: &Timeline, at: RunTime) -> BTreeMap<&str, RunTime> {
    let mut turned = BTreeMap::new();
    let told = timeline.events(kinds::DB_PLAN, Span::new(at.back(BACK), at + Duration::from_nanos(1)));
    for event in told {
        let label = |name| event.label(name).unwrap_or_default();
        let (statement, steps) = (label("statement"), label("plan"));
        if !is_whole(steps) {
            turned.remove(statement);
        } else if turned.len() < MOST_TURNED && is_index(last_step(label("before"))) {
            turned.entry(statement).or_insert(event.start);
        }
    }
    turned
}

/// Does the way lead to a scan of a whole table? SQLite says `SCAN`, and by which index if it walks one.
fn is_whole(steps: &str) -> bool {
    let step = last_step(steps);
    let sqlite = step.starts_with("SCAN ") && !NO_TABLE_SCAN.iter().any(|words| step.contains(words));
    sqlite || ["Seq Scan", "Parallel Seq Scan"].iter().any(|kind| step.starts_with(kind))
}

/// Does a step find rows by an index?
fn is_index(step: &str) -> bool {
    step.starts_with("SEARCH ")
        || ["Index Scan", "Index Only Scan", "Bitmap"].iter().any(|kind| step.contains(kind))
}

/// Does it find those of the statement so, as far as it says? SQLite says by which columns, and nothing of a filter for the others.
fn seeks_for(step: &str, scan: &Scan) -> bool {
    let by = step.rsplit_once('(').map_or("", |(_, by)| by.trim_end_matches(')'));
    let sought = || match &scan.filter {
        Filter::Column { column, .. } => by
            .split(" AND ")
            .map(|part| part.trim_end_matches(['?', '=', '<', '>']))
            .any(|part| part == column || part == "rowid"),
        _ => false,
    };
    is_index(step) && (!step.starts_with("SEARCH ") || sought())
}

/// What costs most: the end of the way.
fn last_step(steps: &str) -> &str {
    steps.rsplit(" > ").next().unwrap_or(steps)
}

/// Is the table that is scanned the one in which the statement looks up, as far as both are known, and the scan costly?
fn is_sought(plan: &Event, scan: &Scan) -> bool {
    let table = match &scan.filter {
        Filter::Column { table, .. } if !table.is_empty() => {
            plan.label("table").filter(|t| !t.is_empty()).is_none_or(|scanned| is_table(table, scanned))
        }
        _ => true,
    };
    // Older recordings do not tell what the scan alone costs.
    let cost = plan.label("cost").and_then(|c| c.parse::<f64>().ok());
    table && cost.is_none_or(|c| c >= LEAST_COST)
}
