//! Single flight: of all who want the same thing at once, one works and the others wait for its result.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Work under way, by key.
pub struct Flights<K, V> {
    by_key: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { by_key: Mutex::default() }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Flights<K, V> {
    /// The result of `work`, or of the same work that somebody else has begun. When the one that works is dropped (its
    /// client hung up), one of those who wait works in its place.
    pub async fn run(&self, key: K, work: impl Future<Output = V>) -> V {
        let cell = self.lock().entry(key).or_default().clone();
        let _leaving = Leaving { all: self, key, cell: &cell };
        let worked = async {
            let value = work.await;
            // Who comes from now on finds it in the cache.
            self.forget(key, &cell);
            value
        };
        cell.get_or_init(|| worked).await.clone()
    }

    fn forget(&self, key: K, cell: &Arc<OnceCell<V>>) {
        let mut by_key = self.lock();
        if by_key.get(&key).is_some_and(|other| Arc::ptr_eq(other, cell)) {
            by_key.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last one out forgets the key, also when all of them were dropped.
struct Leaving<'a, K: Copy + Eq + Hash, V: Clone> {
    all: &'a Flights<K, V>,
    key: K,
    cell: &'a Arc<OnceCell<V>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Drop for Leaving<'_, K, V> {
    fn drop(&mut self) {
        // Ours, and the map's.
        if Arc::strong_count(self.cell) <= 2 {
            self.all.forget(self.key, self.cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;
    use tokio::task::{JoinSet, yield_now};

    /// What the tasks of a test share. The one thing that they want is done when there is a permit.
    struct Shared {
        flights: Flights<u32, u32>,
        done: AtomicU32,
        permits: Semaphore,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            let (flights, done, permits) = (Flights::default(), AtomicU32::new(0), Semaphore::new(0));
            Arc::new(Self { flights, done, permits })
        }

        /// How often it was done before.
        async fn run(self: Arc<Self>) -> u32 {
            let work = async {
                self.permits.acquire().await.unwrap().forget();
                self.done.fetch_add(1, Ordering::Relaxed)
            };
            self.flights.run(7, work).await
        }

        async fn wanted_by(&self, tasks: usize) {
            // One more is the map's.
            while self.flights.lock().get(&7).map_or(0, Arc::strong_count) <= tasks {
                yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn of_many_one_works_and_all_have_its_result() {
        let shared = Shared::new();
        let mut all = JoinSet::new();
        for _ in 0..50 {
            all.spawn(shared.clone().run());
        }
        shared.wanted_by(50).await;
        shared.permits.add_permits(100);
        assert!(all.join_all().await.iter().all(|v| *v == 0));
        assert_eq!(shared.clone().run().await, 1, "what is over is done again");
        assert!(shared.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn when_the_one_that_works_is_gone_another_takes_over() {
        let shared = Shared::new();
        let mut first = JoinSet::new();
        first.spawn(shared.clone().run());
        shared.wanted_by(1).await;
        let mut second = JoinSet::new();
        second.spawn(shared.clone().run());
        shared.wanted_by(2).await;
        first.shutdown().await;
        shared.permits.add_permits(1);
        assert_eq!(second.join_next().await.unwrap().unwrap(), 0);
        let mut nobody = JoinSet::new();
        nobody.spawn(shared.clone().run());
        shared.wanted_by(1).await;
        nobody.shutdown().await;
        assert!(shared.flights.lock().is_empty());
    }
}
