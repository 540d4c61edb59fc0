//! The in-process cache of product details.
//!
//! Owns what is kept, for how long, and its figures. How a missed detail is loaded is the choice between the
//! fault `stampede` and its cure, in [`crate::faults::stampede`].

use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, CacheMeter};
use moka::future::Cache;
use moka::notification::RemovalCause;
use timeline::fault::FaultKind;

use super::product::{self, ProductDetail};
use crate::faults::{Faults, stampede};
use crate::settings::ShopSettings;
use crate::store::{Database, StoreError};

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

/// Product details by number.
pub struct ProductCache {
    /// What is kept.
    pub entries: Cache<u32, Arc<ProductDetail>>,
    /// Its figures.
    pub meter: CacheMeter,
    /// Is the stampede on?
    pub faults: Arc<Faults>,
    /// Loads that run without protection.
    pub unprotected: stampede::LoadsInFlight,
    database: Arc<Database>,
}

impl ProductCache {
    /// Empty.
    pub fn new(agent: &Agent, database: Arc<Database>, faults: Arc<Faults>, settings: &ShopSettings) -> Self {
        let meter = agent.cache("products");
        let evictions = meter.clone();
        let entries = Cache::builder()
            .max_capacity(settings.cache_capacity)
            .time_to_live(Duration::from_millis(settings.cache_ttl_ms))
            .eviction_listener(move |_, _, cause| {
                // Expired entries are not evictions: only what had to make room is.
                if cause == RemovalCause::Size {
                    evictions.evicted(1);
                }
            })
            .build();
        Self { entries, meter, faults, unprotected: stampede::LoadsInFlight::default(), database }
    }

    /// The detail of product `id`, from the cache if it is there.
    pub async fn get(&self, id: u32) -> Result<Arc<ProductDetail>, LoadError> {
        if let Some(detail) = self.entries.get(&id).await {
            self.meter.hit();
            return Ok(detail);
        }
        self.meter.miss();
        if self.faults[FaultKind::Stampede].is_on() {
            stampede::load_unprotected(self, id).await
        } else {
            stampede::load_single_flight(self, id).await
        }
    }

    /// Reads product `id` from the database, metered as a load of its key.
    pub async fn load(&self, id: u32) -> Result<Arc<ProductDetail>, LoadError> {
        let _loading = self.meter.load(&format!("product:{id}"));
        self.read(id).await
    }

    /// Reads product `id` from the database, for somebody whom the cache does not concern.
    pub async fn read(&self, id: u32) -> Result<Arc<ProductDetail>, LoadError> {
        let mut connection = self.database.checkout().await?;
        product::read(&mut connection, id).await?.ok_or(LoadError::NoSuchProduct)
    }

    /// Drops what has expired and tells how much is left; now and then, off the hot path.
    pub async fn tidy(&self) {
        self.entries.run_pending_tasks().await;
        self.meter.set_entries(self.entries.entry_count());
    }
}
