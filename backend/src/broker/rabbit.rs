//! RabbitMQ: an exchange that hands each event to the queue of every service.
//!
//! Exchange and queues are this backend's own and vanish when nobody uses them. Publishers wait for the broker's
//! confirmation; consumers acknowledge what they have done.

use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::sync::Mutex;

use super::{BrokerError, Message, TOPIC};

/// A server that does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that a consumer may hold without having acknowledged them: the one that is worked on, and the next. More would wait
/// where the queue's depth does not count them.
const PREFETCH: u16 = 2;
/// A queue that nobody has used for so long is gone, milliseconds: its backend was killed.
const UNUSED_MS: i64 = 3_600_000;
/// AMQP's number for `survives a restart of the broker`.
const PERSISTENT: u8 = 2;

fn exchange(prefix: &str) -> String {
    format!("{prefix}{TOPIC}")
}

fn queue(prefix: &str, service: &str) -> String {
    format!("{prefix}{TOPIC}.{service}")
}

async fn connect(url: &str) -> Result<Connection, BrokerError> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    Ok(tokio::time::timeout(PATIENCE, connecting)
        .await
        .map_err(|_| BrokerError::Refused("does not answer"))??)
}

/// Makes what is not there yet; whoever comes first does.
async fn declare(channel: &Channel, prefix: &str, services: &[&str]) -> Result<(), BrokerError> {
    let exchange = exchange(prefix);
    let durable =
        ExchangeDeclareOptions { durable: true, auto_delete: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Fanout, durable, FieldTable::default())
        .await?;
    for service in services {
        let queue = queue(prefix, service);
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(UNUSED_MS));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "".into(),
                bind,
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

/// Removes exchange and queues of a backend that ends.
///
/// # Errors
/// When the server does not answer; then the queues go by themselves after an hour.
pub async fn remove(url: &str, prefix: &str, services: &[&str]) -> Result<(), BrokerError> {
    let connection = connect(url).await?;
    let channel = connection.create_channel().await?;
    for service in services {
        channel.queue_delete(queue(prefix, service).as_str().into(), QueueDeleteOptions::default()).await?;
    }
    channel.exchange_delete(exchange(prefix).as_str().into(), ExchangeDeleteOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// The publishing end of one worker.
pub struct Publisher {
    url: String,
    prefix: String,
    services: &'static [&'static str],
    /// None before the first use and after a failure.
    link: Mutex<Option<Link>>,
}

/// The connection must live as long as its channel.
struct Link {
    channel: Channel,
    _connection: Connection,
}

impl Publisher {
    /// For the queues of `services`; connects when it is first used.
    pub fn new(url: String, prefix: String, services: &'static [&'static str]) -> Self {
        Self { url, prefix, services, link: Mutex::default() }
    }

    /// Publishes and waits until the server has confirmed all of it.
    ///
    /// # Errors
    /// When it has not, in time.
    pub async fn publish(&self, messages: &[Message]) -> Result<(), BrokerError> {
        // Taken out: a future that is dropped halfway leaves no channel behind that owes confirmations.
        let mut place = self.link.lock().await;
        let link = match place.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let exchange = exchange(&self.prefix);
        let sent = tokio::time::timeout(PATIENCE, send(&link.channel, &exchange, messages));
        sent.await.map_err(|_| BrokerError::Refused("does not confirm"))??;
        *place = Some(link);
        Ok(())
    }

    async fn connect(&self) -> Result<Link, BrokerError> {
        let connection = connect(&self.url).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        declare(&channel, &self.prefix, self.services).await?;
        Ok(Link { channel, _connection: connection })
    }
}

async fn send(channel: &Channel, exchange: &str, messages: &[Message]) -> Result<(), BrokerError> {
    let mut confirmations = Vec::with_capacity(messages.len());
    for message in messages {
        let body = serde_json::to_vec(message).expect("a message has string keys and no failing parts");
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(message.placed.order.to_string().as_str().into());
        let options = BasicPublishOptions::default();
        confirmations
            .push(channel.basic_publish(exchange.into(), "".into(), options, &body, properties).await?);
    }
    for confirmation in confirmations {
        if !confirmation.await?.is_ack() {
            return Err(BrokerError::Refused("has not taken a message"));
        }
    }
    Ok(())
}

/// The consuming end of one service.
pub struct Subscription {
    /// Messages as they come.
    pub consumer: Consumer,
    channel: Channel,
    queue: String,
    _connection: Connection,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Messages that nobody has been given yet.
    pub messages: u64,
    /// Those who consume.
    pub consumers: u64,
}

/// Consumes the queue of `service`.
///
/// # Errors
/// When the server is not there or does not let us in.
pub async fn subscribe(url: &str, prefix: &str, service: &str) -> Result<Subscription, BrokerError> {
    let connection = connect(url).await?;
    let channel = connection.create_channel().await?;
    declare(&channel, prefix, &[service]).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let queue = queue(prefix, service);
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    Ok(Subscription { consumer, channel, queue, _connection: connection })
}

impl Subscription {
    /// What its queue holds now.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn holds(&self) -> Result<Holds, BrokerError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared =
            self.channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default()).await?;
        Ok(Holds { messages: declared.message_count().into(), consumers: declared.consumer_count().into() })
    }
}
