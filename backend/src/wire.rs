//! What supervisor and worker tell each other: JSON lines over the worker's standard input and output.
//!
//! Both ends are always of the same build, so these forms may change freely.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use timeline::fault::{FaultOrder, Truth};

use crate::settings::ShopSettings;

/// From the supervisor, one line each.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Who the worker is; the first line, once.
    Settings(WorkerSettings),
    /// Switch a fault on for a span.
    Arm(FaultOrder),
    /// End all faults, then say so with the same number.
    EndFaults(u64),
    /// Finish what is under way and end. The end of the input means the same.
    Drain,
}

/// Everything that a worker needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Instance name: `shop-0`.
    pub name: String,
    /// How often the name was started before.
    pub generation: u32,
    /// Process id of the supervisor; a worker whose parent is another one has been left behind.
    pub supervisor: u32,
    /// Shared address of the shop.
    pub listen: SocketAddr,
    /// Token of the probe.
    pub token: String,
    /// The database, seeded already.
    pub database: PathBuf,
    /// Figures of the shop.
    pub shop: ShopSettings,
}

/// From a worker, one line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// It listens, and its agent's probe is there.
    Ready(SocketAddr),
    /// Something true about a fault.
    Truth(Truth),
    /// All faults were ended, and their truth told, for this [`Order::EndFaults`].
    Ended(u64),
    /// Why it could not start.
    Failed(String),
}

/// One line, with its end.
pub fn line(message: &impl Serialize) -> String {
    let mut text = serde_json::to_string(message).expect("these forms have string keys and no failing parts");
    text.push('\n');
    text
}
