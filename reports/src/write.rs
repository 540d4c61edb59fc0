//! Reports of a run into its folder, by format.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use timeline::Timeline;
use timeline::facts::RunMeta;
use timeline::lane::names;

use crate::summary::Summary;
use crate::{csv, hlog, html, junit, markdown, openmetrics, profile};

/// Why a report cannot be written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The file system says no.
    #[error("cannot write {path}: {}", reason(.source))]
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

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; make room and write the reports again with `dyno report`".to_owned()
        }
        _ => error.to_string(),
    }
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

/// What a run can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `summary.json`.
    Json,
    /// `report.html`.
    Html,
    /// `junit.xml`.
    Junit,
    /// `response.hlog` and `service.hlog`.
    Hlog,
    /// `report.md`.
    Markdown,
    /// `steps.csv`, `lanes.csv` and `events.csv`.
    Csv,
    /// `metrics.txt`.
    OpenMetrics,
    /// `cpu-PROCESS.pb.gz` and `cpu-PROCESS.folded` of each process that was profiled.
    Pprof,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Json,
        Self::Html,
        Self::Junit,
        Self::Hlog,
        Self::Markdown,
        Self::Csv,
        Self::OpenMetrics,
        Self::Pprof,
    ];
    /// What every run leaves; the others are written when asked for.
    pub const USUAL: [Self; 4] = [Self::Json, Self::Html, Self::Junit, Self::Hlog];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Junit => "junit",
            Self::Hlog => "hlog",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::OpenMetrics => "openmetrics",
            Self::Pprof => "pprof",
        }
    }

    /// Its files: name and content.
    fn files(self, inputs: &Inputs<'_>) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
        let Inputs { summary, timeline, meta } = *inputs;
        let files = match self {
            Self::Json => {
                let json = serde_json::to_vec_pretty(summary)
                    .map_err(|e| ReportError::Form { what: "summary.json", why: e.to_string() })?;
                vec![("summary.json", json)]
            }
            Self::Html => {
                vec![("report.html", html::render(inputs)?.into_bytes())]
            }
            Self::Junit => vec![("junit.xml", junit::render(summary)?.into_bytes())],
            Self::Hlog => vec![
                ("response.hlog", hlog::render(meta, timeline, names::RESPONSE)?),
                ("service.hlog", hlog::render(meta, timeline, names::SERVICE)?),
            ],
            Self::Markdown => vec![("report.md", markdown::render(summary).into_bytes())],
            Self::Csv => vec![
                ("steps.csv", csv::steps(summary)?),
                ("lanes.csv", csv::lanes(timeline)?),
                ("events.csv", csv::events(timeline)?),
            ],
            Self::OpenMetrics => vec![("metrics.txt", openmetrics::render(summary)?.into_bytes())],
            Self::Pprof => return profile::files(timeline.profiles()),
        };
        Ok(files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect())
    }
}

/// Writes a run in these formats into `folder`, replacing older files; gives their paths.
///
/// # Errors
/// The first [`ReportError`]; files written before it stay, and none is ever half written.
pub fn write(folder: &Path, inputs: &Inputs<'_>, formats: &[Format]) -> Result<Vec<PathBuf>, ReportError> {
    let mut paths = Vec::new();
    for (name, bytes) in formats.iter().map(|f| f.files(inputs)).collect::<Result<Vec<_>, _>>()?.concat() {
        let path = folder.join(name);
        put(&path, &bytes).map_err(|source| ReportError::Io { path: path.clone(), source })?;
        paths.push(path);
    }
    Ok(paths)
}

/// Under another name first: whoever reads the file meanwhile sees the old one whole, or the new one.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // What could be written of it is of no use, and the room may be needed.
        let _ = fs::remove_file(&part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_report_is_written_and_nothing_else() {
        let mut run = fixture::flash_sale();
        run.timeline.apply(&timeline::Entry::Profile(profile::tests::profile("shop-0")));
        let folder = tempfile::tempdir().unwrap();
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        let mut files = write(folder.path(), &inputs, &Format::ALL).unwrap();
        let mut there: Vec<PathBuf> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        there.sort();
        files.sort();
        assert_eq!(there, files);
        let text = fs::read_to_string(folder.path().join("summary.json")).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let run = fixture::flash_sale();
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        let error = write(Path::new("/nowhere/at/all"), &inputs, &Format::USUAL).unwrap_err().to_string();
        assert!(error.starts_with("cannot write /nowhere/at/all/summary.json: "), "{error}");
    }

    #[test]
    fn a_full_disk_is_called_one() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = ReportError::Io { path: "run/report.html".into(), source: full };
        insta::assert_snapshot!(error, @"cannot write run/report.html: the disk is full; make room and write the reports again with `dyno report`");
    }
}
