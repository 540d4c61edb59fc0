//! TLS of a connection: the client's settings, the handshake, and records over the socket.
//!
//! Owns what rustls needs and nothing of HTTP. One [`Client`] serves all connections of a shard, so that a server's tickets
//! shorten later handshakes. A connection's state is boxed: a plaintext one pays nothing for it.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection};
use rustls::{DigitallySignedStruct, RootCertStore};
use rustls::{SignatureScheme, SupportedProtocolVersion, version};
use scenarios::plan::{BaseUrl, HttpVersion, Tls, TlsVersion};
use tokio::net::TcpStream;

use crate::kind::ErrorKind;

/// The protocols that a client of HTTP/1.1 offers by ALPN.
pub const HTTP1: &[&[u8]] = &[b"http/1.1"];
/// The same of HTTP/2 alone.
const HTTP2: &[&[u8]] = &[H2];
/// The same where the server is to choose.
const EITHER: &[&[u8]] = &[H2, b"http/1.1"];
/// HTTP/2 as ALPN calls it.
pub const H2: &[u8] = b"h2";

const V12: &[&SupportedProtocolVersion] = &[&version::TLS12];
const V13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// The protocols that a client offers which is to speak `http`.
#[must_use]
pub const fn offers(http: HttpVersion) -> &'static [&'static [u8]] {
    match http {
        HttpVersion::Http1 => HTTP1,
        HttpVersion::Http2 => HTTP2,
        HttpVersion::Auto => EITHER,
    }
}

/// What all TLS connections to a target share.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    failure: Failure,
}

/// Why TLS failed for the first time, in words; what follows has mostly the same cause.
type Failure = Arc<OnceLock<String>>;

impl Client {
    /// A client of `url` that offers the protocols `alpn`, best first.
    ///
    /// # Errors
    /// What is wrong with a certificate, a key or the name.
    pub fn new(tls: &Tls, url: &BaseUrl, alpn: &[&[u8]]) -> Result<Self, String> {
        let host = tls.server_name.as_deref().unwrap_or(&url.host);
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{host:?}: {e}"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = match tls.version {
            None => rustls::DEFAULT_VERSIONS,
            Some(TlsVersion::V12) => V12,
            Some(TlsVersion::V13) => V13,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|e| e.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure {
            Arc::new(Anything(Arc::clone(&provider)))
        } else {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider)
                .build()
                .map_err(|e| e.to_string())?
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::from_pem_slice(client.key.value.as_bytes())
                    .map_err(|e| format!("the client's key: {e}"))?;
                builder
                    .with_client_auth_cert(certificates(&client.chain, "the client's certificate")?, key)
                    .map_err(|e| format!("the client's certificate: {e}"))?
            }
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(Self { config: Arc::new(config), name, failure: Failure::default() })
    }

    /// Why a handshake, or a record after it, failed for the first time; none if none has.
    #[must_use]
    pub fn first_failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Shakes hands over `stream`.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] where the two sides do not agree or the server breaks off, [`ErrorKind::NoH2`] where HTTP/2 alone
    /// was offered and the server does not take it; what the socket says otherwise. Dropped, it
    /// closes the connection.
    pub async fn handshake(&self, stream: TcpStream) -> Result<Box<Secure>, ErrorKind> {
        let tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(|e| {
            self.failure.get_or_init(|| why(&e));
            ErrorKind::Tls
        })?;
        let failure = Arc::clone(&self.failure);
        let mut secure = Box::new(Secure { stream, tls, ended: false, failure });
        let shaken = poll_fn(|cx| {
            while secure.tls.is_handshaking() {
                ready!(secure.poll_flush(cx))?;
                if secure.tls.is_handshaking() && ready!(secure.poll_records(cx))? {
                    secure
                        .failure
                        .get_or_init(|| "the server hung up in the midst of the handshake".to_owned());
                    return Poll::Ready(Err(ErrorKind::Tls));
                }
            }
            secure.poll_flush(cx)
        })
        .await;
        match shaken {
            Err(ErrorKind::NoH2) if !self.config.alpn_protocols.iter().any(|p| p == H2) => {
                Err(ErrorKind::Tls)
            }
            shaken => shaken.map(|()| secure),
        }
    }
}

/// What rustls says of `error`, and what a person can do about it.
fn why(error: &rustls::Error) -> String {
    let help = match error {
        // An authority of the same name with another key signs otherwise.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            "; `tls = { ca = \"ca.pem\" }` or --ca names an authority to trust, `insecure = true` or --insecure takes any certificate"
        }
        rustls::Error::InvalidCertificate(_) => {
            "; `tls = { insecure = true }` or --insecure takes any certificate"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "; `tls = { cert = \"client.pem\", key = \"client.key\" }` shows the client's own certificate"
        }
        _ => "",
    };
    format!("{error}{help}")
}

/// The machine's own authorities and those of the plan.
fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is as good as not there: what it vouched for is refused, and said so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for ca in certificates(&tls.ca, "ca")? {
        roots.add(ca).map_err(|e| format!("ca: {e}"))?;
    }
    if roots.is_empty() {
        return Err("this machine trusts no authorities; name one by `ca`".to_owned());
    }
    Ok(roots)
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{what}: {e}"))
}

/// A connection under TLS.
#[derive(Debug)]
pub struct Secure {
    stream: TcpStream,
    tls: ClientConnection,
    ended: bool,
    failure: Failure,
}

/// The socket as rustls wants it: what cannot be done at once is `WouldBlock`.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Secure {
    /// What ALPN agreed on; none if the server chose nothing.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Reads into `into`; 0 is the end, which the other side has told of. What still waits to be written is written meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::ClosedEarly`] where the other side has hung up without telling, which anybody on the way can do in its place
    /// (RFC 8446, 6.1): what has no length of its own is not known to be whole. What has one is whole before the end is read.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        loop {
            match self.tls.reader().read(into) {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(ErrorKind::ClosedEarly));
                }
                Err(e) => return Poll::Ready(Err(ErrorKind::of_io(&e))),
            }
            if self.tls.wants_write()
                && let Poll::Ready(Err(kind)) = self.poll_flush(cx)
            {
                return Poll::Ready(Err(kind));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            self.ended = ready!(self.poll_records(cx))?;
        }
    }

    /// Is nothing there to be read, neither data nor an end? What there is, is lost; records that say nothing to who reads,
    /// such as tickets, are taken.
    pub fn is_quiet(&mut self) -> bool {
        let waits = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
        loop {
            if self.ended || !self.tls.reader().read(&mut [0]).is_err_and(|e| waits(&e)) {
                return false;
            }
            match self.tls.read_tls(&mut Wire(&self.stream)) {
                Ok(1..) if self.tls.process_new_packets().is_ok() => {}
                read => return read.is_err_and(|e| waits(&e)),
            }
        }
    }

    /// Takes records that came; says whether the stream has ended.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ErrorKind>> {
        loop {
            ready!(self.stream.poll_read_ready(cx)).map_err(|e| ErrorKind::of_io(&e))?;
            let read = match self.tls.read_tls(&mut Wire(&self.stream)) {
                Ok(n) => n,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(e) => return Poll::Ready(Err(ErrorKind::of_io(&e))),
            };
            if let Err(e) = self.tls.process_new_packets() {
                // The other side is told why, if it still listens.
                let _ = self.tls.write_tls(&mut Wire(&self.stream));
                self.failure.get_or_init(|| why(&e));
                let unspoken = AlertDescription::NoApplicationProtocol;
                let kind = if e == rustls::Error::AlertReceived(unspoken) {
                    ErrorKind::NoH2
                } else {
                    ErrorKind::Tls
                };
                return Poll::Ready(Err(kind));
            }
            return Poll::Ready(Ok(read == 0));
        }
    }

    /// Takes what there is room for and writes what the socket takes; says how many bytes were taken.
    ///
    /// # Errors
    /// The kind of the error met.
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let taken = self.tls.writer().write(bytes).map_err(|e| ErrorKind::of_io(&e))?;
        self.flush_now()?;
        Ok(taken)
    }

    fn flush_now(&mut self) -> Result<(), ErrorKind> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Wire(&self.stream)) {
                Ok(0) => return Err(ErrorKind::Reset),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ErrorKind::of_io(&e)),
            }
        }
        Ok(())
    }

    /// Writes all that waits.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        while self.tls.wants_write() {
            ready!(self.stream.poll_write_ready(cx)).map_err(|e| ErrorKind::of_io(&e))?;
            self.flush_now()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Secure {
    /// Takes leave in order, as far as that costs no waiting: a server may count what is cut off as an attack.
    fn drop(&mut self) {
        self.tls.send_close_notify();
        let _ = self.flush_now();
    }
}

/// Takes any certificate for good; the handshake's signature must fit it all the same.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
