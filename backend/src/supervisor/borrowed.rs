//! What a run uses on servers that are not its own: keys in Redis, an exchange and queues in RabbitMQ.
//!
//! All are named after the run, so several backends can share a server, and what was there before is not touched.

use crate::broker::rabbit;
use crate::cache;
use crate::places::{BrokerUrl, CacheUrl, Stores};
use crate::say::say;
use crate::services;
use crate::wire::{Broker, CachePlace};

/// The places in cache and broker that a run uses.
pub struct Borrowed {
    /// For workers.
    pub cache: CachePlace,
    /// For workers.
    pub broker: Broker,
}

impl Borrowed {
    /// Of the run of this name.
    pub fn new(stores: &Stores, run: &str) -> Self {
        let url = |url: &crate::places::StoreUrl| url.reveal().to_owned();
        let cache = match &stores.cache {
            CacheUrl::Memory => CachePlace::Memory,
            CacheUrl::Redis(server) => {
                CachePlace::Redis { url: url(server), prefix: format!("dyno-shop:{run}:") }
            }
        };
        let broker = match &stores.broker {
            BrokerUrl::Memory => Broker::Services,
            BrokerUrl::Rabbit(server) => {
                Broker::Rabbit { url: url(server), prefix: format!("dyno-shop.{run}.") }
            }
        };
        Self { cache, broker }
    }

    /// Clears it away. What cannot be reached now goes by itself within an hour.
    pub async fn leave(self) {
        let left = |what: &str, why: &dyn std::fmt::Display| {
            say(format_args!("backend: {what} is left behind: {why}"))
        };
        if let CachePlace::Redis { url, prefix } = &self.cache
            && let Err(e) = cache::sweep(url, prefix).await
        {
            left("what was cached", &e);
        }
        if let Broker::Rabbit { url, prefix } = &self.broker
            && let Err(e) = rabbit::remove(url, prefix, services::NAMES).await
        {
            left("the exchange", &e);
        }
    }
}
