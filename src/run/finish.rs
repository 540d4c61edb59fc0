//! The end of a run: reports from what was measured, the summary on standard output, the outcome.

use std::path::{Path, PathBuf};

use timeline::facts::EndReason;
use timeline::recorder::Finished;

use crate::outcome::{Outcome, UserError};
use crate::show::print;

/// Writes the reports into `folder`, prints the summary, and says how it ended.
pub fn finish(finished: &Finished, folder: &Path, ci: bool) -> anyhow::Result<Outcome> {
    let (summary, written) = write(finished, folder);
    let files = written.as_deref().unwrap_or_default();
    // What was found is said even when it cannot be written down.
    print(&reports::text::summary(&summary, files))?;
    written.map_err(UserError::wrong)?;
    Ok(outcome(&summary, finished.end.reason, ci))
}

/// Writes the reports into `folder`; gives the summary, and the files or why there are none.
pub fn write(
    finished: &Finished,
    folder: &Path,
) -> (reports::Summary, Result<Vec<PathBuf>, reports::ReportError>) {
    let summary =
        reports::Summary::new(&finished.meta, &finished.timeline, &finished.findings, Some(&finished.end));
    let inputs = reports::Inputs { summary: &summary, timeline: &finished.timeline, meta: &finished.meta };
    let written = reports::write(folder, &inputs, &reports::Format::USUAL);
    (summary, written)
}

fn outcome(summary: &reports::Summary, reason: EndReason, ci: bool) -> Outcome {
    if reason == EndReason::Interrupted {
        return Outcome::Interrupted;
    }
    match summary.exit_code(ci) {
        0 => Outcome::Pass,
        5 => Outcome::Invalid,
        _ => Outcome::GateFailed,
    }
}
