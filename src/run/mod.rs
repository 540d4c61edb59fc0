//! `dyno run`: names the parts in the order in which data flows, and ends them in the other order.

pub mod finish;
mod interim;
mod load;
pub mod prepare;
mod profile;
pub mod stop;
#[cfg(test)]
pub mod testing;
pub mod truth;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dashboard::app::Capabilities;
use loadgen::{CoordinatorOptions, Crew, LoadError, Resources, Sizing};
use profiler::Diagnosis;
use scenarios::plan::{BaseUrl, Target};
use timeline::facts::RunEnd;
use timeline::recorder::{Diagnose, Finished, Handle, Options, Recorder};
use timeline::recording::FILE_NAME;
use timeline::snapshot::RunState;
use timeline::text::plural;
use timeline::{MonoNs, Remedy, RunClock, RunTime};

use crate::backend_process::Backend;
use crate::ci::Ci;
use crate::cli::{RunArgs, Runtime};
use crate::cores::{self, Split};
use crate::files::{cannot, make_folder};
use crate::live::{self, Exports};
use crate::outcome::{Outcome, UserError, error_code};
use crate::screen::Screen;
use crate::serve::Door;
use crate::sources::{Attach, Located, Permission, Settled, Sources};
use crate::twin;
use interim::Interim;
use prepare::Job;
use stop::Stops;
use truth::{Control, Injector};

/// Worker processes of the bundled backend unless told otherwise: enough to be a cluster.
const BACKEND_WORKERS: usize = 2;
/// More than this are not started unasked: the plan is then refused, as one that needs more descriptors.
const MOST_BACKEND_WORKERS: usize = 16;
/// What the bundled backend has to say, in the run's folder.
const BACKEND_LOG: &str = "backend.log";
/// From the beginning of the recording to the run's first instant: the screen stands, and the sources have been attached.
const LEAD: Duration = Duration::from_millis(500);
/// What the dashboard may ask of a run.
const CAPABILITIES: Capabilities = Capabilities { load: true, marker: true, report: true, replay: None };
/// With fewer descriptors not even the pipes, sockets and files of a small run fit.
const FEWEST_DESCRIPTORS: u64 = 128;
/// How long the target may take to accept a first connection.
const REACH: Duration = Duration::from_secs(3);

/// Runs the command.
pub fn run(args: RunArgs) -> anyhow::Result<Outcome> {
    let (finished, folder) = carry_out(&args, &[])?;
    finish::finish(&finished, &folder, Ci::of(args.ci, args.ci_open), args.scenario.as_deref())
}

/// A run and its folder, with the recording in it. The bundled backend holds `remedies` from before the load on.
pub fn carry_out(args: &RunArgs, remedies: &[Remedy]) -> anyhow::Result<(Finished, PathBuf)> {
    // What is wrong with scenario and flags is said in their own words: who reads that has them.
    let job = prepare::prepare(args)?;
    twin::check_faults(args.runtime, &job.plan)?;
    if !remedies.is_empty() && (job.plan.target != Target::Bundled || !job.attach.is_empty()) {
        return Err(UserError::wrong(
            "settings can be held on the bundled backend alone, with nothing attached",
        ));
    }
    perform(&job, args, remedies).map_err(|e| match Ci::of(args.ci, args.ci_open) {
        Some(ci) => match &job.plan.target {
            Target::Url(url) => ci.about(&url.to_string()).error(e),
            Target::Bundled => ci.error(e),
        },
        None => e,
    })
}

fn perform(job: &Job, args: &RunArgs, remedies: &[Remedy]) -> anyhow::Result<(Finished, PathBuf)> {
    live::check_otlp(args.otlp.as_deref())?;
    let bundled = job.plan.target == Target::Bundled;
    let (sizing, workers) = size(job, args)?;
    let door = Door::open(&args.serve)?;
    let page = args.metrics_listen.map(live::listen).transpose()?;
    let is_ours = args.out.as_deref().is_none_or(|out| !out.exists());
    let folder = make_folder(args.out.as_deref(), &job.run_id)?;
    let all_cores = cores::usable();
    let split = cores::split(&all_cores).filter(|_| bundled);
    // With somebody else's target, Ctrl-C ends us at the question whether to look inside, and is listened for after it.
    let stops = bundled.then(stop::listen).transpose()?;
    let clean_up = |e: &anyhow::Error| {
        if error_code(e) == Outcome::Interrupted.code() {
            leave_nothing(&folder, is_ours);
        }
    };
    let started = stops.as_ref().map(|stops| start_backend(args, workers, split.as_ref(), &folder, stops));
    let backend = started.transpose().inspect_err(&clean_up)?;
    if let Some(split) = &split {
        cores::keep_to(&split.generator);
    }
    let url = match (&job.plan.target, &backend) {
        (Target::Url(url), _) => url.clone(),
        (Target::Bundled, Some(b)) => scenarios::base_url(&b.ready.url).map_err(UserError::wrong)?,
        (Target::Bundled, None) => unreachable!("a bundled target was started"),
    };
    let ran = Runner {
        job,
        args,
        remedies,
        sizing,
        folder: &folder,
        backend: backend.as_ref(),
        cores: all_cores.len(),
        split,
        url,
        stops,
    };
    let finished = ran.run(door, page);
    drop(backend);
    let finished = finished.inspect_err(clean_up)?;
    Ok((finished, folder))
}

/// `dyno load-worker`
pub fn load_worker() -> anyhow::Result<Outcome> {
    loadgen::worker_main()?;
    Ok(Outcome::Pass)
}

/// The detectors, as a recorder runs them.
pub fn diagnose() -> Diagnose {
    let mut diagnosis = Diagnosis::new();
    Box::new(move |timeline, at| {
        diagnosis.tick(timeline, at);
        diagnosis.findings().to_vec()
    })
}

/// How many load workers, and why, and how many of the bundled backend; refused here if the machine's limits cannot carry the plan.
fn size(job: &Job, args: &RunArgs) -> anyhow::Result<(Sizing, usize)> {
    let resources = Resources::of_host(None);
    let mut sizing = loadgen::workers_needed(&job.plan, &resources);
    let usable = loadgen::sizing::usable(resources.descriptors);
    let bundled = job.plan.target == Target::Bundled;
    let backends = if bundled { backend_workers(args, sizing.connections, usable) } else { 1 };
    if bundled && backends > BACKEND_WORKERS && args.workers.is_none() {
        sizing
            .why
            .push(format!("{backends} backend workers by descriptors: {usable} connections in each at most"));
    }
    // Somebody else's server may have other limits; of our own we know that it inherits ours.
    let each = sizing.connections.div_ceil(backends as u64);
    if resources.descriptors < FEWEST_DESCRIPTORS || (bundled && each > usable) {
        return Err(UserError::wrong(format!(
            "too few file descriptors: the limit is {} for each process, and {} connections over {} need \
             {} in each; raise it (ulimit -n) or give more --workers",
            resources.descriptors,
            sizing.connections,
            plural(backends, "backend worker"),
            each + resources.descriptors.saturating_sub(usable).max(FEWEST_DESCRIPTORS),
        )));
    }
    if let Some(workers) = args.load_workers {
        sizing.workers = workers;
        sizing.why.push(format!("{workers} load workers were asked for"));
    }
    Ok((sizing, backends))
}

/// As many as were asked for; else enough for the descriptors of `connections`.
fn backend_workers(args: &RunArgs, connections: u64, usable: u64) -> usize {
    let needed = connections.div_ceil(usable.max(1)) as usize;
    args.workers.unwrap_or_else(|| BACKEND_WORKERS.max(needed).min(MOST_BACKEND_WORKERS))
}

/// Children inherit the cores of whoever starts them. Node.js compiles three processes' modules as it starts, and may use all cores for that: it does not count
/// them, as other runtimes do for the threads that they have later on.
fn start_backend(
    args: &RunArgs,
    workers: usize,
    split: Option<&Split>,
    folder: &Path,
    stops: &Stops,
) -> anyhow::Result<Backend> {
    let starts_everywhere = args.runtime == Runtime::Node;
    if let Some(split) = split.filter(|_| !starts_everywhere) {
        cores::keep_to(&split.target);
    }
    // It takes seconds, and much longer where packages are installed for it, or many rows are asked for.
    crate::screen::announce_backend(&args.look);
    let log = folder.join(BACKEND_LOG);
    let backend = Backend::start(workers, args.runtime, &log, || stops.asked() > 0)?;
    if let Some(split) = split.filter(|_| starts_everywhere) {
        let workers = backend.ready.workers.iter().map(|w| w.pid);
        cores::keep_processes_to(&workers.chain([backend.pid()]).collect::<Vec<_>>(), &split.target);
    }
    Ok(backend)
}

/// Of a run that never began: the same `--out` can be given again.
fn leave_nothing(folder: &Path, is_ours: bool) {
    // Whatever else is in the folder keeps it, and nothing depends on its going.
    let _ = std::fs::remove_file(folder.join(BACKEND_LOG));
    if is_ours {
        let _ = std::fs::remove_dir(folder);
    }
}

/// A run whose target stands.
struct Runner<'a> {
    job: &'a Job,
    args: &'a RunArgs,
    remedies: &'a [Remedy],
    sizing: Sizing,
    folder: &'a Path,
    backend: Option<&'a Backend>,
    /// Of this machine, before they were shared out.
    cores: usize,
    split: Option<Split>,
    url: BaseUrl,
    /// Where they are listened for already.
    stops: Option<Stops>,
}

impl Runner<'_> {
    fn run(self, door: Option<Door>, page: Option<TcpListener>) -> anyhow::Result<Finished> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(loadgen::reach(&self.url, &self.job.plan.transport, REACH)).map_err(load_error)?;
        let settled = self.settle()?;
        let held = self.hold_remedies()?;
        let crew = runtime.block_on(Crew::hire(self.load_options()?)).map_err(load_error)?;
        // Up to here there is nothing to bring to an end: Ctrl-C ends us, also at the question whether to look inside. Where it is listened for
        // already it has been heard by now.
        if self.stops.as_ref().is_some_and(|stops| stops.asked() > 0) {
            return Err(UserError::interrupted("stopped before the run began"));
        }
        let stops = self.stops.clone().map_or_else(stop::listen, Ok)?;

        let clock = RunClock::with_origin(MonoNs(MonoNs::now().0 + LEAD.as_nanos() as u64));
        let recording = self.folder.join(FILE_NAME);
        let recorder = Recorder::start(self.recorder_options(clock, held), Some(&recording))
            .map_err(cannot("write", &recording))?;
        let handle = recorder.handle();
        let serving = door.map(|door| door.serve(self.folder, &handle)).transpose()?;
        if let Some(serving) = &serving {
            crate::screen::announce(&self.args.look, serving.about());
        }
        let ci = Ci::of(self.args.ci, self.args.ci_open).map(|ci| ci.about(&self.url.to_string()));
        let section = ci.map(|ci| ci.begin(&format!("dyno: {}", self.job.plan.name)));
        let screen = Screen::start(&self.args.look, ci, CAPABILITIES, handle.published())
            .map_err(|e| UserError::wrong(format!("the screen cannot begin: {e}")))?;
        let exports = Exports::start(page, self.args.otlp.as_deref(), &handle)?;
        // Before the first start, so that whoever looks on can still end a run that is not what was meant.
        self.job.notes.iter().chain(&self.sizing.why).for_each(|line| handle.log(line));

        let profiles = self
            .args
            .profile
            .map(|seconds| {
                let length = RunTime(self.job.plan.length_ns());
                profile::Profiles::start(seconds, length, &self.attached(), &handle)
            })
            .transpose()?;
        let sources = Sources::attach(settled, &self.job.plan.metrics, &handle)?;
        handle.attached(&sources.about());
        let interim = Interim::new(self.folder, ci.is_some_and(Ci::is_discreet), &handle);

        let mut ended = runtime.block_on(async {
            let coordinator = crew.begin(clock).await;
            let injector = self.injector(&handle)?;
            handle.state(RunState::Running);
            let secrets = self.secrets();
            let wishes = load::Wishes {
                handle: &handle,
                screen: &screen,
                stops: &stops,
                patience: &self.job.patience,
                report_now: &|| interim.begin(),
                planned_end: RunTime(self.job.plan.length_ns()),
                secrets: &secrets,
            };
            let mut ended = load::drive(coordinator, &self.job.plan, &wishes).await;
            if let Some(injector) = injector {
                ended.notes.extend(injector.finish(self.folder, || stops.hurried(&screen)));
            }
            anyhow::Ok(ended)
        })?;

        sources.keep_profile(clock.origin(), &handle);
        handle.attached(&sources.about());
        ended.notes.extend(sources.remarks());
        if let Some(profiles) = profiles {
            profiles.end(|| stops.hurried(&screen));
        }
        interim.end(|| stops.hurried(&screen));
        ended.notes.extend(sources.end(|| stops.hurried(&screen)));
        let end = RunEnd { reason: ended.reason, at: clock.now(), notes: ended.notes };
        let finished = recorder.finish(end);
        drop(serving); // watchers get the end, too
        drop(exports);
        screen.close();
        drop(section);
        Ok(finished)
    }

    /// What was asked for, and the agent of a bundled backend.
    fn attached(&self) -> Vec<Attach> {
        let mut attach = self.job.attach.clone();
        // An inspector that is asked for by name stands in for the bundled backend's agent: both would count the same things twice.
        let inspected = attach.iter().any(Attach::is_inspector);
        if inspected && self.backend.is_some() && !attach.contains(&Attach::Process) {
            attach.push(Attach::Process);
        }
        let alone = inspected || attach.contains(&Attach::Nothing);
        attach.extend(
            self.backend
                .filter(|_| !alone)
                .map(|b| Attach::Agent { url: b.ready.probe.clone(), token: b.token.clone() }),
        );
        attach
    }

    fn settle(&self) -> anyhow::Result<Settled> {
        let attach = self.attached();
        // A scenario is somebody else's word.
        let named = !self.args.attach.is_empty() && attach.iter().any(Attach::is_inspector);
        let permission = Permission::of(self.args.yes, named, self.args.ci);
        let mut settled = Settled::of(&attach, &Located::at(&self.url, &self.job.plan.metrics), permission)?;
        if attach.iter().any(|a| matches!(a, Attach::Agent { .. })) && self.backend.is_some() {
            settled.offer(&backend::Stores::choose(None, None, None).map_err(UserError::wrong)?);
        }
        Ok(settled)
    }

    /// Values from the command line and the environment, of a length that is nobody's accident.
    fn secrets(&self) -> Vec<String> {
        let given = self.args.vars.env.iter().map(|(_, value)| value.clone());
        let around = std::env::vars_os().filter_map(|(_, value)| value.into_string().ok());
        given.filter(|v| v.len() >= 3).chain(around.filter(|v| v.len() >= 6)).collect()
    }

    fn load_options(&self) -> anyhow::Result<CoordinatorOptions> {
        Ok(CoordinatorOptions {
            plan: self.job.plan.clone(),
            url: self.url.clone(),
            worker_exe: std::env::current_exe()?,
            worker_args: vec!["load-worker".to_owned()],
            workers: self.sizing.workers,
            cpus: None, // this process keeps to the generator's cores already, and workers inherit that
        })
    }

    /// Says of each what it means, for the notes of the run.
    fn hold_remedies(&self) -> anyhow::Result<Vec<String>> {
        let Some(backend) = self.backend else { return Ok(Vec::new()) };
        let control = Control::new(&backend.ready.probe, &backend.token);
        let hold = |remedy: &Remedy| {
            let held = match self.args.runtime {
                Runtime::Rust => control.hold(remedy)?,
                Runtime::Node | Runtime::Deno | Runtime::Bun => {
                    let held = twin::held(remedy).map_err(UserError::wrong)?;
                    control.hold_in_twin(&held.hold)?;
                    held
                }
            };
            Ok(format!("held: {remedy}: {}", held.how))
        };
        self.remedies.iter().map(hold).collect()
    }

    fn recorder_options(&self, clock: RunClock, held: Vec<String>) -> Options {
        let host = prepare::host_facts(self.cores, self.split.as_ref().map(Split::describe));
        let notes = self.job.notes.iter().chain(&self.sizing.why).cloned().chain(held).collect();
        let meta = self.job.meta(&self.url, self.sizing.workers, notes, host);
        Options {
            clock,
            meta,
            plan: self.job.plan.facts(),
            gates: self.job.gates.clone(),
            state: RunState::Starting,
            diagnose: diagnose(),
        }
    }

    fn injector(&self, handle: &Handle) -> anyhow::Result<Option<Injector>> {
        let Some(backend) = self.backend else { return Ok(None) };
        let control = Control::new(&backend.ready.probe, &backend.token);
        Injector::start(&self.job.plan, control, handle).map(Some)
    }
}

fn load_error(error: LoadError) -> anyhow::Error {
    match error {
        e @ LoadError::Unreachable { .. } => UserError::unreachable(e),
        e @ (LoadError::Source { .. } | LoadError::Journey(_) | LoadError::Tls(_)) => UserError::wrong(e),
        e => e.into(),
    }
}
