//! What the tests of this crate share: a run from a plan to its totals, and plans.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test file uses its own part of this"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadgen::coordinator::LEAD;
use loadgen::protocol::{Counters, Done};
use loadgen::{CoordinatorOptions, Crew, ErrorKind, LoadUpdate};
use scenarios::plan::*;
use timeline::histogram::{self, Histogram};
use timeline::{MonoNs, RunClock};

pub const MS: u64 = 1_000_000;
/// Length of a phase that ends by what was done in it, ms: only a load that hangs comes to its end.
pub const LONG_MS: u64 = 60_000;
/// Time for what is to happen, ms, however long the machine runs something else: only what never happens takes it up.
pub const AMPLE_MS: u64 = 30_000;

/// All that a run has told, added up.
#[derive(Default)]
pub struct Totals {
    pub updates: Vec<LoadUpdate>,
    pub counters: BTreeMap<usize, Counters>,
    pub done: BTreeMap<usize, Done>,
    pub lost: Vec<(usize, String)>,
    pub response: BTreeMap<u16, Histogram>,
    pub service: BTreeMap<u16, Histogram>,
    pub finished: BTreeMap<u16, u64>,
    /// For how long workers, or this test, were seen to stand still, added up, ns; what is shorter than a few turns is left out.
    pub stood_ns: u64,
    heard_at: Option<MonoNs>,
}

impl Totals {
    pub fn sum(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.values().map(of).sum()
    }

    /// Errors by name, without those that are 0.
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for (i, kind) in ErrorKind::ALL.iter().enumerate() {
            let n = self.sum(|c| c.errors[i]);
            if n > 0 {
                all.insert(kind.name(), n);
            }
        }
        all
    }

    /// Failed steps by the status that they failed by.
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for (status, n) in self.counters.values().flat_map(|c| &c.statuses) {
            *all.entry(*status).or_default() += n;
        }
        all
    }

    /// How late the generator was with each step.
    pub fn lateness(&self) -> Histogram {
        let mut all = histogram::new();
        for update in &self.updates {
            if let LoadUpdate::Histograms(_, histograms) = update {
                histograms.lateness.add_to(&mut all);
            }
        }
        all
    }

    /// For how long the machine has, or might have, held the run up, ms. A hiccup is told but once for the counters' 100 ms, and
    /// more may have fallen into them.
    pub fn stood_ms(&self) -> u64 {
        3 * self.stood_ns / MS
    }

    /// So many tries there are at the most where each of `sessions`, of one worker, tries again 100 ms after what failed.
    pub fn most_tries(&self, sessions: u64) -> u64 {
        sessions * (self.done[&0].at / (100 * MS) + 1)
    }

    pub fn take(&mut self, update: LoadUpdate) {
        match &update {
            LoadUpdate::Counters(worker, counters) => {
                let now = MonoNs::now();
                let silence = self.heard_at.replace(now).map_or(0, |before| now.0.saturating_sub(before.0));
                self.stood_ns += counters.hiccup_ns.saturating_sub(20 * MS);
                self.stood_ns += silence.saturating_sub(150 * MS);
                self.counters.insert(*worker, (**counters).clone());
            }
            LoadUpdate::Done(worker, done) => drop(self.done.insert(*worker, done.clone())),
            LoadUpdate::Lost { worker, why, .. } => self.lost.push((*worker, why.clone())),
            LoadUpdate::Histograms(_, histograms) => {
                for s in &histograms.steps {
                    s.response.add_to(self.response.entry(s.step).or_insert_with(histogram::new));
                    s.service.add_to(self.service.entry(s.step).or_insert_with(histogram::new));
                    *self.finished.entry(s.step).or_default() += s.finished;
                }
            }
            LoadUpdate::Joined { .. } | LoadUpdate::Amended { .. } => {}
        }
        self.updates.push(update);
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn options(plan: RunPlan, address: SocketAddr, workers: usize) -> CoordinatorOptions {
    CoordinatorOptions {
        plan,
        url: BaseUrl {
            tls: false,
            host: address.ip().to_string(),
            port: address.port(),
            prefix: String::new(),
        },
        worker_exe: env!("CARGO_BIN_EXE_dyno-load-worker").into(),
        worker_args: vec!["load-worker".to_owned()],
        workers,
        cpus: None,
    }
}

/// Runs a plan to its end, which must come in time.
pub fn run(plan: RunPlan, address: SocketAddr, workers: usize) -> Totals {
    run_options(options(plan, address, workers))
}

/// The same, with all that can be chosen.
pub fn run_options(options: CoordinatorOptions) -> Totals {
    run_with(options, || (), |_| false)
}

/// Runs a plan with one worker until what it has told is `enough`: then it is stopped.
pub fn run_until(plan: RunPlan, address: SocketAddr, enough: impl FnMut(&Totals) -> bool) -> Totals {
    run_with(options(plan, address, 1), || (), enough)
}

/// Has the run done so many steps?
pub fn done(steps: u64) -> impl FnMut(&Totals) -> bool {
    move |totals| totals.sum(|c| c.completed) >= steps
}

/// Runs a plan until it ends, or until what it has told is `enough`. `ready` is called when the workers wait for the word to begin:
/// the look for the target is over then, and nothing else has been sent.
pub fn run_with(
    options: CoordinatorOptions,
    ready: impl FnOnce(),
    mut enough: impl FnMut(&Totals) -> bool,
) -> Totals {
    let limit = Duration::from_nanos(options.plan.length_ns() + options.plan.grace_ns)
        + Duration::from_millis(AMPLE_MS);
    runtime().block_on(async {
        let crew = Crew::hire(options).await.unwrap();
        ready();
        let origin = MonoNs(MonoNs::now().0 + LEAD.as_nanos() as u64);
        let mut coordinator = crew.begin(RunClock::with_origin(origin)).await;
        let (mut totals, mut stopped) = (Totals::default(), false);
        let all = async {
            while let Some(update) = coordinator.next().await {
                totals.take(update);
                if !stopped && enough(&totals) {
                    stopped = true;
                    coordinator.stop();
                }
            }
        };
        tokio::time::timeout(limit, all).await.expect("a run ends");
        totals
    })
}

/// Opens the gate once so many messages were pushed: the run goes on by itself.
pub fn opens(gate: &AtomicBool, pushed: u64) -> impl FnMut(&Totals) -> bool {
    move |totals| {
        gate.fetch_or(totals.sum(|c| c.pushed) >= pushed, Ordering::SeqCst);
        false
    }
}

/// Runs a plan with one worker at a target that takes the look before the run, and nobody after it.
pub fn run_at_gone(plan: RunPlan) -> Totals {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = listener.local_addr().unwrap();
    // Its port stays its own, or another test would get it.
    let leave = || {
        drop(listener.accept());
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Read).unwrap();
    };
    run_with(options(plan, gone, 1), leave, |_| false)
}

/// A plan whose steps have time enough on a busy machine: who wants a `timeout` sets a limit of its own.
pub fn plan(model: Model, ms: u64, steps: Vec<Step>) -> RunPlan {
    RunPlan {
        name: "test".to_owned(),
        about: String::new(),
        seed: 1,
        target: Target::Url(BaseUrl { tls: false, host: String::new(), port: 1, prefix: String::new() }),
        transport: Transport::default(),
        attach: Vec::new(),
        metrics: Vec::new(),
        phases: vec![Phase { name: "only".to_owned(), length_ns: ms * MS, model, warmup: false }],
        sessions: vec![SessionKind { name: "only".to_owned(), weight: 1, steps }],
        steps: (0..8).map(|i| format!("step {i}")).collect(),
        slots: 4,
        feeders: Vec::new(),
        assets: Assets::default(),
        faults: Vec::new(),
        actions: Vec::new(),
        cache: Vec::new(),
        gates: Vec::new(),
        grace_ns: AMPLE_MS * MS,
        timeout_ns: AMPLE_MS * MS,
        timer: Timer::default(),
    }
}

/// A phase in which none begins, so that the last session has time to do all.
pub fn rest(ms: u64) -> Phase {
    let model = Model::Arrivals { from: 0.0, to: 0.0 };
    Phase { name: "rest".to_owned(), length_ns: ms * MS, model, warmup: false }
}

pub fn held(n: u32) -> Model {
    Model::Sessions { from: f64::from(n), to: f64::from(n) }
}

/// `n` sessions that do their steps once; the run is over when they have.
pub fn once(n: u32) -> Model {
    let legs = vec![Leg { length_ns: LONG_MS * MS, from: f64::from(n), to: f64::from(n) }];
    let rules = Rules { turns: Some(Turns::Each(1)), ..Rules::default() };
    Model::Shaped(Box::new(Shape { of: Of::Sessions, legs, rules }))
}

pub fn text(text: &str) -> Template {
    Template(vec![Part::Text(text.to_owned())])
}

pub fn request(id: u16, method: &str, path: &str) -> Request {
    Request {
        id: StepId(id),
        when: None,
        method: method.to_owned(),
        path: text(path),
        headers: Vec::new(),
        body: None,
        checks: Vec::new(),
        saves: Vec::new(),
        options: RequestOptions::default(),
    }
}

pub fn get(id: u16, path: &str) -> Step {
    Step::Request(Box::new(request(id, "GET", path)))
}

pub fn think(ms: u64) -> Step {
    Step::Think(Dist::Constant(ms * MS))
}

pub fn connect(id: u16, path: &str) -> Step {
    Step::Connect(Box::new(Connect {
        id: StepId(id),
        path: text(path),
        headers: Vec::new(),
        subprotocol: None,
        options: SocketOptions::default(),
    }))
}

/// A normal end of the WebSocket.
pub fn close(id: u16) -> Step {
    Step::Close(Close { id: StepId(id), code: Close::NORMAL })
}

/// A message with an id, answered by one with the same id.
pub fn say(id: u16, within_ms: u64) -> Step {
    let parts =
        vec![Part::Text("{\"id\":\"".to_owned()), Part::Uuid, Part::Text("\",\"op\":\"say\"}".to_owned())];
    let wait = Await {
        what: Awaited::JsonEquals("$.id".to_owned(), Template(vec![Part::Sent("id".to_owned())])),
        judgement: Judgement::default(),
        within_ns: within_ms * MS,
    };
    Step::Send(Box::new(Send { id: StepId(id), payload: Payload::Text(Template(parts)), wait: Some(wait) }))
}

pub fn forever(every_ms: Option<u64>, steps: Vec<Step>) -> Step {
    Step::Repeat(Box::new(Repeat {
        times: Times::UntilEnd,
        every: every_ms.map(|ms| Dist::Constant(ms * MS)),
        guard: None,
        steps,
    }))
}
