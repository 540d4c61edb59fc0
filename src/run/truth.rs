//! Faults, actions and cache settings at their planned times, and what the backend says it truly did: `truth.jsonl`.
//!
//! Only this module of the command line speaks to the backend's control endpoint. Of what it learns one thing alone
//! reaches the recorder: that an order was not carried out, since such a run is not what its scenario says, and is invalid.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use backend::{Held, Hold};
use profiler::sources::direct;
use scenarios::plan::{Action, ActionPlan, CachePlan, FaultPlan, RunPlan};
use serde::{Deserialize, Serialize};
use timeline::event::kinds;
use timeline::fault::{FaultOrder, Truth};
use timeline::recorder::Handle;
use timeline::{Event, MonoNs, Remedy, RunTime};
use ureq::typestate::WithBody;

use super::stop;

/// Name of the file inside a run's folder that tells what was really wrong.
pub const FILE_NAME: &str = "truth.jsonl";
/// How long the control endpoint may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long workers may take to say that their faults are ended: longer than the backend waits for them, so that its
/// own word on who is late is heard. As long may its word on what was true take: there is no run left that would wait.
const END_PATIENCE: Duration = Duration::from_secs(15);
/// How long workers may take to be relieved, all of them: each new one fills no database, but starts a process.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);
/// Said where the end was asked for twice, and the backend had not ended its faults a moment later.
const LEFT: &str =
    "the end was asked for twice: the backend was not waited for, and what was true may be missing";

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
    handle: Handle,
}

impl Injector {
    /// Starts waiting for the first order of `plan`, on the clock of the recorder behind `handle`.
    pub fn start(plan: &RunPlan, control: Control, handle: &Handle) -> anyhow::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (orders, planned) = (control.clone(), Planned::all(plan));
        let (clock, told) = (handle.clock(), handle.clone());
        let thread = std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
            let mut failures = Vec::new();
            for order in planned {
                let wait = clock.mono(RunTime(order.at_ns())).since(MonoNs::now()); // also right before the run begins
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
                if let Err(e) = orders.carry_out(&order) {
                    failures.push(tell(&told, &order.aim(), &format!("{e:#}")));
                }
            }
            failures
        })?;
        Ok(Self { stop, thread, control, handle: handle.clone() })
    }

    /// Ends all faults, fetches the truth and writes it into `folder`, also when a worker does not say in time that its
    /// faults are ended. Gives the failures met, as sentences. Whoever is `hurried` does not wait for a backend that is slow to answer: it
    /// ends with the run, and its faults with it.
    pub fn finish(self, folder: &Path, hurried: impl Fn() -> bool) -> Vec<String> {
        let folder = folder.to_owned();
        let begun = std::thread::Builder::new().name("truth".to_owned()).spawn(move || self.end(&folder));
        let thread = match begun {
            Ok(thread) => thread,
            Err(e) => return vec![format!("the backend's truth could not be fetched: {e}")],
        };
        match stop::wait_briefly(thread, hurried) {
            Some(ended) => ended.unwrap_or_else(|_| vec!["fetching the backend's truth panicked".to_owned()]),
            None => vec![LEFT.to_owned()],
        }
    }

    fn end(self, folder: &Path) -> Vec<String> {
        let _ = self.stop.try_send(());
        let mut failures = self.thread.join().unwrap_or_else(|_| {
            vec![tell(&self.handle, "not every order was given", "the fault thread panicked")]
        });
        // What is known is written down all the same.
        if let Err(e) = self.control.end_all() {
            failures.push(format!("the backend's truth may lack the end of a fault: {e:#}"));
        }
        let written = self.control.truth().and_then(|lines| {
            let path = folder.join(FILE_NAME);
            write_truth(&path, &lines, &self.handle)
        });
        if let Err(e) = written {
            failures.push(format!("the backend's truth could not be written down: {e:#}"));
        }
        failures
    }
}

/// Says at once that an order was not carried out, and records it: the verdict follows from that. Gives the sentence, for the notes.
fn tell(handle: &Handle, what: &str, why: &str) -> String {
    let text = format!("{what}: {why}");
    handle.log(&format!("{text}; that makes the run invalid"));
    let at = handle.clock().now();
    let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    handle.event(Event {
        kind: kinds::ORDER_REFUSED.to_owned(),
        instance: "backend".to_owned(),
        start: at,
        end: at,
        labels: [("what", what), ("why", why)].map(label).into(),
        value: 0.0,
        others: 0,
    });
    text
}

/// One line of `truth.jsonl`: the backend's line, and when that was in the run.
#[derive(Serialize)]
struct TruthLine<'a> {
    /// Seconds from the run's start.
    run_s: f64,
    #[serde(flatten)]
    truth: &'a Truth,
}

fn write_truth(path: &PathBuf, lines: &[Truth], handle: &Handle) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    for truth in lines {
        let line = TruthLine { run_s: handle.at(truth.at).as_secs_f64(), truth };
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
        let agent = direct().timeout_global(Some(PATIENCE)).build().new_agent();
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

    /// The same in the twin, which is told what the setting comes to.
    pub fn hold_in_twin(&self, hold: &Hold) -> anyhow::Result<()> {
        refused(self.told(self.agent.post(self.at("remedies"))).send_json(hold)?)
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
        let order = self.agent.delete(self.at("faults")).header("Authorization", self.bearer());
        let order = order.config().http_status_as_error(false).timeout_global(Some(END_PATIENCE));
        refused(order.build().call()?)
    }

    fn truth(&self) -> anyhow::Result<Vec<Truth>> {
        let mut all = Vec::new();
        let mut next = 0;
        loop {
            let url = format!("{}/v1/truth?since={next}", self.base);
            let asked = self.agent.get(url).header("Authorization", self.bearer());
            let mut answer = asked.config().timeout_global(Some(END_PATIENCE)).build().call()?;
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use reports::{Summary, Verdict};
    use scenarios::Overrides;
    use timeline::facts::{EndReason, RunEnd};

    use super::*;
    use crate::run::testing::recorder;

    #[test]
    fn what_is_true_is_written_down_though_it_comes_late_and_so_does_the_end_of_a_fault_or_not_at_all() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let backend = std::thread::spawn(move || {
            let line = r#"{"fault":"leak","instance":"shop-0","what":"armed","at":7}"#;
            for (status, body) in [
                ("504 Gateway Timeout", r#"{"error":"shop-0 is late"}"#.to_owned()),
                ("200 OK", format!(r#"{{"next":1,"lines":[{line}]}}"#)),
                ("200 OK", r#"{"next":1,"lines":[]}"#.to_owned()),
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).unwrap() > 0);
                // But for the end of the truth.
                if !body.contains("[]") {
                    std::thread::sleep(PATIENCE + Duration::from_millis(200));
                }
                let head = "Connection: close\r\nContent-Type: application/json";
                let length = body.len();
                write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")
                    .unwrap();
            }
        });
        let plan = scenarios::load("fragmentation", &Overrides::default()).unwrap();
        let (recorder, folder) = (recorder(), tempfile::tempdir().unwrap());
        let injector = Injector::start(&plan, Control::new(&base, "t"), &recorder.handle()).unwrap();
        let notes = injector.finish(folder.path(), || false);
        assert_eq!(notes, ["the backend's truth may lack the end of a fault: shop-0 is late"]);
        backend.join().unwrap();
        let written = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(written.matches("armed").count(), 1, "{written}");
    }

    #[test]
    fn who_asks_for_the_end_twice_does_not_wait_for_a_backend_that_does_not_answer() {
        // Connections wait there, and nobody takes them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let plan = scenarios::load("fragmentation", &Overrides::default()).unwrap();
        let (recorder, folder) = (recorder(), tempfile::tempdir().unwrap());
        let injector = Injector::start(&plan, Control::new(&base, "t"), &recorder.handle()).unwrap();
        let begin = MonoNs::now();
        assert_eq!(injector.finish(folder.path(), || true), [LEFT]);
        // The end of the faults alone may take longer.
        assert!(MonoNs::now().since(begin) < END_PATIENCE / 2);
        assert!(!folder.path().join(FILE_NAME).exists());
    }

    #[test]
    fn an_order_that_is_refused_makes_the_run_invalid() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let backend = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let body = r#"{"error":"unknown fault `fragmentation`"}"#;
            let head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            // An order that nobody reads would break the connection before its answer is read.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut plan = scenarios::load("fragmentation", &Overrides::default()).unwrap();
        plan.faults[0].at_ns = 0;
        let (recorder, folder) = (recorder(), tempfile::tempdir().unwrap());
        let injector = Injector::start(&plan, Control::new(&base, "t"), &recorder.handle()).unwrap();
        backend.join().unwrap();
        let notes = injector.finish(folder.path(), || false);
        let said = "fault fragmentation could not be injected: unknown fault `fragmentation`";
        assert_eq!(notes.first().map(String::as_str), Some(said), "{notes:?}");

        let ended = recorder.finish(RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes });
        assert!(ended.snapshot.log.iter().any(|line| line.text.starts_with(said)), "at once");
        let summary = Summary::new(&ended.meta, &ended.timeline, &ended.findings, Some(&ended.end));
        assert_eq!(summary.verdict, Verdict::Invalid);
        let why = format!("the backend refused what the scenario asks for: {said}");
        assert_eq!(summary.verdict_reason, why);
    }
}
