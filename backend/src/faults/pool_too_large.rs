//! Pool too large, and its cure: how many connections the database has to carry.
//!
//! The fault opens as many as its knob says and keeps them all: each with a page cache and prepared statements of its
//! own, which turn cold because connections are used in turn, or with a process of the server. What more statements at
//! once than the database has cores and locks for gain in the pool, they wait inside the database. The cure is the size
//! for which the shop was planned.

use timeline::fault::FaultKind;

use super::{Lever, whole};

/// The pool is exchanged, and filled beside the requests.
pub const LEVER: Lever = Lever::new(
    FaultKind::PoolTooLarge,
    |shop, order| {
        let capacity = whole(order, "capacity");
        shop.database.resize(capacity);
        let (shop, database) = (shop.clone(), shop.database.clone());
        database.beside(async move {
            // As many places as the shop was planned for stay free for requests meanwhile.
            let more = capacity.saturating_sub(shop.database.planned_capacity());
            if let Err(e) = shop.database.open(more).await {
                // A server refuses when it has no more; then they are as many as it gave.
                eprintln!("shop: the pool gets no more connections: {e}");
            }
            shop.faults[FaultKind::PoolTooLarge].took_effect();
        });
    },
    |shop| shop.database.resize(shop.database.planned_capacity()),
);
