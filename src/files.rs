//! The run's folder: its name, its making, and what to say when that fails. Whatever the file system refuses is a mistake of the
//! surroundings, which whoever started us can mend.

use std::io;
use std::path::{Path, PathBuf};

use crate::outcome::UserError;

/// Where runs go unless told otherwise.
pub const RUNS: &str = "dyno-runs";

/// Identity of a run: UTC date and time of its start, and its seed.
#[must_use]
pub fn run_id(unix_ms: u64, seed: u64) -> String {
    format!("{}-{seed}", reports::date::compact(unix_ms))
}

/// What an error of the file system comes to, where something was to be done (`write`) at `path`.
pub fn cannot(act: &str, path: &Path) -> impl Fn(io::Error) -> anyhow::Error {
    move |e| UserError::wrong(format!("cannot {act} {}: {e}", path.display()))
}

/// Makes the folder of a run: the one asked for, which must be new or empty, or a new one under [`RUNS`]. Files can be made in it.
pub fn make_folder(asked: Option<&Path>, run_id: &str) -> anyhow::Result<PathBuf> {
    let Some(path) = asked else {
        return make_new(&Path::new(RUNS).join(run_id));
    };
    match std::fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            // Met now, and not when the backend and its workers have started.
            None => match tempfile::tempfile_in(path) {
                Ok(_) => Ok(path.to_owned()),
                Err(e) => Err(cannot("write into", path)(e)),
            },
            Some(_) => Err(UserError::wrong(format!(
                "the folder {} is not empty: give --out a new one, nothing is overwritten",
                path.display()
            ))),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => make_new(path),
        Err(e) => Err(UserError::wrong(format!("cannot use the folder {}: {e}", path.display()))),
    }
}

/// Two runs may start in the same second: the later one gets a suffix.
fn make_new(path: &Path) -> anyhow::Result<PathBuf> {
    let cannot = cannot("make the folder", path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(&cannot)?;
    }
    for n in 0..100 {
        let mut candidate = path.as_os_str().to_owned();
        if n > 0 {
            candidate.push(format!("-{n}"));
        }
        match std::fs::create_dir(&candidate) {
            Ok(()) => return Ok(candidate.into()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(cannot(e)),
        }
    }
    Err(UserError::wrong(format!("there are a hundred folders like {} already", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_date_and_time() {
        assert_eq!(run_id(1_795_416_301_000, 7), "20261123-064501-7");
        assert_eq!(run_id(951_782_400_000, 1), "20000229-000000-1");
    }

    #[test]
    fn a_used_folder_is_never_written_into() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(make_folder(Some(dir.path()), "x").unwrap(), dir.path());
        std::fs::write(dir.path().join("f"), "x").unwrap();
        let error = make_folder(Some(dir.path()), "x").unwrap_err().to_string();
        assert!(error.contains("is not empty"), "{error}");
        let new = dir.path().join("a/b");
        assert_eq!(make_folder(Some(&new), "x").unwrap(), new);
    }

    /// That folder of the kernel's is always empty, and takes no file from anybody.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_file_is_refused() {
        let error = make_folder(Some(Path::new("/proc/tty/ldisc")), "x").unwrap_err();
        assert!(error.to_string().contains("cannot write into /proc/tty/ldisc: "), "{error}");
        assert_eq!(crate::outcome::error_code(&error), 2);
    }
}
