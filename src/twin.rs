//! The bundled backend on Node.js, Deno or Bun: its files unpacked and its packages installed once, in the user's
//! cache folder, then the runtime started in this process's place.
//!
//! Owns the cache folder. A folder there is complete or not there: it is made under another name first, so that two of
//! us at once, or one that is killed, leave nothing half done. What the twin does is its own matter (`backend/node/`).

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use backend::twin::FILES;
use backend::{BROKER_VARIABLE, CACHE_VARIABLE, DATABASE_VARIABLE};

use crate::cli::{BackendArgs, Runtime};
use crate::outcome::UserError;
use crate::secret::TOKEN_VARIABLE;

/// Node.js before this lacks what the twin is written in.
const OLDEST_NODE: u32 = 20;

/// How the runtime is called, on the command line and in the search path.
pub const fn name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Rust => "rust",
        Runtime::Node => "node",
        Runtime::Deno => "deno",
        Runtime::Bun => "bun",
    }
}

/// Becomes the twin: on success it never returns.
pub fn become_it(args: &BackendArgs, token: &str) -> anyhow::Error {
    if args.unwatched {
        return UserError::wrong("--unwatched: the agent of the other runtimes cannot be switched off");
    }
    let stores = [
        (DATABASE_VARIABLE, args.database.as_deref()),
        (CACHE_VARIABLE, args.cache.as_deref()),
        (BROKER_VARIABLE, args.broker.as_deref()),
    ];
    // Checked as for the shop in Rust; the twin takes them from the environment alone.
    if let Err(e) = backend::Stores::choose(stores[0].1, stores[1].1, stores[2].1) {
        return UserError::wrong(e);
    }
    let folder = match prepare(args.runtime) {
        Ok(folder) => folder,
        Err(e) => return e,
    };
    let mut command = Command::new(name(args.runtime));
    if args.runtime == Runtime::Deno {
        command.args(["run", "--allow-all"]);
    }
    command
        .arg(folder.join("main.js"))
        .args(["--listen", &args.listen.to_string(), "--control", &args.control.to_string()])
        .args(["--workers", &args.workers.to_string()])
        .args(["--cache-protection", &args.cache_protection])
        .env(TOKEN_VARIABLE, token)
        .envs(stores.into_iter().filter_map(|(variable, given)| Some((variable, given?))));
    if let Some(rows) = args.rows {
        command.args(["--rows", &rows.to_string()]);
    }
    if args.follow_stdin {
        command.arg("--follow-stdin");
    }
    anyhow::Error::new(command.exec()).context(format!("cannot start {}", name(args.runtime)))
}

/// Sees to it that `runtime` is there and the twin ready to run; gives its folder.
///
/// # Errors
/// What is missing, and how to get it.
pub fn prepare(runtime: Runtime) -> anyhow::Result<PathBuf> {
    check(runtime)?;
    let folder = cache_folder()?.join(format!("twin-{:016x}", fingerprint()));
    if !folder.is_dir() {
        let making = folder.with_extension(std::process::id().to_string());
        let made = unpack(&making).and_then(|()| install(runtime, &making));
        // Another one of us may have been faster: its folder is as good.
        let placed = made.and_then(|()| {
            fs::rename(&making, &folder).or_else(|e| if folder.is_dir() { Ok(()) } else { Err(e.into()) })
        });
        let _ = fs::remove_dir_all(&making);
        placed?;
    }
    Ok(folder)
}

/// Is it installed, and new enough?
fn check(runtime: Runtime) -> anyhow::Result<()> {
    let name = name(runtime);
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    let Ok(answer) = asked else {
        return Err(UserError::wrong(format!(
            "there is no `{name}` in the search path: install it (`npm install --global {name}`, or your system's \
             package), or leave out --runtime"
        )));
    };
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    match major(&version) {
        Some(found) if runtime == Runtime::Node && found < OLDEST_NODE => {
            Err(UserError::wrong(format!("`node` is {version}: the shop wants {OLDEST_NODE} or later")))
        }
        _ => Ok(()),
    }
}

/// 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// Where this user's caches are, as the XDG base directories say.
fn cache_folder() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let Some(base) = base else {
        return Err(UserError::wrong(
            "there is no place for the shop's packages: set XDG_CACHE_HOME to a folder",
        ));
    };
    Ok(base.join("dyno"))
}

/// Another release has other files, and so another folder. Only this binary reads the name, so any hash will do.
fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    FILES.hash(&mut hasher);
    hasher.finish()
}

fn unpack(folder: &Path) -> anyhow::Result<()> {
    for (path, text) in FILES {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Installs the packages that the lock file names; what is said goes to our own messages.
fn install(runtime: Runtime, folder: &Path) -> anyhow::Result<()> {
    let (program, args) = installer(runtime);
    eprintln!("dyno: installing the shop's packages once, with `{program} {}`", args.join(" "));
    let done = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(UserError::wrong(format!(
            "the shop's packages cannot be installed: `{program}` ended with {status}"
        ))),
        Err(e) => Err(UserError::wrong(format!(
            "the shop's packages cannot be installed: `{program}` does not start: {e}"
        ))),
    }
}

/// npm keeps to the lock file; where there is none, each runtime has a way of its own.
fn installer(runtime: Runtime) -> (&'static str, &'static [&'static str]) {
    match runtime {
        Runtime::Bun if !is_there("npm") => {
            ("bun", &["install", "--production", "--ignore-scripts", "--silent"])
        }
        Runtime::Deno if !is_there("npm") => ("deno", &["install", "--quiet"]),
        _ => ("npm", &["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]),
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(OsStr::new(program)).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_begins_with_its_major_number() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("1.4.5"), Some(1));
        assert_eq!(major("deno 2.9.6 (stable)"), None);
    }

    #[test]
    fn what_is_unpacked_is_what_is_carried() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        for (path, text) in FILES {
            assert_eq!(fs::read_to_string(folder.path().join(path)).unwrap(), *text, "{path}");
        }
    }
}
