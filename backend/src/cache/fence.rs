//! Fencing tokens: which loads a Redis server still keeps.
//!
//! Every load takes a number before it reads the database, with its lock ([`lock`](super::lock)) or without one, and so does
//! every change of a product. The server remembers the number of the last write or change, and refuses what comes under
//! a lower one: what a holder of the lock writes who was merely slow, and what was read before a change. Dropping a
//! future of this file is safe.

use std::sync::LazyLock;

use redis::Script;

use super::redis::{Redis, text};
use super::{CacheError, Entry};

/// Numbers and what was last written under are kept this long, milliseconds: far longer than any lock or load.
pub(super) const FENCE_MS: u64 = 3_600_000;

/// Key: counter. Argument: its time. Gives the number.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local number = redis.call('INCR', KEYS[1])
         redis.call('PEXPIRE', KEYS[1], ARGV[1])
         return number",
    )
});

/// Keys: entry, number written last. Arguments: number, entry, its time, the number's time. Gives whether it was written.
/// The last number is read by a command that writes, because one that reads would be a miss in the server's figures.
static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local last = redis.call('INCRBY', KEYS[2], 0)
         if tonumber(ARGV[1]) < last then return 0 end
         redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

/// Keys: counter, number written last, and the entry if it is to go. Argument: the numbers' time. Gives how many entries
/// went.
static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local number = redis.call('INCR', KEYS[1])
         redis.call('PEXPIRE', KEYS[1], ARGV[1])
         redis.call('SET', KEYS[2], number, 'PX', ARGV[1])
         if KEYS[3] then return redis.call('DEL', KEYS[3]) end
         return 0",
    )
});

impl Redis {
    /// The number of a load of product `id` that begins now.
    pub async fn number(&self, id: u32) -> Result<u64, CacheError> {
        let number: u64 =
            TAKE.key(self.key("fence", id)).arg(FENCE_MS).invoke_async(&mut self.asked()?).await?;
        Ok(number)
    }

    /// Keeps an entry until it expires, unless something was written or changed under a later number. Says whether it was
    /// kept.
    pub async fn write(&self, id: u32, number: u64, entry: &Entry) -> Result<bool, CacheError> {
        let written: u64 = WRITE
            .key(self.key("product", id))
            .key(self.key("written", id))
            .arg(number)
            .arg(text(entry)?)
            .arg(entry.left_ms().max(1))
            .arg(FENCE_MS)
            .invoke_async(&mut self.asked()?)
            .await?;
        if written == 1 {
            self.used(id).await?;
        }
        Ok(written == 1)
    }

    /// Product `id` was changed: what is being loaded now is not kept.
    pub async fn outdate(&self, id: u32) -> Result<(), CacheError> {
        self.change(id, false).await.map(drop)
    }

    /// Product `id` was changed: its entry goes, and what is being loaded now is not kept.
    pub async fn remove(&self, id: u32) -> Result<(), CacheError> {
        self.watch.removed(self.change(id, true).await?);
        Ok(())
    }

    /// A change of product `id`, with which its entry `goes` or not; gives how many went.
    async fn change(&self, id: u32, goes: bool) -> Result<u64, CacheError> {
        let mut change = CHANGE.key(self.key("fence", id));
        change.key(self.key("written", id)).arg(FENCE_MS);
        if goes {
            change.key(self.key("product", id));
        }
        let gone = change.invoke_async(&mut self.connection.clone()).await?;
        self.answered();
        Ok(gone)
    }
}
