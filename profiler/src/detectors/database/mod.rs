//! What detectors of the database share: what the requests of a route ask of it, and what the text of a statement says.
//!
//! Owns no verdict: those are the detectors'.

use std::time::Duration;

pub(super) mod asked;
pub(super) mod statement;

/// Time for an answer from which on people wait whatever the service does: a quarter of a second.
pub(super) const CRITICAL_NS: f64 = 250e6;
/// Silence after which what requests ask has changed: the longest window in which it is looked for.
pub(super) const QUIET: Duration = Duration::from_secs(5);
