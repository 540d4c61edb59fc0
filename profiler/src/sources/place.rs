//! Place: where a store's server is, and who we are to it.
//!
//! Owns the reading of its address, what of an address may be shown, and the connecting within a deadline. The password is never
//! part of an address: it comes by environment.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use timeline::MonoNs;
use timeline::text::clean;

use super::{Sink, naming};

/// A server.
pub(super) struct Place {
    pub host: String,
    pub port: u16,
    /// Empty where none is named.
    pub user: String,
    /// Empty where the server takes none.
    pub password: String,
    /// Behind the port, without its slash.
    pub path: String,
}

impl Place {
    /// Reads `SCHEME://[USER@]HOST[:PORT][/PATH]` with one of these schemes; `port` where none is named.
    pub fn read(url: &str, schemes: &[&str], port: u16, password: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = rest.split_once('@').unwrap_or(("", rest));
        let bracketed = place.strip_prefix('[').and_then(|p| p.split_once(']'));
        let (host, named) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':')?)),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = named.map_or(Some(port), |p| p.parse().ok())?;
        let plain = |t: &str| !t.contains(['/', '@', '?', '#']) && !t.contains(char::is_whitespace);
        let right = schemes.contains(&scheme)
            && !host.is_empty()
            && [host, user, path].into_iter().all(plain)
            && !user.contains(':');
        right.then(|| Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Host and port, to be shown.
    pub fn address(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        clean(&format!("{host}:{}", self.port), 120)
    }

    /// What it is called as an instance of `source`.
    pub fn instance(&self, source: &str, sink: &mut dyn Sink) -> String {
        naming::server(source, &self.host, &self.port.to_string(), &self.path, sink)
    }

    /// Connects to the first of its addresses that answers.
    pub fn connect(&self, deadline: MonoNs) -> io::Result<TcpStream> {
        let mut why = io::Error::other("the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(stream),
                Err(e) => why = e,
            }
        }
        Err(why)
    }
}

/// Does an address hold a password, as `USER:PASSWORD@`? What is [`shown`] of it does not say so.
pub(super) fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password may hold what ends a place: behind such a sign only where no place stands before it.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let is_place = !authority.contains('@') && port.is_none_or(|p| p.parse::<u16>().is_ok());
    let user = if is_place { None } else { rest.rsplit_once('@') };
    user.is_some_and(|(user, _)| user.contains(':'))
}

/// An address without what may be secret in it.
#[must_use]
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return clean(url.rsplit_once('@').map_or(url, |(_, place)| place), 120);
    };
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    // Either side of a question mark may be a part of a password.
    let place = if rest.contains(['?', '#']) { "..." } else { place };
    clean(&format!("{scheme}://{place}"), 120)
}

/// When `patience` from now on is over.
pub(super) fn deadline(patience: Duration) -> MonoNs {
    MonoNs(MonoNs::now().0 + patience.as_nanos() as u64)
}

/// Time until `deadline`; an error of the kind `TimedOut` once it is over.
pub(super) fn left(deadline: MonoNs) -> io::Result<Duration> {
    let left = deadline.since(MonoNs::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Did it take too long?
pub(super) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<Place> {
        Place::read(url, &["redis"], 6379, "x")
    }

    #[test]
    fn addresses_have_no_password() {
        assert!(read("redis://me@127.0.0.1:7/").is_some_and(|p| p.port == 7 && p.user == "me"));
        assert!(read("redis://[::1]").is_some_and(|p| p.host == "::1" && p.address() == "[::1]:6379"));
        assert!(read("redis://h/a").is_some_and(|p| p.path == "a"));
        for wrong in [
            "redis://me:pw@127.0.0.1",
            "rediss://127.0.0.1",
            "redis://",
            "redis://h:x",
            "redis://[::1]7",
            "redis://h/a/b",
            "redis://h/a?password=pw",
            "127.0.0.1",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        for url in ["redis://me:pw@h:1", "redis://me:pw/x@h:1", "redis://:pw@h:1"] {
            assert_eq!(shown(url), "redis://h:1");
            assert!(holds_password(url), "{url}");
        }
        for url in ["redis://me@h:1", "redis://h:1/a", "redis://[::1]:7", "h:1", ""] {
            assert!(!holds_password(url), "{url}");
        }
        for url in ["redis://h/a?password=p@pw", "redis://me:pw?x@h"] {
            assert_eq!(shown(url), "redis://...");
        }
    }
}
