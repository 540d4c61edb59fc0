//! `report.md`: verdict, cause, gates and steps, as code hosts and chat tools show it.
//!
//! The story is the one of [`crate::text`]; only the tables are written here. Text from outside is made
//! harmless for Markdown and HTML alike.

use std::fmt::Write as _;

use timeline::Unit;
use timeline::text::clean;

use crate::summary::{GateResult, Step, Summary};

/// Longest text of a cell, characters.
const CELL: usize = 200;

/// The document.
#[must_use]
pub fn render(s: &Summary) -> String {
    let mut out = format!(
        "## dyno: {} - {}\n\n{}\n\n",
        text(&s.scenario.name),
        s.verdict.name(),
        text(&s.verdict_reason)
    );
    let _ = writeln!(
        out,
        "{} against {}, {}, seed {}, run {}\n",
        text(&s.scenario.about),
        text(&s.target.url),
        s.end.reason.name(),
        s.scenario.seed,
        text(&s.end.run_id)
    );
    findings(&mut out, s);
    gates(&mut out, &s.gates);
    steps(&mut out, s);
    out
}

fn findings(out: &mut String, s: &Summary) {
    *out += "### What happened\n\n";
    if s.findings.is_empty() {
        *out += "No findings.\n\n";
        return;
    }
    for (depth, f) in s.story() {
        let margin = "  ".repeat(depth);
        let about = if f.subject.is_empty() { String::new() } else { format!(" of {}", text(&f.subject)) };
        let led = if depth > 0 { "led to " } else { "" };
        let _ = writeln!(
            out,
            "{margin}- {led}**{}{about}** ({}, {}, from {}{}): {}",
            f.kind.title(),
            f.severity.name(),
            f.status.name(),
            f.onset.tenths(),
            f.until(s.over()),
            text(&f.claim)
        );
        if let Some(felt) = s.felt(f) {
            let _ = writeln!(out, "{margin}  - **what clients felt:** {}", felt.sentence());
        }
        if let (Some(cause), Some(why)) = (&f.caused_by, &f.caused_by_reason) {
            let _ = writeln!(out, "{margin}  - **because of {}:** {}", text(cause), text(why));
        }
        for e in &f.evidence {
            let _ = writeln!(out, "{margin}  - {} ({})", text(&e.text), text(&e.lane));
        }
        for e in &f.contradicting {
            let _ = writeln!(out, "{margin}  - **against it:** {} ({})", text(&e.text), text(&e.lane));
        }
        for advice in &f.advice {
            let _ = writeln!(out, "{margin}  - **do:** {}", text(advice));
        }
    }
    *out += "\n";
}

fn gates(out: &mut String, gates: &[GateResult]) {
    if gates.is_empty() {
        return;
    }
    *out += "### Gates\n\n| gate | stands | figure | samples |\n| --- | --- | --- | ---: |\n";
    for g in gates {
        let holds = match g.holds {
            Some(true) => "holds",
            Some(false) => "**fails**",
            None => "undecided",
        };
        let _ = writeln!(out, "| {} | {holds} | {} | {} |", text(&g.that), text(&g.figure), g.samples);
    }
    *out += "\n";
}

fn steps(out: &mut String, s: &Summary) {
    if s.steps.is_empty() {
        return;
    }
    *out += "### Steps\n\n| step | count | errors | response p50 | p90 | p99 | max | service p50 | p99 |\n";
    *out += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for step in &s.steps {
        row(out, &text(&step.name), step);
    }
    row(out, "all", &s.total);
}

fn row(out: &mut String, name: &str, step: &Step) {
    let (r, s) = (&step.response, &step.service);
    let times = [r.p50, r.p90, r.p99, r.max, s.p50, s.p99]
        .map(|t| t.map_or_else(|| "-".to_owned(), |t| Unit::Ns.show(t)));
    let _ = writeln!(out, "| {name} | {} | {} | {} |", step.count, step.errors, times.join(" | "));
}

fn ends(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.len() >= word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word)
}

/// One line in which nothing means anything to Markdown or HTML.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text, CELL).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            // A bare address would become a link to wherever a hostile target likes.
            ':' if ends(&out, "http") || ends(&out, "https") => out += "&#58;",
            '.' if ends(&out, "www") => out += "&#46;",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '|' | '!' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_document_reads_cause_first() {
        insta::assert_snapshot!(render(&fixture::flash_sale().summary()));
    }

    #[test]
    fn no_address_becomes_a_link() {
        assert_eq!(text("see HTTP://a.b or www.c.d"), "see HTTP&#58;//a.b or www&#46;c.d");
    }

    #[test]
    fn hostile_text_stays_text() {
        let text = render(&fixture::hostile().summary());
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains('\x1b'), "{text}");
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        for table in text.split("\n\n").filter(|b| b.contains("| --- |")) {
            let rows: Vec<usize> = table.lines().filter(|l| l.starts_with('|')).map(cells).collect();
            assert!(rows.iter().all(|n| *n == rows[0]), "{table}");
        }
    }
}
