//! Coded journeys in the engine: a plan's journey made ready, and the stage that a worker's visitors share.
//!
//! Owns the join between the plan's step ids and the code's transactions, and what a failure of the code is called here.
//! Walking one, on the session's schedule, is `session::journey`'s business; goose is known to the crate `journeys` alone.

use std::io;
use std::sync::Arc;

use journeys::{Failure, Seen, Stage, StageOptions};
use scenarios::plan::{self, BaseUrl, Dist, RunPlan, Step};

use crate::kind::ErrorKind;
use crate::program::BadPlan;
use crate::protocol::Segment;

/// A journey, ready to be walked.
#[derive(Debug)]
pub struct Coded {
    /// Its name.
    pub name: String,
    /// Pause between two transactions of a visit.
    pub pause: Option<Dist>,
    /// For each transaction, in the order of the code: its step, and the step of what is timed inside it.
    pub steps: Vec<(usize, usize)>,
}

impl Coded {
    /// The journey of a plan with so many steps.
    ///
    /// # Errors
    /// If a step has no name.
    pub fn of(journey: &plan::Journey, steps: usize) -> Result<Self, BadPlan> {
        let id = |id: plan::StepId| {
            let i = usize::from(id.0);
            if i < steps { Ok(i) } else { Err(BadPlan::Step(id.0)) }
        };
        Ok(Self {
            name: journey.name.clone(),
            pause: journey.pause,
            steps: journey.steps.iter().map(|s| Ok((id(s.id)?, id(s.inside)?))).collect::<Result<_, _>>()?,
        })
    }
}

/// The stage of a worker, if its plan has journeys at all: without them no client is made.
///
/// # Errors
/// If the journeys cannot go to the target, the client cannot be made or the plan names a journey that this build lacks.
pub fn stage(segment: &Segment) -> Result<Option<Arc<Stage>>, BadPlan> {
    let Segment { plan, url, address, sources, .. } = segment;
    check(plan, url).map_err(BadPlan::Journey)?;
    let names = names(plan);
    if names.is_empty() {
        return Ok(None);
    }
    let text = format!("{url}/");
    let (compression, seed) = (plan.transport.compression, plan.seed);
    let options = StageOptions { url: &text, address: *address, sources, compression, seed };
    Stage::new(options, names).map(|stage| Some(Arc::new(stage))).map_err(|e| BadPlan::Journey(e.to_string()))
}

/// Can the plan's journeys, if there are any, go to this target? The parser of scenarios asks the same.
///
/// # Errors
/// Why they cannot.
pub fn check(plan: &RunPlan, url: &BaseUrl) -> Result<(), String> {
    if url.tls && !names(plan).is_empty() {
        // The scenario's authorities and certificates do not reach goose's client: it would judge the target by others.
        return Err("coded journeys go to http:// targets only; steps in TOML go to https:// too".to_owned());
    }
    Ok(())
}

/// The names of all journeys of a plan.
fn names(plan: &RunPlan) -> Vec<&str> {
    let mut names = Vec::new();
    plan.sessions.iter().for_each(|kind| collect(&mut kind.steps.iter(), &mut names));
    names
}

fn collect<'a>(steps: &mut dyn Iterator<Item = &'a Step>, into: &mut Vec<&'a str>) {
    for step in steps {
        match step {
            Step::Journey(journey) => into.push(&journey.name),
            _ => collect(&mut step.inner(), into),
        }
    }
}

/// What a failed transaction is called.
#[must_use]
pub fn kind_of(failure: Failure) -> ErrorKind {
    let io = |number: Option<i32>| number.map(io::Error::from_raw_os_error);
    match failure {
        Failure::Connect(number) => io(number).map_or(ErrorKind::Other, |e| ErrorKind::of_connect(&e)),
        Failure::Broken(number) => io(number).map_or(ErrorKind::ClosedEarly, |e| ErrorKind::of_io(&e)),
        Failure::Timeout => ErrorKind::Timeout,
        Failure::Status => ErrorKind::Status,
        Failure::Judged => ErrorKind::Check,
        Failure::Other => ErrorKind::Other,
    }
}

/// What a request that went wrong makes of a transaction that did not say so.
#[must_use]
pub fn kind_of_seen(seen: &Seen) -> Option<ErrorKind> {
    match seen {
        Seen { well: true, .. } => None,
        Seen { status: 400.., .. } => Some(ErrorKind::Status),
        Seen { exchange: true, .. } | Seen { correction: true, .. } => Some(ErrorKind::Check),
        _ => Some(ErrorKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_names_that_steps_have() {
        assert_eq!(kind_of(Failure::Connect(Some(111))), ErrorKind::ConnectRefused);
        assert_eq!(kind_of(Failure::Broken(Some(104))), ErrorKind::Reset);
        assert_eq!(kind_of(Failure::Broken(None)), ErrorKind::ClosedEarly);
        let seen = Seen { us: 1, exchange: false, status: 503, well: false, correction: false };
        assert_eq!(kind_of_seen(&seen), Some(ErrorKind::Status));
        assert_eq!(kind_of_seen(&Seen { well: true, ..seen }), None);
    }
}
