//! Pool too large, and its cure: how many connections the database has to carry.
//!
//! The fault opens as many as its knob says and keeps them all: each with a page cache and prepared statements of its
//! own, which turn cold because connections are used in turn, or with a process of the server. What more statements at
//! once than the database has cores and locks for gain in the pool, they wait inside the database. The cure is the size
//! for which the shop was planned, unless [`pool_too_small`] is on.

use std::sync::Arc;

use timeline::fault::{FaultKind, FaultOrder};

use super::{Lever, pool_too_small, whole};
use crate::say::say;
use crate::shop::Shop;

/// The pool is exchanged.
pub const LEVER: Lever =
    Lever::new(FaultKind::PoolTooLarge, fill, |shop| match shop.faults[FaultKind::PoolTooSmall].order() {
        Some(order) => pool_too_small::cut_down(&shop.database, &order),
        None => pool_too_small::sized_for_the_load(shop),
    });

/// The fault: as many connections as its knob says, opened beside the requests.
pub fn fill(shop: &Arc<Shop>, order: &FaultOrder) {
    let capacity = whole(order, "capacity");
    shop.database.resize(capacity);
    let (shop, database) = (shop.clone(), shop.database.clone());
    database.beside(async move {
        // By now another size may be held over this one, or have followed it.
        if shop.database.capacity() != capacity {
            return;
        }
        // As many places as the shop was planned for stay free for requests meanwhile.
        let more = capacity.saturating_sub(shop.database.planned_capacity());
        if let Err(e) = shop.database.open(more).await {
            // A server refuses when it has no more; then they are as many as it gave.
            say(format_args!("shop: the pool gets no more connections: {e}"));
        }
        shop.faults[FaultKind::PoolTooLarge].took_effect();
    });
}
