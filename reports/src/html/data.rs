//! What the report's charts draw: lanes, heatmap and percentiles, reduced to a bounded number of columns.
//!
//! A column keeps minimum and maximum, so no spike is lost however long the run was.

use serde::Serialize;
use std::time::Duration;
use timeline::figures;
use timeline::histogram::{self, Histogram};
use timeline::lane::{Shape, names};
use timeline::snapshot::{HEAT_ROWS, heat_edge_ns, heat_row};
use timeline::{RunTime, Span, Timeline, Unit};

use crate::write::Inputs;

/// Most columns of a chart: about one for each pixel that a wide page has for them.
const MAX_COLUMNS: u64 = 600;
/// Shortest column: the slowest source reads twice a second, and faster ones keep their extremes.
const SHORTEST_COLUMN_NS: u64 = 500_000_000;
/// Points of the percentile plot for each factor of ten in 1/(1-q).
const QUANTILES_PER_DECADE: u32 = 10;
/// A quantile is drawn while at least so many samples lie beyond it.
const TAIL_SAMPLES: f64 = 10.0;

/// All data of the page.
#[derive(Serialize)]
pub(super) struct Data {
    /// Middle of each column, seconds.
    t: Vec<f64>,
    charts: Vec<Chart>,
    heat: Heat,
    percentiles: Vec<Curve>,
    marks: Vec<Mark>,
    phases: Vec<Mark>,
}

/// One chart of the shared axis.
#[derive(Serialize)]
struct Chart {
    title: &'static str,
    unit: &'static str,
    series: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    quality: &'static str,
    values: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct Heat {
    edges_ms: Vec<f64>,
    /// For each column, counts from the lowest row.
    columns: Vec<Vec<u32>>,
}

#[derive(Serialize)]
struct Curve {
    name: &'static str,
    /// 1/(1-q) and milliseconds.
    points: Vec<(f64, f64)>,
}

#[derive(Serialize)]
struct Mark {
    name: String,
    class: &'static str,
    from: f64,
    to: f64,
}

/// Which lanes a chart shows; a family's member stands for `*`.
struct Wanted {
    title: &'static str,
    lanes: &'static [&'static str],
}

/// The charts from top to bottom: what users feel, then what explains it.
const WANTED: &[Wanted] = &[
    Wanted { title: "Response time", lanes: &[names::RESPONSE] },
    Wanted { title: "Load", lanes: &[names::OFFERED, names::ACHIEVED, names::COMPLETED, names::ERRORS] },
    Wanted { title: "Open sessions", lanes: &[names::OPEN_SESSIONS, names::SERVER_WEBSOCKETS] },
    Wanted { title: "Pool", lanes: &["pool.*.capacity", "pool.*.in-use", "pool.*.waiters"] },
    Wanted { title: "Pool wait", lanes: &["pool.*.wait"] },
    Wanted { title: "Cache", lanes: &["cache.*.misses", "cache.*.loads", "cache.*.duplicate-loads"] },
    Wanted {
        title: "Heap",
        lanes: &[names::HEAP_YOUNG, names::HEAP_OLD, names::HEAP_USED, names::PROCESS_RESIDENT],
    },
    Wanted { title: "Pauses", lanes: &[names::PAUSE] },
    Wanted { title: "Loop delay", lanes: &[names::LOOP_DELAY] },
    Wanted { title: "CPU", lanes: &[names::PROCESS_CPU, names::GENERATOR_CPU] },
    Wanted { title: "Lateness of the generator", lanes: &[names::LATENESS] },
];

/// Reduces a run to what its page draws.
pub(super) fn of(inputs: &Inputs<'_>) -> Data {
    let timeline = inputs.timeline;
    let end = timeline.now();
    let column_ns = end.0.div_ceil(MAX_COLUMNS).max(SHORTEST_COLUMN_NS);
    let columns = end.0.div_ceil(column_ns) as usize;
    let axis = Axis { column_ns, columns };
    let spans = figures::measured(timeline);
    Data {
        t: (0..columns).map(|c| (c as f64 + 0.5) * column_ns as f64 / 1e9).collect(),
        charts: WANTED.iter().filter_map(|w| chart(timeline, w, &axis)).collect(),
        heat: heat(timeline, &axis),
        percentiles: [("response time", names::RESPONSE), ("service time", names::SERVICE)]
            .into_iter()
            .map(|(name, lane)| Curve { name, points: curve(&figures::merged(timeline, lane, None, &spans)) })
            .collect(),
        marks: inputs
            .summary
            .findings
            .iter()
            .map(|f| Mark {
                name: format!("{} {}", f.id, f.kind.title()),
                class: f.severity.name(),
                from: f.onset.as_secs_f64(),
                to: f.ended.unwrap_or(end).as_secs_f64(),
            })
            .collect(),
        phases: timeline
            .plan()
            .phases
            .iter()
            .map(|p| Mark {
                name: p.name.clone(),
                class: if p.warmup { "warmup" } else { "phase" },
                from: p.span.start.as_secs_f64(),
                to: p.span.end.as_secs_f64(),
            })
            .collect(),
    }
}

struct Axis {
    column_ns: u64,
    columns: usize,
}

impl Axis {
    fn span(&self) -> Span {
        Span::new(RunTime::ZERO, RunTime(self.column_ns * self.columns as u64))
    }

    fn step(&self) -> Duration {
        Duration::from_nanos(self.column_ns)
    }

    /// The columns that an interval lies in: one of a second fills two columns of half a second.
    fn columns(&self, span: Span) -> std::ops::Range<usize> {
        let first = ((span.start.0 / self.column_ns) as usize).min(self.columns);
        let last = (span.end.0.saturating_sub(1) / self.column_ns) as usize;
        first..(last + 1).clamp(first, self.columns)
    }
}

fn chart(timeline: &Timeline, wanted: &Wanted, axis: &Axis) -> Option<Chart> {
    let mut series = Vec::new();
    let mut unit = None;
    for name in wanted.lanes.iter().flat_map(|pattern| expand(timeline, pattern)) {
        let Some(spec) = timeline.named(&name).next().map(|s| &s.spec) else { continue };
        unit.get_or_insert(spec.unit);
        if spec.shape == Shape::Histogram {
            series.extend(quantile_lines(timeline, &name, axis));
        } else {
            series.push(Line {
                quality: quality(spec.quality),
                values: bridged(scaled(spec.unit, timeline.grid(&name, axis.span(), axis.step()))),
                name,
            });
        }
    }
    Some(Chart { title: wanted.title, unit: shown(unit?), series })
}

/// `pool.*.wait` for each pool there is.
fn expand(timeline: &Timeline, pattern: &str) -> Vec<String> {
    match pattern.split_once(".*.") {
        Some((family, part)) => timeline
            .members(family)
            .iter()
            .map(|m| names::of(family, m, part))
            .filter(|n| timeline.has(n))
            .collect(),
        None => vec![pattern.to_owned()],
    }
}

fn quality(q: timeline::Quality) -> &'static str {
    match q {
        timeline::Quality::Exact => "",
        timeline::Quality::Sampled => "sampled",
        timeline::Quality::Inferred => "inferred",
    }
}

/// Unit on the page: milliseconds and mebibytes read better on an axis than nanoseconds and bytes.
fn shown(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "",
        Unit::PerSecond => "/s",
        Unit::Bytes => "MiB",
        Unit::BytesPerSecond => "MiB/s",
        Unit::Ns => "ms",
        Unit::Ratio => "%",
        Unit::Cores => "cores",
    }
}

fn scaled(unit: Unit, values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let factor = match unit {
        Unit::Bytes | Unit::BytesPerSecond => 1.0 / f64::from(1 << 20),
        Unit::Ns => 1e-6,
        Unit::Ratio => 100.0,
        Unit::Count | Unit::PerSecond | Unit::Cores => 1.0,
    };
    values.into_iter().map(|v| v.map(|v| round(v * factor))).collect()
}

/// Four significant digits are more than a chart can show.
fn round(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - v.abs().log10().floor());
    (v * scale).round() / scale
}

fn quantile_lines(timeline: &Timeline, name: &str, axis: &Axis) -> Vec<Line> {
    let mut merged: Vec<Option<Histogram>> = vec![None; axis.columns];
    for series in timeline.named(name) {
        for (span, cells) in &series.intervals {
            for slot in &mut merged[axis.columns(*span)] {
                cells.add_to(slot.get_or_insert_with(histogram::new));
            }
        }
    }
    [("p50", 0.5), ("p99", 0.99), ("max", 1.0)]
        .into_iter()
        .map(|(label, q)| Line {
            name: format!("{name} {label}"),
            quality: "",
            values: merged
                .iter()
                .map(|h| h.as_ref().and_then(|h| histogram::quantile_ns(h, q)).map(|ns| round(ns / 1e6)))
                .collect(),
        })
        .collect()
}

fn heat(timeline: &Timeline, axis: &Axis) -> Heat {
    let mut columns = vec![Vec::new(); axis.columns];
    for series in timeline.named(names::RESPONSE) {
        for (span, cells) in &series.intervals {
            for column in &mut columns[axis.columns(*span)] {
                add_rows(column, &cells.cells);
            }
        }
    }
    Heat { edges_ms: (0..=HEAT_ROWS).map(|r| round(heat_edge_ns(r) / 1e6)).collect(), columns }
}

fn add_rows(column: &mut Vec<u32>, cells: &[(u32, u32)]) {
    for &(us, count) in cells {
        let row = heat_row(f64::from(us) * 1e3);
        if column.len() <= row {
            column.resize(row + 1, 0u32);
        }
        column[row] = column[row].saturating_add(count);
    }
}

/// A reading that slipped over the edge of its column is no gap: one empty column is drawn over.
fn bridged(mut values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    for i in 1..values.len().saturating_sub(1) {
        if values[i].is_none() && values[i + 1].is_some() {
            values[i] = values[i - 1];
        }
    }
    values
}

fn curve(h: &Histogram) -> Vec<(f64, f64)> {
    let total = h.len() as f64;
    (0..)
        .map(|i| 10f64.powf(f64::from(i) / f64::from(QUANTILES_PER_DECADE)))
        .take_while(|x| total / x >= TAIL_SAMPLES)
        .filter_map(|x| Some((round(x), round(histogram::quantile_ns(h, 1.0 - 1.0 / x)? / 1e6))))
        .collect()
}
