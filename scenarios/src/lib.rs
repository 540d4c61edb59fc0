//! What to do: a TOML scenario becomes an immutable [`RunPlan`].
//!
//! This crate owns the scenario format, its error messages, and the catalogue of shipped scenarios.
//! It runs nothing: the plan goes to `loadgen`. A scenario is read completely and every mistake in
//! it is reported before anything starts.

pub mod catalog;
mod describe;
mod facts;
mod files;
mod flags;
pub mod import;
pub mod journeys;
mod load;
mod mistake;
mod parse;
pub mod plan;
mod quick;
mod reach;
pub mod rendering;
pub mod signing;
mod text;

use std::path::Path;

use crate::mistake::{Wrong, closest, quoted};
use crate::plan::RunPlan;

pub use crate::describe::{check_in_words, describe};
pub use crate::flags::LoadFlags;
pub use crate::mistake::{Mistake, Place, ScenarioError};
pub use crate::parse::{Origin, Overrides, mappings, parse};
pub use crate::quick::{Quick, quick};

/// JSON Schema of the scenario format, for editors that complete and check TOML files.
pub const SCHEMA: &str = include_str!("../schema.json");

/// Reads a scenario of the catalogue, or else a file.
///
/// # Errors
/// All mistakes found; or that there is no such scenario, with the names that are close.
pub fn load(name_or_path: &str, overrides: &Overrides) -> Result<RunPlan, ScenarioError> {
    let (text, origin) = find(name_or_path).map_err(ScenarioError::single)?;
    parse(&text, &origin, overrides)
}

/// The text of a scenario of the catalogue, or else of a file, unchecked.
///
/// # Errors
/// When there is no such scenario or its file cannot be read.
pub fn text_of(name_or_path: &str) -> Result<String, ScenarioError> {
    find(name_or_path).map(|(text, _)| text).map_err(ScenarioError::single)
}

/// Reads a duration as scenarios write it (`1m30s`), ns.
///
/// # Errors
/// The sentence that a person reads.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    text::quantity::duration(text).map_err(|wrong| wrong.sentence())
}

/// Takes the address of a target apart (`http://host:port/prefix`).
///
/// # Errors
/// The sentence that a person reads.
pub fn base_url(text: &str) -> Result<plan::BaseUrl, String> {
    match text::address::target(text).map_err(|wrong| wrong.sentence())? {
        plan::Target::Url(url) => Ok(url),
        plan::Target::Bundled => Err("`bundled` is not an address; expected http://HOST:PORT".to_owned()),
    }
}

/// Reads a PEM file of authorities to trust.
///
/// # Errors
/// The sentence that a person reads: it cannot be read, or holds no certificate.
pub fn authorities(file: &Path) -> Result<String, String> {
    parse::authorities(file).map_err(|wrong| wrong.sentence())
}

fn find(name_or_path: &str) -> Result<(String, Origin), Wrong> {
    if let Some((name, text)) = catalog::text(name_or_path) {
        return Ok((text.to_owned(), Origin { name: name.to_owned(), file: None }));
    }
    let path = Path::new(name_or_path);
    if !path.exists()
        && let Some(wrong) = address_as_scenario(name_or_path)
    {
        return Err(wrong);
    }
    let looks_like_path = name_or_path.contains(['/', '\\']) || path.extension().is_some_and(|e| e == "toml");
    if !looks_like_path && !path.exists() {
        return Err(unknown(name_or_path));
    }
    let text = files::text(path, parse::MAX_FILE_BYTES as u64)?;
    let stem = path.file_stem().map(|s| timeline::text::clean(&s.to_string_lossy(), 64)).unwrap_or_default();
    Ok((text, Origin { name: stem, file: Some(path.to_owned()) }))
}

/// What a scenario is named by.
const NAMED_BY: &str = "a name that `dyno scenarios list` tells, or the path of a TOML file";

/// Other load generators take an address where a scenario stands here.
fn address_as_scenario(text: &str) -> Option<Wrong> {
    let address = match text {
        whole if whole.contains("://") => whole.to_owned(),
        short if short.contains(':') => text::address::in_full(short),
        _ => return None,
    };
    text::address::target_and_path(&address).ok()?;
    let wrong = Wrong::new(format!("{} is an address, not a scenario", quoted(text))).expected(NAMED_BY);
    Some(wrong.help(format!("did you mean `dyno run --url {}`?", timeline::text::clean(&address, 200))))
}

fn unknown(name: &str) -> Wrong {
    let wrong =
        Wrong::new(format!("there is no scenario {} in the catalogue, and no such file", quoted(name)));
    // Eighty names are no help to somebody who has misspelt one.
    match closest(name, catalog::names()) {
        Some(close) => wrong.help(format!("did you mean `{close}`?")),
        None => wrong.expected(NAMED_BY),
    }
}
