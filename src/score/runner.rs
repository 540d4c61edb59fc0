//! Running one case: a `dyno run` of its own, so that nothing that happens to it happens to the score.
//!
//! Owns the child, its time limit, its repetition where it measured itself badly, and the noisy neighbour.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use reports::Verdict;
use timeline::{FindingKind, MonoNs};

use super::case::{Case, End, Found, Seen};
use super::{scenario, truth};
use crate::backend_process::STORES;
use crate::run::stop::Stops;

/// How often an invalid run is repeated.
const REPEATS: u32 = 2;
/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Most that a run may take: its plan, twice, and a minute to start and to write its reports.
const PATIENCE: Duration = Duration::from_secs(120);
/// The neighbour works for so long and rests for as long: half a core, in bursts that a scheduler cannot hide.
const BURST: Duration = Duration::from_millis(60);

/// Somebody asked for the end.
#[derive(Debug, thiserror::Error)]
#[error("ended early")]
pub struct Interrupted;

/// Runs a case in `folder`, which it makes, again where it was invalid; its scenario lies beside as `folder.toml`.
pub fn run(case: &Case, folder: &Path, stops: &Stops) -> anyhow::Result<Seen> {
    let file = folder.with_extension("toml");
    std::fs::write(&file, scenario::text(case)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = dyno_run(&file.to_string_lossy(), folder)?;
    command.args(["--runtime", &case.runtime]);
    for variable in STORES.iter().filter(|v| !case.stores.iter().any(|s| s == **v)) {
        command.env_remove(variable);
    }
    let is_its_end = case.condition() == Some(FindingKind::GeneratorLimited);
    let _neighbour = case.neighbour.then(Neighbour::start).transpose()?;
    until_valid(&mut command, folder, is_its_end, stops)
}

/// A `dyno run` of a scenario, with nothing to see.
pub fn dyno_run(scenario: &str, folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", scenario, "--ci", "--yes", "--ui", "none", "--out"]).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Runs `command` until a run is not invalid (or `invalid_is_fine`), a few times at most; tells of the last one.
pub fn until_valid(
    command: &mut Command,
    folder: &Path,
    invalid_is_fine: bool,
    stops: &Stops,
) -> anyhow::Result<Seen> {
    let log = folder.with_extension("log");
    let mut runs = 0;
    loop {
        clear(folder)?;
        runs += 1;
        let ended = wait(command.stderr(File::create(&log)?), stops)?;
        let mut seen = read(folder, runs)?;
        if seen.end == End::Broken && seen.why.is_empty() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let last = timeline::text::clean(said.trim().lines().last().unwrap_or("it said nothing"), 200);
            seen.why = format!("{ended}: {last}");
        }
        if seen.end != End::Invalid || invalid_is_fine || runs > REPEATS {
            return Ok(seen);
        }
    }
}

/// Removes what an earlier run left there.
pub fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot clear {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What a finished run says of itself; how one ended that left no summary is for its caller to say.
fn read(folder: &Path, runs: u32) -> anyhow::Result<Seen> {
    let truth = truth::read(folder)?;
    let Some(summary) = summary(folder) else {
        let truth = truth.unwrap_or_default();
        return Ok(Seen { end: End::Broken, why: String::new(), runs, findings: Vec::new(), truth });
    };
    let findings = summary.findings.iter().map(|told| Found::from(&told.finding)).collect();
    let (end, why) = match (&truth, summary.verdict) {
        (None, _) => (End::Broken, truth::UNKNOWN.to_owned()),
        (_, Verdict::Invalid) => (End::Invalid, summary.verdict_reason),
        _ => (End::Valid, String::new()),
    };
    Ok(Seen { end, why, runs, findings, truth: truth.unwrap_or_default() })
}

fn summary(folder: &Path) -> Option<reports::Summary> {
    let text = std::fs::read_to_string(folder.join("summary.json")).ok()?;
    serde_json::from_str(&text).ok()
}

/// Runs a child to its end, and says how it ended.
fn wait(command: &mut Command, stops: &Stops) -> anyhow::Result<String> {
    let mut child = Running(command.spawn().context("dyno cannot be started")?);
    let since = MonoNs::now();
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(status.to_string());
        }
        if stops.asked() > 0 {
            return Err(Interrupted.into());
        }
        if MonoNs::now().since(since) > PATIENCE {
            return Ok(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// A child that ends with whoever waits for it; its own children end with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A thread that burns CPU beside a run: to a run, which is other processes, a neighbour on the machine.
struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbour {
    fn start() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("neighbour".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let since = MonoNs::now();
                while MonoNs::now().since(since) < BURST {
                    std::hint::spin_loop();
                }
                std::thread::sleep(BURST);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it cannot panic
        }
    }
}

/// Where a case's run lies until it is judged: in a folder that only one score uses at a time.
pub fn folder(out: &Path, number: u32) -> PathBuf {
    out.join("cases").join(format!("case-{number:04}"))
}
