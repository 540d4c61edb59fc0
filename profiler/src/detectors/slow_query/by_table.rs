//! Which statement scans a table, where the database's server counts scans by table alone.
//!
//! Owns the account: scans of the table, less the calls of statements that have to read all of it, must be those of a look-up.
//! Servers tell such figures about once a second, and every process that asks hears the same. Which of several look-ups it is, is told by
//! their times: the one that takes longer than in its past without scans. One that has no such past may always have scanned.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use super::{LEAST_CALLS, LEAST_SCANNED, Scan, Way, by_time};
use crate::detectors::database::statement::{self, Filter, is_table};
use crate::window;

/// Window, seconds: three answers of the server at least.
const WINDOW_S: f64 = 4.0;
/// Answers with scans in them.
const LEAST_ANSWERS: usize = 2;
/// Share of a look-up's calls, and of all scans, that the scans not otherwise accounted for must reach: the server's figures and
/// ours are of slightly different spans, so the difference of two large numbers says nothing.
const ACCOUNTED: f64 = 0.5;
/// How far back the onset is searched, seconds, and the longest silence within.
const BACK_S: f64 = 12.0;
const GAP: Duration = Duration::from_millis(2_500);
/// Growth of a look-up's median time with which it is the one, if several could be.
const GROWTH: f64 = 1.3;

/// Look-ups that scan.
pub(super) fn scans(timeline: &Timeline, at: RunTime) -> Vec<Scan> {
    let statements = window::subjects(timeline, names::DB_CALLS);
    window::subjects(timeline, names::DB_TABLE_SCANNED)
        .iter()
        .filter_map(|table| of_table(timeline, table, &statements, at))
        .collect()
}

/// What the worst-informed process is not: the most that any of them has heard.
pub(super) fn heard(timeline: &Timeline, name: &str, table: &str, span: Span) -> f64 {
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
    let asked = asked(statements, table);
    let (suspects, alone) = suspects(timeline, &asked, scans, span);
    let compared = suspects.into_iter().map(|s| (Slower::of(timeline, table, &asked, s.text, at), s));
    // What nobody else can have done is its doing, whether it takes longer for it or not.
    let suspect = compared
        .filter(|(slower, _)| alone || slower.growth >= GROWTH)
        .max_by(|a, b| a.0.growth.total_cmp(&b.0.growth));
    let (slower, Suspect { text, filter, calls }) = suspect?;
    let since = slower.since.or_else(|| first(&answers))?;
    let given = window::about(timeline, names::DB_ROWS, text);
    let given = window::counted_of(given, span).map(|n| n / calls);
    // Many rows given for each scan are a report, not a look-up.
    if given.is_some_and(|n| rows / scans < super::LEAST_RATIO * n.max(1.0)) {
        return None;
    }
    Some(Scan {
        text: text.to_owned(),
        filter: filter.clone(),
        span,
        since,
        last: answers.last()?.1,
        calls,
        way: Way::Scans(rows / scans),
        // What was told of the table only since then says nothing of what was before.
        sure: slower.is_known
            && told_since(timeline, names::DB_TABLE_SCANS, table).is_some_and(|told| told < since),
        given,
        lane: names::DB_TABLE_SCANNED,
        locks: None,
    })
}

/// A statement that names the table.
pub(super) struct Asked<'a> {
    pub text: &'a str,
    /// What it looks up by; none where it has to read all of the table, as one that looks up in another and may well join this one.
    pub looks_up: Option<Filter>,
}

pub(super) fn asked<'a>(statements: &[&'a str], table: &str) -> Vec<Asked<'a>> {
    let of_it = statements.iter().filter(|s| statement::tables(s).iter().any(|t| is_table(t, table)));
    of_it
        .map(|&text| Asked {
            text,
            looks_up: match statement::filter(text) {
                Filter::None => None,
                Filter::Column { table: by, .. } if !is_table(&by, table) => None,
                filter => Some(filter),
            },
        })
        .collect()
}

/// A look-up in the table.
struct Suspect<'a> {
    text: &'a str,
    filter: &'a Filter,
    calls: f64,
}

/// Look-ups among those `asked` of which each call may be one of the `scans`, less those of statements that have to read all of it; and whether
/// there is one only, and no such statement.
fn suspects<'a>(timeline: &Timeline, asked: &'a [Asked], scans: f64, span: Span) -> (Vec<Suspect<'a>>, bool) {
    let (mut left, mut suspects) = (scans, Vec::new());
    for Asked { text, looks_up } in asked {
        let calls = window::counted_of(window::about(timeline, names::DB_CALLS, text), span).unwrap_or(0.0);
        match looks_up {
            None => left -= calls,
            Some(filter) => suspects.push(Suspect { text, filter, calls }),
        }
    }
    suspects.retain(|s| s.calls >= LEAST_CALLS && left >= ACCOUNTED * s.calls.max(scans));
    let alone = suspects.len() == 1 && left >= scans;
    (suspects, alone)
}

/// When the server first told this of the table.
pub(super) fn told_since(timeline: &Timeline, name: &str, table: &str) -> Option<RunTime> {
    window::about(timeline, name, table).filter_map(|s| Some(s.points.first()?.0)).min()
}

/// Were there scans in `block` that the look-up may have made? What was not told then may have been some.
fn may_have_scanned(timeline: &Timeline, table: &str, asked: &[Asked], text: &str, block: Span) -> bool {
    let untold = told_since(timeline, names::DB_TABLE_SCANS, table).is_none_or(|told| told > block.start);
    let scans = heard(timeline, names::DB_TABLE_SCANS, table, block);
    untold || suspects(timeline, asked, scans, block).0.iter().any(|s| s.text == text)
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

/// The beginning of the answers that lasts.
fn first(answers: &[(RunTime, RunTime)]) -> Option<RunTime> {
    let breaks = answers.windows(2).rposition(|w| w[1].0.since(w[0].1) > GAP);
    Some(answers.get(breaks.map_or(0, |i| i + 1))?.0)
}

/// A look-up's time beside that of its past without scans.
struct Slower {
    /// Since when it takes longer; none where it does not, or where there is no such past.
    since: Option<RunTime>,
    /// How many times as long; [`GROWTH`] where nobody knows.
    growth: f64,
    /// May its past speak for the finding? Not where it scanned then, and not where it takes as long as then.
    is_known: bool,
}

impl Slower {
    fn of(timeline: &Timeline, table: &str, asked: &[Asked], text: &str, at: RunTime) -> Self {
        let before = window::last(at, WINDOW_S).start;
        let recent = window::last(at, WINDOW_S / 2.0);
        let unknown = |is_known| Self { since: None, growth: GROWTH, is_known };
        let Some(now) = by_time::times(timeline, text, recent).quantile_ns(0.5) else { return unknown(true) };
        if by_time::best(timeline, text, before, |_| true).is_none() {
            return unknown(true);
        }
        let without_scans = |block| !may_have_scanned(timeline, table, asked, text, block);
        let Some((past, _)) = by_time::best(timeline, text, before, without_scans) else {
            return unknown(false);
        };
        let growth = now / past.max(1.0);
        let longer = growth >= GROWTH;
        let since = longer.then(|| by_time::onset(timeline, text, at, (now * past).sqrt()));
        Self { since, growth, is_known: longer }
    }
}
