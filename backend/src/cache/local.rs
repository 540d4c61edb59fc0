//! Entries in this worker's memory, bounded, each with its own time.
//!
//! What was being loaded when its product was changed is not kept: changes are counted.
//!
//! moka's caches keep the size with which they are built, so another size is another cache, into which the entries go over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;

use super::{Entry, Watch};

/// A cache of this process alone.
pub struct Local {
    entries: Mutex<Cache<u32, Entry>>,
    /// How often each product was changed, of those that were: no more than there are products.
    changes: Mutex<HashMap<u32, u64>>,
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
        Self { entries: Mutex::new(build(capacity, watch.clone())), changes: Mutex::default(), watch }
    }

    pub async fn get(&self, id: u32) -> Option<Entry> {
        self.entries().get(&id).await
    }

    /// The number of a load of product `id` that begins now.
    pub fn number(&self, id: u32) -> u64 {
        self.changes().get(&id).copied().unwrap_or_default()
    }

    /// Keeps an entry, unless the product was changed since the load of this number began.
    pub async fn put(&self, id: u32, number: u64, entry: Entry) {
        if self.number(id) != number {
            return;
        }
        self.entries().insert(id, entry).await;
        // A change may have come while the cache made room for it.
        if self.number(id) != number {
            self.entries().invalidate(&id).await;
        }
    }

    /// Product `id` was changed: what is being loaded now is not kept.
    pub fn outdate(&self, id: u32) {
        *self.changes().entry(id).or_default() += 1;
    }

    /// Product `id` was changed: its entry goes, and what is being loaded now is not kept.
    pub async fn remove(&self, id: u32) {
        self.outdate(id);
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

    /// All entries that are there expire when `end` says; gives how many those are.
    pub async fn set_ends(&self, end: impl Fn(&Entry) -> u64) -> u64 {
        let (entries, mut count) = (self.entries(), 0);
        for (id, entry) in &entries {
            let expires_ms = end(&entry);
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

    fn changes(&self) -> MutexGuard<'_, HashMap<u32, u64>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Cache<u32, Entry>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::clock::unix_ms;

    struct Nobody;

    impl Watch for Nobody {
        fn evicted(&self, _: u64) {}
        fn expired(&self, _: u64) {}
        fn removed(&self, _: u64) {}
    }

    #[tokio::test]
    async fn what_was_being_loaded_when_its_product_was_changed_is_not_kept() {
        let local = Local::new(10, Arc::new(Nobody));
        let entry = || Entry { value: None, expires_ms: unix_ms() + 600_000, load_ms: 1.0 };
        let [seven, eight] = [7, 8].map(|id| local.number(id));
        local.remove(7).await;
        local.put(7, seven, entry()).await;
        local.put(8, eight, entry()).await;
        assert!(local.get(7).await.is_none() && local.get(8).await.is_some());
        // The load that replaces an entry begins after the change; one from before comes too late for it.
        local.outdate(8);
        let later = local.number(8);
        local.put(8, later, Entry { load_ms: 2.0, ..entry() }).await;
        local.put(8, eight, entry()).await;
        assert_eq!(local.get(8).await.map(|e| e.load_ms), Some(2.0));
        local.put(7, local.number(7), entry()).await;
        assert!(local.get(7).await.is_some(), "what is loaded after the change is kept");
    }
}
