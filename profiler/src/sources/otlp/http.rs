//! As much HTTP/1.1 as a sender of OpenTelemetry needs: one request with a body in, one short answer out, the connection closed. One that
//! begins as HTTP/2 does is for `grpc`.
//!
//! Owns the limits of what a sender may make us read (time, bytes, bytes once unpacked) and which status each mistake has. What a body
//! says is for others. Answers tell the sender; what people are told is the source's to say.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use timeline::MonoNs;
use timeline::text::clean;

/// Longest head: that of an SDK has 300 bytes.
const HEAD_MAX: usize = 8 << 10;
const FIELDS_MAX: usize = 48;
/// Longest body, packed and unpacked: as long as a page of metrics.
pub(super) const BODY_MAX: usize = 8 << 20;
/// A request is complete after this or given up: it comes over loopback.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A connection is read on for so long after the answer: closing it with bytes unread would make the system drop the answer.
const LINGER: Duration = Duration::from_millis(200);
/// What HTTP/2 begins with: gRPC speaks it.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
/// Most characters of a sender's name for itself.
pub(super) const AGENT_MAX: usize = 60;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

impl Form {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// A request for metrics.
#[derive(Debug)]
pub(super) struct Request {
    pub form: Form,
    /// Unpacked.
    pub body: Vec<u8>,
}

/// What a connection brings.
pub(super) enum Came {
    /// A request for metrics.
    Request(Request),
    /// Another protocol, which [`Connection::into_parts`] gives on.
    Http2,
    /// Whoever connected said nothing at all.
    Nothing,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub why: String,
}

impl Refusal {
    pub fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

/// One connection. Its request is answered by one of [`Connection::done`] and [`Connection::refuse`].
pub(super) struct Connection {
    stream: TcpStream,
    until: MonoNs,
    /// What was read and not used.
    ahead: Vec<u8>,
    /// What the sender calls itself.
    agent: String,
}

/// What the head says.
struct Head {
    form: Form,
    gzip: bool,
    /// None: it comes in chunks.
    length: Option<usize>,
    expects: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        // Inherited from the listener on some systems.
        stream.set_nonblocking(false)?;
        let until = MonoNs(MonoNs::now().0 + PATIENCE.as_nanos() as u64);
        Ok(Self { stream, until, ahead: Vec::new(), agent: String::new() })
    }

    /// What the sender calls itself, cleaned; empty if it says nothing.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The connection, and what was read of it.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.ahead)
    }

    /// Reads the request.
    pub fn read(&mut self, json_max: usize) -> Result<Came, Refusal> {
        let Some(head) = self.head()? else {
            return Ok(if self.ahead.is_empty() { Came::Nothing } else { Came::Http2 });
        };
        if head.expects {
            let _ = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"); // who is gone is found out next
        }
        let body = match head.length {
            Some(length) => self.exactly(length)?,
            None => self.chunks()?,
        };
        let most = if head.form == Form::Json { json_max } else { BODY_MAX };
        let body = if head.gzip { unpacked(&body, most)? } else { body };
        if body.len() > most {
            return Err(too_long(most));
        }
        Ok(Came::Request(Request { form: head.form, body }))
    }

    /// None where there is no request of HTTP/1.1 to come.
    fn head(&mut self) -> Result<Option<Head>, Refusal> {
        loop {
            if self.ahead.starts_with(HTTP2) {
                return Ok(None);
            }
            if let Some((head, used)) = self.parse()? {
                self.ahead.drain(..used);
                return Ok(Some(head));
            }
            if self.ahead.len() >= HEAD_MAX {
                return Err(Refusal::new(431, "the request's head is longer than 8 KiB"));
            }
            if !self.fill()? {
                let silent = self.ahead.is_empty();
                return if silent { Ok(None) } else { Err(Refusal::new(400, "a request that is cut off")) };
            }
        }
    }

    /// The head at the start of what was read, and its length.
    fn parse(&mut self) -> Result<Option<(Head, usize)>, Refusal> {
        if HTTP2.starts_with(&self.ahead) {
            return Ok(None); // it may become that
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let used = match parsed.parse(&self.ahead) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Refusal::new(400, "no request of HTTP/1.1")),
        };
        let field = |name: &str| {
            let found = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            found.map(|h| String::from_utf8_lossy(h.value).trim().to_ascii_lowercase())
        };
        self.agent = clean(&field("User-Agent").unwrap_or_default(), AGENT_MAX);
        let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
        if path != "/v1/metrics" {
            let why = format!("`{}` is not taken, only metrics at /v1/metrics", clean(path, AGENT_MAX));
            return Err(Refusal::new(404, why));
        }
        if parsed.method != Some("POST") {
            return Err(Refusal::new(405, "another method than POST"));
        }
        let kind = field("Content-Type").unwrap_or_default();
        let form = match kind.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => Form::Protobuf,
            "application/json" => Form::Json,
            _ => {
                let why = "a body that is neither application/x-protobuf nor application/json";
                return Err(Refusal::new(415, why));
            }
        };
        let gzip = match field("Content-Encoding").as_deref() {
            None | Some("" | "identity") => false,
            Some("gzip") => true,
            Some(_) => return Err(Refusal::new(415, "a body that is packed otherwise than by gzip")),
        };
        let length = match (field("Transfer-Encoding"), field("Content-Length")) {
            (Some(coding), None) if coding == "chunked" => None,
            (None, Some(length)) => {
                Some(length.parse().map_err(|_| Refusal::new(400, "a length that is none"))?)
            }
            (None, None) => return Err(Refusal::new(411, "a body without a length")),
            _ => return Err(Refusal::new(400, "a body whose length is told twice or otherwise")),
        };
        if length.is_some_and(|length: usize| length > BODY_MAX) {
            return Err(too_long(BODY_MAX));
        }
        let expects = field("Expect").is_some_and(|e| e == "100-continue");
        Ok(Some((Head { form, gzip, length, expects }, used)))
    }

    /// So many bytes of the body.
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Refusal> {
        while self.ahead.len() < length {
            self.more()?;
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut body = Vec::new();
        loop {
            let (skip, length) = loop {
                match httparse::parse_chunk_size(&self.ahead) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.ahead.len() < HEAD_MAX => self.more()?,
                    _ => return Err(Refusal::new(400, "a chunk whose length is none")),
                }
            };
            self.ahead.drain(..skip);
            if length == 0 {
                return Ok(body); // what may follow is of no use, and the connection is closed
            }
            let length = usize::try_from(length).ok().filter(|n| body.len().saturating_add(*n) <= BODY_MAX);
            let length = length.ok_or_else(|| too_long(BODY_MAX))?;
            body.extend(self.exactly(length)?);
            self.exactly(2)?; // the line's end
        }
    }

    fn more(&mut self) -> Result<(), Refusal> {
        if self.fill()? { Ok(()) } else { Err(Refusal::new(400, "a request that is cut off")) }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> Result<bool, Refusal> {
        let left = self.until.since(MonoNs::now());
        let mut chunk = [0; 16 << 10];
        let late = || Refusal::new(408, "a request that did not come within 2 s");
        // What came while we stood still ourselves came in time: it is read, and nothing is waited for.
        let is_over = left == Duration::ZERO;
        let begun = if is_over {
            self.stream.set_nonblocking(true)
        } else {
            self.stream.set_read_timeout(Some(left))
        };
        if begun.is_err() {
            return Err(late());
        }
        let read = loop {
            match self.stream.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        if is_over && self.stream.set_nonblocking(false).is_err() {
            return Err(late());
        }
        match read {
            Ok(n) => {
                self.ahead.extend_from_slice(&chunk[..n]);
                Ok(n > 0)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => Err(late()),
            Err(_) => Ok(false),
        }
    }

    /// It was taken, and is not to come again.
    pub fn done(self, form: Form) {
        // An empty answer is protobuf's way to say that nothing was turned away; where a part was, people are told.
        let body: &[u8] = if form == Form::Json { b"{}" } else { b"" };
        self.answer("200 OK", form.content_type(), body);
    }

    /// Nothing was taken.
    pub fn refuse(self, refusal: &Refusal) {
        let status = match refusal.status {
            404 => "404 Not Found",
            405 => "405 Method Not Allowed",
            408 => "408 Request Timeout",
            411 => "411 Length Required",
            413 => "413 Content Too Large",
            415 => "415 Unsupported Media Type",
            429 => "429 Too Many Requests",
            431 => "431 Request Header Fields Too Large",
            _ => "400 Bad Request",
        };
        self.answer(status, "text/plain; charset=utf-8", format!("dyno: {}\n", refusal.why).as_bytes());
    }

    /// Whoever does not take it has lost it.
    fn answer(mut self, status: &str, content_type: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = self.stream.set_write_timeout(Some(LINGER));
        let written = self.stream.write_all(head.as_bytes()).and_then(|()| self.stream.write_all(body));
        if written.and_then(|()| self.stream.shutdown(Shutdown::Write)).is_err() {
            return;
        }
        self.until = MonoNs(MonoNs::now().0 + LINGER.as_nanos() as u64);
        while MonoNs::now() < self.until && self.fill() == Ok(true) {
            self.ahead.clear();
        }
    }
}

pub(super) fn too_long(most: usize) -> Refusal {
    Refusal::new(413, format!("a body of more than {} MiB", most >> 20))
}

/// A packed body; nothing beyond the most is unpacked.
pub(super) fn unpacked(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body).take(most as u64 + 1).read_to_end(&mut out);
    read.map_err(|_| Refusal::new(400, "a body that is no gzip"))?;
    if out.len() > most { Err(too_long(most)) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_came_while_we_stood_still_is_read_and_nothing_more_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let read = |body: &str| {
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let head =
                "POST /v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
            sender.write_all(format!("{head}{body}").as_bytes()).unwrap();
            let mut connection = Connection::new(listener.accept().unwrap().0).unwrap();
            // All is there.
            connection.stream.peek(&mut [0]).unwrap();
            connection.until = MonoNs(1);
            connection.read(BODY_MAX)
        };
        let Ok(Came::Request(request)) = read("{}") else { panic!("it has come") };
        assert_eq!(request.body, b"{}");
        assert_eq!(read("{").map(drop).unwrap_err().status, 408);
    }
}
