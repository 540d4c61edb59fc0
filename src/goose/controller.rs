//! goose's telnet controller: asked for its figures once a second.
//!
//! Owns the connection and its thread. What an answer means is `figures`'s business; an answer is read up to a bound,
//! and one that is no answer costs the connection, not the run.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use timeline::MonoNs;
use timeline::recorder::Handle;
use timeline::text::plural;

use super::figures::Figures;
use super::output::Heard;

/// Between two questions: each makes goose serialise every bucket that it has.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(50);
/// goose answers from its main loop, which may sleep for half a second; when it ends users it takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer, bytes: a thousand request names with all of their buckets.
const ANSWER_MAX: usize = 32 << 20;
/// What ends each answer.
const PROMPT: &[u8] = b"goose> ";
/// The question.
const QUESTION: &[u8] = b"metrics-json\n";

/// What is said where the controller never answered.
pub const SILENT: &str = "goose's telnet controller never answered, so there are no figures of the load: \
    the binary may switch it off in its code (GooseDefault::NoTelnet), or it ended within a second";

/// What came of the asking.
#[derive(Debug, Default)]
pub struct Told {
    /// Answers with figures.
    pub answers: u64,
    /// What befell it, a sentence each.
    pub notes: Vec<String>,
}

/// The thread that asks.
pub struct Poller {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Told>,
}

impl Poller {
    /// Asks the controller at `address`, or where the binary says that it is, until it is stopped.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(address: SocketAddr, heard: Heard, handle: Handle) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("goose".to_owned()).spawn(move || {
            let mut asking = Asking { address, heard, connection: None, answers: 0, unread: 0, why: None };
            asking.run(&stopped, handle)
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, once the answer under way is there.
    pub fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

struct Asking {
    address: SocketAddr,
    heard: Heard,
    connection: Option<TcpStream>,
    answers: u64,
    unread: u64,
    why: Option<String>,
}

impl Asking {
    fn run(&mut self, stopped: &AtomicBool, handle: Handle) -> Told {
        let mut figures = Figures::new(handle);
        let mut next = MonoNs::now();
        while !stopped.load(Ordering::Relaxed) {
            let now = MonoNs::now();
            if now < next {
                std::thread::sleep(LOOK);
                continue;
            }
            next = MonoNs(now.0 + EVERY.as_nanos() as u64);
            match self.ask() {
                Ok(answer) if figures.take(&answer, MonoNs::now()) => self.answers += 1,
                // Before its users start it has nothing to tell, which it says in words.
                Ok(_) => self.unread += 1,
                Err(e) => {
                    self.connection = None;
                    self.why = Some(e.to_string());
                    // It starts, or it ends: soon again.
                    next = MonoNs(now.0 + LOOK.as_nanos() as u64);
                }
            }
        }
        Told { answers: self.answers, notes: self.notes(&figures) }
    }

    fn notes(&self, figures: &Figures) -> Vec<String> {
        let mut notes = figures.notes();
        if self.answers == 0 {
            notes.push(match &self.why {
                Some(why) => format!("{SILENT} ({why})"),
                None => SILENT.to_owned(),
            });
        }
        if self.unread > 0 {
            notes.push(format!(
                "{} of goose's controller could not be read",
                plural(self.unread as usize, "answer")
            ));
        }
        notes
    }

    fn ask(&mut self) -> io::Result<Vec<u8>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let said = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                let mut fresh = TcpStream::connect_timeout(&said.unwrap_or(self.address), PATIENCE)?;
                fresh.set_read_timeout(Some(PATIENCE))?;
                fresh.set_write_timeout(Some(PATIENCE))?;
                answer(&mut fresh)?;
                self.connection.insert(fresh)
            }
        };
        connection.write_all(QUESTION)?;
        answer(connection)
    }
}

/// What comes before the next prompt.
fn answer(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut all, mut portion) = (Vec::new(), vec![0; 64 << 10]);
    let begun = MonoNs::now();
    loop {
        let n = from.read(&mut portion)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&portion[..n]);
        if all.ends_with(PROMPT) {
            all.truncate(all.len() - PROMPT.len());
            return Ok(all);
        }
        // Drop by drop it could go on for ever.
        if all.len() > ANSWER_MAX || MonoNs::now().since(begun) > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_at_the_prompt_and_is_bounded() {
        assert_eq!(answer(&mut &b"{\"a\":1}\ngoose> "[..]).unwrap(), b"{\"a\":1}\n");
        assert!(answer(&mut &b"{\"a\""[..]).is_err(), "it went away");
        let endless = answer(&mut io::repeat(b'x')).unwrap_err();
        assert_eq!(endless.to_string(), "its answer has no end");
    }
}
