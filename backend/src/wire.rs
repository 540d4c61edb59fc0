//! What supervisor and worker tell each other: JSON lines over the worker's standard input and output.
//!
//! Both ends are always of the same build, so these forms may change freely.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use timeline::fault::{FaultOrder, Truth};

use crate::remedies::Hold;
use crate::settings::{CacheSettings, ShopSettings};
use crate::shop::neighbours::PriceChange;
use crate::store::Place;

/// The byte with which a worker's listening sockets come, before the first line.
pub const LISTENER_FOLLOWS: u8 = b'L';

/// From the supervisor, one line each.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Who the worker is; the first line, once.
    Settings(Box<WorkerSettings>),
    /// Switch a fault on for a span.
    Arm(FaultOrder),
    /// End all faults, then say so with the same number.
    EndFaults(u64),
    /// Hold a setting against whatever faults do.
    Hold(Hold),
    /// How the cache works from now on.
    Cache(CacheSettings),
    /// The predecessor's name and faults are this process's now: put right what it may have left half done.
    Settle,
    /// Another process has the name: end all faults, but leave to it what all workers share, and say so; take no new connections,
    /// serve those that are open until their clients have had the chance to leave, and end.
    Retire,
    /// Another worker has changed a price.
    PriceChanged(PriceChange),
    /// Finish what is under way and end. The end of the input means the same.
    Drain,
}

/// Name of the worker of the shop that is always there.
const FIRST: &str = "shop-0";

/// What a worker process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Serves the shop.
    Shop,
    /// Sends e-mails and bills.
    Services,
}

/// Where a worker finds the cache.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CachePlace {
    /// In itself.
    Memory,
    /// On a Redis server.
    Redis {
        /// The server; it may carry a password, so it is never shown.
        url: String,
        /// What all keys of this backend begin with.
        prefix: String,
    },
}

/// Where a worker finds the broker.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broker {
    /// The services themselves.
    Services,
    /// A RabbitMQ server.
    Rabbit {
        /// The server; it may carry a password, so it is never shown.
        url: String,
        /// What the names of all exchanges and queues of this backend begin with.
        prefix: String,
    },
}

/// Everything that a worker needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Instance name: `shop-0`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// How often the name was started before.
    pub generation: u32,
    /// Process id of the supervisor; a worker whose parent is another one has been left behind.
    pub supervisor: u32,
    /// Token of the probe.
    pub token: String,
    /// Key with which customers' tokens are signed.
    pub signing_key: String,
    /// The database, seeded already.
    pub database: Place,
    /// The cache.
    pub cache: CachePlace,
    /// The broker.
    pub broker: Broker,
    /// Where the services listen.
    pub services: SocketAddr,
    /// Figures of the shop.
    pub shop: ShopSettings,
    /// What is held against faults.
    pub holds: Vec<Hold>,
}

impl WorkerSettings {
    /// Is it the worker that does what one does for all? It holds the sockets of the others, too.
    pub fn is_first(&self) -> bool {
        self.name == FIRST
    }
}

/// From a worker, one line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// It listens, and its agent's probe is there.
    Ready(SocketAddr),
    /// Something true about a fault.
    Truth(Truth),
    /// A price was changed, which the other workers are to hear.
    PriceChanged(PriceChange),
    /// All faults were ended, and their truth told, for this [`Order::EndFaults`].
    Ended(u64),
    /// The same, because of [`Order::Retire`].
    Left,
    /// Why it could not start.
    Failed(String),
}

/// One line, with its end.
pub fn line(message: &impl Serialize) -> String {
    let mut text = serde_json::to_string(message).expect("these forms have string keys and no failing parts");
    text.push('\n');
    text
}
