//! `--metrics-listen`: the newest snapshot as OpenMetrics text, for Prometheus to scrape.
//!
//! One thread serves one request at a time, each within its time, and encodes a snapshot once however often it is asked
//! for: whoever scrapes too much waits, and the run does not. How a request is read, and that nobody is waited for
//! longer, is left to [`crate::serve`].

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reports::openmetrics::{self, CONTENT_TYPE};
use timeline::recorder::Published;

use crate::serve::line::Line;
use crate::serve::request;

/// How often a new connection is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A page being served.
pub struct Page {
    /// Where it is.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves until it is dropped.
    pub fn start(listener: TcpListener, published: Published) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut server = Server { published, seq: None, text: String::new() };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    // Whoever hangs up or sends nonsense gets no answer, and the next one is served.
                    Ok((stream, _)) => drop(server.serve(stream)),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    published: Published,
    /// Which snapshot the text was made from.
    seq: Option<u64>,
    text: String,
}

impl Server {
    fn serve(&mut self, stream: TcpStream) -> io::Result<()> {
        let mut line = line(stream)?;
        let Some((status, kind, whole)) = request::head(&mut line, answer)? else { return Ok(()) };
        let body = if status == "200 OK" { self.page() } else { "metrics are at /metrics\n" };
        let sent = if whole { body } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        line.write_all(head.as_bytes())?;
        line.write_all(sent.as_bytes())
    }

    fn page(&mut self) -> &str {
        let snapshot = self.published.get();
        if self.seq != Some(snapshot.seq) {
            let figures = reports::metrics::of_snapshot(&snapshot);
            // A page that cannot be encoded is a fault of ours; the one before is still true.
            if let Ok(text) = openmetrics::page(&figures) {
                self.text = text;
            }
            self.seq = Some(snapshot.seq);
        }
        &self.text
    }
}

/// A connection for one request and its answer, and the time for both begins.
fn line(stream: TcpStream) -> io::Result<Line> {
    stream.set_nonblocking(false)?;
    let mut line = Line::new(stream, None).map_err(io::Error::other)?;
    line.within(PATIENCE);
    Ok(line)
}

/// Status and content type of the answer, and whether its body is asked for, too.
fn answer(request: &httparse::Request<'_, '_>) -> (&'static str, &'static str, bool) {
    let method = request.method.unwrap_or_default();
    let path = request.path.and_then(|target| target.split('?').next());
    let (status, kind) = match (method, path) {
        ("GET" | "HEAD", Some("/metrics")) => ("200 OK", CONTENT_TYPE),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain"),
        _ => ("405 Method Not Allowed", "text/plain"),
    };
    (status, kind, method != "HEAD")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use timeline::MonoNs;

    use super::*;

    #[test]
    fn the_page_is_at_one_place_and_is_read_only() {
        let asked = |text: &str| request::head(&mut text.as_bytes(), answer).unwrap();
        assert_eq!(
            asked("GET /metrics?a=b HTTP/1.1\r\nhost: x\r\n\r\n"),
            Some(("200 OK", CONTENT_TYPE, true))
        );
        assert_eq!(asked("HEAD /metrics HTTP/1.1\r\n\r\n"), Some(("200 OK", CONTENT_TYPE, false)));
        assert_eq!(asked("GET / HTTP/1.1\r\n\r\n"), Some(("404 Not Found", "text/plain", true)));
        assert_eq!(
            asked("POST /metrics HTTP/1.1\r\n\r\n"),
            Some(("405 Method Not Allowed", "text/plain", true))
        );
        assert_eq!(asked(""), None);
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_left_when_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        // A method that has no end; each byte comes within a time of its own, and all that a head may have would take three minutes.
        let slow = std::thread::spawn(move || {
            while client.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut line = line(stream).unwrap();
        let error = request::head(&mut line, answer).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        drop(line);
        slow.join().unwrap();
    }

    #[test]
    fn a_reader_that_takes_bit_by_bit_is_left_when_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        // Each write gets some of it through within a time of its own, so only the whole can be late.
        let slow = std::thread::spawn(move || {
            let mut part = [0; 64 << 10];
            while !seen.load(Ordering::Relaxed) && reader.read(&mut part).is_ok_and(|n| n > 0) {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let since = MonoNs::now();
        let mut line = line(stream).unwrap();
        assert!(line.write_all(&vec![0; 64 << 20]).is_err());
        // All of it would take twenty times as long.
        assert!(MonoNs::now().since(since) < PATIENCE * 15);
        over.store(true, Ordering::Relaxed);
        drop(line);
        slow.join().unwrap();
    }
}
