//! What can go wrong before and around a run.
//!
//! Owns what a person is told of it. Which exit code that is, the command line decides; what steps end with is `kind`'s business.

use std::net::IpAddr;

use thiserror::Error;

/// Why a run cannot be started, or not go on.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The target cannot be reached.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        why: String,
    },
    /// A worker process cannot be started.
    #[error("worker {worker} ({exe}) could not be started: {why}")]
    Start {
        /// Which.
        worker: usize,
        /// What was to be run.
        exe: String,
        /// What the system, or the worker, says.
        why: String,
    },
    /// The plan's TLS settings are of no use.
    #[error("TLS cannot be spoken: {0}")]
    Tls(String),
    /// The plan's journeys cannot go to this target.
    #[error("{0}")]
    Journey(String),
    /// An address to connect from is of no use.
    #[error("{address} cannot be connected from: {why}")]
    Source {
        /// Which.
        address: IpAddr,
        /// Why not.
        why: String,
    },
    /// No workers were asked for.
    #[error("a run needs at least one worker")]
    NoWorkers,
}
