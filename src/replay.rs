//! Commands on a run that ended, read from its recording alone: report, explain, recording info and verify.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use profiler::Diagnosis;
use timeline::Finding;
use timeline::recording::{Damage, Item, Loaded, Reader, RecordingError};

use crate::cli::{ExplainArgs, ReportArgs};
use crate::outcome::{Outcome, UserError};
use crate::show::print;

/// A recording and what the detectors say of it.
pub struct Replayed {
    pub loaded: Loaded,
    pub findings: Vec<Finding>,
    pub diagnosis: Diagnosis,
}

/// Reads a recording and runs the detectors at each of its ticks, as the live run did.
pub fn replay(path: &Path) -> anyhow::Result<Replayed> {
    let mut diagnosis = Diagnosis::new();
    let loaded = Reader::open(path)
        .and_then(|r| r.load(path, |timeline, at| diagnosis.tick(timeline, at)))
        .map_err(user_error)?;
    warn(&loaded.damage);
    Ok(Replayed { loaded, findings: diagnosis.findings().to_vec(), diagnosis })
}

pub fn user_error(error: RecordingError) -> anyhow::Error {
    UserError::wrong(error)
}

pub fn warn(damage: &[Damage]) {
    for d in damage {
        eprintln!("dyno: at byte {}: {}", d.offset, d.what);
    }
}

/// Writes the reports of a recording into `folder`; gives the summary and the files.
pub fn write_reports(
    run: &Path,
    folder: &Path,
    formats: &[reports::Format],
) -> anyhow::Result<(reports::Summary, Vec<PathBuf>)> {
    let Replayed { loaded, findings, .. } = replay(run)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let summary = reports::Summary::new(&loaded.meta, &loaded.timeline, &findings, loaded.end.as_ref());
    let inputs = reports::Inputs { summary: &summary, timeline: &loaded.timeline, meta: &loaded.meta };
    let written = reports::write(folder, &inputs, formats).map_err(UserError::wrong)?;
    Ok((summary, written))
}

/// `dyno report RUN`
pub fn report(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let folder = args.out.clone().unwrap_or_else(|| folder_of(&args.run));
    let (summary, written) = write_reports(&args.run, &folder, &args.formats())?;
    if args.json {
        return print(&(serde_json::to_string_pretty(&summary)? + "\n"));
    }
    print(&reports::text::summary(&summary, &written))
}

fn folder_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.to_owned() } else { run.parent().unwrap_or(Path::new(".")).to_owned() }
}

/// `dyno explain RUN`
pub fn explain(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let Some(run) = &args.run else { return print(reports::explain::SCHEMA) };
    let Replayed { loaded, findings, diagnosis } = replay(run)?;
    let summary = reports::Summary::new(&loaded.meta, &loaded.timeline, &findings, loaded.end.as_ref());
    let looked = diagnosis.states().into_iter();
    let looked = looked.map(|(kind, status, text)| reports::explain::Looked { kind, status, text });
    let mut told = reports::Explanation::new(&summary, diagnosis.breakdowns(), looked.collect());
    if args.verify {
        told.verification = Some(crate::verify::verify(args, &loaded, &findings)?);
    }
    let refuted = told.verification.as_ref().is_some_and(|v| !v.verified);
    let said = if args.json {
        print(&(serde_json::to_string_pretty(&told)? + "\n"))?
    } else {
        print(&reports::explain::story(&told))?
    };
    Ok(if refuted { Outcome::GateFailed } else { said })
}

/// What `dyno recording info` counts.
#[derive(Default, serde::Serialize)]
struct Info {
    run_id: String,
    scenario: String,
    dyno_version: String,
    lanes: u64,
    samples: u64,
    histogram_intervals: u64,
    events: u64,
    ticks: u64,
    log_lines: u64,
    last_second: f64,
    ended: Option<String>,
    damage: Vec<String>,
}

fn count(path: &Path) -> anyhow::Result<Info> {
    use timeline::Entry;
    let mut reader = Reader::open(path).map_err(user_error)?;
    let mut info = Info::default();
    for item in reader.by_ref() {
        match item {
            Item::Meta(meta) => {
                info.run_id = meta.run_id;
                info.scenario = meta.scenario;
                info.dyno_version = meta.dyno_version;
            }
            Item::Entry(Entry::Plan(_)) => {}
            Item::Entry(Entry::Lane(..)) => info.lanes += 1,
            Item::Entry(Entry::Sample { .. }) => info.samples += 1,
            Item::Entry(Entry::Histogram { .. }) => info.histogram_intervals += 1,
            Item::Entry(Entry::Event(_)) => info.events += 1,
            Item::Entry(Entry::Tick(at)) => {
                info.ticks += 1;
                info.last_second = at.as_secs_f64();
            }
            Item::Log(_) => info.log_lines += 1,
            Item::End(end) => info.ended = Some(format!("{:?}", end.reason).to_lowercase()),
        }
    }
    info.damage = reader.damage().iter().map(|d| format!("at byte {}: {}", d.offset, d.what)).collect();
    Ok(info)
}

/// `dyno recording info RUN`
pub fn info(path: &Path, json: bool) -> anyhow::Result<Outcome> {
    let info = count(path)?;
    if json {
        return print(&(serde_json::to_string_pretty(&info)? + "\n"));
    }
    let ended = info.ended.as_deref().unwrap_or("no end: it was cut off");
    let mut out = format!(
        "run        {} ({}), dyno {}\nholds      {} lanes, {} samples, {} histogram intervals, {} events, {} log lines\nlength     {:.1} s, {} ticks\nended      {ended}\n",
        info.run_id,
        info.scenario,
        info.dyno_version,
        info.lanes,
        info.samples,
        info.histogram_intervals,
        info.events,
        info.log_lines,
        info.last_second,
        info.ticks,
    );
    for d in &info.damage {
        out += &format!("damage     {d}\n");
    }
    print(&out)
}

/// `dyno recording verify RUN`
pub fn verify(path: &Path) -> anyhow::Result<Outcome> {
    let info = count(path)?;
    if info.damage.is_empty() {
        return print("every block is whole\n");
    }
    Err(UserError::wrong(info.damage.join("\n")))
}
