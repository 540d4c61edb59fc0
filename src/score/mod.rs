//! `dyno score`: how well the diagnosis tells what is wrong, over cases drawn at random, or over runs that were recorded.
//!
//! Owns the command. `draw` (with `reach` and `slow`) says what is tried, `scenario` makes a file of it and `runner` a run; `judge` says what
//! came of it by the `truth`, `stats` how far that can be believed, `report` tells it. `journal` lets a score go on, `recorded` judges
//! runs that are there, and `keep` makes small ones of them for tests.

mod case;
mod draw;
mod journal;
mod judge;
mod keep;
mod reach;
mod recorded;
mod report;
mod runner;
mod scenario;
mod slow;
mod stats;
mod truth;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use timeline::fault::FaultKind;

use crate::backend_process::STORES;
use crate::cli::ScoreArgs;
use crate::files::RUNS;
use crate::outcome::{Outcome, UserError};
use crate::run::stop::{self, Stops};
use crate::show::{print, say};
use case::{Case, Found, RUST, Record};
use draw::Wish;
use journal::Journal;
use report::{Score, Told};
use runner::Interrupted;

pub use case::Sort;

/// `dyno score`
pub fn score(args: &ScoreArgs) -> anyhow::Result<Outcome> {
    match (&args.record, args.recorded.is_empty()) {
        (Some(to), true) => ended(record(args, to)),
        (Some(to), false) => keep_all(&args.recorded, to),
        (None, false) => judge_recorded(args),
        (None, true) => ended(live(args)),
    }
}

/// Somebody's wish to end early is no error.
fn ended(result: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
    match result {
        Err(e) if e.is::<Interrupted>() => {
            say("dyno: ended early; the same command goes on from here");
            Ok(Outcome::Interrupted)
        }
        other => other,
    }
}

/// Tells a score; where no case counts there is none, and what kept the last one says why.
fn tell(score: &Score, json: bool) -> anyhow::Result<Outcome> {
    let text = if json { serde_json::to_string_pretty(score)? + "\n" } else { report::text(score) };
    let outcome = print(&text)?;
    match score.nothing_counts() {
        Some(why) => Err(UserError::wrong(format!("no case counts: {why}"))),
        None => Ok(outcome),
    }
}

/// Draws cases and runs those that were not run before.
fn live(args: &ScoreArgs) -> anyhow::Result<Outcome> {
    let cases = draw::cases(args.cases, args.seed, &wish(args)?);
    if cases.is_empty() {
        return Err(UserError::wrong(
            "no case is left by --kinds and --faults; a composite takes faults of two families",
        ));
    }
    let out = args.out.clone().unwrap_or_else(|| Path::new(RUNS).join(format!("score-{}", args.seed)));
    let mut journal = Journal::open(&out)?;
    let stops = stop::listen()?;
    let mut records = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let record = match journal.seen(case) {
            Some(record) => record.clone(),
            None => {
                let record = try_one(case, &out, &stops)?;
                journal.add(&record)?;
                let told = Told {
                    judged: judge::judge(&record.case, &record.seen),
                    case: record.case.clone(),
                    seen: record.seen.clone(),
                };
                say(format_args!("dyno: {}/{} {}", n + 1, cases.len(), report::line(&told)));
                record
            }
        };
        records.push(record);
    }
    tell(&Score::of(records, Some(args.seed)), args.json)
}

/// Runs one case; what it leaves is kept only if its diagnosis failed.
fn try_one(case: &Case, out: &Path, stops: &Stops) -> anyhow::Result<Record> {
    let folder = runner::folder(out, case.number);
    let cases = folder.parent().unwrap_or(out);
    std::fs::create_dir_all(cases).with_context(|| format!("cannot make {}", cases.display()))?;
    let seen = runner::run(case, &folder, stops)?;
    let record = Record { case: case.clone(), seen };
    if judge::judge(&record.case, &record.seen).outcome.is_failure() {
        // A run that did not even begin has left no folder.
        if folder.is_dir() {
            case.write(&folder)?;
        }
        return Ok(record);
    }
    let _ = std::fs::remove_dir_all(&folder);
    for extension in ["toml", "log"] {
        let _ = std::fs::remove_file(folder.with_extension(extension));
    }
    Ok(record)
}

fn wish(args: &ScoreArgs) -> anyhow::Result<Wish> {
    let sorts = if args.kinds.is_empty() {
        vec![Sort::Fault, Sort::Composite, Sort::Clean]
    } else {
        args.kinds.clone()
    };
    let runtimes = if args.runtime.is_empty() { vec![RUST.to_owned()] } else { args.runtime.clone() };
    let subjects = subjects(&args.faults, &runtimes)?;
    let set = |variable: &&str| std::env::var(variable).is_ok_and(|url| !url.is_empty());
    let stores = STORES.iter().copied().filter(set).map(str::to_owned).collect();
    Ok(Wish { sorts, subjects, runtimes, stores })
}

/// The faults and conditions that were asked for, of those that the runtimes have.
fn subjects(asked: &[String], runtimes: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let all = draw::subjects(runtimes);
    if let Some(unknown) = asked.iter().find(|name| !all.contains(&name.as_str())) {
        if FaultKind::from_name(unknown).is_some() {
            return Err(UserError::wrong(format!(
                "only the shop on Node.js has the fault `{unknown}`: it is drawn with --runtime node"
            )));
        }
        return Err(UserError::wrong(format!(
            "there is no fault `{unknown}`; expected some of {}",
            all.join(", ")
        )));
    }
    Ok(all.into_iter().filter(|name| asked.is_empty() || asked.iter().any(|a| a == name)).collect())
}

/// Judges recorded runs anew.
fn judge_recorded(args: &ScoreArgs) -> anyhow::Result<Outcome> {
    let mut records = Vec::new();
    let mut lines = String::new();
    for (n, folder) in recorded::folders(&args.recorded)?.iter().enumerate() {
        let record = recorded::judge_anew(n as u32, folder)?;
        if args.findings {
            lines += &findings(&recorded::name(folder), &record);
        }
        records.push(record);
    }
    if !args.json {
        print(&lines)?;
    }
    tell(&Score::of(records, None), args.json)
}

/// Truth and findings of a run, a line each.
fn findings(name: &str, record: &Record) -> String {
    let judged = judge::judge(&record.case, &record.seen);
    let mut out = format!("{:<11} {name}\n", judged.outcome.name());
    for began in &record.seen.truth {
        let onset = began.onset_s.map_or_else(|| "  never".to_owned(), |s| format!("{s:7.2}"));
        out += &format!("  truth {onset}  {} -> {}\n", began.fault.name(), began.fault.expected().name());
    }
    for f in &record.seen.findings {
        let Found { onset_s, found_at_s, status, severity, kind, claim, consequence, .. } = f;
        let by = if *consequence { " [a consequence]" } else { "" };
        let (status, severity, kind) = (status.name(), severity.name(), kind.name());
        out += &format!(
            "        {onset_s:7.2}  found {found_at_s:.2}, {status}, {severity}, {kind}: {claim}{by}\n"
        );
    }
    out + "\n"
}

/// Runs each fault of the catalogue and its clean twin, as shipped, and keeps small recordings of them.
fn record(args: &ScoreArgs, to: &Path) -> anyhow::Result<Outcome> {
    let stops = stop::listen()?;
    let scratch = tempfile::tempdir()?;
    for subject in subjects(&args.faults, &[RUST.to_owned()])? {
        for name in [subject.to_owned(), format!("{subject}-clean")] {
            if to.join(&name).exists() {
                continue; // of a recording that was ended early
            }
            let folder = scratch.path().join(&name);
            let mut command = runner::dyno_run(&name, &folder)?;
            for variable in STORES {
                command.env_remove(variable);
            }
            let seen = runner::until_valid(&mut command, &folder, name == "generator-limited", &stops)?;
            if seen.end != case::End::Valid && name != "generator-limited" {
                anyhow::bail!("{name} cannot be recorded: {}", seen.why);
            }
            keep_one(&folder, to, &name)?;
        }
    }
    Ok(Outcome::Pass)
}

/// Keeps small copies of recorded runs.
fn keep_all(runs: &[PathBuf], to: &Path) -> anyhow::Result<Outcome> {
    for folder in recorded::folders(runs)? {
        keep_one(&folder, to, &recorded::name(&folder))?;
    }
    Ok(Outcome::Pass)
}

fn keep_one(run: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    let bytes = keep::keep(run, &to.join(name))?;
    say(format_args!("dyno: {name}: {}", timeline::Unit::Bytes.show(bytes as f64)));
    Ok(())
}
