//! The probe's endpoint: accepts connections and answers what `timeline::probe` defines.
//!
//! Owns the listener, the bound on connections, the token and the routes. Bytes are `http`'s business.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::probe::{Batch, InstanceInfo, Instances, VERSION};

use crate::http::{Connection, NoRequest, Request, Response};
use crate::profile::{self, Format, ProfileError};
use crate::tally::lock;
use crate::threads::{Stop, Threads};
use crate::ticker::Kept;

/// Most connections at once: a recorder, a dashboard, a person with a profile, and as many again.
const MOST_CONNECTIONS: usize = 8;
/// Pause after a failed accept (no descriptor left), so that the thread does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Who this is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Name of the service.
    pub(crate) service: String,
    /// Name, process id and generation of this process.
    pub(crate) instance: InstanceInfo,
    /// When its ticks began.
    pub(crate) began: MonoNs,
}

/// What the endpoint serves, and to whom.
#[derive(Debug)]
pub(crate) struct Served {
    /// Who this is.
    pub(crate) identity: Identity,
    /// The ticks.
    pub(crate) kept: Arc<Kept>,
    token: String,
    open: Mutex<Vec<(u64, TcpStream)>>,
    stop: Arc<Stop>,
}

impl Served {
    /// Nobody connected yet.
    pub(crate) fn new(identity: Identity, kept: Arc<Kept>, token: String, stop: Arc<Stop>) -> Self {
        Self { identity, kept, token, open: Mutex::default(), stop }
    }

    /// All ticks after number `since`.
    pub(crate) fn batch(&self, since: u64) -> Batch {
        let kept = self.kept.since(since);
        Batch {
            version: VERSION,
            instance: self.identity.instance.name.clone(),
            pid: self.identity.instance.pid,
            began: self.identity.began.0,
            now: MonoNs::now(),
            lanes: kept.lanes,
            ticks: kept.ticks,
            lost: kept.lost,
        }
    }

    /// Ends all connections; their threads see it and end.
    pub(crate) fn hang_up(&self) {
        for (_, stream) in lock(&self.open).iter() {
            // It may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn answer(&self, request: &Request) -> Response {
        if !authorised(request.authorization.as_deref(), &self.token) {
            return Response::error(401, "the bearer token is missing or wrong");
        }
        match self.route(request) {
            Ok(response) => response,
            Err((status, why)) => Response::error(status, &why),
        }
    }

    fn route(&self, request: &Request) -> Result<Response, (u16, String)> {
        let parts: Vec<&str> = request.path.split('/').collect();
        let own = self.identity.instance.name.as_str();
        let answer: &dyn Fn() -> Result<Response, (u16, String)> = match parts[..] {
            ["", "v1", "instances"] => &|| Ok(json(&self.instances())),
            ["", "v1", "instances", name, "samples"] if name == own => &|| {
                let since = number(&request.query, "since", 0)?;
                Ok(json(&self.batch(since)))
            },
            ["", "v1", "instances", name, "profile"] if name == own => &|| self.profile(&request.query),
            _ => return Err((404, "there is nothing here".to_owned())),
        };
        if request.method != "GET" {
            return Err((405, "only GET is answered here".to_owned()));
        }
        answer()
    }

    fn instances(&self) -> Instances {
        Instances {
            version: VERSION,
            service: self.identity.service.clone(),
            instances: vec![self.identity.instance.clone()],
        }
    }

    fn profile(&self, query: &str) -> Result<Response, (u16, String)> {
        let seconds = number(query, "seconds", profile::DEFAULT_SECONDS)?;
        if !(1..=profile::MOST_SECONDS).contains(&seconds) {
            return Err((400, format!("seconds must be 1 to {}", profile::MOST_SECONDS)));
        }
        let format = match value(query, "format").unwrap_or("pprof") {
            "pprof" => Format::Pprof,
            "svg" => Format::Svg,
            _ => return Err((400, "format must be pprof or svg".to_owned())),
        };
        let status = |e: &ProfileError| {
            if matches!(e, ProfileError::Busy) { 409 } else { 503 }
        };
        let body = profile::take(Duration::from_secs(seconds), format, &self.stop);
        body.map(|b| Response::ok(format.content_type(), b)).map_err(|e| (status(&e), e.to_string()))
    }
}

fn json(value: &impl serde::Serialize) -> Response {
    serde_json::to_vec(value)
        .map_or_else(|e| Response::error(500, &e.to_string()), |body| Response::ok("application/json", body))
}

/// The last value of `name` in `query`. Nothing that the probe takes needs escapes.
fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).rfind(|(n, _)| *n == name).map(|(_, v)| v)
}

fn number(query: &str, name: &str, default: u64) -> Result<u64, (u16, String)> {
    value(query, name)
        .map_or(Ok(default), |text| text.parse().map_err(|_| (400, format!("{name} must be a whole number"))))
}

/// Whether `field` is `Bearer TOKEN`, in a time that depends on the lengths alone.
fn authorised(field: Option<&str>, token: &str) -> bool {
    let Some((scheme, given)) = field.and_then(|f| f.split_once(' ')) else {
        return false;
    };
    let (given, token) = (given.trim().as_bytes(), token.as_bytes());
    let differences = given.iter().zip(token).fold(0, |acc, (a, b)| std::hint::black_box(acc | (a ^ b)));
    scheme.eq_ignore_ascii_case("bearer") && given.len() == token.len() && differences == 0
}

/// The accepting thread's work: a thread for each connection, up to the bound.
pub(crate) fn accept(listener: &TcpListener, served: &Arc<Served>, threads: &Arc<Threads>, stop: &Stop) {
    let mut number = 0;
    while !stop.asked() {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(ACCEPT_RETRY);
            continue;
        };
        if stop.asked() {
            return;
        }
        number += 1;
        // Losing a connection is all that can go wrong here; the client sees it.
        let _ = take_in(stream, number, served, threads);
    }
}

fn take_in(stream: TcpStream, number: u64, served: &Arc<Served>, threads: &Threads) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut open = lock(&served.open);
    if open.len() >= MOST_CONNECTIONS {
        drop(open);
        let full = Response::error(503, "too many connections to the probe");
        return Connection::new(stream).write(&full, false);
    }
    open.push((number, stream.try_clone()?));
    drop(open);
    // Either this sees the order to stop, or `hang_up`, which comes after it, sees the new connection.
    if served.stop.asked() {
        stream.shutdown(Shutdown::Both)?;
    }
    let place = Place { served: Arc::clone(served), number };
    threads.start("dyno-probe", move |stop| serve(Connection::new(stream), &place, stop))
}

/// A connection's place; free again when dropped.
struct Place {
    served: Arc<Served>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.served.open).retain(|(n, _)| *n != self.number);
    }
}

fn serve(mut connection: Connection, place: &Place, stop: &Stop) {
    loop {
        let (response, keep_alive) = match connection.read() {
            Ok(request) => {
                let response = place.served.answer(&request);
                // A stranger gets no second try on this connection.
                let keep = request.keep_alive && response.status != 401;
                (response, keep)
            }
            Err(NoRequest::Bad(why)) => (Response::error(400, why), false),
            Err(NoRequest::Gone) => return,
        };
        let keep_alive = keep_alive && !stop.asked();
        if connection.write(&response, keep_alive).is_err() {
            return;
        }
        if !keep_alive {
            return connection.close();
        }
        if connection.wait().is_err() {
            return;
        }
    }
}

/// Wakes the accepting thread after it was asked to stop.
pub(crate) fn knock(addr: SocketAddr) {
    let mut to = addr;
    if to.ip().is_unspecified() {
        let own: std::net::IpAddr = if to.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        to.set_ip(own);
    }
    // If nobody listens any more, nobody needs waking.
    let _ = TcpStream::connect_timeout(&to, Duration::from_secs(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        assert!(authorised(Some("Bearer secret"), "secret"));
        assert!(authorised(Some("bearer secret"), "secret"));
        for wrong in
            ["Bearer secre", "Bearer secrets", "Bearer Secret", "Basic secret", "secret", "Bearer ", ""]
        {
            assert!(!authorised(Some(wrong), "secret"), "{wrong}");
        }
        assert!(!authorised(None, "secret"));
    }

    #[test]
    fn a_query_is_read_by_name() {
        assert_eq!(value("a=1&since=4", "since"), Some("4"));
        assert_eq!(number("", "since", 9), Ok(9));
        assert!(number("since=-1", "since", 9).is_err());
        assert!(number("since=", "since", 9).is_err());
    }
}
