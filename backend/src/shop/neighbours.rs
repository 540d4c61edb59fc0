//! What the workers of a shop tell each other, by way of their supervisor: a price was changed.
//!
//! It comes within milliseconds and is not promised to: when the supervisor has too much to hear it is lost, and an entry's time
//! and the feed's next round make up for it.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Shop;
use crate::wire::Report;

/// What one product costs from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceChange {
    /// Which.
    pub product: u32,
    /// How much.
    pub cents: u32,
}

/// The way to the other workers.
pub struct Neighbours {
    reports: mpsc::Sender<Report>,
}

impl Neighbours {
    /// By the reports to the supervisor.
    pub fn new(reports: mpsc::Sender<Report>) -> Self {
        Self { reports }
    }

    /// Tells all others.
    pub fn tell(&self, change: PriceChange) {
        let _ = self.reports.try_send(Report::PriceChanged(change));
    }
}

/// Another worker has changed a price.
pub async fn hear(shop: &Shop, change: PriceChange) {
    shop.products.changed_elsewhere(change.product).await;
    shop.feed.announce(change.product, change.cents);
}
