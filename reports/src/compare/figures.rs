//! Which figures of a run are compared with another's, and how each is read.
//!
//! Owns the list and the reading, part by part so that the error inside of a run can be told. Warm-up is left out as everywhere.

use std::collections::BTreeSet;
use std::time::Duration;

use timeline::histogram::{self, Histogram};
use timeline::lane::names;
use timeline::{RunTime, Span, Timeline, Unit, figures};

use super::stats::{self, Question, Scale, Value};

/// Most parts into which a run is cut: the bootstrap of an hour costs no more than that of minutes.
const MOST_PARTS: f64 = 240.0;
/// A stretch of the block bootstrap, parts of a second or more: a queue that fills and drains, or a pause of a collector, is over within it.
const BLOCK: usize = 3;
/// A quantile is compared while so many samples lie beyond it in a run; fewer are noise.
const BEYOND: f64 = 10.0;
/// Spreads from run to run that are assumed before any was repeated, as standard deviations of the logarithm. They are what a run of
/// a minute showed on a shared virtual machine, and are learned better from every repeat.
const ASSUMED_MIDDLE: f64 = 0.05;
const ASSUMED_TAIL: f64 = 0.12;
const ASSUMED_RATE: f64 = 0.02;
const ASSUMED_COST: f64 = 0.06;
const ASSUMED_MEMORY: f64 = 0.05;
/// The same for the share of errors: one in two thousand.
const ASSUMED_ERRORS: f64 = 0.000_5;

/// One figure: what it is, and how it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name: `response p99`.
    pub name: String,
    /// The step that it is of; empty for all together, and for the target.
    pub of: String,
    /// The verdict over the whole comparison is made of these.
    pub headline: bool,
    /// Unit of its values.
    pub unit: Unit,
    /// By ratio or by difference.
    pub scale: Scale,
    /// Less of it is better.
    pub less_is_better: bool,
    /// Spread from run to run that is assumed beforehand.
    pub assumed: f64,
    /// Of this run.
    pub reading: Reading,
}

/// A figure as one run has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The figure; none without data.
    pub seen: Option<f64>,
    /// The same with its error, to be compared; none without data, or with too few.
    pub value: Option<Value>,
    /// What would be needed to compare what was seen.
    pub lacks: Option<String>,
}

impl Figure {
    /// What is asked of it when runs are compared.
    pub fn question(&self, risk: f64) -> Question {
        Question { scale: self.scale, less_is_better: self.less_is_better, assumed: self.assumed, risk }
    }
}

/// The figures of one run, those of all together first.
pub fn read(timeline: &Timeline) -> Vec<Figure> {
    let run = Run { timeline, parts: parts(timeline) };
    let mut all = run.step(None);
    all.extend(run.target());
    for step in figures::steps(timeline) {
        all.extend(run.step(Some(&step)));
    }
    all
}

/// The measured part of the run, cut in stretches of a second, or longer ones where there would be more than [`MOST_PARTS`].
fn parts(timeline: &Timeline) -> Vec<Span> {
    let spans = figures::measured(timeline);
    let part = Duration::from_secs((figures::seconds(timeline, &spans) / MOST_PARTS).ceil().max(1.0) as u64);
    let plan_end = timeline.plan().end();
    let mut out = Vec::new();
    for span in spans {
        let end = if plan_end == RunTime::ZERO { span.end } else { span.end.min(plan_end) };
        let mut start = span.start;
        while start + part <= end {
            out.push(Span::new(start, start + part));
            start = start + part;
        }
    }
    out
}

struct Run<'a> {
    timeline: &'a Timeline,
    parts: Vec<Span>,
}

impl Run<'_> {
    fn step(&self, step: Option<&str>) -> Vec<Figure> {
        let lane = match figures::measures(self.timeline, step) {
            "first-byte" => names::FIRST_BYTE,
            "exchange" => names::EXCHANGE,
            _ => names::RESPONSE,
        };
        let time = |name: &str, q, assumed| Figure {
            name: format!("response {name}"),
            of: step.unwrap_or_default().to_owned(),
            headline: step.is_none(),
            unit: Unit::Ns,
            scale: Scale::Ratio,
            less_is_better: true,
            assumed,
            reading: self.quantile(lane, step, q),
        };
        let rate = Figure {
            // Errors are told apart: a target that refuses quickly does not get better by it.
            name: "succeeded".to_owned(),
            unit: Unit::PerSecond,
            less_is_better: false,
            assumed: ASSUMED_RATE,
            reading: self.rate(step),
            ..time("", 0.5, 0.0)
        };
        let errors = Figure {
            name: "errors".to_owned(),
            unit: Unit::Ratio,
            scale: Scale::Difference,
            less_is_better: true,
            assumed: ASSUMED_ERRORS,
            reading: self.errors(step),
            ..rate.clone()
        };
        vec![time("p50", 0.5, ASSUMED_MIDDLE), time("p99", 0.99, ASSUMED_TAIL), rate, errors]
    }

    fn target(&self) -> Vec<Figure> {
        let of = |name: &str, unit, assumed, reading| Figure {
            name: name.to_owned(),
            of: String::new(),
            headline: false,
            unit,
            scale: Scale::Ratio,
            less_is_better: true,
            assumed,
            reading,
        };
        let mut out = vec![
            of("CPU per step", Unit::Ns, ASSUMED_COST, self.cost()),
            of(
                "greatest resident memory",
                Unit::Bytes,
                ASSUMED_MEMORY,
                self.greatest(names::PROCESS_RESIDENT),
            ),
        ];
        for pool in self.timeline.members(names::POOL) {
            let lane = names::of(names::POOL, &pool, "wait");
            let reading = self.quantile(&lane, None, 0.99);
            out.push(of(&format!("wait for pool {pool} p99"), Unit::Ns, 2.0 * ASSUMED_TAIL, reading));
        }
        out
    }

    /// What `figure` is over all parts, and its error; it is told which parts were drawn, at least one.
    fn reading(&self, scale: Scale, mut figure: impl FnMut(&[usize]) -> Option<f64>) -> Reading {
        let n = self.parts.len();
        if n == 0 {
            return Reading::default();
        }
        let seen = figure(&(0..n).collect::<Vec<_>>());
        self.with_error(seen, stats::block_error(n, BLOCK, scale, figure))
    }

    fn with_error(&self, seen: Option<f64>, error: Option<f64>) -> Reading {
        let value = seen.zip(error).map(|(value, error)| Value { value, error });
        // Where there are so few parts, each is of one second.
        let (n, needed) = (self.parts.len(), 2 * BLOCK);
        let short = seen.is_some() && n < needed;
        let lacks = short.then(|| format!("needs {needed} s of measured load, a run has {n} s"));
        Reading { seen, value, lacks }
    }

    fn quantile(&self, lane: &str, subject: Option<&str>, q: f64) -> Reading {
        let parts: Vec<Histogram> =
            self.parts.iter().map(|s| figures::merged(self.timeline, lane, subject, &[*s])).collect();
        let spans = figures::measured(self.timeline);
        let all = figures::merged(self.timeline, lane, subject, &spans);
        let seen = histogram::quantile_ns(&all, q);
        if all.len() as f64 * (1.0 - q) < BEYOND {
            let needed = (BEYOND / (1.0 - q)).round();
            let lacks = seen.map(|_| format!("needs {needed} samples, a run has {}", all.len()));
            return Reading { seen, value: None, lacks };
        }
        let cells = Cells::of(&parts);
        let drawn = |drawn: &[usize]| cells.quantile(drawn, q);
        self.with_error(seen, stats::block_error(parts.len(), BLOCK, Scale::Ratio, drawn))
    }

    fn counts(&self, step: Option<&str>) -> Vec<(u64, u64)> {
        self.parts.iter().map(|s| figures::counts(self.timeline, step, &[*s])).collect()
    }

    /// Steps that finished without an error.
    fn rate(&self, step: Option<&str>) -> Reading {
        let done: Vec<f64> = self.counts(step).iter().map(|c| (c.0 - c.1) as f64).collect();
        let length = self.part_s();
        self.reading(Scale::Ratio, |drawn| {
            Some(drawn.iter().map(|&i| done[i]).sum::<f64>() / (drawn.len() as f64 * length))
        })
    }

    fn errors(&self, step: Option<&str>) -> Reading {
        let counts = self.counts(step);
        self.reading(Scale::Difference, |drawn| {
            let sum = |pick: fn(&(u64, u64)) -> u64| drawn.iter().map(|&i| pick(&counts[i])).sum::<u64>();
            let all = sum(|c| c.0);
            (all > 0).then(|| sum(|c| c.1) as f64 / all as f64)
        })
    }

    /// CPU of the target's processes for each finished step, nanoseconds.
    fn cost(&self) -> Reading {
        let cpu: Option<Vec<f64>> = self
            .parts
            .iter()
            .map(|s| figures::lane_stats(self.timeline, names::PROCESS_CPU, None, &[*s]).map(|l| l.mean))
            .collect();
        let Some(cpu) = cpu else { return Reading::default() };
        let (counts, length) = (self.counts(None), self.part_s());
        self.reading(Scale::Ratio, |drawn| {
            let steps = drawn.iter().map(|&i| counts[i].0).sum::<u64>();
            (steps > 0).then(|| drawn.iter().map(|&i| cpu[i]).sum::<f64>() * length * 1e9 / steps as f64)
        })
    }

    /// A peak has no error inside of a run.
    fn greatest(&self, lane: &str) -> Reading {
        let stats = figures::lane_stats(self.timeline, lane, None, &figures::measured(self.timeline));
        let seen = stats.map(|stats| stats.max);
        Reading { seen, value: seen.map(|value| Value { value, error: 0.0 }), lacks: None }
    }

    /// Length of a part, seconds; 0 without any.
    fn part_s(&self) -> f64 {
        self.parts.first().map_or(0.0, |part| part.length().as_secs_f64())
    }
}

/// Histograms of the parts, over the values that any of them has.
struct Cells {
    /// Ascending, microseconds.
    values: Vec<u64>,
    /// For each part: place in `values`, and count.
    parts: Vec<Vec<(usize, u64)>>,
}

impl Cells {
    fn of(parts: &[Histogram]) -> Self {
        let used = |h: &Histogram| -> Vec<(u64, u64)> {
            h.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
        };
        let used: Vec<Vec<(u64, u64)>> = parts.iter().map(used).collect();
        let values: BTreeSet<u64> = used.iter().flatten().map(|c| c.0).collect();
        let values: Vec<u64> = values.into_iter().collect();
        let place = |&(value, n): &(u64, u64)| (values.partition_point(|v| *v < value), n);
        let parts = used.iter().map(|cells| cells.iter().map(place).collect()).collect();
        Self { values, parts }
    }

    /// A quantile over the drawn parts, nanoseconds.
    fn quantile(&self, drawn: &[usize], q: f64) -> Option<f64> {
        let mut counts = vec![0; self.values.len()];
        for &(place, n) in drawn.iter().flat_map(|&i| &self.parts[i]) {
            counts[place] += n;
        }
        let rank = (q * counts.iter().sum::<u64>() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = counts.iter().position(|n| {
            seen += n;
            seen >= rank
        })?;
        Some(self.values[place] as f64 * 1e3)
    }
}
