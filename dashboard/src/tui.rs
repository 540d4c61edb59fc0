//! The dashboard on a thread of its own.
//!
//! Owns the loop: wait for a key, fetch the newest snapshot, draw if something changed. It blocks on the
//! terminal and on nothing else, so `q` works when every other thread is busy, and drawing never delays
//! an arrival.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind, MouseButton, MouseEventKind};
use ratatui::layout::{Position, Rect};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGCONT;
use timeline::MonoNs;
use timeline::snapshot::{RunState, Snapshot};

use crate::app::{self, Capabilities, Effect, Model, Msg, UiCommand};
use crate::theme::{Theme, ThemeChoice};
use crate::tty::Tty;

/// Longest wait for a key, and shortest time between two frames that no key asked for: 4 frames a second.
const FRAME: Duration = Duration::from_millis(250);
/// Keys that are taken in before a frame is drawn; a held key cannot keep the screen from following.
const KEYS_PER_FRAME: usize = 64;
/// A stop that the process asks of itself is carried out by any of its threads: this one waits so long for it, and takes the
/// terminal again only afterwards.
const STOPPING: Duration = Duration::from_millis(100);
/// Most commands that wait for a receiver that is busy; later ones are dropped with a notice.
const MOST_PENDING: usize = 16;

/// How the dashboard is to look and what it may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TuiOptions {
    /// Colours and ground, as asked for; the environment is read when the dashboard starts.
    pub theme: ThemeChoice,
    /// Nothing but ASCII on the screen, whatever the locale; one without UTF-8 gets no more anyway.
    pub ascii: bool,
    /// Take mouse clicks and the wheel; selecting text then needs the terminal's own modifier key.
    pub mouse: bool,
    /// What the run can do.
    pub capabilities: Capabilities,
}

/// A running dashboard. Dropping it closes it, so that the terminal is given back before the process ends.
#[derive(Debug)]
pub struct Handle {
    close: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close.store(true, Ordering::Release);
        // What went wrong with the terminal has nowhere to go from here; `close` reports it.
        let _ = self.wait();
    }
}

impl Handle {
    /// Has the dashboard ended, by a key or a fault?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the dashboard, within 250 ms, and waits until the terminal is given back.
    ///
    /// # Errors
    /// What went wrong with the terminal.
    pub fn close(mut self) -> io::Result<()> {
        self.close.store(true, Ordering::Release);
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the dashboard's thread panicked")))
    }
}

/// Takes the terminal over and starts the dashboard. It ends when the person leaves (`q` once the run is
/// over, at any time after asking it to stop and it being done), when nobody receives commands any more,
/// by [`Handle::close`], or when any thread panics.
///
/// `feed` gives the newest snapshot and must not block. Commands are sent without waiting.
///
/// # Errors
/// If the terminal cannot be taken over or the thread cannot be started.
pub fn run(
    options: TuiOptions,
    feed: impl Fn() -> Arc<Snapshot> + Send + 'static,
    commands: SyncSender<UiCommand>,
) -> io::Result<Handle> {
    let env = |name: &str| std::env::var(name).ok();
    let theme = Theme::choose(options.theme, options.ascii, &env, true);
    let close = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let tty = Tty::take(theme.palette(), options.mouse, Arc::clone(&over))?;
    // Whoever stopped the process, a shell may have left anything on the screen until it goes on.
    let continued = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGCONT, Arc::clone(&continued))?;
    let model = Model::new(theme, options.capabilities);
    let closing = Arc::clone(&close);
    let ended = move || closing.load(Ordering::Acquire) || over.load(Ordering::Acquire);
    let outbox = Outbox { commands, pending: Vec::new() };
    let thread = thread::Builder::new().name("dashboard".to_owned()).spawn(move || {
        Loop { tty, model, outbox, drawn: None, suspends: false, continued }.turn(&feed, &ended)
    })?;
    Ok(Handle { close, thread: Some(thread) })
}

/// Commands on their way; none is lost because its receiver is busy for a moment.
struct Outbox {
    commands: SyncSender<UiCommand>,
    pending: Vec<UiCommand>,
}

impl Outbox {
    /// Takes a command; false if too many wait already.
    fn put(&mut self, command: UiCommand) -> bool {
        // Ending the run is never dropped: it takes the place of what waits.
        if matches!(command, UiCommand::Quit | UiCommand::Abort) {
            self.pending.clear();
        }
        let room = self.pending.len() < MOST_PENDING;
        if room {
            self.pending.push(command);
        }
        room
    }

    /// Sends what can be sent; false once nobody receives any more.
    fn send(&mut self) -> bool {
        while let Some(command) = self.pending.first() {
            match self.commands.try_send(*command) {
                Ok(()) => drop(self.pending.remove(0)),
                Err(TrySendError::Full(_)) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        true
    }
}

struct Loop {
    tty: Tty,
    model: Model,
    outbox: Outbox,
    /// What is on the screen: the snapshot's number and when it was drawn.
    drawn: Option<(u64, MonoNs)>,
    /// It was asked to suspend the process.
    suspends: bool,
    /// The process was stopped, and goes on.
    continued: Arc<AtomicBool>,
}

impl Loop {
    fn turn(mut self, feed: &dyn Fn() -> Arc<Snapshot>, ended: &dyn Fn() -> bool) -> io::Result<()> {
        let mut changed = true;
        while !ended() {
            if std::mem::take(&mut self.suspends) {
                self.suspend()?;
            }
            if self.continued.swap(false, Ordering::AcqRel) {
                self.tty.take_again()?;
                changed = true;
            }
            let snapshot = feed();
            if self.model.stopping && snapshot.run.state == RunState::Done {
                break;
            }
            self.draw(&snapshot, changed)?;
            changed = false;
            let mut waiting = FRAME;
            for _ in 0..KEYS_PER_FRAME {
                if !event::poll(waiting)? {
                    break;
                }
                // What was typed on the picture of this snapshot is answered by it.
                changed = true;
                if !self.take(&event::read()?, &snapshot) {
                    self.last_words();
                    return Ok(());
                }
                waiting = Duration::ZERO;
            }
            if !self.outbox.send() {
                break;
            }
        }
        Ok(())
    }

    /// Draws if a key was pressed, or if there is a newer snapshot and a frame's time has passed.
    fn draw(&mut self, snapshot: &Snapshot, changed: bool) -> io::Result<()> {
        let now = MonoNs::now();
        let due = match self.drawn {
            None => true,
            Some((seq, at)) => changed || (seq != snapshot.seq && now.since(at) >= FRAME.mul_f64(0.9)),
        };
        if due {
            self.tty.terminal.draw(|frame| app::view(&self.model, snapshot, frame))?;
            self.drawn = Some((snapshot.seq, now));
        }
        Ok(())
    }

    /// Leaves the terminal to the shell and stops this process, and no other of the run: `fg` goes on here.
    fn suspend(&mut self) -> io::Result<()> {
        self.tty.lay_down()?;
        kill_process(getpid(), Signal::TSTP)?;
        thread::sleep(STOPPING);
        // The kernel stops nobody whom no shell could let go on.
        if !self.continued.swap(true, Ordering::AcqRel) {
            self.model.notice = Some("not suspended: there is no shell that could bring it back".to_owned());
        }
        Ok(())
    }

    /// Takes one event in; false when the person leaves.
    fn take(&mut self, event: &Event, snapshot: &Arc<Snapshot>) -> bool {
        let Some(msg) = self.message(event) else { return true };
        let command = match app::update(&mut self.model, msg, snapshot) {
            Effect::None => return true,
            Effect::Send(command) => Some(command),
            Effect::Suspend => {
                self.suspends = true;
                return true;
            }
            Effect::Leave(command) => {
                command.map(|c| self.outbox.put(c));
                return false;
            }
        };
        if command.is_some_and(|c| !self.outbox.put(c)) {
            self.model.notice = Some("the run is busy; that was not sent".to_owned());
        }
        true
    }

    fn message(&self, event: &Event) -> Option<Msg> {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => Some(Msg::Key(key.code, key.modifiers)),
            Event::Mouse(mouse) => {
                let size = self.tty.terminal.size().ok()?;
                let screen = Rect::new(0, 0, size.width, size.height);
                let at = Position { x: mouse.column, y: mouse.row };
                match mouse.kind {
                    MouseEventKind::Down(MouseButton::Left) => Some(Msg::Click(at, screen)),
                    MouseEventKind::ScrollUp => Some(Msg::Wheel(-1, at, screen)),
                    MouseEventKind::ScrollDown => Some(Msg::Wheel(1, at, screen)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Gives the last command a moment to be received.
    fn last_words(&mut self) {
        /// Tries, 5 ms apart.
        const TRIES: usize = 40;
        for _ in 0..TRIES {
            if !self.outbox.send() || self.outbox.pending.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_fault_ends_the_dashboard_and_closing_it_tells_which() {
        let fault = || Err(io::Error::other("the terminal is gone"));
        let handle = Handle { close: Arc::default(), thread: Some(thread::spawn(fault)) };
        while !handle.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(handle.close().unwrap_err().to_string(), "the terminal is gone");
    }

    #[test]
    fn quitting_is_never_lost_behind_a_busy_receiver() {
        let (tx, rx) = sync_channel(1);
        let mut outbox = Outbox { commands: tx, pending: Vec::new() };
        for _ in 0..100 {
            outbox.put(UiCommand::Marker);
            assert!(outbox.send());
        }
        assert!(outbox.pending.len() <= MOST_PENDING);
        assert!(outbox.put(UiCommand::Quit));
        assert!(outbox.send());
        assert_eq!(rx.recv(), Ok(UiCommand::Marker), "what was sent already stays sent");
        assert!(outbox.send());
        assert_eq!(rx.recv(), Ok(UiCommand::Quit));
        drop(rx);
        outbox.put(UiCommand::Abort);
        assert!(!outbox.send());
    }
}
