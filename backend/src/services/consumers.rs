//! Who takes events out of the broker and has the services work on them.
//!
//! Owns the embedded broker's queues ([`Queues`]) and the consumers of either kind. Messages are at first in one
//! process with those who work on them, so what a killed process of services had queued is lost with the embedded
//! broker; RabbitMQ keeps it.

use std::sync::Arc;
use std::time::Duration;

use agent::BrokerMeter;
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use timeline::clock::unix_ms;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{NAMES, Services};
use crate::broker::rabbit::{self, Holds};
use crate::broker::{BrokerError, Message};
use crate::faults::broker_backlog;
use crate::say::say;
use crate::wire::Broker;

/// Events that wait for one service of the embedded broker.
const QUEUE: usize = 10_000;
/// From look to look at a queue's depth.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Until a lost connection is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The embedded broker: a bounded queue for each service. Cheap to clone.
#[derive(Clone)]
pub struct Queues {
    /// In the order of [`NAMES`].
    ends: Arc<[mpsc::Sender<Message>]>,
}

/// What takes events out again.
pub struct Consumers {
    services: Arc<Services>,
    meter: BrokerMeter,
    queues: Vec<mpsc::Receiver<Message>>,
}

impl Queues {
    /// Puts messages into every queue, or into none where one has no room. Says whether it did.
    pub fn put(&self, messages: Vec<Message>) -> bool {
        // Nothing is awaited between asking and sending, and this process has one event loop.
        if self.ends.iter().any(|end| end.capacity() < messages.len()) {
            return false;
        }
        for message in messages {
            for end in self.ends.iter() {
                let _ = end.try_send(message.clone());
            }
        }
        true
    }

    fn depth(&self) -> u64 {
        self.ends.iter().map(|end| (end.max_capacity() - end.capacity()) as u64).sum()
    }
}

impl Consumers {
    /// Queues, and who is to consume them.
    pub fn new(services: Arc<Services>, meter: BrokerMeter) -> (Queues, Self) {
        let (ends, queues): (Vec<_>, Vec<_>) = NAMES.iter().map(|_| mpsc::channel(QUEUE)).unzip();
        (Queues { ends: ends.into() }, Self { services, meter, queues })
    }

    /// Consumes from `broker` until it is dropped. An event that is being worked on then is done by whoever comes next,
    /// if the broker is RabbitMQ.
    pub async fn run(self, broker: Broker, queues: Queues) {
        let mut tasks = JoinSet::new();
        match broker {
            Broker::Services => {
                for (name, queue) in NAMES.iter().zip(self.queues) {
                    tasks.spawn(consume_queue(name, queue, self.services.clone(), self.meter.clone()));
                }
                self.meter.set_consumers(NAMES.len() as u64);
                tasks.spawn(watch_depth(queues, self.meter));
            }
            Broker::Rabbit { url, prefix } => {
                let depths = Arc::new(Depths { each: Default::default(), meter: self.meter });
                for (index, name) in NAMES.iter().enumerate() {
                    let at = At { url: url.clone(), prefix: prefix.clone(), name, index };
                    tasks.spawn(consume_rabbit(at, self.services.clone(), depths.clone()));
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn consume_queue(
    name: &'static str,
    mut queue: mpsc::Receiver<Message>,
    services: Arc<Services>,
    meter: BrokerMeter,
) {
    let mut pace = broker_backlog::Pace::default();
    while let Some(message) = queue.recv().await {
        work(name, message, &mut pace, &services, &meter).await;
    }
}

async fn work(
    name: &'static str,
    message: Message,
    pace: &mut broker_backlog::Pace,
    services: &Arc<Services>,
    meter: &BrokerMeter,
) {
    meter.consumed(Duration::from_millis(unix_ms().saturating_sub(message.published_ms)));
    if let Err(e) = broker_backlog::consume(name, message, pace, services).await {
        say(format_args!("services: {name}: {e}"));
    }
}

async fn watch_depth(queues: Queues, meter: BrokerMeter) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        meter.set_depth(queues.depth());
    }
}

/// What each queue held when it was last looked at.
struct Depths {
    each: std::sync::Mutex<[Option<Holds>; 2]>,
    meter: BrokerMeter,
}

impl Depths {
    fn saw(&self, index: usize, holds: Option<Holds>) {
        let mut each = self.each.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        each[index] = holds;
        // A sum over some of the queues is none.
        if let [Some(a), Some(b)] = *each {
            self.meter.set_depth(a.messages + b.messages);
            self.meter.set_consumers(a.consumers + b.consumers);
        }
    }
}

/// Which queue of RabbitMQ.
struct At {
    url: String,
    prefix: String,
    name: &'static str,
    index: usize,
}

async fn consume_rabbit(at: At, services: Arc<Services>, depths: Arc<Depths>) {
    loop {
        if let Err(e) = until_lost(&at, &services, &depths).await {
            say(format_args!("services: {}: {e}", at.name));
        }
        depths.saw(at.index, None);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn until_lost(at: &At, services: &Arc<Services>, depths: &Depths) -> Result<(), BrokerError> {
    let mut subscription = rabbit::subscribe(&at.url, &at.prefix, at.name).await?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pace = broker_backlog::Pace::default();
    loop {
        tokio::select! {
            delivery = subscription.consumer.next() => {
                let Some(delivery) = delivery else { return Err(BrokerError::Refused("has closed the connection")) };
                let delivery = delivery?;
                match serde_json::from_slice(&delivery.data) {
                    Ok(message) => work(at.name, message, &mut pace, services, &depths.meter).await,
                    // Nobody could ever work on it.
                    Err(e) => say(format_args!("services: {}: a message is no event: {e}", at.name)),
                }
                delivery.ack(BasicAckOptions::default()).await?;
            }
            _ = looks.tick() => depths.saw(at.index, Some(subscription.holds().await?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Content, Placed};
    use crate::faults::testing::armed;

    fn message(order: i64) -> Message {
        let content = Content { customer: 1, cents: 0, at_ms: 0, lines: Vec::new() };
        Message { published_ms: 0, placed: Placed { order, content } }
    }

    #[test]
    fn a_batch_goes_into_all_queues_or_none() {
        let (ends, mut queues): (Vec<_>, Vec<_>) = NAMES.iter().map(|_| mpsc::channel(3)).unzip();
        let all = Queues { ends: ends.into() };
        assert!(all.put(vec![message(1), message(2)]));
        assert!(!all.put(vec![message(3), message(4)]), "there is room for one");
        assert_eq!(all.depth(), 4);
        assert_eq!(queues[0].try_recv().unwrap().placed.order, 1);
        assert!(!all.put(vec![message(3), message(4)]), "the other queue has still no room");
        assert!(all.put(vec![message(3)]));
    }

    #[tokio::test]
    async fn what_comes_twice_is_done_once() {
        let services = Arc::new(Services::new(armed(&[]).0));
        for _ in 0..2 {
            services.serve("email", message(7).placed, 1).await.unwrap();
        }
        let read = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!((read(&services.email.count), read(&services.email.again)), (1, 1));
    }
}
