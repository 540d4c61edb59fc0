//! One connection, whichever database it leads to, and how it is opened.
//!
//! Dropping any future of this file is safe: [`Link`]s that are not as they were are not used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::PoolMeter;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::value::{Outcome, Row, Step, Value};
use super::{Place, StoreError};

/// Opens connections.
#[derive(Clone)]
pub struct Opener {
    place: Arc<Place>,
    /// The embedded database's stated one.
    round_trip: Duration,
    meter: PoolMeter,
    /// Open ones of a pool that is no more, for the one in its place.
    spare: Arc<Mutex<Vec<Counted>>>,
}

/// A connection.
pub enum Link {
    /// To the file.
    Sqlite(Sqlite),
    /// To the server.
    Postgres(Box<Postgres>),
}

/// What a statement gave.
pub struct Given {
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that it stepped over in scans of whole tables, where the database says so.
    pub scanned: Option<u64>,
}

impl Link {
    /// One statement.
    pub async fn rows(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Given, StoreError> {
        match self {
            Self::Sqlite(db) => db.rows(sql, with).await,
            // Its server counts scans by table, not by statement.
            Self::Postgres(db) => Ok(Given { rows: db.rows(sql, with).await?, scanned: None }),
        }
    }

    /// All steps in one transaction, or none of them. What a server gives up because of a deadlock is tried once more:
    /// the one for whose sake it did so is through by then, or is ahead.
    pub async fn together(&mut self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        match self {
            Self::Sqlite(db) => db.together(steps).await,
            Self::Postgres(db) => match db.together(&steps).await {
                Err(StoreError::Deadlock(_)) => db.together(&steps).await,
                done => done,
            },
        }
    }

    fn reusable(&self) -> Result<(), &'static str> {
        match self {
            Self::Sqlite(db) => db.reusable(),
            Self::Postgres(db) if db.is_closed() => Err("the server has closed it"),
            Self::Postgres(_) => Ok(()),
        }
    }
}

/// A connection of the shop's, which says when it is closed.
pub struct Counted {
    /// The connection.
    pub link: Link,
    meter: PoolMeter,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.meter.closed();
    }
}

impl Opener {
    /// Of connections to `place`, counted by `meter`.
    pub fn new(place: Place, round_trip: Duration, meter: PoolMeter) -> Self {
        Self { place: place.into(), round_trip, meter, spare: Arc::default() }
    }

    /// Is there a server, which other clients share and which has figures of its own?
    pub fn has_server(&self) -> bool {
        matches!(*self.place, Place::Postgres { .. })
    }

    /// A connection that counts for nobody: an operator's.
    pub async fn uncounted(&self) -> Result<Link, StoreError> {
        Ok(match &*self.place {
            Place::Sqlite { file } => {
                Link::Sqlite(Sqlite::open(file.as_path().into(), self.round_trip).await?)
            }
            Place::Postgres { url, schema } => Link::Postgres(Box::new(Postgres::open(url, schema).await?)),
        })
    }

    /// A connection of the shop's.
    pub async fn open(&self) -> Result<Counted, StoreError> {
        let link = self.uncounted().await?;
        self.meter.opened();
        Ok(Counted { link, meter: self.meter.clone() })
    }

    /// Keeps open ones for the next that a pool wants.
    pub fn keep(&self, open: Vec<Counted>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(open);
    }

    fn spare(&self) -> Option<Counted> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl managed::Manager for Opener {
    type Type = Counted;
    type Error = StoreError;

    async fn create(&self) -> Result<Counted, StoreError> {
        while let Some(spare) = self.spare() {
            if spare.link.reusable().is_ok() {
                return Ok(spare);
            }
        }
        self.open().await
    }

    async fn recycle(&self, counted: &mut Counted, _: &Metrics) -> RecycleResult<StoreError> {
        counted.link.reusable().map_err(RecycleError::message)
    }
}
