//! The live feed: who listens, to which products, and the one ticker that serves them all.
//!
//! A listener costs its place in a list and a queue that is empty while nothing is under way. Each is served once in
//! ten seconds; the work is spread over the ticks, so that thousands of them never make one long one. A few who follow all
//! prices are served at every tick. What may wait for one is the choice between the fault `slow-consumer` and its cure.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::{Agent, Gauge};
use axum::extract::ws::Utf8Bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use timeline::Unit;
use timeline::clock::unix_ms;
use timeline::lane::names;
use tokio::sync::Notify;

use crate::faults::{Faults, slow_consumer};
use crate::store::{Database, Row, StoreError};

/// From tick to tick of the feed.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a round: each listener is served once a round, every ten seconds.
const ROUND: usize = 100;
/// Products that one listener may watch.
pub const MAX_WATCHED: usize = 8;
/// A price moves by at most this share at a time, in thousandths.
const MOVE_PER_MILLE: i64 = 5;
const SEED: u64 = 7;

/// All listeners of this worker.
pub struct Feed {
    listeners: Mutex<Listeners>,
    /// Bytes that wait for all of them.
    waiting: AtomicUsize,
    faults: Arc<Faults>,
}

struct Listeners {
    /// By the tick of the round in which they are served.
    slots: Vec<Vec<Arc<Listener>>>,
    /// Those among them who follow all prices.
    followers: Vec<Arc<Listener>>,
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
    /// In the queue.
    bytes: usize,
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

impl Feed {
    /// To which nobody listens yet.
    pub fn new(faults: Arc<Faults>) -> Self {
        let slots = (0..ROUND).map(|_| Vec::new()).collect();
        let listeners = Listeners { slots, followers: Vec::new(), joined: 0, closing: false };
        Self { listeners: Mutex::new(listeners), waiting: AtomicUsize::new(0), faults }
    }

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
            self.push(listener, |watched| (watched == product).then(|| text.clone()));
        }
    }

    /// Lets those go for whom more waits than is usual.
    pub fn let_slow_ones_go(&self) {
        for listener in self.lock().slots.iter().flatten() {
            let waiting = listener.lock().queue.len();
            if waiting > slow_consumer::QUEUE {
                listener.end(End::TooSlow);
            }
        }
    }

    /// Serves listeners until it is dropped, with prices around those of the catalogue, which is read anew each round.
    ///
    /// # Errors
    /// When the catalogue cannot be read at first.
    pub async fn run(&self, database: &Database, agent: &Agent) -> Result<(), StoreError> {
        let listed = listed_prices(database).await?;
        let mut prices = Prices { listed, random: Pcg64Mcg::seed_from_u64(SEED) };
        let meters = Meters::new(agent);
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
            meters.read(self);
            self.serve(tick, &mut prices);
        }
        unreachable!("the cycle of a range that is not empty does not end")
    }

    fn serve(&self, tick: usize, prices: &mut Prices) {
        let all = self.lock();
        for listener in &all.slots[tick] {
            self.push(listener, |product| prices.message(product));
        }
        for listener in &all.followers {
            self.queue(&mut listener.lock(), prices.board());
            listener.wake.notify_one();
        }
    }

    /// Queues a message for each product that `listener` watches.
    fn push(&self, listener: &Listener, mut message: impl FnMut(u32) -> Option<Utf8Bytes>) {
        let mut state = listener.lock();
        let messages: Vec<_> = state.watched.iter().filter_map(|p| message(*p)).collect();
        messages.into_iter().for_each(|text| self.queue(&mut state, text));
        let news = !state.queue.is_empty() || state.end.is_some();
        drop(state);
        if news {
            listener.wake.notify_one();
        }
    }

    /// Queues a message, or lets the listener go: it does not read.
    fn queue(&self, state: &mut State, text: Utf8Bytes) {
        if state.end.is_some() {
            return;
        }
        if !slow_consumer::may_wait(&self.faults, state.queue.len()) {
            state.end = Some(End::TooSlow);
            return;
        }
        state.bytes += text.len();
        self.waiting.fetch_add(text.len(), Ordering::Relaxed);
        state.queue.push_back(text);
    }

    /// Bytes that wait for all listeners, and for the one that is furthest behind.
    fn waiting(&self) -> (usize, usize) {
        match self.waiting.load(Ordering::Relaxed) {
            0 => (0, 0),
            all => (all, self.lock().slots.iter().flatten().map(|l| l.lock().bytes).max().unwrap_or(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
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

    /// Follows all prices from now on.
    pub fn follow(&self) {
        let followers = &mut self.feed.lock().followers;
        if !followers.iter().any(|f| Arc::ptr_eq(f, &self.listener)) {
            followers.push(self.listener.clone());
        }
    }

    /// Waits until there may be news. Dropping it loses nothing.
    pub async fn woken(&self) {
        self.listener.wake.notified().await;
    }

    /// Waits until it is to be let go for being too slow. Takes the wake-ups of news that come meanwhile.
    pub async fn fell_behind(&self) {
        while self.listener.lock().end != Some(End::TooSlow) {
            self.woken().await;
        }
    }

    /// The next news, if any. An emptied queue keeps no memory.
    pub fn news(&self) -> Option<News> {
        let mut state = self.listener.lock();
        if let Some(end) = state.end {
            return Some(News::End(end));
        }
        let message = state.queue.pop_front();
        let bytes = message.as_ref().map_or(0, |text| text.len());
        state.bytes -= bytes;
        self.feed.waiting.fetch_sub(bytes, Ordering::Relaxed);
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        message.map(News::Message)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut all = self.feed.lock();
        all.slots[self.slot].retain(|l| !Arc::ptr_eq(l, &self.listener));
        all.followers.retain(|l| !Arc::ptr_eq(l, &self.listener));
        // Nobody queues anything for it any more.
        self.feed.waiting.fetch_sub(self.listener.lock().bytes, Ordering::Relaxed);
    }
}

/// What waits, for people who look on.
struct Meters {
    waiting: Gauge,
    longest: Gauge,
}

impl Meters {
    fn new(agent: &Agent) -> Self {
        Self {
            waiting: agent.gauge(names::SERVER_SEND_QUEUE, Unit::Bytes),
            longest: agent.gauge_of_worst(names::SERVER_SEND_QUEUE_LONGEST, Unit::Bytes),
        }
    }

    fn read(&self, feed: &Feed) {
        let (waiting, longest) = feed.waiting();
        self.waiting.set(waiting as f64);
        self.longest.set(longest as f64);
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

/// All prices.
#[derive(Serialize)]
struct Board {
    op: &'static str,
    /// Milliseconds since the Unix epoch.
    at: u64,
    prices: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    product: u32,
    cents: i64,
}

impl Prices {
    /// None when there is no such product.
    fn message(&mut self, product: u32) -> Option<Utf8Bytes> {
        let listed = *self.listed.get(product.checked_sub(1)? as usize)?;
        let cents = moved(&mut self.random, listed);
        let message = PriceMessage { op: "price", product, cents, at: unix_ms() };
        serde_json::to_string(&message).ok().map(Utf8Bytes::from)
    }

    /// About 15 KB for the whole catalogue.
    fn board(&mut self) -> Utf8Bytes {
        let Self { listed, random } = self;
        let listed = (1..).zip(listed.iter());
        let prices = listed.map(|(product, cents)| Listed { product, cents: moved(random, *cents) });
        let board = Board { op: "board", at: unix_ms(), prices: prices.collect() };
        serde_json::to_string(&board).expect("numbers and plain texts have a form in JSON").into()
    }
}

fn moved(random: &mut Pcg64Mcg, listed: u32) -> i64 {
    let listed = i64::from(listed);
    listed + listed * random.random_range(-MOVE_PER_MILLE..=MOVE_PER_MILLE) / 1_000
}

async fn listed_prices(database: &Database) -> Result<Vec<u32>, StoreError> {
    let rows = database.rows("SELECT cents FROM price ORDER BY product", Vec::new()).await?;
    rows.iter().map(|row: &Row| row.get(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::armed;
    use timeline::fault::FaultKind;

    fn feed() -> Arc<Feed> {
        Arc::new(Feed::new(armed(&[]).0))
    }

    fn prices() -> Prices {
        Prices { listed: vec![100, 10_000], random: Pcg64Mcg::seed_from_u64(SEED) }
    }

    #[test]
    fn a_listener_gets_what_it_watches_once_a_round_and_leaves_no_trace() {
        let feed = feed();
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
        let feed = feed();
        let slow = feed.join();
        slow.watch(1);
        (0..ROUND * (slow_consumer::QUEUE + 5)).for_each(|n| feed.serve(n % ROUND, &mut prices()));
        assert_eq!(slow.listener.lock().queue.len(), slow_consumer::QUEUE);
        assert_eq!(slow.news(), Some(News::End(End::TooSlow)));
    }

    #[test]
    fn one_that_follows_gets_every_price_at_every_tick() {
        let feed = feed();
        let follower = feed.join();
        follower.follow();
        follower.follow();
        (0..3).for_each(|tick| feed.serve(tick, &mut prices()));
        let (all, longest) = feed.waiting();
        assert!(all == longest && all > 0, "{all} {longest}");
        for _ in 0..3 {
            let Some(News::Message(text)) = follower.news() else { panic!("a board") };
            assert!(text.contains("\"product\":1,") && text.contains("\"product\":2,"), "{text}");
        }
        assert_eq!((follower.news(), feed.waiting()), (None, (0, 0)));
    }

    #[test]
    fn the_fault_keeps_all_that_is_not_read_until_it_ends() {
        let (faults, told) = armed(&[(FaultKind::SlowConsumer, &[])]);
        let feed = Arc::new(Feed::new(faults));
        let slow = feed.join();
        slow.follow();
        (0..2 * slow_consumer::QUEUE).for_each(|n| feed.serve(n, &mut prices()));
        assert_eq!(slow.listener.lock().queue.len(), 2 * slow_consumer::QUEUE);
        feed.let_slow_ones_go();
        assert_eq!(slow.news(), Some(News::End(End::TooSlow)));
        drop(slow);
        assert_eq!(feed.waiting(), (0, 0));
        assert_eq!(told.told(), ["armed", "onset"]);
    }

    #[test]
    fn a_change_reaches_all_who_watch_the_product_and_nobody_else() {
        let feed = feed();
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
        let feed = feed();
        let before = feed.join();
        feed.close();
        let after = feed.join();
        assert_eq!(before.news(), Some(News::End(End::Closing)));
        assert_eq!(after.news(), Some(News::End(End::Closing)));
    }
}
