//! Fetching: one HTTP request to a target that is not trusted.
//!
//! Owns the client and its limits (time, size, no redirects, no proxy) and the names of what can go wrong. What the
//! bytes mean, and which status is which trouble, is for the source that asked. That nobody comes in between holds for whoever asks over HTTP.

use std::io;
use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::text::clean;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// Longest time for one request. A target that stands still for longer is asked again.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// What comes of it where [`client`] has no answer in time.
pub(super) const LATE: FetchError = FetchError::TimedOut(TIMEOUT);
/// Most characters of the target's own words in an error.
pub(super) const WORDS: usize = 160;

/// Why there is no answer.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// Nobody listens, or the connection broke.
    #[error("nobody answers ({0})")]
    Unreachable(String),
    /// No whole answer in this time, whole seconds.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Another status than success.
    #[error("status {0}")]
    Status(u16),
    /// More bytes than an answer may have.
    #[error("the answer is longer than {0} MiB")]
    TooLong(u64),
    /// This is no HTTP.
    #[error("the answer is no HTTP: {0}")]
    Protocol(String),
}

impl FetchError {
    /// One word for the state of the source: what detectors read.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "silent",
            Self::Unreachable(_) => "refused",
            _ => "failing",
        }
    }
}

/// A whole answer with the instants around the request.
pub(super) struct Fetched {
    pub body: Vec<u8>,
    pub sent: MonoNs,
    pub received: MonoNs,
}

/// The beginning of a client that asks whom it is told to and nobody else: it goes through no proxy, whatever the environment names, and
/// follows no redirect, because what proves who we are is for no third party. An answer that redirects is given as it is.
#[must_use]
pub fn direct() -> ConfigBuilder<AgentScope> {
    #[expect(clippy::disallowed_methods, reason = "the one place that begins a client")]
    let usual = ureq::Agent::config_builder();
    usual.max_redirects(0).max_redirects_will_error(false).proxy(None).user_agent("dyno")
}

/// A client of a source.
pub(super) fn client() -> ureq::Agent {
    patient_client(TIMEOUT)
}

/// The same for an answer that takes longer by its nature.
pub(super) fn patient_client(patience: Duration) -> ureq::Agent {
    direct().timeout_global(Some(patience)).http_status_as_error(false).build().new_agent()
}

/// Asks `url` with these headers; an answer has `most_mib` MiB at most.
pub(super) fn get(
    client: &ureq::Agent,
    url: &str,
    headers: &[(&str, &str)],
    most_mib: u64,
) -> Result<Fetched, FetchError> {
    let patience = client.config().timeouts().global.unwrap_or(TIMEOUT);
    let failed = |e: ureq::Error| named(&e, patience, most_mib);
    let request = headers.iter().fold(client.get(url), |r, (name, value)| r.header(*name, *value));
    let sent = MonoNs::now();
    let mut response = request.call().map_err(failed)?;
    let received = MonoNs::now();
    let status = response.status().as_u16();
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    let body = response.body_mut().with_config().limit(most_mib << 20).read_to_vec();
    Ok(Fetched { body: body.map_err(failed)?, sent, received })
}

fn named(error: &ureq::Error, patience: Duration, most_mib: u64) -> FetchError {
    let unreachable = |e: &dyn std::fmt::Display| FetchError::Unreachable(clean(&e.to_string(), WORDS));
    match error {
        ureq::Error::Timeout(_) => FetchError::TimedOut(patience),
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLong(most_mib),
        ureq::Error::Io(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            FetchError::TimedOut(patience)
        }
        // The limits of body and time come wrapped when they strike while the body is read.
        ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(inner) => named(inner, patience, most_mib),
            None => unreachable(e),
        },
        ureq::Error::Protocol(e) => FetchError::Protocol(clean(&e.to_string(), WORDS)),
        e => unreachable(e),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_does_not_answer_is_told_with_the_time_that_was_waited_for_it() {
        // Connections are made by the system, and nobody takes them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let patience = Duration::from_millis(50);
        let answer = get(&patient_client(patience), &url, &[], 1);
        assert_eq!(answer.map(|fetched| fetched.body), Err(FetchError::TimedOut(patience)));
        assert_eq!(LATE.to_string(), "no answer within 2 s");
        assert_eq!(FetchError::TimedOut(Duration::from_secs(16)).to_string(), "no answer within 16 s");
    }
}
