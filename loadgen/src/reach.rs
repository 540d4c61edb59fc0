//! Is there a target? Which of its addresses takes a connection, and does it shake hands over TLS.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use scenarios::plan::{BaseUrl, Transport};
use tokio::net::TcpStream;

use crate::dial::{self, dial};
use crate::error::LoadError;
use crate::tls;

/// How long an address may take before the next one is tried beside it (RFC 8305, 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// How long a TLS handshake may take: as long as a request may by default.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Finds the first address of the target that takes a connection; where it is reached over TLS, shakes hands there once, so that a
/// certificate that is refused is told of before anything is loaded. A server of TLS 1.3 may still refuse the client's certificate
/// after that.
///
/// # Errors
/// [`LoadError::Unreachable`] if none takes one within `timeout`, or no handshake comes about, with its reason; [`LoadError::Tls`] and
/// [`LoadError::Source`] if the plan's settings are of no use. Dropped, it leaves nothing open.
pub async fn reach(url: &BaseUrl, transport: &Transport, timeout: Duration) -> Result<SocketAddr, LoadError> {
    let client = || tls::Client::new(&transport.tls, url, tls::offers(transport.http));
    let client = url.tls.then(client).transpose().map_err(LoadError::Tls)?;
    let address = reach_from(url, &transport.sources, timeout).await?;
    if let Some(client) = client {
        let stream = dial(source_for(&transport.sources, address), address);
        let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, shake_hands(&client, stream)).await;
        let late = || Err(format!("no TLS handshake within {} s", HANDSHAKE_WITHIN.as_secs()));
        let told = shaken.unwrap_or_else(|_| late());
        told.map_err(|why| LoadError::Unreachable { url: url.origin(), why })?;
    }
    Ok(address)
}

/// One handshake, whose connection is closed at once.
async fn shake_hands(
    client: &tls::Client,
    stream: impl Future<Output = io::Result<TcpStream>>,
) -> Result<(), String> {
    let stream = stream.await.map_err(|e| e.to_string())?;
    let shaken = client.handshake(stream).await;
    shaken.map(drop).map_err(|kind| {
        let why = client.first_failure().unwrap_or(kind.name());
        format!("the TLS handshake failed: {why}")
    })
}

/// Finds the first address that takes a connection from the `sources`, of those that they lead to.
///
/// # Errors
/// [`LoadError::Unreachable`] if none does within `timeout`; [`LoadError::Source`] if one is not this machine's. Dropped, it leaves nothing open.
pub async fn reach_from(
    url: &BaseUrl,
    sources: &[IpAddr],
    timeout: Duration,
) -> Result<SocketAddr, LoadError> {
    let failed = |why: String| LoadError::Unreachable { url: url.origin(), why };
    dial::check(sources)?;
    let mut tried = Vec::new();
    let attempt = async {
        let found =
            tokio::net::lookup_host((&*url.host, url.port)).await.map_err(|e| failed(e.to_string()))?;
        tried = fitting(found.collect(), sources);
        if tried.is_empty() {
            return Err(failed("the name has no addresses".to_owned()));
        }
        let connect = |address| dial(source_for(sources, address), address);
        race(&tried, connect).await.map_err(|told| failed(told.join("; ")))
    };
    let reached = tokio::time::timeout(timeout, attempt).await;
    reached.unwrap_or_else(|_| {
        let to: Vec<String> = tried.iter().map(ToString::to_string).collect();
        let from = if to.is_empty() { String::new() } else { format!(" from {}", to.join(", ")) };
        Err(failed(format!("no answer within {} ms{from}", timeout.as_millis())))
    })
}

/// From where an address is tried: a server may let in nobody else.
fn source_for(sources: &[IpAddr], address: SocketAddr) -> Option<IpAddr> {
    sources.iter().copied().find(|source| source.is_ipv4() == address.is_ipv4())
}

/// The addresses of the sources' version of IP. Where there is none all of them are left, so that it is the sources that are
/// found to be of no use.
fn fitting(found: Vec<SocketAddr>, sources: &[IpAddr]) -> Vec<SocketAddr> {
    let fits = |address: &SocketAddr| sources.iter().all(|source| source.is_ipv4() == address.is_ipv4());
    if found.iter().any(fits) { found.into_iter().filter(fits).collect() } else { found }
}

/// The first of `addresses` that takes a connection. One that says nothing does not hold up the next, which is tried beside it;
/// one that fails is followed at once.
///
/// # Errors
/// What each of them said.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    mut connect: impl FnMut(SocketAddr) -> F,
) -> Result<SocketAddr, Vec<String>> {
    let mut rest = addresses.iter().copied().peekable();
    let (mut open, mut told) = (Vec::new(), Vec::new());
    loop {
        open.extend(rest.next().map(|address| (address, Box::pin(connect(address)))));
        if open.is_empty() {
            return Err(told);
        }
        let first = poll_fn(|cx| {
            for (i, (_, attempt)) in open.iter_mut().enumerate() {
                if let Poll::Ready(end) = attempt.as_mut().poll(cx) {
                    return Poll::Ready((i, end));
                }
            }
            Poll::Pending
        });
        let ended = if rest.peek().is_some() {
            tokio::time::timeout(NEXT_AFTER, first).await.ok()
        } else {
            Some(first.await)
        };
        match ended {
            Some((i, Ok(_))) => return Ok(open[i].0),
            Some((i, Err(e))) => {
                let (address, _) = open.swap_remove(i);
                told.push(format!("{address}: {e}"));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: [&str; 3]) -> [SocketAddr; 3] {
        text.map(|a| a.parse().unwrap())
    }

    #[test]
    fn an_address_that_says_nothing_holds_no_other_up() {
        let [dead, refused, good] = addresses(["[2001:db8::1]:80", "192.0.2.1:80", "192.0.2.2:80"]);
        let connect = |address: SocketAddr| async move {
            if address == dead {
                std::future::pending::<()>().await;
            }
            if address == refused { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok(()) }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let won = |all: &[SocketAddr]| {
            runtime.block_on(async {
                let limit = Duration::from_secs(30);
                tokio::time::timeout(limit, race(all, connect)).await.expect("one of them speaks")
            })
        };
        assert_eq!(won(&[dead, refused, good]), Ok(good));
        assert_eq!(won(&[dead, good, refused]), Ok(good));
        let said = |address: SocketAddr| format!("{address}: connection refused");
        assert_eq!(won(&[refused, refused]), Err(vec![said(refused), said(refused)]));
        assert_eq!(won(&[]), Err(Vec::new()));
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_target_is_looked_for_from_where_the_load_will_come() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let url = BaseUrl { tls: true, host: "127.0.0.1".to_owned(), port: to.port(), prefix: String::new() };
        let from: IpAddr = "127.0.0.9".parse().unwrap();
        let mut transport = Transport { sources: vec![from], ..Transport::default() };
        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < 2 {
                // To hang up on it is no handshake.
                seen.push(listener.accept().await.unwrap().1.ip());
            }
            seen
        };
        let limit = Duration::from_secs(30);
        let (reached, seen) = tokio::join!(reach(&url, &transport, limit), seen);
        assert!(matches!(reached, Err(LoadError::Unreachable { .. })), "{reached:?}");
        assert_eq!(seen, [from; 2], "the connection, and the handshake");
        transport.sources.push("192.0.2.7".parse().unwrap());
        let told = reach(&url, &transport, limit).await.unwrap_err().to_string();
        assert!(told.contains("192.0.2.7") && told.contains("not this machine's"), "{told}");
    }

    #[test]
    fn addresses_that_the_sources_do_not_lead_to_are_left_out() {
        let all = addresses(["[::1]:80", "127.0.0.1:80", "127.0.0.2:80"]);
        let from = |sources: &[&str]| {
            let sources: Vec<IpAddr> = sources.iter().map(|s| s.parse().unwrap()).collect();
            fitting(all.to_vec(), &sources)
        };
        assert_eq!(from(&[]), all);
        assert_eq!(from(&["127.0.0.9"]), all[1..]);
        assert_eq!(from(&["::1"]), all[..1]);
        assert_eq!(from(&["::1", "127.0.0.9"]), all, "the sources are told of");
    }
}
