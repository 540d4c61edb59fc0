//! `dyno explain RUN --verify`: the same run again, with its advice applied.
//!
//! Owns which advice is tried and how the first run is repeated. What a remedy means in the bundled backend is the backend's
//! (`backend/src/remedies.rs`), what is compared the reports'.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use reports::explain::{Side, Tried, Verification};
use reports::summary::Reason;
use timeline::facts::RunMeta;
use timeline::recording::Loaded;
use timeline::remedy::Setting;
use timeline::{Finding, Remedy, Status};

use crate::cli::{Cli, Command, ExplainArgs, RunArgs, Runtime};
use crate::outcome::{Outcome, UserError};
use crate::run;
use crate::run::prepare;
use crate::twin;

/// Runs what `loaded` holds again, with the advice of its findings applied, and compares; gives also how that ends the command.
pub fn verify(
    args: &ExplainArgs,
    loaded: &Loaded,
    findings: &[Finding],
) -> anyhow::Result<(Verification, Outcome)> {
    let meta = &loaded.meta;
    if !meta.bundled || meta.command != "run" {
        return Err(UserError::wrong(
            "--verify applies advice to the bundled backend and runs again: this run had another target",
        ));
    }
    same_circumstances(meta, args)?;
    let scratch = tempfile::tempdir()?;
    let run_args = again(meta, args, scratch.path().join(format!("{}.toml", file_stem(&meta.scenario))))?;
    let mut tried: Vec<Tried> = roots(findings).map(|f| weigh(f, run_args.runtime)).collect();
    one_value_each(&mut tried);
    let remedies: Vec<Remedy> = tried.iter().filter(|t| t.applied).filter_map(|t| t.remedy.clone()).collect();
    if remedies.is_empty() {
        return Ok((Verification::not_run(tried), Outcome::GateFailed));
    }
    let (finished, folder) = run::carry_out(&run_args, &remedies)?;
    let (summary, written) = run::finish::write(&finished, &folder, false);
    written.map_err(UserError::wrong)?;
    let before = Side { timeline: &loaded.timeline, findings };
    let after = Side { timeline: &finished.timeline, findings: &finished.findings };
    let verification = Verification::new(tried, before, after, &summary, folder.display().to_string());
    let outcome = outcome(&verification, summary.end.reason);
    Ok((verification, outcome))
}

/// What is not verified fails, unless a person wished for no answer.
fn outcome(verification: &Verification, end: Reason) -> Outcome {
    match end {
        Reason::Interrupted => Outcome::Interrupted,
        _ if verification.verified => Outcome::Pass,
        _ => Outcome::GateFailed,
    }
}

/// What is cured: causes, not what followed from them, and nothing that is only suspected.
fn roots(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|f| f.caused_by.is_none() && f.status >= Status::Likely)
}

/// Can the advice be applied?
fn weigh(finding: &Finding, runtime: Runtime) -> Tried {
    let Some(remedy) = finding.remedies.first() else {
        let how = match finding.advice.first() {
            Some(advice) => format!("it takes somebody who does it: {}", advice.trim_end_matches('.')),
            None => "there is no advice".to_owned(),
        };
        return Tried::new(finding, None, false, how);
    };
    let held = match runtime {
        Runtime::Rust => backend::held(remedy),
        Runtime::Node | Runtime::Deno | Runtime::Bun => twin::held(remedy),
    };
    match held {
        Ok(held) => Tried::new(finding, Some(remedy.clone()), true, held.how),
        Err(why) => Tried::new(finding, Some(remedy.clone()), false, why),
    }
}

/// Of several values for one setting one alone can be held: the largest number, which is enough for who asks for less, or else the first.
fn one_value_each(tried: &mut [Tried]) {
    let mut kept: BTreeMap<&str, &Tried> = BTreeMap::new();
    for t in tried.iter().filter(|t| t.applied) {
        let Some(remedy) = &t.remedy else { continue };
        let held = kept.entry(remedy.set.as_str()).or_insert(t);
        if is_more(remedy, held) {
            *held = t;
        }
    }
    let other = |t: &Tried| {
        let remedy = t.remedy.as_ref().filter(|_| t.applied)?;
        let held = kept.get(remedy.set.as_str())?;
        let value = held.remedy.as_ref().filter(|value| *value != remedy)?;
        Some(format!("{value} is held instead, for {}", held.finding))
    };
    let others: Vec<Option<String>> = tried.iter().map(other).collect();
    for (t, other) in tried.iter_mut().zip(others) {
        if let Some(how) = other {
            (t.applied, t.how) = (false, how);
        }
    }
}

fn is_more(one: &Remedy, held: &Tried) -> bool {
    match (&one.to, held.remedy.as_ref().map(|other| &other.to)) {
        (Setting::Number(one), Some(Setting::Number(other))) => one > other,
        _ => false,
    }
}

/// Stores, what is in them and variables are no part of a recording, so whoever runs it again gives them again.
fn same_circumstances(meta: &RunMeta, args: &ExplainArgs) -> anyhow::Result<()> {
    let set = prepare::stores();
    if !meta.again.args.is_empty() && set != meta.again.stores {
        let said = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(UserError::wrong(format!(
            "the run had other stores, or other rows in them: set in the environment were {}, and now are {}",
            said(&meta.again.stores),
            said(&set)
        )));
    }
    let given = |name: &String| args.vars.env.iter().any(|(n, _)| n == name);
    match meta.again.vars.iter().find(|name| !given(name)) {
        Some(name) => Err(UserError::wrong(format!(
            "the run was given a value for {name}, which its recording does not hold: give it again, --env {name}=..."
        ))),
        None => Ok(()),
    }
}

/// The command line with which the run is repeated. A scenario that is not as it was is written to `file` as it was run.
fn again(meta: &RunMeta, args: &ExplainArgs, file: PathBuf) -> anyhow::Result<RunArgs> {
    let said = match meta.again.args.as_slice() {
        // An old recording: as it would be started without flags.
        [] => &[meta.scenario.clone(), format!("--seed={}", meta.seed)],
        args => args,
    };
    let mut line = [&["dyno".to_owned(), "run".to_owned()], said].concat();
    if scenarios::text_of(&said[0]).ok().as_ref() != Some(&meta.scenario_text) {
        std::fs::write(&file, &meta.scenario_text)?;
        line[2] = file.to_string_lossy().into_owned();
    }
    line.extend(args.vars.env.iter().map(|(name, value)| format!("--env={name}={value}")));
    line.extend(args.out.iter().map(|out| format!("--out={}", out.display())));
    if args.json {
        line.push("--ui=none".to_owned());
    }
    let wrong = |e: &dyn std::fmt::Display| {
        UserError::wrong(format!("the recording does not say how the run can be made again: {e}"))
    };
    let Some(Command::Run(run)) = Cli::try_parse_from(line).map_err(|e| wrong(&e))?.command else {
        return Err(wrong(&"its command line is no run"));
    };
    // A recording may come from anybody: what it says is a scenario and how it was loaded, as a run writes it there, and nothing else.
    let written = prepare::again(&run, run.seed.unwrap_or(meta.seed)).args;
    if said[0].starts_with('-') || !said[1..].iter().all(|flag| written.contains(flag)) {
        return Err(UserError::wrong(format!(
            "the recording says that the run be made again with `{}`, which no run writes there",
            said.join(" ")
        )));
    }
    Ok(*run)
}

/// The scenario's name as a file's, which is what a scenario from a file is called by.
fn file_stem(name: &str) -> String {
    let stem: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(60).collect();
    if stem.is_empty() { "scenario".to_owned() } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::prepare::prepare;
    use timeline::{FindingKind, RunTime};

    fn parsed(line: &[&str]) -> Command {
        let line = ["dyno"].iter().chain(line);
        Cli::try_parse_from(line).unwrap().command.unwrap()
    }

    fn explain(flags: &[&str]) -> ExplainArgs {
        match parsed(&[&["explain", "RUN", "--verify"], flags].concat()) {
            Command::Explain(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn meta_of(line: &[&str]) -> RunMeta {
        let Command::Run(args) = parsed(line) else { panic!("{line:?}") };
        let job = prepare(&args).unwrap();
        RunMeta { again: job.again, scenario: job.plan.name, scenario_text: job.text, ..RunMeta::default() }
    }

    #[test]
    fn a_run_is_repeated_as_it_was_told() {
        let meta = meta_of(&[
            "run",
            "stampede",
            "--seed",
            "7",
            "--workers",
            "3",
            "-s",
            "20s:40",
            "--gate",
            "errors < 1%",
        ]);
        let args = again(&meta, &explain(&["--out", "x"]), PathBuf::new()).unwrap();
        assert_eq!((args.scenario.as_deref(), args.seed, args.workers), (Some("stampede"), Some(7), Some(3)));
        assert_eq!(
            (args.load.stages, args.gate),
            (vec!["20s:40".to_owned()], vec!["errors < 1%".to_owned()])
        );
        assert_eq!(args.out, Some("x".into()));
    }

    #[test]
    fn a_scenario_that_was_changed_since_is_run_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stampede.toml");
        let mut meta = meta_of(&["run", "stampede"]);
        meta.scenario_text += "# as it was";
        let args = again(&meta, &explain(&[]), file.clone()).unwrap();
        assert_eq!(args.scenario.as_deref(), Some(file.to_str().unwrap()));
        assert_eq!(std::fs::read_to_string(file).unwrap(), meta.scenario_text);
    }

    #[test]
    fn a_recording_cannot_have_anything_else_done() {
        for line in [
            ["stampede", "--target=http://127.0.0.1:9"],
            ["stampede", "--attach=agent=http://127.0.0.1:9"],
            ["--url=http://127.0.0.1:9", "--seed=1"],
        ] {
            let mut meta = meta_of(&["run", "stampede"]);
            meta.again.args = line.map(str::to_owned).to_vec();
            let dir = tempfile::tempdir().unwrap();
            let made = again(&meta, &explain(&[]), dir.path().join("stampede.toml"));
            // The target is a flag of its own: whatever it says, only the bundled backend is loaded.
            let refused = made.map_err(|e| e.to_string()).and_then(|args| {
                run::carry_out(
                    &args,
                    &[Remedy { set: "pool.db.capacity".to_owned(), to: Setting::Number(20.0) }],
                )
                .map(|_| ())
                .map_err(|e| e.to_string())
            });
            let why = refused.unwrap_err();
            assert!(why.contains("no run writes there") || why.contains("bundled backend"), "{why}");
        }
    }

    #[test]
    fn of_several_values_for_a_setting_one_is_held_and_the_others_are_told() {
        let tried = |finding: &str, remedy: Remedy| Tried {
            finding: finding.to_owned(),
            kind: FindingKind::PoolSaturated,
            name: "pool saturated".to_owned(),
            remedy: Some(remedy),
            applied: true,
            how: "it is held".to_owned(),
            gone: None,
        };
        let pool = |to| Remedy::number("pool.db.capacity", to);
        let protection = |to| Remedy::word("cache.products.protection", to);
        let mut all = [
            tried("F1", pool(14.0)),
            tried("F2", pool(27.0)),
            tried("F3", pool(9.0)),
            tried("F4", pool(27.0)),
            tried("F5", protection("single-flight")),
            tried("F6", protection("lock")),
        ];
        one_value_each(&mut all);
        let held: Vec<&str> = all.iter().filter(|t| t.applied).map(|t| t.finding.as_str()).collect();
        assert_eq!(held, ["F2", "F4", "F5"]);
        assert_eq!(all[2].how, "pool.db.capacity = 27 is held instead, for F2");
        assert_eq!(all[1].how, "it is held");
    }

    #[test]
    fn a_twin_is_asked_for_what_it_can_hold_and_nothing_else() {
        let weighed = |remedy: &Remedy, runtime| {
            let found = Finding::bare("F1", FindingKind::PoolSaturated, RunTime::ZERO);
            weigh(&Finding { remedies: vec![remedy.clone()], ..found }, runtime)
        };
        for remedy in [
            Remedy::number("pool.db.capacity", 14.0),
            Remedy::word("index.purchase(customer)", "created"),
            Remedy::word("route./login.work", "off-loop"),
        ] {
            let (rust, twin) = (weighed(&remedy, Runtime::Rust), weighed(&remedy, Runtime::Bun));
            assert!(twin.applied && twin == rust, "{twin:?}");
        }
        let refused = |remedy: Remedy| {
            let tried = [Runtime::Node, Runtime::Deno, Runtime::Bun].map(|runtime| weighed(&remedy, runtime));
            assert!(tried.iter().all(|t| !t.applied && t.how == tried[0].how), "{tried:?}");
            tried[0].how.clone()
        };
        insta::assert_snapshot!(refused(Remedy::number("offload.threads", 8.0)), @"offload.threads = 8: these runtimes make the threads of their offload pool once, and no more later");
        insta::assert_snapshot!(refused(Remedy::word("heap.requests", "arena")), @"heap.requests = arena is the cure of fragmentation, a fault that only the Rust backend has");
        insta::assert_snapshot!(refused(Remedy::number("no.such", 1.0)), @"the bundled backend has no setting `no.such`");
    }

    #[test]
    fn what_no_recording_holds_is_asked_for() {
        let mut meta = meta_of(&["run", "stampede"]);
        meta.again.vars = vec!["PASS".to_owned()];
        let missing = same_circumstances(&meta, &explain(&[])).unwrap_err().to_string();
        assert!(missing.contains("--env PASS=..."), "{missing}");
        same_circumstances(&meta, &explain(&["--env", "PASS=x"])).unwrap();
        meta.again.stores = vec!["SOME_STORE".to_owned()];
        let other = same_circumstances(&meta, &explain(&["--env", "PASS=x"])).unwrap_err().to_string();
        assert!(other.contains("SOME_STORE"), "{other}");
        let rows = |name: &str| (name == "DYNO_ROWS").then(|| "5000000".to_owned());
        meta.again.stores = prepare::stores_by(rows);
        let other = same_circumstances(&meta, &explain(&["--env", "PASS=x"])).unwrap_err().to_string();
        assert!(other.contains("were DYNO_ROWS=5000000, and now are"), "{other}");
    }

    #[test]
    fn an_interrupted_rerun_is_neither_verified_nor_refuted() {
        let mut verification = Verification::not_run(Vec::new());
        let outcomes = |v: &Verification| {
            [Reason::Completed, Reason::GateAborted, Reason::Interrupted].map(|end| outcome(v, end))
        };
        assert_eq!(outcomes(&verification), [Outcome::GateFailed, Outcome::GateFailed, Outcome::Interrupted]);
        verification.verified = true;
        assert_eq!(outcomes(&verification)[0], Outcome::Pass);
    }
}
