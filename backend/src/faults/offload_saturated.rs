//! Offload saturated, and its cure: how many threads the offload pool has.
//!
//! The fault leaves as many as libuv has by default; each task keeps its thread for tens of milliseconds, most of
//! them spent waiting for the database as a library does that knows only blocking calls. The cure is a pool
//! sized for the load. The queue that follows is real, and the first task in it is the onset.

use timeline::fault::FaultKind;

use super::{Lever, whole};

/// The pool is exchanged.
pub const LEVER: Lever = Lever::new(
    FaultKind::OffloadSaturated,
    |shop, order| shop.offload.resize(whole(order, "threads")),
    |shop| shop.offload.resize(shop.offload.planned()),
);
