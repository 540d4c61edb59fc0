//! Each fault of the catalogue, and its clean twin, from small recordings of real runs: what is wrong is named first, and where nothing is
//! wrong nothing is found. `dyno score --record profiler/tests/recordings` makes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dynamometer_profiler::Diagnosis;
use timeline::fault::FaultKind;
use timeline::recording::{Item, Reader};
use timeline::{Entry, Finding, FindingKind, Timeline};

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

/// What must be found in a run of this name; none in a clean one.
fn expected(name: &str) -> Option<FindingKind> {
    match name {
        "cpu-saturated" => Some(FindingKind::CpuSaturated),
        "generator-limited" => Some(FindingKind::GeneratorLimited),
        _ => FaultKind::from_name(name).map(FaultKind::expected),
    }
}

#[test]
fn there_is_a_recording_of_every_fault_and_of_its_clean_twin() {
    let runs = runs();
    for fault in FaultKind::ALL {
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
        let first = findings.first().map(|f| f.kind);
        if first != wanted {
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
        match expected(&name) {
            None => assert_eq!(findings, [], "{name}"),
            Some(_) => named += findings.len(),
        }
    }
    assert!(named > 0, "the client's side alone told of no fault");
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
