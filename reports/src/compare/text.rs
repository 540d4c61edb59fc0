//! A comparison in words and as Markdown.

use std::fmt::Write as _;

use timeline::Unit;
use timeline::text::{clean, plural};

use super::{Change, Comparison, Row, Scale, Verdict};
use crate::markdown::text as harmless;

/// Longest step name that a table shows whole.
const NAME: usize = 32;
/// An interval that allows for a quarter more is not called *same* in words; for a difference, such as of shares of errors, one in a
/// hundred.
const WIDE: f64 = 0.25;
const WIDE_DIFFERENCE: f64 = 0.01;

/// For a terminal: verdict, headline, what else moved, findings, notes. Rows that are the same are only counted, unless `all` is asked for.
#[must_use]
pub fn words(c: &Comparison, all: bool) -> String {
    let mut out = String::new();
    let runs = |side: &super::Side| plural(side.runs.len(), "run");
    let _ = writeln!(
        out,
        "{}: {} of base against {} of new\n",
        clean(&c.scenario, NAME),
        runs(&c.base),
        runs(&c.new)
    );
    let told: Vec<&Row> = c.rows.iter().filter(|r| all || r.headline || moved(r)).collect();
    let width = told.iter().map(|r| name(r).chars().count()).max().unwrap_or(0);
    let _ = writeln!(out, "  {:width$}  {:>9}  {:>9}  {:>8}  {:^21}", "", "base", "new", "change", "between");
    for row in &told {
        let _ = writeln!(
            out,
            "  {:width$}  {:>9}  {:>9}  {}  {}",
            name(row),
            figure(row.unit, row.base),
            figure(row.unit, row.new),
            change(row),
            if row.verdict == Verdict::Worse { "WORSE" } else { word(row) }
        );
    }
    let left_out = |verdict| c.rows.iter().filter(|r| !r.headline && r.verdict == verdict).count();
    let (same, unknown) = (left_out(Verdict::Same), left_out(Verdict::CannotTell));
    let further = |n| plural(n, "further figure");
    let rest = match (same, unknown) {
        (0, 0) => None,
        (same, 0) => Some(format!("{} did not move", further(same))),
        (0, unknown) => Some(format!("{} cannot be told", further(unknown))),
        (same, unknown) => Some(format!("{} did not move, {unknown} cannot be told", further(same))),
    };
    if let Some(rest) = rest.filter(|_| !all) {
        let _ = writeln!(out, "  {rest} (--all shows them)");
    }
    for line in remarks(c) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\nverdict: {} - {}", c.verdict.name(), c.reason);
    out
}

/// For a merge request or a job's summary.
#[must_use]
pub fn markdown(c: &Comparison) -> String {
    let mut out = format!(
        "### dyno compare: {} - {}\n\n{}, {} against {}\n\n| figure | base | new | change | between | |\n| --- | ---: | ---: | ---: | ---: | --- |\n",
        c.verdict.name(),
        c.reason,
        harmless(&c.scenario),
        plural(c.base.runs.len(), "run"),
        plural(c.new.runs.len(), "run"),
    );
    for row in c.rows.iter().filter(|r| r.headline || moved(r)) {
        let [name, base, new, value, range, verdict] = cells(row);
        let _ = writeln!(out, "| {} | {base} | {new} | {value} | {range} | {verdict} |", harmless(&name));
    }
    for line in remarks(c) {
        let _ = writeln!(out, "\n{}", harmless(&line));
    }
    out
}

fn moved(row: &Row) -> bool {
    matches!(row.verdict, Verdict::Better | Verdict::Worse)
}

fn name(row: &Row) -> String {
    match row.of.as_str() {
        "" => row.figure.clone(),
        of => format!("{} of {}", row.figure, clean(of, NAME)),
    }
}

fn figure(unit: Unit, value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| unit.show(v))
}

/// The estimate, and where it lies.
fn parts(row: &Row) -> (String, String) {
    let Some(Change { value, low, high, .. }) = row.change else { return ("-".to_owned(), String::new()) };
    let show = |v: f64| match row.scale {
        Scale::Ratio if v >= 10.0 => format!("x{:.0}", v + 1.0),
        Scale::Ratio => format!("{:+.1} %", v * 100.0),
        Scale::Difference => format!("{:+.2} pp", v * 100.0),
    };
    (show(value), format!("{} to {}", show(low), show(high)))
}

fn change(row: &Row) -> String {
    let (value, range) = parts(row);
    format!("{value:>8}  {range:^21}")
}

/// A row as cells: name, base, new, change, between, verdict.
#[must_use]
pub(crate) fn cells(row: &Row) -> [String; 6] {
    let (value, range) = parts(row);
    let figure = |v| figure(row.unit, v);
    [name(row), figure(row.base), figure(row.new), value, range, word(row).to_owned()]
}

/// Findings that came or went, and what should be known before any of it is believed.
#[must_use]
pub(crate) fn remarks(c: &Comparison) -> Vec<String> {
    findings(c).into_iter().chain(notes(c)).collect()
}

/// The verdict on a figure. An interval that allows for much does not say that nothing moved.
fn word(row: &Row) -> &'static str {
    let widest = match row.scale {
        Scale::Ratio => WIDE,
        Scale::Difference => WIDE_DIFFERENCE,
    };
    match (row.verdict, row.change) {
        (Verdict::Same, Some(change)) if change.high > widest || -change.low > widest => "no change shown",
        (verdict, _) => verdict.name(),
    }
}

fn findings(c: &Comparison) -> Vec<String> {
    let line = |f: &super::FoundRow| {
        format!(
            "finding {}: in {} of {} base, in {} of {} new",
            f.kind.name(),
            f.base,
            plural(c.base.runs.len(), "run"),
            f.new,
            plural(c.new.runs.len(), "run")
        )
    };
    c.findings.iter().map(line).collect()
}

fn notes(c: &Comparison) -> Vec<String> {
    let left_out = c.base.invalid.len() + c.new.invalid.len() + c.noise.invalid.len();
    let invalid = (left_out > 0).then(|| format!("{} left out as invalid", plural(left_out, "run")));
    invalid.into_iter().chain(c.notes.iter().cloned()).map(|n| format!("note: {n}")).collect()
}
