//! Entries on a Redis server, which all workers share.
//!
//! One connection serves all requests of a worker: commands are sent as they come and answered in order. It comes
//! back by itself. Dropping a future of this file is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisError};
use timeline::clock::unix_ms;

use super::{CacheError, Entry, Written};
use crate::shop::product::ProductDetail;

/// A cache that answers later than this is of no use.
const PATIENCE: Duration = Duration::from_secs(1);
/// From complaint to complaint, milliseconds: a server that is away is away for every request.
const COMPLAIN_EVERY_MS: u64 = 5_000;
/// Keys asked for at once when they are swept.
const SWEPT: usize = 1_000;

/// A connection to the server.
pub struct Redis {
    pub(super) connection: ConnectionManager,
    prefix: String,
    complained_ms: AtomicU64,
}

impl From<RedisError> for CacheError {
    fn from(e: RedisError) -> Self {
        Self(e.to_string().into())
    }
}

impl From<serde_json::Error> for CacheError {
    fn from(e: serde_json::Error) -> Self {
        Self(format!("an entry is not what was written: {e}").into())
    }
}

async fn connect(url: &str) -> Result<ConnectionManager, CacheError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(2);
    Ok(ConnectionManager::new_with_config(Client::open(url)?, config).await?)
}

impl Redis {
    /// Connects; all keys begin with `prefix`.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, CacheError> {
        Ok(Self {
            connection: connect(url).await?,
            prefix: prefix.to_owned(),
            complained_ms: AtomicU64::new(0),
        })
    }

    /// The key of what belongs to product `id`.
    pub(super) fn key(&self, what: &str, id: u32) -> String {
        format!("{}{what}:{id}", self.prefix)
    }

    /// The entry, if it is there and good.
    pub async fn get(&self, id: u32) -> Result<Option<Entry>, CacheError> {
        let text: Option<String> = self.connection.clone().get(self.key("product", id)).await?;
        let Some(text) = text else { return Ok(None) };
        let written: Written<ProductDetail> = serde_json::from_str(&text)?;
        let Written { value, expires_ms, load_ms } = written;
        Ok(Some(Entry { value: value.map(Arc::new), expires_ms, load_ms }).filter(|e| e.left_ms() > 0))
    }

    /// Keeps an entry until it expires.
    pub async fn put(&self, id: u32, entry: &Entry) -> Result<(), CacheError> {
        let key = self.key("product", id);
        let () = self.connection.clone().pset_ex(key, text(entry)?, entry.left_ms().max(1)).await?;
        Ok(())
    }

    /// Forgets an entry.
    pub async fn remove(&self, id: u32) -> Result<(), CacheError> {
        let () = self.connection.clone().del(self.key("product", id)).await?;
        Ok(())
    }

    /// Says what is wrong, now and then.
    pub fn complain(&self, error: &CacheError) {
        let now = unix_ms();
        let last = self.complained_ms.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= COMPLAIN_EVERY_MS {
            self.complained_ms.store(now, Ordering::Relaxed);
            eprintln!("shop: {error}");
        }
    }
}

/// As it is written.
pub(super) fn text(entry: &Entry) -> Result<String, CacheError> {
    let Entry { value, expires_ms, load_ms } = entry;
    let written = Written { value: value.as_deref(), expires_ms: *expires_ms, load_ms: *load_ms };
    Ok(serde_json::to_string(&written)?)
}

/// Removes every key that begins with `prefix`.
pub async fn sweep(url: &str, prefix: &str) -> Result<(), CacheError> {
    let mut connection = connect(url).await?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(SWEPT);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        if !keys.is_empty() {
            let () = connection.unlink(keys).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
