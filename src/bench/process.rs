//! The processes of a bench: targets that share a port, and the client under measurement. None outlives it.
//!
//! Owns starting, counting, waiting and ending. Targets get one half of the cores and every client, ours and a peer alike,
//! the other half, as target and generator do in a bundled run: what is compared is what a client costs, and the scheduler
//! moving the two sides about would be noise on top. A machine with one core has no halves; there all share it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use timeline::MonoNs;

use super::target::Counts;
use crate::cli::TargetKind;
use crate::cores::{self, Split};
use crate::family::family;
use crate::run::stop::Stops;

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a client may take to end by itself; a `dyno run` writes its reports meanwhile.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Connections that are closed in a second, at least: both sides and the kernel have two cores between them.
const CLOSED_PER_S: u64 = 5_000;

/// Somebody asked for the end.
#[derive(Debug, thiserror::Error)]
#[error("ended early")]
pub struct Interrupted;

/// Where processes run, and who may end them early.
pub struct Place<'a> {
    /// The two halves of the cores; none: they are shared.
    pub split: Option<Split>,
    /// Ctrl-C.
    pub stops: &'a Stops,
    /// For what they write.
    pub scratch: &'a Path,
}

impl Place<'_> {
    /// Cores that a client may use.
    pub fn client_cores(&self) -> usize {
        self.split.as_ref().map_or_else(|| cores::usable().len().max(1), |s| s.generator.len())
    }

    /// As a person reads it.
    pub fn describe(&self) -> String {
        self.split.as_ref().map_or_else(
            || "target and clients share the cores".to_owned(),
            |s| format!("{}, alike for all clients", s.describe()),
        )
    }

    /// Starts `command` on its half of the cores.
    fn spawn(&self, command: &mut Command, of: fn(&Split) -> &Vec<usize>) -> std::io::Result<Child> {
        self.keep_to(of);
        command.spawn()
    }

    /// What is started from now on has this half of the cores: a child inherits those of the thread that starts it.
    pub fn keep_to(&self, of: fn(&Split) -> &Vec<usize>) {
        if let Some(split) = &self.split {
            cores::keep_to(of(split));
        }
    }

    /// Waits; cut short by Ctrl-C.
    pub fn nap(&self, length: Duration) -> Result<(), Interrupted> {
        self.wait_for(length, || Some(false)).map(drop)
    }

    /// Waits until `what` is true, at most for `patience`; says whether it was. `None` ends the waiting.
    pub fn wait_for(
        &self,
        patience: Duration,
        mut what: impl FnMut() -> Option<bool>,
    ) -> Result<bool, Interrupted> {
        let since = MonoNs::now();
        loop {
            if self.stops.asked() > 0 {
                return Err(Interrupted);
            }
            match what() {
                Some(true) => return Ok(true),
                Some(false) if MonoNs::now().since(since) < patience => {
                    let left = patience.saturating_sub(MonoNs::now().since(since));
                    std::thread::sleep(LOOK.min(left));
                }
                _ => return Ok(false),
            }
        }
    }
}

/// Targets that share a port.
pub struct Targets {
    all: Vec<Target>,
    /// Where they listen.
    pub port: u16,
}

struct Target {
    child: Child,
    asked: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl Targets {
    /// Starts so many.
    pub fn start(place: &Place<'_>, processes: usize, kind: TargetKind) -> anyhow::Result<Self> {
        let mut targets = Self { all: Vec::with_capacity(processes), port: 0 };
        for _ in 0..processes.max(1) {
            let mut command = Command::new(std::env::current_exe()?);
            let kind = kind.to_possible_value().expect("no kind is hidden");
            command.args(["bench-target", "--kind", kind.get_name(), "--port", &targets.port.to_string()]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = place.spawn(&mut command, |s| &s.target).context("a target cannot be started")?;
            let asked = child.stdin.take();
            let told = BufReader::new(child.stdout.take().expect("it was asked for"));
            let mut target = Target { child, asked, told };
            let counts = target.read();
            targets.all.push(target);
            targets.port = counts?.port;
        }
        Ok(targets)
    }

    /// What all of them have done together.
    pub fn counts(&mut self) -> anyhow::Result<Counts> {
        let mut sum = Counts { port: self.port, ..Counts::default() };
        for target in &mut self.all {
            if let Some(asked) = &mut target.asked {
                asked.write_all(b"\n")?;
            }
            let counts = target.read()?;
            sum.requests += counts.requests;
            sum.messages += counts.messages;
            sum.open += counts.open;
        }
        Ok(sum)
    }

    /// Their processes.
    pub fn pids(&self) -> Vec<u32> {
        self.all.iter().map(|t| t.child.id()).collect()
    }
}

impl Target {
    fn read(&mut self) -> anyhow::Result<Counts> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        serde_json::from_str(&line).context("a target has ended")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.asked.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a client is started, and ended.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Who it is.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// What it is told.
    pub args: Vec<OsString>,
    /// Variables of its environment.
    pub env: Vec<(&'static str, String)>,
    /// Where ours writes its reports; a peer has none, and is killed.
    pub folder: Option<PathBuf>,
}

/// A client that runs.
pub struct Client {
    child: Child,
    name: String,
    log: PathBuf,
    gentle: bool,
    /// How long its end is waited for.
    patience: Duration,
}

impl Client {
    /// Starts one.
    pub fn start(place: &Place<'_>, recipe: &Recipe) -> anyhow::Result<Self> {
        let log = place.scratch.join("client.log");
        let mut command = Command::new(&recipe.program);
        command.args(&recipe.args).envs(recipe.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = place
            .spawn(&mut command, |s| &s.generator)
            .with_context(|| format!("{} cannot be started", recipe.name))?;
        Ok(Self {
            child,
            name: recipe.name.clone(),
            log,
            gentle: recipe.folder.is_some(),
            patience: END_PATIENCE,
        })
    }

    /// It holds so many connections, which it closes one by one before it ends.
    pub fn holding(mut self, connections: u64) -> Self {
        self.patience += Duration::from_secs(connections / CLOSED_PER_S);
        self
    }

    /// It, and the processes that it has started.
    pub fn family(&self) -> Vec<u32> {
        family(self.child.id())
    }

    /// Who it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// An error that says how it ended, in its own words.
    pub fn gone(&mut self) -> anyhow::Error {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = timeline::text::clean(said.trim().lines().last().unwrap_or("it said nothing"), 200);
        let how = self.child.try_wait().ok().flatten().map(|status| status.to_string()).unwrap_or_default();
        anyhow::anyhow!("{} ended before its time ({how}): {last}", self.name)
    }

    /// Ends it: ours is asked to, so that it writes its reports; a peer has nothing that is wanted.
    pub fn end(mut self, place: &Place<'_>) -> anyhow::Result<()> {
        if self.gentle {
            interrupt(self.child.id());
            if !place.wait_for(self.patience, || Some(self.has_ended()))? {
                bail!("{} does not end", self.name);
            }
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Once it has ended, its number may be another's.
        let children = if self.has_ended() { Vec::new() } else { self.family().split_off(1) };
        // Ours die with their parent; of a peer's nothing is known.
        children.into_iter().for_each(|pid| signal(pid, rustix::process::Signal::KILL));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interrupt(pid: u32) {
    signal(pid, rustix::process::Signal::INT);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, signal);
    }
}
