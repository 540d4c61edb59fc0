//! The end of a run: reports from what was measured, the summary on standard output, the outcome.

use std::path::{Path, PathBuf};

use reports::discreet::Discreet;
use timeline::recorder::Finished;
use timeline::recording::in_folder;

use crate::ci::Ci;
use crate::outcome::{Outcome, UserError};
use crate::show::{columns, print};

/// Writes the reports into `folder`, prints the summary, and says how it ended. Under `ci` also tells the CI server, which
/// shows findings at `scenario` if that is a file.
pub fn finish(
    finished: &Finished,
    folder: &Path,
    ci: Option<Ci>,
    scenario: Option<&str>,
) -> anyhow::Result<Outcome> {
    let (summary, written) = write(finished, folder, ci.is_some_and(Ci::is_discreet));
    let mut files: Vec<PathBuf> = in_folder(folder).into_iter().collect();
    files.extend_from_slice(written.as_deref().unwrap_or_default());
    files.extend(ci.map(|_| folder.join(reports::ci::FOLDER)));
    // What was found is said even when it cannot be written down.
    let said = reports::text::summary_within(&summary, &files, columns()) + &reports::text::more(folder);
    let printed = print(&ci.map_or_else(|| said.clone(), |ci| ci.text(&said)));
    written.map_err(UserError::wrong)?;
    if let Some(ci) = ci {
        ci.publish(folder, &summary, scenario)?;
    }
    printed?;
    Ok(Outcome::of(&summary, ci.is_some()))
}

/// Writes the reports into `folder`, without statements and addresses if they are to be discreet; gives their summary, and the files or
/// why there are none.
pub fn write(
    finished: &Finished,
    folder: &Path,
    discreet: bool,
) -> (reports::Summary, Result<Vec<PathBuf>, reports::ReportError>) {
    let summary =
        reports::Summary::new(&finished.meta, &finished.timeline, &finished.findings, Some(&finished.end));
    let inputs = reports::Inputs { summary: &summary, timeline: &finished.timeline, meta: &finished.meta };
    write_as(&inputs, folder, &reports::Format::USUAL, discreet)
}

/// Writes a run in these formats, otherwise like [`write()`].
pub fn write_as(
    inputs: &reports::Inputs<'_>,
    folder: &Path,
    formats: &[reports::Format],
    discreet: bool,
) -> (reports::Summary, Result<Vec<PathBuf>, reports::ReportError>) {
    let told = discreet.then(|| Discreet::of(inputs));
    let inputs = told.as_ref().map_or(*inputs, Discreet::inputs);
    (inputs.summary.clone(), reports::write(folder, &inputs, formats))
}
