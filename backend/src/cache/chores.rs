//! Work on all of the cache at once, one chore after the other, beside the requests.

use timeline::fault::FaultKind;
use tokio::sync::mpsc;

use crate::faults::cold_cache;
use crate::say::say;
use crate::shop::product_cache::ProductCache;

/// Chores that wait; orders of faults give one at a time.
const QUEUE: usize = 16;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// All entries that are there expire at this time, milliseconds since the Unix epoch.
    ExpireAt(u64),
    /// Those that are there expire each at a time of its own.
    Spread,
    /// At most so many entries may be there; `None` is the planned number.
    Bound(Option<u64>),
    /// What is wanted most is loaded before somebody wants it.
    Warm,
}

/// Where chores are given.
pub struct Chores {
    queue: mpsc::Sender<Chore>,
}

impl Chores {
    /// And where they are taken.
    pub fn new() -> (Self, mpsc::Receiver<Chore>) {
        let (queue, given) = mpsc::channel(QUEUE);
        (Self { queue }, given)
    }

    /// Leaves a chore to whoever keeps the cache. When too many wait it is not done, which is said.
    pub fn give(&self, chore: Chore) {
        if self.queue.try_send(chore).is_err() {
            say(format_args!("shop: the cache has too much to do: {chore:?} is left out"));
        }
    }
}

/// Does chores until nobody can give any. Dropping it leaves one half done.
pub async fn keep(cache: &ProductCache, mut given: mpsc::Receiver<Chore>) {
    while let Some(chore) = given.recv().await {
        match chore {
            Chore::ExpireAt(at_ms) => cache.expire_at(at_ms).await,
            Chore::Spread => cache.spread().await,
            Chore::Bound(capacity) => cache.bound(capacity).await,
            Chore::Warm if cache.faults[FaultKind::ColdCache].is_on() => {}
            Chore::Warm => cold_cache::warm(cache, cold_cache::AT_ONCE).await,
        }
    }
}
