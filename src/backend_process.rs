//! The bundled backend as processes: serving it alone, and starting it as a run's child.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use backend::{BROKER_VARIABLE, CACHE_VARIABLE, DATABASE_VARIABLE};
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::NamedTempFile;
use timeline::MonoNs;

use crate::cli::{BackendArgs, Runtime};
use crate::files::cannot;
use crate::outcome::{Outcome, UserError, is_interrupted};
use crate::secret::{TOKEN_VARIABLE, leave_token, new_token};
use crate::show::say;
use crate::twin;

/// Environment variables that name stores on servers.
pub const STORES: [&str; 3] = [DATABASE_VARIABLE, CACHE_VARIABLE, BROKER_VARIABLE];
/// The backend fills its database and starts its workers in a second, with ten million rows within a minute or so.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// Its twin fills somebody else's database, and its runtime compiles as it goes: seconds, and more where cores are scarce.
const TWIN_START_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether somebody gave up waiting for it.
const LOOK: Duration = Duration::from_millis(50);
/// A backend that was asked to end is given this long before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// `dyno backend`
pub fn serve(args: BackendArgs) -> anyhow::Result<Outcome> {
    let given = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    if args.runtime != Runtime::Rust {
        return serve_twin(&args, given);
    }
    let (token, _file) = match given {
        Some(token) => (token, None),
        None => made_up_token().map(|(token, file)| (token, Some(file)))?,
    };
    let stores =
        backend::Stores::choose(args.database.as_deref(), args.cache.as_deref(), args.broker.as_deref());
    let options = backend::SupervisorOptions {
        stores: stores.map_err(UserError::wrong)?,
        shop: shop_settings(&args),
        listen: args.listen,
        control: args.control,
        workers: args.workers,
        worker_args: vec!["backend-worker".to_owned()],
        token,
        follow_stdin: args.follow_stdin,
    };
    backend::supervise(options).map_err(user_error)?;
    Ok(Outcome::Pass)
}

/// The twin in our place, or beside us where a token was made up: its file goes when we end.
fn serve_twin(args: &BackendArgs, given: Option<String>) -> anyhow::Result<Outcome> {
    let command = twin::command(args)?;
    match given {
        Some(token) => Err(twin::become_it(command, &token)),
        None => {
            let (token, _file) = made_up_token()?;
            twin::stand_by(command, &token, args.follow_stdin)
        }
    }
}

fn shop_settings(args: &BackendArgs) -> backend::ShopSettings {
    let mut shop = backend::ShopSettings::default();
    if let Some(rows) = args.rows {
        shop.history_rows = rows;
    }
    shop.watched = !args.unwatched;
    shop.cache.protection = match args.cache_protection.as_str() {
        "none" => backend::Protection::None,
        "lock" => backend::Protection::Lock,
        "xfetch" => backend::Protection::Xfetch,
        _ => backend::Protection::SingleFlight,
    };
    shop
}

/// `dyno backend-worker`
pub fn work() -> anyhow::Result<Outcome> {
    backend::work().map_err(user_error)?;
    Ok(Outcome::Pass)
}

fn user_error(error: backend::BackendError) -> anyhow::Error {
    match error {
        e @ backend::BackendError::PortTaken { .. } => {
            UserError::wrong(format!("{e}: choose another with --listen"))
        }
        e @ (backend::BackendError::Option(_) | backend::BackendError::Store { .. }) => UserError::wrong(e),
        e => e.into(),
    }
}

/// Nobody gave a token: one is made and left where only this user can read it, until the backend ends.
fn made_up_token() -> anyhow::Result<(String, NamedTempFile)> {
    let token = new_token().context("cannot make a token")?;
    let file =
        leave_token(&token).map_err(|e| UserError::wrong(format!("cannot write the token down: {e}")))?;
    say(format_args!(
        "dyno: the token of control and probe is in {} (or set {TOKEN_VARIABLE})",
        file.path().display()
    ));
    Ok((token, file))
}

/// What a started backend says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Base address of the shop.
    pub url: String,
    /// Base address of control and probe.
    pub probe: String,
    /// Its workers; the twin's are named in the same way.
    pub workers: Vec<ReadyWorker>,
}

/// A worker process of a started backend.
#[derive(Debug, Clone, Deserialize)]
pub struct ReadyWorker {
    /// `shop-0`; or `services`.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

#[derive(Deserialize)]
struct ReadyLine {
    ready: Ready,
}

/// A backend that this process started. Dropping it ends it.
pub struct Backend {
    child: Child,
    /// The backend ends when this is closed, so it cannot outlive us.
    stdin: Option<ChildStdin>,
    /// Where it listens.
    pub ready: Ready,
    /// Token of control and probe.
    pub token: String,
}

impl Backend {
    /// Starts `dyno backend` on free loopback ports; its messages go to `log`. It is waited for until `given_up`, where `start` gives a
    /// [`UserError::Interrupted`].
    pub fn start(
        workers: usize,
        runtime: Runtime,
        log: &Path,
        given_up: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        Self::start_with(workers, runtime, &[], log, given_up)
    }

    /// The same, with further options of `dyno backend`.
    pub fn start_with(
        workers: usize,
        runtime: Runtime,
        options: &[&str],
        log: &Path,
        given_up: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        if runtime != Runtime::Rust {
            // Here and not in the child, which must be ready soon: the first time this installs packages.
            twin::prepare(runtime)?;
        }
        let token = new_token().context("cannot make a token")?;
        let log_file = File::create(log).map_err(cannot("write", log))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["backend", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--follow-stdin"])
            .args(["--workers", &workers.to_string()])
            .args(["--runtime", twin::name(runtime)])
            .args(options)
            .env(TOKEN_VARIABLE, &token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .context("cannot start the bundled backend")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked for");
        let patience = if runtime == Runtime::Rust { START_PATIENCE } else { TWIN_START_PATIENCE };
        match first_line(stdout, patience, &given_up) {
            Some(line) => {
                let ready = serde_json::from_str::<ReadyLine>(&line)
                    .with_context(|| format!("the backend said {line:?} instead of where it listens"))?
                    .ready;
                Ok(Self { child, stdin, ready, token })
            }
            None => {
                drop(stdin);
                let stopped = given_up();
                if stopped {
                    end(&mut child);
                } else {
                    let _ = child.kill();
                }
                let status = child.wait().ok();
                // Ctrl-C in a terminal is for both of us, and it may be the first to hear it: then it ends in order, or by the signal.
                let asked = |s: ExitStatus| {
                    s.success() || is_interrupted(s) || s.signal() == Some(Signal::TERM.as_raw())
                };
                if stopped || status.is_some_and(asked) {
                    return Err(UserError::interrupted(
                        "ended while the bundled backend was starting: nothing was run",
                    ));
                }
                let ended = status.and_then(|status| status.code());
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let why = format!("the bundled backend did not start; it said: {}", said.trim());
                // What it was given, by option or by environment, or what a runtime lacks, is for whoever started us to mend.
                let theirs = ended == Some(2) || runtime != Runtime::Rust;
                Err(if theirs { UserError::wrong(why) } else { anyhow::Error::msg(why) })
            }
        }
    }

    /// Its supervisor's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Waits for a child that was asked to end, and kills it where it takes too long.
fn end(child: &mut Child) {
    let step = Duration::from_millis(20);
    let ended = (0..END_PATIENCE.as_millis() / step.as_millis()).any(|_| {
        let ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if !ended {
            std::thread::sleep(step);
        }
        ended
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stdin.take());
        end(&mut self.child);
    }
}

/// The first line of a child's output, if it comes in time and before somebody has `given_up`. The rest is read and forgotten, so that
/// the child can never block on a full pipe.
fn first_line(
    output: impl std::io::Read + Send + 'static,
    patience: Duration,
    given_up: impl Fn() -> bool,
) -> Option<String> {
    let (send, receive) = sync_channel(1);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        if let Some(line) = lines.next() {
            let _ = send.try_send(line);
        }
        drop(send);
        lines.for_each(drop);
    });
    let begin = MonoNs::now();
    loop {
        match receive.recv_timeout(LOOK) {
            Ok(line) => return Some(line),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if given_up() || MonoNs::now().since(begin) >= patience => {
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
