//! Which screen a run has, and its thread: dashboard, plain lines, JSON lines or nothing.
//!
//! Owns the way of the lines to standard error: made harmless, and without holding up the end for somebody who does not read them.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dashboard::app::{Capabilities, UiCommand};
use dashboard::plain::Plain;
use dashboard::theme::{self, ColorChoice, ThemeChoice};
use dashboard::tui::{self, TuiOptions};
use reports::discreet;
use timeline::MonoNs;
use timeline::recorder::Published;
use timeline::snapshot::Snapshot;
use timeline::text::clean_page;

use crate::ci::Ci;
use crate::cli::{Color, Ground, Look, Ui};
use crate::show::say;

/// Commands that may wait; a person cannot type faster than they are heard.
const COMMANDS: usize = 16;
/// How often the line screens look for something new.
const LOOK: Duration = Duration::from_millis(250);
/// The last lines have so long to be taken by whoever reads them; a reader that reads at all needs far less.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How often we look whether they were.
const TAKEN: Duration = Duration::from_millis(5);

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

    /// Has the dashboard ended, by a key or by a fault, which [`Screen::close`] tells? Nothing is seen and no key is heard any more.
    pub fn is_gone(&self) -> bool {
        matches!(&self.kind, Kind::Dashboard(tui) if tui.is_finished())
    }

    /// Ends the screen; the terminal is as it was. What is new is shown first, to whoever still reads.
    pub fn close(self) {
        match self.kind {
            Kind::Dashboard(tui) => {
                if let Err(e) = tui.close() {
                    say(format_args!("dyno: the dashboard ended badly: {e}"));
                }
            }
            Kind::Lines { stop, thread } => {
                let _ = stop.try_send(());
                let asked = MonoNs::now();
                while !thread.is_finished() && MonoNs::now().since(asked) < LAST_LINES {
                    std::thread::sleep(TAKEN);
                }
                // One that still waits for a reader is left behind, and ends with the process.
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
    let ground = match look.ground {
        Ground::Auto => None,
        Ground::Dark => Some(theme::Ground::Dark),
        Ground::Light => Some(theme::Ground::Light),
    };
    let theme = ThemeChoice { color, ground };
    TuiOptions { theme, ascii: look.ascii, mouse: look.mouse, capabilities }
}

/// Says that a while may pass before anything is seen, where anything is to be seen.
pub fn announce_backend(look: &Look) {
    if look.ui != Ui::None {
        announce(look, "starting the bundled backend...");
    }
}

/// Says something before the screen begins, unless every line is to be JSON.
pub fn announce(look: &Look, text: &str) {
    if look.ui != Ui::Json {
        say(format_args!("dyno: {text}"));
    }
}

type Lines = Box<dyn FnMut(&Snapshot) -> Vec<String> + Send>;

/// Lines go to standard error, from a thread of their own: a full pipe must not hold up the run. Each has the lock of standard error
/// for itself alone, so that no other text gets into it, and others wait for no more than one line.
fn lines(published: Published, mut make: Lines) -> io::Result<Kind> {
    let (stop, stopped) = sync_channel(1);
    let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut seen = 0;
        loop {
            let last = !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
            let snapshot = published.get();
            if snapshot.seq != seen {
                seen = snapshot.seq;
                for line in make(&snapshot) {
                    if tell(&mut io::stderr(), &line).is_err() {
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

/// Writes a line in one piece. What is played may be a stranger's recording; JSON escapes control characters below U+0020 only, and
/// stays JSON, since what is replaced stands nowhere but inside its strings.
fn tell(out: &mut dyn Write, line: &str) -> io::Result<()> {
    let mut line = clean_page(line);
    line.push('\n');
    out.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use timeline::RunTime;
    use timeline::snapshot::LogLine;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn json_lines_have_no_power_over_a_terminal_and_stay_json() {
        let text = "a\u{9B}2Jb\u{9D}0;c\u{7F}d\u{202E}e\u{61C}f\x1bg\n".to_owned();
        let log = vec![LogLine { at: RunTime::ZERO, text, source: None }];
        let snapshot = Snapshot { log, ..Snapshot::default() };
        let mut out = Vec::new();
        tell(&mut out, &serde_json::to_string(&snapshot).unwrap()).unwrap();
        let line = String::from_utf8(out).unwrap();
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202E}' || c == '\u{61C}'), "{line}");
        let told: serde_json::Value = serde_json::from_str(line).unwrap();
        let r = '\u{FFFD}';
        assert_eq!(told["log"][0]["text"], format!("a{r}2Jb{r}0;c{r}d{r}e{r}f\x1bg\n"));
    }

    #[test]
    fn the_ground_is_chosen_where_the_terminal_does_not_tell_it() {
        let chosen = |ground: &str| {
            let cli = Cli::try_parse_from(["dyno", "replay", "run", "--ground", ground]).unwrap();
            let Some(Command::Replay(args)) = cli.command else { unreachable!("it was asked for") };
            options(&args.look, Capabilities::default()).theme.ground
        };
        assert_eq!(chosen("light"), Some(theme::Ground::Light));
        assert_eq!(chosen("dark"), Some(theme::Ground::Dark));
        assert_eq!(chosen("auto"), None);
    }
}
