//! Where a JVM's performance data lies, and whether it is the JVM's own.
//!
//! Owns the look through the temporary folders, also of a container, and the checks before a byte is believed: a plain file,
//! no link, of the user whose process it is. Anybody may put a file into `/tmp`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};

use super::JvmError;
use super::perfdata::MAX_FILE;

/// Folders of users in `/tmp` that are looked through.
const MAX_FOLDERS: usize = 256;

/// The file of process `pid`.
pub(super) fn find(pid: u32) -> Result<PathBuf, JvmError> {
    if !cfg!(target_os = "linux") {
        return in_folder(&std::env::temp_dir(), pid).ok_or(JvmError::NoData(pid));
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    if !process.exists() {
        return Err(JvmError::NoProcess(pid));
    }
    let inside = in_folder(&process.join("root/tmp"), inner_pid(&process).unwrap_or(pid));
    inside.or_else(|| in_folder(Path::new("/tmp"), pid)).ok_or(JvmError::NoData(pid))
}

fn in_folder(folder: &Path, pid: u32) -> Option<PathBuf> {
    let users = fs::read_dir(folder).ok()?.flatten();
    let users = users.filter(|u| u.file_name().to_string_lossy().starts_with("hsperfdata_"));
    users.take(MAX_FOLDERS).map(|u| u.path().join(pid.to_string())).find(|file| file.is_file())
}

/// The process's id as it sees it itself, inside its container: the last word of `NSpid`.
fn inner_pid(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("NSpid:"))?.split_ascii_whitespace().last()?.parse().ok()
}

/// The file's bytes.
pub(super) fn bytes(file: &Path, pid: u32) -> Result<Vec<u8>, JvmError> {
    let unreadable = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => JvmError::Gone(pid),
        _ => JvmError::Unreadable { file: file.display().to_string(), why: why.to_string() },
    };
    // Without NONBLOCK, opening a pipe that somebody put there would wait for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(file, flags, Mode::empty()).map_err(|e| unreadable(e.into()))?;
    let about = fstat(&opened).map_err(|e| unreadable(e.into()))?;
    let plain = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
    let process = stat(format!("/proc/{pid}"));
    if cfg!(target_os = "linux") && process.is_err() {
        return Err(JvmError::Gone(pid)); // one that was killed leaves its file behind
    }
    let theirs = process.map_or(!cfg!(target_os = "linux"), |p| p.st_uid == about.st_uid);
    if !plain || !theirs {
        return Err(JvmError::NotTheirs(file.display().to_string()));
    }
    let mut bytes = Vec::new();
    File::from(opened).take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE { Err(JvmError::TooLong) } else { Ok(bytes) }
}
