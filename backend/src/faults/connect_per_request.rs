//! Connect per request, and its cure: where a connection comes from.
//!
//! The fault opens a new one for each use and closes it afterwards: a file with its log and its schema to be read, or a
//! handshake, a log-in and a process of the server, and all statements prepared anew. The cure takes one out of the
//! pool.

use deadpool::managed::{Object, PoolError};
use timeline::fault::FaultKind;

use super::{Faults, Lever};
use crate::store::{Opener, StoreError, Taken};

/// Looked at by everybody who wants a connection.
pub const LEVER: Lever = Lever::switch_only(FaultKind::ConnectPerRequest);

/// A connection: opened for this use, or the one that `pooled` waits for.
pub async fn connection(
    faults: &Faults,
    opener: &Opener,
    pooled: impl Future<Output = Result<Object<Opener>, PoolError<StoreError>>>,
) -> Result<Taken, PoolError<StoreError>> {
    let switch = &faults[FaultKind::ConnectPerRequest];
    if !switch.is_on() {
        return pooled.await.map(Taken::Pooled);
    }
    let fresh = opener.open().await.map_err(PoolError::Backend)?;
    switch.took_effect();
    Ok(Taken::Fresh(fresh))
}
