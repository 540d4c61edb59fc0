//! The summary in words, as it is printed on standard output: cause first, verdict last.

use std::fmt::Write as _;
use std::path::PathBuf;

use timeline::{Finding, RunTime, Unit};

use crate::summary::{Summary, Times};

/// The whole closing block.
#[must_use]
pub fn summary(s: &Summary, files: &[PathBuf]) -> String {
    let mut out = format!(
        "\nrun {} of {} against {} (seed {}), {}, {}\n",
        s.end.run_id,
        s.scenario.name,
        s.target.url,
        s.scenario.seed,
        RunTime(s.end.length),
        s.end.reason
    );
    out += "\n";
    out += &story(s);
    gates(&mut out, s);
    steps(&mut out, s);
    generator(&mut out, s);
    for line in &s.target.attached {
        let _ = writeln!(out, "attached: {line}");
    }
    for note in &s.notes {
        let _ = writeln!(out, "note: {note}");
    }
    if !files.is_empty() {
        out += "\nfiles\n";
        for file in files {
            let _ = writeln!(out, "  {}", file.display());
        }
    }
    // Last, because that is what stands above the next prompt.
    let _ = writeln!(out, "\nverdict: {} - {}", s.verdict.name(), s.verdict_reason);
    out
}

/// What happened, in the order of cause and consequence.
#[must_use]
pub fn story(s: &Summary) -> String {
    if s.findings.is_empty() {
        return "findings: none\n".to_owned();
    }
    let mut out = "findings\n".to_owned();
    for root in s.findings.iter().filter(|f| f.caused_by.is_none()) {
        tell(&mut out, s, root, 0);
    }
    out
}

/// A finding and what hangs under it. Causes form a forest, so this ends; depth is bounded all the same.
fn tell(out: &mut String, s: &Summary, f: &Finding, depth: usize) {
    const DEEPEST: usize = 8;
    let indent = "  ".repeat(depth + 1);
    let arrow = if depth > 0 { "-> " } else { "" };
    let _ = writeln!(
        out,
        "{indent}{arrow}{:2} {} {} [{}]: {}",
        f.severity.glyph(),
        f.id,
        f.kind.title(),
        f.status.name(),
        f.claim
    );
    let indent = format!("{indent}      ");
    if let Some(reason) = &f.caused_by_reason {
        let _ = writeln!(out, "{indent}because of {}: {reason}", f.caused_by.as_deref().unwrap_or("?"));
    }
    for e in &f.evidence {
        let _ =
            writeln!(out, "{indent}evidence: {} ({}, {} to {})", e.text, e.lane, e.span.start, e.span.end);
    }
    for e in &f.contradicting {
        let _ = writeln!(out, "{indent}against it: {}", e.text);
    }
    for advice in &f.advice {
        let _ = writeln!(out, "{indent}advice: {advice}");
    }
    if depth < DEEPEST {
        for child in s.findings.iter().filter(|c| c.caused_by.as_deref() == Some(&f.id)) {
            tell(out, s, child, depth + 1);
        }
    }
}

fn gates(out: &mut String, s: &Summary) {
    if s.gates.is_empty() {
        return;
    }
    *out += "\ngates\n";
    for g in &s.gates {
        let word = match g.holds {
            Some(true) => "holds",
            Some(false) => "FAILS",
            None => "undecided",
        };
        let _ = writeln!(out, "  {word:9} {}  ({})", g.that, g.figure);
    }
}

fn time(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| Unit::Ns.show(v))
}

fn row(out: &mut String, width: usize, name: &str, count: u64, errors: u64, r: &Times, s: &Times) {
    let _ = writeln!(
        out,
        "  {name:width$} {count:>9} {errors:>7}  {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
        time(r.p50),
        time(r.p90),
        time(r.p99),
        time(r.max),
        time(s.p50),
        time(s.p99)
    );
}

fn steps(out: &mut String, s: &Summary) {
    if s.steps.is_empty() {
        return;
    }
    let width = s.steps.iter().map(|st| st.name.chars().count()).max().unwrap_or(0).max(5);
    let _ = writeln!(
        out,
        "\n  {:width$} {:>9} {:>7}  {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
        "step", "count", "errors", "resp p50", "p90", "p99", "max", "serv p50", "p99"
    );
    for step in &s.steps {
        row(out, width, &step.name, step.count, step.errors, &step.response, &step.service);
    }
    let all = if s.total.measures == "response" { "all" } else { "all (first byte)" };
    row(out, width, all, s.total.count, s.total.errors, &s.total.response, &s.total.service);
    for e in &s.errors {
        let _ = writeln!(out, "  errors of kind {}: {}", e.kind, e.count);
    }
}

fn generator(out: &mut String, s: &Summary) {
    let g = &s.generator;
    if g.workers == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\ngenerator: {} workers, {} of {} starts, {} late, {} dropped, lateness p99 {}, longest hiccup {}{}",
        g.workers,
        g.achieved,
        g.offered,
        g.late,
        g.dropped,
        time(g.lateness.p99),
        time(g.hiccup_max),
        g.cpu_median.map_or_else(String::new, |c| format!(", CPU {}", Unit::Cores.show(c)))
    );
}
