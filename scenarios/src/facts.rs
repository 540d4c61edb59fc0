//! What a detector may know of a plan: phases, their load, step names. Nothing else leaves here.

use timeline::facts::{LoadModel, PhaseFacts, PlanFacts};
use timeline::{RunTime, Span};

use crate::plan::{Model, RunPlan};

impl RunPlan {
    /// The plan as detectors see it: no name of scenario or fault.
    #[must_use]
    pub fn facts(&self) -> PlanFacts {
        let mut start = RunTime::ZERO;
        let phases = self
            .phases
            .iter()
            .map(|phase| {
                let span = Span::new(start, RunTime(start.0 + phase.length_ns));
                start = span.end;
                let (model, from, to) = match phase.model {
                    Model::Sessions { from, to } => (LoadModel::Sessions, from, to),
                    Model::Arrivals { from, to } => (LoadModel::Arrivals, from, to),
                    Model::Requests { from, to } => (LoadModel::Requests, from, to),
                };
                PhaseFacts { name: phase.name.clone(), span, warmup: phase.warmup, model, from, to }
            })
            .collect();
        PlanFacts { phases, steps: self.steps.clone() }
    }
}
