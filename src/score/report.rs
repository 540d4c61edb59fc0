//! The score: what all judged cases come to, as figures, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use timeline::text::plural;

use super::case::{Case, Record, Seen, Sort};
use super::judge::{Judged, Outcome, judge};
use super::stats::{Estimate, quantile, rate, share};

/// Version of the form below; raised when a field changes its meaning.
const VERSION: u32 = 2;
/// Stands for the lack of a finding, and for the lack of anything wrong.
const NOTHING: &str = "none";

/// All of it.
#[derive(Debug, Serialize)]
pub struct Score {
    /// Version of this form.
    pub version: u32,
    /// Whose detectors were judged.
    pub dyno_version: &'static str,
    /// Seed of the cases; null: they were recorded runs.
    pub seed: Option<u64>,
    /// Share of the cases with something wrong whose first finding says what; null without such cases.
    pub top1: Option<f64>,
    /// Share of what was wrong that was found.
    pub recall: Option<f64>,
    /// Findings for each clean run.
    pub false_per_clean_run: Option<f64>,
    /// From the true onset until *likely*.
    pub time_to_find: TimeToFind,
    /// The figures above with their 95% intervals.
    pub intervals: Intervals,
    /// Cases by how they came out.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Runs that measured themselves badly and were repeated.
    pub repeated: u32,
    /// A row for each thing that was to be found.
    pub faults: Vec<Row>,
    /// What was wrong, against the first finding: counts.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
    /// Every case.
    pub cases: Vec<Told>,
}

/// Seconds until what was wrong was found.
#[derive(Debug, Serialize)]
pub struct TimeToFind {
    /// Half were found within.
    pub median_s: Option<f64>,
    /// Nineteen of twenty were.
    pub p95_s: Option<f64>,
    /// Of so many.
    pub count: usize,
    /// So many more faults were never *likely*, and have no such time.
    pub without: usize,
}

/// Figures with their intervals; null where there is nothing to estimate from.
#[derive(Debug, Serialize)]
pub struct Intervals {
    /// Wilson's.
    pub top1: Option<Estimate>,
    /// Wilson's.
    pub recall: Option<Estimate>,
    /// Poisson's.
    pub false_per_clean_run: Option<Estimate>,
    /// Clean runs with any finding, of all of them; Wilson's. Findings of one run may come of one another, and Poisson's interval takes them
    /// for strangers.
    pub clean_with_finding: Option<Estimate>,
    /// By order statistics; an end that lies beyond the sample is null.
    pub median_s: Option<Estimate>,
    /// Likewise.
    pub p95_s: Option<Estimate>,
}

/// What became of one thing that was to be found.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// The fault, or the scenario whose load itself is wrong; `none` for clean cases.
    pub fault: String,
    /// Cases that count.
    pub cases: usize,
    /// Those whose first finding is right.
    pub first: usize,
    /// Those in which it was found.
    pub found: usize,
    /// Seconds until it was *likely*.
    pub median_s: Option<f64>,
    /// The longest of those times.
    pub longest_s: Option<f64>,
    /// First findings that are not right: counts.
    pub instead: BTreeMap<String, usize>,
    #[serde(skip)]
    times: Vec<f64>,
}

/// A case with all that is known of it.
#[derive(Debug, Serialize)]
pub struct Told {
    /// What was tried.
    #[serde(flatten)]
    pub case: Case,
    /// What was seen.
    pub seen: Seen,
    /// What that is worth.
    pub judged: Judged,
}

impl Score {
    /// Of these cases.
    pub fn of(records: Vec<Record>, seed: Option<u64>) -> Self {
        let told = |Record { case, seen }: Record| Told { judged: judge(&case, &seen), case, seen };
        let cases: Vec<Told> = records.into_iter().map(told).collect();
        let counted = || cases.iter().filter(|c| c.judged.outcome.counts());
        let wrong: Vec<&Told> = counted().filter(|c| c.case.sort != Sort::Clean).collect();
        let clean: Vec<&Told> = counted().filter(|c| c.case.sort == Sort::Clean).collect();
        let wanted = || wrong.iter().flat_map(|c| &c.judged.wanted);
        let times: Vec<f64> = wanted().filter_map(|w| w.after_s).collect();
        let intervals = Intervals {
            top1: share(wrong.iter().filter(|c| c.judged.first_right).count(), wrong.len()),
            recall: share(wanted().filter(|w| w.found).count(), wanted().count()),
            false_per_clean_run: rate(clean.iter().map(|c| c.judged.findings).sum(), clean.len()),
            clean_with_finding: share(clean.iter().filter(|c| c.judged.findings > 0).count(), clean.len()),
            median_s: quantile(&times, 0.5),
            p95_s: quantile(&times, 0.95),
        };
        let value = |e: Option<Estimate>| e.map(|e| e.value);
        let mut outcomes = BTreeMap::new();
        cases.iter().for_each(|c| *outcomes.entry(c.judged.outcome.name()).or_default() += 1);
        Self {
            version: VERSION,
            dyno_version: env!("CARGO_PKG_VERSION"),
            seed,
            top1: value(intervals.top1),
            recall: value(intervals.recall),
            false_per_clean_run: value(intervals.false_per_clean_run),
            time_to_find: TimeToFind {
                median_s: value(intervals.median_s),
                p95_s: value(intervals.p95_s),
                count: times.len(),
                without: wanted().filter(|w| w.fault.is_some() && w.after_s.is_none()).count(),
            },
            intervals,
            outcomes,
            repeated: cases.iter().map(|c| c.seen.runs.saturating_sub(1)).sum(),
            faults: rows(&cases),
            confusion: confusion(&cases),
            cases,
        }
    }
}

impl Score {
    /// Why no case counts, if none does and any says why; cases in which no fault took effect have nothing to say.
    pub fn nothing_counts(&self) -> Option<&str> {
        if self.cases.iter().any(|c| c.judged.outcome.counts()) {
            return None;
        }
        self.cases.iter().rev().map(|c| c.seen.why.as_str()).find(|why| !why.is_empty())
    }
}

fn first(told: &Told) -> String {
    told.judged.first.map_or(NOTHING, |kind| kind.name()).to_owned()
}

fn rows(cases: &[Told]) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for told in cases.iter().filter(|c| c.judged.outcome.counts()) {
        for wanted in &told.judged.wanted {
            let name = wanted.fault.map_or_else(|| told.case.scenarios.join("+"), |f| f.name().to_owned());
            let row = rows.entry(name).or_default();
            row.cases += 1;
            row.found += usize::from(wanted.found);
            row.first += usize::from(told.judged.first_right);
            row.times.extend(wanted.after_s);
            if !told.judged.first_right {
                *row.instead.entry(first(told)).or_default() += 1;
            }
        }
        if told.case.sort == Sort::Clean {
            let row = rows.entry(NOTHING.to_owned()).or_default();
            row.cases += 1;
            let silent = usize::from(told.judged.outcome == Outcome::Silent);
            (row.first, row.found) = (row.first + silent, row.found + silent);
            if silent == 0 {
                *row.instead.entry(first(told)).or_default() += 1;
            }
        }
    }
    let finish = |(fault, mut row): (String, Row)| {
        row.fault = fault;
        row.median_s = quantile(&row.times, 0.5).map(|e| e.value);
        row.longest_s = row.times.iter().copied().reduce(f64::max);
        row
    };
    rows.into_iter().map(finish).collect()
}

fn confusion(cases: &[Told]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut all: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for told in cases.iter().filter(|c| c.judged.outcome.counts()) {
        // Of a composite either may come first.
        let right = told.judged.first.filter(|_| told.judged.first_right);
        let expected = right.or_else(|| told.judged.wanted.first().map(|w| w.kind));
        let expected = expected.map_or(NOTHING, |kind| kind.name()).to_owned();
        *all.entry(expected).or_default().entry(first(told)).or_default() += 1;
    }
    all
}

/// One line on a case.
pub fn line(told: &Told) -> String {
    let judged = &told.judged;
    let after = judged.wanted.iter().filter_map(|w| w.after_s).map(|s| format!(" after {s:.1} s"));
    let first = match judged.outcome {
        Outcome::Right | Outcome::Silent | Outcome::Void => String::new(),
        _ => format!(", first: {}", first(told)),
    };
    let why = if told.seen.why.is_empty() { String::new() } else { format!(" ({})", told.seen.why) };
    let after: String = after.collect();
    format!("{:<11} {}{first}{after}{why}", judged.outcome.name(), told.case.describe())
}

/// The whole as a person reads it.
pub fn text(score: &Score) -> String {
    let mut out = head(score);
    let width = score.faults.iter().map(|r| r.fault.len()).max().unwrap_or(0).max(5);
    let _ =
        writeln!(out, "\n{:width$}  cases  first  found  median  longest  first finding instead", "fault");
    for row in &score.faults {
        let seconds = |s: Option<f64>| s.map_or_else(|| "-".to_owned(), |s| format!("{s:.1} s"));
        let instead: Vec<String> = row.instead.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        let line = format!(
            "{:width$}  {:>5}  {:>5}  {:>5}  {:>6}  {:>7}  {}",
            row.fault,
            row.cases,
            row.first,
            row.found,
            seconds(row.median_s),
            seconds(row.longest_s),
            instead.join(", ")
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn head(score: &Score) -> String {
    let outcomes: Vec<String> = score.outcomes.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let (cases, repeated) = (plural(score.cases.len(), "case"), plural(score.repeated as usize, "run"));
    let mut out = format!("{cases}: {}; {repeated} repeated\n\n", outcomes.join(", "));
    let i = &score.intervals;
    for (name, estimate, unit) in [
        ("top-1", i.top1, ""),
        ("recall", i.recall, ""),
        ("false findings per clean run", i.false_per_clean_run, ""),
        ("clean runs with any finding", i.clean_with_finding, ""),
        ("time to find, median", i.median_s, " s"),
        ("time to find, p95", i.p95_s, " s"),
    ] {
        let figure = match estimate {
            Some(e) => format!("{:.3}{unit}  ({}, of {})", e.value, interval(&e), e.of),
            None => "no case".to_owned(),
        };
        let _ = writeln!(out, "{name:<28}  {figure}");
    }
    if score.time_to_find.without > 0 {
        let _ = writeln!(out, "{:<28}  {}", "never likely, so without one", score.time_to_find.without);
    }
    out
}

fn interval(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
        (Some(low), None) => format!("{low:.3} and more"),
        (None, Some(high)) => format!("up to {high:.3}"),
        (None, None) => "too few for an interval".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::case::{End, Found};
    use crate::score::draw::{Wish, cases, subjects};
    use timeline::{FindingKind, Severity, Status};

    /// Two, of which the first has so many findings.
    fn clean_runs(findings: usize) -> Vec<Record> {
        let (sorts, runtimes) = (vec![Sort::Clean], vec!["rust".to_owned()]);
        let wish = Wish { sorts, subjects: subjects(&runtimes), runtimes, stores: Vec::new() };
        let found = Found {
            kind: FindingKind::LongPause,
            subject: String::new(),
            status: Status::Likely,
            severity: Severity::Warning,
            onset_s: 9.0,
            found_at_s: 10.0,
            claim: String::new(),
            consequence: false,
        };
        let record = |(n, case): (usize, Case)| {
            let findings = if n == 0 { vec![found.clone(); findings] } else { Vec::new() };
            let seen = Seen { end: End::Valid, why: String::new(), runs: 1, findings, truth: Vec::new() };
            Record { case, seen }
        };
        cases(2, 1, &wish).into_iter().enumerate().map(record).collect()
    }

    #[test]
    fn findings_of_one_clean_run_are_one_run() {
        let score = Score::of(clean_runs(4), None);
        assert_eq!(score.false_per_clean_run, Some(2.0));
        let text = text(&score);
        assert!(text.contains("clean runs with any finding   0.500  (0.095 to 0.905, of 2)"), "{text}");
    }

    #[test]
    fn ends_that_a_sample_does_not_have_are_not_made_up() {
        let told = |low, high| interval(&Estimate { value: 2.0, low, high, of: 1 });
        assert_eq!(told(None, None), "too few for an interval");
        assert_eq!(told(Some(1.0), None), "1.000 and more");
        assert_eq!(told(None, Some(3.0)), "up to 3.000");
    }

    #[test]
    fn where_no_case_counts_the_last_one_says_why() {
        let mut records = clean_runs(0);
        assert_eq!(Score::of(records.clone(), None).nothing_counts(), None);
        for record in &mut records {
            record.seen.end = End::Broken;
            record.seen.why = "port taken".to_owned();
        }
        assert_eq!(Score::of(records, None).nothing_counts(), Some("port taken"));
    }
}
