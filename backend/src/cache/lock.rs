//! A lock on a Redis server: over all workers one loads and the others wait for what it writes.
//!
//! The lock expires, so a holder that dies holds up nobody for long. A holder that was merely slow may then write while
//! its successor does; so each gets a number with the lock (a fencing token), and the server refuses what comes under a
//! lower number than the last. Dropping a future of this file leaves the lock to its expiry.

use std::sync::LazyLock;

use redis::Script;

use super::redis::{Redis, text};
use super::{CacheError, Entry};

/// Numbers and what was last written under are kept this long, milliseconds: far longer than any lock.
const FENCE_MS: u64 = 3_600_000;

/// Keys: lock, counter. Arguments: holder, lock's time, counter's time. Gives the number, or 0.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
         local number = redis.call('INCR', KEYS[2])
         redis.call('PEXPIRE', KEYS[2], ARGV[3])
         return number",
    )
});

/// Keys: entry, number written last. Arguments: number, entry, its time, the number's time. Gives whether it was written.
static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local last = tonumber(redis.call('GET', KEYS[2]) or '0')
         if tonumber(ARGV[1]) < last then return 0 end
         redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

/// Key: lock. Argument: holder. A lock that somebody else has by now is left alone.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
    )
});

/// The lock of one product, held.
pub struct Held<'a> {
    redis: &'a Redis,
    id: u32,
    holder: String,
    number: u64,
}

/// Takes the lock of product `id` for `lock_ms`, if it is free.
///
/// # Errors
/// When the server does not answer.
pub async fn acquire(redis: &Redis, id: u32, lock_ms: u64) -> Result<Option<Held<'_>>, CacheError> {
    let holder = format!("{:032x}", rand::random::<u128>());
    let number: u64 = ACQUIRE
        .key(redis.key("lock", id))
        .key(redis.key("fence", id))
        .arg(&holder)
        .arg(lock_ms)
        .arg(FENCE_MS)
        .invoke_async(&mut redis.connection.clone())
        .await?;
    Ok((number > 0).then_some(Held { redis, id, holder, number }))
}

impl Held<'_> {
    /// Keeps `entry`, unless a later holder has written already. Says whether it was kept.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn write(&self, entry: &Entry) -> Result<bool, CacheError> {
        let written: u64 = WRITE
            .key(self.redis.key("product", self.id))
            .key(self.redis.key("written", self.id))
            .arg(self.number)
            .arg(text(entry)?)
            .arg(entry.left_ms().max(1))
            .arg(FENCE_MS)
            .invoke_async(&mut self.redis.connection.clone())
            .await?;
        self.redis.used(self.id).await?;
        Ok(written == 1)
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// When the server does not answer; then it expires.
    pub async fn release(self) -> Result<(), CacheError> {
        let _: u64 = RELEASE
            .key(self.redis.key("lock", self.id))
            .arg(&self.holder)
            .invoke_async(&mut self.redis.connection.clone())
            .await?;
        Ok(())
    }
}
