//! Each fault of the catalogue, and its clean twin, from small recordings of real runs: what is wrong is named first, and where nothing is
//! wrong nothing is found. `dyno score --record profiler/tests/recordings` makes them anew. Those of two faults at once, as `stampede+leak`, are
//! of drawn cases in which one was missed once: both are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynamometer_profiler::Diagnosis;
use timeline::event::kinds;
use timeline::fault::FaultKind;
use timeline::histogram::Sparse;
use timeline::recording::{Item, Reader};
use timeline::{Entry, Event, Finding, FindingKind, LaneId, LaneSpec, RunTime, Shape, Span, Timeline};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// The recorded runs: name and folder.
fn runs() -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap());
    let runs = entries.filter(|e| e.path().is_dir());
    runs.map(|e| (e.file_name().into_string().unwrap(), e.path())).collect()
}

/// What this build's detectors say of a recording whose items went through `change`.
fn diagnose(run: &Path, change: impl Fn(&mut Entry)) -> Vec<Finding> {
    let (mut timeline, mut diagnosis) = (Timeline::new(), Diagnosis::new());
    let mut reader = Reader::open(run).unwrap();
    for item in reader.by_ref() {
        let Item::Entry(mut entry) = item else { continue };
        change(&mut entry);
        timeline.apply(&entry);
        if let Entry::Tick(at) = entry {
            diagnosis.tick(&timeline, at);
        }
    }
    assert_eq!(reader.damage(), []);
    diagnosis.findings().to_vec()
}

/// What must be found in a run of this name; nothing in a clean one.
fn expected(name: &str) -> Vec<FindingKind> {
    let kind = |part| match part {
        "cpu-saturated" => Some(FindingKind::CpuSaturated),
        "generator-limited" => Some(FindingKind::GeneratorLimited),
        _ => FaultKind::from_name(part).map(FaultKind::expected),
    };
    name.split('+').filter_map(kind).collect()
}

#[test]
fn there_is_a_recording_of_every_fault_and_of_its_clean_twin() {
    let runs = runs();
    for fault in FaultKind::ALL.iter().filter(|f| !f.of_twin_alone()) {
        for name in [fault.name().to_owned(), format!("{}-clean", fault.name())] {
            assert!(runs.contains_key(&name), "{name}");
        }
    }
}

#[test]
fn what_is_wrong_is_named_first_and_clean_runs_show_nothing() {
    let mut wrong = Vec::new();
    for (name, run) in runs() {
        let wanted = expected(&name);
        let findings = diagnose(&run, |_| {});
        let found: Vec<FindingKind> = findings.iter().map(|f| f.kind).collect();
        let named_first = found.first().map_or(wanted.is_empty(), |first| wanted.contains(first));
        if !named_first || wanted.iter().any(|kind| !found.contains(kind)) {
            let told: Vec<String> =
                findings.iter().map(|f| format!("{}: {}", f.kind.name(), f.claim)).collect();
            wrong.push(format!(
                "{name}: {}",
                if told.is_empty() { "nothing".to_owned() } else { told.join("\n    ") }
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Seen from the client alone, as if nobody had attached to the target: what is left of a recording says less, and nothing that is wrong.
#[test]
fn without_the_targets_instruments_clean_runs_show_nothing_either() {
    let unseen = |entry: &mut Entry| match entry {
        Entry::Lane(_, spec)
            if !["client.", "generator.", "host."].iter().any(|p| spec.name.starts_with(p)) =>
        {
            spec.name.insert_str(0, "unseen.");
        }
        Entry::Event(event) => event.kind.insert_str(0, "unseen."),
        _ => {}
    };
    let mut named = 0;
    for (name, run) in runs() {
        let findings = diagnose(&run, unseen);
        if expected(&name).is_empty() {
            assert_eq!(findings, [], "{name}");
        }
        named += findings.len();
    }
    assert!(named > 0, "the client's side alone told of no fault");
}

/// A target whose instruments are a page or a sender that tells every so many seconds only: a level as it is then, the mean of a rate, a
/// histogram of all that came, and pauses somewhere in between. Its CPU and memory are read from outside, as always.
struct Thinned {
    period: Duration,
    lanes: BTreeMap<LaneId, (LaneSpec, Held)>,
    pauses: Vec<Event>,
    last: RunTime,
}

/// What a lane has had since it was last told.
#[derive(Default)]
struct Held {
    last: f64,
    most: f64,
    sum: f64,
    n: f64,
    cells: BTreeMap<u32, u32>,
}

impl Thinned {
    fn new(seconds: u64) -> Self {
        let (period, last) = (Duration::from_secs(seconds), RunTime::ZERO);
        Self { period, lanes: BTreeMap::new(), pauses: Vec::new(), last }
    }

    /// What is told in place of `entry`.
    fn told(&mut self, entry: Entry) -> Vec<Entry> {
        match entry {
            Entry::Lane(id, spec) => {
                let outside = ["client.", "generator.", "host.", "process.", "source."];
                if !outside.iter().any(|p| spec.name.starts_with(p)) {
                    self.lanes.insert(id, (spec.clone(), Held::default()));
                }
                vec![Entry::Lane(id, spec)]
            }
            Entry::Sample { lane, value, .. } if self.lanes.contains_key(&lane) => {
                let held = &mut self.lanes.get_mut(&lane).unwrap().1;
                held.most = if held.n == 0.0 { value } else { held.most.max(value) };
                held.last = value;
                held.sum += value;
                held.n += 1.0;
                Vec::new()
            }
            Entry::Histogram { lane, cells, .. } if self.lanes.contains_key(&lane) => {
                let held = &mut self.lanes.get_mut(&lane).unwrap().1;
                for (us, n) in cells.cells {
                    *held.cells.entry(us).or_default() += n;
                }
                Vec::new()
            }
            Entry::Event(event) => {
                if [kinds::PAUSE_MINOR, kinds::PAUSE_MAJOR, kinds::PAUSE_STOP_THE_WORLD]
                    .contains(&&*event.kind)
                {
                    self.pauses.push(event);
                }
                Vec::new() // no page tells of anything else
            }
            Entry::Tick(at) if at.since(self.last) >= self.period => {
                let mut all = self.reading(at);
                all.push(Entry::Tick(at));
                all
            }
            other => vec![other],
        }
    }

    fn reading(&mut self, at: RunTime) -> Vec<Entry> {
        let span = Span::new(std::mem::replace(&mut self.last, at), at);
        let mut all = Vec::new();
        for (&lane, (spec, held)) in &mut self.lanes {
            let held = std::mem::take(held);
            let value = match spec.shape {
                Shape::Rate => held.sum / held.n,
                _ if spec.name.ends_with("longest") => held.most,
                _ => held.last,
            };
            if spec.shape == Shape::Histogram {
                let cells = Sparse { cells: held.cells.into_iter().collect() };
                all.extend((!cells.cells.is_empty()).then_some(Entry::Histogram { lane, span, cells }));
            } else if held.n > 0.0 {
                all.push(Entry::Sample { lane, at, value });
            }
        }
        let mut pauses = std::mem::take(&mut self.pauses);
        pauses.sort_by_key(|e| std::cmp::Reverse(e.end.since(e.start)));
        let step = span.length() / u32::try_from(pauses.len()).unwrap().max(1);
        for (i, mut event) in (0..).zip(pauses.into_iter().take(8)) {
            let length = event.end.since(event.start);
            event.end = at.back(step * i);
            event.start = event.end.back(length).max(span.start);
            event.labels = vec![("placed".to_owned(), "anywhere within the interval".to_owned())];
            all.push(Entry::Event(event));
        }
        all
    }
}

/// What the client's side tells by itself.
const OF_CLIENTS: [FindingKind; 5] = [
    FindingKind::ThroughputKnee,
    FindingKind::PeriodicStalls,
    FindingKind::SlowStart,
    FindingKind::ConnectionsRefused,
    FindingKind::LongTail,
];

/// What is said of a fault though it is not its cause: a task that never waits does use all the CPU.
const BORNE: [(&str, FindingKind); 1] = [("starved-poll", FindingKind::CpuSaturated)];

/// A page is read, or metrics are sent, every 5 to 15 s by many a service. Detectors then see less, and may find less; they are not fooled.
#[test]
fn instruments_that_tell_seldom_lead_nobody_astray() {
    let (mut wrong, mut right) = (Vec::new(), 0);
    for (name, run) in runs() {
        let known: Vec<FindingKind> = diagnose(&run, |_| {}).iter().map(|f| f.kind).collect();
        for seconds in [5, 15] {
            let (mut timeline, mut diagnosis) = (Timeline::new(), Diagnosis::new());
            let mut thinned = Thinned::new(seconds);
            for item in Reader::open(&run).unwrap() {
                let Item::Entry(entry) = item else { continue };
                for entry in thinned.told(entry) {
                    timeline.apply(&entry);
                    if let Entry::Tick(at) = entry {
                        diagnosis.tick(&timeline, at);
                    }
                }
            }
            for f in diagnosis.findings() {
                // What the client's side tells of itself stands for what cannot be seen any more.
                let by_client = OF_CLIENTS.contains(&f.kind);
                let borne = BORNE.contains(&(name.as_str(), f.kind));
                if !known.contains(&f.kind) && (known.is_empty() || !by_client) && !borne {
                    wrong.push(format!("{name} each {seconds} s: {}: {}", f.kind.name(), f.claim));
                }
            }
            let is_found = |kind: &FindingKind| diagnosis.findings().iter().any(|f| f.kind == *kind);
            right += expected(&name).iter().filter(|kind| is_found(kind)).count();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right > 0, "nothing is found any more");
    let recorded: usize = runs().keys().map(|name| expected(name).len()).sum();
    println!("{right} of {} faults are found all the same", 2 * recorded);
}

/// Names are for people: a detector that looked at one would know the catalogue, not the target. Steps are renamed in plan and lanes alike, since a
/// finding may name one; what it says of it must not change with the name.
#[test]
fn names_of_phases_and_steps_change_no_finding() {
    let mut compared = 0;
    for (name, run) in runs() {
        let names = Renamed::of(&run);
        let renamed = diagnose(&run, |entry| names.rename(entry));
        let as_it_was = diagnose(&run, |_| {});
        let json = |findings: &[Finding]| serde_json::to_string_pretty(findings).unwrap();
        assert_eq!(names.undone(json(&renamed)), json(&as_it_was), "{name}");
        compared += as_it_was.len();
    }
    assert!(compared > 0, "no finding was compared");
}

/// Other names for a run's phases and steps, which sort as the old ones do.
struct Renamed {
    steps: BTreeMap<String, String>,
}

impl Renamed {
    fn of(run: &Path) -> Self {
        let mut steps = BTreeMap::new();
        for item in Reader::open(run).unwrap() {
            if let Item::Entry(Entry::Plan(plan)) = item {
                steps.extend(plan.steps.into_iter().map(|s| (s, String::new())));
            }
        }
        for (n, new) in steps.values_mut().enumerate() {
            *new = format!("~{n:03}~");
        }
        Self { steps }
    }

    fn rename(&self, entry: &mut Entry) {
        match entry {
            Entry::Plan(plan) => {
                plan.steps.iter_mut().for_each(|step| step.clone_from(&self.steps[step.as_str()]));
                for (n, phase) in plan.phases.iter_mut().enumerate() {
                    phase.name = format!("phase {n}");
                }
            }
            Entry::Lane(_, spec) if spec.name.starts_with("client.") => {
                if let Some(new) = self.steps.get(&spec.subject) {
                    spec.subject.clone_from(new);
                }
            }
            _ => {}
        }
    }

    /// The old names back in place of the new ones.
    fn undone(&self, mut text: String) -> String {
        for (old, new) in &self.steps {
            text = text.replace(new, old);
        }
        text
    }
}
