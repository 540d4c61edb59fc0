//! Is there a target? And what can go wrong before and around a run.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use scenarios::plan::BaseUrl;
use thiserror::Error;
use tokio::net::TcpStream;

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

/// Finds the first address of the target that takes a connection.
///
/// # Errors
/// [`LoadError::Unreachable`] if none does within `timeout`. Dropped, it leaves nothing open.
pub async fn reach(url: &BaseUrl, timeout: Duration) -> Result<SocketAddr, LoadError> {
    let shown = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let failed =
        |why: String| LoadError::Unreachable { url: format!("{}://{shown}:{}", url.scheme(), url.port), why };
    let attempt = async {
        let found =
            tokio::net::lookup_host((&*url.host, url.port)).await.map_err(|e| failed(e.to_string()))?;
        let mut last = failed("the name has no addresses".to_owned());
        for address in found {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(address),
                Err(e) => last = failed(format!("{address}: {e}")),
            }
        }
        Err(last)
    };
    let late = || failed(format!("no answer within {} ms", timeout.as_millis()));
    tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| Err(late()))
}
