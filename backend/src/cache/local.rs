//! Entries in this worker's memory, bounded, each with its own time.

use std::time::{Duration, Instant};

use agent::CacheMeter;
use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;

use super::Entry;

/// A cache of this process alone.
pub struct Local {
    entries: Cache<u32, Entry>,
}

struct ByEntry;

impl Expiry<u32, Entry> for ByEntry {
    fn expire_after_create(&self, _: &u32, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(Duration::from_millis(entry.left_ms()))
    }

    fn expire_after_update(
        &self,
        _: &u32,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(Duration::from_millis(entry.left_ms()))
    }
}

impl Local {
    /// Empty; holds at most `capacity` entries.
    pub fn new(capacity: u64, meter: CacheMeter) -> Self {
        let entries = Cache::builder()
            .max_capacity(capacity)
            .expire_after(ByEntry)
            .eviction_listener(move |_, _, cause| {
                // Expired entries are not evictions: only what had to make room is.
                if cause == RemovalCause::Size {
                    meter.evicted(1);
                }
            })
            .build();
        Self { entries }
    }

    pub async fn get(&self, id: u32) -> Option<Entry> {
        self.entries.get(&id).await
    }

    pub async fn put(&self, id: u32, entry: Entry) {
        self.entries.insert(id, entry).await;
    }

    pub async fn remove(&self, id: u32) {
        self.entries.invalidate(&id).await;
    }

    /// Drops what has expired; gives how many are left.
    pub async fn tidy(&self) -> u64 {
        self.entries.run_pending_tasks().await;
        self.entries.entry_count()
    }
}
