//! Counters: what a server has counted since it began, and what came since it was last asked.
//!
//! Owns the figures as they were, and over what time growth is told where a question and its answer lie apart. What they count is the source's to
//! know.

use std::collections::HashMap;
use std::hash::Hash;

use timeline::MonoNs;

/// Counters as they were when they were last read.
pub(super) struct Counters<K>(HashMap<K, f64>);

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counters<K> {
    /// What has come to `key` since it was last read; none the first time. A server that was started again, or whose figures
    /// somebody has set back, counts from zero.
    pub fn grown(&mut self, key: K, value: f64) -> Option<f64> {
        let before = self.0.insert(key, value)?;
        Some(if value >= before { value - before } else { value })
    }

    /// Forgets what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

/// `grown` a second, of what was there `now`, where the question before was sent at `asked`: all of it came after that, however late the server or
/// we have been. Over less time it would be told as more than it was.
pub(super) fn pace(grown: f64, asked: MonoNs, now: MonoNs) -> f64 {
    grown / now.since(asked).as_secs_f64().max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn the_first_reading_tells_nothing_and_a_restart_counts_from_zero() {
        let mut counters = Counters::default();
        let told: Vec<_> = [5.0, 7.0, 7.0, 2.0].map(|v| counters.grown("a", v)).into();
        assert_eq!(told, [None, Some(2.0), Some(0.0), Some(2.0)]);
    }
}
