//! Too small a cache, and its cure: how many entries it may keep.
//!
//! The fault leaves room for fewer than the load asks for, so entries go before they are asked for again, and each load is
//! for little. The cure is the planned size: in a worker as the shop's settings say; on a server its own limit, which is
//! beyond all that the shop has.

use timeline::fault::FaultKind;

use super::{Lever, whole};
use crate::cache::chores::Chore;

/// The cache is exchanged, or bounded where it is a server's; its first eviction is the onset.
pub const LEVER: Lever = Lever::new(
    FaultKind::TooSmallCache,
    |shop, order| shop.products.chores.give(Chore::Bound(Some(whole(order, "capacity") as u64))),
    |shop| shop.products.chores.give(Chore::Bound(None)),
);
