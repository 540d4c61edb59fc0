//! A bound on the entries of a Redis server that does not hold for its other keys: the ones used longest ago go.
//!
//! A server's own limit (`maxmemory`) is for all who use it, so it is left alone. The bound is a sorted set of the
//! products that are there, by when each was used last. Dropping a future of this file leaves the bound exceeded
//! until the next entry comes.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{AsyncCommands, Script};
use timeline::clock::unix_ms;

use super::CacheError;
use super::redis::Redis;

/// Means that there is no bound.
const NONE: u64 = u64::MAX;

/// Key: the set. Arguments: product, now, bound, what the keys of entries begin with. Gives how many entries had to go.
static USE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
         local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
         local gone = 0
         if over > 0 then
           local oldest = redis.call('ZPOPMIN', KEYS[1], over)
           for i = 1, #oldest, 2 do gone = gone + redis.call('UNLINK', ARGV[4] .. oldest[i]) end
         end
         return gone",
    )
});

/// How many entries there may be.
pub struct Bound(AtomicU64);

impl Default for Bound {
    /// Any number.
    fn default() -> Self {
        Self(AtomicU64::new(NONE))
    }
}

impl Redis {
    /// Holds at most `capacity` entries from now on; `None` leaves that to the server's own limit again.
    pub async fn bound(&self, capacity: Option<u64>) -> Result<(), CacheError> {
        self.bound.0.store(capacity.unwrap_or(NONE), Ordering::Relaxed);
        if capacity.is_none() {
            return Ok(self.connection.clone().del(self.used_key()).await?);
        }
        for id in self.ids().await? {
            self.used(id).await?;
        }
        Ok(())
    }

    /// The entry of product `id` was read or written. Where there are too many, those used longest ago go.
    pub async fn used(&self, id: u32) -> Result<(), CacheError> {
        let bound = self.bound.0.load(Ordering::Relaxed);
        if bound == NONE {
            return Ok(());
        }
        let gone: u64 = USE
            .key(self.used_key())
            .arg(id)
            .arg(unix_ms())
            .arg(bound)
            .arg(self.entries_prefix())
            .invoke_async(&mut self.asked()?)
            .await?;
        if gone > 0 {
            self.watch.evicted(gone);
        }
        Ok(())
    }

    fn used_key(&self) -> String {
        format!("{}used", self.prefix)
    }
}
