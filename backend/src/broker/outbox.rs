//! The outbox: an event is written with its order, in one transaction, and crossed out when the broker has it.
//!
//! So a worker that is killed between commit and publishing loses nothing: another one finds what has lain too long. An
//! event may then come twice, and consumers know by its order. A checkout never waits for the broker.

use std::sync::Arc;
use std::time::Duration;

use agent::BrokerMeter;
use rand::RngExt;
use timeline::clock::unix_ms;
use tokio::sync::mpsc;

use super::{Content, Message, Placed, Publisher};
use crate::say::say;
use crate::store::{Database, Row, Step, StoreError, now_ms, values};

/// Writes an event: order, content, time.
pub const WRITE: &str = "INSERT INTO outbox (id, event, at_ms) VALUES (?1, ?2, ?3)";
const CROSS_OUT: &str = "DELETE FROM outbox WHERE id = ?1";
const FORGOTTEN: &str = "SELECT id, event FROM outbox WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2";

/// Events on their way to the broker; when it is full they wait in the outbox.
const QUEUE: usize = 1_024;
/// Published and crossed out together.
const BATCH: usize = 64;
/// After each batch, so that the next one is not one event long.
const GATHER: Duration = Duration::from_millis(50);
/// From look to look at what was forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What has lain for so long was forgotten, milliseconds: many times what publishing takes.
const FORGOTTEN_MS: i64 = 3_000;

/// The way from checkouts to the broker.
pub struct Outbox {
    queue: mpsc::Sender<Placed>,
}

/// Its other end.
pub struct Relay {
    queue: mpsc::Receiver<Placed>,
    publisher: Publisher,
    database: Arc<Database>,
    meter: BrokerMeter,
}

/// An outbox whose events go to `publisher`.
pub fn open(publisher: Publisher, database: Arc<Database>, meter: BrokerMeter) -> (Outbox, Relay) {
    let (send, receive) = mpsc::channel(QUEUE);
    (Outbox { queue: send }, Relay { queue: receive, publisher, database, meter })
}

impl Outbox {
    /// Sends on what was written. When the queue is full it stays where it is until somebody looks.
    pub fn send(&self, placed: Placed) {
        let _ = self.queue.try_send(placed);
    }
}

impl Relay {
    /// Until the outbox is dropped and its queue is empty. What is left when this is dropped is found by another worker.
    pub async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let done = tokio::select! {
                received = self.queue.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.deliver(std::mem::take(&mut batch)).await
                }
                _ = looks.tick() => self.deliver_forgotten().await,
            };
            if let Err(why) = done {
                say(format_args!("shop: events stay in the outbox: {why}"));
                // Nothing is lost, so there is no hurry; and workers need not come back together.
                let pause = LOOK_EVERY.mul_f64(rand::rng().random_range(0.5..1.5));
                tokio::time::sleep(pause).await;
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    async fn deliver(&self, events: Vec<Placed>) -> Result<(), String> {
        let published_ms = unix_ms();
        let messages: Vec<Message> =
            events.into_iter().map(|placed| Message { published_ms, placed }).collect();
        let count = messages.len() as u64;
        if let Err(e) = self.publisher.publish(&messages).await {
            self.meter.refused(count);
            return Err(e.to_string());
        }
        self.meter.published(count);
        let cross_out = messages.iter().map(|m| Step::new(CROSS_OUT, values![m.placed.order]));
        // When this fails they come once more.
        self.database.together(cross_out.collect()).await.map(|_| ()).map_err(|e| e.to_string())
    }

    async fn deliver_forgotten(&self) -> Result<(), String> {
        let before = now_ms() - FORGOTTEN_MS;
        let rows = self.database.rows(FORGOTTEN, values![before, BATCH as i64]).await;
        let events: Vec<Placed> =
            rows.and_then(|rows| rows.iter().map(read).collect()).map_err(|e| e.to_string())?;
        if events.is_empty() { Ok(()) } else { self.deliver(events).await }
    }
}

fn read(row: &Row) -> Result<Placed, StoreError> {
    let content: Content = serde_json::from_str(&row.get::<String>(1)?).map_err(StoreError::failed)?;
    Ok(Placed { order: row.get(0)?, content })
}
