//! Cold cache, and its cure: what the cache holds when the load is on.
//!
//! The fault empties it again and again under load, as a deployment does that flushes the cache; the period is the wall
//! clock's, so that workers which share a cache empty it together. The cure leaves it alone, and loads what is wanted most
//! before anybody asks: before a worker says that it is ready, and after a fault that has left the cache empty.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use timeline::clock::unix_ms;
use timeline::fault::FaultKind;

use super::{Lever, whole};
use crate::cache::chores::Chore;
use crate::shop::Shop;
use crate::shop::product_cache::ProductCache;

/// What was emptied last is warmed.
pub const LEVER: Lever =
    Lever::new(FaultKind::ColdCache, |_, _| {}, |shop| shop.products.chores.give(Chore::Warm));

/// From look to look at whether it is to be emptied.
const LOOK: Duration = Duration::from_millis(50);
/// The products in front of the list, which most requests are for.
const WARMED: u32 = 24;
/// Loads at once while warming beside requests: half the pool, so that there is room for others, and done within half a second.
pub const AT_ONCE: usize = 6;

/// The fault, while it is on.
pub async fn keep(shop: Arc<Shop>) {
    let switch = &shop.faults[FaultKind::ColdCache];
    let mut looks = tokio::time::interval(LOOK);
    let mut emptied = None;
    loop {
        looks.tick().await;
        let turn = switch.order().map(|order| unix_ms() / whole(&order, "period_ms").max(1) as u64);
        if turn != emptied {
            emptied = turn;
            if turn.is_some() {
                if shop.products.clear().await > 0 {
                    switch.took_effect();
                }
                if !switch.is_on() {
                    // It ended meanwhile, and what was warmed then may have gone with the rest.
                    shop.products.chores.give(Chore::Warm);
                }
            }
        }
    }
}

/// The cure. What cannot be loaded now is loaded by whoever asks for it.
pub async fn warm(products: &ProductCache, at_once: usize) {
    stream::iter(1..=WARMED).for_each_concurrent(at_once, async |id| drop(products.get(id).await)).await;
}
