//! Figures under the names that monitoring knows them by: of a run that ended, or of one that goes on.
//!
//! Owns names and labels, so that `metrics.txt`, the page that Prometheus scrapes, what goes out by OTLP and the
//! Grafana dashboard agree. How they are written down is [`crate::openmetrics`]'s and [`crate::otlp`]'s business.
//! Values only, no time stamps. Seconds and bytes, as that world expects.

mod ended;
mod live;

pub use ended::of_summary;
pub use live::of_snapshot;

use timeline::text::clean;

/// Nanoseconds in a second.
const NS_PER_S: f64 = 1e9;
/// Longest value of a label, characters.
const LABEL: usize = 120;

/// Name and value of each label.
pub type Labels = Vec<(String, String)>;

/// Names of the figures, without the prefix `dyno_`.
pub mod names {
    /// 1 for the verdict of the run.
    pub const VERDICT: &str = "verdict";
    /// 1 if a gate holds, 0 if it fails.
    pub const GATE_HOLDS: &str = "gate_holds";
    /// Failed steps by kind of error.
    pub const ERRORS: &str = "errors";
    /// Starts by what became of them.
    pub const STARTS: &str = "starts";
    /// Finished steps.
    pub const STEPS: &str = "steps";
    /// Failed steps by step.
    pub const STEP_ERRORS: &str = "step_errors";
    /// Response time.
    pub const RESPONSE: &str = "response_seconds";
    /// Service time.
    pub const SERVICE: &str = "service_seconds";
    /// Response time of the last five seconds.
    pub const RECENT: &str = "recent_response_seconds";
    /// When a finding began.
    pub const FINDING: &str = "finding_onset_seconds";
    /// Lanes.
    pub const LANE: &str = "lane";
    /// The load now, per second.
    pub const LOAD: &str = "load_per_second";
    /// What is open now.
    pub const OPEN: &str = "open";
    /// How long the run goes on.
    pub const RUN: &str = "run_seconds";
}

/// A figure with all its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// With its prefix: `dyno_steps`.
    pub name: String,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// Labels and value, as many as there are.
    pub points: Vec<(Labels, f64)>,
}

/// All figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Labels that every value has.
    run: Labels,
    /// In the order in which they are written down.
    pub families: Vec<Family>,
}

impl Figures {
    fn of(scenario: &str, run: &str) -> Self {
        let run = [("scenario", scenario), ("run", run)].map(|(k, v)| (k.to_owned(), clean(v, LABEL)));
        Self { run: run.to_vec(), families: Vec::new() }
    }

    fn family(&mut self, name: &str, help: &'static str) -> Adding<'_> {
        self.families.push(Family { name: format!("dyno_{name}"), help, points: Vec::new() });
        let Some(family) = self.families.last_mut() else { unreachable!("one was pushed") };
        Adding { run: &self.run, family }
    }
}

struct Adding<'a> {
    run: &'a Labels,
    family: &'a mut Family,
}

impl Adding<'_> {
    /// The same labels again are the same value: two texts may be one once they are cut.
    fn set(&mut self, labels: &[(&str, &str)], value: f64) {
        let own = labels.iter().map(|(k, v)| ((*k).to_owned(), clean(v, LABEL)));
        let labels: Labels = self.run.iter().cloned().chain(own).collect();
        match self.family.points.iter_mut().find(|(known, _)| *known == labels) {
            Some(point) => point.1 = value,
            None => self.family.points.push((labels, value)),
        }
    }

    fn quantiles<const N: usize>(&mut self, step: &str, values: [(&str, Option<f64>); N]) {
        for (q, ns) in values {
            if let Some(ns) = ns {
                self.set(&[("step", step), ("quantile", q)], ns / NS_PER_S);
            }
        }
    }
}
