//! A lock on a Redis server: over all workers one loads and the others wait for what it writes.
//!
//! The lock expires, so a holder that dies holds up nobody for long. A holder that was merely slow may then write while
//! its successor does; so each gets a number with the lock (a fencing token, see [`fence`](super::fence)), and the server
//! refuses what comes under a lower number than the last. Dropping a future of this file leaves the lock to its expiry.

use std::sync::LazyLock;

use redis::Script;

use super::fence::FENCE_MS;
use super::redis::Redis;
use super::{CacheError, Entry};

/// Keys: lock, counter. Arguments: holder, lock's time, counter's time. Gives the number, or 0.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
         local number = redis.call('INCR', KEYS[2])
         redis.call('PEXPIRE', KEYS[2], ARGV[3])
         return number",
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
        .invoke_async(&mut redis.asked()?)
        .await?;
    Ok((number > 0).then_some(Held { redis, id, holder, number }))
}

impl Held<'_> {
    /// Keeps `entry`, unless a later holder has written already, or the product was changed. Says whether it was kept.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn write(&self, entry: &Entry) -> Result<bool, CacheError> {
        self.redis.write(self.id, self.number, entry).await
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
