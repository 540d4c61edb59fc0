//! What the server says of itself: connections, the database's counters, what is read of its tables.
//!
//! Owns these three questions and their lanes. Statements are `statements`' business.

use std::collections::HashMap;

use timeline::event::LABEL_MAX;
use timeline::lane::names;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};
use tokio_postgres::SimpleQueryRow;

use super::link::{Rows, number, text};
use crate::sources::Sink;
use crate::sources::counters::Counters;

/// Everybody but ourselves, except where connections are counted. What belongs to others shows no state without the right to see
/// it, but who it is.
pub(super) const ACTIVITY: &str = "/* dyno */ SELECT count(*), current_setting('max_connections'), \
    count(*) FILTER (WHERE state = 'active' AND theirs), count(*) FILTER (WHERE wait_event_type = 'Lock' AND state = 'active'), \
    count(*) FILTER (WHERE state LIKE 'idle in transaction%'), \
    coalesce(extract(epoch FROM max(clock_timestamp() - xact_start) FILTER (WHERE theirs)), 0) \
    FROM (SELECT *, pid <> pg_backend_pid() AS theirs FROM pg_stat_activity) AS a \
    WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL";
/// Of the database that we are connected to.
pub(super) const DATABASE: &str = "/* dyno */ SELECT xact_commit, xact_rollback, deadlocks, temp_bytes, blks_hit, blks_read \
    FROM pg_stat_database WHERE datname = current_database()";
/// Tables that were ever read; those of one name in several schemas are told as one.
pub(super) const TABLES: &str = "/* dyno */ SELECT relname, sum(seq_scan), sum(seq_tup_read), coalesce(sum(idx_tup_fetch), 0) \
    FROM pg_stat_user_tables WHERE seq_scan > 0 OR idx_tup_fetch > 0 \
    GROUP BY 1 ORDER BY coalesce(sum(seq_tup_read), 0) + coalesce(sum(idx_tup_fetch), 0) DESC LIMIT 500";
/// The `LIMIT` of [`TABLES`].
const LISTED: usize = 500;
/// Most tables that are told apart: each costs three lanes. Those of which rows are only fetched by indexes take half of the room, so that one
/// that is scanned finds some.
const MOST_TABLES: usize = 64;

/// How many checkpoints the server has begun; what counts them has moved in version 17.
pub(super) fn checkpoints(version: u32) -> &'static str {
    if version >= 17_00_00 {
        "/* dyno */ SELECT num_timed + num_requested FROM pg_stat_checkpointer"
    } else {
        "/* dyno */ SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
    }
}

/// Columns of [`ACTIVITY`], the last four of which take the right to see others.
const LEVELS: [(&str, Unit, f64); 6] = [
    (names::DB_CONNECTIONS, Unit::Count, 1.0),
    (names::DB_CONNECTION_LIMIT, Unit::Count, 1.0),
    (names::DB_ACTIVE, Unit::Count, 1.0),
    (names::DB_WAITING, Unit::Count, 1.0),
    (names::DB_IDLE_IN_TRANSACTION, Unit::Count, 1.0),
    (names::DB_LONGEST_TRANSACTION, Unit::Ns, 1e9),
];
/// How many of them take no right.
const PUBLIC: usize = 2;
/// The first columns of [`DATABASE`], and the one of [`checkpoints`].
const RATES: [(&str, Unit); 5] = [
    (names::DB_COMMITS, Unit::PerSecond),
    (names::DB_ROLLBACKS, Unit::PerSecond),
    (names::DB_DEADLOCKS, Unit::PerSecond),
    (names::DB_TEMPORARY, Unit::BytesPerSecond),
    (names::DB_CHECKPOINTS, Unit::PerSecond),
];
/// Columns of [`DATABASE`] behind those.
const HITS: usize = 4;
const READS: usize = 5;

/// What is known of the server.
pub(super) struct Server {
    instance: String,
    lanes: HashMap<&'static str, Option<LaneId>>,
    counters: Counters<&'static str>,
    tables: Tables,
}

impl Server {
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            lanes: HashMap::new(),
            counters: Counters::default(),
            tables: Tables::default(),
        }
    }

    /// The answer to [`ACTIVITY`]. Without the right to see others (`all`), what would be counted wrongly is not told.
    pub fn activity(&mut self, rows: &Rows, all: bool, now: MonoNs, sink: &mut dyn Sink) {
        let Some(row) = rows.first() else { return };
        let seen = if all { LEVELS.len() } else { PUBLIC };
        for (i, &(name, unit, factor)) in LEVELS.iter().enumerate().take(seen) {
            if let Some(value) = number(row, i) {
                let spec = LaneSpec::level(name, self.instance.as_str(), unit).worst();
                self.sample(name, spec, now, value * factor, sink);
            }
        }
    }

    /// The answers to [`DATABASE`], [`checkpoints`] and [`TABLES`], which were last asked at `then`.
    pub fn counted(&mut self, answers: [&Rows; 3], then: Option<MonoNs>, now: MonoNs, sink: &mut dyn Sink) {
        let [database, checkpoints, tables] = answers;
        let mut figures = Vec::new();
        let column = |rows: &Rows, i| rows.first().and_then(|r| number(r, i));
        for (i, &(name, unit)) in RATES.iter().enumerate() {
            let value =
                if name == names::DB_CHECKPOINTS { column(checkpoints, 0) } else { column(database, i) };
            figures.push((name, unit, value));
        }
        let seconds = then.map(|t| now.since(t).as_secs_f64().max(1e-3));
        for (name, unit, value) in figures {
            let grown = value.and_then(|v| self.counters.grown(name, v));
            if let Some((grown, seconds)) = grown.zip(seconds) {
                let spec = LaneSpec::rate(name, self.instance.as_str(), unit).worst();
                self.sample(name, spec, now, grown / seconds, sink);
            }
        }
        let mut grown = |name, i| column(database, i).and_then(|v| self.counters.grown(name, v));
        let blocks = grown("hits", HITS).zip(grown("reads", READS));
        if let Some((hits, reads)) = blocks.filter(|(hits, reads)| hits + reads > 0.0) {
            let spec = LaneSpec::level(names::DB_BUFFER_HITS, self.instance.as_str(), Unit::Ratio);
            self.sample(names::DB_BUFFER_HITS, spec, now, hits / (hits + reads), sink);
        }
        self.tables.take(tables, &self.instance, then, now, sink);
    }

    fn sample(&mut self, name: &'static str, spec: LaneSpec, now: MonoNs, value: f64, sink: &mut dyn Sink) {
        if let Some(lane) = *self.lanes.entry(name).or_insert_with(|| sink.declare(spec)) {
            sink.sample(lane, now, value);
        }
    }
}

/// What is read of tables: a table gets lanes once it is read.
#[derive(Default)]
struct Tables {
    counters: Counters<(String, usize)>,
    lanes: HashMap<String, [Option<LaneId>; 3]>,
    /// Did the last list hold all of them, so that what is new in the next one has counted from zero?
    whole: bool,
}

impl Tables {
    fn take(&mut self, rows: &Rows, instance: &str, then: Option<MonoNs>, now: MonoNs, sink: &mut dyn Sink) {
        let whole = std::mem::replace(&mut self.whole, rows.len() < LISTED);
        let mut grown = HashMap::new();
        for row in rows.iter().take(LISTED) {
            let Some((table, reads)) = table(row) else { continue };
            let mut more = |which: usize| {
                let new = whole.then_some(reads[which]);
                self.counters.grown((table.clone(), which), reads[which]).or(new).unwrap_or(0.0)
            };
            let more = [0, 1, 2].map(&mut more);
            grown.insert(table, more);
        }
        self.counters.retain(|(table, _)| grown.contains_key(table));
        let Some(then) = then else { return };
        let seconds = now.since(then).as_secs_f64().max(1e-3);
        // Those of which most was read have the room first.
        let mut by_rows: Vec<(&String, &[f64; 3])> = grown.iter().collect();
        by_rows.sort_by(|a, b| (b.1[1] + b.1[2]).total_cmp(&(a.1[1] + a.1[2])).then(a.0.cmp(b.0)));
        for (table, more) in by_rows {
            let room = if more[0] > 0.0 {
                MOST_TABLES
            } else if more[2] > 0.0 {
                MOST_TABLES / 2
            } else {
                0
            };
            if self.lanes.len() < room && !self.lanes.contains_key(table) {
                self.lanes.insert(table.clone(), lanes(table, instance, then, sink));
            }
        }
        for (table, lanes) in &self.lanes {
            let more = grown.get(table).copied().unwrap_or_default();
            for (lane, more) in lanes.iter().zip(more) {
                if let Some(lane) = lane {
                    sink.sample(*lane, now, more / seconds);
                }
            }
        }
    }
}

fn lanes(table: &str, instance: &str, then: MonoNs, sink: &mut dyn Sink) -> [Option<LaneId>; 3] {
    [names::DB_TABLE_SCANS, names::DB_TABLE_SCANNED, names::DB_TABLE_FETCHED].map(|name| {
        let spec = LaneSpec::rate(name, instance, Unit::PerSecond).worst().about(table);
        let lane = sink.declare(spec);
        // It was watched up to then, and nobody read it.
        lane.inspect(|lane| sink.sample(*lane, then, 0.0))
    })
}

fn table(row: &SimpleQueryRow) -> Option<(String, [f64; 3])> {
    let figure = |i| number(row, i).unwrap_or(0.0);
    Some((clean(text(row, 0)?, LABEL_MAX), [number(row, 1)?, figure(2), figure(3)]))
}
