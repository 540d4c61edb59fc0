//! `score.jsonl`: what was seen of each case, a line as soon as it is known, so that a score goes on where it was ended.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use super::case::{Case, Record};
use crate::outcome::UserError;

/// Name of the file inside a score's folder.
pub const FILE_NAME: &str = "score.jsonl";

/// An open journal.
pub struct Journal {
    file: File,
    known: Vec<Record>,
}

impl Journal {
    /// Opens the journal of a folder, which is made if it is not there. A last line that was cut off is dropped.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE_NAME);
        let cannot = |e: std::io::Error| UserError::wrong(format!("cannot use {}: {e}", path.display()));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let mut file = OpenOptions::new().append(true).read(true).create(true).open(&path).map_err(cannot)?;
        let text = std::fs::read_to_string(&path).map_err(cannot)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(cannot)?;
        file.flush().map_err(cannot)?;
        let known = text[..whole].lines().enumerate().map(|(n, line)| {
            let wrong = |e| UserError::wrong(format!("{}:{}: {e}", path.display(), n + 1));
            serde_json::from_str(line).map_err(wrong)
        });
        let known = known.collect::<anyhow::Result<_>>()?;
        Ok(Self { file, known })
    }

    /// What was seen of a case, if it was tried; a case of another draw with the same number is another case.
    pub fn seen(&self, case: &Case) -> Option<&Record> {
        self.known.iter().rev().find(|record| record.case == *case)
    }

    /// Adds a line.
    pub fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("cannot write down what was seen of a case")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::case::{End, Seen, Sort};
    use crate::score::draw::{Wish, cases, subjects};

    #[test]
    fn a_journal_knows_what_was_seen_and_bears_a_cut() {
        let (sorts, runtimes) = (vec![Sort::Fault], vec!["rust".to_owned()]);
        let wish = Wish { sorts, subjects: subjects(), runtimes, stores: Vec::new() };
        let drawn = cases(2, 1, &wish);
        let seen =
            Seen { end: End::Valid, why: String::new(), runs: 1, findings: Vec::new(), truth: Vec::new() };
        let record = Record { case: drawn[0].clone(), seen };
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path()).unwrap().add(&record).unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += "{\"case\":{\"num";
        std::fs::write(&path, text).unwrap();
        let mut again = Journal::open(dir.path()).unwrap();
        assert_eq!(again.seen(&drawn[0]), Some(&record));
        assert_eq!(again.seen(&drawn[1]), None);
        again.add(&Record { case: drawn[1].clone(), ..record }).unwrap();
        assert!(Journal::open(dir.path()).unwrap().seen(&drawn[1]).is_some());
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = Journal::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("score.jsonl:1"), "{error}");
    }
}
