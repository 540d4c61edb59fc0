//! Slow query: a statement reads rows out of all proportion to the rows that it gives.
//!
//! **Claim.** A statement that looks rows up by a column reads the whole table for it, or walks along an index that does not find them. **Reads** `db.{scanned,calls,rows,time}` by
//! statement; where the store does not tell it of statements, `db.{table-scans,table-scanned,table-fetched}` by table; and what it tells of plans
//! (`db.plan`). **Needs** `db.calls` and either, or else `db.time`: then a look-up is told that alone has become slow, or that has become slower as
//! its plan turned from an index to a scan, and nothing of one that always was. **Statistic.** Rows stepped over in scans for each call and for each
//! row given, over the last three seconds, in at least four samples; of tables, rows for each scan, and which look-up accounts for the scans; rows
//! fetched by way of an index for each call of a look-up, and that it has become slower, by half and a millisecond, as they became many; or
//! which look-up alone has become slow, or by as much, as its plan turned. What is told of it is counted from when it began. One
//! that alone has become slow while half as many connections wait for locks (`db.waiting`) as are inside it lacks no index: it waits, and that is
//! what is said. A plan is evidence besides. **Null test.** The statement's own time while it did not scan: where its median has grown by half,
//! the finding is confirmed.
//!
//! What has to read everything (a sum over a table, a list without a condition, a pattern) is none: no index would
//! change it. Which table and column the index needs is read from the fingerprint, as far as it goes.

mod by_index;
mod by_table;
mod by_time;
mod plan;

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::database::CRITICAL_NS;
use super::database::statement::{self, Filter};
use super::{Answer, Claim, ONSET, evidence, plural};
use crate::window;

/// Window, seconds.
const WINDOW_S: f64 = 3.0;
/// Rows that a call reads in scans. Stepping over one takes about 0.1 us, so ten thousand take a millisecond, as long as the
/// round trip; a planner rightly scans smaller tables, whether they have an index or not.
const LEAST_SCANNED: f64 = 10_000.0;
/// ... for each row that it gives. Planners turn from an index to a scan at some per cent of the table, so a look-up that reads a
/// hundred rows for one should not be a scan.
const LEAST_RATIO: f64 = 100.0;
/// Calls, and samples with scans in them, in the window.
const LEAST_CALLS: f64 = 5.0;
const LEAST_SAMPLES: usize = 4;
/// How far back the onset is searched, seconds, and the longest silence within an episode.
const BACK_S: f64 = 12.0;
const GAP: Duration = Duration::from_secs(2);
/// Growth of the statement's median time over what it was without scans, for the finding to be confirmed.
const GROWTH: f64 = 1.5;
/// ... and from which on its users notice.
const CRITICAL_GROWTH: f64 = 5.0;
/// What that adds to the time of a statement, at least, where it is not counted in a scan: as long as stepping over [`LEAST_SCANNED`] rows takes.
const LEAST_ADDED_NS: f64 = 1e6;
/// Calls from which on a median time is worth its name.
const LEAST_TIMED: u64 = 8;
/// What the server says of locks explains a slow statement better than its time alone did before, whichever had more calls.
const LOCKS_OUTWEIGH: f64 = 1e3;
/// Sort of a claim that rests on time alone: other things slow a statement, too.
pub const BY_TIME: &str = "by time";
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every statement, or at every table.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !timeline.has(names::DB_CALLS) {
        return Answer::CannotTell(vec![names::DB_CALLS.to_owned()]);
    }
    let span = window::last(at, WINDOW_S);
    let mut claims = Vec::new();
    if timeline.has(names::DB_SCANNED) {
        claims.extend(
            window::subjects(timeline, names::DB_SCANNED)
                .iter()
                .filter_map(|s| Some(Scan::of_statement(timeline, s, span, at)?.claim(timeline, at))),
        );
    } else if timeline.has(names::DB_TABLE_SCANNED) {
        let mut scans = by_table::scans(timeline, at);
        for more in by_index::walks(timeline, at).into_iter().chain(by_time::grown(timeline, at)) {
            if scans.iter().all(|s| s.text != more.text) {
                scans.push(more);
            }
        }
        claims.extend(scans.iter().map(|scan| scan.claim(timeline, at)));
    } else {
        // Nobody counts what is read: whose plan has turned to a scan is told all the same, and who has become slow alone, but not who has been slow
        // from the start.
        let missing = vec![names::DB_SCANNED.to_owned(), names::DB_TABLE_SCANNED.to_owned()];
        let turned = by_time::turned(timeline, at);
        let grown = by_time::grown(timeline, at).filter(|g| turned.iter().all(|s| s.text != g.text));
        if turned.is_empty() && grown.is_none() {
            return Answer::CannotTell(missing);
        }
        claims.extend(turned.iter().map(|scan| scan.claim(timeline, at)));
        claims.extend(grown.map(|grown| Claim { missing, ..grown.claim(timeline, at) }));
    }
    Answer::Looked(claims)
}

/// What is wrong with a statement, as far as it is known.
#[derive(Clone, Copy)]
enum Way {
    /// It reads whole tables: so many rows for each call.
    Scans(f64),
    /// It walks along an index that does not find its rows: so many are fetched for each call.
    Walks(f64),
    /// Its plan has turned from an index to a scan of the whole table.
    Turned,
    /// It has become slow.
    Slower,
}

/// A statement that reads more than it wants, or has become slow as if it did.
struct Scan {
    text: String,
    filter: Filter,
    span: Span,
    since: RunTime,
    last: RunTime,
    calls: f64,
    way: Way,
    /// Rows that a call gives.
    given: Option<f64>,
    /// May its own past confirm it?
    sure: bool,
    /// Which lane tells of it.
    lane: &'static str,
    /// Where its time goes into waiting for locks.
    locks: Option<Locks>,
}

/// Connections that wait for a lock, and those that are inside the statement by Little's law.
#[derive(Clone, Copy)]
struct Locks {
    waiting: f64,
    inside: f64,
}

impl Scan {
    fn of_statement(timeline: &Timeline, text: &str, span: Span, at: RunTime) -> Option<Self> {
        let count = |name| window::counted_of(window::about(timeline, name, text), span).unwrap_or(0.0);
        let scanned = count(names::DB_SCANNED);
        // Most statements scan nothing, which is soon seen.
        if scanned < LEAST_CALLS * LEAST_SCANNED {
            return None;
        }
        let calls = count(names::DB_CALLS);
        if calls < LEAST_CALLS || scanned / calls < LEAST_SCANNED {
            return None;
        }
        let given = count(names::DB_ROWS);
        let filter = statement::filter(text);
        // A look-up that finds nothing has looked for one.
        if scanned / given.max(calls) < LEAST_RATIO || filter == Filter::None {
            return None;
        }
        let mut seen = samples(timeline, text, at);
        let newest = seen.last()?.1;
        if seen.iter().filter(|s| s.1 >= span.start).count() < LEAST_SAMPLES {
            return None;
        }
        let breaks = seen.windows(2).rposition(|w| w[1].0.since(w[0].1) > GAP);
        seen.drain(..breaks.map_or(0, |i| i + 1));
        let since = seen.first()?.0;
        // Calls from before it would dilute what one reads; the sample that ends with `since` is theirs.
        let of = Span::new(span.start.max(since + Duration::from_nanos(1)), span.end);
        let count = |name| window::counted_of(window::about(timeline, name, text), of).unwrap_or(0.0);
        let calls = count(names::DB_CALLS).max(1.0);
        Some(Self {
            text: text.to_owned(),
            filter,
            span: Span::new(span.start.max(since), span.end),
            since,
            last: newest,
            calls,
            way: Way::Scans(count(names::DB_SCANNED) / calls),
            sure: true,
            given: Some(count(names::DB_ROWS) / calls),
            lane: names::DB_SCANNED,
            locks: None,
        })
    }

    /// Rows read for each call, where they are counted.
    const fn read(&self) -> Option<f64> {
        match self.way {
            Way::Scans(rows) | Way::Walks(rows) => Some(rows),
            Way::Turned | Way::Slower => None,
        }
    }

    /// Does the plan speak for it?
    const fn is_told_by(&self, plan: &plan::Plan) -> bool {
        plan.scans || (matches!(self.way, Way::Walks(_)) && plan.walks)
    }

    fn claim(&self, timeline: &Timeline, at: RunTime) -> Claim {
        let times = |span| by_time::times(timeline, &self.text, span);
        // Calls from before the onset would hide the growth.
        let from = Span::new(self.since.max(self.span.start), self.span.end);
        let past = times(Span::new(
            self.since.back(Duration::from_secs(10)),
            self.since.back(Duration::from_millis(200)),
        ));
        let now = times(from).quantile_ns(0.5);
        let before = (past.count() >= LEAST_TIMED).then(|| past.quantile_ns(0.5)).flatten();
        let growth = now.zip(before).map(|(now, before)| now / before.max(1.0));
        let plan = plan::of(timeline, self, at);
        let outweighs = if self.locks.is_some() { LOCKS_OUTWEIGH } else { 1.0 };
        let slow = now.is_some_and(|t| t >= CRITICAL_NS) || growth.is_some_and(|g| g >= CRITICAL_GROWTH);
        let status = match growth {
            _ if self.filter == Filter::Unknown => Status::Possible,
            Some(g) if g >= GROWTH && self.sure => Status::Confirmed,
            _ => Status::Likely,
        };
        Claim {
            kind: FindingKind::SlowQuery,
            identity: self.text.clone(),
            subject: self.text.clone(),
            severity: if slow { Severity::Critical } else { Severity::Warning },
            status,
            onset: self.since,
            last: self.last.min(at),
            quiet: QUIET,
            weight: self.read().unwrap_or(1.0) * self.calls * outweighs,
            claim: self.sentence(now, before),
            evidence: self.supporting(now, before, plan.as_ref().filter(|p| self.is_told_by(p))),
            advice: self.advice(plan.as_ref()),
            remedies: self.remedies(plan.as_ref()),
            contradicting: plan.filter(|p| !self.is_told_by(p)).map(|p| p.evidence).into_iter().collect(),
            missing: if now.is_none() { vec![names::DB_TIME.to_owned()] } else { Vec::new() },
            episodes: vec![Span::new(self.since, self.last.min(at))],
            sort: if matches!(self.way, Way::Slower) { BY_TIME } else { "" },
        }
    }

    fn sentence(&self, now: Option<f64>, before: Option<f64>) -> String {
        let a_second = Unit::Count.show((self.calls / window::seconds(self.span)).round());
        let took = now.map_or(String::new(), |t| format!(", {} each", Unit::Ns.show(t)));
        let given = self.given.map(|n| Unit::Count.show(n));
        let Some(read) = self.read() else {
            let than = before.map_or(String::new(), |b| format!(" instead of {}", Unit::Ns.show(b)));
            let given = given.map_or(String::new(), |n| format!(" for {n} rows"));
            let locks = self.locks.map_or(String::new(), |l| {
                format!("; it waits for locks, {} at a time", plural(l.waiting, "connection"))
            });
            let what = if matches!(self.way, Way::Turned) {
                format!("reads a whole table since {ONSET}, where an index found its rows before")
            } else {
                format!("has become slow since {ONSET}, alone among the statements")
            };
            return format!("`{}` {what}: {a_second} times a second{took}{than}{given}{locks}", self.text);
        };
        let given = given.map_or(String::new(), |n| format!(" to give {n}"));
        let what = if matches!(self.way, Way::Walks(_)) {
            "along an index that does not find them"
        } else {
            "whole tables"
        };
        format!(
            "`{}` reads {} rows{given} since {ONSET}: {what}, {a_second} times a second{took}",
            self.text,
            Unit::Count.show(read),
        )
    }

    fn supporting(&self, now: Option<f64>, before: Option<f64>, plan: Option<&plan::Plan>) -> Vec<Evidence> {
        let mut list = Vec::new();
        if let Some(read) = self.read() {
            let rate = read * self.calls / window::seconds(self.span);
            let ratio = self.given.map_or(String::new(), |given| {
                format!(", {} for each that they gave", Unit::Count.show(read / given.max(1.0)))
            });
            let (calls, read) = (Unit::Count.show(self.calls.round()), Unit::Count.show(read));
            let text = if matches!(self.way, Way::Walks(_)) {
                format!(
                    "for each of {calls} calls {read} rows of the table are fetched by way of its indexes{ratio}"
                )
            } else {
                format!("{calls} calls stepped over {read} rows each in scans of whole tables{ratio}")
            };
            list.push(evidence(text, self.lane, self.span, rate, Unit::PerSecond));
        }
        if let Some(now) = now {
            let than = before.map_or(String::new(), |b| format!(", {} before", Unit::Ns.show(b)));
            let text = format!("its median time is {}{than}", Unit::Ns.show(now));
            list.push(evidence(text, names::DB_TIME, self.span, now, Unit::Ns));
        }
        if let Some(Locks { waiting, inside }) = self.locks {
            let text = format!(
                "{} waiting for a lock, where {inside:.1} are inside the statement by Little's law",
                plural(waiting, "connection")
            );
            list.push(evidence(text, names::DB_WAITING, self.span, waiting, Unit::Count));
        }
        list.extend(plan.map(|p| p.evidence.clone()));
        list
    }

    /// None where an index would change nothing: while it waits for locks, and where its plan finds its rows by one.
    fn remedies(&self, plan: Option<&plan::Plan>) -> Vec<Remedy> {
        if self.locks.is_some() || plan.is_some_and(|p| p.seeks) {
            return Vec::new();
        }
        match &self.filter {
            Filter::Column { table, column } if !table.is_empty() => {
                vec![Remedy::word(format!("index.{table}({column})"), "created")]
            }
            _ => Vec::new(),
        }
    }

    fn advice(&self, plan: Option<&plan::Plan>) -> Vec<String> {
        if self.locks.is_some() {
            return vec![
                "Find who holds the lock for so long (`pg_blocking_pids`, `pg_locks`; whoever idles in a transaction among them) and let that transaction end sooner: no other work and no call of a service while a row is locked.".to_owned(),
                "Where many want the same row, do not wait for it (`NOWAIT`, `SKIP LOCKED`), or change it in one statement instead of reading it for update first.".to_owned(),
            ];
        }
        if plan.is_some_and(|p| p.seeks) {
            return vec![
                "Its plan finds its rows by an index already: look for what it waits for (a lock, a disk, a network) before adding another.".to_owned(),
            ];
        }
        let reads = self.given.map_or("only the rows that it gives".to_owned(), |n| {
            format!("about {} rows", Unit::Count.show(n.max(1.0)))
        });
        let instead = self.read().map_or(String::new(), |n| format!(" instead of {}", Unit::Count.show(n)));
        let first = match &self.filter {
            Filter::Column { table, column } if !table.is_empty() => format!(
                "Create the index that it lacks: `CREATE INDEX ON {table} ({column})`. A call then reads {reads}{instead}."
            ),
            Filter::Column { column, .. } => {
                format!("Create an index on its column `{column}`. A call then reads {reads}{instead}.")
            }
            _ => "Create an index on the columns by which it finds its rows; its text was cut before them."
                .to_owned(),
        };
        let look = "Look at its plan first (`EXPLAIN`, `EXPLAIN QUERY PLAN`): a scan of the table, or a walk along another index with a filter, stands there now and is gone with the index.";
        let planned = plan.is_some_and(|p| self.is_told_by(p));
        let look = (!planned).then(|| look.to_owned());
        std::iter::once(first).chain(look).collect()
    }
}

/// Samples (with the instants before them) in which the statement's calls scanned, in order.
fn samples(timeline: &Timeline, text: &str, at: RunTime) -> Vec<(RunTime, RunTime)> {
    let span = window::last(at, BACK_S);
    let mut found = Vec::new();
    for series in window::about(timeline, names::DB_SCANNED, text) {
        let calls =
            window::about(timeline, names::DB_CALLS, text).find(|c| c.spec.instance == series.spec.instance);
        found.extend(window::steps(series, span).filter_map(|(since, t, rate)| {
            let calls = calls.and_then(|c| c.at(t, Duration::from_millis(50))).unwrap_or(0.0);
            (rate > 0.0 && rate >= LEAST_SCANNED * calls).then_some((since, t))
        }));
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::{Entry, Event, LaneId, LaneSpec};

    #[test]
    fn what_a_call_reads_is_not_diluted_by_calls_from_before() {
        let text = "SELECT cents FROM account WHERE owner = ?";
        let mut t = Timeline::new();
        let lanes = [names::DB_CALLS, names::DB_SCANNED, names::DB_ROWS];
        for (id, name) in (0..).map(LaneId).zip(lanes) {
            t.apply(&Entry::Lane(id, LaneSpec::rate(name, "shop-0", Unit::PerSecond).about(text)));
        }
        // 100 calls a second, of which each reads 100,000 rows for its 20 from 9.5 s on.
        for i in 1..=105 {
            let scanned = if i > 95 { 100.0 * 100_000.0 } else { 0.0 };
            for (lane, value) in (0..).map(LaneId).zip([100.0, scanned, 2_000.0]) {
                t.apply(&Entry::Sample { lane, at: RunTime::from_ms(i * 100), value });
            }
        }
        let Answer::Looked(claims) = look(&t, RunTime::from_ms(10_500)) else { panic!("it can look") };
        let [claim] = claims.as_slice() else { panic!("{claims:#?}") };
        assert!(claim.claim.contains("reads 100k rows to give 20 since"), "{}", claim.claim);
        assert!(claim.claim.contains("100 times a second"), "{}", claim.claim);
        assert!(claim.evidence[0].text.starts_with("100 calls stepped over 100k rows each"), "{claim:#?}");
        assert_eq!((claim.onset.as_ms(), claim.evidence[0].span.start.as_ms()), (9_500, 9_500));
    }

    #[test]
    fn an_index_is_a_remedy_unless_the_plan_finds_its_rows_by_one() {
        let text = "SELECT cents FROM account WHERE owner = ?";
        let scan = Scan {
            text: text.to_owned(),
            filter: statement::filter(text),
            span: window::last(RunTime::from_ms(20_000), WINDOW_S),
            since: RunTime::from_ms(12_000),
            last: RunTime::from_ms(20_000),
            calls: 60.0,
            way: Way::Slower,
            given: None,
            sure: false,
            lane: names::DB_TIME,
            locks: None,
        };
        let remedies = |plan: &str, filter: &str| {
            let labels = [("statement", text), ("plan", plan), ("filter", filter)];
            let mut t = Timeline::new();
            t.apply(&Entry::Event(Event {
                kind: timeline::event::kinds::DB_PLAN.to_owned(),
                instance: "postgres-1".to_owned(),
                start: RunTime::from_ms(16_000),
                end: RunTime::from_ms(16_000),
                labels: labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
                value: 2_300.0,
                others: 0,
            }));
            let plan = plan::of(&t, &scan, RunTime::from_ms(20_000));
            scan.remedies(plan.as_ref()).len()
        };
        assert_eq!(remedies("LockRows > Index Scan using account_owner on account", ""), 0);
        assert_eq!(remedies("Limit > Index Scan using account_pkey on account", "(owner = ?)"), 1);
        assert_eq!(remedies("Seq Scan on account", "(owner = ?)"), 1);
        assert_eq!(scan.remedies(None).len(), 1);
        let waits = Scan { locks: Some(Locks { waiting: 8.0, inside: 8.0 }), ..scan };
        assert!(waits.remedies(None).is_empty() && waits.advice(None)[0].contains("pg_blocking_pids"));
    }
}
