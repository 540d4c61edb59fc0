//! What a detector may know of a plan: phases, their load, step names. Nothing else leaves here.

use timeline::facts::{LoadModel, PhaseFacts, PlanFacts};
use timeline::{RunTime, Span};

use crate::plan::{Of, RunPlan};

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
                let (from, to) = phase.model.ends();
                let model = match phase.model.of() {
                    Of::Sessions => LoadModel::Sessions,
                    Of::Arrivals => LoadModel::Arrivals,
                    Of::Requests => LoadModel::Requests,
                };
                PhaseFacts { name: phase.name.clone(), span, warmup: phase.warmup, model, from, to }
            })
            .collect();
        PlanFacts { phases, steps: self.steps.clone(), ..PlanFacts::default() }
    }
}
