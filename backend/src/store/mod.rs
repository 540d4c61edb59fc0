//! The embedded database: a file shared by all workers, behind a bounded pool of connections.
//!
//! Owns how a statement reaches SQLite: a connection from the pool ([`pool`]), the stated network round trip, then
//! the statement itself on the blocking pool. What is asked lies with the routes; tables are in
//! [`schema`], their first content in [`seed`].

use timeline::clock::unix_ms;

mod folder;
mod pool;
mod schema;
mod seed;

pub use folder::create;
pub use pool::{Checkout, Database, StoreError};
pub use seed::PRODUCTS;

/// Milliseconds since the Unix epoch, in SQLite's kind of integer.
pub fn now_ms() -> i64 {
    unix_ms() as i64
}
