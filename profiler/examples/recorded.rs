//! What the detectors of this build say of recorded runs, beside what was really wrong: `recorded [--client-alone] FOLDER...`, one
//! folder a run; on demand without all that the target's instruments said, as if nobody had attached to it.

use std::path::Path;

use dynamometer_profiler::Diagnosis;
use timeline::fault::FaultKind;
use timeline::recording::Reader;
use timeline::{Entry, LaneId, MonoNs, RunTime, Timeline};

/// A line of `truth.jsonl`.
#[derive(serde::Deserialize)]
struct Line {
    run_s: f64,
    fault: FaultKind,
    what: String,
}

/// A run as it would have been recorded with nothing attached.
#[derive(Default)]
struct ClientAlone {
    timeline: Timeline,
    /// For each lane of the run its own, and how many points and intervals it has given.
    lanes: Vec<(Option<LaneId>, usize, usize)>,
}

impl ClientAlone {
    /// Takes over what has come since the last tick.
    fn follow(&mut self, run: &Timeline, at: RunTime) -> &Timeline {
        self.timeline.apply(&Entry::Plan(run.plan().clone()));
        for (i, series) in run.series().iter().enumerate() {
            if i == self.lanes.len() {
                let kept = ["client.", "generator.", "host."].iter().any(|p| series.spec.name.starts_with(p));
                let id = kept.then(|| LaneId(self.timeline.series().len() as u32));
                if let Some(id) = id {
                    self.timeline.apply(&Entry::Lane(id, series.spec.clone()));
                }
                self.lanes.push((id, 0, 0));
            }
            let (Some(lane), points, intervals) = self.lanes[i] else { continue };
            for &(at, value) in &series.points[points..] {
                self.timeline.apply(&Entry::Sample { lane, at, value });
            }
            for (span, cells) in &series.intervals[intervals..] {
                self.timeline.apply(&Entry::Histogram { lane, span: *span, cells: cells.clone() });
            }
            self.lanes[i] = (Some(lane), series.points.len(), series.intervals.len());
        }
        self.timeline.apply(&Entry::Tick(at));
        &self.timeline
    }
}

/// Faults that truly began, with the first onset of each, seconds.
fn truth(folder: &Path) -> Vec<(FaultKind, f64)> {
    let text = std::fs::read_to_string(folder.join("truth.jsonl")).unwrap_or_default();
    let mut began: Vec<(FaultKind, f64)> = Vec::new();
    for line in text.lines().filter_map(|l| serde_json::from_str::<Line>(l).ok()) {
        if line.what == "onset" && began.iter().all(|b| b.0 != line.fault) {
            began.push((line.fault, line.run_s));
        }
    }
    began
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut cost, mut ticks) = (0.0, 0u32);
    let (options, folders): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a == "--client-alone");
    for folder in &folders {
        let folder = Path::new(folder);
        let mut alone = (!options.is_empty()).then(ClientAlone::default);
        let mut diagnosis = Diagnosis::new();
        Reader::open(folder)?.load(folder, |timeline, at| {
            let timeline = alone.as_mut().map_or(timeline, |a| a.follow(timeline, at));
            let began = MonoNs::now();
            diagnosis.tick(timeline, at);
            cost += MonoNs::now().since(began).as_secs_f64();
            ticks += 1;
        })?;
        let truth = truth(folder);
        let first = diagnosis.findings().first().map(|f| f.kind);
        let right = match truth.as_slice() {
            [] => first.is_none(),
            [(fault, _), ..] => first == Some(fault.expected()),
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        println!("{} {name}", if right { "ok   " } else { "WRONG" });
        for (fault, at) in truth {
            println!("      truth {at:7.2}  {} -> {}", fault.name(), fault.expected().name());
        }
        for f in diagnosis.findings() {
            println!(
                "      {:<6}{:7.2}  found {:.2}, {}, {}, {}: {}{}",
                f.id,
                f.onset.as_secs_f64(),
                f.found_at.as_secs_f64(),
                f.status.name(),
                f.severity.name(),
                f.kind.name(),
                f.claim,
                f.caused_by.as_ref().map(|c| format!(" [by {c}]")).unwrap_or_default(),
            );
        }
    }
    println!("{:.3} ms a tick over {ticks} ticks", cost * 1e3 / f64::from(ticks.max(1)));
    Ok(())
}
