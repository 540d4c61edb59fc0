//! TLS against a real server: who is trusted, who is refused and by which kind, what a broken peer leads to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::*;
use crate::server;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use scenarios::plan::*;

/// An authority and what it vouches for.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    der: rustls::pki_types::CertificateDer<'static>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    Authority { pem: own.pem(), der: own.der().clone(), issuer: Issuer::new(params, key) }
}

impl Authority {
    /// A certificate for `name`, and its key.
    fn vouch(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn client(&self) -> ClientCert {
        let (cert, key) = self.vouch("client");
        let key = Secret { name: "client.key".to_owned(), value: key.serialize_pem() };
        ClientCert { chain: cert.pem(), key }
    }

    fn server(&self, name: &str, demands_client: bool) -> ServerConfig {
        let (cert, key) = self.vouch(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap();
        let builder = if demands_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    full: AtomicUsize,
    resumed: AtomicUsize,
    http1: AtomicUsize,
    v12: AtomicUsize,
}

fn serve(config: ServerConfig, closes: bool) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, seen) = (Arc::new(config), Arc::new(Seen::default()));
    let told = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
            thread::spawn(move || drop(converse(stream, config, &seen, closes)));
        }
    });
    (address, told)
}

fn converse(stream: TcpStream, config: Arc<ServerConfig>, seen: &Seen, closes: bool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut first = true;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0];
            stream.read_exact(&mut one)?;
            head.push(one[0]);
        }
        if std::mem::take(&mut first) {
            let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
            let count = if resumed { &seen.resumed } else { &seen.full };
            count.fetch_add(1, Ordering::Relaxed);
            let http1 = stream.conn.alpn_protocol() == Some(b"http/1.1");
            seen.http1.fetch_add(usize::from(http1), Ordering::Relaxed);
            let v12 = stream.conn.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2);
            seen.v12.fetch_add(usize::from(v12), Ordering::Relaxed);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.contains("Upgrade: websocket") {
            return echo(&head, &mut stream);
        }
        if head.contains("Accept: text/event-stream") {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: over TLS\n\n")?;
            stream.flush()?;
            // Until the client hangs up.
            return std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
        }
        if head.starts_with("GET /until-close ") || head.starts_with("GET /cut-off ") {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\nall of it, or is it?")?;
            if head.starts_with("GET /until-close ") {
                stream.conn.send_close_notify();
            }
            return stream.flush();
        }
        // Larger than a record, so that answers are put together from several.
        let body = "x".repeat(40_000);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        stream.flush()?;
        if head.starts_with("GET /hangs-up ") {
            return Ok(());
        }
        if closes {
            stream.conn.send_close_notify();
            return stream.flush();
        }
    }
}

/// Sends each text message back as it is.
fn echo(head: &str, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    stream.write_all(server::upgraded(head).as_bytes())?;
    stream.flush()?;
    loop {
        let mut start = [0; 6];
        stream.read_exact(&mut start)?;
        let mut payload = vec![0; usize::from(start[1] & 0x7F)];
        stream.read_exact(&mut payload)?;
        payload.iter_mut().enumerate().for_each(|(i, b)| *b ^= start[2 + i % 4]);
        stream.write_all(&server::frame(start[0], &payload))?;
        stream.flush()?;
        if start[0] & 0x0F == 8 {
            return Ok(());
        }
    }
}

fn tls_plan(tls: Tls, steps: Vec<Step>) -> RunPlan {
    let mut plan = plan(held(2), LONG_MS, vec![forever(Some(20), steps)]);
    plan.transport.tls = tls;
    plan
}

/// Runs it until each of both sessions has done some turns.
fn run_tls(plan: RunPlan, address: SocketAddr) -> Totals {
    let mut options = options(plan, address, 1);
    options.url.tls = true;
    run_with(options, || (), done(18))
}

fn told(totals: &Totals) -> String {
    assert!(totals.lost.is_empty(), "{:?}", totals.lost);
    let kinds: Vec<_> = totals.errors().into_keys().collect();
    let worked = totals.finished.values().sum::<u64>() > kinds.len() as u64;
    format!("{}{}", if worked { "" } else { "nothing done " }, kinds.join(" "))
}

#[test]
fn a_custom_authority_is_trusted_and_an_unknown_one_is_refused() {
    let ours = authority();
    let (address, seen) = serve(ours.server("127.0.0.1", false), false);
    let trusting = Tls { ca: ours.pem.clone(), ..Tls::default() };
    let totals = run_tls(tls_plan(trusting.clone(), vec![get(0, "/")]), address);
    assert_eq!(told(&totals), "");
    assert!(totals.finished[&0] > 2);
    assert!(totals.sum(|c| c.received) > 40_000 * totals.finished[&0]);
    assert_eq!(seen.http1.load(Ordering::Relaxed), 2);

    let strange = Tls { ca: authority().pem, ..Tls::default() };
    let totals = run_tls(tls_plan(strange.clone(), vec![get(0, "/")]), address);
    assert_eq!(told(&totals), "tls");
    assert!(
        totals.errors()["tls"] <= totals.most_tries(2),
        "refused handshakes are not repeated at full speed"
    );

    let insecure = Tls { insecure: true, ..strange };
    assert_eq!(told(&run_tls(tls_plan(insecure, vec![get(0, "/")]), address)), "");

    let named = Tls { server_name: Some("another.example".to_owned()), ..trusting };
    assert_eq!(told(&run_tls(tls_plan(named, vec![get(0, "/")]), address)), "tls");
}

#[test]
fn why_a_handshake_fails_is_told_before_a_run_and_at_its_end() {
    let ours = authority();
    let (address, _) = serve(ours.server("127.0.0.1", false), false);
    let trusting = Tls { ca: ours.pem.clone(), ..Tls::default() };
    let strange = Tls { ca: authority().pem, ..Tls::default() };
    let mut url = options(tls_plan(trusting.clone(), Vec::new()), address, 1).url;
    url.tls = true;
    let reach = |tls: &Tls| {
        let transport = Transport { tls: tls.clone(), ..Transport::default() };
        let reached = loadgen::reach(&url, &transport, Duration::from_millis(AMPLE_MS));
        runtime().block_on(reached).map_err(|e| e.to_string())
    };
    assert_eq!(reach(&trusting), Ok(address));
    assert_eq!(reach(&Tls { insecure: true, ..strange.clone() }), Ok(address));
    let why = reach(&strange).unwrap_err();
    let unknown = "invalid peer certificate: BadSignature; `tls = { ca = \"ca.pem\" }` or --ca names";
    assert!(why.contains("cannot be reached: the TLS handshake failed: ") && why.contains(unknown), "{why}");
    let why =
        reach(&Tls { server_name: Some("another.example".to_owned()), ..trusting.clone() }).unwrap_err();
    assert!(why.contains("invalid peer certificate: ") && why.contains("another.example"), "{why}");

    let notes = |tls: &Tls| {
        let totals = run_tls(tls_plan(tls.clone(), vec![get(0, "/")]), address);
        totals.done[&0].notes.clone()
    };
    assert_eq!(notes(&trusting), Vec::<String>::new());
    let told = notes(&strange);
    assert!(told.len() == 1 && told[0].contains(unknown), "{told:?}");
}

#[test]
fn an_end_that_nobody_told_of_may_be_anybodys() {
    let ours = authority();
    let (address, _) = serve(ours.server("127.0.0.1", false), false);
    let at = |path: &str| {
        let trusting = Tls { ca: ours.pem.clone(), ..Tls::default() };
        told(&run_tls(tls_plan(trusting, vec![get(0, path)]), address))
    };
    assert_eq!(at("/until-close"), "");
    assert_eq!(at("/cut-off"), "closed-early");
    // What has its length is whole all the same, and the next request goes out on another connection.
    assert_eq!(at("/hangs-up"), "");
}

#[test]
fn a_client_certificate_opens_what_is_shut_without() {
    let ours = authority();
    let (address, _) = serve(ours.server("127.0.0.1", true), false);
    let with = Tls { ca: ours.pem.clone(), client: Some(ours.client()), ..Tls::default() };
    let without = Tls { client: None, ..with.clone() };
    let forged = Tls { client: Some(authority().client()), ..with.clone() };
    assert_eq!(told(&run_tls(tls_plan(with, vec![get(0, "/")]), address)), "");
    for refused in [without, forged] {
        let totals = run_tls(tls_plan(refused, vec![get(0, "/")]), address);
        assert!(totals.errors().contains_key("tls"), "{:?}", totals.errors());
        let failed: u64 = totals.errors().values().sum();
        assert_eq!(totals.finished[&0], failed, "nothing is right without the certificate");
    }
}

#[test]
fn later_handshakes_are_resumed_in_both_versions() {
    let ours = authority();
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let (address, seen) = serve(ours.server("127.0.0.1", false), true);
        let tls = Tls { ca: ours.pem.clone(), version: Some(version), ..Tls::default() };
        let totals = run_tls(tls_plan(tls, vec![get(0, "/")]), address);
        assert_eq!(told(&totals), "");
        let (full, resumed) = (seen.full.load(Ordering::Relaxed), seen.resumed.load(Ordering::Relaxed));
        assert!(full >= 1 && resumed > full, "{version:?}: {full} full, {resumed} resumed");
        let spoken = seen.v12.load(Ordering::Relaxed) == full + resumed;
        assert_eq!(spoken, version == TlsVersion::V12, "{version:?}");
    }
}

#[test]
fn websockets_go_over_tls() {
    let ours = authority();
    let (address, _) = serve(ours.server("127.0.0.1", false), false);
    let mut plan = tls_plan(Tls { ca: ours.pem, ..Tls::default() }, Vec::new());
    plan.sessions[0].steps = vec![connect(1, "/ws"), forever(Some(20), vec![say(2, AMPLE_MS)])];
    let totals = run_tls(plan, address);
    assert_eq!(told(&totals), "");
    assert!(totals.finished[&2] > 2);
}

#[test]
fn event_streams_go_over_tls() {
    let ours = authority();
    let (address, seen) = serve(ours.server("127.0.0.1", false), false);
    let options = StreamOptions::default();
    let open = OpenEvents { id: StepId(1), path: text("/events"), headers: Vec::new(), options };
    let what = Some(Awaited::Contains(text("over TLS")));
    let (judgement, within_ns) = (Judgement::default(), AMPLE_MS * MS);
    let wait = AwaitEvent { id: StepId(2), kind: None, what, judgement, within_ns };
    let steps = vec![
        Step::OpenEvents(Box::new(open)),
        Step::AwaitEvent(Box::new(wait)),
        Step::CloseEvents(StepId(3)),
    ];
    let totals = run_tls(tls_plan(Tls { ca: ours.pem, ..Tls::default() }, steps), address);
    assert_eq!(told(&totals), "");
    assert!(totals.finished[&2] > 2, "{:?}", totals.finished);
    assert_eq!(seen.http1.load(Ordering::Relaxed) as u64, totals.finished[&1], "a connection each");
}

type Act = fn(&mut TcpStream);

/// A peer that does not speak TLS as it should.
fn peer(act: Act) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                act(&mut stream);
            });
        }
    });
    address
}

#[test]
fn each_broken_handshake_has_its_kind() {
    let cases: [(&str, Act); 4] = [
        ("garbage", |s| {
            s.write_all(b"HTTP/1.1 400 Plain HTTP here\r\n\r\n").unwrap();
            thread::sleep(Duration::from_millis(50));
        }),
        ("closed", |_| {}),
        ("half a record", |s| s.write_all(&[22, 3, 3, 0, 90, 2, 0]).unwrap()),
        ("silent", |_| thread::sleep(Duration::from_secs(5))),
    ];
    let told: Vec<String> = cases
        .into_iter()
        .map(|(name, act)| {
            let mut plan = tls_plan(Tls { insecure: true, ..Tls::default() }, vec![get(0, "/")]);
            if name == "silent" {
                plan.timeout_ns = 200 * MS;
            }
            let totals = run_tls(plan, peer(act));
            assert!(totals.lost.is_empty(), "{:?}", totals.lost);
            format!("{name}: {}", totals.errors().into_keys().collect::<Vec<_>>().join(" "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    garbage: tls
    closed: tls
    half a record: tls
    silent: timeout
    ");
}

#[test]
fn a_key_that_is_another_certificate_s_is_told_where_it_stands() {
    let ours = authority();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    let read = |cert: &ClientCert, key: &ClientCert| {
        std::fs::write(folder.path().join("client.pem"), &cert.chain).unwrap();
        std::fs::write(folder.path().join("client.key"), &key.key.value).unwrap();
        let text = "[target]\nurl = \"https://127.0.0.1\"\ntls = { cert = \"client.pem\", key = \"client.key\" }\n\
                    [[phase]]\nname = \"p\"\nfor = \"1s\"\nsessions = 1\n\
                    [[session]]\nname = \"s\"\nsteps = [{ name = \"a\", get = \"/\" }]\n";
        let origin = scenarios::Origin { name: "shop".to_owned(), file: Some(file.clone()) };
        scenarios::parse(text, &origin, &scenarios::Overrides::default()).map_err(|e| e.to_string())
    };
    let (one, other) = (ours.client(), ours.client());
    assert!(read(&one, &one).is_ok());
    let why = read(&one, &other).unwrap_err();
    assert!(why.contains("not the key of the certificate in `client.pem`") && why.contains(":3:36"), "{why}");
}

#[test]
fn a_key_that_is_none_is_named_before_the_run_and_not_shown() {
    let ours = authority();
    let (address, _) = serve(ours.server("127.0.0.1", false), false);
    let mut client = ours.client();
    client.key.value = "no key".to_owned();
    let tls = Tls { client: Some(client), insecure: true, ..Tls::default() };
    let mut options = options(tls_plan(tls, vec![get(0, "/")]), address, 1);
    options.url.tls = true;
    let why = runtime().block_on(loadgen::Coordinator::start(options)).unwrap_err();
    insta::assert_snapshot!(why, @"TLS cannot be spoken: the client's key: no items found");
}
