//! Refreshes of cache keys: which loads belong together.
//!
//! Owns one rule. While a load of a key is in flight, further loads of it belong to the same refresh; it
//! is closed when the last of them ends, and after [`LONGEST`] at the latest, so that a stampede is seen
//! while it lasts. Loads still in flight then belong to the next refresh too: they ran in its span.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;

use timeline::event::{LABEL_MAX, kinds};
use timeline::probe::{MAX_EVENTS, ProbeEvent};
use timeline::text::clean;

use crate::top::Top;

/// Longest stretch that is told as one refresh, ns: detection within a few seconds needs the first news after one.
const LONGEST: u64 = 1_000_000_000;
/// Most keys that may be loading at once in one cache; the loads of more are counted, without their key.
const MOST_KEYS: usize = 4096;

/// A key's name inside the book: its hash, since texts are cut and must still be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(u64);

/// How a load began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The only one of its key.
    First(KeyHash),
    /// Another one of its key was in flight.
    Duplicate(KeyHash),
    /// Too many keys are loading; it belongs to no refresh.
    Untracked,
}

#[derive(Debug)]
struct Refresh {
    key: String,
    start: u64,
    loads: u64,
    in_flight: u64,
}

#[derive(Debug)]
struct Closed {
    key: String,
    start: u64,
    end: u64,
    loads: u64,
}

/// Refreshes of one cache.
#[derive(Debug)]
pub(crate) struct Book {
    hasher: RandomState,
    open: HashMap<KeyHash, Refresh>,
    closed: Top<Closed>,
}

impl Default for Book {
    fn default() -> Self {
        Self { hasher: RandomState::new(), open: HashMap::new(), closed: Top::new(MAX_EVENTS) }
    }
}

impl Book {
    /// A load of `key` begins at `now`.
    pub(crate) fn begin(&mut self, key: &str, now: u64) -> Begun {
        let hash = KeyHash(self.hasher.hash_one(key));
        if let Some(refresh) = self.open.get_mut(&hash) {
            if now.saturating_sub(refresh.start) >= LONGEST {
                close(&mut self.closed, refresh, now);
            }
            refresh.loads += 1;
            refresh.in_flight += 1;
            return Begun::Duplicate(hash);
        }
        if self.open.len() >= MOST_KEYS {
            self.closed.count(1);
            return Begun::Untracked;
        }
        self.open.insert(hash, Refresh { key: clean(key, LABEL_MAX), start: now, loads: 1, in_flight: 1 });
        Begun::First(hash)
    }

    /// A load of the key ended at `now`.
    pub(crate) fn end(&mut self, hash: KeyHash, now: u64) {
        let Some(refresh) = self.open.get_mut(&hash) else {
            return;
        };
        refresh.in_flight -= 1;
        if refresh.in_flight == 0 {
            close(&mut self.closed, refresh, now);
            self.open.remove(&hash);
        }
    }

    /// Refreshes of the cache `name` closed since the last call, those open too long among them; how many besides.
    pub(crate) fn take(&mut self, name: &str, now: u64) -> (Vec<ProbeEvent>, u64) {
        for refresh in self.open.values_mut().filter(|r| now.saturating_sub(r.start) >= LONGEST) {
            close(&mut self.closed, refresh, now);
        }
        let (closed, others) = self.closed.take();
        (closed.into_iter().map(|c| event(name, c)).collect(), others)
    }
}

/// Tells what the refresh was, and begins the next one with the loads that are still in flight.
fn close(closed: &mut Top<Closed>, refresh: &mut Refresh, now: u64) {
    let (start, loads) = (refresh.start, refresh.loads);
    closed.offer(loads as f64, || Closed { key: refresh.key.clone(), start, end: now, loads });
    refresh.start = now;
    refresh.loads = refresh.in_flight;
}

fn event(cache: &str, closed: Closed) -> ProbeEvent {
    ProbeEvent {
        kind: kinds::CACHE_REFRESH.to_owned(),
        start: closed.start,
        end: closed.end,
        labels: vec![("cache".to_owned(), cache.to_owned()), ("key".to_owned(), closed.key)],
        value: closed.loads as f64,
        others: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn hash(begun: Begun) -> KeyHash {
        match begun {
            Begun::First(h) | Begun::Duplicate(h) => h,
            Begun::Untracked => panic!("tracked"),
        }
    }

    fn told(book: &mut Book, now: u64) -> Vec<(u64, u64, f64)> {
        let (events, _) = book.take("products", now);
        events.iter().map(|e| (e.start / MS, e.end / MS, e.value)).collect()
    }

    #[test]
    fn overlapping_loads_of_a_key_are_one_refresh() {
        let mut book = Book::default();
        let a = book.begin("hot", 0);
        assert!(matches!(a, Begun::First(_)));
        let b = book.begin("hot", 10 * MS);
        assert!(matches!(b, Begun::Duplicate(_)));
        let c = hash(book.begin("cold", 10 * MS));
        book.end(hash(a), 20 * MS);
        assert_eq!(told(&mut book, 21 * MS), []);
        book.end(hash(b), 30 * MS);
        book.end(c, 40 * MS);
        assert_eq!(told(&mut book, 50 * MS), [(0, 30, 2.0), (10, 40, 1.0)]);
        // The next load is a new refresh.
        let d = hash(book.begin("hot", 60 * MS));
        book.end(d, 70 * MS);
        assert_eq!(told(&mut book, 80 * MS), [(60, 70, 1.0)]);
    }

    #[test]
    fn a_refresh_is_told_after_a_second_at_the_latest() {
        let mut book = Book::default();
        let loads: Vec<KeyHash> = (0..5).map(|n| hash(book.begin("hot", n * MS))).collect();
        assert_eq!(told(&mut book, 999 * MS), []);
        assert_eq!(told(&mut book, 1_000 * MS), [(0, 1_000, 5.0)]);
        let late = hash(book.begin("hot", 1_500 * MS));
        for h in loads {
            book.end(h, 1_600 * MS);
        }
        book.end(late, 1_700 * MS);
        assert_eq!(told(&mut book, 1_800 * MS), [(1_000, 1_700, 6.0)]);
    }

    #[test]
    fn keys_are_cleaned_cut_and_bounded() {
        let mut book = Book::default();
        let long = "k".repeat(200);
        let (a, b) =
            (hash(book.begin(&format!("{long}1"), 0)), hash(book.begin(&format!("{long}2\u{1b}"), 0)));
        assert_ne!(a, b, "cut alike, still told apart");
        for n in 0..MOST_KEYS {
            let _ = book.begin(&n.to_string(), 0);
        }
        assert_eq!(book.begin("one too many", 0), Begun::Untracked);
        book.end(a, MS);
        let (events, others) = book.take("products", 2 * MS);
        assert_eq!(others, 3);
        assert_eq!(events[0].labels[1].1.chars().count(), LABEL_MAX);
    }
}
