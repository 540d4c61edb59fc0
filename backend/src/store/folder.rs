//! The folder of one backend's database: made and seeded by the supervisor, gone when it ends.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use timeline::MonoNs;

use super::{schema, seed};
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

/// Makes a folder that only this user can read, and in it a seeded database.
///
/// # Errors
/// Of the file system or the database, which is mostly a full disk.
pub fn create() -> Result<DatabaseFolder, BackendError> {
    let base = std::env::temp_dir();
    sweep(&base);
    let path = base.join(format!("{PREFIX}{}-{}", std::process::id(), MonoNs::now().0));
    DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(BackendError::system("make a folder for the database"))?;
    let folder = DatabaseFolder { path };
    let mut connection = Connection::open(folder.file())?;
    schema::create(&connection)?;
    seed::fill(&mut connection)?;
    Ok(folder)
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
    fn the_folder_is_private_seeded_and_gone_at_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let folder = create().unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let db = Connection::open(folder.file()).unwrap();
        let count = |table: &str| -> u32 {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
        };
        assert_eq!((count("product"), count("customer")), (seed::PRODUCTS, seed::CUSTOMERS));
        drop(folder);
        assert!(!path.exists());
    }
}
