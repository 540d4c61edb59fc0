//! `dyno bench-target`: the server that the bench loads, or measures another beside; several of these processes share its port.
//!
//! hyper, as a Rust service would use it, answers `/` with 13 bytes and `/item/N` with JSON; `/ws` becomes a WebSocket with
//! next to no buffer, so that hundreds of thousands fit. It counts what it did, for whoever writes a line to its standard
//! input: all clients are counted by the same hand. A mode of this binary and not of one beside it, because the bench then
//! needs nothing but itself, and hyper is linked already for the reference backend.

use std::convert::Infallible;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use loadgen::ws::{encode, handshake};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::target_axum;
use crate::cli::TargetKind;
use crate::outcome::Outcome;

/// Connections that wait to be accepted: what the system allows by itself.
const BACKLOG: u32 = 4096;
/// Longest frame that is echoed: everything that the bench sends is shorter.
const FRAME_MAX: usize = 512;

/// What a target has done, and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Where it listens.
    pub port: u16,
    /// Requests answered, handshakes left out.
    pub requests: u64,
    /// Messages echoed.
    pub messages: u64,
    /// Connections open.
    pub open: u64,
}

#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    messages: AtomicU64,
    open: AtomicU64,
}

impl Tally {
    fn counts(&self, port: u16) -> Counts {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counts {
            port,
            requests: read(&self.requests),
            messages: read(&self.messages),
            open: read(&self.open),
        }
    }
}

fn one_more(n: &AtomicU64) {
    // One thread writes: no read-modify-write is needed.
    n.store(n.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Serves on `port` (0: any) until standard input ends; says where at once.
pub fn serve(kind: TargetKind, port: u16) -> anyhow::Result<Outcome> {
    // Whatever it comes to: a target holds what it may.
    let _ = loadgen::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let tally = Arc::new(Tally::default());
    runtime.block_on(async {
        let listener = listen(port)?;
        let port = listener.local_addr()?.port();
        let (ended, end) = tokio::sync::oneshot::channel();
        let told = Arc::clone(&tally);
        std::thread::Builder::new().name("counts".to_owned()).spawn(move || tell(&told, port, ended))?;
        tokio::select! {
            _ = end => Ok(Outcome::Pass),
            error = accept_all(kind, listener, tally) => Err(error.into()),
        }
    })
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(BACKLOG)
}

/// A line of counts now and for each line that is read; the sender is dropped at the end.
fn tell(tally: &Tally, port: u16, _ended: tokio::sync::oneshot::Sender<()>) {
    let say = || -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &tally.counts(port))?;
        out.write_all(b"\n")?;
        out.flush()
    };
    let mut asked = std::io::stdin().lock().lines();
    while say().is_ok() && matches!(asked.next(), Some(Ok(_))) {}
}

async fn accept_all(kind: TargetKind, listener: TcpListener, tally: Arc<Tally>) -> std::io::Error {
    if kind == TargetKind::Axum {
        return target_axum::serve(listener).await;
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let open = Open::new(&tally);
                // Owned by the runtime, whose end is theirs: a target has nothing to tidy up.
                tokio::task::spawn_local(converse(stream, open));
            }
            Err(error) => return error,
        }
    }
}

/// A connection while it is open.
struct Open(Arc<Tally>);

impl Open {
    fn new(tally: &Arc<Tally>) -> Self {
        one_more(&tally.open);
        Self(Arc::clone(tally))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn converse(stream: TcpStream, open: Open) {
    // A client that hangs up is no concern of ours.
    let _ = stream.set_nodelay(true);
    let tally = Arc::clone(&open.0);
    let upgraded = Arc::new(tokio::sync::Mutex::new(None));
    let slot = Arc::clone(&upgraded);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (tally, slot) = (Arc::clone(&tally), Arc::clone(&slot));
        async move {
            if request.headers().contains_key(SEC_WEBSOCKET_KEY) {
                *slot.lock().await = Some(hyper::upgrade::on(&mut request));
                return Ok::<_, Infallible>(agree(&request));
            }
            one_more(&tally.requests);
            Ok(answer(request.uri().path()))
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    let Some(upgraded) = upgraded.lock().await.take().filter(|_| served.is_ok()) else { return };
    if let Ok(upgraded) = upgraded.await
        && let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>()
    {
        // hyper's buffers are gone by here; what waits for messages is the socket and this future. A task of its own, since
        // a task keeps the size of its largest future.
        tokio::task::spawn_local(echo(parts.io.into_inner(), open));
    }
}

fn answer(path: &str) -> Response<String> {
    let (kind, body) = match path.strip_prefix("/item/") {
        Some(id) => (
            "application/json",
            format!(
                "{{\"id\":\"{id}\",\"name\":\"a thing to buy\",\"price\":1999,\"tags\":[\"new\",\"blue\"],\"stock\":{{\"here\":3,\"there\":40}}}}"
            ),
        ),
        None => ("text/plain", "Hello, World!".to_owned()),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn agree(request: &Request<Incoming>) -> Response<String> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).and_then(|k| k.to_str().ok()).unwrap_or_default();
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&handshake::accept(key)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Echoes short frames, each of which comes whole; anything else ends the connection.
async fn echo(mut stream: TcpStream, open: Open) {
    let tally = &open.0;
    loop {
        // On the stack only while something is read: an idle connection is to cost little here, too.
        if stream.readable().await.is_err() {
            return;
        }
        let mut frames = [0; FRAME_MAX];
        let n = match stream.try_read(&mut frames) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let Some((answer, closed)) = answer_frames(&mut frames[..n], tally) else { return };
        if stream.write_all(&answer).await.is_err() || closed {
            return;
        }
    }
}

/// The same frames, unmasked; whether one of them was a close. None if they are not short and whole.
fn answer_frames(mut frames: &mut [u8], tally: &Tally) -> Option<(Vec<u8>, bool)> {
    let (mut answer, mut closed) = (Vec::with_capacity(frames.len()), false);
    while !frames.is_empty() {
        let length = usize::from(frames.get(1)? & 0x7F);
        if length > 125 || frames.len() < length + 6 {
            return None;
        }
        let (frame, rest) = frames.split_at_mut(length + 6);
        let mask = [frame[2], frame[3], frame[4], frame[5]];
        encode::apply(&mut frame[6..], mask);
        // A ping is answered by a pong; every other frame by its like.
        let opcode = if frame[0] & 0x0F == 9 { frame[0] + 1 } else { frame[0] };
        answer.extend_from_slice(&[opcode, length as u8]);
        answer.extend_from_slice(&frame[6..]);
        closed |= frame[0] & 0x0F == 8;
        one_more(&tally.messages);
        frames = rest;
    }
    Some((answer, closed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_echoed_and_pings_answered() {
        let mut frames = Vec::new();
        encode::frame(&mut frames, 1, b"hi", [1, 2, 3, 4]);
        encode::frame(&mut frames, 9, b"there", [5, 6, 7, 8]);
        let tally = Tally::default();
        let answer = answer_frames(&mut frames, &tally);
        assert_eq!(answer, Some((b"\x81\x02hi\x8A\x05there".to_vec(), false)));
        assert_eq!(tally.counts(1).messages, 2);
        assert_eq!(answer_frames(&mut [0x81, 0xFE, 0, 200], &tally), None);
    }
}
