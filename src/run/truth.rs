//! Faults, actions and cache settings at their planned times, and what the backend says it truly did: `truth.jsonl`.
//!
//! Only this module of the command line speaks to the backend's control endpoint; nothing that it
//! learns reaches the recorder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use backend::Held;
use scenarios::plan::{Action, ActionPlan, CachePlan, FaultPlan, RunPlan};
use serde::{Deserialize, Serialize};
use timeline::fault::{FaultOrder, Truth};
use timeline::{MonoNs, Remedy, RunClock, RunTime};
use ureq::typestate::WithBody;

/// Name of the file inside a run's folder that tells what was really wrong.
pub const FILE_NAME: &str = "truth.jsonl";
/// How long the control endpoint may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long workers may take to be relieved, all of them: each new one fills no database, but starts a process.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// What the backend is told at a planned time.
enum Planned {
    Cache(CachePlan),
    Fault(FaultPlan),
    Action(ActionPlan),
}

impl Planned {
    /// All that a run tells it, in the order of time; the cache is set before a fault of the same time begins.
    fn all(plan: &RunPlan) -> Vec<Self> {
        let cache = plan.cache_orders().iter().cloned().map(Self::Cache);
        let faults = plan.injected().iter().cloned().map(Self::Fault);
        let mut all: Vec<_> =
            cache.chain(faults).chain(plan.acted().iter().copied().map(Self::Action)).collect();
        all.sort_by_key(Self::at_ns);
        all
    }

    fn at_ns(&self) -> u64 {
        match self {
            Self::Cache(cache) => cache.at_ns,
            Self::Fault(fault) => fault.at_ns,
            Self::Action(action) => action.at_ns,
        }
    }

    /// What it was to do, for the sentence that says that it did not.
    fn aim(&self) -> String {
        match self {
            Self::Cache(cache) => {
                format!("the cache could not be set at {:.1} s", RunTime(cache.at_ns).as_secs_f64())
            }
            Self::Fault(fault) => format!("fault {} could not be injected", fault.order.name.name()),
            Self::Action(action) => format!("action {} could not be carried out", action.action.name()),
        }
    }
}

/// Gives the planned orders, each at its time. What comes while an action is under way waits for its end.
pub struct Injector {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<String>>,
    control: Control,
    clock: RunClock,
}

impl Injector {
    /// Starts waiting for the first order of `plan`.
    pub fn start(plan: &RunPlan, control: Control, clock: RunClock) -> anyhow::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (orders, planned) = (control.clone(), Planned::all(plan));
        let thread = std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
            let mut failures = Vec::new();
            for order in planned {
                let wait = clock.mono(RunTime(order.at_ns())).since(MonoNs::now()); // also right before the run begins
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
                if let Err(e) = orders.carry_out(&order) {
                    failures.push(format!("{}: {e:#}", order.aim()));
                }
            }
            failures
        })?;
        Ok(Self { stop, thread, control, clock })
    }

    /// Ends all faults, fetches the truth and writes it into `folder`. Gives the failures met, as sentences.
    pub fn finish(self, folder: &Path) -> Vec<String> {
        let _ = self.stop.try_send(());
        let mut failures =
            self.thread.join().unwrap_or_else(|_| vec!["the fault thread panicked".to_owned()]);
        let written = self.control.end_all().and_then(|()| self.control.truth()).and_then(|lines| {
            let path = folder.join(FILE_NAME);
            write_truth(&path, &lines, self.clock)
        });
        if let Err(e) = written {
            failures.push(format!("the backend's truth could not be written down: {e:#}"));
        }
        failures
    }
}

/// One line of `truth.jsonl`: the backend's line, and when that was in the run.
#[derive(Serialize)]
struct TruthLine<'a> {
    /// Seconds from the run's start.
    run_s: f64,
    #[serde(flatten)]
    truth: &'a Truth,
}

fn write_truth(path: &PathBuf, lines: &[Truth], clock: RunClock) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    for truth in lines {
        let line = TruthLine { run_s: clock.at(truth.at).as_secs_f64(), truth };
        writeln!(file, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(())
}

/// Why the backend did not do as it was told, in its own words.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

fn refused(mut answer: ureq::http::Response<ureq::Body>) -> anyhow::Result<()> {
    if answer.status().is_success() {
        return Ok(());
    }
    let why = answer.body_mut().read_json::<Refused>().map(|refused| refused.error);
    anyhow::bail!(why.unwrap_or_else(|_| format!("the backend answered {}", answer.status())))
}

/// The control endpoint of a bundled backend.
#[derive(Clone)]
pub struct Control {
    agent: ureq::Agent,
    base: String,
    token: String,
}

#[derive(Deserialize)]
struct TruthPage {
    next: u64,
    lines: Vec<Truth>,
}

impl Control {
    /// Of the backend whose control endpoint is at `base`.
    pub fn new(base: &str, token: &str) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build().into();
        Self { agent, base: base.to_owned(), token: token.to_owned() }
    }

    /// Switches a fault on.
    pub fn order(&self, order: &FaultOrder) -> anyhow::Result<()> {
        refused(self.told(self.agent.post(self.at("faults"))).send_json(order)?)
    }

    /// Holds a setting against whatever faults do. Gives what that means there.
    pub fn hold(&self, remedy: &Remedy) -> anyhow::Result<Held> {
        let mut answer = self.told(self.agent.post(self.at("remedies"))).send_json(remedy)?;
        if answer.status().is_success() {
            return Ok(answer.body_mut().read_json()?);
        }
        refused(answer).and_then(|()| anyhow::bail!("the backend gave no answer"))
    }

    fn carry_out(&self, order: &Planned) -> anyhow::Result<()> {
        match order {
            Planned::Fault(fault) => self.order(&fault.order),
            Planned::Cache(cache) => {
                refused(self.told(self.agent.put(self.at("cache"))).send_json(cache.settings)?)
            }
            Planned::Action(ActionPlan { action: Action::Reload, .. }) => {
                let order = self.told(self.agent.post(self.at("reload")));
                refused(order.config().timeout_global(Some(RELOAD_PATIENCE)).build().send_empty()?)
            }
        }
    }

    fn at(&self, what: &str) -> String {
        format!("{}/v1/{what}", self.base)
    }

    /// With the token; an answer that is no success has a reason in it.
    fn told(&self, request: ureq::RequestBuilder<WithBody>) -> ureq::RequestBuilder<WithBody> {
        let request = request.header("Authorization", self.bearer());
        request.config().http_status_as_error(false).build()
    }

    fn end_all(&self) -> anyhow::Result<()> {
        self.agent
            .delete(format!("{}/v1/faults", self.base))
            .header("Authorization", self.bearer())
            .call()?;
        Ok(())
    }

    fn truth(&self) -> anyhow::Result<Vec<Truth>> {
        let mut all = Vec::new();
        let mut next = 0;
        loop {
            let url = format!("{}/v1/truth?since={next}", self.base);
            let mut answer = self.agent.get(url).header("Authorization", self.bearer()).call()?;
            let page: TruthPage = answer.body_mut().read_json()?;
            if page.lines.is_empty() || page.next <= next {
                return Ok(all);
            }
            next = page.next;
            all.extend(page.lines);
        }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}
