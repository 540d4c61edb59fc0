//! Commands on a run that ended, read from its recording alone: report and explain.

use std::path::{Path, PathBuf};

use profiler::Diagnosis;
use reports::discreet;
use timeline::Finding;
use timeline::recording::{Damage, Loaded, Reader, RecordingError};

use crate::cli::{ExplainArgs, ReportArgs};
use crate::files::cannot;
use crate::follow::find;
use crate::outcome::{Outcome, UserError};
use crate::run::finish;
use crate::show::{columns, print, say};

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
        say(format_args!("dyno: {d}"));
    }
}

/// Writes the reports of a recording into `folder`, without statements and addresses if they are to be discreet; gives their summary
/// and the files.
pub fn write_reports(
    run: &Path,
    folder: &Path,
    formats: &[reports::Format],
    discreet: bool,
) -> anyhow::Result<(reports::Summary, Vec<PathBuf>)> {
    let Replayed { loaded, findings, .. } = replay(run)?;
    std::fs::create_dir_all(folder).map_err(cannot("make", folder))?;
    let summary = reports::Summary::new(&loaded.meta, &loaded.timeline, &findings, loaded.end.as_ref());
    let inputs = reports::Inputs { summary: &summary, timeline: &loaded.timeline, meta: &loaded.meta };
    let (summary, written) = finish::write_as(&inputs, folder, formats, discreet);
    Ok((summary, written.map_err(UserError::wrong)?))
}

/// `dyno report [RUN]`
pub fn report(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let run = find::or_newest(args.run.as_deref())?;
    let folder = args.out.clone().unwrap_or_else(|| folder_of(&run));
    let (summary, written) = write_reports(&run, &folder, &args.formats(), args.redact)?;
    no_profile(&args.formats(), &written)?;
    if args.json {
        return print(&(serde_json::to_string_pretty(&summary)? + "\n"));
    }
    let said = reports::text::summary_within(&summary, &written, columns()) + &reports::text::more(&run);
    print(&said)
}

/// A run without a profile has no pprof: said aloud, and wrong if nothing else was asked for.
fn no_profile(formats: &[reports::Format], written: &[PathBuf]) -> anyhow::Result<()> {
    const WHY: &str = "no pprof: the run has no CPU profile; `dyno run --profile` takes one of each process that links the agent, and busy processes behind a watched port are profiled where V8's inspector or the kernel allows it";
    let folded = |path: &PathBuf| path.extension().is_some_and(|e| e == "folded");
    if !formats.contains(&reports::Format::Pprof) || written.iter().any(folded) {
        return Ok(());
    }
    if formats.len() == 1 {
        return Err(UserError::wrong(WHY));
    }
    say(format_args!("dyno: {WHY}"));
    Ok(())
}

fn folder_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.to_owned() } else { run.parent().unwrap_or(Path::new(".")).to_owned() }
}

/// `dyno explain [RUN]`
pub fn explain(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    if args.schema {
        return print(reports::explain::SCHEMA);
    }
    let run = find::or_newest(args.run.as_deref())?;
    let Replayed { loaded, findings, diagnosis } = replay(&run)?;
    let summary = reports::Summary::new(&loaded.meta, &loaded.timeline, &findings, loaded.end.as_ref());
    let looked = diagnosis.states().into_iter();
    let looked = looked.map(|(kind, status, text)| reports::explain::Looked { kind, status, text });
    let mut told = reports::Explanation::new(&summary, diagnosis.breakdowns(), looked.collect());
    told.notes.extend(diagnosis.left_out());
    let mut tried = Outcome::Pass;
    if args.verify {
        let (verification, outcome) = crate::verify::verify(args, &loaded, &findings)?;
        (told.verification, tried) = (Some(verification), outcome);
    }
    if args.redact {
        told = discreet::plain(&told, &loaded.meta.target);
    }
    let said = if args.json {
        print(&(serde_json::to_string_pretty(&told)? + "\n"))?
    } else {
        print(&reports::explain::story(&told))?
    };
    Ok(if tried == Outcome::Pass { said } else { tried })
}
