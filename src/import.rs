//! `dyno scenarios import`: a recording or description becomes a scenario file; what was left out is said.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use scenarios::import::{self, Options};
use timeline::text::clean_page;

use crate::cli::{ImportArgs, ImportKind};
use crate::outcome::{Outcome, UserError};
use crate::show::{print, say};

/// Imports, writes, and tells on standard error what a person must know.
pub fn import(args: &ImportArgs) -> anyhow::Result<Outcome> {
    let kind = args.kind.map(|kind| match kind {
        ImportKind::Har => import::ImportKind::Har,
        ImportKind::Openapi => import::ImportKind::OpenApi,
    });
    let options = Options { kind, origin: args.origin.clone(), target: args.target.clone(), all: args.all };
    let imported = import::import(&args.file, &options).map_err(UserError::wrong)?;
    match &args.out {
        Some(out) => write(out, &imported.text)?,
        None => print(&imported.text).map(|_| ())?,
    }
    let mut told = imported.notes;
    if !imported.env.is_empty() {
        told.push(format!("Set before a run: {}", imported.env.join(", ")));
    }
    if let Some(out) = &args.out {
        told.push(format!("Written: {}", out.display()));
    }
    told.iter().for_each(|line| say(clean_page(line)));
    Ok(Outcome::Pass)
}

/// Writes a new file; a scenario that somebody has worked on is not overwritten.
fn write(out: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            UserError::wrong(format!("{} is there already; choose another name with -o", out.display()))
        }
        _ => UserError::wrong(format!("{} cannot be written: {e}", out.display())),
    })
}
