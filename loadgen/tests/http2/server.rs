//! A server of HTTP/2 that does what the path asks it to; a thread with a loop of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Length of `/big`, bytes: some windows long.
pub const BIG: usize = 3 << 20;

/// How a server is set up.
#[derive(Clone, Default)]
pub struct Setup {
    /// Most streams of a connection.
    pub streams: Option<u32>,
    /// Its windows, bytes.
    pub window: Option<u32>,
    /// It takes leave in order after so many requests of a connection.
    pub leaves_after: Option<usize>,
    /// How long it takes before it agrees to TLS.
    pub slow: Option<Duration>,
    /// It speaks TLS, and HTTP/1.1 where ALPN does not say `h2`.
    pub tls: Option<Arc<ServerConfig>>,
}

/// What a server saw.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub http1: AtomicUsize,
    pub requests: AtomicUsize,
    pub reset_by_client: AtomicUsize,
    /// Streams that are open now, and the most that ever were.
    open: AtomicUsize,
    pub most: AtomicUsize,
    refused: AtomicUsize,
}

/// Serves on a port of its own until the test's process ends.
pub fn serve(setup: Setup) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let (told, at) = (Arc::clone(&seen), std::sync::mpsc::sync_channel(1));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            at.0.send(listener.local_addr().unwrap()).unwrap();
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::Relaxed);
                stream.set_nodelay(true).unwrap();
                let (setup, seen) = (setup.clone(), Arc::clone(&seen));
                connections.spawn(async move {
                    let Some(config) = setup.tls.clone() else {
                        return framed(stream, setup, seen).await;
                    };
                    if let Some(pause) = setup.slow {
                        tokio::time::sleep(pause).await;
                    }
                    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        framed(stream, setup, seen).await;
                    } else {
                        plain(stream, &seen).await;
                    }
                });
            }
        });
    });
    (at.1.recv().unwrap(), told)
}

/// HTTP/1.1, as far as a `GET` needs it.
async fn plain(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Seen) {
    seen.http1.fetch_add(1, Ordering::Relaxed);
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            seen.requests.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.is_err() {
                return;
            }
            let _ = stream.flush().await;
        }
    }
}

async fn framed(stream: impl AsyncRead + AsyncWrite + Unpin, setup: Setup, seen: Arc<Seen>) {
    let mut builder = Builder::new();
    if let Some(streams) = setup.streams {
        builder.max_concurrent_streams(streams);
    }
    if let Some(window) = setup.window {
        builder.initial_window_size(window).initial_connection_window_size(window);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (leave, mut leaving) = mpsc::channel::<Option<Reason>>(1);
    let mut streams = JoinSet::new();
    let mut served = 0;
    loop {
        tokio::select! {
            Some(reason) = leaving.recv() => match reason {
                Some(reason) => connection.abrupt_shutdown(reason),
                None => return,
            },
            _ = streams.join_next(), if !streams.is_empty() => {}
            accepted = connection.accept() => {
                let Some(Ok((request, response))) = accepted else { return };
                served += 1;
                let (seen, leave) = (Arc::clone(&seen), leave.clone());
                streams.spawn(async move {
                    let open = seen.open.fetch_add(1, Ordering::Relaxed) + 1;
                    seen.most.fetch_max(open, Ordering::Relaxed);
                    seen.requests.fetch_add(1, Ordering::Relaxed);
                    let path = request.uri().path().to_owned();
                    if answer(&path, request, response, &seen, &leave).await.is_none() {
                        seen.reset_by_client.fetch_add(1, Ordering::Relaxed);
                    }
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
                if setup.leaves_after == Some(served) {
                    connection.graceful_shutdown();
                }
            }
        }
    }
}

fn head(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut builder = Response::builder().status(status);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// Answers with a whole body; none if the client wants none.
fn whole(response: &mut SendResponse<Bytes>, head: Response<()>, body: &[u8]) -> Option<()> {
    let mut sending = response.send_response(head, body.is_empty()).ok()?;
    if !body.is_empty() {
        sending.send_data(Bytes::copy_from_slice(body), true).ok()?;
    }
    Some(())
}

/// Reads a body as the windows allow; says how long it was.
async fn read(body: &mut RecvStream) -> Option<usize> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        length += data.len();
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(length)
}

/// 200 if what came is right, and 400 if it is not.
fn verdict(response: &mut SendResponse<Bytes>, right: bool) -> Option<()> {
    whole(response, head(if right { 200 } else { 400 }, &[]), b"")
}

async fn answer(
    path: &str,
    request: Request<RecvStream>,
    mut response: SendResponse<Bytes>,
    seen: &Seen,
    leave: &mpsc::Sender<Option<Reason>>,
) -> Option<()> {
    let method = request.method().as_str().to_owned();
    let field = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-");
    match path {
        "/ok" => whole(&mut response, head(200, &[("content-length", "2"), ("x-id", "7")]), b"{}"),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            whole(&mut response, head(200, &[]), b"{}")
        }
        "/big" => {
            let mut sending = response.send_response(head(200, &[]), false).ok()?;
            sending.send_data(Bytes::from(vec![b'x'; BIG]), true).ok()
        }
        "/up" => {
            let told = field("content-length").to_owned();
            let length = read(&mut request.into_body()).await?;
            let right = told == length.to_string();
            whole(&mut response, head(if right { 200 } else { 400 }, &[]), length.to_string().as_bytes())
        }
        // The body is not read: h2 tells the client by RST_STREAM(NO_ERROR) that it may stop.
        "/early" => whole(&mut response, head(413, &[]), b"too much"),
        "/waits" => {
            let right = field("expect") == "100-continue";
            response.send_informational(head(100, &[])).ok()?;
            let length = read(&mut request.into_body()).await?;
            verdict(&mut response, right && length == 4)
        }
        "/waits-on" => {
            response.send_informational(head(103, &[("link", "</x>")])).ok()?;
            let mut body = request.into_body();
            // Nothing may come without leave.
            let early = tokio::time::timeout(Duration::from_millis(20), body.data()).await.is_ok();
            response.send_informational(head(100, &[])).ok()?;
            let length = read(&mut body).await?;
            verdict(&mut response, !early && length == 4)
        }
        "/head" => {
            let right = method == "HEAD";
            whole(&mut response, head(if right { 200 } else { 400 }, &[("content-length", "500")]), b"")
        }
        "/hints" => {
            response.send_informational(head(103, &[("link", "</x>")])).ok()?;
            whole(&mut response, head(200, &[]), b"{}")
        }
        "/hints-flood" => {
            while response.send_informational(head(103, &[])).is_ok() {
                tokio::task::yield_now().await;
            }
            None
        }
        "/trailers" => {
            let mut sending = response.send_response(head(200, &[]), false).ok()?;
            sending.send_data(Bytes::from_static(b"{}"), false).ok()?;
            let mut trailers = HeaderMap::new();
            trailers.insert("digest", "y".parse().unwrap());
            sending.send_trailers(trailers).ok()
        }
        "/gzip" => {
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut coder, b"{\"id\":7}").unwrap();
            let right = field("accept-encoding").contains("gzip");
            let coded = coder.finish().unwrap();
            whole(&mut response, head(if right { 200 } else { 400 }, &[("content-encoding", "gzip")]), &coded)
        }
        "/see" => whole(&mut response, head(303, &[("location", "/is-get?x=1")]), b""),
        "/is-get" => verdict(&mut response, method == "GET" && request.uri().query() == Some("x=1")),
        "/log-in" => whole(&mut response, head(200, &[("set-cookie", "sid=7; Path=/; HttpOnly")]), b""),
        "/in" => verdict(&mut response, field("cookie") == "sid=7"),
        "/saved" => verdict(&mut response, field("x-saved") == "7" && field("host") == "-"),
        "/reset" => {
            response.send_reset(Reason::INTERNAL_ERROR);
            Some(())
        }
        "/reset-half" | "/no-error-half" => {
            let mut sending = response.send_response(head(200, &[]), false).ok()?;
            sending.send_data(Bytes::from_static(b"half"), false).ok()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let reason = if path == "/reset-half" { Reason::INTERNAL_ERROR } else { Reason::NO_ERROR };
            sending.send_reset(reason);
            Some(())
        }
        "/refuse-first" | "/refuse" => {
            if path == "/refuse" || seen.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                response.send_reset(Reason::REFUSED_STREAM);
                return Some(());
            }
            whole(&mut response, head(200, &[]), b"{}")
        }
        "/leave" => {
            leave.send(Some(Reason::INTERNAL_ERROR)).await.ok()?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some(())
        }
        // The connection is over, and nobody says how far the server had come.
        "/hangs-up" => {
            leave.send(None).await.ok()?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some(())
        }
        // The handle is kept, so that nothing is said; the client is to reset the stream.
        "/never" => {
            std::future::poll_fn(|cx| response.poll_reset(cx)).await.ok()?;
            None
        }
        _ => verdict(&mut response, false),
    }
}
