//! The shop's port: reserved by the supervisor, listened on by the workers.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

use crate::error::BackendError;

/// A bound socket that never listens, so no connection comes here. While it is there, the port is ours
/// even when all workers are being restarted.
pub struct Reserved {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// With the port that was given, if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Reserves `wanted`.
///
/// # Errors
/// [`BackendError::PortTaken`] when somebody listens there already.
pub fn reserve(wanted: SocketAddr) -> Result<Reserved, BackendError> {
    if wanted.port() != 0 {
        // Two backends of one user could both bind with SO_REUSEPORT and share connections unawares;
        // without it the kernel refuses when anybody listens.
        bind(wanted, false)?;
    }
    let socket = bind(wanted, true)?;
    let address = socket.local_addr().map_err(BackendError::listen(wanted))?;
    Ok(Reserved { _socket: socket, address })
}

fn bind(address: SocketAddr, share: bool) -> Result<TcpSocket, BackendError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    socket
        .and_then(|socket| {
            // Connections of a backend that has just ended linger; they are no reason to refuse.
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(share)?;
            socket.bind(address)?;
            Ok(socket)
        })
        .map_err(BackendError::listen(address))
}
