//! Commands that only show: the catalogue, a scenario's text, mistakes in it, its plan.
//!
//! Owns the way to standard output and, for single lines, to standard error: whoever reads there may leave at any time (`| head`), and
//! that changes neither what a command does nor how it ends.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use timeline::text::clean_page;

use crate::cli::{Beside, PlanArgs};
use crate::outcome::{Outcome, UserError};
use crate::sources::Attach;

/// `dyno scenarios list`
pub fn list(json: bool) -> anyhow::Result<Outcome> {
    let mut out = String::new();
    let entries = scenarios::catalog::list();
    if json {
        out = serde_json::to_string_pretty(entries)? + "\n";
    } else {
        let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
        for e in entries {
            out += &format!("{:width$}  {:>6}  {}\n", e.name, e.takes, e.about);
            out += &format!("{:width$}  {:>6}  teaches: {}; needs: {}\n", "", "", e.teaches, e.needs);
        }
    }
    print(&out)
}

/// `dyno scenarios show NAME`
pub fn text(name: &str) -> anyhow::Result<Outcome> {
    let text = scenarios::text_of(name).map_err(UserError::wrong)?;
    print(&text)
}

/// `dyno scenarios check FILE...`
pub fn check(names: &[String], beside: &Beside) -> anyhow::Result<Outcome> {
    let overrides = overrides(beside);
    let mut wrong = Vec::new();
    for name in names {
        match scenarios::load(name, &overrides) {
            Ok(_) => print(&format!("{name}: good\n")).map(|_| ())?,
            Err(e) => wrong.push(e.to_string()),
        }
    }
    if wrong.is_empty() { Ok(Outcome::Pass) } else { Err(UserError::wrong(wrong.join("\n"))) }
}

/// `dyno scenarios schema`
pub fn schema() -> anyhow::Result<Outcome> {
    print(scenarios::SCHEMA)
}

/// `dyno plan SCENARIO`
pub fn plan(args: &PlanArgs) -> anyhow::Result<Outcome> {
    let plan = scenarios::load(&args.scenario, &overrides(&args.beside)).map_err(UserError::wrong)?;
    if args.json {
        return print(&(serde_json::to_string_pretty(&plan.without_secrets())? + "\n"));
    }
    let mut page = scenarios::describe(&plan);
    for line in loadgen::sizing::rows_short(&plan) {
        page += &format!("warning: {line}\n");
    }
    print(&page)
}

fn overrides(beside: &Beside) -> scenarios::Overrides {
    scenarios::Overrides {
        target: beside.target.clone(),
        http: beside.http.clone(),
        vars: beside.vars.env.iter().cloned().collect(),
        attach: Some(Attach::check),
        ..Default::default()
    }
}

/// Prints without what could do something to a terminal.
pub fn print(text: &str) -> anyhow::Result<Outcome> {
    hand_out(clean_page(text).as_bytes())
}

/// Writes to standard output, as it is.
pub fn hand_out(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// A reader that has gone missed what it did not want; a full disk behind it is somebody's to mend.
fn written(result: io::Result<()>) -> anyhow::Result<Outcome> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(UserError::wrong(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(Outcome::Pass),
    }
}

/// Columns of the terminal that standard output is; none if it is another thing.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A line on standard error. Nobody may be left to read it, where `eprintln!` would panic.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::plan::{HttpVersion, Target};

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        assert_eq!(written(Err(ErrorKind::BrokenPipe.into())).unwrap(), Outcome::Pass);
        let full = written(Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(crate::outcome::error_code(&full), 2);
    }

    #[test]
    fn a_plan_is_read_with_what_is_said_beside_it() {
        let (target, http) = (Some("http://127.0.0.1:1".to_owned()), Some("2".to_owned()));
        let said = overrides(&Beside { target, http, ..Beside::default() });
        let plan = scenarios::load("stampede", &said).unwrap();
        assert!(matches!(plan.target, Target::Url(_)) && plan.transport.http == HttpVersion::Http2);
    }
}
