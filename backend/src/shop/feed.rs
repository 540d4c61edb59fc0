//! The live feed: who listens, to which products, and the one ticker that serves them all.
//!
//! A listener costs its place in a list and a queue that is empty while nothing is under way. Each is served once in
//! ten seconds; the work is spread over the ticks, so that thousands of them never make one long one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use timeline::clock::unix_ms;
use tokio::sync::Notify;

use crate::store::{Database, Row, StoreError};

/// From tick to tick of the feed.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a round: each listener is served once a round, every ten seconds.
const ROUND: usize = 100;
/// Messages that wait for one listener; one that is this far behind is dropped.
const QUEUE: usize = 32;
/// Products that one listener may watch.
pub const MAX_WATCHED: usize = 8;
/// A price moves by at most this share at a time, in thousandths.
const MOVE_PER_MILLE: i64 = 5;
const SEED: u64 = 7;

/// All listeners of this worker.
pub struct Feed {
    listeners: Mutex<Listeners>,
}

struct Listeners {
    /// By the tick of the round in which they are served.
    slots: Vec<Vec<Arc<Listener>>>,
    joined: usize,
    closing: bool,
}

/// One WebSocket, as the feed sees it.
#[derive(Default)]
pub struct Listener {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    watched: Vec<u32>,
    queue: VecDeque<Utf8Bytes>,
    end: Option<End>,
}

/// Why the feed lets a listener go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It does not read what is sent.
    TooSlow,
    /// The worker ends.
    Closing,
}

/// What the feed has for a listener.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// A message to send.
    Message(Utf8Bytes),
    /// It is to be closed.
    End(End),
}

/// A listener's place in the feed; dropping it gives the place up.
pub struct Membership {
    feed: Arc<Feed>,
    slot: usize,
    listener: Arc<Listener>,
}

impl Default for Feed {
    fn default() -> Self {
        let slots = (0..ROUND).map(|_| Vec::new()).collect();
        Self { listeners: Mutex::new(Listeners { slots, joined: 0, closing: false }) }
    }
}

impl Feed {
    /// A new listener, which watches nothing yet.
    pub fn join(self: &Arc<Self>) -> Membership {
        let listener = Arc::new(Listener::default());
        let mut all = self.lock();
        let slot = all.joined % ROUND;
        all.joined += 1;
        if all.closing {
            listener.end(End::Closing);
        }
        all.slots[slot].push(listener.clone());
        Membership { feed: self.clone(), slot, listener }
    }

    /// Lets all listeners go, and those that come later.
    pub fn close(&self) {
        let mut all = self.lock();
        all.closing = true;
        all.slots.iter().flatten().for_each(|l| l.end(End::Closing));
    }

    /// Tells all of this worker's who watch `product`, at once, what it costs from now on.
    pub fn announce(&self, product: u32, cents: u32) {
        let message = PriceMessage { op: "price", product, cents: cents.into(), at: unix_ms() };
        let Ok(text) = serde_json::to_string(&message).map(Utf8Bytes::from) else { return };
        for listener in self.lock().slots.iter().flatten() {
            listener.push(|watched| (watched == product).then(|| text.clone()));
        }
    }

    /// Serves listeners until it is dropped, with prices around those of the catalogue, which is read anew each round.
    ///
    /// # Errors
    /// When the catalogue cannot be read at first.
    pub async fn run(&self, database: &Database) -> Result<(), StoreError> {
        let listed = listed_prices(database).await?;
        let mut prices = Prices { listed, random: Pcg64Mcg::seed_from_u64(SEED) };
        let mut ticks = tokio::time::interval(TICK);
        // A tick that comes late is late for its listeners alone.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in (0..ROUND).cycle() {
            ticks.tick().await;
            if tick == ROUND - 1
                && let Ok(listed) = listed_prices(database).await
            {
                prices.listed = listed;
            }
            self.serve(tick, &mut prices);
        }
        unreachable!("the cycle of a range that is not empty does not end")
    }

    fn serve(&self, tick: usize, prices: &mut Prices) {
        for listener in &self.lock().slots[tick] {
            listener.push(|product| prices.message(product));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Queues a message for each product watched. One whose queue is full is let go: it does not read.
    fn push(&self, mut message: impl FnMut(u32) -> Option<Utf8Bytes>) {
        let mut state = self.lock();
        let State { watched, queue, end } = &mut *state;
        for text in watched.iter().filter_map(|p| message(*p)) {
            if queue.len() == QUEUE {
                *end = Some(End::TooSlow);
                break;
            }
            queue.push_back(text);
        }
        let news = !queue.is_empty() || end.is_some();
        drop(state);
        if news {
            self.wake.notify_one();
        }
    }

    fn end(&self, end: End) {
        self.lock().end = Some(end);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Watches `product` too. Says whether there was room for it.
    pub fn watch(&self, product: u32) -> bool {
        let watched = &mut self.listener.lock().watched;
        if !watched.contains(&product) {
            if watched.len() == MAX_WATCHED {
                return false;
            }
            watched.push(product);
        }
        true
    }

    /// Waits until there may be news. Dropping it loses nothing.
    pub async fn woken(&self) {
        self.listener.wake.notified().await;
    }

    /// The next news, if any. An emptied queue keeps no memory.
    pub fn news(&self) -> Option<News> {
        let mut state = self.listener.lock();
        if let Some(end) = state.end {
            return Some(News::End(end));
        }
        let message = state.queue.pop_front();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        message.map(News::Message)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.feed.lock().slots[self.slot].retain(|l| !Arc::ptr_eq(l, &self.listener));
    }
}

/// Prices of the moment.
struct Prices {
    /// By product number less one.
    listed: Vec<u32>,
    random: Pcg64Mcg,
}

#[derive(Serialize)]
struct PriceMessage {
    op: &'static str,
    product: u32,
    cents: i64,
    /// Milliseconds since the Unix epoch.
    at: u64,
}

impl Prices {
    /// None when there is no such product.
    fn message(&mut self, product: u32) -> Option<Utf8Bytes> {
        let listed = i64::from(*self.listed.get(product.checked_sub(1)? as usize)?);
        let moved = listed * self.random.random_range(-MOVE_PER_MILLE..=MOVE_PER_MILLE) / 1_000;
        let message = PriceMessage { op: "price", product, cents: listed + moved, at: unix_ms() };
        serde_json::to_string(&message).ok().map(Utf8Bytes::from)
    }
}

async fn listed_prices(database: &Database) -> Result<Vec<u32>, StoreError> {
    let rows = database.rows("SELECT cents FROM price ORDER BY product", Vec::new()).await?;
    rows.iter().map(|row: &Row| row.get(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices { listed: vec![100, 10_000], random: Pcg64Mcg::seed_from_u64(SEED) }
    }

    #[test]
    fn a_listener_gets_what_it_watches_once_a_round_and_leaves_no_trace() {
        let feed = Arc::new(Feed::default());
        let (watcher, idler) = (feed.join(), feed.join());
        assert!(watcher.watch(2) && watcher.watch(2) && watcher.watch(99));
        (0..ROUND).for_each(|tick| feed.serve(tick, &mut prices()));
        let Some(News::Message(text)) = watcher.news() else { panic!("a price") };
        assert!(text.contains("\"op\":\"price\",\"product\":2"), "{text}");
        assert_eq!((watcher.news(), idler.news()), (None, None));
        drop((watcher, idler));
        assert!(feed.lock().slots.iter().all(Vec::is_empty));
    }

    #[test]
    fn one_that_does_not_read_is_let_go_and_its_queue_is_bounded() {
        let feed = Arc::new(Feed::default());
        let slow = feed.join();
        slow.watch(1);
        (0..ROUND * (QUEUE + 5)).for_each(|n| feed.serve(n % ROUND, &mut prices()));
        assert_eq!(slow.listener.lock().queue.len(), QUEUE);
        assert_eq!(slow.news(), Some(News::End(End::TooSlow)));
    }

    #[test]
    fn a_change_reaches_all_who_watch_the_product_and_nobody_else() {
        let feed = Arc::new(Feed::default());
        let members: Vec<Membership> = (0..5).map(|_| feed.join()).collect();
        members[..3].iter().for_each(|m| assert!(m.watch(2)));
        members[3].watch(1);
        feed.announce(2, 777);
        for member in &members[..3] {
            assert!(matches!(member.news(), Some(News::Message(text)) if text.contains("\"cents\":777")));
        }
        assert_eq!((members[3].news(), members[4].news()), (None, None));
    }

    #[test]
    fn closing_reaches_those_who_come_later_too() {
        let feed = Arc::new(Feed::default());
        let before = feed.join();
        feed.close();
        let after = feed.join();
        assert_eq!(before.news(), Some(News::End(End::Closing)));
        assert_eq!(after.news(), Some(News::End(End::Closing)));
    }
}
