//! What can keep the backend from starting or running, as a person reads it.

use std::io;
use std::net::SocketAddr;

use crate::store::StoreError;

/// Why the backend did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Somebody else listens there.
    #[error("{address} is taken by another process")]
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An option that makes no sense.
    #[error("{0}")]
    Option(String),
    /// The system refused something else.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A store that is named by URL, or the embedded database.
    #[error("{what}: {source}")]
    Store {
        /// Which.
        what: String,
        /// What it said.
        source: StoreError,
    },
    /// The agent inside a worker.
    #[error("the agent: {0}")]
    Agent(#[from] agent::AgentError),
    /// A worker did not come up.
    #[error("worker {name} did not start: {why}")]
    Worker {
        /// Its name.
        name: String,
        /// What it said, or what was waited for.
        why: String,
    },
    /// A worker was started by something other than its supervisor.
    #[error("a worker takes its settings from its supervisor, on standard input: {0}")]
    NoSupervisor(String),
}

impl BackendError {
    /// For `map_err`: the system refused to do `what`.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// For `map_err`: `address` cannot be listened on.
    pub(crate) fn listen(address: SocketAddr) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address },
            _ => Self::Listen { address, source },
        }
    }
}
