//! Stop the world, and its cure: how the old generation of the visits is compacted.
//!
//! The fault copies all that is wanted in one go under one exclusive lock. The event loop wants the lock for the next request
//! of anybody who is logged in, and stands still until it has it; the more sessions, the longer. The cure copies for
//! half a millisecond at a time, and lets others have lock and loop in between.

use std::sync::Arc;
use std::time::Duration;

use timeline::MonoNs;
use timeline::fault::FaultKind;
use tokio::task::{spawn_blocking, yield_now};

use super::{Lever, whole};
use crate::shop::Shop;

/// The old generation is filled with earlier sessions, and emptied of them again; off the event loop.
pub const LEVER: Lever = Lever::new(
    FaultKind::StopTheWorld,
    |shop, order| {
        let (shop, sessions) = (shop.clone(), whole(order, "sessions") as u32);
        // Detached, as all blocking work is: it looks at the switch, so it does not outlive the fault by much.
        spawn_blocking(move || shop.visits.recall(sessions, || shop.faults[FaultKind::StopTheWorld].is_on()));
    },
    |shop| {
        let shop = shop.clone();
        // Where the fault is on again, its sessions are wanted again.
        spawn_blocking(move || shop.visits.forget(|| !shop.faults[FaultKind::StopTheWorld].is_on()));
    },
);

/// From look to look at whether a compaction is due.
const LOOK: Duration = Duration::from_millis(100);
/// Longest step of the cure.
const STEP: Duration = Duration::from_micros(500);

/// Compacts whenever it is due. Dropping it leaves a compaction half done, and the next one goes on there.
pub async fn keep(shop: Arc<Shop>) {
    let switch = &shop.faults[FaultKind::StopTheWorld];
    let mut looks = tokio::time::interval(LOOK);
    let mut last = MonoNs::now();
    loop {
        looks.tick().await;
        match switch.order() {
            Some(order) => {
                if MonoNs::now().since(last) >= Duration::from_millis(whole(&order, "period_ms") as u64) {
                    last = MonoNs::now();
                    let shop = shop.clone();
                    // The only way in which it can fail is a panic, which has said so.
                    let _ = spawn_blocking(move || in_one_go(&shop)).await;
                }
            }
            None => in_steps(&shop).await,
        }
    }
}

/// The fault.
fn in_one_go(shop: &Shop) {
    let mut kept = shop.visits.lock();
    shop.faults[FaultKind::StopTheWorld].took_effect();
    let _stopped = shop.agent.stop_the_world("old generation compacted");
    kept.records.compact_all();
    shop.visits.show(&kept);
}

/// The cure.
async fn in_steps(shop: &Shop) {
    loop {
        {
            let mut kept = shop.visits.lock();
            if !kept.records.wants_compaction() {
                return;
            }
            kept.records.compact_step(MonoNs(MonoNs::now().0 + STEP.as_nanos() as u64));
            shop.visits.show(&kept);
        }
        yield_now().await;
    }
}
