//! SQLite inside this process: a connection, and statements on the blocking pool.
//!
//! Dropping a future of this file is safe: a statement that was handed to the blocking pool finishes
//! there; who gets the connection next waits for it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, StatementStatus, ToSql, TransactionBehavior, params_from_iter};
use tokio::task::spawn_blocking;

use super::StoreError;
use super::link::Given;
use super::value::{Outcome, Row, Step, Value, resolved};

/// How long a statement waits for another process that writes, milliseconds. Transactions are single statements long, but
/// a worker may be stopped for three seconds amid one, by the fault `frozen`; a busy machine may do the same.
const BUSY_MS: u32 = 10_000;
/// Statements that a connection keeps prepared: those of this shop fit; the default of 128 would keep far more
/// than is used.
const PREPARED: usize = 64;

/// A connection. Cheap to clone; clones are the same one.
#[derive(Clone)]
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    round_trip: Duration,
}

impl Sqlite {
    /// Opens `file`, which takes a round trip like everything else.
    pub async fn open(file: Arc<Path>, round_trip: Duration) -> Result<Self, StoreError> {
        tokio::time::sleep(round_trip).await;
        let opened = spawn_blocking(move || {
            let connection = Connection::open(file)?;
            prepare(&connection)?;
            Ok::<_, rusqlite::Error>(connection)
        });
        let connection = opened.await.map_err(StoreError::failed)??;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), round_trip })
    }

    /// One statement.
    pub async fn rows(&self, sql: &'static str, with: Vec<Value>) -> Result<Given, StoreError> {
        self.run(move |db| {
            let statement = &mut *db.prepare_cached(sql)?;
            let rows = all(statement, &with)?;
            let scanned = statement.reset_status(StatementStatus::FullscanStep);
            Ok(Given { rows, scanned: u64::try_from(scanned).ok() })
        })
        .await
    }

    /// All steps in one transaction, sent in one round trip: while it runs, nobody else writes.
    pub async fn together(&self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        self.run(move |db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut returned = Vec::with_capacity(steps.len());
            for (number, step) in steps.iter().enumerate() {
                let (rows, first) =
                    touch(&mut *transaction.prepare_cached(step.sql)?, &resolved(&step.with, &returned))?;
                if !step.accepts(rows) {
                    return Ok(Outcome::Stopped(number));
                }
                returned.push(first);
            }
            transaction.commit()?;
            Ok(Outcome::Done(returned))
        })
        .await
    }

    /// The stated round trip, then the work on the blocking pool.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        tokio::time::sleep(self.round_trip).await;
        let connection = self.connection.clone();
        let done =
            spawn_blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(done.await.map_err(StoreError::failed)??)
    }

    /// Can somebody else use it? Not one that is still at work, was left inside a transaction, or whose user
    /// panicked.
    pub fn reusable(&self) -> Result<(), &'static str> {
        match self.connection.try_lock() {
            Ok(c) if c.is_autocommit() => Ok(()),
            Ok(_) => Err("left inside a transaction"),
            Err(TryLockError::WouldBlock) => Err("still at work"),
            Err(TryLockError::Poisoned(_)) => Err("its last user panicked"),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        Self::failed(e)
    }
}

/// What every connection needs. `NORMAL` with a write-ahead log: a killed process loses nothing
/// committed, and no commit waits for the disk.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(())
}

fn all(statement: &mut Statement, with: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(with))?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        read.push(Row((0..columns).map(|c| row.get_ref(c).map(value)).collect::<Result<_, _>>()?));
    }
    Ok(read)
}

/// Rows changed or given, and the first column of the first.
fn touch(statement: &mut Statement, with: &[Value]) -> rusqlite::Result<(u64, Option<Value>)> {
    if statement.column_count() == 0 {
        return Ok((statement.execute(params_from_iter(with))? as u64, None));
    }
    let rows = all(statement, with)?;
    Ok((rows.len() as u64, rows.into_iter().next().and_then(|r| r.0.into_iter().next())))
}

fn value(read: ValueRef) -> Value {
    match read {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null | Self::Returned(_) => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use timeline::fault::FaultKind;

    use super::*;

    #[test]
    fn a_statement_waits_for_longer_than_a_worker_that_writes_is_stopped() {
        let stop = FaultKind::Frozen.knobs().iter().find(|knob| knob.name == "stop_ms").unwrap();
        let connection = Connection::open_in_memory().unwrap();
        prepare(&connection).unwrap();
        let waits_ms: u32 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0)).unwrap();
        assert!(f64::from(waits_ms) >= 2.0 * stop.max, "{waits_ms} ms");
    }
}
