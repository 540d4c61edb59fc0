//! Leak, and its cure: where sessions are kept in memory.
//!
//! The fault puts every session that logs in into a map from which nothing is ever removed, each with its
//! rendered pages. The cure is a bounded map that drops the session used longest ago: nothing is
//! lost, since sessions live in the database, and the map only saves reading them again.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use timeline::fault::FaultKind;

use super::Lever;
use crate::shop::sessions::{Session, SessionId};

/// Log-ins go to the other map.
pub const LEVER: Lever = Lever::new(
    FaultKind::Leak,
    |shop, order| shop.sessions.leak(order),
    |shop| shop.sessions.forget_leaked(),
);

/// The cure.
pub struct BoundedSessions {
    map: LruCache<SessionId, Arc<Session>>,
}

impl BoundedSessions {
    /// For `capacity` sessions, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { map: LruCache::new(NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN)) }
    }

    /// Keeps `session`; the one used longest ago goes when the map is full.
    pub fn put(&mut self, session: Arc<Session>) {
        self.map.put(session.id, session);
    }

    /// The session, which counts as use.
    pub fn get(&mut self, id: SessionId) -> Option<Arc<Session>> {
        self.map.get(&id).cloned()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

/// The fault.
#[derive(Default)]
pub struct EverlastingSessions {
    map: HashMap<SessionId, Remembered>,
}

/// A session and all that the shop once rendered for it.
struct Remembered {
    session: Arc<Session>,
    /// Written to in full, so that it is resident. Nobody reads it again, which is what makes it a leak.
    _pages: Vec<u8>,
}

impl EverlastingSessions {
    /// Keeps `session` for ever, with `bytes` of pages rendered for it.
    pub fn put(&mut self, session: Arc<Session>, bytes: usize) {
        let pages = render(&session, bytes);
        self.map.insert(session.id, Remembered { session, _pages: pages });
    }

    /// The session.
    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.map.get(&id).map(|r| r.session.clone())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Bytes of the pages kept.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.map.values().map(|r| r._pages.len()).sum()
    }
}

/// Greets the customer until the page is `bytes` long.
fn render(session: &Session, bytes: usize) -> Vec<u8> {
    let greeting =
        format!("<p>Welcome back, customer {}. Here is what we have for you today.</p>\n", session.customer);
    greeting.bytes().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u128) -> Arc<Session> {
        Arc::new(Session { id: SessionId(n), customer: 1 })
    }

    #[test]
    fn the_cure_stays_within_its_bound_and_the_fault_does_not() {
        let (mut cure, mut fault) = (BoundedSessions::new(3), EverlastingSessions::default());
        for n in 0..10 {
            cure.put(session(n));
            fault.put(session(n), 1_000);
        }
        assert_eq!((cure.len(), fault.len(), fault.bytes()), (3, 10, 10_000));
        assert!(cure.get(SessionId(0)).is_none() && cure.get(SessionId(9)).is_some());
        assert!(fault.get(SessionId(0)).is_some());
    }
}
