//! The cache: where entries are kept, and what each way of protecting them does.
//!
//! Owns entries and their life ([`Entry`]), the two places for them ([`local`], [`redis`]), and the protections, each
//! in a file of its own: [`single_flight`], [`lock`], [`xfetch`], [`jitter`]. Which one is used when is the product
//! cache's choice (`shop/product_cache.rs`).

pub mod jitter;
mod local;
pub mod lock;
mod redis;
pub mod single_flight;
pub mod xfetch;

use std::sync::Arc;

use agent::CacheMeter;
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
#[error("the cache failed: {0}")]
pub struct CacheError(Arc<str>);

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
    pub async fn open(place: &CachePlace, capacity: u64, meter: &CacheMeter) -> Result<Self, CacheError> {
        Ok(match place {
            CachePlace::Memory => Self::Local(Local::new(capacity, meter.clone())),
            CachePlace::Redis { url, prefix } => Self::Redis(Redis::connect(url, prefix).await?),
        })
    }

    /// The entry of product `id`, if it is there and good. A cache that does not answer has nothing: the shop goes on
    /// without it.
    pub async fn get(&self, id: u32) -> Option<Entry> {
        match self {
            Self::Local(local) => local.get(id).await,
            Self::Redis(redis) => redis.get(id).await.unwrap_or_else(|e| {
                redis.complain(&e);
                None
            }),
        }
    }

    /// Keeps an entry until it expires.
    pub async fn put(&self, id: u32, entry: Entry) {
        match self {
            Self::Local(local) => local.put(id, entry).await,
            Self::Redis(redis) => {
                if let Err(e) = redis.put(id, &entry).await {
                    redis.complain(&e);
                }
            }
        }
    }

    /// Forgets an entry.
    pub async fn remove(&self, id: u32) {
        match self {
            Self::Local(local) => local.remove(id).await,
            Self::Redis(redis) => {
                if let Err(e) = redis.remove(id).await {
                    redis.complain(&e);
                }
            }
        }
    }

    /// Drops what has expired and says how much is left, where that is known here.
    pub async fn tidy(&self) -> Option<u64> {
        match self {
            Self::Local(local) => Some(local.tidy().await),
            // A server does so itself.
            Self::Redis(_) => None,
        }
    }
}
