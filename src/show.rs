//! Commands that only show: the catalogue, a scenario's text, mistakes in it, its plan.

use std::io::{self, Write};

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
        let read = scenarios::load(name, &overrides).map_err(anyhow::Error::from);
        match read.and_then(|plan| Attach::check(name, &plan.attach)) {
            Ok(()) => print(&format!("{name}: good\n")).map(|_| ())?,
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
    print(&scenarios::describe(&plan))
}

fn overrides(beside: &Beside) -> scenarios::Overrides {
    scenarios::Overrides {
        target: beside.target.clone(),
        http: beside.http.clone(),
        vars: beside.vars.env.iter().cloned().collect(),
        ..Default::default()
    }
}

/// Prints without panicking when the reader has gone, and without what could do something to a terminal.
pub fn print(text: &str) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    out.write_all(clean_page(text).as_bytes())?;
    out.flush()?;
    Ok(Outcome::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::plan::{HttpVersion, Target};

    #[test]
    fn a_plan_is_read_with_what_is_said_beside_it() {
        let (target, http) = (Some("http://127.0.0.1:1".to_owned()), Some("2".to_owned()));
        let said = overrides(&Beside { target, http, ..Beside::default() });
        let plan = scenarios::load("stampede", &said).unwrap();
        assert!(matches!(plan.target, Target::Url(_)) && plan.transport.http == HttpVersion::Http2);
    }
}
