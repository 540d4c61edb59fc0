//! One agent, started for a test.

use std::time::Duration;

use dynamometer_agent::Agent;
use timeline::clock::MonoNs;

pub const TOKEN: &str = "test-token";

/// An agent that has ticked once.
pub fn agent() -> Agent {
    aging(Duration::from_millis(500))
}

/// The same; to it a block of the heap is old from this age on.
pub fn aging(threshold: Duration) -> Agent {
    let agent = Agent::builder("shop")
        .instance("shop-0")
        .generation(3)
        .token(TOKEN)
        .age_threshold(threshold)
        .start()
        .expect("a free port and a good name");
    until("the first tick", || (!agent.batch(0).ticks.is_empty()).then_some(()));
    agent
}

/// Polls until `is` gives something, at most 30 s.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = MonoNs::now();
    while MonoNs::now().since(start) < Duration::from_secs(30) {
        if let Some(found) = is() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited 30 s in vain: {what}");
}
