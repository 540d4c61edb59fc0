//! Ticks that came after something.

use dynamometer_agent::Agent;
use timeline::probe::Batch;

use crate::start::until;

/// Polls until `is` gives something, at most 10 s.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = MonoNs::now();
    while MonoNs::now().since(start) < Duration::from_secs(10) {
        if let Some(found) = is() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited 10 s in vain: {what}");
}

/// Waits for a tick that began after this call.
pub fn fresh_tick(agent: &Agent) -> Batch {
    let seen = agent.batch(0).ticks.last().map_or(0, |t| t.seq);
    until("a fresh tick", || {
        let batch = agent.batch(0);
        (batch.ticks.last()?.seq > seen + 1).then_some(batch)
    })
}
