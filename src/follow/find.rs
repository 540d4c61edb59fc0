//! Which run is meant: by `dyno watch`, by address, folder, identity, or the one that is running; where a run that has ended is read and
//! none was named, the newest.

use std::path::{Path, PathBuf};

use timeline::recording::{FILE_NAME, in_folder, is_written};
use timeline::text::clean;

use crate::files::RUNS;
use crate::outcome::UserError;
use crate::show::say;

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
    // A target has a port, a path or a domain; a host of this network that has none of them can be written as an address.
    if !what.contains([':', '/', '.']) {
        return Err(UserError::wrong(format!(
            "there is no run {} in {RUNS}; a run that was started with --out is named by its folder, a backend by :PORT or http://HOST:PORT",
            clean(what, 80)
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

/// The run that was named, or else the newest that has ended; which one, is said on standard error.
pub fn or_newest(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(run) = named {
        return Ok(run.to_owned());
    }
    let newest = newest_in(Path::new(RUNS)).ok_or_else(|| {
        UserError::wrong(format!(
            "there is no run in {RUNS} that has ended; expected a run's folder or its recording"
        ))
    })?;
    say(format_args!("dyno: the newest run: {}", newest.display()));
    Ok(newest)
}

/// The folder in `runs` whose recording was written last; not one that is being written.
fn newest_in(runs: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(runs).ok()?.flatten();
    let ended = entries.filter_map(|entry| {
        let recording = in_folder(&entry.path()).filter(|file| !is_written(file))?;
        Some((recording.metadata().and_then(|m| m.modified()).ok()?, entry.path()))
    });
    ended.max().map(|(_, folder)| folder)
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
        for target in [":3000", "http://127.0.0.1:3000", "localhost:80", "shop.local", "shop/cart"] {
            assert_eq!(named(target).unwrap(), None, "{target}");
        }
        for run in ["20261123-064501-7", "nosuch", "my-shop-1"] {
            let error = named(run).unwrap_err().to_string();
            assert!(error.contains(&format!("no run {run} in dyno-runs")), "{error}");
        }
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

    #[test]
    fn the_newest_run_is_the_one_whose_recording_was_written_last() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(newest_in(runs.path()), None);
        assert_eq!(newest_in(&runs.path().join("nowhere")), None);
        let at = |run: &str| runs.path().join(run);
        // By name the other way round, and a folder without a recording beside them.
        for (run, seconds) in [("c", 1), ("b", 3), ("a", 2)] {
            std::fs::create_dir(at(run)).unwrap();
            let file = at(run).join(FILE_NAME);
            drop(Writer::create(&file, &RunMeta::default()).unwrap());
            let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
        }
        std::fs::create_dir(at("z")).unwrap();
        assert_eq!(newest_in(runs.path()), Some(at("b")));
        std::fs::create_dir(at("now")).unwrap();
        let writer = Writer::create(&at("now").join(FILE_NAME), &RunMeta::default()).unwrap();
        assert_eq!(newest_in(runs.path()), Some(at("b")), "that one goes on");
        drop(writer);
        assert_eq!(newest_in(runs.path()), Some(at("now")));
    }
}
