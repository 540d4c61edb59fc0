//! A database: which statements go there, for how long, and what comes back; and what its server says of itself.
//!
//! Owns the meter that a client's wrapper calls and its lanes `db.*`. Statements are told apart by their
//! [`fingerprint`], a bounded number of them; the rest is `other`. Connections are a
//! [pool's](crate::pool) business, and what one request asks is [`crate::traffic`]'s.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use timeline::clock::MonoNs;
use timeline::fingerprint;
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::registry::Registry;
use crate::tally::{Tally, lock};
use crate::traffic::{self, Visit};

/// Most fingerprints that are told apart: a service has some dozens of statements, and each costs up to five lanes.
const MOST_SHAPES: usize = 64;
/// Where all further statements are counted.
const OTHER: &str = "other";
/// Texts whose fingerprint is remembered, at most, and how long such a text may be, bytes: a service that writes values into
/// its texts makes ever new ones, and must not fill memory with them.
const MOST_TEXTS: usize = 512;
const TEXT_MAX: usize = 2 * 1024;

/// Statements of one fingerprint.
#[derive(Debug)]
struct Shape {
    number: u32,
    fingerprint: String,
    calls: Counter,
    failures: Counter,
    rows: Counter,
    scanned: Counter,
    /// Has the store ever said how many rows it stepped over?
    tells_scans: AtomicBool,
    time: Tally,
}

/// What the database's server says of itself; what it does not say is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerFigures {
    /// Connections that it has, anybody's.
    pub connections: Option<u64>,
    /// Connections that it takes at most.
    pub limit: Option<u64>,
    /// Connections that run a statement now.
    pub active: Option<u64>,
    /// Those of them that wait for a lock.
    pub waiting: Option<u64>,
}

/// What is read of one table.
#[derive(Debug, Default)]
pub(crate) struct TableState {
    scans: Counter,
    scanned: Counter,
    /// None before the server has told of it.
    fetched: OnceLock<Counter>,
}

/// What a database's meter remembers.
#[derive(Debug, Default)]
pub(crate) struct DatabaseState {
    shapes: Mutex<Vec<Arc<Shape>>>,
    by_text: Mutex<HashMap<Box<str>, Arc<Shape>>>,
    server: Mutex<ServerFigures>,
    tables: Registry<TableState>,
}

impl DatabaseState {
    /// The shape of a statement with this text.
    fn shape(&self, sql: &str) -> Arc<Shape> {
        if let Some(known) = lock(&self.by_text).get(sql) {
            return Arc::clone(known);
        }
        let shape = self.of_fingerprint(fingerprint::of(sql));
        let mut by_text = lock(&self.by_text);
        if by_text.len() < MOST_TEXTS && sql.len() <= TEXT_MAX {
            by_text.insert(sql.into(), Arc::clone(&shape));
        }
        shape
    }

    fn of_fingerprint(&self, fingerprint: String) -> Arc<Shape> {
        let mut shapes = lock(&self.shapes);
        let find = |shapes: &[Arc<Shape>], text: &str| shapes.iter().find(|s| s.fingerprint == text).cloned();
        if let Some(known) = find(&shapes, &fingerprint) {
            return known;
        }
        let fingerprint = if shapes.len() < MOST_SHAPES { fingerprint } else { OTHER.to_owned() };
        if let Some(known) = find(&shapes, &fingerprint) {
            return known;
        }
        let shape = Arc::new(Shape {
            number: shapes.len() as u32,
            fingerprint,
            calls: Counter::default(),
            failures: Counter::default(),
            rows: Counter::default(),
            scanned: Counter::default(),
            tells_scans: AtomicBool::new(false),
            time: Tally::default(),
        });
        shapes.push(Arc::clone(&shape));
        shape
    }
}

/// The database's meter; clones speak of the same database.
#[derive(Debug, Clone)]
pub struct DatabaseMeter {
    state: Arc<DatabaseState>,
}

impl DatabaseMeter {
    pub(crate) const fn new(state: Arc<DatabaseState>) -> Self {
        Self { state }
    }

    /// A connection is asked for; dropping the result means that it is given back.
    #[must_use]
    pub fn visit(&self) -> Visit {
        Visit::begin()
    }

    /// A statement is sent. It ends when the result is dropped, as a failure unless it was said to be answered.
    #[must_use]
    pub fn statement(&self, sql: &str) -> Sent {
        let shape = self.state.shape(sql);
        traffic::sent(Some(shape.number));
        Sent::now(vec![(shape, 1)])
    }

    /// Statements are sent in one go, and their answers awaited together.
    #[must_use]
    pub fn batch<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Sent {
        traffic::sent(None);
        let mut parts: Vec<(Arc<Shape>, u64)> = Vec::new();
        let mut last: Option<(&str, usize)> = None;
        for sql in texts {
            // Batches mostly say one thing many times over.
            let known = last.filter(|(text, _)| std::ptr::eq(*text, sql)).map(|(_, part)| part);
            let part = known.unwrap_or_else(|| {
                let shape = self.state.shape(sql);
                let found = parts.iter().position(|(s, _)| s.number == shape.number);
                found.unwrap_or_else(|| {
                    parts.push((shape, 0));
                    parts.len() - 1
                })
            });
            parts[part].1 += 1;
            last = Some((sql, part));
        }
        Sent::now(parts)
    }

    /// What the server says of itself now.
    pub fn set_server(&self, figures: ServerFigures) {
        *lock(&self.state.server) = figures;
    }

    /// The server has begun so many more scans of a whole table, and read so many rows in them.
    pub fn table_scanned(&self, table: &str, scans: u64, rows: u64) {
        let state = self.state.tables.get(table, TableState::default);
        state.scans.add(scans);
        state.scanned.add(rows);
    }

    /// So many more rows of a table were fetched by way of one of its indexes.
    pub fn table_fetched(&self, table: &str, rows: u64) {
        let state = self.state.tables.get(table, TableState::default);
        state.fetched.get_or_init(Counter::default).add(rows);
    }
}

/// A statement, or a batch of them, on its way. Dropped: it ended, and its time is recorded.
#[derive(Debug)]
pub struct Sent {
    parts: Vec<(Arc<Shape>, u64)>,
    since: MonoNs,
    answered: bool,
}

impl Sent {
    fn now(parts: Vec<(Arc<Shape>, u64)>) -> Self {
        Self { parts, since: MonoNs::now(), answered: false }
    }

    /// The database did it.
    pub fn answered(mut self) {
        self.answered = true;
    }

    /// The database did it and gave so many rows; it says how many it stepped over in scans of whole tables, or not.
    pub fn gave(self, rows: u64, scanned: Option<u64>) {
        if let [(shape, _)] = &self.parts[..] {
            shape.rows.add(rows);
            if let Some(scanned) = scanned {
                shape.tells_scans.store(true, Ordering::Relaxed);
                shape.scanned.add(scanned);
            }
        }
        self.answered();
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let took = MonoNs::now().0.saturating_sub(self.since.0);
        for (shape, calls) in &self.parts {
            shape.calls.add(*calls);
            shape.time.record_ns(took);
            if !self.answered {
                shape.failures.add(*calls);
            }
        }
    }
}

struct TableLanes {
    name: String,
    state: Arc<TableState>,
    scans: LaneNo,
    scanned: LaneNo,
    /// Declared when the server first tells.
    fetched: Option<LaneNo>,
}

impl TableLanes {
    fn declare(name: String, state: Arc<TableState>, draft: &mut Draft<'_>) -> Self {
        let mut rate = |lane| draft.lanes.declare(Self::spec(lane, &name));
        let (scans, scanned) = (rate(names::DB_TABLE_SCANS), rate(names::DB_TABLE_SCANNED));
        Self { scans, scanned, fetched: None, name, state }
    }

    /// Every process that asks the server hears the same, so the lanes do not add up.
    fn spec(lane: &str, table: &str) -> LaneSpec {
        LaneSpec::rate(lane, "", Unit::PerSecond).worst().about(table)
    }

    fn collect(&mut self, draft: &mut Draft<'_>) {
        draft.count(self.scans, &self.state.scans);
        draft.count(self.scanned, &self.state.scanned);
        if let Some(fetched) = self.state.fetched.get() {
            let spec = || Self::spec(names::DB_TABLE_FETCHED, &self.name);
            let lane = *self.fetched.get_or_insert_with(|| draft.lanes.declare(spec()));
            draft.count(lane, fetched);
        }
    }
}

struct ShapeLanes {
    shape: Arc<Shape>,
    calls: LaneNo,
    time: LaneNo,
    failures: LaneNo,
    rows: LaneNo,
    /// Declared when the store first tells.
    scanned: Option<LaneNo>,
}

impl ShapeLanes {
    fn declare(shape: Arc<Shape>, draft: &mut Draft<'_>) -> Self {
        let about = |spec: LaneSpec| spec.about(shape.fingerprint.as_str());
        let time = draft.lanes.declare(about(LaneSpec::histogram(names::DB_TIME, "")));
        let mut rate = |name| draft.lanes.declare(about(LaneSpec::rate(name, "", Unit::PerSecond)));
        let (calls, failures, rows) = (rate(names::DB_CALLS), rate(names::DB_FAILURES), rate(names::DB_ROWS));
        Self { calls, time, failures, rows, scanned: None, shape }
    }

    fn collect(&mut self, draft: &mut Draft<'_>) {
        let shape = &self.shape;
        draft.count(self.calls, &shape.calls);
        draft.histogram(self.time, &shape.time);
        draft.count(self.failures, &shape.failures);
        draft.count(self.rows, &shape.rows);
        if shape.tells_scans.load(Ordering::Relaxed) {
            let lane = *self.scanned.get_or_insert_with(|| {
                let spec = LaneSpec::rate(names::DB_SCANNED, "", Unit::PerSecond);
                draft.lanes.declare(spec.about(shape.fingerprint.as_str()))
            });
            draft.count(lane, &shape.scanned);
        }
    }
}

/// The lanes of the database; none before its first statement, or before its server has said anything.
pub(crate) struct Database {
    state: Arc<DatabaseState>,
    shapes: Vec<ShapeLanes>,
    tables: Vec<TableLanes>,
    /// Of the figures of the server, in their order.
    server: [Option<LaneNo>; 4],
}

impl Database {
    pub(crate) const fn new(state: Arc<DatabaseState>) -> Self {
        Self { state, shapes: Vec::new(), tables: Vec::new(), server: [None; 4] }
    }

    /// Every process that asks the server hears the same, so the lanes do not add up.
    fn collect_server(&mut self, draft: &mut Draft<'_>) {
        let said = *lock(&self.state.server);
        let figures = [
            (names::DB_CONNECTIONS, said.connections),
            (names::DB_CONNECTION_LIMIT, said.limit),
            (names::DB_ACTIVE, said.active),
            (names::DB_WAITING, said.waiting),
        ];
        for ((name, figure), lane) in figures.into_iter().zip(&mut self.server) {
            if let Some(figure) = figure {
                let spec = || LaneSpec::level(name, "", Unit::Count).worst();
                let lane = *lane.get_or_insert_with(|| draft.lanes.declare(spec()));
                draft.level(lane, figure as f64);
            }
        }
        for (table, state) in self.state.tables.after(self.tables.len()) {
            self.tables.push(TableLanes::declare(table, state, draft));
        }
        for table in &mut self.tables {
            table.collect(draft);
        }
    }
}

impl Collect for Database {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        let new = lock(&self.state.shapes)[self.shapes.len()..].to_vec();
        self.shapes.extend(new.into_iter().map(|shape| ShapeLanes::declare(shape, draft)));
        for shape in &mut self.shapes {
            shape.collect(draft);
        }
        self.collect_server(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_statements_share_one_shape_and_new_texts_fill_no_memory() {
        let state = DatabaseState::default();
        let shapes: Vec<_> = (0..200).map(|n| state.shape(&format!("SELECT a{n}_b FROM t"))).collect();
        assert_eq!(shapes[MOST_SHAPES - 1].fingerprint, "SELECT a63_b FROM t");
        assert!(shapes[MOST_SHAPES..].iter().all(|s| s.fingerprint == OTHER));
        assert_eq!(lock(&state.shapes).len(), MOST_SHAPES + 1);
        for n in 0..2 * MOST_TEXTS {
            assert_eq!(state.shape(&format!("SELECT a0_b FROM t -- {n}")).number, 0);
        }
        assert_eq!(lock(&state.by_text).len(), MOST_TEXTS);
    }
}
