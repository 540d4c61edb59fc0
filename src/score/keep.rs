//! Small recordings of catalogue runs, for tests: as much as detectors need, and little more.
//!
//! Owns what is left out: log and scenario text, everything after the fault's end, and digits that no detector can depend on.
//! What is kept is an ordinary recording, gzipped, and it is there as a whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use timeline::clock::Span;
use timeline::facts::RunMeta;
use timeline::histogram::Sparse;
use timeline::recording::{FILE_NAME, Item, PACKED_FILE_NAME, Reader, Writer};
use timeline::{Entry, RunTime};

use super::runner::clear;
use super::{case, truth};
use crate::ended::user_error;

/// Kept after a fault's end: a detector may need two seconds to be sure of its last episode.
const AFTER: Duration = Duration::from_millis(1_500);
/// Kept of a run without a fault: warm-up, and ten seconds in which a detector could err.
const CLEAN: Duration = Duration::from_secs(14);
/// Binary digits kept of a sample's value, behind the first: one part in 512, and whole numbers up to there are exact.
const SAMPLE_BITS: u32 = 8;
/// Binary digits kept of a histogram's value: one part in 32, finer than the quantiles of a few hundred samples.
const CELL_BITS: u32 = 5;

/// Writes a small copy of a recorded run, its truth and its case into `to`, a folder that is made; gives its size in bytes. Until it is
/// complete it is called `NAME.part`.
pub fn keep(run: &Path, to: &Path) -> anyhow::Result<u64> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    clear(part)?;
    std::fs::create_dir_all(part).with_context(|| format!("cannot make {}", part.display()))?;
    let kept = write(run, part).and_then(|bytes| {
        put(part, to).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(bytes)
    });
    if kept.is_err() {
        let _ = clear(part); // what failed says more
    }
    kept
}

/// Gives what is complete its name; in a folder of that name it takes the place of what is called alike there.
fn put(part: &Path, to: &Path) -> std::io::Result<()> {
    if !to.exists() {
        return std::fs::rename(part, to);
    }
    for file in std::fs::read_dir(part)? {
        let file = file?;
        std::fs::rename(file.path(), to.join(file.file_name()))?;
    }
    std::fs::remove_dir(part)
}

fn write(run: &Path, to: &Path) -> anyhow::Result<u64> {
    let scratch = tempfile::tempdir()?;
    let thin = scratch.path().join(FILE_NAME);
    let until = truth::ended_s(run).map_or(RunTime::ZERO + CLEAN, |s| RunTime::from_secs_f64(s) + AFTER);
    copy(run, &thin, until)?;
    let packed = to.join(PACKED_FILE_NAME);
    let cannot = || format!("cannot write {}", packed.display());
    let file = File::create(&packed).with_context(cannot)?;
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    gzip.write_all(&Reader::open(&thin).map_err(user_error)?.unpacked()).with_context(cannot)?;
    let bytes = gzip.finish().and_then(|f| f.metadata()).with_context(cannot)?.len();
    for name in [truth::FILE_NAME, case::FILE_NAME] {
        let beside = run.join(name);
        if beside.exists() {
            std::fs::copy(&beside, to.join(name))
                .with_context(|| format!("cannot copy {}", beside.display()))?;
        }
    }
    Ok(bytes)
}

/// Copies what is kept of a recording, up to the first tick at or after `until`.
fn copy(run: &Path, to: &Path, until: RunTime) -> anyhow::Result<()> {
    let mut writer = None;
    for item in Reader::open(run).map_err(user_error)? {
        match (item, &mut writer) {
            (Item::Meta(meta), None) => writer = Some(Writer::create(to, &brief(&meta))?),
            (Item::Entry(entry), Some(writer)) => {
                let last = matches!(entry, Entry::Tick(at) if at >= until);
                writer.add(&thin(entry))?;
                if last {
                    return Ok(());
                }
            }
            (Item::End(end), Some(_)) => {
                if let Some(writer) = writer.take() {
                    writer.finish(&end)?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

/// What of the description says what was run.
fn brief(meta: &RunMeta) -> RunMeta {
    RunMeta {
        run_id: meta.run_id.clone(),
        dyno_version: meta.dyno_version.clone(),
        command: meta.command.clone(),
        scenario: meta.scenario.clone(),
        about: meta.about.clone(),
        seed: meta.seed,
        bundled: meta.bundled,
        workers: meta.workers,
        ..RunMeta::default()
    }
}

fn thin(entry: Entry) -> Entry {
    match entry {
        Entry::Sample { lane, at, value } => {
            Entry::Sample { lane, at: whole_ms(at), value: fewer_digits(value) }
        }
        Entry::Histogram { lane, span, cells } => {
            let span = Span::new(whole_ms(span.start), whole_ms(span.end));
            Entry::Histogram { lane, span, cells: coarser(&cells) }
        }
        other => other,
    }
}

/// Backwards, so that nothing comes later than the tick after which it was known.
fn whole_ms(at: RunTime) -> RunTime {
    RunTime::from_ms(at.as_ms())
}

/// The nearest number with [`SAMPLE_BITS`] binary digits.
fn fewer_digits(value: f64) -> f64 {
    let dropped = f64::MANTISSA_DIGITS - 1 - SAMPLE_BITS;
    let half = 1u64 << (dropped - 1);
    let rounded = f64::from_bits((value.to_bits() + half) >> dropped << dropped);
    if value.is_finite() && rounded.is_finite() { rounded } else { value }
}

/// Cells of the same first binary digits become one, in the middle of them.
fn coarser(cells: &Sparse) -> Sparse {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for &(value, count) in &cells.cells {
        let dropped = (u32::BITS - value.leading_zeros()).saturating_sub(CELL_BITS);
        let middle = (value >> dropped << dropped) | (1 << dropped >> 1);
        match out.last_mut() {
            Some((last, n)) if *last == middle => *n = n.saturating_add(count),
            _ => out.push((middle, count)),
        }
    }
    Sparse { cells: out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
            let mut all: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            all.sort();
            all
        };
        let (to, nothing) = (dir.path().join("kept"), dir.path().join("nothing"));
        std::fs::create_dir(&nothing).unwrap();
        assert!(keep(&nothing, &to).is_err());
        assert_eq!(names(dir.path()), ["nothing"]);
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings/stampede-clean");
        for _ in 0..2 {
            // What an earlier one that was killed left is no part of it.
            std::fs::create_dir_all(dir.path().join("kept.part/junk")).unwrap();
            let bytes = keep(&run, &to).unwrap();
            assert_eq!(bytes, to.join(PACKED_FILE_NAME).metadata().unwrap().len());
            assert_eq!(names(&to), [PACKED_FILE_NAME, truth::FILE_NAME]);
            assert_eq!(names(dir.path()), ["kept", "nothing"]);
        }
    }

    #[test]
    fn digits_are_rounded_and_whole_numbers_stay() {
        for n in [0.0, 1.0, 2.0, 24.0, 511.0, 0.5, -3.0, f64::MAX] {
            assert_eq!(fewer_digits(n), n);
        }
        let pi = fewer_digits(std::f64::consts::PI);
        assert!(pi != std::f64::consts::PI && (pi / std::f64::consts::PI - 1.0).abs() < 1.0 / 512.0);
        assert!(fewer_digits(f64::NAN).is_nan());
    }

    #[test]
    fn cells_become_coarser_and_no_sample_is_lost() {
        let fine = Sparse { cells: (1..5_000).map(|v| (v, 1)).collect() };
        let coarse = coarser(&fine);
        assert_eq!(coarse.count(), fine.count());
        assert!(coarse.cells.len() < 200 && coarse.cells.is_sorted(), "{}", coarse.cells.len());
        assert_eq!(coarse.cells[..3], [(1, 1), (2, 1), (3, 1)]);
        let far = |a: u64, b: u64| (a as f64 / b as f64 - 1.0).abs();
        assert!(far(coarse.sum_us(), fine.sum_us()) < 0.02);
    }
}
