//! A run as CI servers show it: annotations and a step summary for GitHub, its reports for GitLab.
//!
//! Owns the forms and their escaping. Which server it is, where its files are and what goes to the terminal is the
//! caller's business; what may not be published is left out by [`crate::discreet`] before anything comes here.

pub mod github;
pub mod gitlab;

use std::path::{Path, PathBuf};

use crate::summary::Summary;
use crate::write::{ReportError, put};
use crate::{junit, markdown, openmetrics};

/// Folder of what CI publishes, inside of the run's.
pub const FOLDER: &str = "ci";

/// Writes what CI servers read into `folder`: `junit.xml` (an undecided gate fails), `report.md`, `summary.json`,
/// `metrics.txt` and `code-quality.json`; `file` is what the findings are shown at, a scenario's file.
///
/// # Errors
/// The first [`ReportError`].
pub fn write(folder: &Path, summary: &Summary, file: &str) -> Result<Vec<PathBuf>, ReportError> {
    let form = |what| move |e: serde_json::Error| ReportError::Form { what, why: e.to_string() };
    let files = [
        ("junit.xml", junit::strict(summary)?.into_bytes()),
        ("report.md", markdown::render(summary).into_bytes()),
        ("summary.json", serde_json::to_vec_pretty(summary).map_err(form("summary.json"))?),
        ("metrics.txt", openmetrics::render(summary)?.into_bytes()),
        ("code-quality.json", gitlab::code_quality(summary, file).map_err(form("code-quality.json"))?),
    ];
    let io = |path: &Path, source| ReportError::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        put(&path, &bytes).map_err(|e| io(&path, e))?;
        paths.push(path);
    }
    Ok(paths)
}
