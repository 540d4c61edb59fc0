//! The cache of product details: what is kept, for how long, and its figures.
//!
//! Where it is kept and what each protection does lies in [`crate::cache`]. Whether a missed detail is loaded with
//! protection at all is the choice between the fault `stampede` and its cure, in [`crate::faults::stampede`]; when an entry
//! expires, between `avalanche`, `penetration` and theirs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use agent::{Agent, CacheMeter};
use rand::RngExt;
use timeline::MonoNs;
use timeline::clock::unix_ms;
use timeline::fault::FaultKind;
use tokio::sync::mpsc;

use super::product::{self, ProductDetail};
use crate::cache::chores::{Chore, Chores};
use crate::cache::single_flight::Flights;
use crate::cache::{CacheError, Entry, Store, Watch, jitter, lock, xfetch};
use crate::faults::{Faults, avalanche, penetration, stampede};
use crate::settings::{CacheMode, CacheSettings, Protection, ShopSettings};
use crate::store::{Database, StoreError};
use crate::wire::CachePlace;

/// Who waits for another's load looks again after a pause within this, milliseconds: a load takes many times as long.
const LOOK_AGAIN_MS: std::ops::Range<u64> = 10..30;

/// Why a product cannot be shown. Cheap to clone: one failed load answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// There is none.
    #[error("there is no such product")]
    NoSuchProduct,
    /// The database did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A product's detail.
type Loaded = Result<Arc<ProductDetail>, LoadError>;

/// Product details by number.
pub struct ProductCache {
    /// Its figures.
    pub meter: CacheMeter,
    /// Which faults are on.
    pub faults: Arc<Faults>,
    /// For what is to be done to all of it.
    pub chores: Chores,
    /// Loads that run without protection.
    pub unprotected: stampede::LoadsInFlight,
    instant: avalanche::Instant,
    planned_capacity: u64,
    flights: Flights<u32, Loaded>,
    store: Store,
    settings: RwLock<CacheSettings>,
    patience: Duration,
    database: Arc<Database>,
}

impl ProductCache {
    /// Opens the cache at `place`. What is given as chores is to be done by [`crate::cache::chores::keep`].
    ///
    /// # Errors
    /// When it is a server that is not there.
    pub async fn open(
        agent: &Agent,
        place: &CachePlace,
        database: Arc<Database>,
        faults: Arc<Faults>,
        settings: &ShopSettings,
    ) -> Result<(Self, mpsc::Receiver<Chore>), CacheError> {
        let meter = agent.cache("products");
        let watch = Arc::new(Gone { meter: meter.clone(), faults: faults.clone() });
        let store = Store::open(place, settings.cache_capacity, watch).await?;
        let (chores, given) = Chores::new();
        let cache = Self {
            meter,
            faults,
            chores,
            unprotected: stampede::LoadsInFlight::default(),
            instant: avalanche::Instant::default(),
            planned_capacity: settings.cache_capacity,
            flights: Flights::default(),
            store,
            settings: RwLock::new(settings.cache),
            patience: Duration::from_millis(settings.pool_patience_ms),
            database,
        };
        Ok((cache, given))
    }

    /// How it works from now on. Entries that are there keep their time.
    pub fn set(&self, settings: CacheSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Entries are refreshed early at random from now on; everything else stays as it is set.
    pub fn refresh_early(&self, beta: f64) {
        self.set(CacheSettings { protection: Protection::Xfetch, beta, ..self.settings() });
    }

    /// One of those who miss loads and the others wait, unless that is so already.
    pub fn let_one_load(&self) {
        let settings = self.settings();
        if matches!(settings.protection, Protection::None | Protection::Xfetch) {
            self.set(CacheSettings { protection: Protection::SingleFlight, ..settings });
        }
    }

    fn settings(&self) -> CacheSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The detail of product `id`, from the cache if it is there.
    pub async fn get(&self, id: u32) -> Loaded {
        let settings = self.settings();
        if let Some(entry) = self.store.get(id).await {
            self.meter.hit();
            if entry.value.is_none() {
                self.meter.absent_hit();
            }
            if settings.protection != Protection::Xfetch || !is_early(&entry, settings.beta) {
                return answer(&entry);
            }
            self.meter.refreshed_early();
            return match self.load_and_keep(id).await {
                // The entry that is there was good when it was asked for.
                Err(LoadError::Store(_)) => answer(&entry),
                loaded => loaded,
            };
        }
        self.meter.miss();
        if self.faults[FaultKind::Stampede].is_on() {
            return stampede::load_unprotected(self, id).await;
        }
        match settings.protection {
            Protection::None | Protection::Xfetch => self.load_and_keep(id).await,
            Protection::SingleFlight => self.load_in_one_flight(id).await,
            // One of each worker asks for the lock: many that look again would keep the holder from its work.
            Protection::Lock => self.in_one_flight(id, self.load_under_lock(id, settings.lock_ms)).await,
        }
    }

    /// A product was changed. What is kept of it must not stay as it was: an entry that cannot be loaded anew goes.
    pub async fn changed(&self, id: u32) {
        match self.settings().mode {
            CacheMode::CacheAside => self.store.remove(id).await,
            CacheMode::WriteThrough => {
                self.store.outdate(id).await;
                if self.load_and_keep(id).await.is_err() {
                    self.store.remove(id).await;
                }
            }
        }
    }

    /// Another worker has changed a product. What they share has been seen to; what is in this worker goes.
    pub async fn changed_elsewhere(&self, id: u32) {
        if let Store::Local(local) = &self.store {
            local.remove(id).await;
        }
    }

    /// Loads, whoever else does, and keeps what came.
    pub async fn load_and_keep(&self, id: u32) -> Loaded {
        let number = self.store.number(id).await;
        let entry = self.load(id).await?;
        let answer = answer(&entry);
        if entry.left_ms() > 0 {
            self.store.put(id, number, entry).await;
        }
        answer
    }

    /// In this worker one loads; the others wait.
    async fn load_in_one_flight(&self, id: u32) -> Loaded {
        let load = async {
            // The flight before this one may have landed after we missed.
            match self.store.get(id).await {
                Some(entry) => answer(&entry),
                None => self.load_and_keep(id).await,
            }
        };
        self.in_one_flight(id, load).await
    }

    /// `load`, unless somebody in this worker is at it.
    async fn in_one_flight(&self, id: u32, load: impl Future<Output = Loaded>) -> Loaded {
        let mut loaded_here = false;
        let load = async {
            loaded_here = true;
            load.await
        };
        let detail = self.flights.run(id, load).await;
        if !loaded_here {
            self.meter.coalesced();
        }
        detail
    }

    /// Over all workers one loads; the others look again until it is there, or the lock is free. When the server
    /// does not answer there is no lock to be had, and the shop goes on without.
    async fn load_under_lock(&self, id: u32, lock_ms: u64) -> Loaded {
        let Store::Redis(redis) = &self.store else { return self.load_and_keep(id).await };
        let began = MonoNs::now();
        while MonoNs::now().since(began) < self.patience {
            match lock::acquire(redis, id, lock_ms).await {
                Ok(Some(held)) => return self.load_as_holder(id, held).await,
                Ok(None) => {}
                Err(e) => {
                    redis.complain(&e);
                    return self.load_and_keep(id).await;
                }
            }
            let pause = rand::rng().random_range(LOOK_AGAIN_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if let Some(entry) = self.store.get(id).await {
                self.meter.coalesced();
                return answer(&entry);
            }
        }
        Err(StoreError::Busy.into())
    }

    async fn load_as_holder(&self, id: u32, held: lock::Held<'_>) -> Loaded {
        // The holder before us may have written after we missed.
        let (entry, written) = match self.store.get(id).await {
            Some(entry) => (Ok(entry), Ok(true)),
            None => match self.load(id).await {
                Ok(entry) if entry.left_ms() > 0 => {
                    let written = held.write(&entry).await;
                    (Ok(entry), written)
                }
                other => (other, Ok(true)),
            },
        };
        let released = held.release().await;
        if let (Store::Redis(redis), Err(e)) = (&self.store, written.map(|_| ()).and(released)) {
            redis.complain(&e);
        }
        answer(&entry?)
    }

    /// Reads product `id` from the database, for somebody whom the cache does not concern.
    pub async fn read(&self, id: u32) -> Loaded {
        self.find(id).await?.ok_or(LoadError::NoSuchProduct)
    }

    async fn find(&self, id: u32) -> Result<Option<Arc<ProductDetail>>, StoreError> {
        let mut connection = self.database.checkout().await?;
        product::read(&mut connection, id).await
    }

    /// Reads product `id` from the database, metered as a load of its key. The entry of one that does not exist has
    /// no time left when that is not to be remembered.
    async fn load(&self, id: u32) -> Result<Entry, LoadError> {
        let settings = self.settings();
        let _loading = self.meter.load(&format!("product:{id}"));
        let began = MonoNs::now();
        let value = self.find(id).await?;
        let load_ms = MonoNs::now().since(began).as_secs_f64() * 1e3;
        let ttl_ms = if value.is_some() {
            let switch = &self.faults[FaultKind::Avalanche];
            avalanche::life_ms(switch, &self.instant, &settings, rand::rng().random())
        } else {
            self.meter.absent_load();
            penetration::absent_ms(&self.faults[FaultKind::Penetration], settings.negative_ms)
        };
        Ok(Entry { value, expires_ms: unix_ms() + ttl_ms, load_ms })
    }

    /// Forgets all of it; gives how many entries there were.
    pub async fn clear(&self) -> u64 {
        self.store.clear().await
    }

    /// Holds at most so many entries; `None` is the planned number.
    pub async fn bound(&self, capacity: Option<u64>) {
        self.store.bound(capacity, self.planned_capacity).await;
    }

    /// All entries that are there expire at this time.
    pub async fn expire_at(&self, at_ms: u64) {
        let entries = self.store.set_ends(|_| at_ms).await;
        self.instant.kept_until(at_ms, entries, &self.faults[FaultKind::Avalanche]);
    }

    /// All entries that are there expire each at a time of its own, as if they had been loaded one after another over the
    /// whole of their life.
    pub async fn spread(&self) {
        let settings = self.settings();
        let end = |entry: &Entry| {
            let life_ms = if entry.value.is_some() { settings.ttl_ms } else { settings.negative_ms };
            unix_ms() + jitter::shortened(life_ms, 1.0, rand::rng().random())
        };
        self.store.set_ends(end).await;
    }

    /// Drops what has expired and tells how much is left; now and then, off the hot path.
    pub async fn tidy(&self) {
        if let Some(entries) = self.store.tidy().await {
            self.meter.set_entries(entries);
        }
    }
}

/// Counts entries that are there no more.
struct Gone {
    meter: CacheMeter,
    faults: Arc<Faults>,
}

impl Watch for Gone {
    fn evicted(&self, entries: u64) {
        self.faults[FaultKind::TooSmallCache].took_effect();
        self.meter.evicted(entries);
    }

    fn expired(&self, entries: u64) {
        self.meter.expired(entries);
    }

    fn removed(&self, entries: u64) {
        self.meter.removed(entries);
    }
}

fn answer(entry: &Entry) -> Loaded {
    entry.value.clone().ok_or(LoadError::NoSuchProduct)
}

fn is_early(entry: &Entry, beta: f64) -> bool {
    // From (0, 1], since the logarithm of 0 is none.
    let uniform = 1.0 - rand::rng().random::<f64>();
    xfetch::draws_the_lot(entry.left_ms() as f64, entry.load_ms, beta, uniform)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::faults::testing::armed;
    use crate::store::{Meters, Place};

    /// A cache in memory over a database that is not there, and the agent that meters it.
    async fn opened(cache: CacheSettings) -> (ProductCache, Agent) {
        let agent = Agent::builder("shop").token("t").start().unwrap();
        let (faults, _truth) = armed(&[]);
        let settings = ShopSettings { cache, ..ShopSettings::default() };
        let meters = Meters { pool: agent.pool("db", 1), database: agent.database() };
        let place = Place::Sqlite { file: "/there/is/no/such/folder".into() };
        let database = Arc::new(Database::new(place, &settings, meters, faults.clone()));
        let opened = ProductCache::open(&agent, &CachePlace::Memory, database, faults, &settings).await;
        (opened.unwrap().0, agent)
    }

    fn entry(life_ms: u64) -> Entry {
        Entry { value: None, expires_ms: unix_ms() + life_ms, load_ms: 1.0 }
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_loaded_anew_after_a_change_goes() {
        let settings = CacheSettings { mode: CacheMode::WriteThrough, ..CacheSettings::default() };
        let (cache, _agent) = opened(settings).await;
        cache.store.put(7, 0, entry(600_000)).await;
        assert!(cache.store.get(7).await.is_some());
        cache.changed(7).await;
        assert!(cache.store.get(7).await.is_none());
    }

    #[tokio::test]
    async fn what_was_to_expire_together_expires_one_after_the_other_once_it_is_spread() {
        let settings = CacheSettings { negative_ms: 600_000, ..CacheSettings::default() };
        let (cache, _agent) = opened(settings).await;
        for id in 0..50 {
            cache.store.put(id, 0, entry(600_000)).await;
        }
        let ends = async || {
            let mut ends = BTreeSet::new();
            for id in 0..50 {
                ends.extend(cache.store.get(id).await.map(|e| e.expires_ms));
            }
            ends
        };
        let at_ms = unix_ms() + 300_000;
        cache.expire_at(at_ms).await;
        assert_eq!(ends().await, BTreeSet::from([at_ms]));
        cache.spread().await;
        let (spread, latest) = (ends().await, unix_ms() + 600_000);
        // Two may be drawn alike, and one may be over already.
        assert!(spread.len() >= 40 && spread.iter().all(|end| *end <= latest), "{spread:?}");
    }
}
