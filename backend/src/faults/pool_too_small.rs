//! Pool too small, and its cure: how many connections the database pool has.
//!
//! The fault leaves fewer connections than load x hold time (Little's law) asks for; the cure is the
//! size for which the shop was planned. The queue that follows is real, and its first waiter is the onset.
//!
//! [`pool_too_large`] sets the same size. Of the two the one that was ordered last has its way, and the end of one leaves the
//! pool to the other while that is on.

use timeline::fault::{FaultKind, FaultOrder};

use super::{Lever, pool_too_large, whole};
use crate::shop::Shop;
use crate::store::Database;

/// The pool is exchanged.
pub const LEVER: Lever = Lever::new(
    FaultKind::PoolTooSmall,
    |shop, order| cut_down(&shop.database, order),
    |shop| match shop.faults[FaultKind::PoolTooLarge].order() {
        Some(order) => pool_too_large::fill(shop, &order),
        None => sized_for_the_load(shop),
    },
);

/// The fault: as many connections as its knob says.
pub fn cut_down(database: &Database, order: &FaultOrder) {
    database.resize(whole(order, "capacity"));
}

/// The cure: the planned size.
pub fn sized_for_the_load(shop: &Shop) {
    shop.database.resize(shop.database.planned_capacity());
}
