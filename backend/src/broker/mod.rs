//! Events on their way from a checkout to the services.
//!
//! Owns what an event is and how it is published ([`Publisher`]): to RabbitMQ ([`rabbit`]), or to the queues in the
//! process of the services. That none is lost between a commit and the broker is the [`outbox`]'s task.

pub mod outbox;
pub mod rabbit;

use serde::{Deserialize, Serialize};

use crate::downstream::{CallError, Downstream};

/// The topic of placed orders, in figures and names.
pub const TOPIC: &str = "orders";

/// An order was placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Its number. An event may come twice; this tells.
    pub order: i64,
    /// What is in it.
    #[serde(flatten)]
    pub content: Content,
}

/// What was bought, when and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Whose.
    pub customer: u32,
    /// Sum.
    pub cents: i64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What.
    pub lines: Vec<Bought>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bought {
    /// Which.
    pub product: u32,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub cents: u32,
}

/// An event, and when it was published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Milliseconds since the Unix epoch.
    pub published_ms: u64,
    /// The event.
    #[serde(flatten)]
    pub placed: Placed,
}

/// Why the broker has not taken events.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The services, which hold the queues.
    #[error("the services: {0}")]
    Services(#[from] CallError),
    /// RabbitMQ.
    #[error("RabbitMQ: {0}")]
    Rabbit(#[from] lapin::Error),
    /// RabbitMQ, in other words.
    #[error("RabbitMQ {0}")]
    Refused(&'static str),
}

/// Where events go.
#[expect(clippy::large_enum_variant, reason = "a worker has one")]
pub enum Publisher {
    /// To the queues of the services.
    Services(Downstream),
    /// To a RabbitMQ server.
    Rabbit(rabbit::Publisher),
}

impl Publisher {
    /// Publishes all of `messages`; when it returns well, the broker answers for them.
    ///
    /// # Errors
    /// When it has not taken all of them. Some may have been, so they come twice if they are published again.
    pub async fn publish(&self, messages: &[Message]) -> Result<(), BrokerError> {
        match self {
            Self::Services(services) => Ok(services.post("/events", &messages).await.map(drop)?),
            Self::Rabbit(rabbit) => rabbit.publish(messages).await,
        }
    }
}
