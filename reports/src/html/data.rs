//! What the report's charts draw: lanes, heatmap and percentiles, reduced to a bounded number of columns.
//!
//! A column keeps least, mean and greatest value, so no spike is lost however long the run was.

use std::collections::BTreeMap;

use serde::Serialize;
use timeline::amendment::{self, LoadState};
use timeline::gate::Gate;
use timeline::histogram::{self, Histogram, Sparse};
use timeline::lane::{Shape, names};
use timeline::snapshot::{HEAT_ROWS, heat_edge_ns, heat_row};
use timeline::{RunTime, Span, Timeline, Unit, figures};

use super::panels::{self, Panel};
use crate::summary::GateResult;
use crate::write::Inputs;

/// Most columns of a chart: about one for each pixel that a page has for them.
const MAX_COLUMNS: u64 = 600;
/// Most columns of all lines together. Each takes up to three numbers, some 30 bytes, of the 3 MB that a page may have: from 117 lines on
/// each has fewer columns, and loses detail but no spike.
const MAX_POINTS: u64 = 70_000;
/// A chart with fewer columns says little.
const FEWEST_COLUMNS: u64 = 120;
/// Points of the percentile plot for each factor of ten in 1/(1-q).
const QUANTILES_PER_DECADE: u32 = 10;
/// A quantile is drawn while at least so many samples lie beyond it; fewer are noise.
const TAIL_SAMPLES: f64 = 10.0;

/// All data of the page.
#[derive(Serialize)]
pub(super) struct Data {
    /// Length of the run, seconds.
    end: f64,
    phases: Vec<Mark>,
    /// Where a person had made another load of it.
    changes: Vec<Mark>,
    findings: Vec<Mark>,
    heat: Heat,
    charts: Vec<Chart>,
    curves: Vec<Curve>,
}

/// A stretch of the run.
#[derive(Serialize)]
struct Mark {
    id: String,
    name: String,
    class: &'static str,
    from: f64,
    to: f64,
}

/// Response time of all steps.
#[derive(Debug, Serialize)]
pub(super) struct Heat {
    /// Width of a column, seconds.
    pub(super) step: f64,
    /// Lower edges of the rows, milliseconds.
    edges: Vec<f64>,
    /// For each column its used rows: row, count, row, count, ...
    columns: Vec<Vec<u32>>,
    pub(super) p50: Vec<Option<f64>>,
    pub(super) p99: Vec<Option<f64>>,
    limits: Vec<Limit>,
}

/// One chart on the shared axis.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) step: f64,
    /// Percentiles of intervals, or values.
    pub(super) times: bool,
    pub(super) folded: bool,
    pub(super) series: Vec<Line>,
    limits: Vec<Limit>,
}

/// One line, a value for each column; where nothing was said there is none. For percentiles `low` is
/// the median, `mid` the p99, `high` the greatest. Without `low` and `high` all three are `mid`.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    quality: &'static str,
    pub(super) mid: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    low: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    high: Vec<Option<f64>>,
}

/// A gate's limit across a chart.
#[derive(Debug, Serialize)]
struct Limit {
    that: String,
    value: f64,
    fails: bool,
}

#[derive(Serialize)]
struct Curve {
    name: &'static str,
    /// 1/(1-q) and milliseconds.
    points: Vec<(f64, f64)>,
}

/// Reduces a run to what its page draws.
pub(super) fn of(inputs: &Inputs<'_>) -> Data {
    let timeline = inputs.timeline;
    let end = RunTime(timeline.now().0.max(1));
    let measured = figures::measured(timeline);
    let panels = panels::of(timeline);
    let most = columns_each(&panels);
    let curve = |name, lane| Curve { name, points: curve(&figures::merged(timeline, lane, None, &measured)) };
    Data {
        end: seconds(end.0),
        phases: phases(timeline),
        changes: changes(timeline, end),
        findings: findings(inputs, end),
        heat: heat(timeline, end, limits(&inputs.summary.gates, names::RESPONSE, Unit::Ns)),
        charts: panels.iter().filter_map(|p| chart(timeline, p, end, most, &inputs.summary.gates)).collect(),
        curves: vec![curve("response time", names::RESPONSE), curve("service time", names::SERVICE)],
    }
}

/// The lanes alone, without what a plan or findings mark on them.
pub(super) fn lanes(timeline: &Timeline) -> (Vec<Chart>, Heat) {
    let end = RunTime(timeline.now().0.max(1));
    let panels = panels::of(timeline);
    let most = columns_each(&panels);
    let charts = panels.iter().filter_map(|p| chart(timeline, p, end, most, &[])).collect();
    (charts, heat(timeline, end, Vec::new()))
}

fn seconds(ns: u64) -> f64 {
    round(ns as f64 / 1e9, 6)
}

fn phases(timeline: &Timeline) -> Vec<Mark> {
    let mark = |p: &timeline::facts::PhaseFacts| Mark {
        id: String::new(),
        name: p.name.clone(),
        class: if p.warmup { "warmup" } else { "phase" },
        from: seconds(p.span.start.0),
        to: seconds(p.span.end.0),
    };
    timeline.plan().phases.iter().map(mark).collect()
}

fn changes(timeline: &Timeline, end: RunTime) -> Vec<Mark> {
    let mark = |(span, state): &(Span, LoadState)| Mark {
        id: String::new(),
        name: if state.halted {
            "halted".to_owned()
        } else {
            format!("load {}", amendment::percent(state.factor))
        },
        class: if state.halted { "halt" } else { "scaled" },
        from: seconds(span.start.0),
        to: seconds(span.end.0),
    };
    timeline.plan().changes.stretches(end).iter().map(mark).collect()
}

fn findings(inputs: &Inputs<'_>, end: RunTime) -> Vec<Mark> {
    let story = inputs.summary.story();
    let mark = |(_, f): &(usize, &timeline::Finding)| Mark {
        id: f.id.clone(),
        name: format!("{} {} {}", f.id, f.kind.title(), f.subject).trim_end().to_owned(),
        class: f.severity.name(),
        from: seconds(f.onset.0),
        to: seconds(f.over(end).unwrap_or(end).0),
    };
    story.iter().map(mark).collect()
}

/// Equal columns from the run's start to its end.
#[derive(Clone, Copy)]
struct Axis {
    step: u64,
    columns: usize,
}

impl Axis {
    /// At most so many columns, no shorter than `interval`, at which data come.
    fn new(end: RunTime, interval: u64, most: u64) -> Self {
        let step = end.0.div_ceil(most).max(interval).max(1);
        Self { step, columns: end.0.div_ceil(step) as usize }
    }

    fn column(self, at: RunTime) -> usize {
        ((at.0 / self.step) as usize).min(self.columns.saturating_sub(1))
    }
}

/// Columns of each line, so that all together have room.
fn columns_each(panels: &[Panel]) -> u64 {
    let lines: usize = panels.iter().map(|p| p.lanes.len()).sum();
    (MAX_POINTS / lines.max(1) as u64).clamp(FEWEST_COLUMNS, MAX_COLUMNS)
}

fn chart(timeline: &Timeline, panel: &Panel, end: RunTime, most: u64, gates: &[GateResult]) -> Option<Chart> {
    let spec = timeline.named(&panel.lanes.first()?.0).next()?.spec.clone();
    let lanes = panel.lanes.iter().filter(|(name, _)| figures::unit(timeline, name) == Some(spec.unit));
    let times = spec.shape == Shape::Histogram;
    let interval = if times { interval(timeline, &spec.name) } else { figures::GRID.as_nanos() as u64 };
    let axis = Axis::new(end, interval, most);
    let series: Vec<Line> = lanes
        .clone()
        .filter_map(|(name, word)| {
            let spec = &timeline.named(name).next()?.spec;
            let values =
                if times { percentiles(timeline, name, axis) } else { values(timeline, name, end, axis) };
            let line = line(values, word, panels::quality(spec.quality), panels::axis(spec.unit).1);
            line.mid.iter().any(Option::is_some).then_some(line)
        })
        .collect();
    let zero = |l: &Line| l.mid.iter().flatten().all(|v| *v == 0.0);
    if series.is_empty() || panel.quiet && series.iter().all(zero) {
        return None;
    }
    Some(Chart {
        title: panel.title.clone(),
        unit: panels::axis(spec.unit).0,
        step: seconds(axis.step),
        times,
        folded: panel.folded,
        series,
        limits: lanes.flat_map(|(name, _)| limits(gates, name, spec.unit)).collect(),
    })
}

/// Usual length of a histogram lane's intervals: the middle one's.
fn interval(timeline: &Timeline, name: &str) -> u64 {
    let mut lengths: Vec<u64> = timeline
        .named(name)
        .flat_map(|s| s.intervals.iter().map(|(span, _)| span.length().as_nanos() as u64))
        .collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or_default()
}

/// Least, middle and greatest of a column.
type Column = Option<(f64, f64, f64)>;

fn values(timeline: &Timeline, name: &str, end: RunTime, axis: Axis) -> Vec<Column> {
    let mut columns: Vec<Option<(f64, f64, f64, f64)>> = vec![None; axis.columns];
    let cell = figures::GRID.as_nanos() as u64;
    let whole = Span::new(RunTime::ZERO, end);
    for (at, value) in figures::grid(timeline, name, None, whole) {
        let Some(v) = value else { continue };
        let column = &mut columns[axis.column(RunTime(at.0.saturating_sub(cell / 2)))];
        *column = Some(match *column {
            None => (v, v, v, 1.0),
            Some((low, sum, high, n)) => (low.min(v), sum + v, high.max(v), n + 1.0),
        });
    }
    columns.into_iter().map(|c| c.map(|(low, sum, high, n)| (low, sum / n, high))).collect()
}

/// p50, p99 and greatest of each column.
fn percentiles(timeline: &Timeline, name: &str, axis: Axis) -> Vec<Column> {
    let mut cells: BTreeMap<usize, BTreeMap<u32, u64>> = BTreeMap::new();
    for series in timeline.named(name) {
        for (span, sparse) in &series.intervals {
            let column = cells.entry(axis.column(middle(*span))).or_default();
            sparse.cells.iter().for_each(|&(us, n)| *column.entry(us).or_default() += u64::from(n));
        }
    }
    (0..axis.columns).map(|i| quantiles(cells.get(&i)?)).collect()
}

fn middle(span: Span) -> RunTime {
    span.start + span.length() / 2
}

fn quantiles(cells: &BTreeMap<u32, u64>) -> Column {
    let total: u64 = cells.values().sum();
    let at = |q: f64| {
        let rank = (total as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        cells
            .iter()
            .find(|(_, n)| {
                seen += **n;
                seen >= rank
            })
            .map(|(us, _)| f64::from(*us) * 1e3)
    };
    Some((at(0.5)?, at(0.99)?, at(1.0)?))
}

fn line(columns: Vec<Column>, name: &str, quality: &'static str, factor: f64) -> Line {
    let pick = |f: fn((f64, f64, f64)) -> f64| -> Vec<Option<f64>> {
        columns.iter().map(|c| c.map(|c| significant(f(c) * factor))).collect()
    };
    let (low, mid, high) = (pick(|c| c.0), pick(|c| c.1), pick(|c| c.2));
    let flat = low == high;
    let (low, high) = if flat { (Vec::new(), Vec::new()) } else { (low, high) };
    Line { name: name.to_owned(), quality, mid, low, high }
}

/// The limits that gates set to a lane.
fn limits(gates: &[GateResult], lane: &str, unit: Unit) -> Vec<Limit> {
    let factor = panels::axis(unit).1;
    let limit = |g: &GateResult| {
        let gate = Gate::parse(&g.that).ok()?;
        let (name, limit, _) = gate.line()?;
        (name == lane).then(|| Limit {
            that: g.that.clone(),
            value: significant(limit * factor),
            fails: g.holds == Some(false),
        })
    };
    gates.iter().filter_map(limit).collect()
}

fn heat(timeline: &Timeline, end: RunTime, limits: Vec<Limit>) -> Heat {
    let axis = Axis::new(end, interval(timeline, names::RESPONSE), MAX_COLUMNS);
    let mut rows: Vec<BTreeMap<u32, u32>> = vec![BTreeMap::new(); axis.columns];
    for series in timeline.named(names::RESPONSE) {
        for (span, sparse) in &series.intervals {
            add_rows(&mut rows[axis.column(middle(*span))], sparse);
        }
    }
    let columns = percentiles(timeline, names::RESPONSE, axis);
    let ms =
        |f: fn((f64, f64, f64)) -> f64| columns.iter().map(|c| c.map(|c| significant(f(c) / 1e6))).collect();
    Heat {
        step: seconds(axis.step),
        edges: (0..=HEAT_ROWS).map(|r| significant(heat_edge_ns(r) / 1e6)).collect(),
        p50: ms(|c| c.0),
        p99: ms(|c| c.1),
        columns: rows.into_iter().map(|r| r.into_iter().flat_map(|(row, n)| [row, n]).collect()).collect(),
        limits,
    }
}

fn add_rows(column: &mut BTreeMap<u32, u32>, sparse: &Sparse) {
    for &(us, n) in &sparse.cells {
        let count = column.entry(heat_row(f64::from(us) * 1e3) as u32).or_default();
        *count = count.saturating_add(n);
    }
}

fn curve(h: &Histogram) -> Vec<(f64, f64)> {
    let total = h.len() as f64;
    (0..)
        .map(|i| 10f64.powf(f64::from(i) / f64::from(QUANTILES_PER_DECADE)))
        .take_while(|x| total / x >= TAIL_SAMPLES)
        .filter_map(|x| Some((significant(x), significant(histogram::quantile_ns(h, 1.0 - 1.0 / x)? / 1e6))))
        .collect()
}

/// Four significant digits are more than a chart can show.
fn significant(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return 0.0;
    }
    round(v, (3.0 - v.abs().log10().floor()) as i32)
}

fn round(v: f64, decimals: i32) -> f64 {
    // Through text, because 10^-7 times a number has binary dust that JSON would print.
    format!("{v:.*}", decimals.max(0) as usize).parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn no_spike_is_lost_and_no_chart_is_wider_than_it_may_be() {
        let run = fixture::hour();
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        let data = of(&inputs);
        assert!(data.heat.columns.len() as u64 <= MAX_COLUMNS);
        let pool = data.charts.iter().find(|c| c.title == "Pool db").unwrap();
        let waiters = pool.series.iter().find(|s| s.name == "waiters").unwrap();
        assert!(waiters.mid.len() as u64 <= MAX_COLUMNS);
        // One second of 118 waiters in an hour.
        assert_eq!(waiters.high.iter().flatten().copied().fold(0.0, f64::max), 118.0);
    }

    #[test]
    fn every_sample_is_in_the_heatmap() {
        let run = fixture::flash_sale();
        let data = heat(&run.timeline, run.timeline.now(), Vec::new());
        let counted: u32 = data.columns.iter().flat_map(|c| c.iter().skip(1).step_by(2)).sum();
        assert_eq!(counted, 60 * 4 * 200);
    }

    #[test]
    fn gates_are_lines_where_their_lane_is_drawn() {
        let run = fixture::flash_sale();
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        let data = of(&inputs);
        let pool = data.charts.iter().find(|c| c.title == "Pool db").unwrap();
        assert_eq!(pool.limits.iter().map(|l| l.value).collect::<Vec<_>>(), [200.0]);
        assert!(data.heat.limits.iter().any(|l| l.value == 250.0 && l.fails));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(significant(0.000_123_456), 0.000_123_5);
        assert_eq!(significant(123_456.0), 123_456.0);
        assert_eq!(significant(f64::NAN), 0.0);
    }
}
