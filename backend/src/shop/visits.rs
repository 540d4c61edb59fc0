//! `GET /visits`: where a session has been. Each session's last visits, in memory that has generations.
//!
//! Owns the form of a record and which sessions have one. Where records lie is `region`'s business; when the old
//! generation is compacted, and under which lock, is the choice between the fault `stop-the-world` and its cure.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use agent::{Agent, Count, Gauge};
use axum::Json;
use axum::extract::State;
use lru::LruCache;
use serde::Serialize;
use timeline::Unit;

use super::Shop;
use super::sessions::{LoggedIn, SessionId};
use crate::region::Generations;
use crate::store::now_ms;

/// Visits remembered of a session.
const REMEMBERED: usize = 24;
/// Longest path that is remembered whole, bytes; its length is written as one byte.
const MAX_PATH: usize = 60;
/// The young region is collected when it holds this much: about a thousand records, which takes some hundred
/// microseconds.
const YOUNG_BYTES: usize = 1 << 20;
/// Earlier sessions that are put in place while the lock is held once, and the rest after it. Whoever gives back a lock and asks for it at once
/// mostly has it again, and the event loop stood still for hundreds of milliseconds.
const BATCH: u32 = 512;
const REST: Duration = Duration::from_millis(1);

/// The visits of all sessions that this worker knows.
pub struct Visits {
    kept: Mutex<Kept>,
    young: Gauge,
    old: Gauge,
    garbage: Gauge,
    promoted: Count,
    /// Bytes promoted of which the agent knows. Changed under the lock alone.
    told: AtomicU64,
}

/// What is behind the lock.
pub struct Kept {
    /// The records.
    pub records: Generations<SessionId>,
    /// Sessions in order of use; the one used longest ago loses its record when there are too many.
    used: LruCache<SessionId, ()>,
    /// Earlier sessions beside them: the fault's.
    earlier: u32,
}

impl Visits {
    /// Of at most `capacity` sessions.
    pub fn new(agent: &Agent, capacity: usize) -> Self {
        let used = LruCache::new(NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN));
        let gauge = |name| agent.gauge(name, Unit::Bytes);
        Self {
            kept: Mutex::new(Kept { records: Generations::new(YOUNG_BYTES), used, earlier: 0 }),
            young: gauge("heap.visits.young"),
            old: gauge("heap.visits.old"),
            garbage: gauge("heap.visits.garbage"),
            promoted: agent.count("heap.visits.promoted", Unit::BytesPerSecond),
            told: AtomicU64::new(0),
        }
    }

    /// Session `id` visits `path` now.
    pub fn visited(&self, id: SessionId, path: &str) {
        let mut kept = self.lock();
        kept.visited(id, now_ms() as u64, path);
        self.show(&kept);
    }

    /// The visits of session `id`, the last one first.
    fn of(&self, id: SessionId) -> Vec<Visit> {
        let kept = self.lock();
        let mut visits: Vec<_> = kept.records.get(id).into_iter().flat_map(visits).collect();
        visits.reverse();
        visits
    }

    /// Puts `count` earlier sessions in place, as if they had come and gone, while `go_on` says so. Blocks for as long as
    /// that takes, but never holds the lock for long.
    pub fn recall(&self, count: u32, go_on: impl Fn() -> bool) {
        let mut record = Vec::new();
        for path in ["/orders", "/cart", "/checkout", "/orders"] {
            append(&mut record, now_ms() as u64, path);
        }
        for first in (0..count).step_by(BATCH as usize) {
            let mut kept = self.lock();
            if !go_on() {
                return;
            }
            for n in first..(first + BATCH).min(count) {
                kept.records.put(earlier(n), &record);
            }
            kept.earlier = kept.earlier.max(first + BATCH);
            self.show(&kept);
            drop(kept);
            thread::sleep(REST);
        }
    }

    /// Forgets the earlier sessions again, as gently, while `go_on` says so.
    pub fn forget(&self, go_on: impl Fn() -> bool) {
        loop {
            let mut kept = self.lock();
            if !go_on() {
                return;
            }
            let rest = kept.earlier.saturating_sub(BATCH);
            for n in rest..kept.earlier {
                kept.records.remove(earlier(n));
            }
            kept.earlier = rest;
            self.show(&kept);
            if rest == 0 {
                return;
            }
            drop(kept);
            thread::sleep(REST);
        }
    }

    /// All of it, for whoever compacts it.
    pub fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the agent how much lies where, and how much has become old since it was told last.
    pub fn show(&self, kept: &Kept) {
        let figures = kept.records.figures();
        // First, so that no tick tells of old bytes that nobody has promoted.
        self.promoted.add(figures.promoted - self.told.swap(figures.promoted, Ordering::Relaxed));
        self.young.set(figures.young as f64);
        self.old.set(figures.old as f64);
        self.garbage.set(figures.old_garbage as f64);
    }
}

impl Kept {
    fn visited(&mut self, id: SessionId, at_ms: u64, path: &str) {
        let before = self.records.get(id).unwrap_or_default();
        let kept = visits(before).count().saturating_sub(REMEMBERED - 1);
        let skip: usize = visits(before).take(kept).map(|v| HEAD + v.path.len()).sum();
        let mut record = before[skip..].to_vec();
        append(&mut record, at_ms, path);
        self.records.put(id, &record);
        if let Some((gone, ())) = self.used.push(id, ())
            && gone != id
        {
            self.records.remove(gone);
        }
    }
}

/// The key of the `n`th earlier session. Real ones are random, so they never meet.
fn earlier(n: u32) -> SessionId {
    SessionId(u128::from(n))
}

/// Bytes before the path of a visit: when it was, and the path's length.
const HEAD: usize = 9;

fn append(record: &mut Vec<u8>, at_ms: u64, path: &str) {
    let path = &path[..path.floor_char_boundary(MAX_PATH)];
    record.extend(at_ms.to_be_bytes());
    record.push(path.len() as u8);
    record.extend(path.as_bytes());
}

/// The visits of a record, the first one first.
fn visits(mut record: &[u8]) -> impl Iterator<Item = Visit> {
    std::iter::from_fn(move || {
        let (head, rest) = record.split_first_chunk::<HEAD>()?;
        let (at, length) = head.split_last_chunk::<1>()?;
        let (path, rest) = rest.split_at_checked(usize::from(length[0]))?;
        record = rest;
        let at_ms = u64::from_be_bytes(at.try_into().ok()?);
        Some(Visit { at_ms, path: String::from_utf8_lossy(path).into_owned() })
    })
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Visit {
    at_ms: u64,
    path: String,
}

#[derive(Serialize)]
pub struct Shown {
    visits: Vec<Visit>,
}

pub async fn list(State(shop): State<Arc<Shop>>, LoggedIn(session): LoggedIn) -> Json<Shown> {
    Json(Shown { visits: shop.visits.of(session.id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(capacity: usize) -> Kept {
        Kept {
            records: Generations::new(4_000),
            used: LruCache::new(NonZeroUsize::new(capacity).unwrap()),
            earlier: 0,
        }
    }

    #[test]
    fn the_last_visits_are_remembered_and_long_paths_cut() {
        let mut kept = kept(10);
        let id = SessionId(5);
        for n in 0..100 {
            kept.visited(id, n, &format!("/products/{n}"));
            kept.visited(SessionId(6), n, "/");
        }
        kept.visited(id, 100, &"\u{e9}".repeat(100));
        let seen: Vec<_> = visits(kept.records.get(id).unwrap()).collect();
        assert_eq!(seen.len(), REMEMBERED);
        assert_eq!(seen[0], Visit { at_ms: 77, path: "/products/77".to_owned() });
        assert_eq!(seen[23].path, "\u{e9}".repeat(30));
        assert_eq!(visits(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn sessions_beyond_the_bound_lose_their_record() {
        let mut kept = kept(3);
        for n in 0..10 {
            kept.visited(SessionId(n), 0, "/");
            kept.visited(SessionId(0), 0, "/");
        }
        assert_eq!(kept.records.figures().records, 3);
        assert!([0, 8, 9].iter().all(|n| kept.records.get(SessionId(*n)).is_some()));
    }
}
