//! A cache: hits, misses, loads, and loads that duplicate one another.
//!
//! Owns the meter that a cache's wrapper calls and its lanes `cache.NAME.*`; which loads belong together
//! is `refresh`'s question. It caches nothing itself.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use timeline::clock::MonoNs;
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::refresh::{Begun, Book, KeyHash};
use crate::registry::Registry;
use crate::tally::{Tally, lock};

/// What a cache's meter remembers.
#[derive(Debug, Default)]
pub(crate) struct CacheState {
    hits: Counter,
    misses: Counter,
    loads: Counter,
    coalesced: Counter,
    early: Counter,
    duplicates: Counter,
    evictions: Counter,
    expired: Counter,
    removed: Counter,
    absent_loads: Counter,
    absent_hits: Counter,
    in_flight: AtomicI64,
    /// One more than there are; 0 while nobody has said.
    entries: AtomicU64,
    load: Tally,
    book: Mutex<Book>,
}

/// A cache's meter; clones speak of the same cache.
#[derive(Debug, Clone)]
pub struct CacheMeter {
    state: Arc<CacheState>,
}

impl CacheMeter {
    pub(crate) const fn new(state: Arc<CacheState>) -> Self {
        Self { state }
    }

    /// A look-up found what it wanted.
    pub fn hit(&self) {
        self.state.hits.add(1);
    }

    /// A look-up found nothing.
    pub fn miss(&self) {
        self.state.misses.add(1);
    }

    /// A look-up waited for somebody else's load and loaded nothing itself.
    pub fn coalesced(&self) {
        self.state.coalesced.add(1);
    }

    /// A look-up found what it wanted and loads it anew all the same, since it expires soon.
    pub fn refreshed_early(&self) {
        self.state.early.add(1);
    }

    /// A look-up found, in the cache, that there is no such thing. It is a hit as well, which is told apart from this.
    pub fn absent_hit(&self) {
        self.state.absent_hits.add(1);
    }

    /// A load found that there is no such thing.
    pub fn absent_load(&self) {
        self.state.absent_loads.add(1);
    }

    /// This many entries were thrown out to make room.
    pub fn evicted(&self, entries: u64) {
        self.state.evictions.add(entries);
    }

    /// The time of this many entries was over. Shown by a cache that tells its entries, too.
    pub fn expired(&self, entries: u64) {
        self.state.expired.add(entries);
    }

    /// This many entries were removed by whoever uses the cache, before their time: changed, or all of them emptied.
    pub fn removed(&self, entries: u64) {
        self.state.removed.add(entries);
    }

    /// The cache holds this many entries now. One that never says so has a store elsewhere, which nobody here counts.
    pub fn set_entries(&self, entries: u64) {
        self.state.entries.store(entries.saturating_add(1), Ordering::Relaxed);
    }

    /// A load of `key` from behind the cache begins; it ends when the result is dropped.
    #[must_use]
    pub fn load(&self, key: &str) -> Loading {
        let since = MonoNs::now();
        let state = Arc::clone(&self.state);
        state.loads.add(1);
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        let begun = lock(&state.book).begin(key, since.0);
        let key = match begun {
            Begun::First(key) => Some(key),
            Begun::Duplicate(key) => {
                state.duplicates.add(1);
                Some(key)
            }
            Begun::Untracked => None,
        };
        Loading { state, key, since }
    }
}

/// A load in flight. Dropped: it ended, well or not, and its time is recorded.
#[derive(Debug)]
pub struct Loading {
    state: Arc<CacheState>,
    key: Option<KeyHash>,
    since: MonoNs,
}

impl Drop for Loading {
    fn drop(&mut self) {
        let now = MonoNs::now();
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.state.load.record_ns(now.0.saturating_sub(self.since.0));
        if let Some(key) = self.key {
            lock(&self.state.book).end(key, now.0);
        }
    }
}

struct CacheLanes {
    name: String,
    state: Arc<CacheState>,
    hits: LaneNo,
    misses: LaneNo,
    loads: LaneNo,
    coalesced: LaneNo,
    early: LaneNo,
    duplicates: LaneNo,
    evictions: LaneNo,
    expired: LaneNo,
    removed: LaneNo,
    absent_loads: LaneNo,
    absent_hits: LaneNo,
    in_flight: LaneNo,
    entries: LaneNo,
    load: LaneNo,
}

/// The lanes and refreshes of all caches.
pub(crate) struct Caches {
    registry: Arc<Registry<CacheState>>,
    known: Vec<CacheLanes>,
}

impl Caches {
    pub(crate) const fn new(registry: Arc<Registry<CacheState>>) -> Self {
        Self { registry, known: Vec::new() }
    }

    fn declare(name: String, state: Arc<CacheState>, draft: &mut Draft<'_>) -> CacheLanes {
        let lanes = &mut draft.lanes;
        let of = |part| names::of(names::CACHE, &name, part);
        let mut rate = |part| lanes.declare(LaneSpec::rate(of(part), "", Unit::PerSecond));
        let (hits, misses, loads) = (rate("hits"), rate("misses"), rate("loads"));
        let (coalesced, duplicates, evictions) =
            (rate("coalesced"), rate("duplicate-loads"), rate("evictions"));
        let early = rate("early-refreshes");
        let (expired, removed) = (rate("expired"), rate("removed"));
        let (absent_loads, absent_hits) = (rate("absent-loads"), rate("absent-hits"));
        let mut level = |part| lanes.declare(LaneSpec::level(of(part), "", Unit::Count));
        let (in_flight, entries) = (level("loads-in-flight"), level("entries"));
        let load = lanes.declare(LaneSpec::histogram(of("load"), ""));
        CacheLanes {
            name,
            state,
            hits,
            misses,
            loads,
            coalesced,
            early,
            duplicates,
            evictions,
            expired,
            removed,
            absent_loads,
            absent_hits,
            in_flight,
            entries,
            load,
        }
    }
}

impl Collect for Caches {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            self.known.push(Self::declare(name, state, draft));
        }
        for cache in &self.known {
            let state = &cache.state;
            draft.count(cache.hits, &state.hits);
            draft.count(cache.misses, &state.misses);
            draft.count(cache.loads, &state.loads);
            draft.count(cache.coalesced, &state.coalesced);
            draft.count(cache.early, &state.early);
            draft.count(cache.duplicates, &state.duplicates);
            draft.count(cache.evictions, &state.evictions);
            draft.level(cache.in_flight, state.in_flight.load(Ordering::Relaxed).max(0) as f64);
            draft.count(cache.removed, &state.removed);
            draft.count(cache.absent_loads, &state.absent_loads);
            draft.count(cache.absent_hits, &state.absent_hits);
            if let Some(entries) = state.entries.load(Ordering::Relaxed).checked_sub(1) {
                draft.level(cache.entries, entries as f64);
                draft.count(cache.expired, &state.expired);
            }
            draft.histogram(cache.load, &state.load);
            let refreshes = lock(&state.book).take(&cache.name, draft.now.0);
            draft.refreshes(refreshes);
        }
    }
}
