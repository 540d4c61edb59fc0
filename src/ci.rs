//! `--ci`: which CI server runs us, and what it is told in its own words.
//!
//! Owns surroundings (variables, the step summary's file, folding of the log) and what of a run is published: all reports and the log
//! go without statements and addresses under `--ci`, unless asked otherwise; the recording and the logs of other programs have them. Forms are `reports::ci`'s.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use reports::ci::{self, github, gitlab};
use reports::{Summary, discreet};

use crate::outcome::UserError;
use crate::show::{hand_out, say};

/// Most of a step summary that GitHub takes, bytes; a larger one it refuses as a whole.
const SUMMARY_MAX_BYTES: u64 = 1 << 20;
/// Name of the section that holds the run's lines.
const SECTION: &str = "dyno_run";
/// Where a finding is shown when no file is at hand.
const NO_FILE: &str = "dyno";

/// Who reads our output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    GitHub,
    GitLab,
    Other,
}

/// A run under `--ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ci {
    server: Server,
    /// Statements and addresses are left as they are.
    open: bool,
    /// The target's address, whose host is hidden also where its bare name stands; empty for none.
    target: &'static str,
}

impl Ci {
    /// None without `--ci`.
    pub fn of(asked: bool, open: bool) -> Option<Self> {
        let set = |name| std::env::var_os(name).is_some_and(|v| v == "true" || v == "1");
        let server = match (set("GITHUB_ACTIONS"), set("GITLAB_CI")) {
            (true, _) => Server::GitHub,
            (_, true) => Server::GitLab,
            _ => Server::Other,
        };
        asked.then_some(Self { server, open, target: "" })
    }

    /// Of a run against `target`.
    pub fn about(self, target: &str) -> Self {
        // Never freed: lines are made on a thread of their own until the process ends, and it makes one run.
        Self { target: String::leak(target.to_owned()), ..self }
    }

    /// Text as it may stand in the job's log.
    pub fn text(self, text: &str) -> String {
        let text = text.to_owned();
        let text = if self.open { text } else { discreet::plain(&text, self.target) };
        match self.server {
            Server::GitHub => github::harmless(&text),
            Server::GitLab | Server::Other => text,
        }
    }

    /// Begins the part of the log that folds: the lines of the run.
    pub fn begin(self, title: &str) -> Section {
        let title = self.text(title);
        match self.server {
            Server::GitHub => say(format_args!("::group::{}", title.replace(['\n', '\r'], " "))),
            Server::GitLab => say(gitlab::section_start(SECTION, &title, unix_s())),
            Server::Other => {}
        }
        Section(self.server)
    }

    /// Do reports go without statements and addresses?
    pub fn is_discreet(self) -> bool {
        !self.open
    }

    /// An error as it may stand in the job's log: it may name the target, or say what the target said.
    pub fn error(self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast() {
            Ok(UserError::Wrong(text)) => UserError::wrong(self.text(&text)),
            Ok(UserError::Unreachable(text)) => UserError::unreachable(self.text(&text)),
            Ok(UserError::Interrupted(text)) => UserError::interrupted(self.text(&text)),
            Err(error) => error,
        }
    }

    /// Writes what the server reads, annotates, and appends to the step's summary; gives the files. `summary` is one
    /// that may be published.
    pub fn publish(
        self,
        folder: &Path,
        summary: &Summary,
        scenario: Option<&str>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let file = scenario.filter(|s| Path::new(s).is_file()).unwrap_or(NO_FILE);
        let files = ci::write(&folder.join(ci::FOLDER), summary, file).map_err(UserError::wrong)?;
        if self.server == Server::GitHub {
            let lines: String = github::annotations(summary).into_iter().map(|line| line + "\n").collect();
            hand_out(lines.as_bytes())?;
            if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|p| !p.is_empty()) {
                append(Path::new(&path), &reports::markdown::render(summary))?;
            }
        }
        Ok(files)
    }
}

/// A part of the log that folds. It ends when this is dropped, also where a run comes to nothing.
pub struct Section(Server);

impl Drop for Section {
    fn drop(&mut self) {
        match self.0 {
            Server::GitHub => say("::endgroup::"),
            Server::GitLab => say(gitlab::section_end(SECTION, unix_s())),
            Server::Other => {}
        }
    }
}

fn unix_s() -> u64 {
    timeline::clock::unix_ms() / 1_000
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = |e| UserError::wrong(format!("cannot append to the step summary {}: {e}", path.display()));
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
    let there = file.metadata().map_err(cannot)?.len();
    if there + text.len() as u64 + 1 > SUMMARY_MAX_BYTES {
        say("dyno: the step summary is full, so the report is left out of it");
        return Ok(());
    }
    writeln!(file, "{text}").map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_not_named_in_the_log() {
        let ci = Ci { server: Server::Other, open: false, target: "" }.about("http://shop.internal:8080/v1");
        let said = "the resolver does not know shop.internal";
        assert_eq!(ci.text(said), "the resolver does not know address");
        assert_eq!(Ci { open: true, ..ci }.text(said), said);
    }
}
