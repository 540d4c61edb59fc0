//! The probe's client: asks an agent's endpoint and trusts nothing that it answers.
//!
//! Owns the addresses and decoding; HTTP with its limits is `fetch`'s. What a batch's
//! contents are worth is checked in `admit`; when to ask is `agent`'s business.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use timeline::LaneSpec;
use timeline::probe::{Batch, Instances, VERSION};
use timeline::profile;
use timeline::text::clean;

use super::batches::Answered;
use super::fetch::{self, FetchError, Fetched, WORDS};
use super::place::shown;

/// Longest answer, MiB. A tick of 500 lanes takes about 10 KB, the 30 s that an agent keeps 3 MB.
const MAX_BODY_MIB: u64 = 4;

/// A number that no tick has for 13 years: who asks for what came after it is given the lanes alone.
const AFTER_ALL: u64 = 1 << 32;

/// Longest profile, MiB: what a recording keeps.
const PROFILE_MIB: u64 = (profile::MAX_BYTES >> 20) as u64;
/// What it may take longer than its length: the first one loads the tables of all libraries.
const PROFILE_GRACE: Duration = Duration::from_secs(15);

/// Why an endpoint's answer is no use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// The address is none that we can ask.
    #[error("`{0}` is not an address of the form http://HOST:PORT")]
    BadAddress(String),
    /// Its address holds a user or a password.
    #[error("its address holds a user or a password: leave them out, the token is read from DYNO_TOKEN")]
    Credentials,
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The token is not the endpoint's.
    #[error("the token was refused (status {0}); it is read from DYNO_TOKEN")]
    Token(u16),
    /// No such instance.
    #[error("there is no such process (status {0})")]
    Gone(u16),
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
            Self::Fetch(e) => e.state(),
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
    /// [`ProbeError::BadAddress`] and [`ProbeError::Credentials`]: only plain HTTP without user, path and query is spoken.
    pub fn new(url: &str, token: &str) -> Result<Self, ProbeError> {
        let base = url.trim_end_matches('/');
        let host = base.strip_prefix("http://").unwrap_or("");
        if host.contains('@') {
            return Err(ProbeError::Credentials);
        }
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) || host.contains(char::is_control) {
            return Err(ProbeError::BadAddress(shown(url)));
        }
        Ok(Self { base: base.to_owned(), token: token.to_owned(), http: fetch::client() })
    }

    /// Who answers here.
    pub fn instances(&self) -> Result<Instances, ProbeError> {
        let answer: Instances = decode(&self.get("/v1/instances")?.body)?;
        if answer.version > VERSION { Err(ProbeError::Newer(answer.version)) } else { Ok(answer) }
    }

    /// All ticks of `instance` after `since`. The name must be one that [`super::admit::plain_name`] admits.
    pub fn samples(&self, instance: &str, since: u64) -> Result<Answered, ProbeError> {
        let Fetched { body, sent, received } =
            self.get(&format!("/v1/instances/{instance}/samples?since={since}"))?;
        let batch: Batch = decode(&body)?;
        if batch.version > VERSION {
            return Err(ProbeError::Newer(batch.version));
        }
        Ok(Answered { batch, sent, received })
    }

    /// The lanes that `instance` has declared so far. Waits for `patience` and no longer.
    pub fn lanes(&self, instance: &str, patience: Duration) -> Result<Vec<LaneSpec>, ProbeError> {
        let quick = Self { http: fetch::patient_client(patience), ..self.clone() };
        quick.samples(instance, AFTER_ALL).map(|answered| answered.batch.lanes)
    }

    /// The CPU profile of `instance` over the next seconds, in pprof's form. Takes as long.
    pub fn profile(&self, instance: &str, seconds: u64) -> Result<Vec<u8>, ProbeError> {
        let patience = Duration::from_secs(seconds) + PROFILE_GRACE;
        let patient = Self { http: fetch::patient_client(patience), ..self.clone() };
        let path = format!("/v1/instances/{instance}/profile?seconds={seconds}&format=pprof");
        patient.ask(&path, PROFILE_MIB).map(|fetched| fetched.body)
    }

    fn get(&self, path: &str) -> Result<Fetched, ProbeError> {
        self.ask(path, MAX_BODY_MIB)
    }

    fn ask(&self, path: &str, most_mib: u64) -> Result<Fetched, ProbeError> {
        let url = format!("{}{path}", self.base);
        let bearer = format!("Bearer {}", self.token);
        fetch::get(&self.http, &url, &[("Authorization", &bearer)], most_mib).map_err(|e| match e {
            FetchError::Status(status @ (401 | 403)) => ProbeError::Token(status),
            FetchError::Status(status @ (404 | 410)) => ProbeError::Gone(status),
            FetchError::Protocol(why) => ProbeError::Malformed(why),
            e => ProbeError::Fetch(e),
        })
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
