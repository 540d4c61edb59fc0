//! The explanation of a run: what `dyno explain` tells, as a document for machines and a story for people.
//!
//! Owns the form of `dyno explain --json` (see `schema/explain.schema.json`). Findings and breakdowns are the diagnosis's, the
//! verdict is the summary's; nothing is judged here.

mod story;
mod verification;

use serde::{Deserialize, Serialize};
use timeline::{Breakdown, FindingKind, Status};

use crate::summary::{Summary, Told, Verdict};

pub use story::story;
pub use verification::{Side, Sides, Tried, Verification};

/// Version of the form; raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// JSON Schema of the form.
pub const SCHEMA: &str = include_str!("../schema/explain.schema.json");

/// What happened in a run, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`VERSION`].
    pub version: u32,
    /// Which run.
    pub run: Run,
    /// Pass, fail or invalid.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub verdict_reason: String,
    /// Ranked: cause before consequence, worst first.
    pub findings: Vec<Told>,
    /// Where the response time goes, before and since the roots that it could be told for.
    pub breakdowns: Vec<Breakdown>,
    /// Every kind of finding and what came of looking for it, in the detectors' order.
    pub looked_for: Vec<Looked>,
    /// What was attached and what cannot be seen, a line each.
    pub attached: Vec<String>,
    /// Things to know about the run itself.
    pub notes: Vec<String>,
    /// What came of running it again with its advice applied, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

/// Which run is told about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its identity.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Address of the target.
    pub target: String,
    /// When it started, UTC.
    pub started: String,
    /// Its length, ns.
    pub length: u64,
    /// Version of dyno that recorded it.
    pub dyno: String,
}

/// What came of looking for one kind of finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// Which kind.
    pub kind: FindingKind,
    /// The best status over the run.
    pub status: Status,
    /// The claim, or why it could not be told: what is missing, how much data it takes, who speaks in its place.
    pub text: String,
}

impl Explanation {
    /// The explanation of the run that `summary` sums up.
    #[must_use]
    pub fn new(summary: &Summary, breakdowns: Vec<Breakdown>, looked_for: Vec<Looked>) -> Self {
        Self {
            version: VERSION,
            run: Run {
                id: summary.end.run_id.clone(),
                scenario: summary.scenario.name.clone(),
                seed: summary.scenario.seed,
                target: summary.target.url.clone(),
                started: summary.end.started.clone(),
                length: summary.end.length,
                dyno: summary.versions.dyno.clone(),
            },
            verdict: summary.verdict,
            verdict_reason: summary.verdict_reason.clone(),
            findings: summary.findings.clone(),
            breakdowns,
            looked_for,
            attached: summary.target.attached.clone(),
            notes: summary.notes.clone(),
            verification: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::schema::check;
    use serde_json::Value;

    #[test]
    fn explanations_are_what_the_schema_says() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        for run in [fixture::flash_sale(), fixture::hostile(), fixture::starved()] {
            let value = serde_json::to_value(run.explanation()).unwrap();
            check(&schema, &schema, &value, "explanation");
            let back: Explanation = serde_json::from_value(value).unwrap();
            assert_eq!(back, run.explanation());
        }
    }
}
