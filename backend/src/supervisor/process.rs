//! One worker process: started, handed its socket, spoken to.
//!
//! Its standard input is one end of a local stream, because that can carry descriptors: the socket on which it
//! listens stays the supervisor's, so no connection that waits there is lost when a worker ends.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::places::{BROKER_VARIABLE, CACHE_VARIABLE, DATABASE_VARIABLE};
use crate::settings::MAX_WORKERS;
use crate::wire::{LISTENER_FOLLOWS, Order, line};

/// A process that runs. Dropping it kills the process.
pub struct Running {
    child: Child,
    input: UnixStream,
    output: Lines<BufReader<ChildStdout>>,
}

/// What came from a process.
pub enum Heard {
    /// A line.
    Line(String),
    /// It has died; the end of a sentence says of what.
    Died(String),
}

impl Running {
    /// Starts this executable with `args`, and hands it `listeners`, its own first.
    pub fn start(args: &[String], listeners: &[TcpListener]) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            // They come with the settings.
            .env_remove(DATABASE_VARIABLE)
            .env_remove(CACHE_VARIABLE)
            .env_remove(BROKER_VARIABLE)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        // It fits into an empty socket's buffer, so this cannot wait. One that has ended already is heard to the end like any other.
        match hand_over(&ours, listeners) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            handed => handed?,
        }
        ours.set_nonblocking(true)?;
        let output = child.stdout.take().expect("its output was asked for");
        Ok(Self { child, input: UnixStream::from_std(ours)?, output: BufReader::new(output).lines() })
    }

    /// Its process id; 0 when it is dead.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Lets it go on, if it was stopped by a fault or by hand: it must be able to hear that it is to end.
    pub fn resume(&self) {
        // The pid is of our child until we have seen it dead, so it can be nobody else's.
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// Tells it something. An error means that it is about to be seen dead.
    pub async fn tell(&mut self, order: &Order) {
        let _ = self.input.write_all(line(order).as_bytes()).await;
    }

    /// Waits for what it says or for its death. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> Heard {
        // It alone writes there, so its lines end with its death, and all of them are heard before: why it could not
        // start, or that a fault has ended.
        match self.output.next_line().await {
            Ok(Some(text)) => Heard::Line(text),
            Ok(None) | Err(_) => Heard::Died(died(self.child.wait().await)),
        }
    }
}

fn died(ended: io::Result<std::process::ExitStatus>) -> String {
    match ended {
        Ok(status) => format!("has ended with {status}"),
        Err(e) => format!("cannot be waited for: {e}"),
    }
}

/// One byte, and with it the descriptors.
fn hand_over(stream: &StdUnixStream, listeners: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_WORKERS))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    along.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(stream, &[IoSlice::new(&[LISTENER_FOLLOWS])], &mut along, SendFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[tokio::test]
    async fn what_a_process_said_is_heard_before_its_death() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // This executable, which only tells the names of these tests: some lines, and the last says how many.
        let mut running =
            Running::start(&["--list".to_owned(), "supervisor::".to_owned()], &[listener]).unwrap();
        let pid = Pid::from_raw(running.pid() as i32).unwrap();
        // It stays to be waited for, so that lines and death are there at once.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let mut said = Vec::new();
        let died = loop {
            match running.hear().await {
                Heard::Line(text) => said.push(text),
                Heard::Died(why) => break why,
            }
        };
        assert!(died.ends_with("exit status: 0"), "{died}");
        assert!(said.last().is_some_and(|line| line.contains("benchmarks")), "{said:?}");
    }
}
