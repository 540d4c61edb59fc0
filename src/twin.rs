//! The bundled backend on Node.js, Deno or Bun: its files unpacked and its packages installed once, in the user's
//! cache folder, then the runtime started in this process's place; where a token was made up, as a child of it, so that the token's file
//! goes with it.
//!
//! Owns the cache folder. A folder there is complete or not there: it is made under another name first, so that two of
//! us at once, or one that is killed, leave nothing half done. Knows which faults the twin lacks, and what cannot be held there; what it does is its
//! own matter (`backend/node/`).

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backend::twin::FILES;
use backend::{BROKER_VARIABLE, CACHE_VARIABLE, DATABASE_VARIABLE, Held, Hold};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::plan::RunPlan;
use timeline::Remedy;
use timeline::fault::FaultKind;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{BackendArgs, Runtime};
use crate::files::cannot;
use crate::outcome::{Outcome, UserError, is_interrupted};
use crate::secret::TOKEN_VARIABLE;
use crate::show::say;

/// Major and minor number of the first release that has what the twin is written in.
const fn oldest(runtime: Runtime) -> (u32, u32) {
    match runtime {
        Runtime::Rust => (0, 0),
        Runtime::Node => (20, 0),
        Runtime::Deno => (2, 0),
        Runtime::Bun => (1, 3),
    }
}

/// How the runtime is called, on the command line and in the search path.
pub const fn name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Rust => "rust",
        Runtime::Node => "node",
        Runtime::Deno => "deno",
        Runtime::Bun => "bun",
    }
}

/// Has the twin this fault? `backend/node/README.md` says why it lacks the others.
pub const fn knows(fault: FaultKind) -> bool {
    !matches!(fault, FaultKind::AcceptOverflow | FaultKind::Fragmentation)
}

/// Refuses a plan with a fault that the backend on `runtime` lacks: all of the load would come, and nothing would be wrong.
///
/// # Errors
/// Which fault that is, and who has it.
pub fn check_faults(runtime: Runtime, plan: &RunPlan) -> anyhow::Result<()> {
    let of_rust = runtime == Runtime::Rust;
    let lacks = |fault: &FaultKind| if of_rust { fault.of_twin_alone() } else { !knows(*fault) };
    let Some(fault) = plan.injected().iter().map(|f| f.order.name).find(lacks) else { return Ok(()) };
    let (lacked, runtime) = (fault.name(), name(runtime));
    Err(UserError::wrong(if of_rust {
        format!("the backend in Rust has no fault `{lacked}`; say --runtime node: the shop on Node.js has it")
    } else {
        format!(
            "--runtime {runtime}: that backend has no fault `{lacked}`; leave out --runtime: the Rust backend has it"
        )
    }))
}

/// What `remedy` comes to in the twin: the same as in the backend in Rust, where the twin has the same.
///
/// # Errors
/// Why it cannot be carried out.
pub fn held(remedy: &Remedy) -> Result<Held, String> {
    let held = backend::held(remedy)?;
    match held.hold {
        Hold::OffloadThreads(_) => Err(format!(
            "{remedy}: these runtimes make the threads of their offload pool once, and no more later"
        )),
        Hold::Cure(fault) if !knows(fault) => {
            Err(format!("{remedy} is the cure of {}, a fault that only the Rust backend has", fault.name()))
        }
        _ => Ok(held),
    }
}

/// The twin, ready to be started: its runtime is there, its packages are installed. It lacks the token.
///
/// # Errors
/// What was asked for that it cannot do, or what is missing.
pub fn command(args: &BackendArgs) -> anyhow::Result<Command> {
    if args.unwatched {
        return Err(UserError::wrong("--unwatched: the agent of the other runtimes cannot be switched off"));
    }
    let stores = [
        (DATABASE_VARIABLE, args.database.as_deref()),
        (CACHE_VARIABLE, args.cache.as_deref()),
        (BROKER_VARIABLE, args.broker.as_deref()),
    ];
    // Checked as for the shop in Rust; the twin takes them from the environment alone.
    backend::Stores::choose(stores[0].1, stores[1].1, stores[2].1).map_err(UserError::wrong)?;
    let folder = prepare(args.runtime)?;
    let mut command = Command::new(name(args.runtime));
    if args.runtime == Runtime::Deno {
        command.args(["run", "--allow-all"]);
    }
    command
        .arg(folder.join("main.js"))
        .args(["--listen", &args.listen.to_string(), "--control", &args.control.to_string()])
        .args(["--workers", &args.workers.to_string()])
        .args(["--cache-protection", &args.cache_protection])
        .envs(stores.into_iter().filter_map(|(variable, given)| Some((variable, given?))));
    if let Some(rows) = args.rows {
        command.args(["--rows", &rows.to_string()]);
    }
    if args.follow_stdin {
        command.arg("--follow-stdin");
    }
    Ok(command)
}

/// Becomes the twin: on success it never returns.
pub fn become_it(mut twin: Command, token: &str) -> anyhow::Error {
    let error = twin.env(TOKEN_VARIABLE, token).exec();
    not_started(&twin, error)
}

/// Starts the twin as a child and waits for its end, which it is told to come to as we are.
///
/// # Errors
/// If it cannot be started, or ends badly.
pub fn stand_by(mut twin: Command, token: &str, follows_stdin: bool) -> anyhow::Result<Outcome> {
    twin.env(TOKEN_VARIABLE, token);
    if !follows_stdin {
        // It ends when we do, however that comes; an interrupt is then ours to hear.
        twin.arg("--follow-stdin").stdin(Stdio::piped());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let program = twin.get_program().to_string_lossy().into_owned();
        let mut twin = tokio::process::Command::from(twin);
        let mut child = twin.spawn().map_err(|e| not_started(twin.as_std(), e))?;
        // Waiting would close it.
        let _word = child.stdin.take();
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                _ = terminate.recv() => end(&child),
                // Whoever holds the standard input decides what an interrupt means.
                _ = interrupt.recv() => if !follows_stdin { end(&child) },
            }
        };
        match status.code() {
            Some(0) => Ok(Outcome::Pass),
            // It has said why.
            Some(2) => Err(UserError::wrong(format!("the shop on `{program}` could not go on"))),
            _ => Err(anyhow::Error::msg(format!("the shop on `{program}` ended with {status}"))),
        }
    })
}

fn not_started(twin: &Command, error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot start {}", twin.get_program().to_string_lossy()))
}

/// It may have ended this very moment, and then has no id.
fn end(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        let _ = kill_process(id, Signal::TERM);
    }
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
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (major, minor) = oldest(runtime);
    match version(&said) {
        Some((found, numbers)) if numbers < (major, minor) => {
            let wanted = if minor == 0 { major.to_string() } else { format!("{major}.{minor}") };
            Err(UserError::wrong(format!("`{name}` is {found}: the shop wants {wanted} or later")))
        }
        _ => Ok(()),
    }
}

/// The version in what a runtime says of itself, with its major and minor number: `v20.11.1`, or `deno 2.9.6 (stable)`.
fn version(said: &str) -> Option<(&str, (u32, u32))> {
    said.lines().next()?.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.').map(str::parse::<u32>);
        Some((word, (numbers.next()?.ok()?, numbers.next()?.ok()?)))
    })
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
        fs::create_dir_all(parent).map_err(cannot("make the folder", parent))?;
        fs::write(&file, text).map_err(cannot("write", &file))?;
    }
    Ok(())
}

/// Installs the packages that the lock file names; what is said goes to our own messages.
fn install(runtime: Runtime, folder: &Path) -> anyhow::Result<()> {
    let (program, args) = installer(runtime);
    say(format_args!("dyno: installing the shop's packages once, with `{program} {}`", args.join(" ")));
    let done = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => Ok(()),
        // Ctrl-C in a terminal is for both of us.
        Ok(status) if is_interrupted(status) => {
            Err(UserError::interrupted("ended while the shop's packages were installed: nothing was run"))
        }
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
    fn a_version_is_found_in_what_each_runtime_says() {
        assert_eq!(version("v20.11.1\n"), Some(("v20.11.1", (20, 11))));
        assert_eq!(version("1.2.23\n"), Some(("1.2.23", (1, 2))));
        let deno = "deno 1.46.3 (stable, release, x86_64-unknown-linux-gnu)\nv8 12.9.202.5-rusty\n";
        assert_eq!(version(deno), Some(("1.46.3", (1, 46))));
        assert_eq!(version("built from source\n"), None);
        assert!((1, 46) < oldest(Runtime::Deno) && (1, 2) < oldest(Runtime::Bun));
        assert!((1, 3) >= oldest(Runtime::Bun) && (20, 0) >= oldest(Runtime::Node));
    }

    #[test]
    fn the_faults_that_it_has_are_those_that_its_files_declare() {
        for fault in FaultKind::ALL {
            let declared = format!("static kind = '{}';", fault.name());
            let has = FILES.iter().any(|(_, text)| text.contains(&declared));
            assert_eq!(knows(*fault), has, "{}", fault.name());
        }
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
