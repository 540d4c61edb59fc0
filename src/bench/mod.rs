//! `dyno bench`: the load engine beside its peers, the bundled backend beside a bare server, or services that are watched beside
//! themselves unwatched, on this machine, in one run.
//!
//! Owns the commands: rows are chosen, measured one after the other, printed as they are found and kept as JSON lines.
//! `rows` says what is measured; `pairs`, `held` (clients), `serving` (servers) and `watching` (sources) how; `stats` what it means, `report` how it is told.

mod held;
mod machine;
mod pairs;
mod peers;
mod process;
mod report;
mod rows;
mod scenario;
mod servers;
mod services;
mod serving;
mod stats;
mod stores;
mod target;
mod target_axum;
mod watching;

use std::path::PathBuf;

use crate::cli::{BenchArgs, BenchEngineArgs};
use crate::cores;
use crate::outcome::{Outcome, UserError};
use crate::run::stop;
use crate::show::{print, say};
use peers::Peers;
use process::{Interrupted, Place};
use report::{Head, Lines, Report, Row, head_text, row_text};
use rows::Subject;

/// `dyno bench-target`
pub use target::serve as target;

/// `dyno bench engine`
pub fn engine(args: &BenchEngineArgs) -> anyhow::Result<Outcome> {
    bench(Subject::Engine, &args.bench, || Peers::find(args.peers.as_deref()))
}

/// `dyno bench sources`
pub fn sources(args: &BenchArgs) -> anyhow::Result<Outcome> {
    bench(Subject::Sources, args, Peers::none)
}

/// `dyno bench backend`
pub fn backend(args: &BenchArgs) -> anyhow::Result<Outcome> {
    bench(Subject::Backend, args, Peers::none)
}

fn bench(subject: Subject, args: &BenchArgs, find_peers: impl FnOnce() -> Peers) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.from {
        return tell(&report::read(path)?, args.json);
    }
    let entries = rows::chosen(subject, args.quick, &args.rows);
    if entries.is_empty() {
        return Err(no_such_row(subject, args));
    }
    let stops = stop::listen()?;
    let scratch = tempfile::tempdir()?;
    let place = Place { split: cores::split(&cores::usable()), stops: &stops, scratch: scratch.path() };
    let peers = find_peers();
    let head = Head::new(subject.name(), args.quick, place.describe(), peers.versions(), subject.notes());
    let path = args.out.clone().unwrap_or_else(|| default_file(&head));
    let mut lines = Lines::create(&path, &head)?;
    if !args.json {
        print(&head_text(&head))?;
    }
    let mut report = Report { head, rows: Vec::new() };
    for entry in entries {
        say(format_args!("dyno: measuring {}", entry.name));
        let rows = match entry.measure(&place, &peers, args.quick) {
            Ok(rows) => rows,
            Err(e) if e.is::<Interrupted>() => {
                say(format_args!("dyno: ended early; what was measured is in {}", path.display()));
                return Ok(Outcome::Interrupted);
            }
            Err(e) => {
                vec![Row::missing(&entry.name, "the row as a whole".to_owned(), None, format!("{e:#}"))]
            }
        };
        for row in rows {
            lines.push(&row)?;
            if !args.json {
                print(&row_text(&row))?;
            }
            report.rows.push(row);
        }
    }
    if args.json {
        tell(&report, true)?;
    }
    say(format_args!("dyno: what was measured is in {}; --from makes its table again", path.display()));
    Ok(Outcome::Pass)
}

fn no_such_row(subject: Subject, args: &BenchArgs) -> anyhow::Error {
    let mut names: Vec<String> = rows::chosen(subject, args.quick, &[]).into_iter().map(|e| e.name).collect();
    names.extend((subject == Subject::Engine).then(|| "million".to_owned()));
    UserError::wrong(format!(
        "no row's name holds {}; expected a part of: {}",
        args.rows.join(" or "),
        names.join(", ")
    ))
}

fn tell(report: &Report, json: bool) -> anyhow::Result<Outcome> {
    if json {
        return print(&(serde_json::to_string_pretty(report)? + "\n"));
    }
    let rows: String = report.rows.iter().map(row_text).collect();
    print(&(head_text(&report.head) + &rows))
}

fn default_file(head: &Head) -> PathBuf {
    let id = crate::files::run_id(head.started_unix_ms, 0);
    PathBuf::from(crate::files::RUNS).join(format!("bench-{}-{id}.jsonl", head.subject))
}
