//! Guard: a process beside dyno that closes the inspectors which dyno has opened, should dyno die before the observers stand.
//!
//! Observers see to that themselves: they close what dyno opened when nobody reads them. Before they stand nobody in the target would, and a dyno
//! that was killed cannot. So the guard is started before the first signal, waits at a pipe whose other end closes with dyno, and is gone
//! again as soon as all observers stand. Owns both ends. What is closed, and when it may be, is `observers.js`'s business.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use super::V8Error;
use super::devtools::Session;
use super::inspector::{Before, within};
use super::observers::Observers;
use crate::sources::discover::{Runtime, runtime_of};
use crate::sources::locked;

/// Before the first signal the guard has nothing to close.
const ARMED: &str = "+";
/// How long it looks for an inspector that a signal may still open, and tries to have it closed: a target that is busy answers late.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command that runs [`guard`] with the words that it is given: dyno itself. It may say no.
pub type GuardCommand = fn() -> io::Result<Command>;

/// Guards that were left to end by themselves. Nobody waits for them, so whoever comes next looks which have.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Has the system forget those that have ended.
fn forget_ended() {
    locked(&LEFT).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

/// Our end of it.
pub(super) struct Guard {
    /// None once it was dropped.
    child: Option<Child>,
    pipe: ChildStdin,
    /// Processes whose inspectors may be open and whose observers do not stand.
    open: Vec<u32>,
}

impl Guard {
    /// Starts one for those of `looked` whose inspectors have to be opened; none if there are none.
    pub fn start(looked: &[(u32, &Before)], command: GuardCommand) -> Result<Option<Self>, V8Error> {
        forget_ended();
        let closed: Vec<_> = looked.iter().filter(|(_, before)| before.open.is_none()).collect();
        if closed.is_empty() {
            return Ok(None);
        }
        let failed =
            |e| V8Error::NotOpened(format!("what would close it should dyno die cannot be started: {e}"));
        let mut child = command()
            .map_err(failed)?
            .args(closed.iter().map(|(pid, before)| word(*pid, &before.listening)))
            // Ctrl-C is for dyno, which takes everything back.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let pipe = child.stdin.take().expect("it was asked for");
        Ok(Some(Self { child: Some(child), pipe, open: closed.iter().map(|(pid, _)| *pid).collect() }))
    }

    /// A signal is about to be sent: the primary of a cluster passes it on to all.
    pub fn arm(&mut self) -> Result<(), V8Error> {
        let told = writeln!(self.pipe, "{ARMED}");
        told.map_err(|e| V8Error::NotOpened(format!("what would close it should dyno die has ended: {e}")))
    }

    /// The observers of `pid` stand.
    pub fn stands(&mut self, pid: u32) {
        self.open.retain(|p| *p != pid);
        let _ = writeln!(self.pipe, "{pid}"); // one that has ended has nothing to close
    }
}

impl Drop for Guard {
    /// What could not be attached is left to the guard to close, which ends by itself.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if self.open.is_empty() {
            let _ = child.kill();
            let _ = child.wait();
        } else {
            locked(&LEFT).push(child);
        }
    }
}

/// `7=127.0.0.1:80,[::1]:80`: a process and where it listened before anybody was signalled.
fn word(pid: u32, listening: &[SocketAddr]) -> String {
    let all: Vec<String> = listening.iter().map(SocketAddr::to_string).collect();
    format!("{pid}={}", all.join(","))
}

fn parse(word: &str) -> Option<(u32, Before)> {
    let (pid, listening) = word.split_once('=')?;
    let listening = listening.split(',').filter(|a| !a.is_empty()).map(str::parse).collect::<Result<_, _>>();
    Some((pid.parse().ok()?, Before { listening: listening.ok()?, open: None }))
}

/// The guard's own end: waits until `pipe` ends, and closes the inspectors that were opened and are in nobody's care.
pub fn guard(words: &[String], pipe: impl BufRead) {
    let mut cared_for: BTreeMap<u32, Before> = words.iter().filter_map(|w| parse(w)).collect();
    let mut armed = false;
    for line in pipe.lines().map_while(Result::ok) {
        match line.parse() {
            Ok(pid) => drop(cared_for.remove(&pid)),
            Err(_) => armed |= line == ARMED,
        }
    }
    if !armed {
        return;
    }
    std::thread::scope(|scope| {
        for (pid, before) in &cared_for {
            scope.spawn(|| within(PATIENCE, || close(*pid, before).then_some(())));
        }
    });
}

/// Observers that stand for a moment close the inspector behind them. True once that is done, or there is nothing to do it in.
fn close(pid: u32, before: &Before) -> bool {
    if runtime_of(pid) != Runtime::Node {
        return true;
    }
    let Some(address) = before.opened(pid) else { return false };
    let closed = Session::open(address).and_then(|mut session| {
        let observers = Observers::new(true);
        observers.install(&mut session)?;
        observers.remove(&mut session)
    });
    closed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_before_travels_in_a_word() {
        let listening: Vec<SocketAddr> = vec!["127.0.0.1:80".parse().unwrap(), "[::1]:81".parse().unwrap()];
        let (pid, before) = parse(&word(7, &listening)).unwrap();
        assert_eq!((pid, before.listening), (7, listening));
        assert!(parse(&word(7, &[])).unwrap().1.listening.is_empty());
        assert!(parse("7").is_none() && parse("x=").is_none() && parse("7=somewhere").is_none());
    }

    #[test]
    fn a_guard_that_was_left_to_end_by_itself_is_not_kept_once_it_has() {
        let before = Before { listening: Vec::new(), open: None };
        let guard = Guard::start(&[(std::process::id(), &before)], || Ok(Command::new("true"))).unwrap();
        drop(guard.unwrap());
        let gone = || {
            forget_ended();
            locked(&LEFT).is_empty().then_some(())
        };
        assert!(within(PATIENCE, gone).is_some());
    }

    #[test]
    fn a_guard_that_was_not_armed_or_has_nobody_left_ends_at_once() {
        // Nobody has this number, and one who is armed for it looks only once: there is no Node.js to wait for.
        let me = std::process::id();
        for said in ["", "+\n", &format!("+\n{me}\n"), "nonsense\n"] {
            guard(&[format!("{me}=")], said.as_bytes());
        }
    }
}
