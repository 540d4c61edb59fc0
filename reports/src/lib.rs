//! The run written down: summary, HTML, JUnit, Markdown, CSV, histogram logs, OpenMetrics, and what CI servers read.
//!
//! Everything is made from a timeline, live or read from a recording, and the figures are computed
//! once, in [`Summary`]. This crate decides the verdict and judges nothing else: findings come from
//! `profiler`, gates from `timeline`.

mod addresses;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod schema;

pub mod ci;
pub mod compare;
pub mod csv;
pub mod date;
pub mod discreet;
pub mod explain;
pub mod grafana;
pub mod hlog;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod metrics;
pub mod openmetrics;
pub mod otlp;
pub mod profile;
pub mod redact;
pub mod summary;
pub mod text;

mod write;

pub use explain::Explanation;
pub use summary::{Summary, Verdict};
pub use write::{Format, Inputs, ReportError, write};
