//! How the backend is set up: what its caller chooses, and the shop's own figures with their reasons.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
pub use timeline::cache::{CacheMode, CacheSettings, Protection};

use crate::places::Stores;

/// What the caller of [`supervise`](crate::supervise) chooses.
#[derive(Clone)]
pub struct SupervisorOptions {
    /// Where the shop listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Where control and probe listen; port 0 takes any.
    pub control: SocketAddr,
    /// Worker processes that share the port. Range: 1 to 64.
    pub workers: usize,
    /// Arguments with which this executable becomes a worker.
    pub worker_args: Vec<String>,
    /// Token of control and probe; not empty.
    pub token: String,
    /// Which stores it uses.
    pub stores: Stores,
    /// Figures of the shop.
    pub shop: ShopSettings,
    /// End when standard input does, and leave the terminal's interrupt to whoever holds its other end.
    pub follow_stdin: bool,
}

/// More workers than this on one machine help nobody.
pub const MAX_WORKERS: usize = 64;

/// Rows of past orders and their lines, at most: about a gigabyte.
pub const MAX_HISTORY: u32 = 10_000_000;

/// Figures of the shop, the same in fault and cure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShopSettings {
    /// The stated network round trip before each database statement, milliseconds. SQLite runs in this
    /// process, so without it a pool would be bound by the CPU alone, which no database server's is.
    pub round_trip_ms: u64,
    /// Connections in each worker's pool.
    pub pool_capacity: usize,
    /// How long a request waits for a connection before it is refused, milliseconds.
    pub pool_patience_ms: u64,
    /// How the cache of product details works.
    pub cache: CacheSettings,
    /// Product details in the cache of a worker; a server has limits of its own.
    pub cache_capacity: u64,
    /// Rows of past orders and their lines with which the shop begins. Range: 0 to 10,000,000.
    pub history_rows: u32,
    /// How e-mail and billing hear of an order.
    pub notify: Notify,
    /// Threads of each worker's offload pool, beside those for statements and hashes.
    pub offload_threads: usize,
    /// Sessions that a worker keeps in memory; older ones are read again from the database.
    pub session_capacity: usize,
    /// How long somebody stays logged in, milliseconds: longer than any run that is watched.
    pub session_life_ms: u32,
    /// Whether the agents of the workers watch; for measuring what that costs.
    pub watched: bool,
}

impl Default for ShopSettings {
    /// A product's detail takes twelve statements, so a load holds its connection for about 125 ms. With 400
    /// requests per second for one product, single flight makes one load per expiry; without it 400 x 0.125 =
    /// 50 start before the first is done, and twelve connections need four rounds for them. A list or a log-in holds a
    /// connection for 11 ms, so twelve serve a thousand of those per second. Twenty-four offload threads are twice the
    /// connections: with fewer it would be the threads for which data sheets wait. A hundred thousand past orders with two
    /// lines each are made in less than a second, and without their index a look-up reads them all: milliseconds of a core.
    fn default() -> Self {
        Self {
            round_trip_ms: 10,
            pool_capacity: 12,
            pool_patience_ms: 5_000,
            cache: CacheSettings::default(),
            cache_capacity: 10_000,
            history_rows: 300_000,
            notify: Notify::Published,
            offload_threads: 24,
            session_capacity: 20_000,
            session_life_ms: 24 * 3_600_000,
            watched: true,
        }
    }
}

/// How e-mail and billing hear of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// By the broker; the customer does not wait.
    Published,
    /// The checkout calls them, and the customer waits.
    Called,
}

impl ShopSettings {
    /// The stated network round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        Duration::from_millis(self.round_trip_ms)
    }
}
