//! Which screen a run has, and its thread: dashboard, plain lines, JSON lines or nothing.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dashboard::app::{Capabilities, UiCommand};
use dashboard::plain::Plain;
use dashboard::theme::{ColorChoice, ThemeChoice};
use dashboard::tui::{self, TuiOptions};
use reports::discreet;
use timeline::recorder::Published;
use timeline::snapshot::Snapshot;

use crate::ci::Ci;
use crate::cli::{Color, Look, Ui};

/// Commands that may wait; a person cannot type faster than they are heard.
const COMMANDS: usize = 16;
/// How often the line screens look for something new.
const LOOK: Duration = Duration::from_millis(250);

/// A running screen.
pub struct Screen {
    commands: Receiver<UiCommand>,
    kind: Kind,
}

enum Kind {
    Dashboard(tui::Handle),
    Lines { stop: SyncSender<()>, thread: JoinHandle<()> },
    Nothing,
}

impl Screen {
    /// Starts the screen that `look` asks for; `ci` turns the dashboard off where it was not asked for by
    /// name, and says what lines may be published.
    pub fn start(
        look: &Look,
        ci: Option<Ci>,
        capabilities: Capabilities,
        published: Published,
    ) -> io::Result<Self> {
        let (send, commands) = sync_channel(COMMANDS);
        let kind = match choose(look.ui, ci.is_some()) {
            Ui::Tui => Kind::Dashboard(tui::run(options(look, capabilities), move || published.get(), send)?),
            Ui::Json => {
                let discreet = ci.is_some_and(Ci::is_discreet);
                let made = move |snapshot: &Snapshot| {
                    let told = discreet.then(|| discreet::plain(snapshot, &snapshot.run.target));
                    serde_json::to_string(told.as_ref().unwrap_or(snapshot)).into_iter().collect()
                };
                lines(published, Box::new(made))?
            }
            Ui::None => Kind::Nothing,
            Ui::Plain | Ui::Auto => {
                let mut plain = Plain::new();
                let made = move |snapshot: &Snapshot| -> Vec<String> {
                    let lines = plain.lines(snapshot);
                    lines
                        .into_iter()
                        .map(|line| ci.map_or_else(|| line.clone(), |ci| ci.text(&line)))
                        .collect()
                };
                lines(published, Box::new(made))?
            }
        };
        Ok(Self { commands, kind })
    }

    /// The next thing that the person asked for.
    pub fn command(&self) -> Option<UiCommand> {
        self.commands.try_recv().ok()
    }

    /// Does it stay until the person leaves? Lines do not.
    pub fn stays(&self) -> bool {
        matches!(self.kind, Kind::Dashboard(_))
    }

    /// Ends the screen; the terminal is as it was. What is new is shown first.
    pub fn close(self) {
        match self.kind {
            Kind::Dashboard(tui) => {
                if let Err(e) = tui.close() {
                    eprintln!("dyno: the dashboard ended badly: {e}");
                }
            }
            Kind::Lines { stop, thread } => {
                let _ = stop.try_send(());
                let _ = thread.join();
            }
            Kind::Nothing => {}
        }
    }
}

/// `auto` is the dashboard where a person sits: a terminal for input and messages, and no CI.
fn choose(asked: Ui, ci: bool) -> Ui {
    if asked != Ui::Auto {
        return asked;
    }
    let dumb = std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
    let in_ci = ci || std::env::var_os("CI").is_some_and(|v| !v.is_empty());
    let person = io::stdin().is_terminal() && io::stderr().is_terminal() && io::stdout().is_terminal();
    if person && !dumb && !in_ci { Ui::Tui } else { Ui::Plain }
}

fn options(look: &Look, capabilities: Capabilities) -> TuiOptions {
    let color = match look.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let theme = ThemeChoice { color, ground: None };
    TuiOptions { theme, ascii: look.ascii, mouse: look.mouse, capabilities }
}

/// Says something before the screen begins, unless every line is to be JSON.
pub fn announce(look: &Look, text: &str) {
    if look.ui != Ui::Json {
        eprintln!("dyno: {text}");
    }
}

type Lines = Box<dyn FnMut(&Snapshot) -> Vec<String> + Send>;

/// Lines go to standard error, from a thread of their own: a full pipe must not hold up the run.
fn lines(published: Published, mut make: Lines) -> io::Result<Kind> {
    let (stop, stopped) = sync_channel(1);
    let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut seen = 0;
        loop {
            let last = !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
            let snapshot = published.get();
            if snapshot.seq != seen {
                seen = snapshot.seq;
                let mut out = io::stderr().lock();
                for line in make(&snapshot) {
                    if writeln!(out, "{line}").is_err() {
                        return; // nobody reads any more; the run goes on
                    }
                }
            }
            if last {
                return;
            }
        }
    })?;
    Ok(Kind::Lines { stop, thread })
}
