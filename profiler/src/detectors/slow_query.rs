//! Slow query: a statement reads rows out of all proportion to the rows that it gives.
//!
//! **Claim.** A statement that looks rows up by a column reads the whole table for it. **Reads** `db.{scanned,calls,rows,time}` by
//! statement; where the store does not tell it of statements, `db.{table-scans,table-scanned}` by table. **Needs** `db.calls` and
//! either. **Statistic.** Rows stepped over in scans for each call and for each row given, over the last three seconds, in at least four samples;
//! of tables, rows for each scan, and which look-up accounts for the scans.
//! **Null test.** The statement's own time while it did not scan: where its median has grown by half, the finding is confirmed.
//!
//! What has to read everything (a sum over a table, a list without a condition, a pattern) is none: no index would
//! change it. Which table and column the index needs is read from the fingerprint, as far as it goes.

mod by_table;

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::database::CRITICAL_NS;
use super::database::statement::{self, Filter};
use super::{Answer, Claim, ONSET, evidence};
use crate::stats::Durations;
use crate::window;

/// Window, seconds.
const WINDOW_S: f64 = 3.0;
/// Rows that a call reads in scans: below a thousand, some dozens of pages, a scan costs less than the round trip, and a
/// planner rightly prefers it to an index.
const LEAST_SCANNED: f64 = 1_000.0;
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
/// Calls from which on a median time is worth its name.
const LEAST_TIMED: u64 = 8;
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
        claims.extend(subjects(timeline, names::DB_SCANNED).iter().filter_map(|s| {
            let scan = Scan::of_statement(timeline, s, span, at)?;
            scan.claim(timeline, at)
        }));
    } else if timeline.has(names::DB_TABLE_SCANNED) {
        claims.extend(by_table::scans(timeline, at).iter().filter_map(|scan| scan.claim(timeline, at)));
    } else {
        return Answer::CannotTell(vec![names::DB_SCANNED.to_owned(), names::DB_TABLE_SCANNED.to_owned()]);
    }
    Answer::Looked(claims)
}

/// What lanes `name` are about, sorted.
fn subjects<'a>(timeline: &'a Timeline, name: &str) -> Vec<&'a str> {
    let mut subjects: Vec<&str> = timeline.named(name).map(|s| s.spec.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// A statement that scans.
struct Scan {
    text: String,
    filter: Filter,
    span: Span,
    since: RunTime,
    last: RunTime,
    calls: f64,
    /// Rows read in scans for each call, and rows given.
    scanned: f64,
    given: Option<f64>,
    /// Which lane tells of it.
    lane: &'static str,
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
        Some(Self {
            text: text.to_owned(),
            filter,
            span,
            since: seen.first()?.0,
            last: newest,
            calls,
            scanned: scanned / calls,
            given: Some(given / calls),
            lane: names::DB_SCANNED,
        })
    }

    fn claim(&self, timeline: &Timeline, at: RunTime) -> Option<Claim> {
        let times = |span| {
            let lanes = window::about(timeline, names::DB_TIME, &self.text);
            Durations::of(lanes.flat_map(|s| s.intervals_within(span)))
        };
        // The newest second, so that calls before the onset do not hide the growth.
        let from = Span::new(self.since.max(self.span.start), self.span.end);
        let past = times(Span::new(
            self.since.back(Duration::from_secs(10)),
            self.since.back(Duration::from_millis(200)),
        ));
        let now = times(from).quantile_ns(0.5);
        let before = (past.count() >= LEAST_TIMED).then(|| past.quantile_ns(0.5)).flatten();
        let growth = now.zip(before).map(|(now, before)| now / before.max(1.0));
        let slow = now.is_some_and(|t| t >= CRITICAL_NS) || growth.is_some_and(|g| g >= CRITICAL_GROWTH);
        let status = match growth {
            _ if self.filter == Filter::Unknown => Status::Possible,
            Some(g) if g >= GROWTH => Status::Confirmed,
            _ => Status::Likely,
        };
        Some(Claim {
            kind: FindingKind::SlowQuery,
            identity: self.text.clone(),
            subject: self.text.clone(),
            severity: if slow { Severity::Critical } else { Severity::Warning },
            status,
            onset: self.since,
            last: self.last.min(at),
            quiet: QUIET,
            weight: self.scanned * self.calls,
            claim: self.sentence(now),
            evidence: self.supporting(now, before),
            contradicting: Vec::new(),
            advice: self.advice(),
            missing: if now.is_none() { vec![names::DB_TIME.to_owned()] } else { Vec::new() },
            episodes: vec![Span::new(self.since, self.last.min(at))],
            sort: "",
        })
    }

    fn sentence(&self, now: Option<f64>) -> String {
        let given = self.given.map_or(String::new(), |n| format!(" to give {}", Unit::Count.show(n)));
        let took = now.map_or(String::new(), |t| format!(", {} each", Unit::Ns.show(t)));
        format!(
            "`{}` reads {} rows{given} since {ONSET}: whole tables, {} times a second{took}",
            self.text,
            Unit::Count.show(self.scanned),
            Unit::Count.show((self.calls / window::seconds(self.span)).round()),
        )
    }

    fn supporting(&self, now: Option<f64>, before: Option<f64>) -> Vec<Evidence> {
        let mut list = Vec::new();
        let rate = self.scanned * self.calls / window::seconds(self.span);
        let ratio = self.given.map_or(String::new(), |given| {
            format!(", {} for each that they gave", Unit::Count.show(self.scanned / given.max(1.0)))
        });
        let text = format!(
            "{} calls stepped over {} rows each in scans of whole tables{ratio}",
            Unit::Count.show(self.calls.round()),
            Unit::Count.show(self.scanned)
        );
        list.push(evidence(text, self.lane, self.span, rate, Unit::PerSecond));
        if let Some(now) = now {
            let than =
                before.map_or(String::new(), |b| format!(", {} while it did not scan", Unit::Ns.show(b)));
            let text = format!("its median time is {}{than}", Unit::Ns.show(now));
            list.push(evidence(text, names::DB_TIME, self.span, now, Unit::Ns));
        }
        list
    }

    fn advice(&self) -> Vec<String> {
        let reads = self.given.map_or("only the rows that it gives".to_owned(), |n| {
            format!("about {} rows", Unit::Count.show(n.max(1.0)))
        });
        let first = match &self.filter {
            Filter::Column { table, column } if !table.is_empty() => format!(
                "Create the index that it lacks: `CREATE INDEX ON {table} ({column})`. A call then reads {reads} instead of {}.",
                Unit::Count.show(self.scanned)
            ),
            Filter::Column { column, .. } => format!(
                "Create an index on its column `{column}`. A call then reads {reads} instead of {}.",
                Unit::Count.show(self.scanned)
            ),
            _ => "Create an index on the columns by which it finds its rows; its text was cut before them."
                .to_owned(),
        };
        vec![
            first,
            "Look at its plan first (`EXPLAIN`, `EXPLAIN QUERY PLAN`): a sequential scan of the table stands there now, and is gone with the index.".to_owned(),
        ]
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
