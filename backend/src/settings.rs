//! How the backend is set up: what its caller chooses, and the shop's own figures with their reasons.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// How the cache of product details works; can be changed while the backend runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CacheSettings {
    /// How long an entry is good, milliseconds.
    pub ttl_ms: u64,
    /// What happens in the cache when a product is changed.
    pub mode: CacheMode,
    /// What keeps requests that miss at once from loading at once.
    pub protection: Protection,
    /// An entry expires up to this share of its time earlier, at random, so that what was kept together does not
    /// expire together. Range: 0 (never earlier) to 1.
    pub jitter: f64,
    /// How long it is remembered that there is no such product, milliseconds; 0 for not at all.
    pub negative_ms: u64,
    /// Eagerness of early refreshes under [`Protection::Xfetch`]: about e^(1/beta) of them load for each expiry.
    /// Range: 0.1 to 10.
    pub beta: f64,
    /// After this a lock under [`Protection::Lock`] is free again, whatever became of its holder, milliseconds.
    pub lock_ms: u64,
}

/// What happens in the cache when a product is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// The entry is dropped; who wants it next loads it.
    CacheAside,
    /// The new entry is written with the change.
    WriteThrough,
}

/// What keeps requests that miss at once from loading at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Nothing.
    None,
    /// In each worker one loads and the others wait.
    SingleFlight,
    /// Over all workers one loads and the others wait; needs Redis.
    Lock,
    /// Some load before the entry expires, the more likely the nearer that is (XFetch).
    Xfetch,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl_ms: 1_000,
            mode: CacheMode::CacheAside,
            protection: Protection::SingleFlight,
            jitter: 0.1,
            negative_ms: 1_000,
            beta: 1.0,
            lock_ms: 2_000,
        }
    }
}

/// Longest time of an entry, milliseconds: an hour.
const MAX_TTL_MS: u64 = 3_600_000;

impl CacheSettings {
    /// Do they make sense, with a cache that workers share or not?
    ///
    /// # Errors
    /// Which value does not.
    pub fn check(&self, shared: bool) -> Result<(), String> {
        let within = |what: &str, value: f64, min: f64, max: f64| {
            let fits = (min..=max).contains(&value);
            fits.then_some(()).ok_or_else(|| format!("{what} is {value}, expected {min} to {max}"))
        };
        within("ttl-ms", self.ttl_ms as f64, 1.0, MAX_TTL_MS as f64)?;
        within("negative-ms", self.negative_ms as f64, 0.0, MAX_TTL_MS as f64)?;
        within("lock-ms", self.lock_ms as f64, 1.0, MAX_TTL_MS as f64)?;
        within("jitter", self.jitter, 0.0, 1.0)?;
        within("beta", self.beta, 0.1, 10.0)?;
        if self.protection == Protection::Lock && !shared {
            return Err("protection is `lock`, which needs a cache that all workers share: Redis".to_owned());
        }
        Ok(())
    }
}

impl ShopSettings {
    /// The stated network round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        Duration::from_millis(self.round_trip_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_cache_that_make_no_sense_are_named() {
        let said = |settings: CacheSettings, shared| settings.check(shared).unwrap_err();
        let sound = CacheSettings::default();
        assert_eq!(sound.check(false), Ok(()));
        insta::assert_snapshot!(said(CacheSettings { ttl_ms: 0, ..sound }, false), @"ttl-ms is 0, expected 1 to 3600000");
        insta::assert_snapshot!(said(CacheSettings { jitter: -0.5, ..sound }, false), @"jitter is -0.5, expected 0 to 1");
        insta::assert_snapshot!(said(CacheSettings { beta: 0.0, ..sound }, false), @"beta is 0, expected 0.1 to 10");
        let lock = CacheSettings { protection: Protection::Lock, ..sound };
        assert_eq!(lock.check(true), Ok(()));
        insta::assert_snapshot!(said(lock, false), @"protection is `lock`, which needs a cache that all workers share: Redis");
    }
}
