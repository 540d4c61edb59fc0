//! The wire form of the probe: what an agent serves and a source reads, as JSON over HTTP.
//!
//! Owns the messages only. `GET /v1/instances` gives [`Instances`]; `GET /v1/instances/NAME/samples?since=SEQ`
//! gives a [`Batch`] of all ticks after `SEQ` that are still kept (an agent keeps the last
//! [`KEPT_TICKS`]); `GET /v1/instances/NAME/profile?seconds=N&format=pprof|svg` gives a CPU profile. Each wants
//! `Authorization: Bearer TOKEN`. A reader that stays away loses nothing for 30 s, then loses the oldest, counted.

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::histogram::Sparse;
use crate::lane::LaneSpec;

/// Version of these messages; a reader refuses a newer one by name.
pub const VERSION: u32 = 1;
/// Milliseconds between ticks: 10 Hz.
pub const TICK_MS: u64 = 100;
/// Ticks that an agent keeps for late readers: 30 s.
pub const KEPT_TICKS: usize = 300;
/// Most events in one tick; more are counted in the last one's `others`.
pub const MAX_EVENTS: usize = 64;

/// Who answers at this endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instances {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// Name of the service: `shop`.
    pub service: String,
    /// Its processes.
    pub instances: Vec<InstanceInfo>,
}

/// One process of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceInfo {
    /// Name, unique in the service: `shop-0`.
    pub name: String,
    /// Process id on the target's host.
    pub pid: u32,
    /// How often it was started; changes when the process behind the name is another one.
    pub generation: u32,
    /// How many processes of the name have ended without being asked to, as far as the one who answers knows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deaths: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// All ticks of one instance after a given one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// Which instance.
    pub instance: String,
    /// Its process id.
    pub pid: u32,
    /// When it began to count ticks, nanoseconds of its monotonic clock: in a container the next process has the same id. 0: it does not say.
    #[serde(default)]
    pub began: u64,
    /// The sender's monotonic clock while it answered, for the clock offset.
    pub now: MonoNs,
    /// Every lane declared so far; `LaneSpec::instance` is the instance's name.
    pub lanes: Vec<LaneSpec>,
    /// The ticks, oldest first.
    pub ticks: Vec<Tick>,
    /// Ticks that were asked for but are no longer kept.
    pub lost: u64,
}

/// What was read at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// Number, from 1, without gaps.
    pub seq: u64,
    /// When, by the sender's monotonic clock, nanoseconds.
    pub at: u64,
    /// Index into [`Batch::lanes`] and value; lanes without a value now are left out.
    pub values: Vec<(u32, f64)>,
    /// Index and histogram of what was recorded since the last tick; empty ones are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histograms: Vec<(u32, Sparse)>,
    /// What happened since the last tick.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<ProbeEvent>,
}

/// An [`Event`](crate::Event) on the sender's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeEvent {
    /// Canonical kind.
    pub kind: String,
    /// Began, nanoseconds of the sender's monotonic clock.
    pub start: u64,
    /// Ended; equal to `start` for a point.
    pub end: u64,
    /// Details.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
    /// Figure of the kind.
    #[serde(default)]
    pub value: f64,
    /// Counted, not kept.
    #[serde(default)]
    pub others: u64,
}
