//! What a goose binary says: kept in a file, and read for the one line that matters.
//!
//! Owns the two threads that read its pipes, so that it never blocks on them. Lines are bounded, and so is the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use timeline::MonoNs;

/// Longest line that is looked at, bytes; the rest of a longer one is passed over.
const LINE_MAX: u64 = 8 << 10;
/// Largest file; what comes after is passed over, which its last line says.
const FILE_MAX: usize = 64 << 20;
/// Lines kept to be shown where the binary fails.
const KEPT: usize = 15;
/// How long the last lines may take to come through the pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(10);
/// Longest line shown, characters.
const SHOWN: usize = 200;
/// What stands before the address in the start-up line.
const LISTENING: &str = "[controller]: Telnet listening on: ";

/// Where the controller says that it listens, once it has said so.
pub type Heard = Arc<Mutex<Option<SocketAddr>>>;

/// The output of a running binary.
pub struct Output {
    heard: Heard,
    shared: Arc<Mutex<Shared>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    file: File,
    left: usize,
    last: VecDeque<String>,
}

impl Output {
    /// Follows both pipes into a new file at `log`, until they end.
    ///
    /// # Errors
    /// If the file or a thread cannot be made.
    pub fn follow(
        stdout: Option<impl Read + Send + 'static>,
        stderr: Option<impl Read + Send + 'static>,
        log: &Path,
    ) -> io::Result<Self> {
        let shared = Shared { file: File::create(log)?, left: FILE_MAX, last: VecDeque::new() };
        let mut output =
            Self { heard: Heard::default(), shared: Arc::new(Mutex::new(shared)), threads: Vec::new() };
        if let Some(pipe) = stdout {
            output.read("goose-stdout", pipe)?;
        }
        if let Some(pipe) = stderr {
            output.read("goose-stderr", pipe)?;
        }
        Ok(output)
    }

    fn read(&mut self, name: &str, pipe: impl Read + Send + 'static) -> io::Result<()> {
        let (heard, shared) = (Arc::clone(&self.heard), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || lines(pipe, &heard, &shared))?);
        Ok(())
    }

    /// Where the controller says that it listens.
    pub fn heard(&self) -> Heard {
        Arc::clone(&self.heard)
    }

    /// Its last lines. A child of the binary's own may hold the pipes open: those are not waited for.
    pub fn finish(self) -> Vec<String> {
        let until = MonoNs(MonoNs::now().0 + LAST_WORDS.as_nanos() as u64);
        while !self.threads.iter().all(JoinHandle::is_finished) && MonoNs::now() < until {
            std::thread::sleep(LOOK);
        }
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.last.iter().cloned().collect()
    }
}

fn lines(pipe: impl Read, heard: &Heard, shared: &Mutex<Shared>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut pipe).take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(address) = listening(&text) {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        }
        shared.lock().unwrap_or_else(PoisonError::into_inner).keep(&line, &text);
    }
}

impl Shared {
    fn keep(&mut self, line: &[u8], text: &str) {
        // A full disk costs the log, not the run.
        if self.left > 0 {
            self.left = self.left.saturating_sub(line.len());
            let _ = self.file.write_all(line);
            if self.left == 0 {
                let _ = self.file.write_all(b"\n(the rest is not kept)\n");
            }
        }
        let shown = timeline::text::clean(text.trim_end(), SHOWN);
        if !shown.trim().is_empty() {
            self.last.push_back(shown);
            while self.last.len() > KEPT {
                self.last.pop_front();
            }
        }
    }
}

/// The controller's address, if this is the line that tells it.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(LISTENING)?;
    let address: SocketAddr = address.split_whitespace().next()?.parse().ok()?;
    let here = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
    let ip = if address.ip().is_unspecified() { here.parse().ok()? } else { address.ip() };
    // Port 0 is what was asked for, not what was got.
    (address.port() != 0).then(|| SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_port_is_read_from_the_start_up_lines_of_both_versions() {
        let line = "12:00:00 [INFO] [controller]: Telnet listening on: 0.0.0.0:5116\n";
        assert_eq!(listening(line), Some("127.0.0.1:5116".parse().unwrap()));
        assert_eq!(listening("[controller]: Telnet listening on: 127.0.0.1:0"), None);
        assert_eq!(listening("[controller]: WebSocket listening on: 127.0.0.1:5117"), None);
    }

    #[test]
    fn an_endless_line_is_cut_and_the_last_lines_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{}\nthe end\n", "x".repeat(100_000));
        let log = dir.path().join("log");
        let none: Option<&[u8]> = None;
        let mut output = Output::follow(Some(io::Cursor::new(text.clone())), none, &log).unwrap();
        output.threads.drain(..).for_each(|t| t.join().unwrap());
        let last = output.finish();
        assert_eq!(last.last().unwrap(), "the end");
        assert!(last.iter().all(|l| l.chars().count() <= SHOWN + 1));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), text);
    }
}
