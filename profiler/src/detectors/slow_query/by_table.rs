//! Which statement scans a table, where the database's server counts scans by table alone.
//!
//! Owns the account: scans of the table, less the calls of statements that have to read all of it, must be those of a look-up.
//! Servers tell such figures about once a second, and every process that asks hears the same.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use super::{LEAST_CALLS, LEAST_SCANNED, LEAST_TIMED, Scan, subjects};
use crate::detectors::database::statement::{self, Filter};
use crate::stats::Durations;
use crate::window;

/// Window, seconds: three answers of the server at least.
const WINDOW_S: f64 = 4.0;
/// Answers with scans in them.
const LEAST_ANSWERS: usize = 2;
/// Share of a look-up's calls that the scans not otherwise accounted for must reach.
const ACCOUNTED: f64 = 0.5;
/// How far back the onset is searched, seconds, and the longest silence within.
const BACK_S: f64 = 12.0;
const GAP: Duration = Duration::from_millis(2_500);
/// Growth of a look-up's median time with which it is the one, if several could be.
const GROWTH: f64 = 1.3;

/// Look-ups that scan.
pub(super) fn scans(timeline: &Timeline, at: RunTime) -> Vec<Scan> {
    let statements = subjects(timeline, names::DB_CALLS);
    subjects(timeline, names::DB_TABLE_SCANNED)
        .iter()
        .filter_map(|table| of_table(timeline, table, &statements, at))
        .collect()
}

/// What the worst-informed process is not: the most that any of them has heard.
fn heard(timeline: &Timeline, name: &str, table: &str, span: Span) -> f64 {
    let counts = window::about(timeline, name, table).filter_map(|s| window::counted_of([s], span));
    counts.fold(0.0, f64::max)
}

fn of_table(timeline: &Timeline, table: &str, statements: &[&str], at: RunTime) -> Option<Scan> {
    let span = window::last(at, WINDOW_S);
    let scans = heard(timeline, names::DB_TABLE_SCANS, table, span);
    let rows = heard(timeline, names::DB_TABLE_SCANNED, table, span);
    if scans < LEAST_CALLS || rows / scans < LEAST_SCANNED {
        return None;
    }
    let answers = answers(timeline, table, at);
    if answers.iter().filter(|a| a.1 >= span.start).count() < LEAST_ANSWERS {
        return None;
    }
    let breaks = answers.windows(2).rposition(|w| w[1].0.since(w[0].1) > GAP);
    let since = answers.get(breaks.map_or(0, |i| i + 1))?.0;
    let calls =
        |text: &str| window::counted_of(window::about(timeline, names::DB_CALLS, text), span).unwrap_or(0.0);
    let speak_of_it = statements.iter().filter(|s| statement::tables(s).iter().any(|t| t == table));
    let (mut explained, mut suspects) = (0.0, Vec::new());
    for text in speak_of_it {
        match statement::filter(text) {
            Filter::None => explained += calls(text),
            Filter::Column { table: by, .. } if by != table => {}
            filter => suspects.push(((*text).to_owned(), filter, calls(text))),
        }
    }
    let left = scans - explained;
    suspects.retain(|s| s.2 >= LEAST_CALLS && left >= ACCOUNTED * s.2);
    let growth = |text: &str| growth(timeline, text, since, at);
    let (text, filter, calls) = suspects
        .into_iter()
        .map(|s| (growth(&s.0), s))
        .filter(|(g, _)| g.is_none_or(|g| g >= GROWTH))
        .max_by(|a, b| a.0.unwrap_or(GROWTH).total_cmp(&b.0.unwrap_or(GROWTH)))?
        .1;
    let given = window::about(timeline, names::DB_ROWS, &text);
    let given = window::counted_of(given, span).map(|n| n / calls);
    // Many rows given for each scan are a report, not a look-up.
    if given.is_some_and(|n| rows / scans < super::LEAST_RATIO * n.max(1.0)) {
        return None;
    }
    Some(Scan {
        text,
        filter,
        span,
        since,
        last: answers.last()?.1,
        calls,
        scanned: rows / scans,
        given,
        lane: names::DB_TABLE_SCANNED,
    })
}

/// Samples with scans, each with the instant since which it may have been.
fn answers(timeline: &Timeline, table: &str, at: RunTime) -> Vec<(RunTime, RunTime)> {
    let span = window::last(at, BACK_S);
    let said = |s: &Series| -> Vec<(RunTime, RunTime)> {
        let told = window::steps(s, span).filter(|w| w.2 > 0.0);
        told.map(|(since, t, _)| (since, t)).collect()
    };
    let lanes = window::about(timeline, names::DB_TABLE_SCANNED, table).map(said);
    lanes.max_by_key(Vec::len).unwrap_or_default()
}

/// The statement's median time since the scans began, over that before; none without a before.
fn growth(timeline: &Timeline, text: &str, since: RunTime, at: RunTime) -> Option<f64> {
    let times = |span| {
        let lanes = window::about(timeline, names::DB_TIME, text);
        Durations::of(lanes.flat_map(|s| s.intervals_within(span)))
    };
    // The server's answer comes late: up to a second and a half of it lay before.
    let before = Span::new(since.back(Duration::from_secs(12)), since.back(Duration::from_millis(1_500)));
    let (past, now) = (times(before), times(Span::new(since, at)));
    (past.count() >= LEAST_TIMED).then_some(())?;
    Some(now.quantile_ns(0.5)? / past.quantile_ns(0.5)?.max(1.0))
}
