//! Stampede, and its cure: how a missed product detail is loaded.
//!
//! The fault: nobody knows of the others, so every request that misses loads, and the loads
//! crowd the pool. The cure, single flight: the first one loads, the others wait for its result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use timeline::fault::FaultKind;

use super::Lever;
use crate::shop::product::ProductDetail;
use crate::shop::product_cache::{LoadError, ProductCache};

/// Looked at by every request that misses.
pub const LEVER: Lever = Lever::switch_only(FaultKind::Stampede);

/// The fault: load, whoever else does.
pub async fn load_unprotected(cache: &ProductCache, id: u32) -> Result<Arc<ProductDetail>, LoadError> {
    let (_loading, alone) = cache.unprotected.enter(id);
    if !alone {
        cache.faults[FaultKind::Stampede].took_effect();
    }
    let detail = cache.load(id).await?;
    cache.entries.insert(id, detail.clone()).await;
    Ok(detail)
}

/// The cure: one loads, the others wait. When the one is gone (its client hung up), another takes over.
pub async fn load_single_flight(cache: &ProductCache, id: u32) -> Result<Arc<ProductDetail>, LoadError> {
    let mut loaded_here = false;
    let loading = async {
        loaded_here = true;
        cache.load(id).await
    };
    let detail = cache.entries.try_get_with(id, loading).await;
    if !loaded_here {
        cache.meter.coalesced();
    }
    detail.map_err(|shared| LoadError::clone(&shared))
}

/// Which keys are being loaded without protection, so that the first duplicate is known.
#[derive(Default)]
pub struct LoadsInFlight {
    by_key: Mutex<HashMap<u32, u32>>,
}

impl LoadsInFlight {
    /// A load of `key` begins; is it the only one? It ends when the guard is dropped.
    fn enter(&self, key: u32) -> (LoadInFlight<'_>, bool) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let loads = by_key.entry(key).or_default();
        *loads += 1;
        (LoadInFlight { all: self, key }, *loads == 1)
    }
}

struct LoadInFlight<'a> {
    all: &'a LoadsInFlight,
    key: u32,
}

impl Drop for LoadInFlight<'_> {
    fn drop(&mut self) {
        let mut by_key = self.all.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loads) = by_key.get_mut(&self.key) {
            *loads -= 1;
            if *loads == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}
