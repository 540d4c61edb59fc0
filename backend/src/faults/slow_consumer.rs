//! Slow consumer, and its cure: what waits for a WebSocket whose client does not read.
//!
//! The fault keeps everything that is pushed to it, without bound, and is patient for ever: memory grows with each
//! such client and each push. The cure keeps a little, and lets a client go that is further behind, or that takes
//! nothing for a while.

use std::pin::pin;
use std::time::Duration;

use timeline::fault::FaultKind;

use super::{Faults, Lever};

/// Looked at by every push; who is too far behind at the end is let go.
pub const LEVER: Lever = Lever::new(FaultKind::SlowConsumer, |_, _| {}, |shop| shop.feed.let_slow_ones_go());

/// Messages that wait for one listener while the cure runs; one that is this far behind is dropped.
pub const QUEUE: usize = 32;
/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// May one more message wait behind `waiting` others?
pub fn may_wait(faults: &Faults, waiting: usize) -> bool {
    let switch = &faults[FaultKind::SlowConsumer];
    if waiting >= QUEUE {
        switch.took_effect();
    }
    waiting < QUEUE || switch.is_on()
}

/// What `sending` gives, or none where its client is gone.
pub async fn patiently<T>(faults: &Faults, sending: impl Future<Output = T>) -> Option<T> {
    let mut sending = pin!(sending);
    loop {
        if let Ok(sent) = tokio::time::timeout(PATIENCE, &mut sending).await {
            return Some(sent);
        }
        if !faults[FaultKind::SlowConsumer].is_on() {
            return None;
        }
    }
}
