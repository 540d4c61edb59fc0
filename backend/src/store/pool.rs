//! The bounded pool of connections, metered, and the way of a statement through it.
//!
//! One pool for both databases, so that its figures mean the same. Dropping any future of this file is safe: a
//! connection goes back to the pool, and one that is not as it was is not used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{Held, PoolMeter};
use deadpool::Runtime;
use deadpool::managed::{
    self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use timeline::fault::FaultKind;

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::value::{Outcome, Row, Step, Value};
use super::{Place, StoreError};
use crate::faults::Faults;
use crate::settings::ShopSettings;

/// The database as routes see it. Cheap to share behind an `Arc`.
pub struct Database {
    pool: Mutex<managed::Pool<Opener>>,
    opener: Opener,
    meter: PoolMeter,
    patience: Duration,
    planned_capacity: usize,
    faults: Arc<Faults>,
}

impl Database {
    /// A pool over `place`, whose connections are opened when they are first wanted.
    pub fn new(place: Place, settings: &ShopSettings, meter: PoolMeter, faults: Arc<Faults>) -> Self {
        let opener = Opener { place: place.into(), round_trip: settings.round_trip(), meter: meter.clone() };
        Self {
            pool: Mutex::new(build(&opener, settings.pool_capacity)),
            opener,
            meter,
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
        tokio::task::spawn_blocking(move || drop(old));
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
            Ok(connection) => Ok(Checkout { _held: waiting.acquired(), connection }),
            Err(e) => {
                if matches!(e, PoolError::Timeout(_)) {
                    waiting.timed_out();
                }
                Err(refused(e))
            }
        }
    }

    /// One statement on a connection taken for it alone.
    pub async fn rows(&self, sql: &'static str, with: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.checkout().await?.rows(sql, with).await
    }

    /// One statement that gives one row or none.
    pub async fn row(&self, sql: &'static str, with: Vec<Value>) -> Result<Option<Row>, StoreError> {
        self.checkout().await?.row(sql, with).await
    }

    /// One transaction on a connection taken for it alone.
    pub async fn together(&self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        self.checkout().await?.together(steps).await
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
    _held: Held,
}

impl Checkout {
    /// One statement.
    pub async fn rows(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match &mut self.connection.kind {
            Kind::Sqlite(db) => db.rows(sql, with).await,
            Kind::Postgres(db) => db.rows(sql, with).await,
        }
    }

    /// One statement that gives one row or none.
    pub async fn row(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, with).await?.into_iter().next())
    }

    /// All steps in one transaction, or none of them.
    pub async fn together(&mut self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        match &mut self.connection.kind {
            Kind::Sqlite(db) => db.together(steps).await,
            Kind::Postgres(db) => db.together(&steps).await,
        }
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
pub struct Opener {
    place: Arc<Place>,
    /// The embedded database's stated one.
    round_trip: Duration,
    meter: PoolMeter,
}

/// A connection that says when it is closed.
pub struct Link {
    kind: Kind,
    meter: PoolMeter,
}

enum Kind {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Drop for Link {
    fn drop(&mut self) {
        self.meter.closed();
    }
}

impl managed::Manager for Opener {
    type Type = Link;
    type Error = StoreError;

    async fn create(&self) -> Result<Link, StoreError> {
        let kind = match &*self.place {
            Place::Sqlite { file } => {
                Kind::Sqlite(Sqlite::open(file.as_path().into(), self.round_trip).await?)
            }
            Place::Postgres { url, schema } => Kind::Postgres(Box::new(Postgres::open(url, schema).await?)),
        };
        self.meter.opened();
        Ok(Link { kind, meter: self.meter.clone() })
    }

    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<StoreError> {
        let usable = match &link.kind {
            Kind::Sqlite(db) => db.reusable(),
            Kind::Postgres(db) if db.is_closed() => Err("the server has closed it"),
            Kind::Postgres(_) => Ok(()),
        };
        usable.map_err(RecycleError::message)
    }
}
