//! The snapshot: everything a person sees of a run at one instant, immutable and serialisable.
//!
//! Made by the recorder a few times a second; terminal views, plain lines and remote watchers draw
//! from it and from nothing else, so the speed of a screen cannot change a measurement. Owns the
//! shape only: the recorder fills it, `dashboard` draws it.
//!
//! All series share one time axis of **columns**, one second each, from [`Snapshot::first_column`].

use serde::{Deserialize, Serialize};

use crate::cells::Cells;
use crate::clock::RunTime;
use crate::event::Event;
use crate::facts::PhaseFacts;
use crate::finding::{Finding, Status};
use crate::lane::{Quality, Shape};
use crate::units::Unit;

/// Version of the serialised form.
pub const VERSION: u32 = 1;
/// Length of a column, nanoseconds.
pub const COLUMN_NS: u64 = 1_000_000_000;
/// Most columns in a snapshot: the last hour.
pub const MAX_COLUMNS: usize = 3_600;
/// Heatmap rows per decade of response time.
pub const HEAT_ROWS_PER_DECADE: u32 = 6;
/// Lower edge of the lowest heatmap row, nanoseconds: 100 us. Faster responses count there.
pub const HEAT_FLOOR_NS: f64 = 100_000.0;
/// Rows of the heatmap, from 100 us to beyond 60 s; slower responses count in the top row.
pub const HEAT_ROWS: usize = 35;

/// The heatmap row of a response time; rows are fixed for all runs, so that two can be compared.
#[must_use]
pub fn heat_row(ns: f64) -> usize {
    let row = (ns / HEAT_FLOOR_NS).max(1.0).log10() * f64::from(HEAT_ROWS_PER_DECADE);
    (row as usize).min(HEAT_ROWS - 1)
}

/// Lower edge of a heatmap row, nanoseconds.
#[must_use]
pub fn heat_edge_ns(row: usize) -> f64 {
    HEAT_FLOOR_NS * 10f64.powf(row as f64 / f64::from(HEAT_ROWS_PER_DECADE))
}

/// Points of a curve of percentiles.
pub const CURVE_POINTS: usize = 38;
/// Points for each factor of ten by which requests become rarer.
const CURVE_PER_DECADE: f64 = 10.0;

/// The quantile of a curve's point `i`: the median, then evenly by the logarithm of 1 / (1 - q) up to 99.99 %, so that 90, 99, 99.9
/// and 99.99 % are points of their own.
#[must_use]
pub fn curve_quantile(i: usize) -> f64 {
    // 10^0.3 is about 2, where the median lies; the grid goes on from there.
    let first_decade_point = 0.3 * CURVE_PER_DECADE;
    if i == 0 { 0.5 } else { 1.0 - 10f64.powf(-(i as f64 + first_decade_point) / CURVE_PER_DECADE) }
}

/// Everything a person sees at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`] of whoever made it.
    pub version: u32,
    /// Counts up; a view that sees the same number need not draw again.
    pub seq: u64,
    /// Time of the run.
    pub at: RunTime,
    /// What is being run.
    pub run: RunView,
    /// The load as planned, started and finished.
    pub load: LoadView,
    /// Response time over the run, warm-up left out.
    pub response: Percentiles,
    /// Service time, likewise.
    pub service: Percentiles,
    /// Response time over the last five seconds.
    pub recent: Percentiles,
    /// Response and service time over ever rarer requests, warm-up left out.
    #[serde(default)]
    pub curves: Curves,
    /// Phases, in the plan's order, each with its planned load; none when watching.
    #[serde(default)]
    pub phases: Vec<PhaseFacts>,
    /// Kinds of sessions of which any has started, the most frequent first.
    #[serde(default)]
    pub kinds: Vec<KindView>,
    /// Each step, in the plan's order, warm-up left out.
    pub steps: Vec<StepView>,
    /// Errors by kind, most frequent first: kind and count over the run.
    pub errors: Vec<(String, u64)>,
    /// Number of the first column; column `c` covers the run's second `c`.
    pub first_column: u64,
    /// Response time by column, all steps.
    pub heat: Vec<HeatColumn>,
    /// Lanes over all instances, in a fixed order, on the same columns.
    pub lanes: Vec<LaneView>,
    /// Pools, sorted by name.
    pub pools: Vec<PoolView>,
    /// Caches, sorted by name.
    pub caches: Vec<CacheView>,
    /// The newest pauses, stampedes and other events, oldest first, at most 200.
    pub events: Vec<Event>,
    /// Findings, cause before consequence, worst first.
    pub findings: Vec<Finding>,
    /// Gates, in the plan's order.
    pub gates: Vec<GateView>,
    /// Generator worker processes and target instances.
    pub processes: Vec<ProcessView>,
    /// What is attached.
    pub sources: Vec<SourceView>,
    /// What happened, oldest first, at most 200 lines.
    pub log: Vec<LogLine>,
    /// Samples and events that had to be dropped between source and recorder.
    pub dropped_entries: u64,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Backend, workers and sources are being started.
    #[default]
    Starting,
    /// Load is applied.
    Running,
    /// No new arrivals; open sessions come to their end.
    Draining,
    /// No load is applied; the target is only watched.
    Watching,
    /// A recording is shown.
    Replaying,
    /// It is over; reports are written or being written.
    Done,
}

impl RunState {
    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Watching => "watching",
            Self::Replaying => "replay",
            Self::Done => "done",
        }
    }
}

/// What is being run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Identity of the run.
    pub run_id: String,
    /// Name of the scenario, or the target when only watching.
    pub scenario: String,
    /// Address of the target.
    pub target: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What it is doing.
    pub state: RunState,
    /// Current phase: name, number from 1, how many there are; none before, after and when watching.
    pub phase: Option<(String, usize, usize)>,
    /// Planned length of the run; none when watching.
    pub planned: Option<RunTime>,
}

/// The load as planned, started and finished; rates over the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadView {
    /// Planned starts per second.
    pub offered: f64,
    /// Starts per second.
    pub achieved: f64,
    /// Steps finished per second.
    pub completed: f64,
    /// Starts later than 10 ms, over the run.
    pub late: u64,
    /// Planned starts that never happened, over the run.
    pub dropped: u64,
    /// Sessions open now.
    pub open_sessions: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Steps finished over the run, errors among them.
    pub requests: u64,
    /// Steps that failed over the run.
    pub errors: u64,
    /// Lateness p99 over the run, ns; none without starts.
    pub lateness_p99: Option<f64>,
    /// What a person has made of the planned load, as a share of it; none while it is as planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Since when a person has halted the load; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted_since: Option<RunTime>,
    /// Age of the newest of these figures, ns; none where no load is applied, or before it is.
    #[serde(default)]
    pub age_ns: Option<u64>,
}

/// A few quantiles with their count, nanoseconds. All zero when `count` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Greatest sample.
    pub max: f64,
}

impl Percentiles {
    /// Read from a merged histogram.
    #[must_use]
    pub fn of(h: &crate::histogram::Histogram) -> Self {
        let q = |q| crate::histogram::quantile_ns(h, q).unwrap_or(0.0);
        Self { count: h.len(), p50: q(0.5), p90: q(0.9), p99: q(0.99), p999: q(0.999), max: q(1.0) }
    }
}

/// The percentile curves of both times, nanoseconds: value `i` is that of [`curve_quantile`]`(i)`. [`CURVE_POINTS`] values each, or
/// none without samples; how many of them the count supports is the reader's judgement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Response time.
    pub response: Vec<f64>,
    /// Service time.
    pub service: Vec<f64>,
}

impl Curves {
    /// Read from merged histograms.
    #[must_use]
    pub fn of(response: &crate::histogram::Histogram, service: &crate::histogram::Histogram) -> Self {
        let curve = |h| crate::histogram::quantiles_ns(h, (0..CURVE_POINTS).map(curve_quantile));
        Self { response: curve(response), service: curve(service) }
    }
}

/// A kind of session over all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindView {
    /// Its name in the scenario.
    pub name: String,
    /// Open now.
    pub open: u64,
    /// Started over the run.
    pub started: u64,
    /// Ended over the run.
    pub ended: u64,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// Failures.
    pub errors: u64,
    /// Those of them that came before any contact with the target, and are in no time.
    #[serde(default)]
    pub untimed: u64,
    /// Response time.
    pub response: Percentiles,
    /// Service time.
    pub service: Percentiles,
}

/// Response times that ended in one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeatColumn {
    /// Count for each row, lowest first; rows beyond the last used one are left out.
    pub rows: Vec<u32>,
    /// Greatest response time, ns.
    pub max: f64,
    /// p99 of the column, ns; 0 without samples.
    pub p99: f64,
    /// p50 of the column, ns; 0 without samples.
    pub p50: f64,
}

/// One lane over all instances. For a histogram lane a cell's `last` is the p99 and `max` the greatest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneView {
    /// Canonical name.
    pub name: String,
    /// Unit of all values.
    pub unit: Unit,
    /// Level, rate or histogram.
    pub shape: Shape,
    /// Exact, sampled or inferred.
    pub quality: Quality,
    /// One for each column from `first_column`; a gap is none.
    pub cells: Cells,
    /// Newest value; none if there never was one.
    pub last: Option<f64>,
    /// Age of the newest value, ns.
    pub age_ns: u64,
}

/// A lane's values in one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Newest (p99 for a histogram lane).
    pub last: f64,
}

/// A pool over all instances.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// Connections it may have.
    pub capacity: Option<f64>,
    /// Connections checked out.
    pub in_use: Option<f64>,
    /// Requests waiting for one.
    pub waiters: Option<f64>,
    /// Wait for a connection over the last five seconds.
    pub wait: Percentiles,
    /// Time for which one is held, over the last five seconds.
    pub hold: Percentiles,
    /// Age of its newest sample, ns.
    #[serde(default)]
    pub age_ns: u64,
}

/// A cache over all instances; rates over the last second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheView {
    /// Its name.
    pub name: String,
    /// Hits over hits and misses, 0 to 1.
    pub hit_ratio: Option<f64>,
    /// Hits per second.
    pub hits: Option<f64>,
    /// Misses per second.
    pub misses: Option<f64>,
    /// Loads per second.
    pub loads: Option<f64>,
    /// Loads of a key that was being loaded already, per second.
    pub duplicate_loads: Option<f64>,
    /// Loads running now.
    pub loads_in_flight: Option<f64>,
    /// Key with the most loads in one refresh over the last five seconds, and those loads.
    pub worst_key: Option<(String, f64)>,
    /// Age of its newest sample, ns.
    #[serde(default)]
    pub age_ns: u64,
}

/// A gate as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateView {
    /// The expression.
    pub that: String,
    /// True: holds; false: fails; none: too few samples to say.
    pub holds: Option<bool>,
    /// The figure as it stands, as text with its unit; empty without samples.
    pub figure: String,
    /// Where it is a line across a chart: canonical lane, and the limit in the lane's unit.
    #[serde(default)]
    pub line: Option<(String, f64)>,
}

/// A process of generator or target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessView {
    /// `gen-0`, `shop-1`.
    pub name: String,
    /// CPU, cores.
    pub cpu: Option<f64>,
    /// Resident memory, bytes.
    pub resident: Option<f64>,
    /// Open descriptors.
    pub descriptors: Option<f64>,
    /// Age of its newest sample, ns.
    pub age_ns: u64,
}

/// A source and how it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// `agent`, `process`.
    pub name: String,
    /// One line: what it sees, what it cannot, or why it fell silent.
    pub state: String,
    /// Age of the newest sample of that among the things it reads which is silent longest, ns; none before the first. Those that have gone are left
    /// out; where all have, it is that of the one that was read last.
    pub age_ns: Option<u64>,
    /// It only says something, such as what was found, and delivers no samples that could have an age.
    #[serde(default)]
    pub ageless: bool,
}

impl SourceView {
    /// Its state beside its name, which most begin with: `of shop at ...` of `agent of shop at ...`.
    #[must_use]
    pub fn about(&self) -> &str {
        after_name(&self.state, &self.name).unwrap_or(&self.state)
    }
}

/// What comes after the name that `state` begins with; none where it begins otherwise.
fn after_name<'a>(state: &'a str, name: &str) -> Option<&'a str> {
    let rest = state.strip_prefix(name)?;
    rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' '))
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: RunTime,
    /// What.
    pub text: String,
    /// The source whose state it tells, if it tells one; `text` then begins with its name and `: `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl LogLine {
    /// The source and its state, where the line tells one.
    #[must_use]
    pub fn state(&self) -> Option<(&str, &str)> {
        let source = self.source.as_deref()?;
        let state = self.text.strip_prefix(source)?.strip_prefix(": ")?;
        Some((source, state))
    }

    /// As a person reads it: no source's name twice.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.state() {
            Some((source, state)) if after_name(state, source).is_some() => state,
            _ => &self.text,
        }
    }
}

/// The best status that a finding of the run has; for headers.
#[must_use]
pub fn counted(findings: &[Finding]) -> usize {
    findings.iter().filter(|f| f.status >= Status::Possible).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_once() {
        let line = |name: &str, state: &str| LogLine {
            at: RunTime::ZERO,
            text: format!("{name}: {state}"),
            source: Some(name.to_owned()),
        };
        for (name, state, shown, about) in [
            ("host", "host: CPU in use", "host: CPU in use", "CPU in use"),
            ("agent", "agent of shop", "agent of shop", "of shop"),
            ("auto", "metrics found", "auto: metrics found", "metrics found"),
            ("node", "nodes: 2", "node: nodes: 2", "nodes: 2"),
        ] {
            assert_eq!(line(name, state).shown(), shown);
            assert_eq!(line(name, state).state(), Some((name, state)), "what it tells stays as it is");
            let view = SourceView { name: name.to_owned(), state: state.to_owned(), ..SourceView::default() };
            assert_eq!(view.about(), about);
        }
        let plain = LogLine { source: None, ..line("host", "host: CPU in use") };
        assert_eq!(plain.shown(), "host: host: CPU in use", "nobody says that it is a source's");
    }

    #[test]
    fn a_curve_has_a_point_at_every_quantile_that_people_name() {
        assert_eq!(curve_quantile(0), 0.5);
        for (i, q) in [(7, 0.9), (17, 0.99), (27, 0.999), (CURVE_POINTS - 1, 0.9999)] {
            assert!((curve_quantile(i) - q).abs() < 1e-12, "{i}: {}", curve_quantile(i));
        }
        let mut h = crate::histogram::new();
        (1..=30_000).for_each(|ms| crate::histogram::record_ns(&mut h, ms * 1_000_000));
        let curves = Curves::of(&h, &crate::histogram::new());
        let (p, r) = (Percentiles::of(&h), &curves.response);
        assert_eq!([r[0], r[7], r[17], r[27]], [p.p50, p.p90, p.p99, p.p999]);
        assert!(r.len() == CURVE_POINTS && r.is_sorted() && r[CURVE_POINTS - 1] <= p.max);
        assert!(curves.service.is_empty(), "without samples there is no curve");
    }

    #[test]
    fn heat_rows_cover_100_us_to_a_minute_and_clamp_beyond() {
        assert_eq!(heat_row(0.0), 0);
        assert_eq!(heat_row(100_000.0), 0);
        assert_eq!(heat_row(1e6), 6);
        assert!(heat_edge_ns(HEAT_ROWS - 1) < 60e9 && heat_row(60e9) == HEAT_ROWS - 1);
        assert_eq!(heat_row(1e18), HEAT_ROWS - 1);
        for row in 0..HEAT_ROWS {
            assert_eq!(heat_row(heat_edge_ns(row) * 1.001), row);
        }
    }
}
