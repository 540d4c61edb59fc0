//! Slow downstream, and its cure: how the e-mail service hears of an order.
//!
//! The fault calls the service while the customer waits, and the service becomes slow: it signs each message many times over,
//! and sends one after another. The checkouts wait in a row, each with its session, and the slower service is the
//! slower shop. The cure hands the order to the broker, and the customer waits for neither.

use std::sync::Arc;

use timeline::fault::FaultKind;
use tokio::task::JoinError;

use super::{Lever, whole};
use crate::broker::Placed;
use crate::services::Services;
use crate::settings::Notify;
use crate::shop::Shop;

/// Looked at by every checkout, and by the service that is called.
pub const LEVER: Lever = Lever::of_both_ends(FaultKind::SlowDownstream);

/// The shop's end: by the broker, or by calls?
pub fn way(shop: &Shop) -> Notify {
    let switch = &shop.faults[FaultKind::SlowDownstream];
    if switch.is_on() {
        switch.took_effect();
        return Notify::Called;
    }
    shop.settings.notify
}

/// The service's end: one message, while the caller waits. Dropping it leaves the row.
///
/// # Errors
/// When the work panics.
pub async fn send(services: &Arc<Services>, placed: Placed) -> Result<(), JoinError> {
    let switch = &services.faults[FaultKind::SlowDownstream];
    let Some(order) = switch.order() else {
        return services.serve("email", placed, 1).await;
    };
    switch.took_effect();
    let _turn = services.outgoing.lock().await;
    services.serve("email", placed, whole(&order, "signatures")).await
}
