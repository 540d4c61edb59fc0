//! `dyno redact`: a copy of a run that can be given away.
//!
//! Owns the folder: a redacted recording, and reports made anew from it. Nothing else of the run is copied. What may stay is
//! decided in `reports::redact`.

use std::path::Path;

use reports::redact::Redactor;
use timeline::facts::RunMeta;
use timeline::recording::{FILE_NAME, Item, Reader, RecordingError, Writer};
use timeline::text::plural;

use crate::cli::RedactArgs;
use crate::ended::{user_error, warn, write_reports};
use crate::files::{cannot, make_folder};
use crate::outcome::Outcome;
use crate::show::print;

/// Runs the command.
pub fn redact(args: &RedactArgs) -> anyhow::Result<Outcome> {
    let reader = Reader::open(&args.run).map_err(user_error)?;
    let (redactor, meta) = learn(&reader, &args.run)?;
    let folder = make_folder(Some(&args.out), "")?;
    copy(&reader, redactor, &meta, &folder.join(FILE_NAME))?;
    let (summary, written) = write_reports(&folder, &folder, &reports::Format::USUAL, false)?;
    print(&format!(
        "{}: the recording under pseudonyms, and {} reports made from it; {}, verdict {}\n",
        folder.display(),
        written.len(),
        plural(summary.findings.len(), "finding"),
        summary.verdict.name()
    ))
}

/// Meets everything that the recording names: gates stand before what they name.
fn learn(reader: &Reader, run: &Path) -> anyhow::Result<(Redactor, RunMeta)> {
    let (mut redactor, mut meta) = (Redactor::new(), None);
    let mut first = reader.again();
    for item in first.by_ref() {
        redactor.learn(&item);
        if let Item::Meta(m) = item {
            meta = Some(*m);
        }
    }
    let meta = meta.ok_or_else(|| user_error(RecordingError::Empty { path: run.to_owned() }))?;
    warn(first.damage());
    Ok((redactor, meta))
}

fn copy(reader: &Reader, mut redactor: Redactor, meta: &RunMeta, to: &Path) -> anyhow::Result<()> {
    let cannot = cannot("write", to);
    let mut writer = Writer::create(to, &redactor.meta(meta)).map_err(&cannot)?;
    let mut end = None;
    for item in reader.again() {
        match item {
            Item::Entry(entry) => {
                if let Some(entry) = redactor.entry(entry) {
                    writer.add(&entry).map_err(&cannot)?;
                }
            }
            Item::End(e) => end = Some(redactor.end(&e)),
            // Said anew at the head, and prose.
            Item::Meta(_) | Item::Log(_) => {}
        }
    }
    match end {
        Some(end) => writer.finish(&end),
        None => writer.stop(),
    }
    .map_err(cannot)
}
