//! Statements: what `pg_stat_statements` has counted of each, by fingerprint.
//!
//! Owns the questions, the lanes `db.{calls,time,rows}`, and which statement took most of the time lately. A statement is the agent's,
//! word for word, once both have gone through the same [`fingerprint`]. The server tells sums: the time of each call is taken for the mean
//! of its interval, and the lane says so.

use std::collections::{BTreeMap, HashMap};

use timeline::fingerprint;
use timeline::histogram::{MAX_US, Sparse};
use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Quality, Unit};

use super::link::{Rows, number, text};
use crate::sources::Sink;
use crate::sources::counters::Counters;

/// Most statements that are listed: as many as the extension keeps unless told otherwise.
const LISTED: usize = 5_000;
/// Most new texts that are asked for at once, and how much of each, characters: what tells statements apart comes early.
const TEXTS: usize = 64;
const TEXT_MAX: usize = 16 * 1024;
/// Most fingerprints that are told apart, as the agent has it; the rest is [`OTHER`].
const MOST_SHAPES: usize = 64;
const OTHER: &str = "other";
/// What our own statements begin with.
pub(super) const OURS: &str = "/* dyno */";

/// The figures of all statements of the database; `schema` is where the extension is, quoted.
pub(super) fn figures(schema: &str) -> String {
    format!(
        "{OURS} SELECT queryid, sum(calls), sum(total_exec_time), sum(rows) FROM {schema}.pg_stat_statements(false) \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL \
         GROUP BY 1 ORDER BY 3 DESC LIMIT {LISTED}"
    )
}

/// The texts of these.
pub(super) fn texts(schema: &str, ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!(
        "{OURS} SELECT DISTINCT ON (queryid) queryid, left(query, {TEXT_MAX}) FROM {schema}.pg_stat_statements(true) \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IN ({})",
        ids.join(", ")
    )
}

/// The text of this one, if it was our own role that sent it.
pub(super) fn own_text(schema: &str, id: i64) -> String {
    format!(
        "{OURS} SELECT left(query, {TEXT_MAX}) FROM {schema}.pg_stat_statements(true) \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND userid = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND queryid = {id} LIMIT 1"
    )
}

/// What came to one statement.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grown {
    id: i64,
    calls: f64,
    time_ms: f64,
    rows: f64,
}

/// The statement that took most of the time since the last answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slowest {
    pub id: i64,
    pub fingerprint: String,
    /// Mean of its calls, milliseconds.
    pub mean_ms: f64,
}

/// What is known of all statements.
pub(super) struct Statements {
    instance: String,
    counters: Counters<(i64, u8)>,
    whole: bool,
    grown: Vec<Grown>,
    /// None for our own.
    prints: HashMap<i64, Option<String>>,
    shapes: HashMap<String, Option<[LaneId; 3]>>,
}

impl Statements {
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            counters: Counters::default(),
            whole: false,
            grown: Vec::new(),
            prints: HashMap::new(),
            shapes: HashMap::new(),
        }
    }

    /// Takes the answer to [`figures`]; gives the statements whose text is needed.
    pub fn take(&mut self, rows: &Rows) -> Vec<i64> {
        let whole = std::mem::replace(&mut self.whole, rows.len() < LISTED);
        let listed: HashMap<i64, [f64; 3]> = rows.iter().take(LISTED).filter_map(read).collect();
        self.grown.clear();
        for (&id, values) in &listed {
            let mut more = |which, value: f64| {
                let new = whole.then_some(value);
                self.counters.grown((id, which), value).or(new).unwrap_or(0.0).max(0.0)
            };
            let [calls, time_ms, rows] = [more(0, values[0]), more(1, values[1]), more(2, values[2])];
            if calls > 0.0 {
                self.grown.push(Grown { id, calls, time_ms, rows });
            }
        }
        self.counters.retain(|(id, _)| listed.contains_key(id));
        self.prints.retain(|id, _| listed.contains_key(id));
        self.grown.sort_by(|a, b| b.time_ms.total_cmp(&a.time_ms).then(a.id.cmp(&b.id)));
        let unknown = self.grown.iter().map(|g| g.id).filter(|id| !self.prints.contains_key(id));
        unknown.take(TEXTS).collect()
    }

    /// Takes the answer to [`texts`].
    pub fn name(&mut self, rows: &Rows) {
        for row in rows {
            let (Some(id), Some(text)) = (id(row), text(row, 1)) else { continue };
            let print = (!text.starts_with(OURS)).then(|| fingerprint::of(text));
            // The server hides a text whole, by these words.
            let print = print.map(|p| if text == "<insufficient privilege>" { OTHER.to_owned() } else { p });
            self.prints.insert(id, print);
        }
    }

    /// Hands over what came from `then` to `now`.
    pub fn tell(&mut self, then: MonoNs, now: MonoNs, sink: &mut dyn Sink) -> Option<Slowest> {
        let named = self.grown.iter().filter_map(|g| Some((*g, self.prints.get(&g.id)?.clone()?)));
        let named: Vec<(Grown, String)> = named.collect();
        let slowest = named.first().filter(|(_, print)| print != OTHER).map(|(g, print)| Slowest {
            id: g.id,
            fingerprint: print.clone(),
            mean_ms: g.time_ms / g.calls,
        });
        self.lanes(named, then, now, sink);
        slowest
    }

    fn lanes(&mut self, named: Vec<(Grown, String)>, then: MonoNs, now: MonoNs, sink: &mut dyn Sink) {
        let mut sums = HashMap::<String, Sum>::new();
        for (grown, print) in named {
            let room = self.shapes.contains_key(&print) || self.shapes.len() < MOST_SHAPES;
            let print = if room { print } else { OTHER.to_owned() };
            self.declare(&print, then, sink);
            sums.entry(print).or_default().add(grown);
        }
        let seconds = now.since(then).as_secs_f64().max(1e-3);
        for (print, lanes) in &self.shapes {
            let Some([calls, time, rows]) = *lanes else { continue };
            let sum = sums.remove(print).unwrap_or_default();
            sink.sample(calls, now, sum.calls / seconds);
            sink.sample(rows, now, sum.rows / seconds);
            if !sum.times.is_empty() {
                sink.histogram(time, then, now, Sparse { cells: sum.times.into_iter().collect() });
            }
        }
    }

    fn declare(&mut self, print: &str, then: MonoNs, sink: &mut dyn Sink) {
        if self.shapes.contains_key(print) {
            return;
        }
        let instance = self.instance.as_str();
        let rate = |name| LaneSpec::rate(name, instance, Unit::PerSecond).about(print);
        let calls = sink.declare(rate(names::DB_CALLS));
        let time = LaneSpec::histogram(names::DB_TIME, instance).about(print).quality(Quality::Inferred);
        let time = sink.declare(time);
        let rows = sink.declare(rate(names::DB_ROWS));
        let lanes = calls.zip(time).zip(rows).map(|((calls, time), rows)| [calls, time, rows]);
        if let Some([calls, _, rows]) = lanes {
            // It was listed up to then, and nobody called it; or it was not there.
            sink.sample(calls, then, 0.0);
            sink.sample(rows, then, 0.0);
        }
        self.shapes.insert(print.to_owned(), lanes);
    }
}

/// What came to one fingerprint.
#[derive(Default)]
struct Sum {
    calls: f64,
    rows: f64,
    times: BTreeMap<u32, u32>,
}

impl Sum {
    fn add(&mut self, grown: Grown) {
        self.calls += grown.calls;
        self.rows += grown.rows;
        let mean_us = (grown.time_ms / grown.calls * 1e3).clamp(1.0, MAX_US as f64) as u32;
        let count = self.times.entry(mean_us).or_default();
        *count = count.saturating_add(grown.calls as u32);
    }
}

fn id(row: &tokio_postgres::SimpleQueryRow) -> Option<i64> {
    text(row, 0)?.parse().ok()
}

fn read(row: &tokio_postgres::SimpleQueryRow) -> Option<(i64, [f64; 3])> {
    Some((id(row)?, [number(row, 1)?, number(row, 2)?, number(row, 3)?]))
}
