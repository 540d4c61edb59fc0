//! Entries on a Redis server, which all workers share. How they are written lies in [`fence`](super::fence).
//!
//! One connection serves all requests of a worker: commands are sent as they come and answered in order. It comes
//! back by itself. A server that was waited for in vain is silent: no request asks it until it has answered
//! [another look](Redis::look_again), so none waits twice. Changes are told to it all the same: it may hear them yet.
//! Dropping a future of this file is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisError};
use timeline::clock::unix_ms;

use super::least_used::Bound;
use super::{CacheError, Entry, Watch, Written};
use crate::say::say;
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
    pub(super) prefix: String,
    pub(super) watch: Arc<dyn Watch>,
    pub(super) bound: Bound,
    complained_ms: AtomicU64,
    silent: AtomicBool,
}

impl From<RedisError> for CacheError {
    fn from(e: RedisError) -> Self {
        Self { why: e.to_string().into(), is_late: e.is_timeout() }
    }
}

impl From<serde_json::Error> for CacheError {
    fn from(e: serde_json::Error) -> Self {
        Self { why: format!("an entry is not what was written: {e}").into(), is_late: false }
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
    pub async fn connect(url: &str, prefix: &str, watch: Arc<dyn Watch>) -> Result<Self, CacheError> {
        Ok(Self {
            connection: connect(url).await?,
            prefix: prefix.to_owned(),
            watch,
            bound: Bound::default(),
            complained_ms: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        })
    }

    /// The connection, for a question of a request.
    ///
    /// # Errors
    /// While the server is silent.
    pub(super) fn asked(&self) -> Result<ConnectionManager, CacheError> {
        if self.silent.load(Ordering::Relaxed) {
            let why = "it did not answer, and is not asked until it does".into();
            return Err(CacheError { why, is_late: false });
        }
        Ok(self.connection.clone())
    }

    /// Asks a silent server whether it is there again. It is to be called now and then.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn look_again(&self) -> Result<(), CacheError> {
        if self.silent.load(Ordering::Relaxed) {
            let _: String = self.connection.clone().ping().await?;
            self.answered();
        }
        Ok(())
    }

    /// It is silent no more.
    pub(super) fn answered(&self) {
        self.silent.store(false, Ordering::Relaxed);
    }

    /// The key of what belongs to product `id`.
    pub(super) fn key(&self, what: &str, id: u32) -> String {
        format!("{}{what}:{id}", self.prefix)
    }

    /// The entry, if it is there and good.
    pub async fn get(&self, id: u32) -> Result<Option<Entry>, CacheError> {
        let text: Option<String> = self.asked()?.get(self.key("product", id)).await?;
        let Some(text) = text else { return Ok(None) };
        self.used(id).await?;
        let written: Written<ProductDetail> = serde_json::from_str(&text)?;
        let Written { value, expires_ms, load_ms } = written;
        Ok(Some(Entry { value: value.map(Arc::new), expires_ms, load_ms }).filter(|e| e.left_ms() > 0))
    }

    /// Forgets all entries; gives how many there were.
    pub async fn clear(&self) -> Result<u64, CacheError> {
        let mut connection = self.connection.clone();
        let removed = unlink_all(&mut connection, &self.entries_prefix()).await?;
        self.watch.removed(removed);
        Ok(removed)
    }

    /// All entries that are there expire when `end` says; gives how many those are. One that goes meanwhile does not come
    /// back.
    pub async fn set_ends(&self, end: impl Fn(&Entry) -> u64) -> Result<u64, CacheError> {
        let mut count = 0;
        for id in self.ids().await? {
            let Some(entry) = self.get(id).await? else { continue };
            let entry = Entry { expires_ms: end(&entry), ..entry };
            let mut set = redis::cmd("SET");
            set.arg(self.key("product", id))
                .arg(text(&entry)?)
                .arg("PX")
                .arg(entry.left_ms().max(1))
                .arg("XX");
            let set: Option<String> = set.query_async(&mut self.connection.clone()).await?;
            count += u64::from(set.is_some());
        }
        Ok(count)
    }

    /// The products whose entries are there.
    pub(super) async fn ids(&self) -> Result<Vec<u32>, CacheError> {
        let (mut all, mut cursor, prefix) = (Vec::new(), 0, self.entries_prefix());
        loop {
            let (next, keys) = scan(&mut self.connection.clone(), &prefix, cursor).await?;
            all.extend(keys.iter().filter_map(|k| k.strip_prefix(&prefix)?.parse::<u32>().ok()));
            if next == 0 {
                return Ok(all);
            }
            cursor = next;
        }
    }

    /// What the keys of entries begin with; their number follows.
    pub(super) fn entries_prefix(&self) -> String {
        format!("{}product:", self.prefix)
    }

    /// Says what is wrong, if something is: the shop goes on without.
    pub fn tried<T: Default>(&self, done: Result<T, CacheError>) -> T {
        done.unwrap_or_else(|e| {
            self.complain(&e);
            T::default()
        })
    }

    /// Says what is wrong, now and then. One that was waited for in vain is silent from now on.
    pub fn complain(&self, error: &CacheError) {
        if error.is_late {
            self.silent.store(true, Ordering::Relaxed);
        }
        let now = unix_ms();
        let last = self.complained_ms.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= COMPLAIN_EVERY_MS {
            self.complained_ms.store(now, Ordering::Relaxed);
            say(format_args!("shop: {error}"));
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
    unlink_all(&mut connect(url).await?, prefix).await.map(|_| ())
}

/// Removes every key that begins with `prefix`; gives how many there were.
async fn unlink_all(connection: &mut ConnectionManager, prefix: &str) -> Result<u64, CacheError> {
    let (mut removed, mut cursor) = (0, 0);
    loop {
        let (next, keys) = scan(connection, prefix, cursor).await?;
        if !keys.is_empty() {
            let unlinked: u64 = connection.unlink(keys).await?;
            removed += unlinked;
        }
        if next == 0 {
            return Ok(removed);
        }
        cursor = next;
    }
}

/// Some keys that begin with `prefix`, and where to go on; 0 is the end, and the beginning.
async fn scan(
    connection: &mut ConnectionManager,
    prefix: &str,
    cursor: u64,
) -> Result<(u64, Vec<String>), CacheError> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(SWEPT);
    Ok(scan.query_async(connection).await?)
}
