//! The database: SQLite inside the process, or PostgreSQL, behind a bounded pool of connections.
//!
//! Owns how a statement reaches either of them: a connection from the pool ([`pool`]), then the statement,
//! which is the same text for both. What is asked lies with the routes; what a server says of itself is in [`server`],
//! tables are in
//! [`schema`], their first content in [`seed`], and where that is kept in [`home`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timeline::clock::unix_ms;

mod folder;
mod home;
mod link;
mod pool;
mod postgres;
mod schema;
mod seed;
mod server;
mod sqlite;
mod value;

pub use home::{Plan, make};
pub use link::Opener;
pub use pool::{Checkout, Database, Meters, Taken};
pub use schema::{ORDERS_INDEX, operators_index};
pub use seed::PRODUCTS;
pub use server::watch as watch_server;
pub(crate) use value::values;
pub use value::{FromValue, Outcome, Row, Step, Value};

/// Where a worker finds the data.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a file.
    Sqlite {
        /// The file.
        file: PathBuf,
    },
    /// In a schema of a PostgreSQL database.
    Postgres {
        /// The database; it may carry a password, so it is never shown.
        url: String,
        /// The schema.
        schema: String,
    },
}

/// Why the database did not do it. Cheap to clone: one failed load answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection came free in time.
    #[error("the database is busy, try again")]
    Busy,
    /// Two transactions waited for each other, and the server gave this one up: nothing of it is done, and it may be
    /// tried again.
    #[error("the database failed: {0}")]
    Deadlock(Arc<str>),
    /// The database said no, or is not there.
    #[error("the database failed: {0}")]
    Failed(Arc<str>),
}

impl StoreError {
    /// For `map_err`.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::Failed(why.to_string().into())
    }
}

/// Milliseconds since the Unix epoch, in a database's kind of integer.
pub fn now_ms() -> i64 {
    unix_ms() as i64
}
