//! The folder of one backend's embedded database, gone when it ends.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use timeline::MonoNs;

use crate::error::BackendError;

/// Folders are `dyno-shop-PID-NUMBER` in the system's folder for temporary files.
const PREFIX: &str = "dyno-shop-";
/// The database inside.
const FILE: &str = "shop.sqlite";

/// Removed with all its content when dropped.
pub struct DatabaseFolder {
    path: PathBuf,
}

impl DatabaseFolder {
    /// The database.
    pub fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }
}

impl Drop for DatabaseFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder that only this user can read.
///
/// # Errors
/// Of the file system.
pub fn create() -> Result<DatabaseFolder, BackendError> {
    let base = std::env::temp_dir();
    sweep(&base);
    let path = base.join(format!("{PREFIX}{}-{}", std::process::id(), MonoNs::now().0));
    DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(BackendError::system("make a folder for the database"))?;
    Ok(DatabaseFolder { path })
}

/// Removes folders of backends that were killed before they could do so.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        let Some(pid) = pid.and_then(|p| p.parse().ok()).and_then(rustix::process::Pid::from_raw) else {
            continue;
        };
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_gone_at_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let folder = create().unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(folder.file(), "content").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
