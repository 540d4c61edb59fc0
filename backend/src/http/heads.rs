//! Heads that come to no route: hyper refuses them with a bare status, or hangs up without a word.
//!
//! Owns the stream between hyper and a client, which puts the reason into such an answer on its way out, in the form of all others:
//! hyper has no setting for it, and what it returns at the end comes after its answer. Who speaks HTTP/2, breaks off in the
//! middle of a head or does not come to its end in time has no answer of hyper's, and gets one of ours when hyper is done.

use std::fmt::Display;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use timeline::clock::unix_ms;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Finish;

/// Every answer with which hyper refuses begins so, and none of a WebSocket's frames does.
const REFUSED: &[u8] = b"HTTP/1.1 4";
/// The fields of such an answer, and no others; the last lacks its value. Each of ours has the type of its body at least.
const FIELDS: [&str; 3] = ["connection: close", "content-length: 0", "date: "];
/// How it goes on where the head is longer, or has more fields, than is taken.
const TOO_LARGE: &str = "31 ";

/// Why a connection has come to no good end.
pub enum Broken {
    /// No head has come in time.
    Late,
    /// hyper has given up.
    Failed(hyper::Error),
}

/// A client's stream. Each write of hyper's that is such an answer and nothing else is put in full.
pub struct Reasoned {
    stream: TcpStream,
    finish: Finish,
    /// What is left to be written in the place of hyper's own answer; mostly empty.
    instead: Vec<u8>,
    /// Does something of an answer wait for the client to take it?
    waits: bool,
}

impl Reasoned {
    /// Over `stream`; answers get what `finish` adds, too.
    pub fn new(stream: TcpStream, finish: Finish) -> Self {
        Self { stream, finish, instead: Vec::new(), waits: false }
    }

    /// Says why the connection is `broken`, if hyper has not; `rest` is what it has read and served to nobody. Whoever has
    /// not taken the answer before, has no room for this one or has sent nothing of a head is hung up on without it.
    pub fn explain(&self, broken: &Broken, rest: &[u8]) {
        let Some((status, why)) = unanswered(broken, rest).filter(|_| !self.waits) else { return };
        let now = UNIX_EPOCH + Duration::from_millis(unix_ms());
        let fields = FIELDS.join("\r\n") + &httpdate::fmt_http_date(now);
        let _ = self.stream.try_write(&reasoned(status, &fields, why, self.finish));
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, finish, instead, .. } = self;
        let mut stream = Pin::new(stream);
        if instead.is_empty() {
            match in_full(bytes, *finish) {
                Some(answer) => *instead = answer,
                None => return stream.poll_write(context, bytes),
            }
        }
        // Until all of it is written nothing of `bytes` is, so hyper comes with them again.
        while !instead.is_empty() {
            let written = ready!(stream.as_mut().poll_write(context, instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.drain(..written);
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

/// What is hung up over, and was told to nobody.
fn unanswered(broken: &Broken, rest: &[u8]) -> Option<(StatusCode, &'static str)> {
    // Empty lines before a head are none of it, and between two heads a client may leave or be late.
    let begun = rest.iter().any(|byte| !b"\r\n".contains(byte));
    match broken {
        Broken::Failed(error) if error.is_parse_version_h2() => {
            Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1"))
        }
        Broken::Failed(error) if begun && error.is_incomplete_message() => {
            Some((StatusCode::BAD_REQUEST, "the head of the request breaks off"))
        }
        Broken::Late if begun => {
            Some((StatusCode::REQUEST_TIMEOUT, "the head of the request does not come in time"))
        }
        _ => None,
    }
}

/// The same answer with its reason, if `answer` is one of hyper's own.
fn in_full(answer: &[u8], finish: Finish) -> Option<Vec<u8>> {
    let rest = answer.strip_prefix(REFUSED)?.strip_suffix(b"\r\n\r\n")?;
    let (status, fields) = std::str::from_utf8(rest).ok()?.split_once("\r\n")?;
    let given = fields.split("\r\n").count();
    if given != FIELDS.len() || !FIELDS.iter().all(|known| fields.contains(known)) {
        return None;
    }
    let why = if status.starts_with(TOO_LARGE) {
        "the head of a request is too long, or has too many fields"
    } else {
        "this is no HTTP request"
    };
    Some(reasoned(format_args!("4{status}"), fields, why, finish))
}

/// An answer with its reason; `fields` are those of hyper's own.
fn reasoned(status: impl Display, fields: &str, why: &str, finish: Finish) -> Vec<u8> {
    let body = format!(r#"{{"error":"{why}"}}"#);
    let length = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    let mut head = format!("HTTP/1.1 {status}\r\n{}", fields.replace(FIELDS[1], &length));
    let mut finished = Response::new(Body::empty());
    finish(&mut finished);
    for (name, value) in finished.headers() {
        head += &format!("\r\n{name}: {}", value.to_str().unwrap_or_default());
    }
    format!("{head}\r\n\r\n{body}").into_bytes()
}

impl AsyncRead for Reasoned {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Reasoned {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.write(context, bytes);
        this.waits = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces {
            // An answer without a body is one piece.
            [one] => self.poll_write(context, one),
            _ => {
                let this = self.get_mut();
                let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
                this.waits = written.is_pending();
                written
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, header};

    fn stored_nowhere(response: &mut Response) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }

    #[test]
    fn an_answer_of_hypers_own_gets_a_reason_and_all_others_stay() {
        let full = |answer: &str| {
            in_full(answer.as_bytes(), stored_nowhere).map(|full| String::from_utf8(full).unwrap())
        };
        let bare = "HTTP/1.1 431 Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        insta::assert_snapshot!(full(bare).unwrap().replace('\r', ""), @r#"
        HTTP/1.1 431 Too Large
        connection: close
        content-type: application/json
        content-length: 69
        date: x
        cache-control: no-store

        {"error":"the head of a request is too long, or has too many fields"}
        "#);
        let bad = bare.replace("431 Too Large", "400 Bad Request");
        assert!(full(&bad).unwrap().ends_with("\r\n\r\n{\"error\":\"this is no HTTP request\"}"));
        for other in [
            bare.replace("431", "200"),
            bare.replace("content-length: 0", "content-length: 7\r\ncontent-type: application/json"),
            bare.replace("date: x", "date: x\r\nallow: GET"),
            bare.replace("\r\n\r\n", "\r\n\r\n{}"),
            bare.replace("\r\n\r\n", ""),
            "HTTP/1.1 4".to_owned(),
            String::new(),
        ] {
            assert_eq!(full(&other), None, "{other}");
        }
    }
}
