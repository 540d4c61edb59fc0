//! What `[target]` and a request say about sockets, TLS and HTTP: `sources`, `tls`, `http`, `compression`, `cookies`, `redirects`, `expect-continue`.
//!
//! Owns the reading of PEM files, and whether a client's certificate and key fit each other; whether they are any good beyond that is
//! found out by who builds a connection from them.

use std::net::IpAddr;
use std::path::Path;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Overrides;
use super::keys;
use super::reader::{Fields, Reader, Value};
use crate::mistake::{Wrong, quoted};
use crate::plan::{
    BaseUrl, ClientCert, HttpVersion, REDIRECTS_MAX, RequestOptions, Secret, Target, Tls, TlsVersion,
    Transport,
};
use crate::text::address;

/// Longest PEM file, bytes: the bundle of all public authorities is a quarter of it.
const PEM_MAX: u64 = 1024 * 1024;
/// Most local addresses: each has some 28,000 ports for one target.
const SOURCES_MAX: usize = 1024;
const SOURCES_LOOK: &str = "local addresses to connect from, such as [\"10.0.0.2\", \"10.0.0.3\"]";
const HTTP_LOOK: &str = "\"1.1\", \"2\" or \"auto\"";
const CA_LOOK: &str = "the path of a PEM file with certificates, such as \"ca.pem\"";
const CERT_LOOK: &str = "the path of a PEM file with a certificate chain, such as \"client.pem\"";
const KEY_LOOK: &str = "the path of a PEM file with a private key, such as \"client.key\"";

/// Reads what `[target]` says of it; what is wrong is noted and left out.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>) -> Transport {
    let Some(fields) = file.get("target").and_then(|v| reader.quiet(v, keys::TARGET)) else {
        return Transport::default();
    };
    let flag = |key| fields.get(key).and_then(|v| reader.boolean(v)).unwrap_or_default();
    Transport {
        tls: fields.get("tls").and_then(|v| tls(reader, v)).unwrap_or_default(),
        compression: flag("compression"),
        redirects: fields.get("redirects").and_then(|v| redirects(reader, v)).unwrap_or_default(),
        cookies: flag("cookies"),
        sources: fields.get("sources").map(|v| sources(reader, v)).unwrap_or_default(),
        http: fields.get("http").and_then(|v| reader.read(v, HTTP_LOOK, http)).unwrap_or_default(),
    }
}

/// A version of HTTP, as a scenario or the command line writes it.
fn http(text: &str) -> Result<HttpVersion, Wrong> {
    let names = || HttpVersion::ALL.into_iter().map(HttpVersion::name);
    HttpVersion::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| {
        let wrong = Wrong::new(format!("{} is not a version of HTTP that is spoken here", quoted(text)));
        match text {
            "1" | "1.0" | "h1" | "http/1.1" => wrong.expected(HTTP_LOOK).help("did you mean `1.1`?"),
            "2.0" | "h2" | "h2c" | "http/2" => wrong.expected(HTTP_LOOK).help("did you mean `2`?"),
            _ => wrong.expected(HTTP_LOOK).did_you_mean(text, names()),
        }
    })
}

/// What is wrong with speaking `http` to `target`, if anything.
fn spoken(http: HttpVersion, target: &Target) -> Option<Wrong> {
    match (http, target) {
        (HttpVersion::Http2, Target::Bundled) => {
            Some(Wrong::new("the bundled backend speaks HTTP/1.1 alone").expected("\"1.1\""))
        }
        (HttpVersion::Auto, Target::Bundled | Target::Url(BaseUrl { tls: false, .. })) => {
            let wrong =
                Wrong::new("the target is not reached over TLS, so it cannot choose a version of HTTP");
            Some(wrong.expected("\"1.1\", \"2\", or an address that begins with https://"))
        }
        _ => None,
    }
}

fn sources(reader: &Reader<'_>, value: &Value<'_>) -> Vec<IpAddr> {
    let values = reader.array(value, SOURCES_LOOK, SOURCES_MAX).unwrap_or_default();
    let read = |v| reader.read(v, SOURCES_LOOK, source);
    values.iter().filter_map(read).collect()
}

/// An address of this machine, as `sources` names it.
fn source(text: &str) -> Result<IpAddr, Wrong> {
    let look = "an IP address of this machine, such as \"10.0.0.2\"";
    text.parse().map_err(|_| Wrong::new(format!("{} is no IP address", quoted(text))).expected(look))
}

/// Notes a `tls` table that would have no effect.
pub(super) fn check(reader: &Reader<'_>, file: &Fields<'_>, target: &Target, overrides: &Overrides) {
    let plain = !matches!(target, Target::Url(url) if url.tls);
    let Some(fields) = file.get("target").and_then(|v| reader.quiet(v, keys::TARGET)) else { return };
    if plain && overrides.target.is_none() && fields.get("tls").is_some() {
        let wrong = Wrong::new("the target is not reached over TLS, so `tls` would have no effect");
        reader.wrong(fields.key_span("tls"), wrong.expected("url = \"https://...\", or no `tls`"));
    }
}

/// Which version of HTTP is spoken: what the command line says, or else the scenario.
pub(super) fn choose_http(
    reader: &Reader<'_>,
    file: &Fields<'_>,
    target: &Target,
    overrides: &Overrides,
    written: HttpVersion,
) -> HttpVersion {
    if let Some(text) = &overrides.http {
        return flag(text, target).map_err(|w| reader.wrong_outside(w)).unwrap_or_default();
    }
    if let Some(wrong) = spoken(written, target) {
        match file.get("target").and_then(|v| reader.quiet(v, keys::TARGET)) {
            Some(fields) if overrides.target.is_none() => reader.wrong(fields.key_span("http"), wrong),
            _ => reader.wrong_outside(wrong.in_front("--target")),
        }
    }
    written
}

/// What `--http` says.
pub(crate) fn flag(text: &str, target: &Target) -> Result<HttpVersion, Wrong> {
    let chosen = http(text).and_then(|http| spoken(http, target).map_or(Ok(http), Err));
    chosen.map_err(|wrong| wrong.in_front("--http"))
}

/// Reads what a request says of it.
pub(super) fn options(reader: &Reader<'_>, fields: &Fields<'_>) -> RequestOptions {
    RequestOptions {
        expect_continue: fields.get("expect-continue").and_then(|v| reader.boolean(v)).unwrap_or_default(),
        chunked: fields.get("chunked").and_then(|v| reader.boolean(v)).unwrap_or_default(),
        redirects: fields.get("redirects").and_then(|v| redirects(reader, v)),
    }
}

fn redirects(reader: &Reader<'_>, value: &Value<'_>) -> Option<u8> {
    reader.integer(value, 0..=u64::from(REDIRECTS_MAX)).map(|n| n as u8)
}

fn tls(reader: &Reader<'_>, value: &Value<'_>) -> Option<Tls> {
    let fields = reader.fields(value, keys::TLS)?;
    let pem = |key, look, label| fields.get(key).and_then(|v| pem(reader, v, look, label));
    let ca = pem("ca", CA_LOOK, "CERTIFICATE").map(|(_, text)| text).unwrap_or_default();
    let chain = pem("cert", CERT_LOOK, "CERTIFICATE");
    let key = pem("key", KEY_LOOK, "PRIVATE KEY");
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if fields.get(one).is_some() && fields.get(other).is_none() {
            let wrong = Wrong::new(format!("a client proves itself by both: `{other}` is missing"));
            reader.wrong(fields.key_span(one), wrong.expected("cert = \"client.pem\", key = \"client.key\""));
        }
    }
    if let (Some((name, chain)), Some((_, private))) = (&chain, &key)
        && are_strangers(chain, private)
    {
        let wrong = Wrong::new(format!("this is not the key of the certificate in {}", quoted(name)));
        let span = fields.get("key").map_or_else(|| fields.span(), |v| v.span());
        reader.wrong(span, wrong.expected("the private key that the certificate was made for"));
    }
    let client =
        chain.zip(key).map(|((_, chain), (name, value))| ClientCert { chain, key: Secret { name, value } });
    let server_name = fields.get("server-name").and_then(|v| {
        reader.read(v, "a host name such as \"shop.example\"", |text| {
            address::host(text).map(str::to_owned).ok_or_else(|| {
                Wrong::new(format!("{} is not a host name", quoted(text)))
                    .expected("a name such as \"shop.example\"")
            })
        })
    });
    let insecure = fields.get("insecure").and_then(|v| reader.boolean(v)).unwrap_or_default();
    let version = fields.get("versions").and_then(|v| reader.read(v, "\"1.2\" or \"1.3\"", version));
    Some(Tls { ca, client, insecure, server_name, version })
}

fn version(text: &str) -> Result<TlsVersion, Wrong> {
    [TlsVersion::V12, TlsVersion::V13].into_iter().find(|v| v.name() == text).ok_or_else(|| {
        Wrong::new(format!("{} is not a version of TLS that is spoken here", quoted(text)))
            .expected("\"1.2\" or \"1.3\"; without `versions`, both")
    })
}

/// A PEM file that holds at least one section of the kind `label`: its name and text.
pub(super) fn pem(
    reader: &Reader<'_>,
    value: &Value<'_>,
    look: &str,
    label: &str,
) -> Option<(String, String)> {
    reader.read(value, look, |name| {
        let text = pem_text(&reader.beside(value, name)?, name, look, label)?;
        Ok((timeline::text::clean(name, 64), text))
    })
}

/// Is it known that `key` is not that of the first certificate in `chain`? Not of what cannot be read: that is told by who uses it.
fn are_strangers(chain: &str, key: &str) -> bool {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let (Ok(chain), Ok(key)) = (chain, key) else { return false };
    let fit = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    matches!(fit, Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)))
}

/// The PEM file of authorities that `--ca` names.
pub(crate) fn authorities(file: &Path) -> Result<String, Wrong> {
    pem_text(file, &file.to_string_lossy(), CA_LOOK, "CERTIFICATE")
}

/// The text of a PEM file, known to its reader as `name`, with a section of the kind `label`.
fn pem_text(path: &Path, name: &str, look: &str, label: &str) -> Result<String, Wrong> {
    let text = String::from_utf8(crate::files::read(path, PEM_MAX)?).unwrap_or_default();
    // `RSA PRIVATE KEY` and `EC PRIVATE KEY` end alike.
    let end = format!("{label}-----");
    if text.lines().any(|l| l.starts_with("-----BEGIN ") && l.trim_end().ends_with(&end)) {
        return Ok(text);
    }
    Err(Wrong::new(format!("{} holds no {}", quoted(name), label.to_ascii_lowercase())).expected(look))
}
