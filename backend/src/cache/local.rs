//! Entries in this worker's memory, bounded, each with its own time.
//!
//! moka's caches keep the size with which they are built, so another size is another cache, into which the entries go over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;

use super::{Entry, Watch};

/// A cache of this process alone.
pub struct Local {
    entries: Mutex<Cache<u32, Entry>>,
    watch: Arc<dyn Watch>,
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
    pub fn new(capacity: u64, watch: Arc<dyn Watch>) -> Self {
        Self { entries: Mutex::new(build(capacity, watch.clone())), watch }
    }

    pub async fn get(&self, id: u32) -> Option<Entry> {
        self.entries().get(&id).await
    }

    pub async fn put(&self, id: u32, entry: Entry) {
        self.entries().insert(id, entry).await;
    }

    pub async fn remove(&self, id: u32) {
        self.entries().invalidate(&id).await;
    }

    /// Drops all entries; gives how many there were.
    pub async fn clear(&self) -> u64 {
        let old = self.entries();
        let capacity = old.policy().max_capacity().unwrap_or_default();
        *self.lock() = build(capacity, self.watch.clone());
        old.run_pending_tasks().await;
        let removed = old.entry_count();
        self.watch.removed(removed);
        removed
    }

    /// Holds at most `capacity` entries from now on. What is too much had to make room.
    pub async fn resize(&self, capacity: u64) {
        let new = build(capacity, self.watch.clone());
        let old = std::mem::replace(&mut *self.lock(), new.clone());
        for (id, entry) in &old {
            new.insert(*id, entry).await;
        }
        new.run_pending_tasks().await;
    }

    /// All entries that are there expire at this time; gives how many those are.
    pub async fn expire_at(&self, expires_ms: u64) -> u64 {
        let (entries, mut count) = (self.entries(), 0);
        for (id, entry) in &entries {
            entries.insert(*id, Entry { expires_ms, ..entry }).await;
            count += 1;
        }
        count
    }

    /// Drops what has expired; gives how many are left.
    pub async fn tidy(&self) -> u64 {
        let entries = self.entries();
        entries.run_pending_tasks().await;
        entries.entry_count()
    }

    fn entries(&self) -> Cache<u32, Entry> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache<u32, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build(capacity: u64, watch: Arc<dyn Watch>) -> Cache<u32, Entry> {
    Cache::builder()
        .max_capacity(capacity)
        .expire_after(ByEntry)
        .eviction_listener(move |_, entry: Entry, cause| match cause {
            RemovalCause::Size => watch.evicted(1),
            RemovalCause::Expired => watch.expired(1),
            // Loaded anew before anybody had noticed that its time was over.
            RemovalCause::Replaced if entry.left_ms() == 0 => watch.expired(1),
            RemovalCause::Explicit => watch.removed(1),
            RemovalCause::Replaced => {}
        })
        .build()
}
