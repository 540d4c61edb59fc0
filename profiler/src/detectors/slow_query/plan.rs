//! What the database's planner says of a slow statement.
//!
//! Owns the choice of the plan: the newest one of the statement. One that does not scan speaks against a missing index only if it was
//! made while the statement was slow.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::{Span, Timeline, Unit};

use super::Scan;
use crate::detectors::evidence;

/// A statement is planned anew within so long of its becoming slow: the source looks once a second, and plans every two.
const SETTLED: Duration = Duration::from_secs(3);

/// A plan, as evidence.
pub(super) struct Plan {
    /// Does it scan a whole table?
    pub scans: bool,
    pub evidence: Evidence,
}

/// The plan that was made of `scan`'s statement, if it says something of it.
pub(super) fn of(timeline: &Timeline, scan: &Scan, at: RunTime) -> Option<Plan> {
    let told = timeline.events(kinds::DB_PLAN, Span::new(RunTime::ZERO, at + Duration::from_nanos(1)));
    let newest = told.filter(|e| e.label("statement") == Some(&scan.text)).last()?;
    let steps = newest.label("plan")?;
    let scans = steps.contains("Seq Scan");
    if !scans && newest.start < scan.since + SETTLED {
        return None;
    }
    let filter = newest.label("filter").filter(|f| scans && !f.is_empty());
    let filter = filter.map_or(String::new(), |f| format!(", where rows are told by {f} alone"));
    let cost = Unit::Count.show(newest.value);
    let text = format!("the server plans it as {steps}{filter} (cost {cost}; estimated, for any value)");
    let span = Span::new(newest.start, at);
    Some(Plan { scans, evidence: evidence(text, kinds::DB_PLAN, span, newest.value, Unit::Count) })
}
