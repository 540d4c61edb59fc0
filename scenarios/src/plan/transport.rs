//! How a run talks to its target: TLS, and what of HTTP a whole run or one request chooses.
//!
//! Everything here is off unless a scenario asks for it. Files are read when the plan is made, so that workers need none.

use serde::{Deserialize, Serialize};

use super::Secret;

/// Most redirects that a step may follow; browsers stop at 20.
pub const REDIRECTS_MAX: u8 = 20;

/// What `[target]` chooses for all requests of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transport {
    /// TLS, for a target whose [`BaseUrl::tls`](super::BaseUrl::tls) is set.
    pub tls: Tls,
    /// Ask for compressed answers.
    pub compression: bool,
    /// How many redirects a step follows, unless it says otherwise; 0 to [`REDIRECTS_MAX`].
    pub redirects: u8,
    /// Sessions keep cookies.
    pub cookies: bool,
    /// Which version of HTTP requests speak; WebSockets speak 1.1.
    pub http: HttpVersion,
}

/// A version of HTTP, or the choice between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// 1.1.
    #[default]
    Http1,
    /// 2: in plaintext by prior knowledge, over TLS offered alone.
    Http2,
    /// What the server chooses by ALPN; 1.1 in plaintext.
    Auto,
}

impl HttpVersion {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Auto];

    /// As a scenario writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
            Self::Auto => "auto",
        }
    }
}

/// TLS as the client speaks it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Authorities that are trusted beside the machine's own, PEM; empty: none.
    pub ca: String,
    /// The client's own certificate chain and key.
    pub client: Option<ClientCert>,
    /// Any certificate is taken for good.
    pub insecure: bool,
    /// The name that is asked for and that the certificate must bear, instead of the address's host.
    pub server_name: Option<String>,
    /// The one version spoken; none: 1.2 and 1.3.
    pub version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

impl TlsVersion {
    /// As a scenario writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}

/// What a client proves itself by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCert {
    /// Certificate chain, PEM.
    pub chain: String,
    /// Its private key, PEM; the name is the file's.
    pub key: Secret,
}

/// What one request chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestOptions {
    /// Send the body only after `100 Continue` (or a second without it).
    pub expect_continue: bool,
    /// How many redirects are followed; none: as [`Transport::redirects`] says.
    pub redirects: Option<u8>,
}

impl Transport {
    /// Empties what must not be kept.
    pub(super) fn hide_secrets(&mut self) {
        if let Some(client) = &mut self.tls.client {
            client.key.value.clear();
        }
    }
}
