//! Starting an agent: what it may be told, what is refused.
//!
//! Owns the checks of names, token and address, and the wiring of meters, threads and endpoint. Everything
//! is checked and the port bound before the first thread starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::probe::InstanceInfo;

use crate::agent::{Agent, Meters, Running};
use crate::endpoint::{self, Identity, Served};
use crate::hiccup;
use crate::sampling;
use crate::threads::Threads;
use crate::ticker::{Kept, Ticker};

/// Age from which on a block is old. A request's own memory is gone long before; a session's is not.
const AGE_THRESHOLD: Duration = Duration::from_secs(5);
/// Most characters of a service's or instance's name.
const NAME_MAX: usize = 64;

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Without a token everybody on the host could read the probe.
    #[error("the probe endpoint needs a token: call Builder::token")]
    NoToken,
    /// The token could not be sent in a header field.
    #[error("the token may hold visible ASCII characters only, without spaces")]
    BadToken,
    /// A name that would not fit into a path.
    #[error("`{0}` is no good name: 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`")]
    BadName(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// An agent that is being described; see [`Agent::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    service: String,
    instance: Option<String>,
    generation: u32,
    token: Option<String>,
    listen: SocketAddr,
    age_threshold: Duration,
    watching: bool,
}

impl Builder {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            instance: None,
            generation: 0,
            token: None,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            age_threshold: AGE_THRESHOLD,
            watching: true,
        }
    }

    /// Name of this process, unique in the service; the service's name followed by `-0` unless told.
    #[must_use]
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = Some(name.into());
        self
    }

    /// How often the process behind this instance's name was started before; 0 unless told.
    #[must_use]
    pub const fn generation(mut self, generation: u32) -> Self {
        self.generation = generation;
        self
    }

    /// What a reader of the probe must show. Take it from the environment, never from a command line.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Where the probe listens; 127.0.0.1 and any free port unless told.
    #[must_use]
    pub const fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Age from which on a block of the heap is old; 5 s unless told.
    #[must_use]
    pub const fn age_threshold(mut self, age: Duration) -> Self {
        self.age_threshold = age;
        self
    }

    /// Whether it watches at all; true unless told. One that does not starts no thread but the one that listens, counts
    /// no request and samples no block, and its probe has no lanes: for measuring what watching costs. Meters other
    /// than that of requests count on, for nobody.
    #[must_use]
    pub const fn watching(mut self, watching: bool) -> Self {
        self.watching = watching;
        self
    }

    /// Binds the endpoint and starts the agent's threads.
    ///
    /// # Errors
    /// When token or names are no good, the address is taken, or the system gives no threads.
    pub fn start(self) -> Result<Agent, AgentError> {
        let token = checked_token(self.token)?;
        let service = checked_name(self.service)?;
        let instance = checked_name(self.instance.unwrap_or_else(|| format!("{service}-0")))?;
        let listen = |source| AgentError::Listen { addr: self.listen, source };
        let listener = TcpListener::bind(self.listen).map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;

        let now = MonoNs::now();
        let info = InstanceInfo {
            name: instance.clone(),
            pid: std::process::id(),
            generation: self.generation,
            deaths: 0,
        };
        let identity = Identity { service, instance: info, began: now };
        let meters = Meters::new(now);
        let ticker = Ticker::new(instance, meters.collectors(self.age_threshold), now);
        let threads = Arc::new(Threads::default());
        let kept = Arc::new(Kept::default());
        let served = Arc::new(Served::new(identity, Arc::clone(&kept), token, threads.stop()));
        // From here on, dropping it stops what has started.
        let running = Running::new(addr, Arc::clone(&threads), Arc::clone(&served), meters);

        let hiccups = Arc::clone(&running.meters.pauses.hiccups);
        let start = |name, work: Box<dyn FnOnce(&crate::threads::Stop) + Send>| {
            threads.start(name, work).map_err(AgentError::Thread)
        };
        if self.watching {
            start("dyno-hiccup", Box::new(move |stop| hiccup::watch(&hiccups, stop)))?;
            start("dyno-tick", Box::new(move |stop| ticker.run(&kept, stop)))?;
        } else {
            sampling::rest();
        }
        // Connections start threads of their own, so the accepting one holds the list that it is in; it
        // ends by order, and with it the circle.
        let own = Arc::clone(&threads);
        start("dyno-accept", Box::new(move |stop| endpoint::accept(&listener, &served, &own, stop)))?;
        Ok(Agent::new(running, self.watching))
    }
}

fn checked_token(token: Option<String>) -> Result<String, AgentError> {
    let token = token.filter(|t| !t.is_empty()).ok_or(AgentError::NoToken)?;
    if token.bytes().all(|b| b.is_ascii_graphic()) { Ok(token) } else { Err(AgentError::BadToken) }
}

fn checked_name(name: String) -> Result<String, AgentError> {
    let fits = (1..=NAME_MAX).contains(&name.len());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if fits && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(AgentError::BadName(timeline::text::clean(&name, NAME_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let error = |b: Builder| b.start().err().map(|e| e.to_string()).unwrap_or_default();
        let good = || Builder::new("shop").token("t");
        insta::assert_snapshot!([
            error(Builder::new("shop")),
            error(good().token("")),
            error(good().token("a b")),
            error(good().instance("shop/0")),
            error(Builder::new("").token("t")),
            error(good().instance("\u{1b}[2J")),
        ].join("\n"), @r"
        the probe endpoint needs a token: call Builder::token
        the probe endpoint needs a token: call Builder::token
        the token may hold visible ASCII characters only, without spaces
        `shop/0` is no good name: 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`
        `` is no good name: 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`
        `�[2J` is no good name: 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`
        ");
    }
}
