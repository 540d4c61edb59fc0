//! Faults and actions at their planned times, and what the backend says it truly did: `truth.jsonl`.
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
use scenarios::plan::{Action, ActionPlan, FaultPlan, RunPlan};
use serde::{Deserialize, Serialize};
use timeline::fault::{FaultOrder, Truth};
use timeline::{MonoNs, RunClock, RunTime};

/// How long the control endpoint may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long workers may take to be relieved, all of them: each new one fills no database, but starts a process.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// What the backend is ordered to do.
enum Due {
    Fault(FaultPlan),
    Action(ActionPlan),
}

impl Due {
    const fn at_ns(&self) -> u64 {
        match self {
            Self::Fault(fault) => fault.at_ns,
            Self::Action(action) => action.at_ns,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.order.name.name(),
            Self::Action(action) => action.action.name(),
        }
    }
}

/// Orders the planned faults and actions, each at its time. What comes while an action is under way waits for its end.
pub struct Injector {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<String>>,
    control: Control,
    clock: RunClock,
}

impl Injector {
    /// Starts waiting for the first of them.
    pub fn start(plan: &RunPlan, control: Control, clock: RunClock) -> anyhow::Result<Self> {
        let faults = plan.injected().iter().cloned().map(Due::Fault);
        let mut all: Vec<Due> = faults.chain(plan.acted().iter().copied().map(Due::Action)).collect();
        all.sort_by_key(Due::at_ns);
        let (stop, stopped) = sync_channel(1);
        let orders = control.clone();
        let thread = std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
            let mut failures = Vec::new();
            for due in all {
                let wait = clock.mono(RunTime(due.at_ns())).since(MonoNs::now()); // also right before the run begins
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
                let done = match &due {
                    Due::Fault(fault) => orders.order(&fault.order),
                    Due::Action(action) => orders.act(action.action),
                };
                if let Err(e) = done {
                    let kind = if matches!(due, Due::Fault(_)) { "fault" } else { "action" };
                    failures.push(format!("{kind} {} could not be carried out: {e:#}", due.name()));
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
            let path = folder.join("truth.jsonl");
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
        let url = format!("{}/v1/faults", self.base);
        self.agent.post(url).header("Authorization", self.bearer()).send_json(order)?;
        Ok(())
    }

    fn act(&self, action: Action) -> anyhow::Result<()> {
        let path = match action {
            Action::Reload => "/v1/reload",
        };
        let order = self.agent.post(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        order.config().timeout_global(Some(RELOAD_PATIENCE)).build().send_empty()?;
        Ok(())
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
