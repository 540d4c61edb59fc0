//! Which run `dyno watch` means: by address, folder, identity, or the one that is running.

use std::path::{Path, PathBuf};

use timeline::recording::{FILE_NAME, in_folder, is_written};

use crate::files::RUNS;
use crate::outcome::UserError;

/// A run that can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its recording on this host.
    Here(PathBuf),
    /// Where it is served, and whether under TLS.
    There { address: String, tls: bool },
}

/// The run that `what` names; none if it names a target.
pub fn named(what: &str) -> anyhow::Result<Option<Found>> {
    for (scheme, tls) in [("dyno://", false), ("dynos://", true)] {
        if let Some(address) = what.strip_prefix(scheme) {
            return Ok(Some(Found::There { address: address.trim_end_matches('/').to_owned(), tls }));
        }
    }
    let by_id = Path::new(RUNS).join(what);
    for path in [Path::new(what), &by_id] {
        if path.is_file() {
            return Ok(Some(Found::Here(path.to_owned())));
        }
        if path.is_dir() {
            let file = in_folder(path).ok_or_else(|| {
                UserError::wrong(format!(
                    "{} holds no {FILE_NAME}: it is not the folder of a run",
                    path.display()
                ))
            })?;
            return Ok(Some(Found::Here(file)));
        }
    }
    if is_id(what) {
        return Err(UserError::wrong(format!(
            "there is no run {what} in {RUNS}; a run that was started with --out is named by its folder"
        )));
    }
    Ok(None)
}

/// The run that is going on, where nothing was named.
pub fn running() -> anyhow::Result<Option<Found>> {
    let mut all = in_progress(Path::new(RUNS));
    if all.len() > 1 {
        let list: Vec<String> =
            all.iter().map(|path| format!("  dyno watch {}", folder(path).display())).collect();
        return Err(UserError::wrong(format!(
            "{} runs are going on; say which:\n{}",
            all.len(),
            list.join("\n")
        )));
    }
    Ok(all.pop().map(Found::Here))
}

/// Recordings in `runs` that are being written.
fn in_progress(runs: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path().join(FILE_NAME)).filter(|file| is_written(file)).collect();
    found.sort();
    found
}

fn folder(recording: &Path) -> &Path {
    recording.parent().unwrap_or(recording)
}

/// `20261123-064501-7`, with or without a suffix: what nobody calls a host.
fn is_id(what: &str) -> bool {
    let parts: Vec<&str> = what.split('-').collect();
    let digits = |n: usize, part: &&str| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() >= 3 && digits(8, &parts[0]) && digits(6, &parts[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::facts::RunMeta;
    use timeline::recording::Writer;

    #[test]
    fn a_run_is_told_from_a_target() {
        let there = |address: &str, tls| Some(Found::There { address: address.to_owned(), tls });
        assert_eq!(named("dyno://127.0.0.1:7").unwrap(), there("127.0.0.1:7", false));
        assert_eq!(named("dynos://host:7/").unwrap(), there("host:7", true));
        for target in [":3000", "http://127.0.0.1:3000", "localhost:80", "my-shop-1"] {
            assert_eq!(named(target).unwrap(), None, "{target}");
        }
        let error = named("20261123-064501-7").unwrap_err().to_string();
        assert!(error.contains("no run 20261123-064501-7"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(
            named(&empty.path().display().to_string()).unwrap_err().to_string().contains("recording.dyno")
        );
    }

    #[test]
    fn only_a_recording_that_is_being_written_is_a_running_run() {
        let runs = tempfile::tempdir().unwrap();
        assert!(in_progress(runs.path()).is_empty());
        for run in ["a", "b"] {
            std::fs::create_dir(runs.path().join(run)).unwrap();
        }
        let file = |run: &str| runs.path().join(run).join(FILE_NAME);
        drop(Writer::create(&file("a"), &RunMeta::default()).unwrap());
        let writer = Writer::create(&file("b"), &RunMeta::default()).unwrap();
        assert_eq!(in_progress(runs.path()), [file("b")]);
        drop(writer);
        assert!(in_progress(runs.path()).is_empty());
    }
}
