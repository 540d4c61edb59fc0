//! `score.jsonl`: what was seen of each case, a line as soon as it is known, so that a score goes on where it was ended.
//!
//! Owns its head, which says whose detectors were judged, so that one score is of one build, and the lock by which only one dyno
//! at a time writes to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::case::{Case, End, Record};
use crate::outcome::UserError;

/// Name of the file inside a score's folder.
pub const FILE_NAME: &str = "score.jsonl";
/// Version of its form; raised when a field changes its meaning.
const VERSION: u32 = 1;
/// Whose detectors are judged.
const DYNO: &str = env!("CARGO_PKG_VERSION");

/// Its first line.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    dyno: String,
    /// Checksum of the program: detectors change from build to build of one version.
    #[serde(default)]
    build: String,
}

impl Head {
    fn own() -> anyhow::Result<Self> {
        let program = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?));
        let mut program = flate2::CrcReader::new(program.context("cannot read this program")?);
        std::io::copy(&mut program, &mut std::io::sink()).context("cannot read this program")?;
        let build = format!("{:08x}", program.crc().sum());
        Ok(Self { version: VERSION, dyno: DYNO.to_owned(), build })
    }
}

/// An open journal.
pub struct Journal {
    file: File,
    known: Vec<Record>,
}

impl Journal {
    /// Opens the journal of a folder, which is made if it is not there. A last line that was cut off is dropped.
    ///
    /// # Errors
    /// Where another dyno writes to it, or one of another version or build did.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE_NAME);
        let cannot = |e: std::io::Error| UserError::wrong(format!("cannot use {}: {e}", path.display()));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let mut file = OpenOptions::new().append(true).read(true).create(true).open(&path).map_err(cannot)?;
        // Where a disk knows no locks, nobody is warned.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(UserError::wrong(format!("another dyno writes to {}", path.display())));
        }
        let text = std::fs::read_to_string(&path).map_err(cannot)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut lines = text[..whole].lines().enumerate();
        let own = Head::own()?;
        match lines.next() {
            Some((_, head)) => check(head, &own, &path)?,
            None => {
                file.set_len(0).map_err(cannot)?;
                push(&mut file, &own)?;
            }
        }
        let known = lines.map(|(n, line)| {
            let wrong = |e| UserError::wrong(format!("{}:{}: {e}", path.display(), n + 1));
            serde_json::from_str(line).map_err(wrong)
        });
        let known = known.collect::<anyhow::Result<_>>()?;
        if 0 < whole && whole < text.len() {
            file.set_len(whole as u64).map_err(cannot)?;
        }
        Ok(Self { file, known })
    }

    /// What was seen of a case, if it was tried; a case of another draw with the same number is another case. Of one that left nothing
    /// nothing was seen: what kept it may be gone by now.
    pub fn seen(&self, case: &Case) -> Option<&Record> {
        self.known.iter().rev().find(|record| record.case == *case && record.seen.end != End::Broken)
    }

    /// Adds a line.
    pub fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        push(&mut self.file, record)
    }
}

/// Is it a journal that this dyno may go on with? Findings of other detectors would be told as these.
fn check(head: &str, own: &Head, path: &Path) -> anyhow::Result<()> {
    let file = path.display();
    let why = match serde_json::from_str::<Head>(head) {
        Err(e) => format!("{file}:1: it does not say which dyno was judged ({e})"),
        Ok(Head { dyno, .. }) if dyno != DYNO => {
            format!("{file} is the score of dyno {dyno}, this is {DYNO}")
        }
        Ok(Head { version, .. }) if version != VERSION => {
            format!("{file} has version {version}, this dyno reads {VERSION}")
        }
        Ok(Head { build, .. }) if build != own.build => {
            format!("{file} is the score of another build of dyno {DYNO}")
        }
        Ok(_) => return Ok(()),
    };
    Err(UserError::wrong(format!("{why}; give --out another folder, in which it begins anew")))
}

fn push(file: &mut File, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes()).context("cannot write down what was seen of a case")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::case::{Seen, Sort};
    use crate::score::draw::{Wish, cases, subjects};

    fn two_cases() -> Vec<Case> {
        let (sorts, runtimes) = (vec![Sort::Fault], vec!["rust".to_owned()]);
        cases(2, 1, &Wish { sorts, subjects: subjects(&runtimes), runtimes, stores: Vec::new() })
    }

    fn record(case: &Case, end: End) -> Record {
        let seen = Seen { end, why: String::new(), runs: 1, findings: Vec::new(), truth: Vec::new() };
        Record { case: case.clone(), seen }
    }

    fn refused(folder: &Path) -> String {
        Journal::open(folder).err().unwrap().to_string()
    }

    #[test]
    fn a_journal_knows_what_was_seen_and_bears_a_cut() {
        let drawn = two_cases();
        let record = record(&drawn[0], End::Valid);
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
        assert!(refused(dir.path()).contains("another dyno writes to"));
        drop(again);
        assert!(Journal::open(dir.path()).unwrap().seen(&drawn[1]).is_some());
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = refused(dir.path());
        assert!(error.contains("score.jsonl:1"), "{error}");
    }

    #[test]
    fn a_case_that_left_nothing_is_tried_again() {
        let (dir, drawn) = (tempfile::tempdir().unwrap(), two_cases());
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.add(&record(&drawn[0], End::Valid)).unwrap();
        journal.add(&record(&drawn[1], End::Broken)).unwrap();
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert!(journal.seen(&drawn[0]).is_some() && journal.seen(&drawn[1]).is_none());
    }

    #[test]
    fn a_score_of_another_version_is_not_told_as_this_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        drop(Journal::open(dir.path()).unwrap());
        let head = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, head.replace(DYNO, "0.0.1")).unwrap();
        let error = refused(dir.path());
        assert!(error.contains("is the score of dyno 0.0.1") && error.contains("--out"), "{error}");
        std::fs::write(&path, head.replace(&Head::own().unwrap().build, "0badc0de")).unwrap();
        assert!(refused(dir.path()).contains("is the score of another build of dyno"));
        // As it was before there was a head.
        let line = serde_json::to_string(&record(&two_cases()[0], End::Valid)).unwrap();
        std::fs::write(&path, line + "\n").unwrap();
        assert!(refused(dir.path()).contains("does not say which dyno was judged"));
    }
}
