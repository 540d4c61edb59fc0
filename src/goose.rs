//! `dyno goose -- COMMAND`: somebody's own goose binary under the profiler, unmodified.
//!
//! Owns the binary's process and the end of the run. What its arguments mean is in `arguments`, how it is asked in
//! `controller`, and what its answers become on the timeline in `figures`.

mod arguments;
mod controller;
mod figures;
mod output;

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use dashboard::app::Capabilities;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use timeline::facts::{EndReason, PlanFacts, RunEnd, RunMeta};
use timeline::gate::Gate;
use timeline::recorder::{Finished, Handle, Options, Recorder};
use timeline::recording::FILE_NAME;
use timeline::snapshot::RunState;
use timeline::{MonoNs, RunClock};

use crate::ci::Ci;
use crate::cli::GooseArgs;
use crate::files::{cannot, make_folder, run_id};
use crate::outcome::{Outcome, UserError};
use crate::run::prepare::{check_terminal, host_facts};
use crate::run::{diagnose, finish, stop};
use crate::screen::Screen;
use crate::show::print;
use crate::sources::{Attach, Permission, Settled, Sources};
use arguments::Arguments;
use controller::Poller;
use output::Output;

/// How often the binary's end and a wish to end are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long goose may take to end its users after it was asked to; then it is killed.
const GRACE: Duration = Duration::from_secs(30);
/// There is no load of ours to change.
const CAPABILITIES: Capabilities = Capabilities { load: false, marker: false, report: false, replay: None };
/// Name of the scenario in reports, and of the file that holds what the binary said.
const LOG: &str = "goose.log";

/// How the binary ended.
struct Ended {
    status: Option<ExitStatus>,
    reason: EndReason,
}

/// Runs the command.
pub fn goose(args: GooseArgs) -> anyhow::Result<Outcome> {
    check_terminal(&args.look)?;
    let arguments = Arguments::read(&args.command).map_err(UserError::wrong)?;
    check(arguments.program())?;
    let ci = Ci::of(args.ci, false).map(|ci| ci.about(&arguments.target()));
    let gates = args.gate.iter().map(|g| Gate::parse(g)).collect::<Result<Vec<_>, _>>();
    let gates = gates.map_err(UserError::wrong)?;
    let mut attach = Attach::parse_all(&args.attach)?;
    if attach.is_empty() {
        attach.push(Attach::Auto);
    }
    let permission = Permission::of(args.yes, attach.iter().any(Attach::is_inspector), args.ci);
    let settled = Settled::of(&attach, &arguments.here(), permission)?;
    let unix_ms = timeline::clock::unix_ms();
    let run_id = run_id(unix_ms, 0);
    let folder = make_folder(args.out.as_deref(), &run_id)?;
    let stops = stop::listen()?;

    let clock = RunClock::start();
    let meta = meta(&args, &arguments, unix_ms, run_id);
    let options = Options {
        clock,
        meta,
        plan: PlanFacts::default(),
        gates,
        state: RunState::Running,
        diagnose: diagnose(),
    };
    let recording = folder.join(FILE_NAME);
    let recorder = Recorder::start(options, Some(&recording)).map_err(cannot("write", &recording))?;
    let handle = recorder.handle();
    let sources = Sources::attach(settled, &[], &handle)?;
    handle.attached(&sources.about());
    let screen = Screen::start(&args.look, ci, CAPABILITIES, handle.published())
        .map_err(|e| UserError::wrong(format!("the screen cannot begin: {e}")))?;

    let (mut child, output) = start(&arguments, &folder.join(LOG))?;
    let guard = Guard::of(&child).inspect_err(|_| signal(&child, Signal::KILL))?;
    let poller = Poller::start(arguments.controller(), output.heard(), handle.clone())?;
    let ended = wait(&mut child, &stops, &screen, &handle);
    drop(guard);
    let controller::Told { answers, mut notes } = poller.stop();
    let said = output.finish();
    handle.attached(&sources.about());
    notes.extend(sources.remarks());
    notes.extend(sources.end(|| stops.hurried(&screen)));
    notes.push(told(ended.status));
    let end = RunEnd { reason: ended.reason, at: clock.now(), notes };
    let finished = recorder.finish(end);
    screen.close();
    conclude(&finished, &folder, ci, &ended, &said, answers > 0)
}

fn meta(args: &GooseArgs, arguments: &Arguments, unix_ms: u64, run_id: String) -> RunMeta {
    RunMeta {
        run_id,
        dyno_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: unix_ms,
        command: "goose".to_owned(),
        scenario: arguments.name(),
        about: "goose applies the load; its times end at the answer's head: time to first byte".to_owned(),
        target: arguments.target(),
        gates: args.gate.clone(),
        host: host_facts(crate::cores::usable().len(), None),
        notes: arguments.notes(),
        ..RunMeta::default()
    }
}

/// Whose standard input ends with us: should we be killed, it ends what we have started. See [`guard`].
struct Guard(Child);

impl Guard {
    fn of(child: &Child) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["group-guard", &child.id().to_string()]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut word) = self.0.stdin.take() {
            let _ = word.write_all(b"."); // it may be gone
        }
        let _ = self.0.wait();
    }
}

/// Waits for a word that all is well; its end without one is the end of whoever should have said it, and of the `group`.
pub fn guard(group: i32, mut word: impl io::Read) {
    let mut said = Vec::new();
    let _ = word.read_to_end(&mut said);
    if let Some(group) = Pid::from_raw(group).filter(|_| said.is_empty()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// A program that is not there is met before observers are installed and a folder is made.
fn check(program: &Path) -> anyhow::Result<()> {
    let places: Vec<PathBuf> = if program.components().count() > 1 {
        vec![program.to_owned()]
    } else {
        // Without a search path the system has one of its own.
        let Some(path) = std::env::var_os("PATH") else { return Ok(()) };
        std::env::split_paths(&path).map(|folder| folder.join(program)).collect()
    };
    if places.iter().any(|place| place.is_file() && access(place, Access::EXEC_OK).is_ok()) {
        return Ok(());
    }
    let why = if places.iter().any(|place| place.exists()) { Errno::ACCESS } else { Errno::NOENT };
    Err(not_started(program, &why.into()))
}

fn not_started(program: &Path, error: &io::Error) -> anyhow::Error {
    UserError::wrong(format!("{} cannot be started: {error}", program.display()))
}

/// In a process group of its own: a Ctrl-C reaches us, and we pass it on once.
fn start(arguments: &Arguments, log: &Path) -> anyhow::Result<(Child, Output)> {
    let mut command = Command::new(arguments.program());
    command.args(arguments.passed()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| not_started(arguments.program(), &e))?;
    let output = Output::follow(child.stdout.take(), child.stderr.take(), log);
    match output {
        Ok(output) => Ok((child, output)),
        Err(e) => {
            signal(&child, Signal::KILL);
            let _ = child.wait();
            Err(UserError::wrong(format!("cannot write {}: {e}", log.display())))
        }
    }
}

fn wait(child: &mut Child, stops: &stop::Stops, screen: &Screen, handle: &Handle) -> Ended {
    let (mut passed, mut since) = (0, None);
    loop {
        match child.try_wait() {
            Ok(None) => {}
            // A script may have ended before those whom it started.
            Ok(Some(_)) if since.is_some() && has_others(child) => {}
            Ok(status) => return Ended { status, reason: reason(passed) },
            Err(_) => return Ended { status: None, reason: reason(passed) },
        }
        stops.hear(screen);
        if stops.asked() > passed {
            passed = stops.asked();
            handle.state(RunState::Draining);
            handle.log("an early end was asked for: goose is told to stop");
            signal(child, Signal::INT);
            since.get_or_insert_with(MonoNs::now);
        }
        if since.is_some_and(|s| MonoNs::now().since(s) > GRACE) {
            handle.log("goose has not ended in time and is killed");
            signal(child, Signal::KILL);
            since = None;
        }
        std::thread::sleep(LOOK);
    }
}

fn reason(asked: u32) -> EndReason {
    if asked > 0 { EndReason::Interrupted } else { EndReason::Completed }
}

fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Is anybody of its group left?
fn has_others(child: &Child) -> bool {
    group(child).is_some_and(|group| test_kill_process_group(group).is_ok())
}

/// To its whole group, as Ctrl-C in a terminal of its own would: what was started may be a script that starts goose.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = group(child) {
        // It may have ended this very moment.
        let _ = kill_process_group(group, signal);
    }
}

fn told(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match status.code() {
            Some(code) => format!("goose ended with exit code {code}"),
            None => format!("goose was ended from outside: {status}"),
        },
        None => "how goose ended could not be learned".to_owned(),
    }
}

/// Reports, summary, both verdicts: goose's failure is a failed run, whatever our gates say.
fn conclude(
    finished: &Finished,
    folder: &Path,
    ci: Option<Ci>,
    ended: &Ended,
    said: &[String],
    answered: bool,
) -> anyhow::Result<Outcome> {
    let outcome = finish::finish(finished, folder, ci, None)?;
    let well = ended.status.is_some_and(|s| s.success());
    let mut text = format!(
        "\n{}; dyno's verdict: {}; what goose said is in {}\n",
        told(ended.status),
        match outcome {
            Outcome::Pass => "pass",
            Outcome::GateFailed | Outcome::Regressed => "fail",
            Outcome::Invalid => "invalid",
            Outcome::Interrupted => "interrupted",
        },
        folder.join(LOG).display()
    );
    if !well {
        said.iter().for_each(|line| text += &format!("  goose: {line}\n"));
    }
    print(&ci.map_or_else(|| text.clone(), |ci| ci.text(&text)))?;
    if !answered && well && ended.reason == EndReason::Completed {
        return Err(UserError::wrong(controller::SILENT));
    }
    Ok(if outcome == Outcome::Pass && !well { Outcome::GateFailed } else { outcome })
}
