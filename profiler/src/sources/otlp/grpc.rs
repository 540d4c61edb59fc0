//! OpenTelemetry's gRPC: calls of the metrics service, over HTTP/2 connections that last.
//!
//! Owns the connections, their limits and the frame in which a call's message comes; the limits of a body are those of `http`. What a
//! message says is for others. All connections share one thread; a sender that says nothing costs it nothing, and one
//! that dawdles keeps one of the few bodies that are read at once for two seconds.

use std::io::{self, Cursor};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use ::http::{Method, Response, request};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use timeline::MonoNs;
use timeline::text::clean;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::http::{AGENT_MAX, BODY_MAX, Form, PATIENCE, Refusal, Request, too_long, unpacked};
use super::inbox::Inbox;
use super::{NAME, say};
use crate::sources::{Sink, Source, locked};

/// The one call that is taken.
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// Where an answer says what became of a call, and why.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Connections at once: as many as there may be senders.
const CONNECTIONS: usize = 16;
/// A connection without a call for so long gives its place to others: SDKs send each minute or more often, and connect anew.
const IDLE: Duration = Duration::from_secs(300);
/// Calls of one connection at once, of all services: an SDK sends traces and logs beside.
const STREAMS: u32 = 8;
/// Bodies that are read at once, of all connections; the others wait.
const BODIES: usize = 4;
/// What a sender may send ahead, of one call: one whose body is not read yet leaves the others of its connection room.
const WINDOW: u32 = 128 << 10;
/// Longest head, unpacked.
const HEAD_MAX: u32 = 8 << 10;
/// In front of a message: whether it is packed, and how long it is.
const PREFIX: usize = 5;
/// How often the thread looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// A connection that began as HTTP/2 does, and what was read of it.
type Came = (TcpStream, Vec<u8>);

/// Where connections are handed in.
#[derive(Clone)]
pub(super) struct Door {
    to: mpsc::Sender<(Came, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Door {
    /// Takes a connection in. Where there is no room for one more it is closed, and the sender tries again.
    pub fn take(&self, came: Came) {
        if let Ok(place) = self.room.clone().try_acquire_owned() {
            drop(self.to.try_send((came, place)));
        }
    }
}

/// A call, and where its sender waits for the answer.
struct Call {
    agent: String,
    read: Result<Request, Refusal>,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Serves the connections.
pub(super) struct Calls {
    runtime: Runtime,
    came: mpsc::Receiver<(Came, OwnedSemaphorePermit)>,
    connections: JoinSet<()>,
    read: mpsc::Receiver<Call>,
    desk: Desk,
    inbox: Arc<Mutex<Inbox>>,
}

/// What all calls share.
#[derive(Clone)]
struct Desk {
    read: mpsc::Sender<Call>,
    bodies: Arc<Semaphore>,
}

impl Calls {
    /// With the door to it.
    pub fn new(inbox: Arc<Mutex<Inbox>>) -> io::Result<(Self, Door)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (to, came) = mpsc::channel(CONNECTIONS);
        let (done, read) = mpsc::channel(BODIES);
        let desk = Desk { read: done, bodies: Arc::new(Semaphore::new(BODIES)) };
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let connections = JoinSet::new();
        Ok((Self { runtime, came, connections, read, desk, inbox }, Door { to, room }))
    }
}

impl Source for Calls {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        Duration::ZERO
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let Self { runtime, came, connections, read, desk, inbox } = self;
        runtime.block_on(async {
            let until = Instant::now() + TURN;
            loop {
                tokio::select! {
                    Some((connection, place)) = came.recv() => {
                        connections.spawn(serve(connection, place, desk.clone(), IDLE));
                    }
                    Some(_ended) = connections.join_next() => {}
                    Some(call) = read.recv() => settle(inbox, call, sink),
                    () = tokio::time::sleep_until(until) => return,
                }
            }
        });
    }
}

/// Takes what a call says, and tells its sender.
fn settle(inbox: &Mutex<Inbox>, call: Call, sink: &mut dyn Sink) {
    let Call { agent, read, answer } = call;
    let taken = read.and_then(|request| locked(inbox).take(&request, MonoNs::now(), sink));
    if let Err(refusal) = &taken {
        say(inbox, &agent, &format!("turned away: {}", refusal.why), sink);
    }
    drop(answer.send(taken)); // who has hung up knows nothing of it
}

/// One connection, until it ends or has been `idle` for so long. Its place is free again then.
async fn serve((stream, ahead): Came, _place: OwnedSemaphorePermit, desk: Desk, idle: Duration) {
    let Ok(stream) = tokio_stream(stream) else { return };
    let (reads, writes) = stream.into_split();
    let stream = tokio::io::join(Cursor::new(ahead).chain(reads), writes);
    let mut server = h2::server::Builder::new();
    server.max_concurrent_streams(STREAMS).max_header_list_size(HEAD_MAX);
    server.initial_window_size(WINDOW).initial_connection_window_size(STREAMS * WINDOW);
    let Ok(Ok(mut connection)) = timeout(PATIENCE, server.handshake::<_, Bytes>(stream)).await else {
        return;
    };
    let mut calls = JoinSet::new();
    let mut last = Instant::now();
    loop {
        tokio::select! {
            call = connection.accept() => {
                let Some(Ok((request, respond))) = call else { return };
                calls.spawn(answer(request, respond, desk.clone()));
            }
            Some(_ended) = calls.join_next() => {}
            () = tokio::time::sleep_until(last + idle), if calls.is_empty() => break,
        }
        last = Instant::now();
    }
    // A call that is on its way comes back to its sender, who connects anew.
    connection.graceful_shutdown();
    drop(timeout(PATIENCE, connection.accept()).await);
}

fn tokio_stream(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?; // a window's opening must not wait for company
    tokio::net::TcpStream::from_std(stream)
}

/// Reads one call, has it settled and answers it.
async fn answer(request: ::http::Request<RecvStream>, respond: SendResponse<Bytes>, desk: Desk) {
    let (head, body) = request.into_parts();
    let agent = head.headers.get(USER_AGENT).map(|a| String::from_utf8_lossy(a.as_bytes()).into_owned());
    let late = || Refusal::new(408, "a call that did not come within 2 s");
    let (_place, read) = match wanted(&head) {
        // Only what is read waits for a place among those that are, and keeps it until it is settled.
        Ok(()) => {
            let Ok(place) = desk.bodies.acquire().await else { return };
            let read = timeout(PATIENCE, message(&head, body)).await.unwrap_or_else(|_| Err(late()));
            (Some(place), read)
        }
        Err(refusal) => (None, Err(refusal)),
    };
    let (answer, settled) = oneshot::channel();
    let agent = clean(&agent.unwrap_or_default(), AGENT_MAX);
    if desk.read.send(Call { agent, read, answer }).await.is_err() {
        return;
    }
    if let Ok(outcome) = settled.await {
        drop(tell(respond, &outcome)); // who has hung up has no use for it
    }
}

/// Is it a call for metrics?
fn wanted(head: &request::Parts) -> Result<(), Refusal> {
    let path = head.uri.path();
    if path != EXPORT {
        let why = format!("`{}` is not taken, only {EXPORT}", clean(path, AGENT_MAX));
        return Err(Refusal::new(404, why));
    }
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if head.method != Method::POST || !kind.starts_with(b"application/grpc") {
        return Err(Refusal::new(415, "no call of gRPC"));
    }
    Ok(())
}

/// Its message.
async fn message(head: &request::Parts, mut body: RecvStream) -> Result<Request, Refusal> {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(|_| Refusal::new(400, "a call that is cut off"))?;
        drop(body.flow_control().release_capacity(part.len()));
        if bytes.len() + part.len() > BODY_MAX + PREFIX {
            return Err(too_long(BODY_MAX));
        }
        bytes.extend_from_slice(&part);
    }
    let packing = head.headers.get("grpc-encoding").map_or(&b"identity"[..], HeaderValue::as_bytes);
    Ok(Request { form: Form::Protobuf, body: unframed(&bytes, packing)? })
}

/// The one message of a call, unpacked.
fn unframed(bytes: &[u8], packing: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some((&[packed, a, b, c, d], message)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(Refusal::new(400, "a call without a message"));
    };
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return Err(Refusal::new(400, "a call whose message has another length than it says"));
    }
    match (packed, packing) {
        (0, _) => Ok(message.to_vec()),
        (1, b"gzip") => unpacked(message, BODY_MAX),
        _ => Err(Refusal::new(415, "a message that is packed otherwise than by gzip")),
    }
}

/// An empty message is the word for "nothing was turned away".
fn tell(mut respond: SendResponse<Bytes>, outcome: &Result<(), Refusal>) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let Err(refusal) = outcome else {
        let mut stream = respond.send_response(head, false)?;
        stream.send_data(Bytes::from_static(&[0; PREFIX]), false)?;
        return stream.send_trailers(HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]));
    };
    head.headers_mut().insert(STATUS, HeaderValue::from_static(status(refusal.status)));
    if let Ok(why) = HeaderValue::from_str(&escaped(&refusal.why)) {
        head.headers_mut().insert(MESSAGE, why);
    }
    respond.send_response(head, true).map(drop)
}

/// gRPC's number for a mistake that HTTP calls so.
const fn status(http: u16) -> &'static str {
    match http {
        404 | 415 => "12", // unimplemented
        408 => "4",        // deadline exceeded
        413 | 429 => "8",  // resource exhausted
        _ => "3",          // invalid argument
    }
}

/// A text as gRPC puts it into a header: what is no printable ASCII as `%` and two digits.
fn escaped(text: &str) -> String {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'%';
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;
    use crate::sources::metrics::Own;

    #[test]
    fn a_message_is_taken_out_of_its_frame() {
        let frame = |packed: u8, length: u32, message: &[u8]| {
            [&[packed][..], &length.to_be_bytes(), message].concat()
        };
        let refused = |bytes: &[u8], packing: &[u8]| unframed(bytes, packing).unwrap_err().status;
        assert_eq!(unframed(&frame(0, 3, b"abc"), b"identity").unwrap(), b"abc");
        assert_eq!(unframed(&frame(0, 0, b""), b"gzip").unwrap(), b"");
        assert_eq!(refused(b"", b"identity"), 400);
        assert_eq!(refused(&frame(0, 4, b"abc"), b"identity"), 400);
        assert_eq!(refused(&frame(0, 2, b"abc"), b"identity"), 400, "two messages");
        assert_eq!(refused(&frame(1, 3, b"abc"), b"gzip"), 400, "no gzip");
        assert_eq!(refused(&frame(1, 3, b"abc"), b"zstd"), 415);
        assert_eq!(refused(&frame(2, 3, b"abc"), b"gzip"), 415);
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escaped("100 % \u{e9}\n"), "100 %25 %C3%A9%0A");
    }

    #[test]
    fn a_connection_that_says_nothing_more_gives_its_place_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let came = (listener.accept().unwrap().0, Vec::new());
        let (calls, door) =
            Calls::new(Arc::new(Mutex::new(Inbox::new(Arc::new(Own::new(&[])), None)))).unwrap();
        let place = door.room.clone().try_acquire_owned().unwrap();
        let idle = Duration::from_millis(50);
        calls.runtime.block_on(async {
            timeout(Duration::from_secs(30), serve(came, place, calls.desk.clone(), idle)).await.unwrap();
        });
        assert_eq!(door.room.available_permits(), CONNECTIONS);
    }
}
