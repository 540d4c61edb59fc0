//! Recordings of browsers (HAR) and descriptions of interfaces (OpenAPI) become scenarios to go on from.
//!
//! Owns which kind a file is, its bounds, and that what comes out can be read by [`crate::parse`]. `har` and
//! `openapi` each fill a `draft`, `write` writes it down.

mod draft;
mod har;
mod openapi;
mod url;
mod write;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::draft::Draft;
use crate::mistake::{ScenarioError, Wrong};
use crate::parse::{Origin, Overrides};

/// Largest recording, bytes: it is read as a stream, but an endless file must end.
const HAR_MAX_BYTES: u64 = 1 << 30;
/// Largest description, bytes; the largest published ones have a tenth of it.
const OPENAPI_MAX_BYTES: u64 = 64 << 20;
/// Stands in for an address that the file does not have, or that no scenario can name.
const NO_SERVER: &str = "http://127.0.0.1:8080";

/// What kind of file is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// A browser's recording, HAR 1.2.
    Har,
    /// OpenAPI 3.0 or 3.1, JSON or YAML.
    OpenApi,
}

/// How to import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What the file is; found out from its content if none.
    pub kind: Option<ImportKind>,
    /// HAR: which origin's requests are kept; the first document's if none.
    pub origin: Option<String>,
    /// OpenAPI: the target, instead of the first server.
    pub target: Option<String>,
    /// HAR: files of pages too. OpenAPI: operations that write, and deprecated ones, too.
    pub all: bool,
}

/// A scenario made of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the file was.
    pub kind: ImportKind,
    /// The scenario, TOML.
    pub text: String,
    /// What was left out or changed, one sentence each; these stand at the top of `text` too.
    pub notes: Vec<String>,
    /// Environment variables that a run needs.
    pub env: Vec<String>,
}

/// Makes a scenario of a recording or a description.
///
/// # Errors
/// What is wrong with the file, where, and what was expected.
pub fn import(path: &Path, options: &Options) -> Result<Imported, ScenarioError> {
    let shown = path.display().to_string();
    read(path, options).map_err(|wrong| ScenarioError::single(wrong.in_front(&shown)))
}

/// The same for bytes in memory.
///
/// # Errors
/// As [`import`], without the name of a file.
pub fn import_bytes(bytes: &[u8], kind: ImportKind, options: &Options) -> Result<Imported, ScenarioError> {
    let imported = match kind {
        ImportKind::Har => log(bytes).and_then(|log| har(log, options)),
        ImportKind::OpenApi => openapi(bytes, options),
    };
    imported.map_err(ScenarioError::single)
}

fn read(path: &Path, options: &Options) -> Result<Imported, Wrong> {
    let open = || {
        let failed = |e: std::io::Error| Wrong::new(format!("cannot be read: {e}")).expected("a file");
        // Opening a pipe would wait for its writer, so the kind is looked at first.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Wrong::new("this is not a regular file").expected("a HAR or OpenAPI file"));
        }
        File::open(path).map_err(failed)
    };
    let kind = match options.kind {
        Some(kind) => kind,
        None if starts_like_json(open()?) => {
            let log = log(open()?)?;
            if !log.is_openapi {
                return har(log, options);
            }
            ImportKind::OpenApi
        }
        None => ImportKind::OpenApi,
    };
    match kind {
        ImportKind::Har => har(log(open()?)?, options),
        ImportKind::OpenApi => {
            let mut bytes = Vec::new();
            let failed = |e: std::io::Error| Wrong::new(format!("cannot be read: {e}"));
            open()?.take(OPENAPI_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 > OPENAPI_MAX_BYTES {
                let expected = format!("an OpenAPI file of at most {} MiB", OPENAPI_MAX_BYTES >> 20);
                return Err(Wrong::new("this is too large").expected(expected));
            }
            openapi(&bytes, options)
        }
    }
}

fn har(log: har::Log, options: &Options) -> Result<Imported, Wrong> {
    if !log.is_har {
        let wrong = Wrong::new("this is neither a recording nor a description of an interface");
        return Err(wrong.expected(
            "an object with `log` that holds `entries` (HAR 1.2), or with `openapi` (3.0 or 3.1)",
        ));
    }
    if options.target.is_some() {
        let wrong = Wrong::new("--target: a recording says itself what it asks");
        return Err(wrong.expected("--origin for one of several, or a description of an interface"));
    }
    finish(ImportKind::Har, har::draft(log, options)?)
}

fn openapi(bytes: &[u8], options: &Options) -> Result<Imported, Wrong> {
    if options.origin.is_some() {
        let wrong = Wrong::new("--origin: a description of an interface has no origins");
        return Err(wrong.expected("--target for another address, or a recording"));
    }
    finish(ImportKind::OpenApi, openapi::draft(bytes, options)?)
}

fn log(file: impl Read) -> Result<har::Log, Wrong> {
    har::log(file.take(HAR_MAX_BYTES)).map_err(|e| {
        Wrong::new(format!("line {}, column {}: {e}", e.line(), e.column()))
            .expected("a HAR 1.2 file: JSON with `log.entries`, as browsers save it")
    })
}

/// Does the first character that counts open an object?
fn starts_like_json(file: File) -> bool {
    let mut start = Vec::new();
    let read = file.take(1 << 10).read_to_end(&mut start);
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start);
    read.is_ok() && text.trim_ascii_start().first() == Some(&b'{')
}

/// Writes the draft and reads it back: a scenario that `dyno scenarios check` would refuse is never given out.
fn finish(kind: ImportKind, draft: Draft) -> Result<Imported, Wrong> {
    let mut draft = draft;
    if draft.shared > 0 {
        let (n, most) = (draft.shared, draft::ENV_MAX);
        let note = format!("Changed: {n} secrets beyond the first {most} got the variable of another one.");
        draft.notes.push(note);
    }
    within_bounds(&mut draft);
    let text = write::scenario(&draft);
    let env: Vec<String> = draft.env.into_keys().collect();
    let vars = env.iter().map(|name| (name.clone(), "x".to_owned())).collect();
    let overrides = Overrides { vars, ..Overrides::default() };
    let origin = Origin { name: "import".to_owned(), file: None };
    if let Err(e) = crate::parse(&text, &origin, &overrides) {
        let first = e.mistakes.first().map(ToString::to_string).unwrap_or_default();
        let wrong = Wrong::new(format!("this cannot be said in a scenario: {first}"));
        return Err(wrong.help("leave the request out of the input, and report this as a fault of dyno"));
    }
    Ok(Imported { kind, text, notes: draft.notes, env })
}

/// Leaves out the last steps of what would be larger than a scenario can be.
fn within_bounds(draft: &mut Draft) {
    const ROOM: usize = crate::parse::MAX_FILE_BYTES * 9 / 10;
    let mut bytes = 0;
    let fit = draft
        .steps
        .iter()
        .take_while(|s| {
            bytes += write::step_text(s).len();
            bytes <= ROOM
        })
        .count();
    let beyond = draft.steps.len() - fit;
    if beyond > 0 {
        draft.steps.truncate(fit);
        draft.notes.push(format!("Left out: the last {beyond} steps, which make the file too large."));
    }
}

/// The target, where a scenario can name it.
fn target(url: &str, notes: &mut Vec<String>) -> String {
    if crate::text::address::target(url).is_ok() {
        return url.to_owned();
    }
    notes.push(format!("Changed: {url} is no target that dyno can name; say it with --target."));
    NO_SERVER.to_owned()
}
