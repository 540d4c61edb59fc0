//! Penetration, and its cure: what is remembered of a key that exists nowhere.
//!
//! The fault remembers nothing, so every request for such a key reaches the database, which a cache is there to spare.
//! The cure remembers the absence for a while (negative caching).

use timeline::fault::FaultKind;

use super::{Lever, Switch};

/// Looked at by every load that finds nothing.
pub const LEVER: Lever = Lever::switch_only(FaultKind::Penetration);

/// How long it is good to know that there is no such thing, milliseconds; `negative_ms` is what the cache is set to.
pub fn absent_ms(switch: &Switch, negative_ms: u64) -> u64 {
    if switch.is_on() {
        switch.took_effect();
        return 0;
    }
    negative_ms
}
