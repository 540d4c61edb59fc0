//! As much HTTP/1.1 as the probe needs: a bounded head in, a whole body out.
//!
//! Owns reading and writing on one connection, with deadlines; knows nothing of what is asked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use timeline::clock::MonoNs;

/// Most bytes of a request's head.
const HEAD_MAX: usize = 8 * 1024;
/// Most header fields.
const FIELDS_MAX: usize = 32;
/// A head that has begun must be complete after this.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may be silent between requests.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// A response must have been taken after this; the largest is a profile of a few MB.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How long, and for how many reads, a connection is read on after its last response: closing it with bytes
/// unread would make the system drop that response.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 16);

/// A request, as far as the probe looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET`.
    pub(crate) method: String,
    /// In front of `?`.
    pub(crate) path: String,
    /// Behind `?`; empty without.
    pub(crate) query: String,
    /// The `Authorization` field.
    pub(crate) authorization: Option<String>,
    /// The client will ask again on this connection.
    pub(crate) keep_alive: bool,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// 200.
    pub(crate) status: u16,
    /// `application/json`.
    pub(crate) content_type: &'static str,
    /// All of it.
    pub(crate) body: Vec<u8>,
    /// A further header field, for the status that needs one.
    pub(crate) extra: Option<(&'static str, &'static str)>,
}

impl Response {
    /// 200 with `body`.
    pub(crate) const fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, body, extra: None }
    }

    /// `{"error": why}` with the field that the status demands.
    pub(crate) fn error(status: u16, why: &str) -> Self {
        let extra = match status {
            401 => Some(("WWW-Authenticate", "Bearer")),
            405 => Some(("Allow", "GET")),
            _ => None,
        };
        let body = serde_json::json!({ "error": why }).to_string().into_bytes();
        Self { status, content_type: "application/json", body, extra }
    }
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// The client went away, fell silent or was too slow: close.
    Gone,
    /// The client does not speak properly: say so and close.
    Bad(&'static str),
}

/// One connection and the bytes that were read ahead.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next request.
    pub(crate) fn read(&mut self) -> Result<Request, NoRequest> {
        // A new connection's first request counts as begun, so that a silent stranger does not hold a place for long.
        let until = MonoNs(MonoNs::now().0 + HEAD_TIME.as_nanos() as u64);
        loop {
            if let Some((request, used)) = parse(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(request);
            }
            if self.buffer.len() >= HEAD_MAX {
                return Err(NoRequest::Bad("the request's head is too long"));
            }
            let left = until.since(MonoNs::now());
            if left == Duration::ZERO {
                return Err(NoRequest::Gone);
            }
            self.fill(left)?;
        }
    }

    /// Waits for the next request to begin, on a connection that was used already.
    pub(crate) fn wait(&mut self) -> Result<(), NoRequest> {
        if self.buffer.is_empty() { self.fill(IDLE_TIME) } else { Ok(()) }
    }

    fn fill(&mut self, within: Duration) -> Result<(), NoRequest> {
        let mut chunk = [0; 2048];
        let room = chunk.len().min(HEAD_MAX - self.buffer.len());
        let gone = |_| NoRequest::Gone;
        self.stream.set_read_timeout(Some(within)).map_err(gone)?;
        loop {
            match self.stream.read(&mut chunk[..room]) {
                Ok(0) => return Err(NoRequest::Gone),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(NoRequest::Gone),
            }
        }
    }

    /// Ends the connection so that the client still gets the last response.
    pub(crate) fn close(mut self) {
        let (time, reads) = LINGER;
        let until = MonoNs(MonoNs::now().0 + time.as_nanos() as u64);
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        for _ in 0..reads {
            self.buffer.clear();
            let left = until.since(MonoNs::now());
            if left == Duration::ZERO || self.fill(left).is_err() {
                return;
            }
        }
    }

    /// Sends all of `response`, within [`WRITE_TIME`].
    ///
    /// # Errors
    /// When the client is gone or too slow.
    pub(crate) fn write(&mut self, response: &Response, keep_alive: bool) -> io::Result<()> {
        let mut bytes = head(response, keep_alive).into_bytes();
        bytes.extend_from_slice(&response.body);
        let until = MonoNs(MonoNs::now().0 + WRITE_TIME.as_nanos() as u64);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let left = until.since(MonoNs::now());
            if left == Duration::ZERO {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_write_timeout(Some(left))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn head(response: &Response, keep_alive: bool) -> String {
    let reason = match response.status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    let extra = response.extra.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{extra}Connection: {connection}\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len(),
    )
}

/// The request at the start of `bytes` and its length; none if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, NoRequest> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(NoRequest::Bad("not an HTTP/1.1 request")),
    };
    let field = |name: &str| {
        let found = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.map(|h| String::from_utf8_lossy(h.value).into_owned())
    };
    if field("Transfer-Encoding").is_some() || field("Content-Length").is_some_and(|n| n.trim() != "0") {
        return Err(NoRequest::Bad("a request to the probe has no body"));
    }
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let close = field("Connection").is_some_and(|v| v.to_ascii_lowercase().contains("close"));
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: field("Authorization"),
        keep_alive: parsed.version == Some(1) && !close,
    };
    Ok(Some((request, used)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_taken_apart() {
        let bytes = b"GET /v1/instances/a/samples?since=4 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\r\nGET /";
        let (request, used) = parse(bytes).unwrap().unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/v1/instances/a/samples", "since=4"));
        assert_eq!(request.authorization.as_deref(), Some("Bearer t"));
        assert!(request.keep_alive);
        assert_eq!(used, bytes.len() - 5);
    }

    #[test]
    fn bodies_and_nonsense_are_refused() {
        let bad = |b: &[u8]| matches!(parse(b), Err(NoRequest::Bad(_)));
        assert!(bad(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"));
        assert!(bad(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"));
        assert!(bad(b"\x16\x03\x01\x02"));
        assert_eq!(parse(b"GET / HT"), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn a_response_reads_so() {
        let response = Response::error(401, "no \"token\"");
        insta::assert_snapshot!(
            format!("{}{}", head(&response, false), String::from_utf8(response.body).unwrap()).replace('\r', ""),
            @r#"
        HTTP/1.1 401 Unauthorized
        Content-Type: application/json
        Content-Length: 24
        Cache-Control: no-store
        WWW-Authenticate: Bearer
        Connection: close

        {"error":"no \"token\""}
        "#
        );
    }
}
