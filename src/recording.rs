//! `dyno recording`: what a recording holds, whether it is whole, a stretch of it, several as one.

use std::path::{Path, PathBuf};

use reports::summary::Reason;
use timeline::recording::{EditError, Edited, FILE_NAME, Item, Reader, RecordingError, merge, trim};
use timeline::{RunTime, Span};

use crate::cli::RecordingCommand;
use crate::ended::{user_error, warn};
use crate::outcome::{Outcome, UserError};
use crate::show::print;

/// `dyno recording ...`
pub fn recording(command: &RecordingCommand) -> anyhow::Result<Outcome> {
    match command {
        RecordingCommand::Info { run, json } => info(run, *json),
        RecordingCommand::Verify { run } => verify(run),
        RecordingCommand::Trim { run, from, to, out } => {
            let at = |text: &String| scenarios::duration_ns(text).map(RunTime).map_err(UserError::wrong);
            let (from, to) = (at(from)?, to.as_ref().map_or(Ok(RunTime(u64::MAX / 2)), at)?);
            if from >= to {
                return Err(UserError::wrong(format!("--from {from} is not before --to {to}")));
            }
            make(out, |path| trim(run, path, Span::new(from, to)))
        }
        RecordingCommand::Merge { runs, out } => make(out, |path| merge(runs, path)),
    }
}

/// Makes a recording at `out`, or inside it if it is a folder, and says what it is.
fn make(out: &Path, edit: impl FnOnce(&Path) -> Result<Edited, EditError>) -> anyhow::Result<Outcome> {
    let path = new_file(out)?;
    let edited = edit(&path).map_err(|e| wrong(e, &path))?;
    warn(&edited.damage);
    print(&format!(
        "{} to {} of run {}: {}\n",
        RunTime::ZERO,
        edited.length,
        edited.meta.run_id,
        path.display()
    ))
}

/// The file to write: in the folder `out`, or `out` itself, for which folders are made. It must not exist.
fn new_file(out: &Path) -> anyhow::Result<PathBuf> {
    let path = if out.is_dir() || out.extension().is_none() { out.join(FILE_NAME) } else { out.to_owned() };
    if path.exists() {
        return Err(UserError::wrong(format!(
            "{} exists: give --out a new one, nothing is overwritten",
            path.display()
        )));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| UserError::wrong(format!("cannot make {}: {e}", folder.display())))?;
    }
    Ok(path)
}

fn wrong(error: EditError, path: &Path) -> anyhow::Error {
    match error {
        EditError::Read(e) => user_error(e),
        EditError::Write(e) => UserError::wrong(format!("cannot write {}: {e}", path.display())),
        e @ EditError::Outside { .. } => UserError::wrong(e),
    }
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
    profiles: u64,
    ticks: u64,
    log_lines: u64,
    last_second: f64,
    bytes: u64,
    index: bool,
    ended: Option<String>,
    damage: Vec<String>,
}

fn count(path: &Path) -> anyhow::Result<Info> {
    use timeline::Entry;
    let mut reader = Reader::open(path).map_err(user_error)?;
    let (mut info, mut described) = (Info::default(), false);
    for item in reader.by_ref() {
        match item {
            Item::Meta(meta) => {
                described = true;
                info.run_id = meta.run_id;
                info.scenario = meta.scenario;
                info.dyno_version = meta.dyno_version;
            }
            Item::Entry(Entry::Plan(_)) => {}
            Item::Entry(Entry::Lane(..)) => info.lanes += 1,
            Item::Entry(Entry::Sample { .. }) => info.samples += 1,
            Item::Entry(Entry::Histogram { .. }) => info.histogram_intervals += 1,
            Item::Entry(Entry::Event(_)) => info.events += 1,
            Item::Entry(Entry::Profile(_)) => info.profiles += 1,
            Item::Entry(Entry::Tick(at)) => {
                info.ticks += 1;
                info.last_second = at.as_secs_f64();
            }
            Item::Log(_) => info.log_lines += 1,
            Item::End(end) => info.ended = Some(Reason::of(Some(&end)).name().to_owned()),
        }
    }
    if !described {
        return Err(user_error(RecordingError::Empty { path: path.to_owned() }));
    }
    (info.bytes, info.index) = (reader.size(), reader.has_index());
    info.damage = reader.damage().iter().map(ToString::to_string).collect();
    Ok(info)
}

fn info(path: &Path, json: bool) -> anyhow::Result<Outcome> {
    let info = count(path)?;
    if json {
        return print(&(serde_json::to_string_pretty(&info)? + "\n"));
    }
    let ended = info.ended.as_deref().unwrap_or("no end: it was cut off");
    let mut out = format!(
        "run        {} ({}), dyno {}\nholds      {} lanes, {} samples, {} histogram intervals, {} events, {} CPU profiles, {} log lines\nlength     {:.1} s, {} ticks\nsize       {}{}\nended      {ended}\n",
        info.run_id,
        info.scenario,
        info.dyno_version,
        info.lanes,
        info.samples,
        info.histogram_intervals,
        info.events,
        info.profiles,
        info.log_lines,
        info.last_second,
        info.ticks,
        timeline::Unit::Bytes.show(info.bytes as f64),
        if info.index { "" } else { ", without an index" },
    );
    for d in &info.damage {
        out += &format!("damage     {d}\n");
    }
    print(&out)
}

fn verify(path: &Path) -> anyhow::Result<Outcome> {
    let info = count(path)?;
    if info.damage.is_empty() {
        let cut = match &info.ended {
            Some(_) => String::new(),
            None => format!("; it has no end: it was cut off after {:.1} s", info.last_second),
        };
        return print(&format!("every block is whole{cut}\n"));
    }
    Err(UserError::wrong(info.damage.join("\n")))
}
