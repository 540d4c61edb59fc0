//! How a person ends a run: Ctrl-C (or SIGTERM) once to drain, twice to abort; `q` counts as the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use dashboard::app::UiCommand;
use tokio::signal::unix::{SignalKind, signal};

/// How often it is looked whether a thread is done, or whether nobody waits for it any more.
const LOOK: Duration = Duration::from_millis(20);

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

/// Does this command of the dashboard end a watch?
pub fn ends(command: &UiCommand) -> bool {
    matches!(command, UiCommand::Quit | UiCommand::Abort)
}
