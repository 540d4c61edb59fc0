//! How a person ends a run: Ctrl-C (or SIGTERM) once to drain, twice to abort; `q` counts as the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use dashboard::app::UiCommand;
use timeline::MonoNs;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::Screen;

/// How often it is looked whether a thread is done, or whether nobody waits for it any more.
const LOOK: Duration = Duration::from_millis(20);
/// Whoever is hurried waits no longer than this for what a healthy target does at once: nobody takes it for a wait.
const HURRIED_GRACE: Duration = Duration::from_millis(500);

/// How often the end was asked for.
#[derive(Clone, Default)]
pub struct Stops(Arc<AtomicU32>);

impl Stops {
    /// So many times.
    pub fn asked(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// At once, whatever was asked before.
    pub fn abort(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
    }

    /// Once more.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Hears the keys that were pressed on `screen` since; what is no wish for the end is heard by nobody then.
    pub fn hear(&self, screen: &Screen) {
        while let Some(command) = screen.command() {
            match command {
                UiCommand::Abort => self.abort(),
                UiCommand::Quit => self.ask(),
                _ => {}
            }
        }
    }

    /// Does somebody want the end at once, by a signal or by a key?
    pub fn hurried(&self, screen: &Screen) -> bool {
        self.hear(screen);
        self.asked() >= 2
    }
}

/// Listens for signals from now on, on a thread of its own: a busy run hears them too.
pub fn listen() -> anyhow::Result<Stops> {
    let stops = Stops::default();
    let heard = stops.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => heard.ask(),
                        _ = terminate.recv() => heard.ask(),
                    }
                }
            });
        })
        .context("cannot listen for signals")?;
    Ok(stops)
}

/// Waits for a thread, unless somebody is `hurried`: one that is left behind ends with the process.
pub fn wait(thread: JoinHandle<()>, hurried: impl Fn() -> bool) {
    while !thread.is_finished() {
        if hurried() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let _ = thread.join();
}

/// Waits as [`wait`] does, but a moment also where somebody is `hurried`: for what should be done before the end, and mostly is within that.
/// Gives what came of it; none if it was left behind.
pub fn wait_briefly<T>(thread: JoinHandle<T>, hurried: impl Fn() -> bool) -> Option<std::thread::Result<T>> {
    let mut since = None;
    while !thread.is_finished() {
        if hurried() {
            let now = MonoNs::now();
            if now.since(*since.get_or_insert(now)) >= HURRIED_GRACE {
                return None;
            }
        }
        std::thread::sleep(LOOK);
    }
    Some(thread.join())
}

/// Does this command of the dashboard end a watch?
pub fn ends(command: &UiCommand) -> bool {
    matches!(command, UiCommand::Quit | UiCommand::Abort)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn who_asks_twice_waits_for_what_is_quick_and_for_nothing_that_is_not() {
        let quick = std::thread::spawn(|| 7);
        assert_eq!(wait_briefly(quick, || true).unwrap().unwrap(), 7);
        let (go_on, held) = sync_channel::<()>(1);
        let begin = MonoNs::now();
        assert!(wait_briefly(std::thread::spawn(move || held.recv()), || true).is_none());
        assert!(MonoNs::now().since(begin) >= HURRIED_GRACE);
        drop(go_on);
        let slow = std::thread::spawn(|| std::thread::sleep(HURRIED_GRACE * 2));
        assert!(wait_briefly(slow, || false).is_some(), "nobody is hurried");
    }
}
