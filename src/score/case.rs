//! A case: what is tried, and what was seen of it.
//!
//! Owns the forms of both as they stand in `score.jsonl`, and the `case.json` of a run that is kept. How cases are drawn belongs to `draw`,
//! what they mean to `judge`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use timeline::fault::FaultKind;
use timeline::{Finding, FindingKind, Severity, Status};

use crate::cli::Runtime;
use crate::outcome::UserError;
use crate::twin;

/// Name of the file in a run's folder that says which case it was: its recording has only the name of the scenario's file, `case-0007`.
pub const FILE_NAME: &str = "case.json";

/// What a case runs on that is on no twin.
pub const RUST: &str = twin::name(Runtime::Rust);

/// What sort of case it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// One fault, or one condition of the load that the catalogue counts among the faults.
    Fault,
    /// Two faults at once.
    Composite,
    /// Nothing is wrong.
    Clean,
}

/// How the load goes on after the first warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The same to the end.
    Steady,
    /// From a third of it up to all of it, to the end.
    Ramp,
    /// Half of it, all of it for a few seconds, half again.
    Spike,
}

/// A fault and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Injected {
    /// Which.
    pub fault: FaultKind,
    /// From the run's start, ms.
    pub at_ms: u64,
    /// For how long, ms.
    pub for_ms: u64,
    /// All its knobs.
    pub knobs: BTreeMap<String, f64>,
}

/// One case, as it was drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Its place among the cases of its seed.
    pub number: u32,
    /// What sort it is.
    pub sort: Sort,
    /// Scenarios of the catalogue whose sessions it has; two in a composite.
    pub scenarios: Vec<String>,
    /// What is injected.
    pub faults: Vec<Injected>,
    /// Load, as a multiple of the scenarios'.
    pub load: f64,
    /// How it goes on.
    pub shape: Shape,
    /// Is there a process beside it that burns CPU?
    pub neighbour: bool,
    /// Seed of the run.
    pub seed: u64,
    /// What the backend runs on.
    pub runtime: String,
    /// Stores on servers: the environment variables that name them. The others are embedded.
    pub stores: Vec<String>,
}

/// Scenarios in which the load itself is what is wrong: nothing is injected, so no truth is written down.
const CONDITIONS: [(&str, FindingKind); 2] =
    [("cpu-saturated", FindingKind::CpuSaturated), ("generator-limited", FindingKind::GeneratorLimited)];

/// The finding that must come out of a scenario whose load itself is what is wrong.
pub fn condition(scenario: &str) -> Option<FindingKind> {
    CONDITIONS.iter().find(|c| c.0 == scenario).map(|c| c.1)
}

/// Names of those scenarios.
pub fn conditions() -> impl Iterator<Item = &'static str> {
    CONDITIONS.iter().map(|c| c.0)
}

impl Case {
    /// Writes it into a run's folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(FILE_NAME);
        std::fs::write(&path, serde_json::to_string(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The case that the run in a folder was; none of a run that no score has drawn.
    ///
    /// # Errors
    /// Where the file is there and is no case of this dyno's.
    pub fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let wrong = |e| UserError::wrong(format!("{}: {e}; expected a case of `dyno score`", path.display()));
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }

    /// The finding that its load alone must lead to.
    pub fn condition(&self) -> Option<FindingKind> {
        self.scenarios.first().filter(|_| self.sort == Sort::Fault).and_then(|s| condition(s))
    }

    /// What it is, in one line.
    pub fn describe(&self) -> String {
        let mut text = self.scenarios.join(" + ");
        for injected in &self.faults {
            for (knob, value) in &injected.knobs {
                text += &format!(" {knob}={}", timeline::Unit::Count.show(*value));
            }
        }
        if self.shape != Shape::Steady {
            text += if self.shape == Shape::Ramp { ", ramp" } else { ", spike" };
        }
        if self.neighbour {
            text += ", noisy neighbour";
        }
        if self.runtime != RUST {
            text += &format!(", {}", self.runtime);
        }
        if !self.stores.is_empty() {
            text += &format!(", {}", self.stores.join(" "));
        }
        format!("{text}, load x{:.2}", self.load)
    }
}

/// A finding, as far as it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What it is.
    pub kind: FindingKind,
    /// About what.
    pub subject: String,
    /// How sure.
    pub status: Status,
    /// How bad.
    pub severity: Severity,
    /// When it began by the evidence, seconds of the run.
    pub onset_s: f64,
    /// When it was *likely*, or first *possible* while it is no more.
    pub found_at_s: f64,
    /// Its sentence.
    pub claim: String,
    /// It is put down to an earlier finding.
    pub consequence: bool,
}

impl From<&Finding> for Found {
    fn from(f: &Finding) -> Self {
        Self {
            kind: f.kind,
            subject: f.subject.clone(),
            status: f.status,
            severity: f.severity,
            onset_s: f.onset.as_secs_f64(),
            found_at_s: f.found_at.as_secs_f64(),
            claim: f.claim.clone(),
            consequence: f.caused_by.is_some(),
        }
    }
}

/// A fault's life, by the truth: the earliest of all processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Which.
    pub fault: FaultKind,
    /// When the switch was thrown, seconds of the run.
    pub armed_s: f64,
    /// When it first took effect; none: never.
    pub onset_s: Option<f64>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It can be judged.
    Valid,
    /// It measured itself badly.
    Invalid,
    /// It left no summary, or no truth.
    Broken,
}

/// What was seen of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// How its last run ended.
    pub end: End,
    /// Why, where it was not valid.
    pub why: String,
    /// Runs until one was valid; the rest were invalid.
    pub runs: u32,
    /// Findings, ranked.
    pub findings: Vec<Found>,
    /// What was really wrong.
    pub truth: Vec<Began>,
}

/// A line of `score.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was tried.
    pub case: Case,
    /// What was seen.
    pub seen: Seen,
}
