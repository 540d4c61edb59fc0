//! What was really wrong in a run, from its `truth.jsonl`: the one file that detectors never see.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use timeline::fault::{FaultKind, TruthPoint};

use super::case::Began;
pub use crate::run::truth::FILE_NAME;

/// What is needed of a line.
#[derive(Deserialize)]
struct Line {
    run_s: f64,
    fault: FaultKind,
    what: TruthPoint,
}

/// Why a run without the file cannot be judged.
pub const UNKNOWN: &str = "its truth is not known: it left no truth.jsonl";

/// The faults of a run in the order in which they were armed. Nobody knows what was wrong where the file is missing, as it is for a run
/// with another target than the bundled backend; where nothing was injected it is there, and empty.
pub fn read(folder: &Path) -> anyhow::Result<Option<Vec<Began>>> {
    let path = folder.join(FILE_NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    began(&text).map(Some).with_context(|| format!("{}", path.display()))
}

fn began(text: &str) -> anyhow::Result<Vec<Began>> {
    let mut all: Vec<Began> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("line {}", n + 1))?;
        let at = all.iter().position(|b| b.fault == line.fault).unwrap_or_else(|| {
            all.push(Began { fault: line.fault, armed_s: line.run_s, onset_s: None });
            all.len() - 1
        });
        let began = &mut all[at];
        match line.what {
            TruthPoint::Armed => began.armed_s = began.armed_s.min(line.run_s),
            TruthPoint::Onset => {
                began.onset_s = Some(began.onset_s.map_or(line.run_s, |o| o.min(line.run_s)))
            }
            TruthPoint::Ended => {}
        }
    }
    all.sort_by(|a, b| a.armed_s.total_cmp(&b.armed_s));
    Ok(all)
}

/// When the last of them ended, seconds; none if nothing did.
pub fn ended_s(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join(FILE_NAME)).ok()?;
    let lines = text.lines().filter_map(|l| serde_json::from_str::<Line>(l).ok());
    lines.filter(|l| l.what == TruthPoint::Ended).map(|l| l.run_s).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_truth_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn the_earliest_of_all_processes_counts() {
        let line = |s: f64, fault: &str, what: &str| {
            format!(
                "{{\"run_s\":{s},\"fault\":\"{fault}\",\"instance\":\"shop-0\",\"what\":\"{what}\",\"at\":1}}\n"
            )
        };
        let text = line(9.0, "leak", "armed")
            + &line(8.1, "stampede", "armed")
            + &line(8.0, "stampede", "armed")
            + &line(8.7, "stampede", "onset")
            + &line(8.6, "stampede", "onset")
            + &line(12.0, "stampede", "ended");
        let stampede = Began { fault: FaultKind::Stampede, armed_s: 8.0, onset_s: Some(8.6) };
        let leak = Began { fault: FaultKind::Leak, armed_s: 9.0, onset_s: None };
        assert_eq!(began(&text).unwrap(), [stampede, leak]);
        let error = began("nonsense").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error:#}");
    }
}
