//! The shop's port: a listening socket for each worker, all on one address.
//!
//! The supervisor holds them, so what a client has begun waits there while a worker is being started again. The
//! kernel gives each new connection to one of them.

use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

use crate::error::BackendError;
use crate::http::BACKLOG;

/// `workers` sockets that listen on `wanted`; any port is taken when it names none.
///
/// # Errors
/// [`BackendError::PortTaken`] when somebody listens there already.
pub fn listen(wanted: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BackendError> {
    if wanted.port() != 0 {
        // Two backends of one user could both bind with SO_REUSEPORT and share connections unawares;
        // without it the kernel refuses when anybody listens.
        bind(wanted, false)?;
    }
    let first = bind(wanted, true)?;
    let address = first.local_addr().map_err(BackendError::listen(wanted))?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(address, true)?);
    }
    let listening = |socket: TcpSocket| socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
    sockets.into_iter().map(|s| listening(s).map_err(BackendError::listen(address))).collect()
}

/// What the system may hold of an answer that its client does not take, bytes; it doubles that for its own needs.
/// Without a bound it is up to 4 MiB for each, and a client that does not read is not seen before that is full.
const SEND_BUFFER: u32 = 128 * 1024;

fn bind(address: SocketAddr, share: bool) -> Result<TcpSocket, BackendError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    socket
        .and_then(|socket| {
            // Connections of a backend that has just ended linger; they are no reason to refuse.
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(share)?;
            // Connections have what their listening socket has.
            socket.set_send_buffer_size(SEND_BUFFER)?;
            socket.bind(address)?;
            Ok(socket)
        })
        .map_err(BackendError::listen(address))
}
