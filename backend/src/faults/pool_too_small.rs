//! Pool too small, and its cure: how many connections the database pool has.
//!
//! The fault leaves fewer connections than load x hold time (Little's law) asks for; the cure is the
//! size for which the shop was planned. The queue that follows is real, and its first waiter is the onset.

use timeline::fault::{FaultKind, FaultOrder};

use super::{Lever, whole};
use crate::store::Database;

/// The pool is exchanged.
pub const LEVER: Lever = Lever::new(
    FaultKind::PoolTooSmall,
    |shop, order| cut_down(&shop.database, order),
    |shop| sized_for_the_load(&shop.database),
);

/// The fault: as many connections as its knob says.
fn cut_down(database: &Database, order: &FaultOrder) {
    database.resize(whole(order, "capacity"));
}

/// The cure: the planned size.
fn sized_for_the_load(database: &Database) {
    database.resize(database.planned_capacity());
}
