//! The watchers of a run: each on a thread of its own, from its request to its end.
//!
//! Owns who is let in, how long a slow one is waited for, while the run lasts and once it is over, and what the run's log says of
//! them. The port is opened by [`super::Door`]; what a watcher asks for is read in `request`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls::ServerConfig;
use timeline::MonoNs;
use timeline::recorder::Handle;

use super::line::Line;
use super::request::{Asked, request};

/// Most connections at once; further ones are closed at once.
const SEATS: usize = 16;
/// Time for handshake and request together.
const REQUEST: Duration = Duration::from_secs(5);
/// A watcher that has not taken [`CHUNK`] within this is dropped. A recording grows by some KB a second, so this is only met by one that has
/// stopped, or whose network has.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read and sent at a time.
const CHUNK: usize = 64 << 10;
/// How often the file is looked at, and new connections are.
const LOOK: Duration = Duration::from_millis(50);
/// Once the run is over watchers take the rest, until none of them has taken [`CHUNK`] for so long.
const GRACE: Duration = Duration::from_secs(2);
/// All of it: a large rest goes over a slow line in this time or not at all, and nobody holds up the end by taking little at a time.
pub(super) const WHOLE_GRACE: Duration = Duration::from_secs(10);
/// Shortest time between two notices; what a hostile peer does must not fill the log.
const NOTICE: Duration = Duration::from_secs(1);

/// What all threads of a run that is served know.
pub(super) struct Shared {
    recording: PathBuf,
    token: String,
    tls: Option<Arc<ServerConfig>>,
    handle: Handle,
    patience: Duration,
    closing: AtomicBool,
    /// How often a watcher has taken [`CHUNK`], or what there was of it.
    taken: AtomicU64,
    /// The open ones, to be shut when the run is over.
    sockets: Mutex<HashMap<u64, TcpStream>>,
    noticed: Mutex<Noticed>,
}

#[derive(Default)]
struct Noticed {
    last: Option<MonoNs>,
    withheld: u64,
}

/// Nothing is left half-done by a thread that panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nobody is let in yet.
    pub(super) fn new(
        recording: PathBuf,
        token: String,
        tls: Option<Arc<ServerConfig>>,
        handle: Handle,
        patience: Duration,
    ) -> Self {
        Self {
            recording,
            token,
            tls,
            handle,
            patience,
            closing: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            sockets: Mutex::default(),
            noticed: Mutex::default(),
        }
    }

    /// The run is over.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Lets watchers in until the run is over, then waits for them.
    pub(super) fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut watchers: Vec<JoinHandle<()>> = Vec::new();
        let mut number = 0;
        while !self.closing() {
            watchers.retain(|watcher| !watcher.is_finished());
            match listener.accept() {
                Ok((socket, peer)) if watchers.len() < SEATS => {
                    number += 1;
                    match self.begin(number, socket, peer) {
                        Ok(watcher) => watchers.push(watcher),
                        Err(e) => self.notice(&format!("watcher {peer}: not served: {e}")),
                    }
                }
                Ok((_, peer)) => {
                    self.notice(&format!("watcher {peer}: not served, {SEATS} are connected already"))
                }
                // Nobody, or no descriptor to be had at the moment.
                Err(_) => std::thread::sleep(LOOK),
            }
        }
        self.last_chunks(&watchers);
        for socket in locked(&self.sockets).values() {
            let _ = socket.shutdown(Shutdown::Both); // it is gone already
        }
        for watcher in watchers {
            let _ = watcher.join();
        }
    }

    /// Waits until the watchers have the rest, or take no more of it. Counted in looks: a machine that stands still takes nobody's time away.
    fn last_chunks(&self, watchers: &[JoinHandle<()>]) {
        let (mut before, mut idle) = (self.taken.load(Ordering::Relaxed), Duration::ZERO);
        for _ in 0..WHOLE_GRACE.as_millis() / LOOK.as_millis() {
            if idle >= GRACE || watchers.iter().all(JoinHandle::is_finished) {
                return;
            }
            std::thread::sleep(LOOK);
            let taken = self.taken.load(Ordering::Relaxed);
            idle = if taken == before { idle + LOOK } else { Duration::ZERO };
            before = taken;
        }
    }

    fn begin(
        self: &Arc<Self>,
        number: u64,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<JoinHandle<()>> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        locked(&self.sockets).insert(number, socket.try_clone()?);
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(move || {
            if let Err(why) = own.attend(socket, peer) {
                own.notice(&format!("watcher {peer}: {why}"));
            }
            locked(&own.sockets).remove(&number);
        });
        if thread.is_err() {
            locked(&self.sockets).remove(&number);
        }
        thread
    }

    /// One watcher from request to end.
    fn attend(&self, socket: TcpStream, peer: SocketAddr) -> Result<(), String> {
        let mut line = Line::new(socket, self.tls.as_ref()).map_err(|e| e.to_string())?;
        line.within(REQUEST);
        let asked = request(&mut line).map_err(|e| format!("no request was understood: {}", told(&e)))?;
        let answer = match asked {
            Asked::Nothing => return Ok(()),
            Asked::Recording { token } if self.admits(&token) => None,
            Asked::Recording { .. } => Some(("401 Unauthorized", "the token is missing or wrong")),
            Asked::Else => Some(("404 Not Found", "only the recording is served")),
        };
        if let Some((status, why)) = answer {
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
                why.len() + 1
            );
            let _ = line.write_all(text.as_bytes()).and_then(|()| line.close());
            return Err(format!("refused, {why}"));
        }
        self.notice(&format!("watcher {peer} joins"));
        match self.stream(&mut line) {
            Ok(()) => Ok(()),
            Err(_) if self.closing() => Ok(()), // the run is over, and so was the grace
            Err(e) if is_slow(&e) => {
                Err(format!("dropped, it took nothing for {} s", self.patience.as_secs_f32()))
            }
            Err(e) => Err(format!("left ({})", told(&e))),
        }
    }

    /// Is this the run's token? Takes as long wherever the two differ.
    fn admits(&self, token: &str) -> bool {
        verify_slices_are_equal(token.as_bytes(), self.token.as_bytes()).is_ok()
    }

    /// The recording from its first byte on, until the run is over.
    fn stream(&self, line: &mut Line) -> io::Result<()> {
        let mut file = File::open(&self.recording)?;
        line.within(self.patience);
        line.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        )?;
        let mut chunk = vec![0; CHUNK];
        loop {
            // Asked before reading: what was written before the end is sent.
            let last = self.closing();
            let read = file.read(&mut chunk)?;
            if read > 0 {
                line.within(self.patience);
                line.write_all(&chunk[..read])?;
                line.flush()?;
                self.taken.fetch_add(1, Ordering::Relaxed);
            } else if last {
                return line.close();
            } else {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// A line in the run's log, at most one in [`NOTICE`].
    fn notice(&self, text: &str) {
        let mut noticed = locked(&self.noticed);
        let now = MonoNs::now();
        if noticed.last.is_some_and(|last| now.since(last) < NOTICE) {
            noticed.withheld += 1;
            return;
        }
        noticed.last = Some(now);
        match std::mem::take(&mut noticed.withheld) {
            0 => self.handle.log(text),
            more => self.handle.log(&format!("{text} (and {more} notices like it)")),
        }
    }
}

fn is_slow(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn told(e: &io::Error) -> String {
    if is_slow(e) { "it took too long".to_owned() } else { timeline::text::clean(&e.to_string(), 120) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cli::{Cli, Command, WatchArgs};
    use crate::follow::remote::{Arrived, Remote};
    use crate::run::testing::recorder;
    use crate::secret;
    use crate::serve::{Door, PATH, Serving, TOKEN_FILE, tls};
    use clap::Parser as _;
    use timeline::facts::{EndReason, RunEnd};
    use timeline::recorder::Recorder;
    use timeline::recording::FILE_NAME;

    /// More than the buffers of a loopback connection take.
    const LARGE: usize = 32 << 20;

    /// A run whose recording is `LARGE`, served.
    struct Served {
        dir: tempfile::TempDir,
        recorder: Recorder,
        serving: Serving,
        at: SocketAddr,
    }

    fn served(tls: Option<tls::Server>, patience: Duration) -> Served {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), vec![7; LARGE]).unwrap();
        let recorder = recorder();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let door = Door { listener, at, token: None, tls };
        let serving = door.serve_with(dir.path(), &recorder.handle(), patience).unwrap();
        Served { dir, recorder, serving, at }
    }

    /// Waits until `what` holds; the machine may be busy.
    fn soon(what: impl Fn() -> bool) -> bool {
        (0..400).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            what()
        })
    }

    impl Served {
        fn token(&self) -> String {
            std::fs::read_to_string(self.dir.path().join(TOKEN_FILE)).unwrap().trim().to_owned()
        }

        /// Somebody who has asked for the recording.
        fn joining(&self) -> TcpStream {
            let mut socket = TcpStream::connect(self.at).unwrap();
            write!(socket, "GET {PATH} HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n", self.token()).unwrap();
            socket
        }

        /// Is this in the run's log?
        fn says(&self, text: &str) -> bool {
            self.recorder.handle().published().get().log.iter().any(|line| line.text.contains(text))
        }

        /// What `dyno watch` would be told.
        fn args(&self, more: &[&str]) -> WatchArgs {
            let file = self.dir.path().join(TOKEN_FILE).display().to_string();
            let words = ["dyno", "watch", "x", "--token-file", &file].into_iter().chain(more.iter().copied());
            match Cli::parse_from(words).command {
                Some(Command::Watch(args)) => args,
                _ => unreachable!("that is what was said"),
            }
        }

        /// Ends the run; gives its log and all bytes that `remote` was sent.
        fn end(self, remote: &Remote) -> (String, usize) {
            // The end comes while the watcher still reads: it gets the rest all the same.
            let taking = std::thread::spawn(move || drop(self.serving));
            let mut bytes = 0;
            loop {
                match remote.take() {
                    Some(Arrived::Bytes(more)) => bytes += more.len(),
                    Some(Arrived::Over(why)) => break assert_eq!(why, None),
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
            taking.join().unwrap();
            let end = RunEnd { reason: EndReason::Completed, at: timeline::RunTime::ZERO, notes: Vec::new() };
            let log = &self.recorder.finish(end).snapshot.log;
            (log.iter().map(|l| l.text.clone() + "\n").collect(), bytes)
        }
    }

    #[test]
    fn one_that_never_reads_is_dropped_and_another_gets_everything() {
        let begin = MonoNs::now();
        // Much longer than one that reads stands still on a machine that is busy.
        let served = served(None, Duration::from_secs(8));
        let token = served.token();
        let deaf = served.joining();
        assert!(soon(|| served.says(" joins")), "it is served");
        for _ in 0..8 {
            let mut garbled = TcpStream::connect(served.at).unwrap();
            garbled.write_all(&[0; 64]).unwrap();
        }
        drop(TcpStream::connect(served.at).unwrap());
        assert!(soon(|| locked(&served.serving.shared.sockets).is_empty()), "all of them are dropped");
        let remote = Remote::connect(&served.at.to_string(), false, &served.args(&[])).unwrap();
        let (log, bytes) = served.end(&remote);
        assert_eq!(bytes, LARGE);
        assert!(log.contains("to be watched by `dyno watch dyno://127.0.0.1:"), "{log}");
        assert!(!log.contains(&token), "no token in the log:\n{log}");
        let notices = log.lines().filter(|l| l.starts_with("watcher ")).count() as u64;
        let most = 1 + MonoNs::now().since(begin).as_secs();
        assert!((1..=most).contains(&notices), "what is said of watchers is bounded:\n{log}");
        drop(deaf);
    }

    /// Takes all that a run that ends sends, bit by bit: how much that was, and the longest time from bit to bit.
    fn taken_slowly() -> (usize, Duration) {
        let served = served(None, PATIENCE);
        let slow = served.joining();
        let mut part = Vec::new();
        let mut got = (&slow).take(1 << 20).read_to_end(&mut part).unwrap();
        let ending = std::thread::spawn(move || drop(served.serving));
        let (mut last, mut longest) = (MonoNs::now(), Duration::ZERO);
        // Longer than the grace for all, much shorter than that from chunk to chunk.
        loop {
            part.clear();
            match (&slow).take(1 << 20).read_to_end(&mut part).unwrap() {
                0 => break,
                more => got += more,
            }
            std::thread::sleep(Duration::from_millis(150));
            let now = MonoNs::now();
            longest = longest.max(now.since(last));
            last = now;
        }
        ending.join().unwrap();
        (got, longest)
    }

    #[test]
    fn one_that_still_takes_something_is_not_cut_off_at_the_end() {
        // One that stood still for as long as nobody is waited for, as the machine is busy, tells nothing.
        let mut tries = (0..3).map(|_| taken_slowly());
        let (got, _) = tries.find(|(_, longest)| *longest < GRACE / 2).unwrap();
        assert!(got > LARGE, "all, and a head before it: {got}");
    }

    #[test]
    fn a_slow_one_is_named_when_it_is_dropped() {
        let served = served(None, Duration::from_millis(1_200));
        let _deaf = served.joining();
        let seen = soon(|| served.says("dropped, it took nothing for 1.2 s"));
        assert!(seen, "{:?}", served.recorder.handle().published().get().log);
    }

    #[test]
    fn under_tls_the_fingerprint_says_whom_to_trust() {
        let tls = tls::Server::made(vec!["127.0.0.1".to_owned()]).unwrap();
        let fingerprint = tls.fingerprint.to_string();
        let served = served(Some(tls), PATIENCE);
        let at = served.at.to_string();
        let refused =
            |args: &WatchArgs, tls| Remote::connect(&at, tls, args).map(drop).unwrap_err().to_string();
        let other = refused(&served.args(&["--fingerprint", &"0".repeat(64)]), true);
        assert!(other.contains(&fingerprint), "{other}");
        let nobody = refused(&served.args(&[]), true);
        assert!(nobody.contains("--fingerprint"), "{nobody}");
        let plain = refused(&served.args(&[]), false);
        assert!(plain.contains(&at), "{plain}");

        let mut wrong = served.args(&["--fingerprint", &fingerprint]);
        let remote = Remote::connect(&at, true, &wrong).unwrap();
        let file = served.dir.path().join("other.token");
        secret::write_token(&file, &secret::new_token().unwrap()).unwrap();
        wrong.token_file = Some(file);
        let error = refused(&wrong, true);
        assert!(error.contains("refuses the token (401)"), "{error}");
        assert_eq!(served.end(&remote).1, LARGE);
    }
}
