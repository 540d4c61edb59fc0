//! The view: turns the growing timeline into snapshots.
//!
//! Cheap figures (columns, totals) are kept up with every entry; dearer ones (percentiles over the
//! run, pools, caches, gates) are read again at each tick; [`View::snapshot`] only puts together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::columns::{Levels, Merged, Old, column_of, combine};
use super::handle::MAX_LANES;
use crate::amendment::LoadState;
use crate::clock::{RunTime, Span};
use crate::event::{Event, kinds};
use crate::figures::GRID;
use crate::finding::Finding;
use crate::gate::Gate;
use crate::histogram::{self, Histogram};
use crate::lane::{Combine, Shape, names};
use crate::snapshot::{
    CacheView, Curves, GateView, KindView, LaneView, LoadView, LogLine, MAX_COLUMNS, Percentiles, PoolView,
    ProcessView, RunState, RunView, Snapshot, SourceView, StepView, VERSION,
};
use crate::store::{Entry, Series, Timeline};

/// A level is believed for so long after its last sample; then it is a gap.
const FRESH: Duration = Duration::from_secs(2);
/// "Recent" figures look back so far.
const RECENT: Duration = Duration::from_secs(5);
/// Most log lines and events in a snapshot.
const MAX_LINES: usize = 200;

/// Most steps whose times are kept, and with each two whole histograms: a run has four lanes or more of each, and so no more steps.
const MAX_STEPS: usize = MAX_LANES / 4;
/// Marks among them.
const MAX_MARKS: usize = 50;
/// What people have done to the run.
const MARKS: [&str; 3] = [kinds::AMENDMENT, kinds::HALT, kinds::MARKER];

/// Adds to a list that keeps the newest.
fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(item);
}

/// Everything from which snapshots are made.
pub(super) struct View {
    run: RunView,
    seq: u64,
    levels: Vec<Levels>,
    merged: BTreeMap<String, Merged>,
    old: Old,
    /// Integrals of rate lanes, by lane: total, time of the last sample if there was one.
    totals: Vec<(f64, Option<RunTime>)>,
    response: Histogram,
    service: Histogram,
    lateness: Histogram,
    steps: BTreeMap<String, (Histogram, Histogram)>,
    log: VecDeque<LogLine>,
    /// The newest marks and changes of the load: many pauses do not push them out.
    marks: VecDeque<Event>,
    sources: BTreeMap<String, String>,
    /// Sources, and of what they read that of which each has said last that it has gone.
    gone: BTreeSet<(String, String)>,
    ticked: Ticked,
}

/// What is read again at each tick.
#[derive(Default)]
struct Ticked {
    response: Percentiles,
    service: Percentiles,
    recent: Percentiles,
    curves: Curves,
    lateness_p99: Option<f64>,
    steps: Vec<StepView>,
    pools: Vec<PoolView>,
    caches: Vec<CacheView>,
    gates: Vec<GateView>,
}

impl View {
    pub(super) fn new(run: RunView) -> Self {
        Self {
            run,
            seq: 0,
            levels: Vec::new(),
            merged: BTreeMap::new(),
            old: Old::default(),
            totals: Vec::new(),
            response: histogram::new(),
            service: histogram::new(),
            lateness: histogram::new(),
            steps: BTreeMap::new(),
            log: VecDeque::new(),
            marks: VecDeque::new(),
            sources: BTreeMap::new(),
            gone: BTreeSet::new(),
            ticked: Ticked::default(),
        }
    }

    pub(super) fn state(&mut self, state: RunState) {
        self.run.state = state;
    }

    pub(super) fn planned(&mut self, end: RunTime) {
        self.run.planned = Some(end);
    }

    pub(super) fn source(&mut self, name: String, line: String) {
        self.sources.insert(name, line);
    }

    pub(super) fn forget_sources(&mut self) {
        self.sources.clear();
    }

    pub(super) fn log(&mut self, line: LogLine) {
        push(&mut self.log, line, MAX_LINES);
    }

    /// Takes in an entry that the timeline has taken in already.
    pub(super) fn apply(&mut self, timeline: &Timeline, entry: &Entry) {
        match entry {
            Entry::Sample { lane, at, value } => {
                let i = lane.0 as usize;
                let Some(series) = timeline.series().get(i) else { return };
                if self.levels.len() <= i {
                    self.levels.resize_with(i + 1, Levels::default);
                    self.totals.resize(i + 1, (0.0, None));
                }
                self.levels[i].add(*at, *value);
                if series.spec.shape == Shape::Rate {
                    let (total, last) = &mut self.totals[i];
                    // A lane may begin late in the run: its first sample did not hold since the run's start.
                    let since = last.unwrap_or(at.back(GRID));
                    // What is told beside a step's times leaves the warm-up out as they do.
                    let by_step =
                        matches!(series.spec.name.as_str(), names::STEP_ERRORS | names::STEP_UNTIMED);
                    let counts_from = if by_step { timeline.plan().warm_from() } else { RunTime::ZERO };
                    *total += value * at.since(since.max(counts_from)).as_secs_f64();
                    *last = Some(since.max(*at));
                }
            }
            Entry::Histogram { lane, span, cells } => {
                let Some(series) = timeline.series().get(lane.0 as usize) else { return };
                self.merged.entry(series.spec.name.clone()).or_default().add(span.start, cells);
                if span.start >= timeline.plan().warm_from() {
                    self.add_totals(&series.spec.name, &series.spec.subject, cells);
                }
            }
            Entry::Event(event) if MARKS.contains(&event.kind.as_str()) => {
                push(&mut self.marks, event.clone(), MAX_MARKS);
            }
            Entry::Event(event) if event.kind == kinds::SOURCE => self.turned(event),
            Entry::Plan(_) | Entry::Lane(..) | Entry::Event(_) | Entry::Profile(_) | Entry::Tick(_) => {}
        }
    }

    /// A source has said how what it reads does now.
    fn turned(&mut self, event: &Event) {
        let Some(source) = event.label("source") else { return };
        let one = (source.to_owned(), event.instance.clone());
        if event.label("what") == Some("gone") {
            self.gone.insert(one);
        } else {
            self.gone.remove(&one);
        }
    }

    fn add_totals(&mut self, name: &str, subject: &str, cells: &histogram::Sparse) {
        let step = |steps: &mut BTreeMap<String, (Histogram, Histogram)>, response: bool| {
            if steps.len() >= MAX_STEPS && !steps.contains_key(subject) {
                return;
            }
            let (r, s) =
                steps.entry(subject.to_owned()).or_insert_with(|| (histogram::new(), histogram::new()));
            cells.add_to(if response { r } else { s });
        };
        match name {
            names::RESPONSE => {
                cells.add_to(&mut self.response);
                step(&mut self.steps, true);
            }
            names::SERVICE => {
                cells.add_to(&mut self.service);
                step(&mut self.steps, false);
            }
            names::FIRST_BYTE | names::EXCHANGE => step(&mut self.steps, true),
            names::LATENESS => cells.add_to(&mut self.lateness),
            _ => {}
        }
    }

    /// Reads the dearer figures again.
    pub(super) fn tick(&mut self, timeline: &Timeline, findings: &[Finding], gates: &[Gate], at: RunTime) {
        let recent = Span::new(at.back(RECENT), at + Duration::from_nanos(1));
        let [errors, untimed] =
            [names::STEP_ERRORS, names::STEP_UNTIMED].map(|lane| self.totals_by_subject(timeline, lane));
        // One that has failed before every contact has no times at all.
        for (name, _) in &untimed {
            self.steps.entry(name.clone()).or_insert_with(|| (histogram::new(), histogram::new()));
        }
        let count =
            |all: &[(String, u64)], name: &str| all.iter().find(|(s, _)| s == name).map_or(0, |(_, n)| *n);
        let order = |name: &String| timeline.plan().steps.iter().position(|s| s == name);
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
        self.ticked = Ticked {
            response: Percentiles::of(&self.response),
            service: Percentiles::of(&self.service),
            recent: Percentiles::of(&timeline.merged(names::RESPONSE, None, recent)),
            curves: Curves::of(&self.response, &self.service),
            lateness_p99: histogram::quantile_ns(&self.lateness, 0.99),
            steps: steps
                .into_iter()
                .map(|(name, (response, service))| StepView {
                    name: name.clone(),
                    errors: count(&errors, name),
                    untimed: count(&untimed, name),
                    response: Percentiles::of(response),
                    service: Percentiles::of(service),
                })
                .collect(),
            pools: timeline.members(names::POOL).into_iter().map(|n| pool(timeline, n, recent)).collect(),
            caches: timeline.members(names::CACHE).into_iter().map(|n| cache(timeline, n, recent)).collect(),
            gates: gates.iter().map(|g| gate(g, timeline, findings, at)).collect(),
        };
    }

    /// Puts everything together.
    pub(super) fn snapshot(
        &mut self,
        timeline: &Timeline,
        findings: &[Finding],
        at: RunTime,
        dropped_entries: u64,
    ) -> Snapshot {
        self.seq += 1;
        let end = column_of(timeline.now()) + 1;
        let first = end.saturating_sub(MAX_COLUMNS);
        let lanes = self.lanes(timeline, at, first, end);
        let t = &self.ticked;
        let heat = self.merged.get(names::RESPONSE).map(|m| m.heat(first, end)).unwrap_or_default();
        Snapshot {
            version: VERSION,
            seq: self.seq,
            at,
            run: self.run_view(timeline, at),
            load: self.load(timeline, at),
            response: t.response,
            service: t.service,
            recent: t.recent,
            curves: t.curves.clone(),
            phases: timeline.plan().phases.clone(),
            kinds: self.kinds(timeline, at),
            steps: t.steps.clone(),
            errors: self.totals_by_subject(timeline, names::ERRORS),
            first_column: first as u64,
            heat: heat.into_iter().map(Option::unwrap_or_default).collect(),
            lanes,
            pools: t.pools.clone(),
            caches: t.caches.clone(),
            events: self.events(timeline),
            findings: findings.to_vec(),
            gates: t.gates.clone(),
            processes: processes(timeline, at),
            sources: self.source_views(timeline, at),
            log: self.log.iter().cloned().collect(),
            dropped_entries,
        }
    }

    /// The newest events, and before them the marks that are older.
    fn events(&self, timeline: &Timeline) -> Vec<Event> {
        let all = timeline.all_events();
        let newest = &all[all.len().saturating_sub(MAX_LINES - MAX_MARKS)..];
        let from = newest.first().map_or(RunTime::ZERO, |e| e.start);
        let mut older: Vec<Event> = self.marks.iter().filter(|e| e.start < from).cloned().collect();
        older.sort_by_key(|e| e.start);
        older.extend_from_slice(newest);
        older
    }

    fn run_view(&self, timeline: &Timeline, at: RunTime) -> RunView {
        let phases = &timeline.plan().phases;
        let phase = phases.iter().position(|p| p.span.contains(at));
        let phase = phase.map(|i| (phases[i].name.clone(), i + 1, phases.len()));
        RunView { phase, ..self.run.clone() }
    }

    fn load(&self, timeline: &Timeline, at: RunTime) -> LoadView {
        let second = Span::new(at.back(Duration::from_millis(1_200)), at.back(Duration::from_millis(200)));
        let rate = |name: &str| {
            let grid = timeline.grid(name, second, Duration::from_millis(100));
            let seen: Vec<f64> = grid.into_iter().flatten().collect();
            if seen.is_empty() { 0.0 } else { seen.iter().sum::<f64>() / seen.len() as f64 }
        };
        let total = |name: &str| self.total(timeline, name).round() as u64;
        let held = timeline.plan().changes.at(at);
        LoadView {
            offered: rate(names::OFFERED),
            achieved: rate(names::ACHIEVED),
            completed: rate(names::COMPLETED),
            late: total(names::LATE),
            dropped: total(names::DROPPED),
            open_sessions: level(timeline, names::OPEN_SESSIONS, at).unwrap_or(0.0) as u64,
            open_connections: level(timeline, names::OPEN_CONNECTIONS, at).unwrap_or(0.0) as u64,
            requests: total(names::COMPLETED),
            errors: total(names::ERRORS),
            lateness_p99: self.ticked.lateness_p99,
            factor: (held.factor != LoadState::default().factor).then_some(held.factor),
            halted_since: timeline
                .plan()
                .changes
                .halts(at)
                .last()
                .filter(|_| held.halted && at < timeline.plan().end())
                .map(|halt| halt.start),
            age_ns: freshest(timeline, &[names::OFFERED, names::OPEN_SESSIONS, names::COMPLETED], at),
        }
    }

    /// Kinds of sessions: those open are counted, those ended are the others that have started.
    fn kinds(&self, timeline: &Timeline, at: RunTime) -> Vec<KindView> {
        let started = self.totals_by_subject(timeline, names::SESSIONS_STARTED);
        let kind = |(name, started): (String, u64)| {
            let lanes = timeline.named(names::SESSIONS_BY_KIND).filter(|s| s.spec.subject == name);
            let open = lanes.filter_map(|s| s.at(at, FRESH)).sum::<f64>() as u64;
            KindView { name, open, started, ended: started.saturating_sub(open) }
        };
        started.into_iter().map(kind).collect()
    }

    fn total(&self, timeline: &Timeline, name: &str) -> f64 {
        let lanes = timeline.series().iter().zip(&self.totals);
        lanes.filter(|(s, _)| s.spec.name == name).map(|(_, (total, _))| total).sum()
    }

    /// Whole totals of a rate lane for each subject, greatest first; subjects without any are left out.
    fn totals_by_subject(&self, timeline: &Timeline, name: &str) -> Vec<(String, u64)> {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (series, (total, _)) in timeline.series().iter().zip(&self.totals) {
            if series.spec.name == name {
                *sums.entry(&series.spec.subject).or_default() += total;
            }
        }
        let mut list: Vec<(String, u64)> =
            sums.into_iter().map(|(s, n)| (s.to_owned(), n.round() as u64)).filter(|(_, n)| *n > 0).collect();
        list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        list
    }

    fn lanes(&mut self, timeline: &Timeline, at: RunTime, first: usize, end: usize) -> Vec<LaneView> {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, series) in timeline.series().iter().enumerate() {
            by_name.entry(&series.spec.name).or_default().push(i);
        }
        let (levels, merged, old) = (&self.levels, &self.merged, &mut self.old);
        old.renew(first, end);
        by_name
            .into_iter()
            .map(|(name, ids)| {
                let spec = &timeline.series()[ids[0]].spec;
                let cells = old.cells(name, first, end, |from, to| match merged.get(name) {
                    Some(merged) => merged.cells(from, to),
                    None => {
                        let levels: Vec<&Levels> = ids.iter().filter_map(|i| levels.get(*i)).collect();
                        combine(&levels, spec.combine, from, to)
                    }
                });
                let newest = ids.iter().filter_map(|i| newest(&timeline.series()[*i])).max();
                let last = match spec.shape {
                    Shape::Histogram => cells.iter().rev().flatten().next().map(|c| c.last),
                    Shape::Level | Shape::Rate => {
                        newest.and_then(|t| at_instances(timeline, name, spec.combine, t))
                    }
                };
                LaneView {
                    name: name.to_owned(),
                    unit: spec.unit,
                    shape: spec.shape,
                    quality: spec.quality,
                    cells,
                    last,
                    age_ns: newest.map_or(0, |t| at.since(t).as_nanos() as u64),
                }
            })
            .collect()
    }

    fn source_views(&self, timeline: &Timeline, at: RunTime) -> Vec<SourceView> {
        self.sources
            .iter()
            .map(|(name, state)| {
                let told = timeline.named(names::SOURCE_AGE).filter(|s| s.spec.instance == *name);
                let has_gone = |s: &&Series| self.gone.contains(&(name.clone(), s.spec.subject.clone()));
                let (gone, left): (Vec<&Series>, Vec<&Series>) = told.partition(has_gone);
                // What a source told of itself, and how long it has not even done that.
                let age = |s: &&Series| {
                    s.points.last().map(|(t, age)| at.since(*t).as_nanos() as u64 + age.max(0.0) as u64)
                };
                // Nothing more comes of who has gone: beside others that is no silence.
                let age_ns = if left.is_empty() {
                    gone.iter().filter_map(age).min()
                } else {
                    left.iter().filter_map(age).max()
                };
                SourceView {
                    name: name.clone(),
                    state: state.clone(),
                    age_ns,
                    ageless: gone.is_empty() && left.is_empty(),
                }
            })
            .collect()
    }
}

/// When a series was last heard of.
fn newest(series: &Series) -> Option<RunTime> {
    let point = series.points.last().map(|p| p.0);
    let interval = series.intervals.last().map(|p| p.0.end);
    point.max(interval)
}

/// How long ago any instance of these lanes was heard of; none if there are none.
fn freshest(timeline: &Timeline, lanes: &[&str], at: RunTime) -> Option<u64> {
    let heard = lanes.iter().flat_map(|name| timeline.named(name)).filter_map(newest).max();
    heard.map(|t| at.since(t).as_nanos() as u64)
}

/// A level or rate over all instances at `at`.
fn level(timeline: &Timeline, name: &str, at: RunTime) -> Option<f64> {
    let combine = timeline.named(name).next()?.spec.combine;
    at_instances(timeline, name, combine, at)
}

fn at_instances(timeline: &Timeline, name: &str, how: Combine, at: RunTime) -> Option<f64> {
    timeline.named(name).filter_map(|s| s.at(at, FRESH)).reduce(|a, b| match how {
        Combine::Max => a.max(b),
        Combine::Sum | Combine::Merge => a + b,
    })
}

fn pool(timeline: &Timeline, name: String, recent: Span) -> PoolView {
    let of = |part: &str| names::of(names::POOL, &name, part);
    let now = |part: &str| level(timeline, &of(part), recent.end);
    let times = |part: &str| Percentiles::of(&timeline.merged(&of(part), None, recent));
    PoolView {
        capacity: now("capacity"),
        in_use: now("in-use"),
        waiters: now("waiters"),
        wait: times("wait"),
        hold: times("hold"),
        age_ns: age(timeline, &[of("capacity"), of("in-use"), of("waiters")], recent),
        name,
    }
}

/// The same of lanes of which there is at least one, at the last instant of `recent`.
fn age(timeline: &Timeline, lanes: &[String], recent: Span) -> u64 {
    let lanes: Vec<&str> = lanes.iter().map(String::as_str).collect();
    freshest(timeline, &lanes, recent.end.back(Duration::from_nanos(1))).unwrap_or_default()
}

fn cache(timeline: &Timeline, name: String, recent: Span) -> CacheView {
    let of = |part: &str| names::of(names::CACHE, &name, part);
    let now = |part: &str| level(timeline, &of(part), recent.end);
    let (hits, misses) = (now("hits"), now("misses"));
    let worst = timeline
        .events(kinds::CACHE_REFRESH, recent)
        .filter(|e| e.label("cache") == Some(&name))
        .max_by(|a, b| a.value.total_cmp(&b.value));
    CacheView {
        hit_ratio: hits.zip(misses).filter(|(h, m)| h + m > 0.0).map(|(h, m)| h / (h + m)),
        hits,
        misses,
        loads: now("loads"),
        duplicate_loads: now("duplicate-loads"),
        loads_in_flight: now("loads-in-flight"),
        worst_key: worst.and_then(|e| Some((e.label("key")?.to_owned(), e.value))),
        age_ns: age(timeline, &[of("hits"), of("misses"), of("loads")], recent),
        name,
    }
}

fn gate(gate: &Gate, timeline: &Timeline, findings: &[Finding], at: RunTime) -> GateView {
    let judged = gate.judge(timeline, findings, at);
    let line = gate.line().map(|(lane, limit, _)| (lane.to_owned(), limit));
    GateView { that: gate.expression(), holds: judged.holds, figure: judged.figure, line }
}

/// Where a lane's value stands in a [`ProcessView`].
type Part = fn(&mut ProcessView) -> &mut Option<f64>;

fn processes(timeline: &Timeline, at: RunTime) -> Vec<ProcessView> {
    let mut found: BTreeMap<&str, ProcessView> = BTreeMap::new();
    let parts: [(&str, Part); 4] = [
        (names::PROCESS_CPU, |p| &mut p.cpu),
        (names::GENERATOR_CPU, |p| &mut p.cpu),
        (names::PROCESS_RESIDENT, |p| &mut p.resident),
        (names::PROCESS_DESCRIPTORS, |p| &mut p.descriptors),
    ];
    for (name, part) in parts {
        for series in timeline.named(name) {
            // Declared and never told: nothing is known of it yet, not even that it is silent.
            let Some(told) = newest(series) else { continue };
            let instance = series.spec.instance.as_str();
            let view = found.entry(instance).or_insert_with(|| ProcessView {
                name: instance.to_owned(),
                age_ns: u64::MAX,
                ..Default::default()
            });
            *part(view) = series.at(at, FRESH);
            view.age_ns = view.age_ns.min(at.since(told).as_nanos() as u64);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{LoadModel, PhaseFacts, PlanFacts};
    use crate::lane::{LaneId, LaneSpec};
    use crate::units::Unit;

    #[test]
    fn shared_columns_say_what_the_samples_said() {
        let (mut timeline, mut view) = (Timeline::new(), View::new(RunView::default()));
        for (i, instance) in ["a", "b"].into_iter().enumerate() {
            let lane = Entry::Lane(LaneId(i as u32), LaneSpec::level("demo", instance, Unit::Count));
            timeline.apply(&lane);
        }
        let seconds = MAX_COLUMNS as u64 + 500;
        for second in 0..seconds {
            for lane in 0..2 {
                let at = RunTime::from_ms(second * 1_000);
                let entry = Entry::Sample { lane: LaneId(lane), at, value: second as f64 };
                timeline.apply(&entry);
                view.apply(&timeline, &entry);
            }
            if second % 10 > 0 {
                continue;
            }
            let snapshot = view.snapshot(&timeline, &[], RunTime::from_ms(second * 1_000), 0);
            let cells = &snapshot.lanes[0].cells;
            assert_eq!(snapshot.first_column, (second + 1).saturating_sub(MAX_COLUMNS as u64));
            let want = (snapshot.first_column..=second).map(|s| Some(2.0 * s as f64));
            assert!(cells.iter().map(|c| c.map(|c| c.last)).eq(want), "at second {second}");
        }
    }

    #[test]
    fn steps_leave_the_warm_up_out_of_their_errors_and_are_there_without_a_time() {
        let (mut timeline, mut view) = (Timeline::new(), View::new(RunView::default()));
        let mut take = |entry: Entry| {
            timeline.apply(&entry);
            view.apply(&timeline, &entry);
        };
        let span = |a: u64, b: u64| Span::new(RunTime::from_ms(a), RunTime::from_ms(b));
        let phase = |span, warmup| PhaseFacts {
            name: String::new(),
            span,
            warmup,
            model: LoadModel::Sessions,
            from: 1.0,
            to: 1.0,
        };
        take(Entry::Plan(PlanFacts {
            phases: vec![phase(span(0, 2_000), true), phase(span(2_000, 9_000), false)],
            ..PlanFacts::default()
        }));
        for (id, name) in [(0, names::STEP_ERRORS), (1, names::STEP_UNTIMED)] {
            let lane = LaneId(id);
            take(Entry::Lane(lane, LaneSpec::rate(name, "gen-0", Unit::PerSecond).about("pay")));
            for (ms, value) in [(1_000, 0.0), (2_000, 500.0), (3_000, 20.0)] {
                take(Entry::Sample { lane, at: RunTime::from_ms(ms), value });
            }
        }
        view.tick(&timeline, &[], &[], RunTime::from_ms(3_000));
        let steps: Vec<_> =
            view.ticked.steps.iter().map(|s| (s.name.as_str(), s.errors, s.untimed)).collect();
        assert_eq!(steps, [("pay", 20, 20)]);
    }

    #[test]
    fn who_has_gone_makes_no_source_silent_beside_others() {
        let (mut timeline, mut view) = (Timeline::new(), View::new(RunView::default()));
        let mut take = |view: &mut View, entry: Entry| {
            timeline.apply(&entry);
            view.apply(&timeline, &entry);
            let at = match &entry {
                Entry::Sample { at, .. } => *at,
                Entry::Event(event) => event.start,
                _ => RunTime::ZERO,
            };
            view.source_views(&timeline, at).first().and_then(|source| source.age_ns)
        };
        view.source("node".to_owned(), "two processes".to_owned());
        for (id, subject) in [(0, "pid-5"), (1, "pid-6")] {
            let age = LaneSpec::level(names::SOURCE_AGE, "node", Unit::Ns).about(subject).worst();
            assert_eq!(take(&mut view, Entry::Lane(LaneId(id), age)), None, "no sample yet");
        }
        let age = |lane, ms| Entry::Sample { lane: LaneId(lane), at: RunTime::from_ms(ms), value: 1e8 };
        let said = |source: &str, instance: &str, what: &str, ms| {
            let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            Entry::Event(Event {
                kind: kinds::SOURCE.to_owned(),
                instance: instance.to_owned(),
                start: RunTime::from_ms(ms),
                end: RunTime::from_ms(ms),
                labels: vec![label("source", source), label("what", what)],
                value: 0.0,
                others: 0,
            })
        };
        let ms = |n: u64| Some(n * 1_000_000);
        take(&mut view, age(0, 1_000));
        assert_eq!(take(&mut view, age(1, 9_000)), ms(8_100), "pid-5 may only be slow");
        assert_eq!(
            take(&mut view, said("process", "pid-5", "gone", 9_000)),
            ms(8_100),
            "another source says so"
        );
        assert_eq!(take(&mut view, said("node", "pid-5", "gone", 9_000)), ms(100));
        // Of the one that is left nothing comes any more.
        assert_eq!(take(&mut view, said("node", "pid-6", "silent", 13_000)), ms(4_100));
        assert_eq!(
            take(&mut view, said("node", "pid-6", "gone", 14_000)),
            ms(5_100),
            "the last that was told"
        );
        assert_eq!(take(&mut view, said("node", "pid-5", "back", 14_000)), ms(13_100));
    }

    #[test]
    fn a_process_of_which_nothing_was_told_is_not_shown() {
        let mut timeline = Timeline::new();
        for (i, instance) in ["shop-0", "shop-1"].into_iter().enumerate() {
            let spec = LaneSpec::level(names::PROCESS_CPU, instance, Unit::Cores);
            timeline.apply(&Entry::Lane(LaneId(i as u32), spec));
        }
        let at = RunTime::from_ms;
        timeline.apply(&Entry::Sample { lane: LaneId(0), at: at(100), value: 1.0 });
        let shown = processes(&timeline, at(1_100));
        let shown: Vec<_> = shown.iter().map(|p| (p.name.as_str(), p.cpu, p.age_ns)).collect();
        assert_eq!(shown, [("shop-0", Some(1.0), 1_000_000_000)]);
    }

    #[test]
    fn a_rate_that_appears_late_is_not_integrated_from_the_start() {
        let (mut timeline, mut view) = (Timeline::new(), View::new(RunView::default()));
        let mut take = |entry: Entry| {
            timeline.apply(&entry);
            view.apply(&timeline, &entry);
        };
        let lane = LaneId(0);
        take(Entry::Lane(lane, LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about("timeout")));
        for (ms, value) in [(9_000, 20.0), (9_100, 10.0), (9_300, 10.0)] {
            take(Entry::Sample { lane, at: RunTime::from_ms(ms), value });
        }
        // 20/s for the usual 100 ms, then 10/s for 300 ms.
        assert_eq!(view.totals_by_subject(&timeline, names::ERRORS), [("timeout".to_owned(), 5)]);
    }
}
