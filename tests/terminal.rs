//! The dashboard in a real terminal: keys are pressed and the screen is read, through tmux.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{wait_for, whole_machine};

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

    fn shows(&self, text: &str, seconds: u64) {
        let seen = wait_for(Duration::from_secs(seconds), || self.screen().contains(text));
        assert!(seen, "{text:?} does not appear on:\n{}", self.screen());
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
    terminal.shows("stampede", 30);
    terminal.shows("offered", 10);
    terminal.shows("q quit", 5);
    terminal.press("?");
    terminal.shows("help", 3);
    terminal.press("Escape");
    terminal.press("Space");
    terminal.shows("FROZEN", 3);
    terminal.press("Space");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    terminal.shows("resp", 5);
    terminal.tmux(&["resize-window", "-x", "200", "-y", "60"]);
    terminal.shows("same time axis", 5);
    terminal.tmux(&["resize-window", "-x", "20", "-y", "5"]);
    terminal.shows("small", 5);
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.press("p");
    terminal.shows("halt the load?", 3);
    terminal.press("y");
    terminal.shows("HALTED at", 5);
    terminal.press("<");
    terminal.shows("HALTED 90%", 5);
    terminal.press("p");
    terminal.shows("RUNNING 90%", 5);
    terminal.press(">");
    // The stampede begins about eight seconds in and is found within three.
    terminal.shows("cache stampede", 30);
    terminal.press("q");
    terminal.shows("code=130", 20);
    let screen = terminal.screen();
    assert!(screen.contains("verdict"), "the summary stands on the restored terminal:\n{screen}");
    assert!(folder.join("report.html").exists());
    let summary = std::fs::read_to_string(folder.join("summary.json")).unwrap();
    assert!(summary.contains("the load was halted for"), "{summary}");
    assert!(summary.contains("as a share of the plan: 90 % from"), "{summary}");
}
