//! Missing index, and its cure: the index on the customer of an order.
//!
//! The fault drops it, for all workers, since they share the database: each look-up of a customer's orders then reads
//! all orders there are. The cure makes it again. Only one worker does either, as an operator of the database would: no
//! meter of the shop tells of it.

use std::sync::Arc;
use std::time::Duration;

use timeline::fault::FaultKind;

use super::Lever;
use crate::say::say;
use crate::shop::Shop;
use crate::store::ORDERS_INDEX;

/// Done beside the requests, which is where a migration happens.
pub const LEVER: Lever = Lever::new(FaultKind::MissingIndex, |shop, _| settle(shop), settle);

/// From try to try while the database does not do it: it may be away, or start again.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Sees to it that the index is there or not, as the switch says when its turn comes: each try asks it anew. A worker that is about to end
/// leaves that to its successor, which has been told the same.
pub fn settle(shop: &Arc<Shop>) {
    if !shop.first || shop.is_ending() {
        return;
    }
    let (shop, database) = (shop.clone(), shop.database.clone());
    database.beside(async move {
        let switch = &shop.faults[FaultKind::MissingIndex];
        let mut complained = false;
        loop {
            let mut dropped = false;
            let chosen = || {
                dropped = switch.is_on();
                if dropped { ORDERS_INDEX.drop } else { ORDERS_INDEX.create }
            };
            match shop.database.operate(chosen).await {
                Ok(()) if dropped => return switch.took_effect(),
                Ok(()) => return,
                Err(_) if complained => {}
                Err(e) => {
                    complained = true;
                    say(format_args!(
                        "shop: the index on orders stays as it is until the database does it: {e}"
                    ));
                }
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
            if shop.is_ending() {
                return;
            }
        }
    });
}
