//! Facts: what was fixed before a run began, and how it ended.
//!
//! Owns two views of the plan that must not be mixed: [`RunMeta`] (everything, for people and reports)
//! and [`PlanFacts`] (what a detector may know: when which load was asked for). Neither names a fault.

use serde::{Deserialize, Serialize};

use crate::amendment::Changes;
use crate::clock::{RunTime, Span};

/// What a detector may know of the plan: no name of scenario or fault is in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanFacts {
    /// Phases in order.
    pub phases: Vec<PhaseFacts>,
    /// Step names in order of their ids.
    pub steps: Vec<String>,
    /// How the load was changed meanwhile: read from the timeline's events, so no part of the plan as it is written down.
    #[serde(skip)]
    pub changes: Changes,
}

impl PlanFacts {
    /// The phase that `at` lies in; none before the first and after the last.
    #[must_use]
    pub fn phase_at(&self, at: RunTime) -> Option<&PhaseFacts> {
        self.phases.iter().find(|p| p.span.contains(at))
    }

    /// The phase called `name`.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&PhaseFacts> {
        self.phases.iter().find(|p| p.name == name)
    }

    /// The end of the last warm-up phase; the start of the run if there is none.
    #[must_use]
    pub fn warm_from(&self) -> RunTime {
        self.phases.iter().filter(|p| p.warmup).map(|p| p.span.end).max().unwrap_or_default()
    }

    /// The end of the last phase.
    #[must_use]
    pub fn end(&self) -> RunTime {
        self.phases.last().map_or(RunTime::ZERO, |p| p.span.end)
    }
}

/// One stretch of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseFacts {
    /// Its name.
    pub name: String,
    /// When.
    pub span: Span,
    /// Left out of figures and gates.
    pub warmup: bool,
    /// How load is applied.
    pub model: LoadModel,
    /// Load at its start: sessions, or arrivals per second.
    pub from: f64,
    /// Load at its end.
    pub to: f64,
}

/// How a phase applies load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadModel {
    /// A number of sessions is held (closed).
    Sessions,
    /// Sessions arrive at a rate (partly open).
    Arrivals,
    /// Single requests arrive at a rate (open).
    Requests,
    /// Nothing is applied: watching only.
    Watch,
}

/// Everything fixed before the run, for people and reports. Detectors never see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// Identity: start time and seed, `20261123-064501-7`.
    pub run_id: String,
    /// Version of dyno that wrote it.
    pub dyno_version: String,
    /// Start, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// `run` or `watch`.
    pub command: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Its `about` line.
    pub about: String,
    /// The scenario file's text, as run.
    pub scenario_text: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Base address of the target, without user, password and query.
    pub target: String,
    /// The bundled reference backend was the target.
    pub bundled: bool,
    /// What was attached and what cannot be seen, a line each.
    pub attached: Vec<String>,
    /// Gate expressions in order.
    pub gates: Vec<String>,
    /// Facts about the machine: cores, memory, kernel, which cores each side got.
    pub host: Vec<(String, String)>,
    /// Generator worker processes.
    pub workers: u32,
    /// Descriptors and other limits that shaped the run, a line each.
    pub notes: Vec<String>,
    /// How the same can be run again.
    #[serde(default)]
    pub again: Again,
}

/// What a run was told, as far as it may be written down: values of variables may be secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Scenario and flags; empty in recordings of versions that did not write them down.
    pub args: Vec<String>,
    /// Names of the scenario's variables that were given.
    pub vars: Vec<String>,
    /// Names of the environment variables that chose stores, and `DYNO_ROWS=N` where rows in them were asked for.
    pub stores: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The plan was carried out.
    Completed,
    /// A person asked for an early, orderly end.
    Interrupted,
    /// A gate's patience ran out.
    GateAborted,
    /// The target could not be reached at all; only in recordings of earlier versions.
    Unreachable,
}

/// The end of a run; a recording without one was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Why.
    pub reason: EndReason,
    /// When the last data came.
    pub at: RunTime,
    /// Things that happened to the run itself: a full disk, a lost worker, a silent source.
    pub notes: Vec<String>,
}
