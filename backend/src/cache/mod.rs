//! The cache: where entries are kept, and what each way of protecting them does.
//!
//! Owns entries and their life ([`Entry`]), the two places for them ([`local`], [`redis`]), and the protections, each
//! in a file of its own: [`single_flight`], [`lock`], [`xfetch`], [`jitter`]. Which one is used when is the product
//! cache's choice (`shop/product_cache.rs`). What is done to all entries at once lies with [`chores`]; what a server does not
//! keep because it was changed while it was loaded, with [`fence`].

pub mod chores;
mod fence;
pub mod jitter;
mod least_used;
mod local;
pub mod lock;
mod redis;
pub mod single_flight;
pub mod xfetch;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timeline::clock::unix_ms;

use crate::shop::product::ProductDetail;
use crate::wire::CachePlace;
use local::Local;
pub use redis::{Redis, sweep};

/// What the cache knows of one product.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The detail; none when it is known that there is no such product.
    pub value: Option<Arc<ProductDetail>>,
    /// Until when it is good, milliseconds since the Unix epoch: workers share it.
    pub expires_ms: u64,
    /// How long it took to load, milliseconds.
    pub load_ms: f64,
}

impl Entry {
    /// What is left of its time, milliseconds.
    pub fn left_ms(&self) -> u64 {
        self.expires_ms.saturating_sub(unix_ms())
    }
}

/// As a server keeps an entry.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    value: Option<T>,
    expires_ms: u64,
    load_ms: f64,
}

/// Why a shared cache did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the cache failed: {why}")]
pub struct CacheError {
    why: Arc<str>,
    /// Was it waited for in vain?
    is_late: bool,
}

/// Hears which entries are there no more, and why.
pub trait Watch: Send + Sync {
    /// So many had to make room.
    fn evicted(&self, entries: u64);
    /// The time of so many was over.
    fn expired(&self, entries: u64);
    /// So many were thrown out by the shop.
    fn removed(&self, entries: u64);
}

/// Where entries are kept.
pub enum Store {
    /// In this worker.
    Local(Local),
    /// On a server that all workers share.
    Redis(Redis),
}

impl Store {
    /// Opens the cache at `place`. `capacity` bounds one in this worker.
    ///
    /// # Errors
    /// When the server is not there or does not let us in.
    pub async fn open(place: &CachePlace, capacity: u64, watch: Arc<dyn Watch>) -> Result<Self, CacheError> {
        Ok(match place {
            CachePlace::Memory => Self::Local(Local::new(capacity, watch)),
            CachePlace::Redis { url, prefix } => Self::Redis(Redis::connect(url, prefix, watch).await?),
        })
    }

    /// The entry of product `id`, if it is there and good. A cache that does not answer has nothing: the shop goes on
    /// without it.
    pub async fn get(&self, id: u32) -> Option<Entry> {
        match self {
            Self::Local(local) => local.get(id).await,
            Self::Redis(redis) => redis.tried(redis.get(id).await),
        }
    }

    /// The number of a load that begins now; what it gives is kept under it.
    pub async fn number(&self, id: u32) -> u64 {
        match self {
            Self::Local(local) => local.number(id),
            Self::Redis(redis) => redis.tried(redis.number(id).await),
        }
    }

    /// Keeps an entry until it expires, unless its product was changed after the load of this `number` began.
    pub async fn put(&self, id: u32, number: u64, entry: Entry) {
        match self {
            Self::Local(local) => local.put(id, number, entry).await,
            Self::Redis(redis) => {
                redis.tried(redis.write(id, number, &entry).await);
            }
        }
    }

    /// A product was changed, and its entry is about to be replaced: nothing that is being loaded now is kept.
    pub async fn outdate(&self, id: u32) {
        match self {
            Self::Local(local) => local.outdate(id),
            Self::Redis(redis) => redis.tried(redis.outdate(id).await),
        }
    }

    /// A product was changed: its entry goes, and nothing that is being loaded now is kept.
    pub async fn remove(&self, id: u32) {
        match self {
            Self::Local(local) => local.remove(id).await,
            Self::Redis(redis) => redis.tried(redis.remove(id).await),
        }
    }

    /// Forgets all entries; gives how many there were.
    pub async fn clear(&self) -> u64 {
        match self {
            Self::Local(local) => local.clear().await,
            Self::Redis(redis) => redis.tried(redis.clear().await),
        }
    }

    /// Holds at most `capacity` entries from now on; those used longest ago go. On a server `None` leaves that to its
    /// own limits; in a worker it is `planned`.
    pub async fn bound(&self, capacity: Option<u64>, planned: u64) {
        match self {
            Self::Local(local) => local.resize(capacity.unwrap_or(planned)).await,
            Self::Redis(redis) => redis.tried(redis.bound(capacity).await),
        }
    }

    /// All entries that are there expire at a new time, which `end` gives, milliseconds since the Unix epoch; gives how
    /// many those are.
    pub async fn set_ends(&self, end: impl Fn(&Entry) -> u64) -> u64 {
        match self {
            Self::Local(local) => local.set_ends(end).await,
            Self::Redis(redis) => redis.tried(redis.set_ends(end).await),
        }
    }

    /// Drops what has expired and says how much is left, where that is known here. Looks again at a server that did not
    /// answer.
    pub async fn tidy(&self) -> Option<u64> {
        match self {
            Self::Local(local) => Some(local.tidy().await),
            // A server does so itself, once it answers.
            Self::Redis(redis) => {
                redis.tried(redis.look_again().await);
                None
            }
        }
    }
}
