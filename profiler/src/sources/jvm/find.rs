//! Where a JVM's performance data lies, and whether it is the JVM's own.
//!
//! Owns the look through the temporary folders, also of a container, and the checks before a byte is believed: a plain file,
//! no link, of the user whose process it is, and not left behind by one that had the same id before. Anybody may put a file into
//! `/tmp`, and a JVM that is killed leaves its own there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use timeline::clock::unix_ms;

use super::JvmError;
use super::perfdata::{Counters, MAX_FILE, read};
use crate::sources::sockets;

/// Folders of users in `/tmp` that are looked through.
const MAX_FOLDERS: usize = 256;
/// When a JVM began by the wall clock, ms. Written before its data counts as complete.
const BEGAN: &str = "sun.rt.createVmBeginTime";
/// Data that is older than its process by more than this is another's, ms. How old the process is, is told in hundredths of a second.
const LEEWAY_MS: u128 = 5_000;

/// The performance data of one process.
#[derive(Debug)]
pub(super) struct Data {
    pid: u32,
    file: PathBuf,
    /// When the process was started: who has its id and was started at another time is not it.
    started: Option<u64>,
}

impl Data {
    /// That of process `pid`, and its counters.
    pub fn find(pid: u32) -> Result<(Self, Counters), JvmError> {
        if !cfg!(target_os = "linux") {
            return Self::among(in_folder(&std::env::temp_dir(), pid), pid);
        }
        let process = PathBuf::from(format!("/proc/{pid}"));
        if !process.exists() {
            return Err(JvmError::NoProcess(pid));
        }
        let inside = in_folder(&process.join("root/tmp"), inner_pid(&process).unwrap_or(pid));
        match Self::among(inside, pid) {
            Err(JvmError::NoData(_)) => Self::among(in_folder(Path::new("/tmp"), pid), pid),
            found => found,
        }
    }

    /// The first of `files` that is its own; what is left behind is as good as not there.
    fn among(files: Vec<PathBuf>, pid: u32) -> Result<(Self, Counters), JvmError> {
        let started = sockets::started(pid);
        let mut failed = None;
        for file in files {
            let data = Self { pid, file, started };
            let found = match data.bytes() {
                Ok((bytes, written)) => {
                    let counters = read(&bytes);
                    let began = counters.as_ref().ok().and_then(|c| c.number(BEGAN)).filter(|ms| *ms > 0);
                    if data.is_left_behind(began.unwrap_or(written)) {
                        continue;
                    }
                    counters.map_err(JvmError::from)
                }
                Err(why) => Err(why),
            };
            match found {
                Ok(counters) => return Ok((data, counters)),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        Err(failed.unwrap_or(JvmError::NoData(pid)))
    }

    /// Its counters by now.
    pub fn read(&self) -> Result<Counters, JvmError> {
        if sockets::started(self.pid) != self.started {
            return Err(JvmError::Gone(self.pid));
        }
        Ok(read(&self.bytes()?.0)?)
    }

    /// The file's bytes, and when it was written, ms since 1970.
    fn bytes(&self) -> Result<(Vec<u8>, i64), JvmError> {
        let (pid, path) = (self.pid, || self.file.display().to_string());
        let unreadable = |why: io::Error| match why.kind() {
            io::ErrorKind::NotFound => JvmError::Gone(pid),
            _ => JvmError::Unreadable { file: path(), why: why.to_string() },
        };
        // Without NONBLOCK, opening a pipe that somebody put there would wait for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            File::from(open(self.file.as_path(), flags, Mode::empty()).map_err(|e| unreadable(e.into()))?);
        let about = opened.metadata().map_err(unreadable)?;
        let process = fs::metadata(format!("/proc/{pid}"));
        if cfg!(target_os = "linux") && process.is_err() {
            return Err(JvmError::Gone(pid)); // one that was killed leaves its file behind
        }
        let theirs = process.map_or(!cfg!(target_os = "linux"), |p| p.uid() == about.uid());
        if !about.is_file() || !theirs {
            return Err(JvmError::NotTheirs(path()));
        }
        let mut bytes = Vec::new();
        opened.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > MAX_FILE {
            return Err(JvmError::TooLong);
        }
        Ok((bytes, about.mtime().saturating_mul(1_000)))
    }

    /// Did data that is of `then`, ms since 1970, belong to one that had this id before? So it looks, too, where the wall clock was set since, or the
    /// process was restored from a file; but whoever writes into it has it in its memory.
    fn is_left_behind(&self, then: i64) -> bool {
        let Some(age) = sockets::age(self.pid) else { return false };
        let age_of_data = i128::from(unix_ms()) - i128::from(then);
        let is_older = age_of_data > (age.as_millis() + LEEWAY_MS) as i128;
        is_older && !is_in_memory(&self.file, &maps(self.pid))
    }
}

/// What the process has in its memory; nothing where that may not be seen.
fn maps(pid: u32) -> String {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    String::from_utf8_lossy(&maps).into_owned()
}

/// Is the file among these `maps`? A container has it under another path, whose last two parts are the same.
fn is_in_memory(file: &Path, maps: &str) -> bool {
    let folder = file.ancestors().nth(2);
    let Some(parts) = folder.and_then(|folder| file.strip_prefix(folder).ok()) else { return false };
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .any(|path| Path::new(path).ends_with(parts))
}

/// What lies there under that id; each user has a folder.
fn in_folder(folder: &Path, pid: u32) -> Vec<PathBuf> {
    let users = fs::read_dir(folder).into_iter().flatten().flatten();
    let users = users.filter(|u| u.file_name().to_string_lossy().starts_with("hsperfdata_"));
    users.take(MAX_FOLDERS).map(|u| u.path().join(pid.to_string())).filter(|file| file.is_file()).collect()
}

/// The process's id as it sees it itself, inside its container: the last word of `NSpid`.
fn inner_pid(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("NSpid:"))?.split_ascii_whitespace().last()?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::sources::jvm::PerfDataError;

    /// Recorded from OpenJDK 17.
    const G1: &[u8] = include_bytes!("../../../tests/jvm/openjdk-17-g1.hsperf");
    const DAY_MS: i64 = 86_400_000;

    /// The data of a JVM that began then.
    fn of(began: i64) -> Vec<u8> {
        let recorded = read(G1).unwrap().number(BEGAN).unwrap().to_le_bytes();
        let at = G1.windows(8).position(|bytes| bytes == recorded).unwrap();
        let mut bytes = G1.to_vec();
        bytes[at..at + 8].copy_from_slice(&began.to_le_bytes());
        bytes
    }

    /// What is found for us where users have these files under our id.
    fn found(files: &[(&str, &[u8])]) -> Result<String, JvmError> {
        let (folder, me) = (tempfile::tempdir().unwrap(), std::process::id());
        for (user, bytes) in files {
            let of_user = folder.path().join(format!("hsperfdata_{user}"));
            fs::create_dir(&of_user).unwrap();
            fs::write(of_user.join(me.to_string()), bytes).unwrap();
        }
        let (data, _) = Data::among(in_folder(folder.path(), me), me)?;
        data.read()?;
        let user = data.file.parent().unwrap().file_name().unwrap();
        Ok(user.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_one_with_the_same_id_has_left_behind_is_not_there() {
        let now = i64::try_from(unix_ms()).unwrap();
        let (own, left) = (of(now), of(now - DAY_MS));
        assert_eq!(found(&[("a", &own)]).unwrap(), "hsperfdata_a");
        assert_eq!(found(&[("a", &left)]), Err(JvmError::NoData(std::process::id())));
        // Nor does it hide the own one, in whatever order they are found.
        assert_eq!(found(&[("a", &left), ("b", &own)]).unwrap(), "hsperfdata_b");
        assert_eq!(found(&[("a", &own), ("b", &left)]).unwrap(), "hsperfdata_a");
    }

    #[test]
    fn what_does_not_say_when_it_began_is_as_old_as_its_file() {
        let (folder, me) = (tempfile::tempdir().unwrap(), std::process::id());
        let path = folder.path().join("4711");
        let mut bytes = G1.to_vec();
        bytes[7] = 0;
        fs::write(&path, bytes).unwrap();
        let found = || Data::among(vec![path.clone()], me).map(|_| ());
        assert_eq!(found(), Err(JvmError::Data(PerfDataError::NotReady)));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(found(), Err(JvmError::NoData(me)));
    }

    #[test]
    fn one_that_has_the_id_of_the_one_before_is_not_read_in_its_place() {
        let (folder, me) = (tempfile::tempdir().unwrap(), std::process::id());
        let file = folder.path().join("4711");
        fs::write(&file, G1).unwrap();
        let mut data = Data { pid: me, file, started: sockets::started(me) };
        assert!(data.read().is_ok());
        data.started = data.started.map(|started| started + 1);
        assert_eq!(data.read().map(|_| ()), Err(JvmError::Gone(me)));
    }

    #[test]
    fn who_writes_into_a_file_has_it_in_its_memory() {
        let maps = "7f1c2a000000-7f1c2a008000 rw-s 00000000 00:2f 1311   /tmp/hsperfdata_app/7\n\
                    7f1c2b000000-7f1c2b008000 rw-s 00000000 00:2f 1312   /tmp/hsperfdata_app/9 (deleted)\n\
                    7ffd5a000000-7ffd5a021000 rw-p 00000000 00:00 0      [stack]\n";
        let is = |file: &str| is_in_memory(Path::new(file), maps);
        assert!(is("/tmp/hsperfdata_app/7") && is("/proc/4711/root/tmp/hsperfdata_app/7"));
        assert!(!is("/tmp/hsperfdata_other/7") && !is("/tmp/hsperfdata_app/9") && !is("7"));
    }
}
