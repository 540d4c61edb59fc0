//! Which look-up has become slow, where nobody counts the rows that a statement steps over.
//!
//! Owns the comparison of a statement's time with its own past and with its fellows, and with the connections that wait for locks; and, where its
//! plan has turned from an index to a scan, with its past alone. A planner that misses an index need not scan the table: it may walk another
//! index from its end, which no counter of scans shows.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Span, Timeline};

use super::{LEAST_ADDED_NS, LEAST_CALLS, LEAST_SCANNED, LEAST_TIMED, Locks, Scan, Way, plan};
use crate::detectors::database::statement::{self, Filter};
use crate::stats::{Durations, median};
use crate::window;

/// Window, seconds.
const WINDOW_S: f64 = 2.0;
/// Share of the time of all statements that it takes. What takes less is slow, but not what the database is busy with.
const LEAST_SHARE: f64 = 0.5;
/// Median time from which on a look-up is slow at all: by an index it takes below a millisecond, and a round trip
/// within a data centre as long again.
const LEAST_NS: f64 = 5e6;
/// Growth over its own past, and over that of the typical other statement: a database or a machine that is short of CPU slows all of them.
const GROWTH: f64 = 5.0;
const OVER_OTHERS: f64 = 3.0;
/// Other statements with which it can be compared.
const LEAST_OTHERS: usize = 2;
/// Share of the connections inside it (Little's law) that wait for locks, from which on its time is theirs.
const WAITING_SHARE: f64 = 0.5;
/// Its past: the best block of so many before the window, each so long.
const BLOCKS: u32 = 15;
const BLOCK: Duration = Duration::from_secs(4);
/// A cell in the search for the onset.
const CELL: Duration = Duration::from_millis(200);
/// How long it has been slow, at least, and still is: many that came at once have waited for each other.
pub(super) const LASTS: Duration = Duration::from_millis(600);

/// The look-up that most of the time goes to, if it has become slow.
pub(super) fn grown(timeline: &Timeline, at: RunTime) -> Option<Scan> {
    let span = window::last(at, WINDOW_S);
    let mut sums = BTreeMap::<&str, f64>::new();
    for series in timeline.named(names::DB_TIME) {
        let times = Durations::of(series.intervals_within(span));
        *sums.entry(&series.spec.subject).or_default() +=
            times.mean_ns().unwrap_or(0.0) * times.count() as f64;
    }
    let all: f64 = sums.values().sum();
    let (&text, &most) = sums.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
    let filter = statement::filter(text);
    let reads = text.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("select"));
    if most < LEAST_SHARE * all || !reads || filter == Filter::None {
        return None;
    }
    let now = times(timeline, text, span);
    let (calls, took) = (now.count() as f64, now.quantile_ns(0.5)?);
    if calls < LEAST_CALLS || took < LEAST_NS {
        return None;
    }
    let (past, block) = best(timeline, text, span.start, |_| true)?;
    let growth = took / past.max(1.0);
    if growth < GROWTH || growth < OVER_OTHERS * growth_of_others(timeline, text, span, block)? {
        return None;
    }
    let since = onset(timeline, text, at, (took * past).sqrt());
    if at.since(since) < LASTS {
        return None;
    }
    let given = window::counted_of(window::about(timeline, names::DB_ROWS, text), span);
    let sure = scans(timeline, &filter, Span::new(since, at));
    let inside = most / 1e9 / window::seconds(span);
    let waiting = window::typical(timeline, names::DB_WAITING, Span::new(since.max(span.start), span.end));
    let locks = waiting.filter(|n| !sure && *n >= WAITING_SHARE * inside);
    Some(Scan {
        sure,
        text: text.to_owned(),
        filter,
        span,
        since,
        last: at,
        calls,
        way: Way::Slower,
        given: given.map(|n| n / calls),
        lane: names::DB_TIME,
        locks: locks.map(|waiting| Locks { waiting, inside }),
    })
}

/// How much longer the typical other statement takes in `span` than in `block`, as a factor, if there are enough.
pub(super) fn growth_of_others(timeline: &Timeline, text: &str, span: Span, block: Span) -> Option<f64> {
    let others = window::subjects(timeline, names::DB_TIME).into_iter().filter(|&t| t != text);
    let growths = others.filter_map(|t| {
        let (now, then) = (times(timeline, t, span), times(timeline, t, block));
        (now.count() >= 1 && then.count() >= 1)
            .then_some(now.quantile_ns(0.5)? / then.quantile_ns(0.5)?.max(1.0))
    });
    let growths: Vec<f64> = growths.collect();
    (growths.len() >= LEAST_OTHERS).then(|| median(growths))?
}

/// Look-ups that have become slower as their plan turned from an index to a scan of the whole table.
pub(super) fn turned(timeline: &Timeline, at: RunTime) -> Vec<Scan> {
    plan::turned(timeline, at)
        .into_iter()
        .filter_map(|(text, told)| of_turn(timeline, text, told, at))
        .collect()
}

/// It became slower when its plan turned, not before and not only later, and still is.
fn of_turn(timeline: &Timeline, text: &str, told: RunTime, at: RunTime) -> Option<Scan> {
    let filter = statement::filter(text);
    let span = Span::new(window::last(at, WINDOW_S).start.max(told), at);
    let now = times(timeline, text, span);
    if filter == Filter::None || (now.count() as f64) < LEAST_CALLS || at.since(told) < LASTS {
        return None;
    }
    let past = newest(timeline, text, told.back(plan::SETTLED))?;
    let first = times(timeline, text, Span::new(told, at.min(told + plan::SETTLED))).quantile_ns(0.5)?;
    let took = now.quantile_ns(0.5)?;
    if took.min(first) < (super::GROWTH * past).max(past + LEAST_ADDED_NS) {
        return None;
    }
    let given = window::counted_of(window::about(timeline, names::DB_ROWS, text), span);
    let calls = now.count() as f64;
    let scan = Scan {
        sure: true,
        text: text.to_owned(),
        filter,
        span,
        since: onset(timeline, text, told, (first * past).sqrt()).max(told.back(plan::SETTLED)),
        last: at,
        calls,
        way: Way::Turned,
        given: given.map(|n| n / calls),
        lane: names::DB_TIME,
        locks: None,
    };
    // Another table than that in which it looks up may be scanned rightly, and a small one.
    plan::of(timeline, &scan, at).is_some_and(|p| p.scans).then_some(scan)
}

pub(super) fn times(timeline: &Timeline, text: &str, span: Span) -> Durations {
    window::durations_about(timeline, names::DB_TIME, text, span)
}

/// The median of the newest block before `end` with calls enough.
fn newest(timeline: &Timeline, text: &str, end: RunTime) -> Option<f64> {
    (0..BLOCKS).find_map(|i| {
        let end = end.back(BLOCK * i);
        let times = times(timeline, text, Span::new(end.back(BLOCK), end));
        (times.count() >= LEAST_TIMED).then(|| times.quantile_ns(0.5)).flatten()
    })
}

/// The lowest median of a block before `end` that `counts`, and that block.
pub(super) fn best(
    timeline: &Timeline,
    text: &str,
    end: RunTime,
    counts: impl Fn(Span) -> bool,
) -> Option<(f64, Span)> {
    (0..BLOCKS)
        .filter_map(|i| {
            let end = end.back(BLOCK * i);
            let block = Span::new(end.back(BLOCK), end);
            let times = times(timeline, text, block);
            let median = times.quantile_ns(0.5)?;
            (times.count() >= LEAST_TIMED && counts(block)).then_some((median, block))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Since when its median has been above `level`, in cells back from `at`; cells without a call are passed over.
pub(super) fn onset(timeline: &Timeline, text: &str, at: RunTime, level: f64) -> RunTime {
    let mut since = at;
    for i in 0..(BLOCKS * BLOCK.as_millis() as u32 / CELL.as_millis() as u32) {
        let end = at.back(CELL * i) + Duration::from_nanos(1);
        let cell = Span::new(end.back(CELL), end);
        match times(timeline, text, cell).quantile_ns(0.5) {
            Some(t) if t >= level => since = cell.start,
            Some(_) => break,
            None => {}
        }
    }
    since
}

/// Has the server begun scans of its whole table meanwhile?
fn scans(timeline: &Timeline, filter: &Filter, span: Span) -> bool {
    let Filter::Column { table, .. } = filter else { return false };
    let count = |name| super::by_table::heard(timeline, name, table, span);
    let scans = count(names::DB_TABLE_SCANS);
    scans >= 1.0 && count(names::DB_TABLE_SCANNED) / scans >= LEAST_SCANNED
}
