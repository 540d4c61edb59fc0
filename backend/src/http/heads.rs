//! Heads that hyper refuses by itself: they come to no route, and its answer to them is a bare status.
//!
//! Owns the stream between hyper and a client, which puts the reason into such an answer on its way out, in the form of all others.
//! hyper has no setting for it, and what it returns at the end comes after its answer. Who speaks HTTP/2, breaks
//! off in the middle of a head or does not come to its end in time has no answer of it, and is hung up on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Finish;

/// Every answer with which hyper refuses begins so, and none of a WebSocket's frames does.
const REFUSED: &[u8] = b"HTTP/1.1 4";
/// The fields of such an answer, and no others. Each of ours has the type of its body at least.
const FIELDS: [&str; 3] = ["connection: close", "content-length: 0", "date: "];
/// How it goes on where the head is longer, or has more fields, than is taken.
const TOO_LARGE: &str = "31 ";

/// A client's stream. Each write of hyper's that is such an answer and nothing else is put in full.
pub struct Reasoned {
    stream: TcpStream,
    finish: Finish,
    /// What is left to be written in the place of hyper's own answer; mostly empty.
    instead: Vec<u8>,
}

impl Reasoned {
    /// Over `stream`; answers get what `finish` adds, too.
    pub fn new(stream: TcpStream, finish: Finish) -> Self {
        Self { stream, finish, instead: Vec::new() }
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
    let body = format!(r#"{{"error":"{why}"}}"#);
    let length = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    let mut head = format!("HTTP/1.1 4{status}\r\n{}", fields.replace(FIELDS[1], &length));
    let mut finished = Response::new(Body::empty());
    finish(&mut finished);
    for (name, value) in finished.headers() {
        head += &format!("\r\n{name}: {}", value.to_str().unwrap_or_default());
    }
    Some(format!("{head}\r\n\r\n{body}").into_bytes())
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
        let Self { stream, finish, instead } = self.get_mut();
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
            _ => Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces),
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
