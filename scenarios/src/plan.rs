//! The run plan: a scenario after all is parsed, checked and resolved. Immutable from here on.
//!
//! Owns the form in which load is handed to worker processes (it is serialisable) and nothing that
//! runs. Names of variables have become slots, texts have become [`Template`]s, durations nanoseconds;
//! `loadgen` need not look anything up by name. How a TOML file becomes this is `parse`'s business.

mod answer;
mod assets;
mod body;
mod condition;
mod events;
mod secrets;
mod socket;
mod template;
mod transport;

use std::fmt;

use serde::{Deserialize, Serialize};
use timeline::cache::CacheSettings;
use timeline::fault::FaultOrder;
use timeline::metric::Mapping;

pub use crate::load::{Leg, MAX_SESSIONS, Of, Rules, Shape, Timer, Turns};
pub use answer::{Capture, Check, Compare, FieldTest, JsonTest, Judgement, Pick, Save, TextTest};
pub use assets::{Algorithm, Assets, File, Signer};
pub use body::{Body, Content, Field, Filler, Generated, Known, Rendered};
pub use condition::{Condition, Operand, Test};
pub use events::{AwaitEvent, OpenEvents, StreamOptions};
pub use socket::{Await, Awaited, Close, Connect, Deflate, Payload, Send, SocketOptions};
pub use template::{DatePart, Escape, Part, Secret, Template};
pub use transport::{ClientCert, HttpVersion, REDIRECTS_MAX, RequestOptions, Tls, TlsVersion, Transport};

/// Everything that a run does, fixed before it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// Name of the scenario (file stem or catalogue name).
    pub name: String,
    /// Its `about` line.
    pub about: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What is loaded.
    pub target: Target,
    /// How it is talked to.
    #[serde(default)]
    pub transport: Transport,
    /// What to attach, as written: `auto`, `process`, `agent`.
    pub attach: Vec<String>,
    /// Metrics of the target that its own mapping names, and the lanes that they fill.
    #[serde(default)]
    pub metrics: Vec<Mapping>,
    /// Phases in order; at least one.
    pub phases: Vec<Phase>,
    /// Session kinds; at least one.
    pub sessions: Vec<SessionKind>,
    /// Names of all steps; a [`StepId`] is an index into it.
    pub steps: Vec<String>,
    /// How many variable slots a session has.
    pub slots: u16,
    /// Feeders; a [`Part::Column`] names one by index.
    pub feeders: Vec<Feeder>,
    /// What steps refer to and every worker gets once.
    #[serde(default)]
    pub assets: Assets,
    /// Faults to inject. Only the bundled backend has switches for them: with any other target they
    /// are named by `describe` as left out, and [`RunPlan::injected`] is empty.
    pub faults: Vec<FaultPlan>,
    /// What the bundled backend is told to do, and when; left out as faults are with any other target.
    #[serde(default)]
    pub actions: Vec<ActionPlan>,
    /// How the bundled backend's cache works from when on, in the order of time; see [`RunPlan::cache_orders`].
    #[serde(default)]
    pub cache: Vec<CachePlan>,
    /// Gates, checked against step, phase and lane names already.
    pub gates: Vec<GatePlan>,
    /// How long open sessions may take to end after the last phase, ns.
    pub grace_ns: u64,
    /// A step that takes longer has failed (`timeout`), ns.
    pub timeout_ns: u64,
    /// What releases arrivals.
    #[serde(default)]
    pub timer: Timer,
}

/// What is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The reference backend, started by dyno.
    Bundled,
    /// A server that is running.
    Url(BaseUrl),
}

/// `http://host:port/prefix` or `https://...`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseUrl {
    /// Over TLS?
    #[serde(default)]
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path in front of every step's path; empty or starting with `/`, never ending with it.
    pub prefix: String,
}

impl BaseUrl {
    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The port that need not be said.
    #[must_use]
    pub const fn usual_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }

    /// The host as it stands before a port: brackets around an IPv6 address.
    #[must_use]
    pub fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// The address without the prefix, with the port even where it is the usual one.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme(), self.bracketed_host(), self.port)
    }
}

/// The whole address: the origin and the prefix. No user, password or query is in it, so it may be shown.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

/// A stretch of a run with one load model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name, unique.
    pub name: String,
    /// Length, ns.
    pub length_ns: u64,
    /// How load is applied.
    pub model: Model,
    /// Left out of figures and gates.
    pub warmup: bool,
}

/// How a phase applies load; ramps are linear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Closed: this many sessions are held; one that ends is replaced at once.
    Sessions {
        /// At the phase's start.
        from: f64,
        /// At its end.
        to: f64,
    },
    /// Partly open: sessions arrive at this rate per second whatever became of earlier ones.
    Arrivals {
        /// At the phase's start, per second.
        from: f64,
        /// At its end, per second.
        to: f64,
    },
    /// Open: single passes through a session kind's steps at this rate per second, on pooled connections.
    Requests {
        /// At the phase's start, per second.
        from: f64,
        /// At its end, per second.
        to: f64,
    },
    /// Any of them along several legs, or under rules.
    Shaped(Box<Shape>),
}

/// A kind of simulated client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionKind {
    /// Its name.
    pub name: String,
    /// Share among the kinds; at least 1.
    pub weight: u32,
    /// What it does, once; then the session ends.
    pub steps: Vec<Step>,
}

/// Index into [`RunPlan::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u16);

/// Number of a session variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// One thing that a session does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// An HTTP request and its whole answer; timed.
    Request(Box<Request>),
    /// Requests that are sent at once; each is timed.
    Parallel(Box<Parallel>),
    /// Opens the session's WebSocket (handshake); timed. Closes an earlier one first.
    Connect(Box<Connect>),
    /// Sends a WebSocket message, awaits one, or both; timed.
    Send(Box<Send>),
    /// Opens the session's event stream (server-sent events), as far as the answer's head; timed. Closes an earlier one first.
    OpenEvents(Box<OpenEvents>),
    /// Awaits an event on the event stream; timed.
    AwaitEvent(Box<AwaitEvent>),
    /// Closes the event stream; timed.
    CloseEvents(StepId),
    /// Reads pushed messages for a while; not timed, what comes is counted.
    Listen(Dist),
    /// Reads nothing that is pushed for a while, as a client does that hangs or is overloaded; not timed.
    Ignore(Dist),
    /// Waits; messages pushed meanwhile are read and counted.
    Think(Dist),
    /// Does steps again and again.
    Repeat(Box<Repeat>),
    /// Does some steps or others.
    If(Box<Fork>),
    /// Does the steps of one of these, drawn anew each time.
    Choose(Vec<Choice>),
    /// Closes the WebSocket by the closing handshake; timed.
    Close(Close),
    /// A visit whose steps are code, of the crate `journeys`.
    Journey(Box<Journey>),
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Which step.
    pub id: StepId,
    /// Skipped unless this holds.
    pub when: Option<Condition>,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query, starting with `/`; the target's prefix comes in front. The fixed text is valid in
    /// a request line; a *value* may hold anything, so who writes it percent-encodes spaces, control
    /// characters and non-ASCII bytes (and drops CR, LF and NUL in header values).
    pub path: Template,
    /// Header fields beyond `Host`, `Content-Length` and `Content-Type`.
    pub headers: Vec<(String, Template)>,
    /// Body and its content type; that of a multipart one lacks the boundary.
    pub body: Option<(String, Body)>,
    /// What must hold; a step whose check fails counts as an error of kind `check`.
    pub checks: Vec<Check>,
    /// What is kept for later steps.
    pub saves: Vec<Save>,
    /// How it is sent and answered.
    #[serde(default)]
    pub options: RequestOptions,
}

/// Requests that are all intended for the same instant; the group ends when all are answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parallel {
    /// The requests. What they save takes effect when the group ends, in this order.
    pub requests: Vec<Request>,
    /// How many connections they share over HTTP/1.1, at least 1; over HTTP/2 one carries them all.
    pub connections: u16,
}

impl Parallel {
    /// How many connections it uses over HTTP/1.1: no more than it has requests, and at least 1.
    #[must_use]
    pub fn connections_used(&self) -> usize {
        usize::from(self.connections).min(self.requests.len()).max(1)
    }
}

/// A coded journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journey {
    /// Its name in [`crate::journeys::ALL`].
    pub name: String,
    /// Connections that one visitor holds at most.
    pub connections: u32,
    /// Pause between two transactions of a visit.
    pub pause: Option<Dist>,
    /// Its transactions, in the order of the table.
    pub steps: Vec<JourneyStep>,
}

/// A transaction of a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyStep {
    /// The whole transaction, from its intended start to its end: response and service time.
    pub id: StepId,
    /// What is timed inside it, such as goose's time to first byte: never a service time.
    pub inside: StepId,
    /// How often in a visit.
    pub times: u32,
}

/// A loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// How often.
    pub times: Times,
    /// Pacing: the time from one turn's intended start to the next one's, whatever the turn takes.
    pub every: Option<Dist>,
    /// What ends it before that.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// What is done each turn.
    pub steps: Vec<Step>,
}

/// A condition and what depends on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// What must hold.
    pub when: Condition,
    /// What is done if it does.
    pub then: Vec<Step>,
    /// What is done if not.
    pub otherwise: Vec<Step>,
}

/// One of several courses of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its share among them; at least 1.
    pub weight: u32,
    /// What is done.
    pub steps: Vec<Step>,
}

/// What ends a loop before its last turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Guard {
    /// Looked at before each turn: none begins unless it holds.
    While(Condition),
    /// Looked at after each turn: none follows once it holds.
    Until(Condition),
}

/// How often a loop turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Times {
    /// Until the load ends.
    UntilEnd,
    /// So often.
    Count(u32),
}

/// A distribution of durations, ns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Dist {
    /// Always this: `2s`.
    Constant(u64),
    /// Evenly between: `2s..8s`.
    Uniform(u64, u64),
    /// Exponential with this mean: `exp(10s)`.
    Exponential(u64),
}

impl Dist {
    /// Mean, s.
    #[must_use]
    pub fn mean_s(self) -> f64 {
        match self {
            Self::Constant(ns) | Self::Exponential(ns) => ns as f64 / 1e9,
            Self::Uniform(low, high) => (low as f64 + high as f64) / 2e9,
        }
    }
}

/// Rows for sessions to draw from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feeder {
    /// Its name.
    pub name: String,
    /// Column names.
    pub columns: Vec<String>,
    /// The rows; each as long as `columns`.
    pub rows: Vec<Vec<String>>,
    /// How rows are drawn.
    pub order: Order,
}

/// How rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// In turn, over and over; each worker begins at its own place.
    Sequential,
    /// At random, evenly.
    Random,
    /// At random, row k with weight 1/k^s.
    Zipf(f64),
    /// Each row at most once over all workers; when they run out, no further session starts (counted as dropped).
    Unique,
}

/// A fault and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// From the run's start, ns.
    pub at_ns: u64,
    /// What and for how long.
    pub order: FaultOrder,
}

/// Something that is done to the bundled backend, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPlan {
    /// From the run's start, ns.
    pub at_ns: u64,
    /// What.
    pub action: Action,
}

/// What can be done to the bundled backend that is no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Each worker is relieved by a new process, one after the other, as for a new version.
    Reload,
}

impl Action {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Reload];

    /// As scenarios name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
        }
    }
}

/// How the bundled backend's cache works from a time on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachePlan {
    /// From the run's start, ns.
    pub at_ns: u64,
    /// All of its settings.
    pub settings: CacheSettings,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatePlan {
    /// The expression, in the form that `timeline::gate` parses.
    pub that: String,
    /// Stop the run when it has failed for this long, ns.
    pub abort_after_ns: Option<u64>,
}

impl Step {
    /// The steps inside this one, in the order of the plan; none where it has no inner ones.
    pub fn inner(&self) -> impl Iterator<Item = &Self> {
        let (first, second, choices): (&[Self], &[Self], &[Choice]) = match self {
            Self::Repeat(r) => (&r.steps, &[], &[]),
            Self::If(fork) => (&fork.then, &fork.otherwise, &[]),
            Self::Choose(choices) => (&[], &[], choices),
            _ => (&[], &[], &[]),
        };
        first.iter().chain(second).chain(choices.iter().flat_map(|c| &c.steps))
    }
}

impl RunPlan {
    /// Length of all phases, ns.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        self.phases.iter().map(|p| p.length_ns).sum()
    }

    /// The faults that this run really injects: those of [`RunPlan::faults`] if the target is bundled, else none.
    #[must_use]
    pub fn injected(&self) -> &[FaultPlan] {
        if self.target == Target::Bundled { &self.faults } else { &[] }
    }

    /// The same for [`RunPlan::actions`].
    #[must_use]
    pub fn acted(&self) -> &[ActionPlan] {
        if self.target == Target::Bundled { &self.actions } else { &[] }
    }

    /// The cache settings that this run really gives: those of [`RunPlan::cache`] if the target is bundled, else none.
    #[must_use]
    pub fn cache_orders(&self) -> &[CachePlan] {
        if self.target == Target::Bundled { &self.cache } else { &[] }
    }
}
