//! Passing a question on to a worker's probe.
//!
//! One connection for each question: they come ten times a second, on loopback. A worker that is stopped does not
//! answer; the time limit is its asker's alone, since every question is a task of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer longer than this is cut off with an error, bytes: a profile has a few megabytes.
const MAX_ANSWER: u64 = 64 << 20;
/// Most header fields in an answer.
const MAX_FIELDS: usize = 32;

/// A worker's answer.
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its content type, if it named one.
    pub kind: Option<(HeaderName, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Asks `GET path` of the probe at `address`. `path` is one that came in a request line, so it has no spaces.
///
/// # Errors
/// When nothing whole comes within `patience`.
pub async fn ask(address: SocketAddr, path: &str, token: &str, patience: Duration) -> io::Result<Relayed> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        take_apart(answer)
    };
    tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The agent sends its length and closes; anything else is no answer of an agent.
fn take_apart(mut answer: Vec<u8>) -> io::Result<Relayed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(start)) = head.parse(&answer) else { return Err(broken()) };
    let status = head.code.and_then(|c| StatusCode::from_u16(c).ok()).ok_or_else(broken)?;
    let field = |name: HeaderName| {
        let found = head.headers.iter().find(|h| name == h.name)?;
        std::str::from_utf8(found.value).ok().map(|value| (name, value.to_owned()))
    };
    let kind = field(header::CONTENT_TYPE);
    let length: Option<usize> = field(header::CONTENT_LENGTH).and_then(|(_, v)| v.parse().ok());
    let body = answer.split_off(start);
    if length != Some(body.len()) {
        return Err(broken());
    }
    Ok(Relayed { status, kind, body })
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is broken off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_passed_on() {
        let text =
            b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\ncontent-length: 2\r\n\r\nno".to_vec();
        let relayed = take_apart(text.clone()).unwrap();
        assert_eq!((relayed.status.as_u16(), relayed.body.as_slice()), (401, &b"no"[..]));
        assert_eq!(relayed.kind.unwrap().1, "text/plain");
        for cut in 0..text.len() {
            assert!(take_apart(text[..cut].to_vec()).is_err(), "cut at {cut}");
        }
    }
}
