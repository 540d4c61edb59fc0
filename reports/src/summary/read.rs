//! The parts of the summary, read from the timeline.

use std::collections::{BTreeMap, BTreeSet};

use timeline::facts::RunMeta;
use timeline::figures;
use timeline::lane::{self, names};
use timeline::{Span, Timeline};

use super::{ErrorCount, Generator, Lane, Phase, Process, StatusCount, Step, Target, Times};

pub(super) fn step(timeline: &Timeline, name: Option<&str>, spans: &[Span]) -> Step {
    let f = figures::step_figures(timeline, name, spans);
    Step {
        name: name.unwrap_or_default().to_owned(),
        count: f.count,
        errors: f.errors,
        rate: figures::finished_rate(timeline, name, spans),
        measures: figures::measures(timeline, name).to_owned(),
        response: Times::of(&f.response),
        service: Times::of(&f.service),
    }
}

pub(super) fn errors(timeline: &Timeline, spans: &[Span]) -> Vec<ErrorCount> {
    let mut all: Vec<ErrorCount> = Vec::new();
    for (subject, count) in figures::errors_by_kind(timeline, spans) {
        let status = lane::error_status(&subject);
        let kind = if status.is_some() { lane::STATUS_KIND.to_owned() } else { subject };
        let i = all.iter().position(|e| e.kind == kind).unwrap_or_else(|| {
            all.push(ErrorCount { kind, count: 0, statuses: Vec::new() });
            all.len() - 1
        });
        all[i].count += count;
        all[i].statuses.extend(status.map(|status| StatusCount { status, count }));
    }
    all.sort_by_key(|e| std::cmp::Reverse(e.count));
    all
}

pub(super) fn phases(timeline: &Timeline) -> Vec<Phase> {
    let plan = timeline.plan();
    plan.phases
        .iter()
        .map(|p| {
            // The last phase's figures include what was started in it and ended in the drain.
            let spans: Vec<Span> = figures::phase(timeline, &p.name).into_iter().collect();
            let load = figures::load(timeline, &spans);
            Phase {
                name: p.name.clone(),
                span: p.span,
                warmup: p.warmup,
                model: p.model,
                from: p.from,
                to: p.to,
                offered: load.offered,
                achieved: load.achieved,
                completed: load.completed,
                errors: load.errors,
                response: Times::of(&figures::merged(timeline, names::RESPONSE, None, &spans)),
            }
        })
        .collect()
}

pub(super) fn lanes(timeline: &Timeline, spans: &[Span]) -> BTreeMap<String, Lane> {
    let mut found = BTreeMap::new();
    for series in timeline.series() {
        let spec = &series.spec;
        if found.contains_key(&spec.name) {
            continue;
        }
        let Some(s) = figures::lane_stats(timeline, &spec.name, None, spans) else { continue };
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
        found.insert(spec.name.clone(), lane);
    }
    found
}

pub(super) fn generator(meta: &RunMeta, timeline: &Timeline, spans: &[Span]) -> Generator {
    let load = figures::load(timeline, spans);
    let stats = |name: &str| figures::lane_stats(timeline, name, None, spans);
    let cpu = stats(names::GENERATOR_CPU);
    Generator {
        limited: false,
        workers: meta.workers,
        offered: load.offered,
        achieved: load.achieved,
        late: load.late,
        dropped: load.dropped,
        lateness: Times::of(&figures::merged(timeline, names::LATENESS, None, spans)),
        release_error: Times::of(&figures::merged(timeline, names::RELEASE_ERROR, None, spans)),
        hiccup_max: stats(names::GENERATOR_HICCUP).map(|s| s.max),
        cpu_median: cpu.as_ref().map(|s| s.median),
        cpu_max: cpu.map(|s| s.max),
        steal_max: stats(names::HOST_STEAL).map(|s| s.max),
    }
}

pub(super) fn target(meta: &RunMeta, timeline: &Timeline, spans: &[Span]) -> Target {
    let watched = [names::PROCESS_CPU, names::PROCESS_RESIDENT, names::PROCESS_DESCRIPTORS];
    let instances: BTreeSet<&str> =
        watched.iter().flat_map(|name| timeline.named(name)).map(|s| s.spec.instance.as_str()).collect();
    Target {
        url: meta.target.clone(),
        bundled: meta.bundled,
        attached: meta.attached.clone(),
        processes: instances.into_iter().map(|name| process(timeline, name, spans)).collect(),
    }
}

fn process(timeline: &Timeline, instance: &str, spans: &[Span]) -> Process {
    let values = |name: &str| -> Vec<f64> {
        let series = timeline.named(name).filter(|s| s.spec.instance == instance);
        let mut all: Vec<f64> =
            series.flat_map(|s| spans.iter().flat_map(|span| s.within(*span)).map(|p| p.1)).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let cpu = values(names::PROCESS_CPU);
    Process {
        name: instance.to_owned(),
        cpu_median: (!cpu.is_empty()).then(|| figures::rank(&cpu, 0.5)),
        cpu_max: cpu.last().copied(),
        resident_max: values(names::PROCESS_RESIDENT).last().copied(),
        descriptors_max: values(names::PROCESS_DESCRIPTORS).last().copied(),
    }
}
