//! The profiler: watches the target and says why it is slow.
//!
//! Two halves that do not know each other: [`sources`] read the target and hand samples to a
//! [`Sink`](sources::Sink); [`Diagnosis`] reads the [`Timeline`](timeline::Timeline) that became of
//! them and makes findings. The timeline, its recording and its clock belong to `timeline`; drawing
//! and writing down belong to `dashboard` and `reports`.

pub mod causes;
pub mod detectors;
pub mod diagnosis;
pub mod mechanisms;
pub mod sources;

mod blame;
mod breakdown;
mod cache_cells;
mod excess;
mod ledger;
mod loops;
mod proof;
mod remedies;
mod routes;
mod stats;
mod window;

pub use diagnosis::Diagnosis;
