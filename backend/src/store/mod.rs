//! The embedded database: a file shared by all workers, behind a bounded pool of connections.
//!
//! Owns how a statement reaches SQLite: a connection from the pool ([`pool`]), the stated network round trip, then
//! the statement itself on the blocking pool. What is asked lies with the routes; tables are in
//! [`schema`], their first content in [`seed`].

mod folder;
mod pool;
mod schema;
mod seed;

pub use folder::{DatabaseFolder, create};
pub use pool::{Checkout, Database, StoreError};
pub use seed::{CUSTOMERS, PASSWORD, PRODUCTS};
