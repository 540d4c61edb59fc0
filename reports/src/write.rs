//! All reports of a run into its folder.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use timeline::Timeline;
use timeline::facts::RunMeta;
use timeline::lane::names;

use crate::summary::Summary;
use crate::{hlog, html, junit};

/// Why a report cannot be written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The file system says no.
    #[error("cannot write {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The data do not fit the format: a fault of ours.
    #[error("cannot make the {what}: {why}")]
    Form {
        /// Which report.
        what: &'static str,
        /// What does not fit.
        why: String,
    },
}

/// What reports are made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Every figure.
    pub summary: &'a Summary,
    /// The series behind them.
    pub timeline: &'a Timeline,
    /// About the run.
    pub meta: &'a RunMeta,
}

/// Writes all of them into `folder`, replacing older ones; gives their paths.
///
/// # Errors
/// The first [`ReportError`]; files written before it stay.
pub fn write_all(folder: &Path, inputs: &Inputs<'_>) -> Result<Vec<PathBuf>, ReportError> {
    let Inputs { summary, timeline, meta } = *inputs;
    let json = serde_json::to_vec_pretty(summary)
        .map_err(|e| ReportError::Form { what: "summary.json", why: e.to_string() })?;
    let files: [(&str, Vec<u8>); 5] = [
        ("summary.json", json),
        ("report.html", html::render(inputs)?.into_bytes()),
        ("junit.xml", junit::render(summary)?.into_bytes()),
        ("response.hlog", hlog::render(meta, timeline, names::RESPONSE)?),
        ("service.hlog", hlog::render(meta, timeline, names::SERVICE)?),
    ];
    files
        .into_iter()
        .map(|(name, bytes)| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(|source| ReportError::Io { path: path.clone(), source })?;
            Ok(path)
        })
        .collect()
}
