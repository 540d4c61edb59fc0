//! Reading files that a user names: bounded, regular files only.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::str::Utf8Error;

use crate::mistake::Wrong;

/// The bytes of a regular file no longer than `most`.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Wrong> {
    let shown = path.display();
    let failed = |e: &std::io::Error| {
        let why = match e.kind() {
            ErrorKind::NotFound => "there is no such file".to_owned(),
            ErrorKind::PermissionDenied => "it may not be read by this user".to_owned(),
            _ => e.to_string(),
        };
        Wrong::new(format!("{shown} cannot be read: {why}"))
    };
    // Opening a pipe would wait for its writer, so the kind is looked at first.
    let kind = std::fs::metadata(path).map_err(|e| failed(&e))?;
    if !kind.is_file() {
        let what = if kind.is_dir() { "a folder" } else { "not a regular file" };
        return Err(Wrong::new(format!("{shown} is {what}")).expected("a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(&e))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > most {
        return Err(
            Wrong::new(format!("{shown} is too large")).expected(format!("at most {} KiB", most / 1024))
        );
    }
    Ok(bytes)
}

/// The text of such a file.
pub(crate) fn text(path: &Path, most: u64) -> Result<String, Wrong> {
    String::from_utf8(read(path, most)?).map_err(|e| {
        let line = line_of(e.utf8_error(), e.as_bytes());
        Wrong::new(format!("{}:{line}: this is not UTF-8 text", path.display())).expected("a file in UTF-8")
    })
}

/// The line on which `bytes` are no text.
pub(crate) fn line_of(error: Utf8Error, bytes: &[u8]) -> usize {
    bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1
}
