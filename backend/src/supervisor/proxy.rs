//! Passing a question on to a worker's probe.
//!
//! Connections are kept: a worker that has no descriptor left for a new one is asked all the same, just when it is worth it. One that is
//! stopped does not answer; the time limit is its asker's alone, since every question is a task of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// An answer longer than this is cut off with an error, bytes: a profile has a few megabytes.
const MAX_ANSWER: usize = 64 << 20;
/// Connections to one worker that are kept: one for whoever reads, and one for a person beside. An agent takes eight in all.
const MAX_KEPT: usize = 2;

/// Who asks. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    client: Client<HttpConnector, Body>,
}

/// A worker's answer.
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its content type, if it named one.
    pub kind: Option<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
}

impl Proxy {
    /// With no connection yet.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(MAX_KEPT).build(connector);
        Self { client }
    }

    /// Asks `GET path` of the probe at `address`.
    ///
    /// # Errors
    /// When nothing whole comes within `patience`.
    pub async fn ask(
        &self,
        address: SocketAddr,
        path: &str,
        token: &str,
        patience: Duration,
    ) -> io::Result<Relayed> {
        let request = Request::get(format!("http://{address}{path}"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .map_err(io::Error::other)?;
        let exchange = async {
            let (head, body) = self.client.request(request).await.map_err(io::Error::other)?.into_parts();
            let body = to_bytes(Body::new(body), MAX_ANSWER).await.map_err(io::Error::other)?;
            let kind = head.headers.get(CONTENT_TYPE).map(|kind| (CONTENT_TYPE, kind.clone()));
            Ok(Relayed { status: head.status, kind, body })
        };
        let in_time = tokio::time::timeout(patience, exchange).await;
        in_time.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_kept_and_only_a_whole_answer_is_passed_on() {
        let worker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = worker.local_addr().unwrap();
        let proxy = Proxy::new();
        let ask = || proxy.ask(address, "/v1/instances", "t", Duration::from_secs(20));
        let answers = async {
            // Nobody else is let in.
            let (mut stream, _) = worker.accept().await.unwrap();
            let mut asked = [0; 4_096];
            for status in ["401 Unauthorized", "200 OK"] {
                let read = stream.read(&mut asked).await.unwrap();
                let head = String::from_utf8_lossy(&asked[..read]).to_lowercase();
                assert!(head.starts_with("get /v1/instances http/1.1\r\n"), "{head}");
                assert!(head.contains("authorization: bearer t\r\n"), "{head}");
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nn").await.unwrap();
        };
        let asking = async {
            let relayed = ask().await.unwrap();
            assert_eq!((relayed.status.as_u16(), &relayed.body[..]), (401, &b"no"[..]));
            assert_eq!(relayed.kind.unwrap().1, "text/plain");
            assert_eq!(ask().await.unwrap().status.as_u16(), 200);
            assert!(ask().await.is_err(), "it breaks off");
        };
        tokio::join!(answers, asking);
    }
}
