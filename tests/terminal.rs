//! The dashboard in a real terminal: keys are pressed and the screen is read, through tmux.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{wait_for, whole_machine};

/// Longest wait for what is waited for; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tmux server of its own, ended with the test.
struct Terminal {
    socket: String,
    _dir: tempfile::TempDir,
}

impl Terminal {
    fn start(columns: u32, rows: u32, command: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("tmux").display().to_string();
        let terminal = Self { socket, _dir: dir };
        let (x, y) = (columns.to_string(), rows.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &x, "-y", &y, command]);
        terminal.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-S", &self.socket])
            .args(args)
            .env("TERM", "screen-256color")
            .env_remove("CI")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .output()
            .expect("tmux is needed for this test: ./test --install");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// A line, and the end of it.
    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    fn shows(&self, text: &str) {
        let seen = wait_for(PATIENCE, || self.screen().contains(text));
        assert!(seen, "{text:?} does not appear on:\n{}", self.screen());
    }

    fn hides(&self, text: &str) {
        let gone = wait_for(PATIENCE, || !self.screen().contains(text));
        assert!(gone, "{text:?} stays on:\n{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn keys_are_heard_and_the_screen_is_whole() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let command = format!(
        "env -u CI -u NO_COLOR {} run stampede --ui tui --out {}; echo code=$?",
        env!("CARGO_BIN_EXE_dyno"),
        folder.display()
    );
    let terminal = Terminal::start(80, 24, &command);
    terminal.shows("stampede");
    terminal.shows("offered");
    terminal.shows("q quit");
    terminal.press("?");
    // The footer has a hint of the help, too; this is said by the help alone.
    terminal.shows("? closes");
    terminal.press("Escape");
    // What follows Escape at once would be read as a key with Alt.
    terminal.hides("? closes");
    terminal.press("Space");
    terminal.shows("FROZEN");
    terminal.press("Space");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    terminal.shows("resp");
    terminal.tmux(&["resize-window", "-x", "200", "-y", "60"]);
    terminal.shows("same time axis");
    terminal.tmux(&["resize-window", "-x", "20", "-y", "5"]);
    terminal.shows("small");
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.press("p");
    terminal.shows("halt the load?");
    terminal.press("y");
    terminal.shows("HALTED at");
    terminal.press("<");
    terminal.shows("HALTED 90%");
    terminal.press("p");
    terminal.shows("RUNNING 90%");
    terminal.press(">");
    // The stampede begins about eight seconds in and is found within three.
    terminal.shows("cache stampede");
    // The second one answers the question that the first one raises where the load's end is still far.
    terminal.press("q");
    terminal.press("q");
    terminal.shows("code=130");
    let screen = terminal.screen();
    assert!(screen.contains("verdict"), "the summary stands on the restored terminal:\n{screen}");
    assert!(folder.join("report.html").exists());
    let summary = std::fs::read_to_string(folder.join("summary.json")).unwrap();
    assert!(summary.contains("the load was halted for"), "{summary}");
    assert!(summary.contains("as a share of the plan: 90 % from"), "{summary}");
}

#[test]
fn a_shell_gets_the_terminal_back_and_the_second_ctrl_c_aborts() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    // It lets everybody in and answers nobody, so that there is something to drain.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let shell = "env -u CI -u NO_COLOR PS1='ready: ' bash --norc --noprofile -i";
    let terminal = Terminal::start(80, 24, shell);
    terminal.shows("ready:");
    terminal.types(&format!(
        "{} run --url http://{} --sessions 3 --for 10m --ui tui --mouse --out {}",
        env!("CARGO_BIN_EXE_dyno"),
        silent.local_addr().unwrap(),
        dir.path().join("run").display()
    ));
    terminal.shows("q quit");
    terminal.shows("RUNNING");
    terminal.press("C-z");
    terminal.shows("suspend dyno?");
    terminal.press("y");
    terminal.shows("Stopped");
    // The shell's own screen and its line mode are back: what is typed is seen, and a line is heard.
    terminal.types("echo $((40 + 2)) lines");
    terminal.shows("42 lines");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    terminal.types("fg; echo code=$?");
    terminal.shows("1/9 Overview");
    assert!(!terminal.screen().contains("ready:"), "{}", terminal.screen());
    terminal.press("3");
    terminal.shows("3/9 Load");
    terminal.tmux(&["resize-window", "-x", "200", "-y", "60"]);
    terminal.shows("session kinds");
    terminal.press("q");
    terminal.shows("stop the load?");
    terminal.press("n");
    terminal.hides("stop the load?");
    terminal.press("C-c");
    terminal.shows("Ctrl-C aborts");
    terminal.press("C-c");
    terminal.shows("code=130");
    assert!(terminal.screen().contains("verdict"), "{}", terminal.screen());
}

#[test]
fn a_replay_whose_dashboard_breaks_does_not_go_on_unseen() {
    let _machine = whole_machine();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/leak");
    // It is drawn on another terminal than its keys come from, which goes away: the next picture fails.
    let screen = Terminal::start(80, 24, "sleep 600");
    let place = screen.tmux(&["display-message", "-p", "#{pane_tty}"]);
    let command = format!(
        "{} replay {} --ui tui 2>{}; echo code=$?; sleep 30",
        env!("CARGO_BIN_EXE_dyno"),
        recorded.display(),
        place.trim()
    );
    let terminal = Terminal::start(80, 24, &command);
    screen.shows("leak");
    drop(screen);
    terminal.shows("code=0");
}
