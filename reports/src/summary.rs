//! The summary: every figure of a run, computed once; all formats show these and no others.
//!
//! Also the form of `summary.json`. Owns the verdict and the exit
//! code that follows from it. Times are nanoseconds unless a name says otherwise.

use std::collections::BTreeMap;

use serde::Serialize;
use timeline::facts::{EndReason, RunEnd, RunMeta};
use timeline::figures;
use timeline::gate::Gate;
use timeline::histogram::{self, Histogram};
use timeline::lane::{Shape, names};
use timeline::{Finding, FindingKind, Quality, Span, Status, Timeline, Unit};

/// Version of the form of `summary.json`; raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// Every figure of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    /// Pass, fail or invalid.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub verdict_reason: String,
    /// Ranked: cause before consequence, worst first.
    pub findings: Vec<Finding>,
    /// Each gate and how it stands.
    pub gates: Vec<GateResult>,
    /// All steps together.
    pub total: Step,
    /// Each step in the plan's order.
    pub steps: Vec<Step>,
    /// Failed steps by kind of error, most frequent first.
    pub errors: Vec<ErrorCount>,
    /// Each phase.
    pub phases: Vec<Phase>,
    /// Lanes by canonical name, over all instances and subjects.
    pub lanes: BTreeMap<String, Lane>,
    /// The load generator's own health.
    pub generator: Generator,
    /// What was loaded and watched.
    pub target: Target,
    /// What was run.
    pub scenario: Scenario,
    /// Who wrote this.
    pub versions: Versions,
    /// When and how it ended.
    pub end: End,
    /// The machine.
    pub host: BTreeMap<String, String>,
    /// Things to know about the run itself.
    pub notes: Vec<String>,
}

/// Whether a run passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every gate holds, or is undecided.
    Pass,
    /// A gate fails.
    Fail,
    /// The run measured itself badly: neither.
    Invalid,
}

impl Verdict {
    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }
}

/// A gate at the end of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateResult {
    /// The expression.
    pub that: String,
    /// True, false, or null: undecided.
    pub holds: Option<bool>,
    /// The figure with its unit, or why there is none.
    pub figure: String,
    /// The figure as a number; null without samples.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: Unit,
    /// Samples behind it.
    pub samples: u64,
}

/// Quantiles of a time, nanoseconds; null without samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Greatest.
    pub max: Option<f64>,
}

impl Times {
    fn of(h: &Histogram) -> Self {
        let q = |q| histogram::quantile_ns(h, q);
        Self {
            count: h.len(),
            mean: (!h.is_empty()).then(|| h.mean() * 1e3),
            p50: q(0.5),
            p90: q(0.9),
            p95: q(0.95),
            p99: q(0.99),
            p999: q(0.999),
            max: q(1.0),
        }
    }
}

/// A step over the run, warm-up left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its name; empty for all together.
    pub name: String,
    /// Finished, failures among them.
    pub count: u64,
    /// Failed.
    pub errors: u64,
    /// What `response` is: `response`, or `first-byte` or `exchange` where somebody else's clock says when it ends.
    pub measures: &'static str,
    /// Finished - intended.
    pub response: Times,
    /// Finished - started.
    pub service: Times,
}

/// How often one kind of error was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// Which kind.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// A phase and its load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When.
    pub span: Span,
    /// Left out of figures and gates.
    pub warmup: bool,
    /// Planned starts.
    pub offered: u64,
    /// Starts.
    pub achieved: u64,
    /// Steps finished.
    pub completed: u64,
    /// Steps that failed.
    pub errors: u64,
}

/// A lane over the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lane {
    /// Unit of the figures.
    pub unit: Unit,
    /// How far they can be trusted.
    pub quality: Quality,
    /// Level, rate or histogram.
    pub shape: Shape,
    /// Processes (and subjects) that have it.
    pub instances: usize,
    /// Samples.
    pub count: u64,
    /// Least.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

/// The load generator's own health.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generator {
    /// It could not keep its schedule: the run is invalid.
    pub limited: bool,
    /// Worker processes.
    pub workers: u32,
    /// Planned starts.
    pub offered: u64,
    /// Starts.
    pub achieved: u64,
    /// Starts later than 10 ms.
    pub late: u64,
    /// Planned starts that never happened.
    pub dropped: u64,
    /// Started - due.
    pub lateness: Times,
    /// Error of the schedule's timer.
    pub release_error: Times,
    /// Longest hiccup, ns; null if none was read.
    pub hiccup_max: Option<f64>,
    /// Median CPU of all workers, cores; null if none was read.
    pub cpu_median: Option<f64>,
}

/// What was loaded and watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// The bundled reference backend.
    pub bundled: bool,
    /// What was attached and what cannot be seen.
    pub attached: Vec<String>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its `about` line.
    pub about: String,
    /// Seed of everything random.
    pub seed: u64,
}

/// Who wrote what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// dyno that ran it.
    pub dyno: String,
    /// Form of the recording.
    pub recording: u32,
    /// Form of this summary.
    pub summary: u32,
}

/// When and how a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// Identity of the run.
    pub run_id: String,
    /// Start, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// Length, ns.
    pub length: u64,
    /// `completed`, `interrupted`, `gate-aborted`, `unreachable`, `cut-off`.
    pub reason: &'static str,
}

impl Summary {
    /// Computes everything. `end` is none for a recording that was cut off.
    #[must_use]
    pub fn new(meta: &RunMeta, timeline: &Timeline, findings: &[Finding], end: Option<&RunEnd>) -> Self {
        let spans = figures::measured(timeline);
        let gates = judge(meta, timeline, findings);
        let generator = generator(meta, timeline, findings, &spans);
        let (verdict, verdict_reason) = verdict(&gates, findings);
        Self {
            version: VERSION,
            verdict,
            verdict_reason,
            findings: findings.to_vec(),
            total: step(timeline, None, &spans),
            steps: figures::steps(timeline).iter().map(|s| step(timeline, Some(s), &spans)).collect(),
            errors: figures::errors_by_kind(timeline, &spans)
                .into_iter()
                .map(|(kind, count)| ErrorCount { kind, count })
                .collect(),
            phases: phases(timeline),
            lanes: lanes(timeline, &spans),
            generator,
            gates,
            target: Target {
                url: meta.target.clone(),
                bundled: meta.bundled,
                attached: meta.attached.clone(),
            },
            scenario: Scenario { name: meta.scenario.clone(), about: meta.about.clone(), seed: meta.seed },
            versions: Versions {
                dyno: meta.dyno_version.clone(),
                recording: timeline::recording::VERSION,
                summary: VERSION,
            },
            end: End {
                run_id: meta.run_id.clone(),
                started_unix_ms: meta.started_unix_ms,
                length: end.map_or(timeline.now(), |e| e.at).0,
                reason: reason(end),
            },
            host: meta.host.iter().cloned().collect(),
            notes: meta
                .notes
                .iter()
                .cloned()
                .chain(end.map(|e| e.notes.clone()).unwrap_or_default())
                .collect(),
        }
    }

    /// The exit code that the verdict asks for: 0, 3 or 5. Under `ci` an undecided gate fails.
    #[must_use]
    pub fn exit_code(&self, ci: bool) -> u8 {
        match self.verdict {
            Verdict::Invalid => 5,
            Verdict::Fail => 3,
            Verdict::Pass if ci && self.gates.iter().any(|g| g.holds.is_none()) => 3,
            Verdict::Pass => 0,
        }
    }
}

fn reason(end: Option<&RunEnd>) -> &'static str {
    match end.map(|e| e.reason) {
        None => "cut-off",
        Some(EndReason::Completed) => "completed",
        Some(EndReason::Interrupted) => "interrupted",
        Some(EndReason::GateAborted) => "gate-aborted",
        Some(EndReason::Unreachable) => "unreachable",
    }
}

/// Gates were checked before the run; one that no longer parses is of a newer dyno, and undecided.
fn judge(meta: &RunMeta, timeline: &Timeline, findings: &[Finding]) -> Vec<GateResult> {
    let at = timeline.now().max(timeline.plan().end());
    meta.gates
        .iter()
        .map(|that| match Gate::parse(that) {
            Ok(gate) => {
                let j = gate.judge(timeline, findings, at);
                let (that, holds) = (that.clone(), j.holds);
                GateResult { that, holds, figure: j.figure, value: j.value, unit: j.unit, samples: j.samples }
            }
            Err(e) => GateResult {
                that: that.clone(),
                holds: None,
                figure: e.to_string(),
                value: None,
                unit: Unit::Count,
                samples: 0,
            },
        })
        .collect()
}

fn verdict(gates: &[GateResult], findings: &[Finding]) -> (Verdict, String) {
    let limited =
        findings.iter().find(|f| f.kind == FindingKind::GeneratorLimited && f.status >= Status::Likely);
    if let Some(f) = limited {
        return (Verdict::Invalid, format!("the load generator could not keep its schedule: {}", f.claim));
    }
    let failed: Vec<&GateResult> = gates.iter().filter(|g| g.holds == Some(false)).collect();
    if let Some(first) = failed.first() {
        let more = failed.len() - 1;
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        return (Verdict::Fail, format!("gate `{}` fails: {}{more}", first.that, first.figure));
    }
    let undecided = gates.iter().filter(|g| g.holds.is_none()).count();
    let reason = match (gates.len(), undecided) {
        (0, _) => "no gate was set".to_owned(),
        (n, 0) => format!("all {n} gates hold"),
        (n, u) => format!("{u} of {n} gates are undecided, the others hold"),
    };
    (Verdict::Pass, reason)
}

fn step(timeline: &Timeline, name: Option<&str>, spans: &[Span]) -> Step {
    let f = figures::step_figures(timeline, name, spans);
    Step {
        name: name.unwrap_or_default().to_owned(),
        count: f.count,
        errors: f.errors,
        measures: figures::measures(timeline, name),
        response: Times::of(&f.response),
        service: Times::of(&f.service),
    }
}

fn phases(timeline: &Timeline) -> Vec<Phase> {
    let plan = timeline.plan();
    plan.phases
        .iter()
        .map(|p| {
            let load = figures::load(timeline, &[p.span]);
            Phase {
                name: p.name.clone(),
                span: p.span,
                warmup: p.warmup,
                offered: load.offered,
                achieved: load.achieved,
                completed: load.completed,
                errors: load.errors,
            }
        })
        .collect()
}

fn lanes(timeline: &Timeline, spans: &[Span]) -> BTreeMap<String, Lane> {
    let mut found = BTreeMap::new();
    for series in timeline.series() {
        let name = &series.spec.name;
        if found.contains_key(name) {
            continue;
        }
        if let Some(s) = figures::lane_stats(timeline, name, None, spans) {
            let lane = Lane {
                unit: s.spec.unit,
                quality: s.spec.quality,
                shape: s.spec.shape,
                instances: s.instances,
                count: s.count,
                min: s.min,
                median: s.median,
                p99: s.p99,
                max: s.max,
            };
            found.insert(name.clone(), lane);
        }
    }
    found
}

fn generator(meta: &RunMeta, timeline: &Timeline, findings: &[Finding], spans: &[Span]) -> Generator {
    let load = figures::load(timeline, spans);
    let stats = |name: &str| figures::lane_stats(timeline, name, None, spans);
    Generator {
        limited: verdict(&[], findings).0 == Verdict::Invalid,
        workers: meta.workers,
        offered: load.offered,
        achieved: load.achieved,
        late: load.late,
        dropped: load.dropped,
        lateness: Times::of(&figures::merged(timeline, names::LATENESS, None, spans)),
        release_error: Times::of(&figures::merged(timeline, names::RELEASE_ERROR, None, spans)),
        hiccup_max: stats(names::GENERATOR_HICCUP).map(|s| s.max),
        cpu_median: stats(names::GENERATOR_CPU).map(|s| s.median),
    }
}
