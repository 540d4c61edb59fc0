//! The texts that a scenario consists of: its file, and those that it includes.
//!
//! Owns finding and bounding them, and which place of which file a byte stands for: the texts lie behind each other in one
//! range of numbers, so that a span says its file too. What included files may say is merged in `include`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{MAX_FILE_BYTES, Origin};
use crate::mistake::{Place, Wrong, place};

/// How deep files may include files.
const MAX_DEPTH: usize = 8;
/// Most included files.
const MAX_FILES: usize = 32;
/// Longest text of all files together, bytes: what it costs to place them behind each other stays small.
const MAX_ALL_BYTES: usize = 2 * MAX_FILE_BYTES;
const LOOK: &str = "paths of TOML files, such as [\"common.toml\"]";

/// A file of a scenario.
#[derive(Debug)]
pub(crate) struct Source {
    /// As messages name it.
    file: String,
    /// Where it is, if it is a file.
    path: Option<PathBuf>,
    /// Its text behind `base` spaces: the parser's spans are then those of the whole scenario.
    padded: String,
    base: usize,
}

/// All files of a scenario.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The scenario itself, then what it includes in the order of reading.
    pub(crate) files: Vec<Source>,
    /// Indices into `files`: what a file includes stands before it.
    pub(crate) order: Vec<usize>,
    /// What is wrong with `include`.
    pub(crate) wrong: Vec<(Range<usize>, Wrong)>,
}

impl Source {
    /// The text as the parser takes it.
    pub(crate) fn padded(&self) -> &str {
        &self.padded
    }

    fn text(&self) -> &str {
        &self.padded[self.base..]
    }
}

impl Sources {
    /// The text of a scenario, and all files that it includes.
    pub(crate) fn gather(file: String, text: &str, origin: &Origin) -> Self {
        let main = Source { file, path: origin.file.clone(), padded: text.to_owned(), base: 0 };
        let mut all = Self { files: vec![main], order: Vec::new(), wrong: Vec::new() };
        all.follow(0, &mut Vec::new());
        all
    }

    /// The text of the one file that holds `span`, and the place of it in there.
    pub(crate) fn find(&self, span: Range<usize>) -> (&str, Range<usize>) {
        let source = self.holding(span.start);
        (
            source.text(),
            span.start - source.base..span.end.saturating_sub(source.base).max(span.start - source.base),
        )
    }

    /// Where `span` is, for people.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let file = &self.holding(span.start).file;
        let (text, within) = self.find(span);
        place(file, text, within)
    }

    /// A path that the file holding `span` names: relative to that file. None if it is no file that could have a folder.
    pub(crate) fn beside(&self, span: &Range<usize>, path: &str) -> Option<PathBuf> {
        let file = self.holding(span.start).path.as_deref()?;
        Some(file.parent().unwrap_or(Path::new("")).join(path))
    }

    fn holding(&self, at: usize) -> &Source {
        let i = self.files.partition_point(|f| f.base <= at).saturating_sub(1);
        &self.files[i]
    }

    /// Reads what file `index` includes; `open` are those that include it.
    fn follow(&mut self, index: usize, open: &mut Vec<PathBuf>) {
        let source = &self.files[index];
        let names = included(source.padded()).unwrap_or_default();
        let here = source.path.clone();
        let own = here.as_deref().map(identity);
        open.extend(own.clone());
        for (name, span) in names {
            let Some(path) = self.beside(&span, &name) else {
                let wrong = Wrong::new("a scenario without a file of its own has no folder to look in");
                self.wrong.push((span, wrong.expected("a scenario without `include`")));
                continue;
            };
            match self.take(&path, open) {
                Ok(Some(new)) => self.follow(new, open),
                Ok(None) => {}
                Err(wrong) => self.wrong.push((span, wrong)),
            }
        }
        if own.is_some() {
            open.pop();
        }
        self.order.push(index);
    }

    /// Takes in one file; none if it is there already, by another way.
    fn take(&mut self, path: &Path, open: &[PathBuf]) -> Result<Option<usize>, Wrong> {
        let shown = path.display();
        let id = identity(path);
        if open.contains(&id) {
            let wrong = Wrong::new(format!("{shown} includes itself, by itself or by what it includes"));
            return Err(wrong.expected("files that do not include each other in a circle"));
        }
        if open.len() > MAX_DEPTH {
            return Err(
                Wrong::new("files include files too deeply").expected(format!("at most {MAX_DEPTH} levels"))
            );
        }
        if self.files.iter().any(|f| f.path.as_deref().is_some_and(|p| identity(p) == id)) {
            return Ok(None);
        }
        if self.files.len() > MAX_FILES {
            return Err(Wrong::new("too many files are included").expected(format!("at most {MAX_FILES}")));
        }
        let text = crate::files::text(path, MAX_FILE_BYTES as u64)?;
        let base = self.files.last().map_or(0, |f| f.padded.len() + 1);
        if base + text.len() > MAX_ALL_BYTES {
            let wrong = Wrong::new(format!("with {shown} the scenario's files are too long"));
            return Err(wrong.expected(format!("at most {} KiB together", MAX_ALL_BYTES / 1024)));
        }
        let padded = format!("{:base$}{}", "", text.trim_start_matches('\u{FEFF}'));
        self.files.push(Source { file: shown.to_string(), path: Some(path.to_owned()), padded, base });
        Ok(Some(self.files.len() - 1))
    }
}

/// The same for all ways to one file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What a file includes; wrong shapes are noted when it is read.
fn included(text: &str) -> Option<Vec<(String, Range<usize>)>> {
    let table = DeTable::parse(text).ok()?;
    let value = table.get_ref().get("include")?;
    let one = |v: &super::Value<'_>| Some((v.get_ref().as_str()?.to_owned(), v.span()));
    match value.get_ref() {
        DeValue::Array(values) => Some(values.iter().filter_map(one).collect()),
        _ => None,
    }
}

/// Notes an `include` that is no array of texts.
pub(super) fn check(reader: &super::Reader<'_>, table: &DeTable<'_>) {
    let Some(value) = table.get("include") else { return };
    for value in reader.array(value, LOOK, MAX_FILES).unwrap_or_default() {
        reader.text(value, LOOK);
    }
}
