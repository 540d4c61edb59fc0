//! Ticks that came after something.

use dynamometer_agent::Agent;
use timeline::probe::Batch;

use crate::start::until;

/// Waits for a tick that began after this call.
pub fn fresh_tick(agent: &Agent) -> Batch {
    let seen = agent.batch(0).ticks.last().map_or(0, |t| t.seq);
    until("a fresh tick", || {
        let batch = agent.batch(0);
        (batch.ticks.last()?.seq > seen + 1).then_some(batch)
    })
}
