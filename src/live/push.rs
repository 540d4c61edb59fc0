//! `--otlp`: the newest snapshot to an OpenTelemetry collector, once a second.
//!
//! One thread sends; what cannot be sent waits in a bounded queue, oldest out first, and is counted. That a collector does
//! not answer is said once, and the run goes on. What is sent may hold a secret (`HEADERS`): it goes to the collector and through nobody.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use profiler::sources::direct;
use timeline::recorder::Handle;

/// Time from one export to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Exports that wait while the collector is away: a minute of them.
const QUEUE: usize = 60;
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Headers of each request, as OpenTelemetry's own exporters read them: `name=value,name=value`, values percent-encoded.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// An export going on.
pub struct Push {
    stop: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Push {
    /// Exports until it is dropped, and once more then.
    pub fn start(url: &str, handle: Handle) -> anyhow::Result<Self> {
        let mut sender = Sender::new(target(url).map_err(crate::outcome::UserError::wrong)?, handle);
        let (stop, stopped) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("otlp".to_owned()).spawn(move || sender.run(&stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where metrics go: a collector's address, or the whole path.
pub fn target(url: &str) -> Result<String, String> {
    if url.contains('@') {
        return Err(format!(
            "--otlp takes no user and no password in the address, which logs would show: put them into {HEADERS}"
        ));
    }
    let Some(rest) = url.strip_prefix("http://").filter(|rest| !rest.is_empty()) else {
        return Err(format!(
            "--otlp {url}: expected the address of a collector, such as http://127.0.0.1:4318 (over plain HTTP)"
        ));
    };
    let whole = rest.trim_end_matches('/').ends_with(reports::otlp::PATH);
    Ok(if whole { url.to_owned() } else { format!("{}{}", url.trim_end_matches('/'), reports::otlp::PATH) })
}

fn headers(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = |value| percent_decode_str(value).decode_utf8_lossy().into_owned();
    pairs.map(|(name, value)| (name.trim().to_owned(), decoded(value.trim()))).collect()
}

struct Sender {
    url: String,
    headers: Vec<(String, String)>,
    agent: ureq::Agent,
    handle: Handle,
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
    said: bool,
}

impl Sender {
    fn new(url: String, handle: Handle) -> Self {
        let agent = direct().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
        let headers = headers(&std::env::var(HEADERS).unwrap_or_default());
        Self { url, headers, agent, handle, waiting: VecDeque::new(), lost: 0, said: false }
    }

    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            let last = !matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout));
            self.add();
            self.send_all();
            if last {
                return;
            }
        }
    }

    fn add(&mut self) {
        let figures = reports::metrics::of_snapshot(&self.handle.published().get());
        if self.waiting.len() == QUEUE {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(reports::otlp::metrics(&figures, timeline::clock::unix_ms()));
    }

    fn send_all(&mut self) {
        while let Some(body) = self.waiting.pop_front() {
            match self.send(&body) {
                Ok(()) => {}
                Err(why) => {
                    self.waiting.push_front(body);
                    return self.failed(&why);
                }
            }
        }
        if self.said {
            self.said = false;
            self.handle.log(&format!(
                "the collector at {} answers again; {} exports were lost",
                self.url, self.lost
            ));
        }
    }

    fn send(&self, body: &[u8]) -> Result<(), String> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let status = request.send(body).map_err(|e| e.to_string())?.status();
        // Who redirects takes nothing either: an address that was not given is sent nothing.
        if status.is_success() { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
    }

    /// Said once for as long as it lasts.
    fn failed(&mut self, why: &str) {
        if !self.said {
            self.said = true;
            self.handle.log(&format!("the collector at {} takes nothing: {why}; the run goes on", self.url));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::run::testing;

    #[test]
    fn a_collector_that_redirects_takes_nothing_and_nobody_else_is_told() {
        let [collector, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [url, elsewhere] = [&collector, &other].map(|l| format!("http://{}/", l.local_addr().unwrap()));
        let answers = std::thread::spawn(move || {
            let (mut stream, mut byte, mut head) = (collector.accept().unwrap().0, [0], Vec::new());
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let recorder = testing::recorder();
        let sent = Sender::new(url, recorder.handle()).send(b"");
        answers.join().unwrap();
        assert_eq!(sent, Err("status 307".to_owned()));
        other.set_nonblocking(true).unwrap();
        assert!(other.accept().is_err(), "nobody has asked");
    }

    #[test]
    fn headers_are_decoded_as_the_specification_says() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            headers("Authorization=Basic%20YTpi%3D, api-key = a%2Cb%c3%a4 ,nothing"),
            [pair("Authorization", "Basic YTpi="), pair("api-key", "a,bä")]
        );
        assert_eq!(headers("share=5%,odd=%zz=1"), [pair("share", "5%"), pair("odd", "%zz=1")]);
    }

    #[test]
    fn a_collector_is_named_by_its_address_or_its_whole_path() {
        assert_eq!(target("http://a:4318").unwrap(), "http://a:4318/v1/metrics");
        assert_eq!(target("http://a:4318/x/").unwrap(), "http://a:4318/x/v1/metrics");
        assert_eq!(target("http://a:4318/v1/metrics").unwrap(), "http://a:4318/v1/metrics");
        assert!(!target("http://me:secret@a:4318").unwrap_err().contains("secret"));
        for wrong in ["https://a:4318", "a:4318", "http://"] {
            assert!(target(wrong).unwrap_err().contains("http://127.0.0.1:4318"), "{wrong}");
        }
    }
}
