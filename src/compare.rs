//! Comparing runs, and keeping some to compare with.
//!
//! Owns where runs are found: a run's folder or recording, a folder of runs, a baseline by name; and the folder of baselines,
//! one folder for each, in which the recordings lie. What a comparison says is `reports::compare`'s.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use reports::compare::{self, Sample, Verdict};
use reports::date;
use reports::html::overlay::{self, Lanes};
use timeline::Unit;
use timeline::recording::{Item, Reader, RecordingError, in_folder};
use timeline::text::{clean, plural};

use crate::cli::{BaselineCommand, CompareArgs};
use crate::ended::{Replayed, replay, user_error};
use crate::files::cannot;
use crate::outcome::{Outcome, UserError};
use crate::show::print;

/// Most runs of one side: a night of repeats, and each is held in memory while it is read.
const MOST_RUNS: usize = 200;
/// Longest name of a baseline.
const NAME_MAX: usize = 80;
/// Most of why a baseline cannot be read.
const WHY_MAX: usize = 400;
/// Ends of the names of recordings, plain and packed.
const SUFFIX: &str = ".dyno";
const PACKED_SUFFIX: &str = ".dyno.gz";

/// `dyno compare BASE NEW`
pub fn compare(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let folder = &args.kept.baselines;
    let read = |what: &str| -> anyhow::Result<Vec<Read>> {
        runs_of(what, folder)?.iter().map(|run| read(run)).collect()
    };
    let (base, base_lanes) = sides(read(&args.base)?);
    let (new, new_lanes) = sides(read(&args.new)?);
    let (taught, _) = sides(args.noise.as_deref().map_or(Ok(Vec::new()), read)?);
    let comparison = compare::compare(&base, &new, &taught).map_err(UserError::wrong)?;
    if let Some(file) = &args.html {
        let (base_lanes, new_lanes) = (once(&base, base_lanes, &[]), once(&new, new_lanes, &base));
        let page = overlay::render(&comparison, &base_lanes, &new_lanes)?;
        fs::write(file, page).map_err(cannot("write", file))?;
    }
    if args.json {
        print(&(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    } else if args.markdown {
        print(&compare::markdown(&comparison))?;
    } else {
        print(&compare::words(&comparison, args.all))?;
    }
    Ok(if comparison.verdict == Verdict::Worse { Outcome::Regressed } else { Outcome::Pass })
}

/// `dyno baseline ...`
pub fn baseline(command: &BaselineCommand) -> anyhow::Result<Outcome> {
    match command {
        BaselineCommand::Save { name, runs, kept } => save(name, runs, &kept.baselines),
        BaselineCommand::List { kept } => list(&kept.baselines),
        BaselineCommand::Show { name, kept } => show(name, &kept.baselines),
    }
}

/// The recordings that `what` stands for: a path first, else a baseline's name.
fn runs_of(what: &str, baselines: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let path = Path::new(what);
    if path.exists() {
        return recordings(path);
    }
    let kept = baselines.join(what);
    if is_name(what) && kept.is_dir() {
        return recordings(&kept);
    }
    let known = names(baselines);
    let mut error = format!(
        "there is no run, recording or folder `{what}`, and no baseline of this name in {}",
        baselines.display()
    );
    let close = known.iter().map(|n| (strsim::jaro_winkler(n, what), n)).max_by(|a, b| a.0.total_cmp(&b.0));
    match close {
        Some((likeness, name)) if likeness > 0.8 => {
            let _ = write!(error, "; did you mean `{name}`?");
        }
        Some(_) => {
            let _ = write!(error, "; baselines: {}", known.join(", "));
        }
        None => error += "; `dyno baseline save NAME RUN...` keeps runs under a name",
    }
    Err(UserError::wrong(error))
}

/// A recording itself, that of a run's folder, or all of a folder of runs, in the order of their names.
fn recordings(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if let Some(recording) = in_folder(path) {
        return Ok(vec![recording]);
    }
    let entries = fs::read_dir(path).map_err(cannot("read", path))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter_map(|p| if p.is_dir() { in_folder(&p) } else { is_recording(&p).then_some(p) })
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(UserError::wrong(format!("there is no run in {}", path.display())));
    }
    if found.len() > MOST_RUNS {
        let why = format!("{} holds {} runs; {MOST_RUNS} can be compared", path.display(), found.len());
        return Err(UserError::wrong(why));
    }
    Ok(found)
}

/// Does a file's name end as that of a recording?
fn is_recording(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    [SUFFIX, PACKED_SUFFIX].iter().any(|suffix| name.ends_with(suffix))
}

/// A run as it is compared, told of, and drawn.
struct Read {
    sample: Sample,
    summary: reports::Summary,
    lanes: Lanes,
}

fn read(run: &Path) -> anyhow::Result<Read> {
    let Replayed { loaded, findings, .. } = replay(run)?;
    let summary = reports::Summary::new(&loaded.meta, &loaded.timeline, &findings, loaded.end.as_ref());
    let sample = Sample::new(&summary, &loaded.meta, &loaded.timeline, &findings);
    Ok(Read { sample, summary, lanes: Lanes::of(&loaded.meta.run_id, &loaded.timeline) })
}

/// The lanes of those runs of a side that are compared: each once, and none that is among `others`.
fn once(side: &[Sample], lanes: Vec<Lanes>, others: &[Sample]) -> Vec<Lanes> {
    let mut kept = compare::places(side);
    kept.retain(|&i| !others.iter().any(|other| other.is_run_of(&side[i])));
    lanes.into_iter().enumerate().filter(|(i, _)| kept.contains(i)).map(|(_, lanes)| lanes).collect()
}

fn sides(read: Vec<Read>) -> (Vec<Sample>, Vec<Lanes>) {
    read.into_iter().map(|r| (r.sample, r.lanes)).unzip()
}

/// A name that is a plain folder and nothing else.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text.len() <= NAME_MAX && text.chars().all(plain) && !text.starts_with('.')
}

fn names(baselines: &Path) -> Vec<String> {
    let entries = fs::read_dir(baselines).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|e| e.path().is_dir())
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| is_name(n))
        .collect();
    names.sort();
    names
}

fn save(name: &str, runs: &[PathBuf], baselines: &Path) -> anyhow::Result<Outcome> {
    if !is_name(name) {
        let why = format!(
            "`{}` is no name for a baseline: letters, digits, `.`, `-` and `_`, at most {NAME_MAX}, not `.` first",
            clean(name, NAME_MAX)
        );
        return Err(UserError::wrong(why));
    }
    let mut files = Vec::new();
    for run in runs {
        files.extend(recordings(run)?);
    }
    if files.len() > MOST_RUNS {
        let why = format!("{} runs are given; {MOST_RUNS} can be compared", files.len());
        return Err(UserError::wrong(why));
    }
    // Read before anything is replaced: a baseline that cannot be compared with is none.
    let (samples, _) = sides(files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?);
    compare::check(&samples).map_err(UserError::wrong)?;
    let files: Vec<&PathBuf> = compare::places(&samples).into_iter().map(|i| &files[i]).collect();
    fs::create_dir_all(baselines).map_err(cannot("make", baselines))?;
    let fresh = tempfile::tempdir_in(baselines).map_err(cannot("make a folder in", baselines))?;
    for (i, from) in files.iter().enumerate() {
        let packed = from.to_string_lossy().ends_with(PACKED_SUFFIX);
        let to = fresh.path().join(format!("{:03}{}", i + 1, if packed { PACKED_SUFFIX } else { SUFFIX }));
        fs::copy(from, &to).map_err(cannot("copy", from))?;
    }
    let place = baselines.join(name);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(cannot("replace", &place))?;
    }
    fs::rename(fresh.keep(), &place).map_err(cannot("write", &place))?;
    print(&format!("kept {} as {} in {}\n", plural(files.len(), "run"), name, baselines.display()))
}

fn list(baselines: &Path) -> anyhow::Result<Outcome> {
    print(&listed(baselines))
}

/// A line for each baseline; one that cannot be read says why, and the others are told all the same.
fn listed(baselines: &Path) -> String {
    let mut out = String::new();
    let names = names(baselines);
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for name in &names {
        let told = what_is_kept(&baselines.join(name))
            .unwrap_or_else(|e| format!("cannot be read: {}", clean(&e.to_string(), WHY_MAX)));
        let _ = writeln!(out, "{name:width$}  {told}");
    }
    if names.is_empty() {
        let _ = writeln!(out, "no baseline in {}", baselines.display());
    }
    out
}

/// What a baseline's first run says of itself, without its figures being read.
fn what_is_kept(folder: &Path) -> anyhow::Result<String> {
    let runs = recordings(folder)?;
    let path = &runs[0];
    let about = |item: Item| match item {
        Item::Meta(meta) => Some(meta),
        _ => None,
    };
    let meta = Reader::open(path).map_err(user_error)?.find_map(about);
    let meta = meta.ok_or_else(|| user_error(RecordingError::Empty { path: path.clone() }))?;
    let scenario = clean(&meta.scenario, NAME_MAX);
    Ok(format!("{scenario}, {}, {}", plural(runs.len(), "run"), date::utc(meta.started_unix_ms)))
}

fn show(name: &str, baselines: &Path) -> anyhow::Result<Outcome> {
    let mut out = String::new();
    let mut samples = Vec::new();
    for run in runs_of(name, baselines)? {
        let Read { summary: s, sample, .. } = read(&run)?;
        samples.push(sample);
        let time = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| Unit::Ns.show(v));
        let _ = writeln!(
            out,
            "{}  {}  {}  p50 {}, p99 {}, {} steps, {} errors, {}",
            s.end.started,
            clean(&s.end.run_id, NAME_MAX),
            clean(&s.scenario.name, NAME_MAX),
            time(s.total.response.p50),
            time(s.total.response.p99),
            s.total.count,
            s.total.errors,
            s.verdict.name()
        );
    }
    let bands: Vec<String> = compare::bands(&samples).iter().map(ToString::to_string).collect();
    let bands = if bands.is_empty() { "not known: too few samples".to_owned() } else { bands.join(", ") };
    let _ = writeln!(out, "runs of it differ by themselves by (standard deviation): {bands}");
    print(&out)
}

#[cfg(test)]
mod tests {
    use timeline::facts::RunMeta;
    use timeline::recording::Writer;

    use super::*;

    #[test]
    fn a_baseline_that_cannot_be_read_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["bad", "empty", "main"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("bad/001.dyno"), "precious").unwrap();
        let meta = RunMeta { scenario: "shop".to_owned(), ..RunMeta::default() };
        Writer::create(&at("main/001.dyno"), &meta).unwrap().stop().unwrap();

        let told = listed(folder.path());
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[0].starts_with("bad    cannot be read: "), "{told}");
        assert!(lines[0].contains("is not a dyno recording"), "{told}");
        assert!(lines[1].starts_with("empty  cannot be read: there is no run in "), "{told}");
        assert!(lines[2].starts_with("main   shop, 1 run, 1970-01-01"), "{told}");
    }
}
