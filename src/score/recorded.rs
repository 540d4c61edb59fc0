//! Recorded runs, judged anew with the detectors of this build. Nothing is run.

use std::path::{Path, PathBuf};

use timeline::FindingKind::GeneratorLimited;
use timeline::Status;
use timeline::facts::RunMeta;
use timeline::recording::{FILE_NAME, PACKED_FILE_NAME, in_folder};

use super::case::{Began, Case, End, Found, RUST, Record, Seen, Shape, Sort, condition};
use super::truth;
use crate::ended::{Replayed, replay};
use crate::outcome::UserError;

/// Folders of recorded runs: those named, and the ones right inside of those that are none themselves.
pub fn folders(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in named {
        if in_folder(folder).is_some() {
            all.push(folder.clone());
            continue;
        }
        let cannot = |e| {
            UserError::wrong(format!(
                "cannot read the folder {}: {e}; give a run's folder, or one with such in it",
                folder.display()
            ))
        };
        let inside = std::fs::read_dir(folder).map_err(cannot)?;
        let mut runs: Vec<PathBuf> = inside.flatten().map(|e| e.path()).collect();
        runs.retain(|run| in_folder(run).is_some());
        if runs.is_empty() {
            let expected = format!("expected folders with {FILE_NAME} or {PACKED_FILE_NAME} in them");
            return Err(UserError::wrong(format!(
                "no recorded run lies in {}: {expected}",
                folder.display()
            )));
        }
        runs.sort();
        all.extend(runs);
    }
    Ok(all)
}

/// The name of a run's folder.
pub fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What this build's detectors say of a recorded run, and what it was about: the case that was drawn, or of another run what its truth
/// says. Without a truth it cannot be judged, and a run whose generator was starved is as invalid here as it was when it ended.
pub fn judge_anew(number: u32, folder: &Path) -> anyhow::Result<Record> {
    let Replayed { loaded, findings, .. } = replay(folder)?;
    let truth = truth::read(folder)?;
    let starved = findings.iter().find(|f| f.kind == GeneratorLimited && f.status >= Status::Likely);
    let (end, why) = match (&truth, starved) {
        (None, _) => (End::Broken, truth::UNKNOWN.to_owned()),
        (_, Some(starved)) => (End::Invalid, starved.claim.clone()),
        _ => (End::Valid, String::new()),
    };
    let truth = truth.unwrap_or_default();
    let case = Case::read(folder)?.unwrap_or_else(|| undrawn(number, &loaded.meta, &truth));
    let findings = findings.iter().map(Found::from).collect();
    let seen = Seen { end, why, runs: 1, findings, truth };
    Ok(Record { case, seen })
}

/// The case of a run that no score has drawn.
fn undrawn(number: u32, meta: &RunMeta, truth: &[Began]) -> Case {
    let sort = match truth.len() {
        0 if condition(&meta.scenario).is_some() => Sort::Fault,
        0 => Sort::Clean,
        1 => Sort::Fault,
        _ => Sort::Composite,
    };
    Case {
        number,
        sort,
        scenarios: vec![meta.scenario.clone()],
        faults: Vec::new(),
        load: 1.0,
        shape: Shape::Steady,
        neighbour: false,
        seed: meta.seed,
        runtime: RUST.to_owned(),
        stores: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::judge::{Outcome, judge};
    use crate::score::keep::keep;

    #[test]
    fn a_kept_case_is_judged_by_what_was_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let (run, copy) = (dir.path().join("case-0007"), dir.path().join("copy"));
        let healthy = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/stampede-clean");
        keep(&healthy, &run).unwrap();
        let judged = |folder: &Path| {
            let Record { case, seen } = judge_anew(0, folder).unwrap();
            (judge(&case, &seen).outcome, case)
        };
        let (outcome, undrawn) = judged(&run);
        assert_eq!((outcome, undrawn.sort), (Outcome::Silent, Sort::Clean));
        // Nothing is injected here either, and yet something had to be found.
        let scenarios = vec!["cpu-saturated".to_owned()];
        let drawn = Case { number: 7, sort: Sort::Fault, scenarios, load: 1.4, ..undrawn };
        drawn.write(&run).unwrap();
        assert_eq!(judged(&run), (Outcome::Missed, drawn.clone()));
        keep(&run, &copy).unwrap();
        assert_eq!(judged(&copy), (Outcome::Missed, drawn));
        std::fs::write(copy.join("case.json"), "{}").unwrap();
        let error = judge_anew(0, &copy).unwrap_err().to_string();
        assert!(error.contains("case.json") && error.contains("expected a case"), "{error}");
    }
}
