//! Avalanche, and its cure: when entries expire.
//!
//! The fault lets all entries live to the same instant, as a nightly refresh does, those among them that are there when
//! it begins: then all are missed at once, and their loads crowd the pool although no key is loaded twice. The instants are those of the
//! wall clock, so all workers share them. The cure spreads the ends ([`crate::cache::jitter`]).

use std::sync::{Mutex, PoisonError};

use timeline::MonoNs;
use timeline::clock::unix_ms;
use timeline::fault::{FaultKind, FaultOrder};

use super::{Lever, Switch, whole};
use crate::cache::chores::Chore;
use crate::cache::jitter;
use crate::settings::CacheSettings;

/// What is in the cache already gets its end from the cache's keeper, when the fault begins and when it is over; what comes
/// gets it when it is loaded. For a worker that is about to end it is not over: the instant holds for its successor's entries, which may be
/// the same.
pub const LEVER: Lever = Lever::new(
    FaultKind::Avalanche,
    |shop, order| shop.products.chores.give(Chore::ExpireAt(next_instant(order))),
    |shop| {
        if !shop.is_ending() {
            shop.products.chores.give(Chore::Spread);
        }
    },
);

/// So many entries that expire together are an avalanche's beginning, and not a chance: two might be.
const TOGETHER: u64 = 10;

/// The instant to which entries live now, milliseconds since the Unix epoch, and how many do.
#[derive(Default)]
pub struct Instant {
    kept: Mutex<(u64, u64)>,
}

/// How long an entry that was just loaded is good, milliseconds.
pub fn life_ms(switch: &Switch, instant: &Instant, settings: &CacheSettings, uniform: f64) -> u64 {
    match switch.order() {
        Some(order) => {
            let at_ms = next_instant(&order);
            instant.kept_until(at_ms, 1, switch);
            at_ms.saturating_sub(unix_ms()).max(1)
        }
        None => jitter::shortened(settings.ttl_ms, settings.jitter, uniform),
    }
}

/// The next multiple of the period.
fn next_instant(order: &FaultOrder) -> u64 {
    let period = whole(order, "period_ms").max(1) as u64;
    (unix_ms() / period + 1) * period
}

impl Instant {
    /// The fault: so many more entries expire then. Those of the instant before have expired by now.
    pub fn kept_until(&self, at_ms: u64, entries: u64, switch: &Switch) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, (last, count)) = (unix_ms(), *kept);
        if last == at_ms {
            kept.1 += entries;
            return;
        }
        if count >= TOGETHER && last <= now {
            switch.took_effect_at(MonoNs(MonoNs::now().0.saturating_sub((now - last) * 1_000_000)));
        }
        *kept = (at_ms, entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::armed;

    #[test]
    fn the_fault_lets_all_live_to_one_instant_and_the_cure_spreads_the_ends() {
        let settings = CacheSettings { ttl_ms: 10_000, jitter: 0.5, ..CacheSettings::default() };
        let ends = |switch: &Switch, instant: &Instant| {
            let end = |n: u32| unix_ms() + life_ms(switch, instant, &settings, f64::from(n) / 50.0);
            let mut ends: Vec<u64> = (0..50).map(end).collect();
            ends.sort_unstable();
            ends
        };
        let (on, _) = armed(&[(FaultKind::Avalanche, &[("period_ms", 60_000.0)])]);
        let together = ends(&on[FaultKind::Avalanche], &Instant::default());
        // The clock may tick between two readings, and an instant may pass; 60 s hold no more than one.
        let wide = |ends: &[u64]| ends.windows(2).filter(|w| w[1] - w[0] > 20).count();
        assert!(wide(&together) <= 1, "{together:?}");
        let (off, truth) = armed(&[]);
        let spread = ends(&off[FaultKind::Avalanche], &Instant::default());
        assert!(wide(&spread) >= 40, "{spread:?}");
        assert_eq!(truth.told(), [""; 0]);
    }

    #[test]
    fn it_has_begun_when_the_first_instant_at_which_many_expire_is_over() {
        let (on, truth) = armed(&[(FaultKind::Avalanche, &[])]);
        let (switch, instant) = (&on[FaultKind::Avalanche], Instant::default());
        let now = unix_ms();
        instant.kept_until(now - 3, TOGETHER - 1, switch);
        instant.kept_until(now - 2, TOGETHER - 1, switch);
        instant.kept_until(now - 2, 1, switch);
        instant.kept_until(now + 60_000, 1, switch);
        instant.kept_until(now + 60_000, 100, switch);
        assert_eq!(truth.told(), ["armed", "onset"]);
    }
}
