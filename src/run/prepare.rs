//! From the command line to what a run needs, before anything is started or written.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::time::Duration;

use scenarios::plan::{BaseUrl, Phase, RunPlan, Target, Timer};
use scenarios::{Overrides, Quick, ScenarioError};
use timeline::RunTime;
use timeline::facts::{Again, RunMeta};
use timeline::gate::Gate;
use timeline::metric::Mapping;
use timeline::text::{clean, plural};

use crate::backend_process::STORES;
use crate::cli::{LoadArgs, Look, RunArgs, Ui};
use crate::files::run_id;
use crate::outcome::UserError;
use crate::sources::Attach;

/// What is run when nothing is named.
const DEFAULT_SCENARIO: &str = "flash-sale";

/// Variable of the environment that says with how many rows of past orders the bundled backend begins.
const ROWS: &str = "DYNO_ROWS";

/// Characters of the load's flags that a note repeats: a thousand stages can be given.
const FLAGS_TOLD: usize = 200;

/// Everything that is fixed before a run begins.
pub struct Job {
    /// What is done.
    pub plan: RunPlan,
    /// The scenario's text, for the recording.
    pub text: String,
    /// Gates in the plan's order.
    pub gates: Vec<Gate>,
    /// How long each gate may fail before the run is ended; none for as long as it takes.
    pub patience: Vec<Option<Duration>>,
    /// What to attach; the bundled backend's agent comes to it, unless it is nothing.
    pub attach: Vec<Attach>,
    /// When it was prepared.
    pub unix_ms: u64,
    /// Its identity.
    pub run_id: String,
    /// How the same can be run again.
    pub again: Again,
    /// What is not as the scenario has it, a sentence each, for the notes of the run.
    pub notes: Vec<String>,
}

/// Reads scenario and flags; every mistake in them is found here.
pub fn prepare(args: &RunArgs) -> anyhow::Result<Job> {
    check_terminal(&args.look)?;
    let (mut plan, text, note) = match &args.url {
        Some(url) => {
            if let Some((name, _)) = args.vars.env.first() {
                let why = format!("-e {name}: --url has no variables; expected a scenario that takes it");
                return Err(UserError::wrong(why));
            }
            let quick = Quick {
                url: url.clone(),
                load: (&args.load).into(),
                method: args.method.clone(),
                body: args.body.clone(),
                headers: args.header.clone(),
                http: args.http.clone(),
                metrics: mappings(args.metrics.as_deref())?,
                seed: args.seed,
                gates: args.gate.clone(),
            };
            (scenarios::quick(&quick).map_err(UserError::wrong)?, String::new(), None)
        }
        None => {
            if let Some(file) = &args.metrics {
                return Err(UserError::wrong(format!(
                    "--metrics {}: a scenario names its metrics itself; expected these [[target.metric]] tables in the scenario, or --url \
                    instead of it",
                    file.display()
                )));
            }
            let name = args.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO);
            let overrides = Overrides {
                seed: args.seed,
                target: args.target.clone(),
                http: args.http.clone(),
                gates: args.gate.clone(),
                vars: args.vars.env.iter().cloned().collect(),
                caches_apart: caches_apart(),
                attach: Some(Attach::check),
            };
            let wrong = |e: ScenarioError| match args.scenario {
                Some(_) => UserError::wrong(e),
                None => UserError::wrong(format!(
                    "{e}\n = help: {DEFAULT_SCENARIO} is run because no scenario was named; `dyno scenarios list` tells the others, and \
                     --url loads an address without one"
                )),
            };
            let mut plan = scenarios::load(name, &overrides).map_err(wrong)?;
            let own = plan.phases.clone();
            plan.replace_load(&(&args.load).into()).map_err(wrong)?;
            let note = load_note(&args.load, &own, &plan.phases);
            (plan, scenarios::text_of(name).map_err(UserError::wrong)?, note)
        }
    };
    match args.timer.as_deref() {
        Some("precise") => plan.timer = Timer::Precise,
        Some(_) => plan.timer = Timer::Wheel,
        None => {}
    }
    check_profile(args, RunTime(plan.length_ns()))?;
    if !args.source_address.is_empty() {
        plan.transport.sources.clone_from(&args.source_address);
    }
    trust(args, &mut plan)?;
    let gates = plan.gates.iter().map(|g| Gate::parse(&g.that)).collect::<Result<_, _>>();
    let asked = if args.attach.is_empty() { &plan.attach } else { &args.attach };
    let mut attach = Attach::parse_all(asked)?;
    if plan.target == Target::Bundled {
        // Its agent shows all that a look from outside would, and more.
        attach.retain(|a| *a != Attach::Auto);
    } else if attach.is_empty() {
        attach.push(Attach::Auto);
    }
    let unix_ms = timeline::clock::unix_ms();
    Ok(Job {
        gates: gates.map_err(UserError::wrong)?,
        patience: plan.gates.iter().map(|g| g.abort_after_ns.map(Duration::from_nanos)).collect(),
        attach,
        unix_ms,
        run_id: run_id(unix_ms, plan.seed),
        again: again(args, plan.seed),
        notes: note.into_iter().collect(),
        text,
        plan,
    })
}

/// Has the plan trust whom the command line says.
fn trust(args: &RunArgs, plan: &mut RunPlan) -> anyhow::Result<()> {
    let flag = if args.insecure { "--insecure" } else { "--ca" };
    if !args.insecure && args.ca.is_none() {
        return Ok(());
    }
    if !matches!(&plan.target, Target::Url(url) if url.tls) {
        return Err(UserError::wrong(format!(
            "{flag}: the target is not reached over TLS, so it would have no effect; expected an address that begins with https://"
        )));
    }
    let tls = &mut plan.transport.tls;
    tls.insecure |= args.insecure;
    if let Some(file) = &args.ca {
        tls.ca = scenarios::authorities(file).map_err(|e| UserError::wrong(format!("--ca: {e}")))?;
    }
    Ok(())
}

/// Reads the file of `[[target.metric]]` tables that `--metrics` names; without one there are none.
pub fn mappings(file: Option<&Path>) -> anyhow::Result<Vec<Mapping>> {
    let mappings = file.map(scenarios::mappings).transpose().map_err(UserError::wrong)?;
    Ok(mappings.unwrap_or_default())
}

/// Has each worker of the bundled backend a cache of its own? What is wrong with the address of a shared one is the backend's to say.
fn caches_apart() -> bool {
    backend::Stores::choose(None, None, None).is_ok_and(|stores| stores.cache == backend::CacheUrl::Memory)
}

/// A profile has its middle where the load has its own, so it cannot be longer: the run would have to wait for it.
fn check_profile(args: &RunArgs, length: RunTime) -> anyhow::Result<()> {
    let Some(seconds) = args.profile else { return Ok(()) };
    if Duration::from_secs(seconds) <= length.since(RunTime::ZERO) {
        return Ok(());
    }
    Err(UserError::wrong(format!(
        "--profile {seconds}: the load lasts {:.1} s; expected no more seconds than that",
        length.as_secs_f64()
    )))
}

/// A dashboard that was asked for by name is drawn on standard error; its keys come from standard input, or from the terminal that the
/// process belongs to. Where it cannot begin, that is said before anything is started.
pub fn check_terminal(look: &Look) -> anyhow::Result<()> {
    let keys = || io::stdin().is_terminal() || File::open("/dev/tty").is_ok();
    if look.ui == Ui::Tui && !(io::stderr().is_terminal() && keys()) {
        return Err(UserError::wrong("--ui tui: standard error is no terminal; expected one, or --ui plain"));
    }
    Ok(())
}

/// Scenario and flags that a run of the bundled backend depends on. What is read beside it, and where it is written, is another
/// run's own to choose.
pub fn again(args: &RunArgs, seed: u64) -> Again {
    let scenario = args.scenario.clone().unwrap_or_else(|| DEFAULT_SCENARIO.to_owned());
    let shipped = scenarios::catalog::list().iter().any(|e| e.name == scenario);
    let file = std::fs::canonicalize(&scenario).ok().filter(|_| !shipped);
    let mut said = vec![file.map_or(scenario, |f| f.to_string_lossy().into_owned())];
    let mut flag = |name: &str, value: Option<String>| said.extend(value.map(|v| format!("--{name}={v}")));
    flag("seed", Some(seed.to_string()));
    // Another target has no settings that could be held, and its address may carry a password.
    flag("target", args.target.clone().filter(|t| t == "bundled"));
    flag("http", args.http.clone());
    flag("timer", args.timer.clone());
    flag("workers", args.workers.map(|n| n.to_string()));
    flag("load-workers", args.load_workers.map(|n| n.to_string()));
    flag("runtime", Some(crate::twin::name(args.runtime).to_owned()));
    said.extend(load_flags(&args.load));
    said.extend(args.gate.iter().map(|gate| format!("--gate={gate}")));
    Again { args: said, vars: args.vars.env.iter().map(|(name, _)| name.clone()).collect(), stores: stores() }
}

/// What the command line says of the load, a flag each.
fn load_flags(load: &LoadArgs) -> Vec<String> {
    let flag = |name: &str, value: Option<String>| value.map(|v| format!("--{name}={v}"));
    let once = [
        flag("sessions", load.sessions.map(|n| n.to_string())),
        flag("for", load.for_.clone()),
        flag("rate", load.rate.clone()),
        flag("iterations", load.iterations.map(|n| n.to_string())),
    ];
    once.into_iter().flatten().chain(load.stages.iter().map(|stage| format!("--stage={stage}"))).collect()
}

/// That the load is not the scenario's `own`, where the command line has changed it: who reads a report knows the scenario by its name,
/// and takes its load for what that says.
fn load_note(load: &LoadArgs, own: &[Phase], now: &[Phase]) -> Option<String> {
    if own == now {
        return None;
    }
    let seconds = |phases: &[Phase]| RunTime(phases.iter().map(|p| p.length_ns).sum()).as_secs_f64();
    let (was, is) = (seconds(own), seconds(now));
    let flags = load_flags(load);
    let said = clean(&flags.join(" "), FLAGS_TOLD);
    Some(if load.for_.is_some() && flags.len() == 1 {
        format!("{said}: the load lasts {is:.1} s, not the {was:.1} s that the scenario gives it")
    } else {
        let phases = plural(own.len(), "phase");
        format!(
            "the load is not the scenario's: {said} stands in the place of its {phases} of {was:.1} s in all"
        )
    })
}

/// What the environment says of the bundled backend's stores: names of the variables that choose them, and how many rows they begin with.
pub fn stores() -> Vec<String> {
    stores_by(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

/// The same where `value` says what a variable holds. An address may be secret; a number of rows is not.
pub fn stores_by(value: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let named = STORES.into_iter().filter(|name| value(name).is_some()).map(str::to_owned);
    let rows: Option<u64> = value(ROWS).and_then(|rows| rows.parse().ok());
    named.chain(rows.map(|rows| format!("{ROWS}={rows}"))).collect()
}

impl Job {
    /// The facts for people, as far as they are known before the start.
    pub fn meta(
        &self,
        url: &BaseUrl,
        workers: usize,
        notes: Vec<String>,
        host: Vec<(String, String)>,
    ) -> RunMeta {
        RunMeta {
            run_id: self.run_id.clone(),
            dyno_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: self.unix_ms,
            command: "run".to_owned(),
            scenario: self.plan.name.clone(),
            about: self.plan.about.clone(),
            scenario_text: self.text.clone(),
            seed: self.plan.seed,
            target: url.to_string(),
            bundled: self.plan.target == Target::Bundled,
            attached: Vec::new(),
            gates: self.plan.gates.iter().map(|g| g.that.clone()).collect(),
            host,
            workers: workers as u32,
            notes,
            again: self.again.clone(),
        }
    }
}

/// The target's port, where the target is on this machine: only then do its processes stand in our tables. An address is ours if a
/// socket can be bound to it.
pub fn local_port(url: &BaseUrl) -> Option<u16> {
    let mut addresses = (url.host.as_str(), url.port).to_socket_addrs().ok()?;
    addresses.any(|a| UdpSocket::bind((a.ip(), 0)).is_ok()).then_some(url.port)
}

/// What machine this is, as far as it shapes a measurement, with so many `cores`, and how they are shared.
pub fn host_facts(cores: usize, shared: Option<String>) -> Vec<(String, String)> {
    let uname = rustix::system::uname();
    let mut facts = vec![
        ("cores".to_owned(), cores.to_string()),
        ("system".to_owned(), uname.sysname().to_string_lossy().into_owned()),
        ("kernel".to_owned(), uname.release().to_string_lossy().into_owned()),
        ("architecture".to_owned(), uname.machine().to_string_lossy().into_owned()),
    ];
    if let Some(memory) = memory_total() {
        facts.push(("memory".to_owned(), memory));
    }
    if let Some(shared) = shared {
        facts.push(("affinity".to_owned(), shared));
    }
    facts
}

fn memory_total() -> Option<String> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: f64 = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(timeline::Unit::Bytes.show(kib * 1024.0))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(line: &[&str]) -> Job {
        let line = ["dyno", "run"].iter().chain(line);
        let Some(Command::Run(args)) = Cli::try_parse_from(line).unwrap().command else { panic!("no run") };
        prepare(&args).unwrap()
    }

    #[test]
    fn a_load_that_is_not_the_scenario_s_is_told() {
        let notes = |line: &[&str]| job(line).notes;
        assert!(notes(&["soak"]).is_empty());
        assert!(
            notes(&["--url", "http://127.0.0.1:9/", "--sessions", "3"]).is_empty(),
            "there is no scenario"
        );
        let own = job(&["soak"]).plan;
        let (n, seconds) = (own.phases.len(), own.length_ns() as f64 / 1e9);
        let replaced: [(&[&str], &str); 4] = [
            (&["--vus", "7", "--duration", "30s"], "--sessions=7 --for=30s"),
            (&["--rate", "5/s"], "--rate=5/s"),
            (&["--stage", "5s:10", "--stage", "9s:0"], "--stage=5s:10 --stage=9s:0"),
            (&["--sessions", "2"], "--sessions=2"),
        ];
        for (flags, said) in replaced {
            let its = format!("its {} of {seconds:.1} s in all", plural(n, "phase"));
            let told = format!("the load is not the scenario's: {said} stands in the place of {its}");
            assert_eq!(notes(&[&["soak"][..], flags].concat()), [told]);
        }
        let told = &notes(&["soak", "--for", "8h"])[0];
        let all = format!("not the {seconds:.1} s that the scenario gives it");
        assert!(told.starts_with("--for=8h: the load lasts 288") && told.ends_with(&all), "{told}");
        let many = ["1s:1"; 400].join(",");
        assert!(notes(&["soak", "--stage", &many])[0].chars().count() < 2 * FLAGS_TOLD);
    }
}
