//! What the tests of the language share: a scenario around some steps, and mistakes as a text.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use std::fmt::Write as _;
use std::path::PathBuf;

use dynamometer_scenarios::plan::{RunPlan, Step};
use dynamometer_scenarios::{Origin, Overrides, ScenarioError, describe, parse};

/// A scenario whose one session kind does `steps`, with `more` in front of it.
pub fn scenario(more: &str, steps: &str) -> String {
    format!(
        "{more}\n[[phase]]\nname = \"p\"\nfor = \"10s\"\nsessions = 1\n[[session]]\nname = \"s\"\nsteps = [\n{steps}\n]\n"
    )
}

/// The usual lines in front: a target and a feeder.
pub const HEAD: &str = "[target]\nurl = \"http://127.0.0.1:3000\"\nenv = [\"KEY\"]\n[data.users]\nrows = [{ name = \"ann\", plan = \"gold\" }]";

/// Reads a text as the file `shop.toml` in the folder of test data.
pub fn read(text: &str) -> Result<RunPlan, ScenarioError> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    read_at(text, folder.join("shop.toml"))
}

pub fn read_at(text: &str, file: PathBuf) -> Result<RunPlan, ScenarioError> {
    let origin = Origin { name: "shop".into(), file: Some(file) };
    let mut overrides = Overrides::default();
    if text.contains("\"KEY\"") {
        overrides.vars.insert("KEY".into(), "hush".into());
    }
    parse(text, &origin, &overrides)
}

pub fn good(steps: &str) -> RunPlan {
    read(&scenario(HEAD, steps)).unwrap_or_else(|e| panic!("{e}"))
}

pub fn steps(steps: &str) -> Vec<Step> {
    good(steps).sessions.remove(0).steps
}

/// What `dyno plan` says of the session kinds, and what follows.
pub fn described(steps: &str) -> String {
    let all = describe(&good(steps));
    all[all.find("session kinds").unwrap_or(0)..].to_owned()
}

/// The mistakes of each text, under its name; each must have a place.
pub fn mistakes<'c>(cases: impl IntoIterator<Item = (&'c str, String)>) -> String {
    let mut all = String::new();
    for (what, text) in cases {
        let e = read(&text).expect_err(what);
        assert!(e.mistakes.iter().all(|m| m.place.is_some()), "{what}: {e}");
        let _ = write!(all, "## {what}\n{e}\n\n");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
    all.replace(folder, "")
}
