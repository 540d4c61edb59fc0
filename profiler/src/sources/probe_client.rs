//! The probe's client: asks an agent's endpoint and trusts nothing that it answers.
//!
//! Owns HTTP with its limits (time, size, no redirects, no proxy) and decoding. What a batch's
//! contents are worth is checked in `admit`; when to ask is `agent`'s business.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use timeline::MonoNs;
use timeline::probe::{Batch, Instances, VERSION};
use timeline::text::clean;

use super::batches::Answered;

/// Longest answer, bytes. A tick of 500 lanes takes about 10 KB, the 30 s that an agent keeps 3 MB.
const MAX_BODY: u64 = 4 << 20;
/// Longest time for one request. A target that stands still for longer is asked again.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most characters of the target's own words in an error.
const WORDS: usize = 160;

/// Why an endpoint's answer is no use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// The address is none that we can ask.
    #[error("`{0}` is not an address of the form http://HOST:PORT")]
    BadAddress(String),
    /// Nobody listens, or the connection broke.
    #[error("nobody answers ({0})")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("no answer within 2 s")]
    TimedOut,
    /// The token is not the endpoint's.
    #[error("the token was refused (status {0}); it is read from DYNO_TOKEN")]
    Token(u16),
    /// No such instance.
    #[error("there is no such process (status {0})")]
    Gone(u16),
    /// Another status than success.
    #[error("status {0}")]
    Status(u16),
    /// More bytes than an answer may have.
    #[error("the answer is longer than 4 MiB")]
    TooLong,
    /// Something else than the probe's messages.
    #[error("the answer is not the probe's: {0}")]
    Malformed(String),
    /// A newer agent.
    #[error("the agent speaks version {0} of the probe, this dyno knows versions up to {VERSION}")]
    Newer(u32),
}

impl ProbeError {
    /// One word for the state of the source: what detectors read.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::TimedOut => "silent",
            Self::Unreachable(_) => "refused",
            Self::Gone(_) => "gone",
            _ => "failing",
        }
    }
}

/// One endpoint, and its token.
#[derive(Clone)]
pub(super) struct ProbeClient {
    base: String,
    token: String,
    http: ureq::Agent,
}

impl ProbeClient {
    /// # Errors
    /// [`ProbeError::BadAddress`]: only plain HTTP without user, path and query is spoken.
    pub fn new(url: &str, token: &str) -> Result<Self, ProbeError> {
        let base = url.trim_end_matches('/');
        let host = base.strip_prefix("http://").unwrap_or("");
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) || host.contains(char::is_control) {
            return Err(ProbeError::BadAddress(clean(url, WORDS)));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0) // the token goes nowhere else
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("dyno")
            .build();
        Ok(Self { base: base.to_owned(), token: token.to_owned(), http: config.new_agent() })
    }

    /// Who answers here.
    pub fn instances(&self) -> Result<Instances, ProbeError> {
        let (body, _, _) = self.get("/v1/instances")?;
        let answer: Instances = decode(&body)?;
        if answer.version > VERSION { Err(ProbeError::Newer(answer.version)) } else { Ok(answer) }
    }

    /// All ticks of `instance` after `since`. The name must be one that [`super::admit::plain_name`] admits.
    pub fn samples(&self, instance: &str, since: u64) -> Result<Answered, ProbeError> {
        let (body, sent, received) = self.get(&format!("/v1/instances/{instance}/samples?since={since}"))?;
        let batch: Batch = decode(&body)?;
        if batch.version > VERSION {
            return Err(ProbeError::Newer(batch.version));
        }
        Ok(Answered { batch, sent, received })
    }

    fn get(&self, path: &str) -> Result<(Vec<u8>, MonoNs, MonoNs), ProbeError> {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .header("Authorization", format!("Bearer {}", self.token));
        let sent = MonoNs::now();
        let mut response = request.call().map_err(|e| named(&e))?;
        let received = MonoNs::now();
        match response.status().as_u16() {
            200 => {}
            status @ (401 | 403) => return Err(ProbeError::Token(status)),
            status @ (404 | 410) => return Err(ProbeError::Gone(status)),
            status => return Err(ProbeError::Status(status)),
        }
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(|e| named(&e))?;
        Ok((body, sent, received))
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProbeError> {
    #[derive(Deserialize)]
    struct VersionOnly {
        version: u32,
    }
    serde_json::from_slice(body).map_err(|e| match serde_json::from_slice::<VersionOnly>(body) {
        // A newer message may have another shape; the version says more than the first field that is off.
        Ok(v) if v.version > VERSION => ProbeError::Newer(v.version),
        _ => ProbeError::Malformed(clean(&e.to_string(), WORDS)),
    })
}

fn named(error: &ureq::Error) -> ProbeError {
    let unreachable = |e: &dyn std::fmt::Display| ProbeError::Unreachable(clean(&e.to_string(), WORDS));
    match error {
        ureq::Error::Timeout(_) => ProbeError::TimedOut,
        ureq::Error::BodyExceedsLimit(_) => ProbeError::TooLong,
        ureq::Error::Io(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            ProbeError::TimedOut
        }
        // The limits of body and time come wrapped when they strike while the body is read.
        ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(inner) => named(inner),
            None => unreachable(e),
        },
        ureq::Error::Protocol(e) => ProbeError::Malformed(clean(&e.to_string(), WORDS)),
        e => unreachable(e),
    }
}
