//! Comparison of two groups of runs: each figure with its difference and interval, findings that came or went, and one verdict.
//!
//! Owns the form of `compare --json` ([`Comparison`], see `schema/compare.schema.json`) and the rule for the whole. What is compared is `figures`'
//! list, how is `stats`' arithmetic, and the words are `text`'s. Which runs are worth comparing (valid, of one scenario) is checked here;
//! where they lie is the command's business.
//!
//! Many figures are looked at, and each by itself could raise a false alarm in one comparison of twenty. So the chance is shared out
//! (Bonferroni): the headline figures, which alone make the verdict, have 5% together, and all others 5% among them.

mod figures;
mod stats;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thiserror::Error;
use timeline::facts::RunMeta;
use timeline::text::{clean, plural};
use timeline::{Finding, FindingKind, Status, Timeline, Unit};

pub use stats::{Change, Scale, Verdict};
pub(crate) use text::{cells, remarks};
pub use text::{markdown, words};

use crate::summary::{Reason, Summary, Verdict as RunVerdict};
use figures::{Figure, Reading};
use stats::Value;

/// Version of the form of `compare --json`; raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;
/// JSON Schema of it.
pub const SCHEMA: &str = include_str!("../../schema/compare.schema.json");
/// Chance of a false alarm in the headline figures together, and in all others together.
const RISK: f64 = 0.05;
/// Steps named in a note; there may be hundreds.
const STEPS_TOLD: usize = 4;

/// A run as it is compared.
#[derive(Debug, Clone)]
pub struct Sample {
    meta: RunMeta,
    verdict: RunVerdict,
    verdict_reason: String,
    end: Reason,
    findings: Vec<Finding>,
    figures: Vec<Figure>,
}

impl Sample {
    /// Reads a run's figures.
    #[must_use]
    pub fn new(summary: &Summary, meta: &RunMeta, timeline: &Timeline, findings: &[Finding]) -> Self {
        let findings = findings.iter().filter(|f| f.status >= Status::Likely).cloned().collect();
        Self {
            meta: meta.clone(),
            verdict: summary.verdict,
            verdict_reason: summary.verdict_reason.clone(),
            end: summary.end.reason,
            findings,
            figures: figures::read(timeline),
        }
    }

    /// Are both of one run?
    #[must_use]
    pub fn is_run_of(&self, other: &Self) -> bool {
        (self.meta.started_unix_ms, &self.meta.run_id) == (other.meta.started_unix_ms, &other.meta.run_id)
    }
}

/// Why runs cannot be compared.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CompareError {
    /// They did different things.
    #[error("the runs are of different scenarios: `{base}` and `{new}`; compare runs of one scenario")]
    Scenarios {
        /// Of the base.
        base: String,
        /// Of a new run.
        new: String,
    },
    /// All new runs are among those of the base.
    #[error("the new runs are the base's own, so there is nothing to compare: give others")]
    Itself,
    /// All runs of one side measured themselves badly.
    #[error("none of the {side} runs is valid, so their figures say nothing: {why}")]
    NoneValid {
        /// Which side.
        side: &'static str,
        /// What is wrong with the first of them.
        why: String,
    },
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// [`VERSION`].
    pub version: u32,
    /// Worse if any headline figure is; else *cannot tell* if a run ended early; else better if any is; else *cannot tell* if any is;
    /// else the same.
    pub verdict: Verdict,
    /// Which figures make the verdict, in one sentence.
    pub reason: String,
    /// The scenario of all runs.
    pub scenario: String,
    /// The runs compared with.
    pub base: Side,
    /// The runs compared.
    pub new: Side,
    /// Further runs of one build, from which only was learned how much runs differ by themselves.
    pub noise: Side,
    /// All figures, those of the headline first.
    pub rows: Vec<Row>,
    /// Findings that are not on both sides alike.
    pub findings: Vec<FoundRow>,
    /// Things to know before believing any of it.
    pub notes: Vec<String>,
}

/// The runs of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Identities of the runs that were used.
    pub runs: Vec<String>,
    /// Runs left out because they are invalid.
    pub invalid: Vec<String>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub figure: String,
    /// The step that it is of; empty for all together, and for the target.
    pub of: String,
    /// Part of the whole's verdict.
    pub headline: bool,
    /// Unit of `base` and `new`.
    pub unit: Unit,
    /// What `change` is.
    pub scale: Scale,
    /// Mean (geometric for ratios) of the base's runs, also where it cannot be compared; null without data.
    pub base: Option<f64>,
    /// The same of the new runs.
    pub new: Option<f64>,
    /// By how much it moved; null where one side has no data, or too few.
    pub change: Option<Change>,
    /// What would be needed to tell by how much; null where `change` is told, or a side has no data.
    pub lacks: Option<String>,
    /// What that comes to.
    pub verdict: Verdict,
}

/// A finding that one side has more often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundRow {
    /// What it is.
    pub kind: FindingKind,
    /// In how many of the base's runs.
    pub base: usize,
    /// In how many of the new runs.
    pub new: usize,
}

/// Compares the runs in `new` with those in `base`. `taught`, which may be none, are further runs of one build: they teach how much runs
/// differ by themselves, and nothing else. A run that is twice on a side counts once there, and one of the base is no new one: copies
/// differ by nothing, so they would make noise look small.
///
/// # Errors
/// [`CompareError`] where that would say nothing.
pub fn compare(base: &[Sample], new: &[Sample], taught: &[Sample]) -> Result<Comparison, CompareError> {
    of_one_scenario(base, base.iter().chain(new).chain(taught))?;
    let given = base.len() + new.len() + taught.len();
    let (base, new, taught) = (once(base), once(new), once(taught));
    let twice = given - base.len() - new.len() - taught.len();
    let in_base = |s: &&Sample| base.iter().any(|b| b.is_run_of(s));
    let (both, new): (Vec<&Sample>, Vec<&Sample>) = new.into_iter().partition(in_base);
    let copies = copies(both.len(), twice);
    let (base, left_out) = valid("base", base)?;
    if new.is_empty() && !both.is_empty() {
        return Err(CompareError::Itself);
    }
    let (new, new_left_out) = valid("new", new)?;
    let (taught, taught_left_out) =
        if taught.is_empty() { (Vec::new(), Vec::new()) } else { valid("noise", taught)? };
    let rows = rows(&base, &new, &taught);
    let early = early(&base, &new);
    let (mut verdict, mut reason) = whole(&rows);
    // What is worse in part of a plan is worse; that nothing is says nothing of the rest.
    if !early.is_empty() && verdict != Verdict::Worse {
        (verdict, reason) = (Verdict::CannotTell, "not all runs saw the whole plan".to_owned());
    }
    Ok(Comparison {
        version: VERSION,
        verdict,
        reason,
        scenario: base[0].meta.scenario.clone(),
        notes: early.into_iter().chain(copies).chain(notes(&base, &new, &taught)).collect(),
        findings: findings(&base, &new),
        base: Side { runs: ids(&base), invalid: left_out },
        new: Side { runs: ids(&new), invalid: new_left_out },
        noise: Side { runs: ids(&taught), invalid: taught_left_out },
        rows,
    })
}

/// Can runs be compared with these?
///
/// # Errors
/// [`CompareError`] where that would say nothing.
pub fn check(base: &[Sample]) -> Result<(), CompareError> {
    of_one_scenario(base, base)?;
    valid("base", once(base)).map(|_| ())
}

/// Places of a side's runs in it, each run once.
#[must_use]
pub fn places(side: &[Sample]) -> Vec<usize> {
    (0..side.len()).filter(|&i| !side[..i].iter().any(|before| before.is_run_of(&side[i]))).collect()
}

/// Each run once.
fn once(side: &[Sample]) -> Vec<&Sample> {
    places(side).into_iter().map(|i| &side[i]).collect()
}

fn of_one_scenario<'a>(
    base: &[Sample],
    all: impl IntoIterator<Item = &'a Sample>,
) -> Result<(), CompareError> {
    let Some(first) = base.first().map(|s| &s.meta.scenario) else { return Ok(()) };
    match all.into_iter().map(|s| &s.meta.scenario).find(|scenario| *scenario != first) {
        Some(other) => Err(CompareError::Scenarios { base: first.clone(), new: other.clone() }),
        None => Ok(()),
    }
}

/// The valid runs of a side, and the identities of the others.
fn valid<'a>(
    name: &'static str,
    side: Vec<&'a Sample>,
) -> Result<(Vec<&'a Sample>, Vec<String>), CompareError> {
    let (good, bad): (Vec<&Sample>, Vec<&Sample>) =
        side.into_iter().partition(|s| s.verdict != RunVerdict::Invalid);
    if good.is_empty() {
        let why = bad.first().map_or_else(|| "there is none".to_owned(), |s| s.verdict_reason.clone());
        return Err(CompareError::NoneValid { side: name, why });
    }
    Ok((good, ids(&bad)))
}

fn ids(side: &[&Sample]) -> Vec<String> {
    side.iter().map(|s| s.meta.run_id.clone()).collect()
}

fn rows(base: &[&Sample], new: &[&Sample], taught: &[&Sample]) -> Vec<Row> {
    let figures = each(&[base, new].concat());
    let headlines = figures.iter().filter(|f| f.headline).count();
    figures
        .iter()
        .map(|f| {
            let among = if f.headline { headlines } else { figures.len() - headlines };
            row(f, RISK / among.max(1) as f64, [base, new, taught].map(|side| readings(side, f)))
        })
        .collect()
}

/// Each figure that any of the runs has, once, in the order in which they are met.
fn each<'a>(runs: &[&'a Sample]) -> Vec<&'a Figure> {
    let mut seen = BTreeSet::new();
    runs.iter().flat_map(|&run| &run.figures).filter(|&f| seen.insert((&f.of, &f.name))).collect()
}

/// How much runs of one build differ by themselves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// The figure's name.
    pub figure: String,
    /// Standard deviation from run to run: a share of the figure, or a difference, after `scale`.
    pub noise: f64,
    /// What `noise` is.
    pub scale: Scale,
}

impl std::fmt::Display for Band {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = if self.scale == Scale::Ratio { "%" } else { "pp" };
        write!(f, "{} {:.2} {unit}", self.figure, self.noise * 100.0)
    }
}

/// What these runs, all of one build, teach of the headline figures' noise.
#[must_use]
pub fn bands(runs: &[Sample]) -> Vec<Band> {
    let valid: Vec<&Sample> = once(runs).into_iter().filter(|s| s.verdict != RunVerdict::Invalid).collect();
    let band = |f: &&Figure| {
        let noise = stats::band(f.question(RISK), &values(&readings(&valid, f)))?;
        Some(Band { figure: f.name.clone(), noise, scale: f.scale })
    };
    each(&valid).iter().filter(|f| f.headline).filter_map(band).collect()
}

fn readings<'a>(side: &[&'a Sample], figure: &Figure) -> Vec<&'a Reading> {
    let of = |s: &&'a Sample| {
        let found = s.figures.iter().find(|f| f.of == figure.of && f.name == figure.name);
        found.map(|f| &f.reading)
    };
    side.iter().filter_map(of).collect()
}

fn values(readings: &[&Reading]) -> Vec<Value> {
    readings.iter().filter_map(|r| r.value).collect()
}

/// `sides`: the base's, the new runs', and those that only teach.
fn row(f: &Figure, risk: f64, sides: [Vec<&Reading>; 3]) -> Row {
    let [base, new, taught] = sides.each_ref().map(|side| values(side));
    let (change, verdict) = stats::compare(f.question(risk), &base, &new, &taught);
    let lacks = || sides[..2].iter().flatten().find_map(|r| r.lacks.clone());
    Row {
        figure: f.name.clone(),
        of: f.of.clone(),
        headline: f.headline,
        unit: f.unit,
        scale: f.scale,
        base: mean(f.scale, &sides[0]),
        new: mean(f.scale, &sides[1]),
        lacks: if change.is_none() { lacks() } else { None },
        change,
        verdict,
    }
}

/// Of the runs that can be compared; where none can, of what was seen.
fn mean(scale: Scale, side: &[&Reading]) -> Option<f64> {
    let known: Vec<f64> = side.iter().filter_map(|r| r.value.map(|v| v.value)).collect();
    let known = if known.is_empty() { side.iter().filter_map(|r| r.seen).collect() } else { known };
    let n = known.len() as f64;
    let sum = |on: fn(f64) -> f64| known.iter().map(|v| on(*v)).sum::<f64>() / n;
    (n > 0.0).then(|| match scale {
        Scale::Ratio => sum(f64::ln).exp(),
        Scale::Difference => sum(|v| v),
    })
}

/// The verdict over all, and which figures make it.
fn whole(rows: &[Row]) -> (Verdict, String) {
    let of = |verdict| -> Vec<&str> {
        rows.iter().filter(|r| r.headline && r.verdict == verdict).map(|r| r.figure.as_str()).collect()
    };
    for verdict in [Verdict::Worse, Verdict::Better] {
        let figures = of(verdict);
        if !figures.is_empty() {
            return (verdict, figures.join(", "));
        }
    }
    let unknown: Vec<&Row> = rows.iter().filter(|r| r.headline && r.verdict == Verdict::CannotTell).collect();
    if !unknown.is_empty() {
        return (Verdict::CannotTell, why_unknown(&unknown));
    }
    (Verdict::Same, "no headline figure moved by more than noise".to_owned())
}

/// Why figures cannot be told, those with one reason together.
fn why_unknown(rows: &[&Row]) -> String {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        let why = match (&row.lacks, row.change) {
            (Some(lacks), _) => lacks.clone(),
            (None, Some(_)) => "too much noise".to_owned(),
            (None, None) => "a side has no data that can be compared".to_owned(),
        };
        match told.iter_mut().find(|(known, _)| *known == why) {
            Some((_, figures)) => figures.push(row.figure.as_str()),
            None => told.push((why, vec![row.figure.as_str()])),
        }
    }
    let told: Vec<String> =
        told.iter().map(|(why, figures)| format!("{}: {why}", figures.join(", "))).collect();
    told.join("; ")
}

fn findings(base: &[&Sample], new: &[&Sample]) -> Vec<FoundRow> {
    let mut counts: BTreeMap<FindingKind, (usize, usize)> = BTreeMap::new();
    for kind in FindingKind::ALL {
        let has = |s: &&&Sample| s.findings.iter().any(|f| f.kind == *kind);
        let found = (base.iter().filter(has).count(), new.iter().filter(has).count());
        counts.insert(*kind, found);
    }
    // In every run of one side and in every run of the other is no news; neither is none and none.
    let news = |(b, n): (usize, usize)| b * new.len() != n * base.len();
    counts
        .into_iter()
        .filter(|(_, c)| news(*c))
        .map(|(kind, (base, new))| FoundRow { kind, base, new })
        .collect()
}

/// Which runs did not see the whole plan, a note each.
fn early(base: &[&Sample], new: &[&Sample]) -> Vec<String> {
    let all = base.iter().chain(new).filter(|s| s.end != Reason::Completed);
    all.map(|s| {
        format!(
            "the run {} ended early ({}): what its plan still had did not happen",
            s.meta.run_id,
            s.end.name()
        )
    })
    .collect()
}

/// What is told of copies.
fn copies(both: usize, twice: usize) -> Vec<String> {
    let both = (both > 0).then(|| format!("{} of the base left out of the new runs", plural(both, "run")));
    let twice = (twice > 0).then(|| format!("{} given twice on a side, counted once", plural(twice, "run")));
    both.into_iter().chain(twice).collect()
}

fn notes(base: &[&Sample], new: &[&Sample], taught: &[&Sample]) -> Vec<String> {
    let mut notes = Vec::new();
    if base.len() + new.len() + taught.len() < 4 {
        notes.push(
            "with so few runs the noise between runs is assumed, not learned: repeat both sides (5 runs each find a change of a tenth)"
                .to_owned(),
        );
    }
    if base.iter().chain(new).any(|s| taught.iter().any(|t| t.meta.run_id == s.meta.run_id)) {
        notes.push("a run that is compared taught the noise too: it tells less than it seems".to_owned());
    }
    let text = &base[0].meta.scenario_text;
    if base.iter().chain(new).any(|s| s.meta.scenario_text != *text) {
        notes.push("the text of the scenario is not the same in all runs".to_owned());
    }
    notes.extend(other_steps(&[base, new].concat()));
    let hosts = |s: &&&Sample| s.meta.host != base[0].meta.host;
    if base.iter().chain(new).any(|s| hosts(&s)) {
        notes.push("the runs are of different machines, or of machines set up differently".to_owned());
    }
    notes
}

/// Steps that not all runs have: under one name, such as that of all quick runs, they did different things.
fn other_steps(runs: &[&Sample]) -> Option<String> {
    let steps = |s: &&Sample| -> BTreeSet<String> {
        s.figures.iter().filter(|f| !f.of.is_empty()).map(|f| f.of.clone()).collect()
    };
    let each: Vec<BTreeSet<String>> = runs.iter().map(steps).collect();
    let all: BTreeSet<&String> = each.iter().flatten().collect();
    let others: Vec<String> = all
        .into_iter()
        .filter(|step| !each.iter().all(|run| run.contains(*step)))
        .map(|s| clean(s, 64))
        .collect();
    let told = others.iter().take(STEPS_TOLD).cloned().collect::<Vec<_>>().join(", ");
    let more = if others.len() > STEPS_TOLD { ", ..." } else { "" };
    (!others.is_empty())
        .then(|| format!("the runs did different things: these steps are not in all of them: {told}{more}"))
}

#[cfg(test)]
mod tests;
