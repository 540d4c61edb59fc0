//! A TCP connection to the target, from the local address that is wanted.
//!
//! Which addresses those are is `sizing`'s to say, and whose turn it is the shard's.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::net::{TcpSocket, TcpStream};

use crate::error::LoadError;

/// Connects to `to`, from `source` where there is one.
///
/// # Errors
/// What the system says. Dropped, it closes what it has opened.
pub async fn dial(source: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    match source {
        Some(source) => bound(source)?.connect(to).await,
        None => TcpStream::connect(to).await,
    }
}

/// Are they all addresses of this machine? Says at once what otherwise every connection would.
///
/// # Errors
/// [`LoadError::Source`] for the first that is none.
pub fn check(sources: &[IpAddr]) -> Result<(), LoadError> {
    sources.iter().try_for_each(|&address| match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(()),
        Err(e) => Err(LoadError::Source { address, why: format!("it is not this machine's: {e}") }),
    })
}

/// A socket that will connect from `source`.
fn bound(source: IpAddr) -> io::Result<TcpSocket> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port is chosen as it connects: until then one is free that the same address uses for another destination. A
    // system that knows no such thing takes one that nobody uses.
    #[cfg(target_os = "linux")]
    let _ = nix_sockets::sys::socket::setsockopt(
        &socket,
        nix_sockets::sys::socket::sockopt::IpBindAddressNoPort,
        &true,
    );
    socket.bind(SocketAddr::new(source, 0))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_port_is_chosen_only_when_the_destination_is_known() {
        let socket = bound("127.0.0.2".parse().unwrap()).unwrap();
        assert_eq!(socket.local_addr().unwrap(), "127.0.0.2:0".parse().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        assert_ne!(stream.local_addr().unwrap().port(), 0);
    }
}
