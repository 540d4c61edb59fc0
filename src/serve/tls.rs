//! TLS of a run that is served: the certificate, its fingerprint, and how both sides check it.
//!
//! A run lives for minutes and has no name in any directory, so its certificate is made when it starts, and watchers are told its
//! fingerprint, as with SSH. Who has a certificate of an authority gives it instead; then no fingerprint is needed.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme, version,
};

/// Both sides are dyno, so nothing older is needed.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13];

/// SHA-256 of a certificate as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(own)
    }

    /// 64 hexadecimal digits; colons between them are allowed, as other tools write them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let whole = text.chars().filter(|c| *c != ':').count() == 64 && digits.len() == 64;
        if !whole {
            return Err("expected 64 hexadecimal digits, as the run shows them when it starts".to_owned());
        }
        let mut own = [0; 32];
        for (byte, pair) in own.iter_mut().zip(digits.chunks(2)) {
            *byte = (pair[0] * 16 + pair[1]) as u8;
        }
        Ok(Self(own))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The side that serves, with its certificate's fingerprint.
pub struct Server {
    pub config: Arc<ServerConfig>,
    pub fingerprint: Fingerprint,
}

impl Server {
    /// With a certificate made now, for these names.
    pub fn made(names: Vec<String>) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(names).map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        Self::new(vec![made.cert.der().clone()], key)
    }

    /// With the chain and the key of these PEM files.
    pub fn given(chain: &Path, key: &Path) -> Result<Self, String> {
        let said = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| said(chain, &e))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| said(key, &e))?;
        Self::new(certificates, private).map_err(|e| said(chain, &e))
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let leaf = chain.first().ok_or("it holds no certificate")?;
        let fingerprint = Fingerprint::of(leaf);
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(VERSIONS)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| e.to_string())?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }
}

/// The side that watches: it trusts the certificate with this fingerprint, or else what the machine's authorities vouch for.
pub fn client(pinned: Option<Fingerprint>) -> Result<Arc<ClientConfig>, String> {
    let own = Arc::new(provider::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match pinned {
        Some(fingerprint) => Arc::new(Pinned { fingerprint, provider: Arc::clone(&own) }),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&own))
                .build()
                .map_err(|e| e.to_string())?
        }
    };
    let config = ClientConfig::builder_with_provider(own)
        .with_protocol_versions(VERSIONS)
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes one certificate alone, whatever names and dates stand in it; the handshake proves that the other side has its key.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::of(certificate);
        if found == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!(
            "its certificate has the fingerprint {found}, not the one that was given"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let own = Server::made(vec!["localhost".to_owned()]).unwrap().fingerprint;
        assert_eq!(Fingerprint::parse(&own.to_string()), Ok(own));
        let colons: Vec<String> = own.0.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(Fingerprint::parse(&colons.join(":")), Ok(own));
        for wrong in ["", "ab", &"g".repeat(64), &"a".repeat(65)] {
            assert!(Fingerprint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
