//! The common ground of dyno: what a run *is*, independent of who makes it, watches it or draws it.
//!
//! This crate owns the clock, the vocabulary (units, lanes, events, findings, gates, fault names),
//! the [`Timeline`] that detectors read, the [`Snapshot`](snapshot::Snapshot) that screens draw, the
//! recording on disk, and the wire form of the probe. It does no I/O but the recording's, knows no
//! other crate of the workspace, and leaves judging to `profiler`, drawing to `dashboard` and `reports`.

pub mod amendment;
pub mod breakdown;
pub mod cache;
pub mod cells;
pub mod clock;
pub mod event;
pub mod facts;
pub mod fault;
pub mod figures;
pub mod finding;
pub mod fingerprint;
pub mod frame;
pub mod gate;
pub mod histogram;
pub mod lane;
pub mod metric;
pub mod probe;
pub mod profile;
pub mod recorder;
pub mod recording;
pub mod remedy;
pub mod snapshot;
pub mod text;
pub mod units;

mod store;
mod thinning;

pub use amendment::Amendment;
pub use breakdown::Breakdown;
pub use clock::{MonoNs, RunClock, RunTime, Span};
pub use event::Event;
pub use finding::{Finding, FindingKind, Severity, Status};
pub use lane::{Combine, LaneId, LaneSpec, Quality, Shape};
pub use profile::Profile;
pub use remedy::Remedy;
pub use store::{Entry, Series, Timeline};
pub use units::Unit;
