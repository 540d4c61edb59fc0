//! The run written down: summary, HTML, JUnit, histogram logs.
//!
//! Everything is made from a timeline, live or read from a recording, and the figures are computed
//! once, in [`Summary`]. This crate decides the verdict and judges nothing else: findings come from
//! `profiler`, gates from `timeline`.

mod date;
#[cfg(test)]
mod fixture;

pub mod hlog;
pub mod html;
pub mod junit;
pub mod summary;
pub mod text;

mod write;

pub use summary::{Summary, Verdict};
pub use write::{FLAME_GRAPH, Inputs, ReportError, write_all};
