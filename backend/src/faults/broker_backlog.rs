//! Broker backlog, and its cure: how fast an event's consumer is.
//!
//! The fault signs each message many times over, so the one consumer of the e-mail queue is slower than those who
//! publish, and events wait longer and longer; no customer does. The cure signs each once, which keeps up with hundreds
//! of orders a second.

use std::sync::Arc;

use timeline::clock::unix_ms;
use timeline::fault::FaultKind;
use tokio::task::JoinError;

use super::{Lever, whole};
use crate::broker::Message;
use crate::services::Services;

/// Looked at by the consumers.
pub const LEVER: Lever = Lever::of_services(FaultKind::BrokerBacklog);

/// When a consumer was done with its last message, milliseconds since the Unix epoch.
#[derive(Default)]
pub struct Pace {
    done_ms: u64,
}

/// Has the service called `name` work on a message. The first message that had to wait for the one before is the onset.
///
/// # Errors
/// When the work panics.
pub async fn consume(
    name: &'static str,
    message: Message,
    pace: &mut Pace,
    services: &Arc<Services>,
) -> Result<(), JoinError> {
    let switch = &services.faults[FaultKind::BrokerBacklog];
    let signatures = switch.order().map_or(1, |order| whole(&order, "signatures"));
    if name == "email" && message.published_ms < pace.done_ms {
        switch.took_effect();
    }
    let done = services.serve(name, message.placed, signatures).await;
    pace.done_ms = unix_ms();
    done
}
