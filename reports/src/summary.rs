//! The summary: every figure of a run, computed once; all formats show these and no others.
//!
//! Also the form of `summary.json` (see `schema/summary.schema.json`). Owns the verdict; the exit code
//! that follows from it is the command line's. Times are nanoseconds unless a name says otherwise.

mod felt;
mod read;
mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use timeline::facts::{EndReason, LoadModel, RunEnd, RunMeta};
use timeline::figures;
use timeline::histogram::{self, Histogram};
use timeline::lane::{Shape, names};
use timeline::text::plural;
use timeline::{Finding, Quality, RunTime, Span, Timeline, Unit};

use crate::date;

pub use felt::{Felt, Stretch};

/// Version of the form of `summary.json`; raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// JSON Schema of `summary.json`.
pub const SCHEMA: &str = include_str!("../schema/summary.schema.json");

/// Every figure of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    /// Pass, fail or invalid.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub verdict_reason: String,
    /// Ranked: cause before consequence, worst first.
    pub findings: Vec<Told>,
    /// Each gate and how it stands.
    pub gates: Vec<GateResult>,
    /// All steps together.
    pub total: Step,
    /// Each step in the plan's order.
    pub steps: Vec<Step>,
    /// Failed steps by kind of error, most frequent first.
    pub errors: Vec<ErrorCount>,
    /// Requests that were sent again, since the target had reset, refused or dropped them unanswered: they are no errors; 0 in files of
    /// older versions.
    #[serde(default)]
    pub retried: u64,
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

/// A finding, with its times also in seconds for who reads the file by eye.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// As the diagnosis gave it; times in nanoseconds.
    #[serde(flatten)]
    pub finding: Finding,
    /// When it began, seconds.
    pub onset_s: f64,
    /// When it was found, seconds.
    pub found_at_s: f64,
    /// When it was last seen, seconds; null while it lasts.
    pub ended_s: Option<f64>,
    /// The latest evidence of it, seconds, whether it has ended or not; null in files of older versions.
    #[serde(default)]
    pub last_s: Option<f64>,
    /// What clients felt of it; only of the first roots that are likely at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub felt: Option<Felt>,
}

impl From<&Finding> for Told {
    fn from(f: &Finding) -> Self {
        Self {
            finding: f.clone(),
            onset_s: f.onset.as_secs_f64(),
            found_at_s: f.found_at.as_secs_f64(),
            ended_s: f.ended.map(RunTime::as_secs_f64),
            last_s: f.last.map(RunTime::as_secs_f64),
            felt: None,
        }
    }
}

/// Whether a run passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The expression.
    pub that: String,
    /// True, false, or null: undecided.
    pub holds: Option<bool>,
    /// The figure with its unit, or why there is none.
    pub figure: String,
    /// The figure as a number; null without samples.
    pub value: Option<f64>,
    /// What it was compared with; null for gates on findings.
    pub limit: Option<f64>,
    /// Unit of both.
    pub unit: Unit,
    /// Samples behind it.
    pub samples: u64,
    /// The span that was judged: the gate's phases, or the worst window of them.
    pub window: Span,
}

/// Quantiles of a time, nanoseconds; null without samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
            // To the nanosecond: the rest is below the histogram's precision.
            mean: (!h.is_empty()).then(|| (h.mean() * 1e3).round()),
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name; empty for all together.
    pub name: String,
    /// Finished, failures among them.
    pub count: u64,
    /// Failed.
    pub errors: u64,
    /// Finished per second of load, what finished after the last phase left out; null without load.
    #[serde(default)]
    pub rate: Option<f64>,
    /// What `response` is: `response`, or `first-byte` or `exchange` where somebody else's clock says when it ends.
    pub measures: String,
    /// Finished - intended.
    pub response: Times,
    /// Finished - started.
    pub service: Times,
}

/// How often one kind of error was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Which kind.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// Of kind `status`: by which status, most frequent first. What is missing to the count are statuses that were not told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusCount>,
}

impl ErrorCount {
    /// The kind as people read it, with the statuses: `timeout`, `status 503`, `status (503: 80, 429: 20)`.
    #[must_use]
    pub fn told(&self) -> String {
        if self.statuses.is_empty() {
            return self.kind.clone();
        }
        if let [only] = self.statuses.as_slice()
            && only.count == self.count
        {
            return format!("{} {}", self.kind, only.status);
        }
        let mut list: Vec<String> =
            self.statuses.iter().map(|s| format!("{}: {}", s.status, s.count)).collect();
        let others = self.others();
        if others > 0 {
            list.push(format!("others: {others}"));
        }
        format!("{} ({})", self.kind, list.join(", "))
    }

    /// Those that no status is told of.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.count.saturating_sub(self.statuses.iter().map(|s| s.count).sum())
    }
}

/// How often steps failed by one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// Which status.
    pub status: u16,
    /// How often.
    pub count: u64,
}

/// A phase and its load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When.
    pub span: Span,
    /// Left out of figures and gates.
    pub warmup: bool,
    /// How load was applied.
    pub model: LoadModel,
    /// Load asked for at its start: sessions, or arrivals per second.
    pub from: f64,
    /// Load asked for at its end.
    pub to: f64,
    /// Planned starts.
    pub offered: u64,
    /// Starts.
    pub achieved: u64,
    /// Steps finished.
    pub completed: u64,
    /// Steps that failed.
    pub errors: u64,
    /// Response time of all steps that ended in it.
    pub response: Times,
}

/// A lane over the run, warm-up left out; one without a sample is left out too: no data is not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// It could not keep its schedule, as a finding says or the figures of the whole run: the run is invalid.
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
    /// Greatest CPU of all workers, cores; null if none was read.
    pub cpu_max: Option<f64>,
    /// Greatest share of the machine's CPU time that went to other machines; null if none was read.
    pub steal_max: Option<f64>,
}

impl Generator {
    /// How many of the planned starts were made. One that was due right before the warm-up's end is a start behind it, and planned before.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.achieved.min(self.offered)
    }

    /// Were so many starts of the whole run so late that its times say little about the target? The finding looks at whole seconds of a
    /// load that has settled, which a short run, or one of short phases, has few of.
    fn was_late(&self) -> bool {
        /// Share of the starts: what the finding needs, too.
        const SHARE: f64 = 0.15;
        /// Lateness that response times of some milliseconds drown in, ns.
        const LATE_NS: f64 = 50e6;
        /// Below so many a p99 is one sample.
        const LEAST_STARTS: u64 = 100;
        let late = self.late as f64 >= SHARE * self.achieved as f64;
        self.achieved >= LEAST_STARTS && late && self.lateness.p99.is_some_and(|p99| p99 >= LATE_NS)
    }
}

/// What was loaded and watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// The bundled reference backend.
    pub bundled: bool,
    /// What was attached and what cannot be seen.
    pub attached: Vec<String>,
    /// Its processes, as far as they could be watched.
    pub processes: Vec<Process>,
}

/// A process of the target, warm-up left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Name of the instance.
    pub name: String,
    /// Median CPU, cores.
    pub cpu_median: Option<f64>,
    /// Greatest CPU, cores.
    pub cpu_max: Option<f64>,
    /// Greatest resident memory, bytes.
    pub resident_max: Option<f64>,
    /// Most open descriptors.
    pub descriptors_max: Option<f64>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its `about` line.
    pub about: String,
    /// Seed of everything random.
    pub seed: u64,
}

/// Who wrote what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// dyno that ran it.
    pub dyno: String,
    /// Form of the recording.
    pub recording: u32,
    /// Form of this summary.
    pub summary: u32,
}

/// When and how a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Identity of the run.
    pub run_id: String,
    /// Start, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// The same as people read it, UTC: `2026-11-23T08:17:32Z`.
    pub started: String,
    /// Length, ns.
    pub length: u64,
    /// Length of the measured part, without warm-up and drain, ns.
    pub measured: u64,
    /// Why it ended.
    pub reason: Reason,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The plan was carried out.
    Completed,
    /// A person asked for an early end.
    Interrupted,
    /// A gate's patience ran out.
    GateAborted,
    /// The target could not be reached at all.
    Unreachable,
    /// The recording has no end: dyno was killed, or its disk was full.
    CutOff,
}

impl Reason {
    /// Of a recording's end.
    #[must_use]
    pub fn of(end: Option<&RunEnd>) -> Self {
        match end.map(|e| e.reason) {
            None => Self::CutOff,
            Some(EndReason::Completed) => Self::Completed,
            Some(EndReason::Interrupted) => Self::Interrupted,
            Some(EndReason::GateAborted) => Self::GateAborted,
            Some(EndReason::Unreachable) => Self::Unreachable,
        }
    }

    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::GateAborted => "gate-aborted",
            Self::Unreachable => "unreachable",
            Self::CutOff => "cut-off",
        }
    }
}

impl Summary {
    /// Computes everything. `end` is none for a recording that was cut off.
    #[must_use]
    pub fn new(meta: &RunMeta, timeline: &Timeline, findings: &[Finding], end: Option<&RunEnd>) -> Self {
        let spans = figures::measured(timeline);
        let end_notes = end.map(|e| e.notes.as_slice()).unwrap_or_default();
        let mut summary = Self {
            version: VERSION,
            verdict: Verdict::Pass,
            verdict_reason: String::new(),
            findings: findings.iter().map(Told::from).collect(),
            gates: verdict::gates(meta, timeline, findings),
            total: read::step(timeline, None, &spans),
            steps: figures::steps(timeline).iter().map(|s| read::step(timeline, Some(s), &spans)).collect(),
            errors: read::errors(timeline, &spans),
            retried: figures::total(timeline, names::RETRIED, None, &spans),
            phases: read::phases(timeline),
            lanes: read::lanes(timeline, &spans),
            generator: read::generator(meta, timeline, &spans),
            target: read::target(meta, timeline, &spans),
            scenario: Scenario { name: meta.scenario.clone(), about: meta.about.clone(), seed: meta.seed },
            versions: Versions {
                dyno: meta.dyno_version.clone(),
                recording: timeline::recording::VERSION,
                summary: VERSION,
            },
            end: End {
                run_id: meta.run_id.clone(),
                started_unix_ms: meta.started_unix_ms,
                started: date::utc(meta.started_unix_ms),
                length: end.map_or(timeline.now(), |e| e.at).0,
                measured: (figures::seconds(timeline, &spans) * 1e9) as u64,
                reason: Reason::of(end),
            },
            host: meta.host.iter().cloned().collect(),
            notes: meta
                .notes
                .iter()
                .chain(end_notes)
                .cloned()
                .chain(timeline.plan().changes.told(timeline.now()))
                .collect(),
        };
        let sent_again = summary.sent_again();
        summary.notes.extend(sent_again);
        felt::tell(&mut summary, timeline, &spans);
        summary.generator.limited = verdict::limited(findings).is_some() || summary.generator.was_late();
        let (verdict, why) = verdict::of(&summary, meta, timeline, findings);
        summary.verdict = verdict;
        summary.verdict_reason = why;
        summary
    }

    /// What became of requests that were no errors, but might have been.
    fn sent_again(&self) -> Option<String> {
        let were = if self.retried == 1 { "was" } else { "were" };
        let requests = plural(self.retried as usize, "request");
        (self.retried > 0).then(|| {
            format!(
                "{requests} {were} reset, refused or dropped unanswered by the target, and {were} sent again: no error is counted for that"
            )
        })
    }

    /// Most sessions that were open at once; none if nobody told of any. Older recordings, and other tools, tell of those that were seen
    /// at some moments only.
    #[must_use]
    pub fn most_sessions(&self) -> Option<f64> {
        let lanes = [names::MOST_SESSIONS, names::OPEN_SESSIONS];
        lanes.iter().find_map(|name| self.lanes.get(*name)).map(|lane| lane.max)
    }

    /// What speaks against the run as a whole, as a word and why, where the exit code is not 0 and no failing gate says it: it is invalid,
    /// a person ended it, or a gate ended it that holds again at the end.
    #[must_use]
    pub fn objection(&self) -> Option<(&'static str, &str)> {
        let gate_fails = self.gates.iter().any(|g| g.holds == Some(false));
        match (self.verdict, self.end.reason) {
            (Verdict::Invalid, _) => Some((Verdict::Invalid.name(), self.verdict_reason.as_str())),
            (_, Reason::Interrupted) => Some((Reason::Interrupted.name(), "a person ended the run early")),
            (Verdict::Fail, Reason::GateAborted) if !gate_fails => {
                Some((Reason::GateAborted.name(), self.verdict_reason.as_str()))
            }
            (Verdict::Fail | Verdict::Pass, _) => None,
        }
    }

    /// Findings without a cause among the others: where the story begins.
    pub fn roots(&self) -> impl Iterator<Item = &Finding> {
        let known = |id: &str| self.findings.iter().any(|f| f.finding.id == id);
        self.findings.iter().map(|f| &f.finding).filter(move |f| !f.caused_by.as_deref().is_some_and(known))
    }

    /// What clients felt of a finding, if that is told.
    #[must_use]
    pub fn felt(&self, finding: &Finding) -> Option<&Felt> {
        self.findings.iter().find(|f| f.finding.id == finding.id)?.felt.as_ref()
    }

    /// When the run was over.
    #[must_use]
    pub fn over(&self) -> RunTime {
        RunTime(self.end.length)
    }

    /// The findings that `cause` led to.
    pub fn consequences<'a>(&'a self, cause: &'a Finding) -> impl Iterator<Item = &'a Finding> + 'a {
        self.findings.iter().map(|f| &f.finding).filter(|f| f.caused_by.as_deref() == Some(&cause.id))
    }

    /// Every finding in the order of cause and consequence, with its depth, for a margin. The profiler chooses causes so that
    /// following them always ends at a root, so each is told once.
    #[must_use]
    pub fn story(&self) -> Vec<(usize, &Finding)> {
        /// A line has room for no deeper margin; what hangs deeper is told as deep as that.
        const DEEPEST: usize = 6;
        fn walk<'a>(s: &'a Summary, f: &'a Finding, depth: usize, out: &mut Vec<(usize, &'a Finding)>) {
            out.push((depth.min(DEEPEST), f));
            // Once all are told nothing is left; two of one name, which only a damaged file has, do not go on for ever.
            if out.len() < s.findings.len() {
                s.consequences(f).for_each(|c| walk(s, c, depth + 1, out));
            }
        }
        let mut out = Vec::new();
        self.roots().for_each(|root| walk(self, root, 0, &mut out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::schema::check;
    use serde_json::Value;

    #[test]
    fn summaries_are_what_the_schema_says() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let empty = Summary::new(&RunMeta::default(), &Timeline::new(), &[], None);
        for summary in [fixture::flash_sale().summary(), fixture::hostile().summary(), empty] {
            check(&schema, &schema, &serde_json::to_value(&summary).unwrap(), "summary");
        }
    }

    #[test]
    fn the_verdict_follows_the_gates_and_the_generator() {
        let run = fixture::flash_sale();
        assert_eq!(run.summary().verdict, Verdict::Fail);
        assert_eq!(fixture::starved().summary().verdict, Verdict::Invalid);
        let with = |gates: &[&str]| {
            let gates = gates.iter().map(|g| (*g).to_owned()).collect();
            let meta = RunMeta { gates, ..run.meta.clone() };
            Summary::new(&meta, &run.timeline, &[], run.end.as_ref())
        };
        assert_eq!(with(&["errors < 1%"]).verdict, Verdict::Pass);
        let undecided = with(&["errors < 1%", "p99.999 < 10s"]);
        assert_eq!((undecided.verdict, undecided.gates[1].holds), (Verdict::Pass, None));
        assert_eq!(undecided.verdict_reason, "1 of 2 gates undecided, the others hold");
    }

    #[test]
    fn a_halted_run_passes_no_gate_on_response_time() {
        let mut run = fixture::flash_sale();
        let mut change = |s: u64, what: timeline::Amendment| {
            run.timeline.apply(&timeline::Entry::Event(what.event(RunTime::from_ms(s * 1_000))));
        };
        change(15, timeline::Amendment::Scale(0.9));
        change(20, timeline::Amendment::Halt);
        change(23, timeline::Amendment::GoOn);
        let with = |gates: &[&str]| {
            let gates = gates.iter().map(|g| (*g).to_owned()).collect();
            Summary::new(&RunMeta { gates, ..run.meta.clone() }, &run.timeline, &[], run.end.as_ref())
        };
        let s = with(&["p50 < 10s", "errors < 1%"]);
        assert_eq!((s.verdict, s.gates[0].holds), (Verdict::Invalid, None));
        insta::assert_snapshot!(s.verdict_reason, @"the load was halted for 3.0 s at 00:20, and a halted run cannot pass a gate on response time");
        insta::assert_snapshot!(s.notes[s.notes.len() - 2..].join("\n"), @r"
        the load was halted for 3.0 s at 00:20: nothing was started then, nor made up for later
        the load was changed by hand, as a share of the plan: 90 % from 00:15 to 01:00
        ");
        assert_eq!(with(&["p50 < 1us"]).verdict, Verdict::Fail, "what fails, fails in a halted run too");
        assert_eq!(with(&["errors < 1%"]).verdict, Verdict::Pass);
    }

    #[test]
    fn what_no_failing_gate_says_is_said_of_the_run() {
        let mut run = fixture::flash_sale();
        assert_eq!(run.summary().objection(), None, "a gate fails, and says it");
        run.meta.gates = vec!["errors < 1%".to_owned()];
        assert_eq!(run.summary().objection(), None);
        let mut ended = |reason| {
            run.end = run.end.take().map(|end| RunEnd { reason, ..end });
            run.summary()
        };
        let aborted = ended(EndReason::GateAborted);
        assert_eq!(aborted.objection(), Some(("gate-aborted", "a gate ended the run early")));
        let interrupted = ended(EndReason::Interrupted);
        assert_eq!(interrupted.objection(), Some(("interrupted", "a person ended the run early")));
    }

    #[test]
    fn a_run_that_was_cut_off_or_lost_a_worker_says_nothing() {
        let mut run = fixture::flash_sale();
        run.end = None;
        let s = run.summary();
        assert_eq!(
            (s.verdict, s.verdict_reason.as_str()),
            (Verdict::Invalid, "the recording was cut off at 01:00")
        );
    }

    /// The flash sale, in which this rate lane had a value of 10 a second for a second.
    fn with_rates(lanes: &[(&str, &str)]) -> Summary {
        let mut run = fixture::flash_sale();
        for (name, subject) in lanes {
            let id = timeline::lane::LaneId(run.timeline.series().len() as u32);
            let spec = timeline::LaneSpec::rate(*name, "gen-0", Unit::PerSecond).about(*subject);
            run.timeline.apply(&timeline::Entry::Lane(id, spec));
            for (ms, value) in [(20_000, 0.0), (21_000, 10.0), (22_000, 0.0)] {
                let at = RunTime::from_ms(ms);
                run.timeline.apply(&timeline::Entry::Sample { lane: id, at, value });
            }
        }
        run.summary()
    }

    #[test]
    fn failed_steps_are_counted_by_status_within_their_kind() {
        let lane = |subject| (names::ERRORS, subject);
        let s = with_rates(&[lane("status 503"), lane("status 429"), lane("status"), lane("reset")]);
        let status = s.errors.iter().find(|e| e.kind == "status").unwrap();
        assert_eq!((s.errors[0].kind.as_str(), status.count, status.others()), ("status", 30, 10));
        let told: Vec<String> = s.errors.iter().map(ErrorCount::told).collect();
        assert_eq!(told, ["status (429: 10, 503: 10, others: 10)", "timeout", "reset"]);
        let one = with_rates(&[lane("status 500")]);
        assert!(one.errors.iter().any(|e| e.told() == "status 500"), "{:?}", one.errors);
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        check(&schema, &schema, &serde_json::to_value(&s).unwrap(), "summary");
    }

    #[test]
    fn requests_that_were_sent_again_are_no_errors_but_are_told() {
        let before = fixture::flash_sale().summary();
        let s = with_rates(&[(names::RETRIED, "")]);
        assert_eq!((before.retried, s.retried, s.total.errors), (0, 10, before.total.errors));
        insta::assert_snapshot!(s.notes.last().unwrap(), @"10 requests were reset, refused or dropped unanswered by the target, and were sent again: no error is counted for that");
        assert_eq!(s.notes.len(), before.notes.len() + 1);
    }

    #[test]
    fn the_story_begins_with_the_cause() {
        let s = fixture::flash_sale().summary();
        let told: Vec<(usize, &str)> = s.story().iter().map(|(depth, f)| (*depth, f.id.as_str())).collect();
        assert_eq!(told, [(0, "F1"), (1, "F2")]);
        assert_eq!(s.findings[0].onset_s, 20.0);
    }
}
