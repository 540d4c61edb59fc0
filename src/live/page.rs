//! `--metrics-listen`: the newest snapshot as OpenMetrics text, for Prometheus to scrape.
//!
//! One thread serves one request at a time, each within its time, and encodes a snapshot once however often it is asked
//! for: whoever scrapes too much waits, and the run does not.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reports::openmetrics::{self, CONTENT_TYPE};
use timeline::MonoNs;
use timeline::recorder::Published;

/// How often a new connection is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest head of a request, bytes; Prometheus sends some three hundred.
const HEAD: usize = 8 << 10;

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
    fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let since = MonoNs::now();
        stream.set_nonblocking(false)?;
        let head = head(&mut stream, since)?;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        let (status, kind) = match (method, path) {
            ("GET" | "HEAD", "/metrics") => ("200 OK", CONTENT_TYPE),
            ("GET" | "HEAD", _) => ("404 Not Found", "text/plain"),
            _ => ("405 Method Not Allowed", "text/plain"),
        };
        let body = if status == "200 OK" { self.page() } else { "metrics are at /metrics\n" };
        let sent = if method == "HEAD" { "" } else { body };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        send(&mut stream, head.as_bytes(), since)?;
        send(&mut stream, sent.as_bytes(), since)
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

/// What is left of the time of a request that came at `since`.
fn left(since: MonoNs) -> io::Result<Duration> {
    let left = PATIENCE.saturating_sub(MonoNs::now().since(since));
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Writes all of it, within the time, however slowly it is taken.
fn send(stream: &mut TcpStream, mut bytes: &[u8], since: MonoNs) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(since)?))?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// Reads up to the empty line, within the time, however slowly it is sent.
fn head(stream: &mut TcpStream, since: MonoNs) -> io::Result<String> {
    let (mut all, mut part) = (Vec::new(), [0; 1_024]);
    while !all.windows(4).any(|w| w == b"\r\n\r\n") {
        if all.len() > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left(since)?))?;
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => all.extend_from_slice(&part[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_bit_by_bit_is_left_when_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
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
        assert!(send(&mut stream, &vec![0; 64 << 20], since).is_err());
        // All of it would take twenty times as long.
        assert!(MonoNs::now().since(since) < PATIENCE * 15);
        over.store(true, Ordering::Relaxed);
        drop(stream);
        slow.join().unwrap();
    }
}
