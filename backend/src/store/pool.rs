//! The bounded pool of connections, metered, and the way of a statement through it.
//!
//! Dropping any future of this file is safe: a connection goes back to the pool, and a statement that was
//! handed to the blocking pool finishes there; who gets the connection next waits for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use agent::{Held, PoolMeter};
use deadpool::Runtime;
use deadpool::managed::{
    self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use rusqlite::Connection;
use timeline::fault::FaultKind;
use tokio::task::spawn_blocking;

use super::schema;
use crate::faults::Faults;
use crate::settings::ShopSettings;

/// Why the database did not do it. Cheap to clone: one failed load answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection came free in time.
    #[error("the database is busy, try again")]
    Busy,
    /// SQLite said no, or its thread panicked.
    #[error("the database failed: {0}")]
    Failed(Arc<str>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Failed(e.to_string().into())
    }
}

/// The database as routes see it. Cheap to share behind an `Arc`.
pub struct Database {
    pool: Mutex<managed::Pool<Opener>>,
    opener: Opener,
    meter: PoolMeter,
    round_trip: Duration,
    patience: Duration,
    planned_capacity: usize,
    faults: Arc<Faults>,
}

impl Database {
    /// A pool over `file`, whose connections are opened when they are first wanted.
    pub fn new(file: PathBuf, settings: &ShopSettings, meter: PoolMeter, faults: Arc<Faults>) -> Self {
        let opener = Opener { file: file.into(), meter: meter.clone() };
        Self {
            pool: Mutex::new(build(&opener, settings.pool_capacity)),
            opener,
            meter,
            round_trip: settings.round_trip(),
            patience: Duration::from_millis(settings.pool_patience_ms),
            planned_capacity: settings.pool_capacity,
            faults,
        }
    }

    /// The size for which the shop was planned.
    pub fn planned_capacity(&self) -> usize {
        self.planned_capacity
    }

    /// Puts a pool of another size in place. Who waits or works in the old one finishes there.
    ///
    /// deadpool's own `resize` (0.13) takes permits back only for connections that are open, so a pool that
    /// has not opened all of its connections keeps more permits than its new size.
    pub fn resize(&self, capacity: usize) {
        let new = build(&self.opener, capacity);
        let old = std::mem::replace(&mut *self.pool.lock().unwrap_or_else(PoisonError::into_inner), new);
        self.meter.set_capacity(capacity);
        // Closing the last connection writes the log back into the file, which waits for the disk.
        spawn_blocking(move || drop(old));
    }

    /// Opens all connections, so that the first burst of requests need not.
    pub async fn open_all(&self) -> Result<(), StoreError> {
        let pool = self.pool();
        let mut open = Vec::with_capacity(self.planned_capacity);
        for _ in 0..self.planned_capacity {
            open.push(pool.get().await.map_err(refused)?);
        }
        Ok(())
    }

    /// A connection of one's own, until it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when none came free in time.
    pub async fn checkout(&self) -> Result<Checkout, StoreError> {
        let pool = self.pool();
        let waiting = self.meter.begin_wait();
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..Timeouts::default() };
        let mut got = pool.timeout_get(&at_once).await;
        if matches!(got, Err(PoolError::Timeout(TimeoutType::Wait))) {
            self.faults[FaultKind::PoolTooSmall].took_effect();
            let patient = Timeouts { wait: Some(self.patience), ..Timeouts::default() };
            got = pool.timeout_get(&patient).await;
        }
        match got {
            Ok(connection) => {
                Ok(Checkout { _held: waiting.acquired(), connection, round_trip: self.round_trip })
            }
            Err(e) => {
                if matches!(e, PoolError::Timeout(_)) {
                    waiting.timed_out();
                }
                Err(refused(e))
            }
        }
    }

    /// One statement on a connection taken for it alone.
    pub async fn run<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.checkout().await?.run(statement).await
    }

    fn pool(&self) -> managed::Pool<Opener> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn build(opener: &Opener, capacity: usize) -> managed::Pool<Opener> {
    managed::Pool::builder(opener.clone())
        .max_size(capacity)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("the runtime for its time limits is given")
}

fn refused(e: PoolError<StoreError>) -> StoreError {
    match e {
        PoolError::Timeout(_) => StoreError::Busy,
        PoolError::Backend(e) => e,
        other => StoreError::Failed(other.to_string().into()),
    }
}

/// A connection out of the pool. Field order: it goes back before its hold ends.
pub struct Checkout {
    connection: Object<Opener>,
    round_trip: Duration,
    _held: Held,
}

impl Checkout {
    /// The stated round trip, then the statement (or statements sent in one go) on the blocking pool.
    pub async fn run<T: Send + 'static>(
        &mut self,
        statement: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        tokio::time::sleep(self.round_trip).await;
        let link = Arc::clone(&self.connection);
        let done = spawn_blocking(move || {
            statement(&mut link.connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(result) => Ok(result?),
            Err(e) => Err(StoreError::Failed(e.to_string().into())),
        }
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
pub struct Opener {
    file: Arc<std::path::Path>,
    meter: PoolMeter,
}

/// A connection that says when it is closed.
pub struct Link {
    connection: Mutex<Connection>,
    meter: PoolMeter,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.meter.closed();
    }
}

impl managed::Manager for Opener {
    type Type = Arc<Link>;
    type Error = StoreError;

    async fn create(&self) -> Result<Self::Type, StoreError> {
        let file = self.file.clone();
        let opened = spawn_blocking(move || {
            let connection = Connection::open(file)?;
            schema::prepare(&connection)?;
            Ok::<_, rusqlite::Error>(connection)
        });
        let connection = opened.await.map_err(|e| StoreError::Failed(e.to_string().into()))??;
        self.meter.opened();
        Ok(Arc::new(Link { connection: Mutex::new(connection), meter: self.meter.clone() }))
    }

    /// A connection that is still at work, was left inside a transaction, or whose user panicked, is not used again.
    async fn recycle(&self, link: &mut Self::Type, _: &Metrics) -> RecycleResult<StoreError> {
        match link.connection.try_lock() {
            Ok(c) if c.is_autocommit() => Ok(()),
            Ok(_) => Err(RecycleError::message("left inside a transaction")),
            Err(TryLockError::WouldBlock) => Err(RecycleError::message("still at work")),
            Err(TryLockError::Poisoned(_)) => Err(RecycleError::message("its last user panicked")),
        }
    }
}
