//! The summary in words, as it is printed on standard output: cause first, verdict last.
//!
//! Plain ASCII without colour, so that it reads alike in a terminal, a log and a screen reader.

use std::fmt::Write as _;
use std::path::PathBuf;

use timeline::lane::names;
use timeline::text::clean;
use timeline::{Finding, RunTime, Unit};

use crate::summary::{GateResult, Step, Summary};

/// Lines are folded here: most terminals and logs show as much.
const WIDTH: usize = 100;
/// Longest step name that the table shows whole.
const NAME: usize = 32;
/// Evidence lines shown for each finding; `summary.json` and `report.html` have all of them.
const EVIDENCE: usize = 4;

/// The whole closing block.
#[must_use]
pub fn summary(s: &Summary, files: &[PathBuf]) -> String {
    let mut out = String::from("\n");
    let run = format!(
        "{} against {}, {}, {}, seed {}, run {}",
        s.scenario.name,
        s.target.url,
        RunTime(s.end.length),
        s.end.reason.name(),
        s.scenario.seed,
        s.end.run_id
    );
    fold(&mut out, &run, "", "  ");
    out += "\n";
    out += &story(s);
    gates(&mut out, &s.gates);
    steps(&mut out, s);
    load(&mut out, s);
    notes(&mut out, s);
    if !files.is_empty() {
        out += "\nfiles\n";
        for file in files {
            let _ = writeln!(out, "  {}", file.display());
        }
    }
    // Last, because that is what stands above the next prompt.
    out += "\n";
    fold(&mut out, &format!("verdict: {} - {}", s.verdict.name(), s.verdict_reason), "", "  ");
    out
}

/// What happened, in the order of cause and consequence.
#[must_use]
pub fn story(s: &Summary) -> String {
    if s.findings.is_empty() {
        return "findings: none\n".to_owned();
    }
    let mut out = "findings\n".to_owned();
    for (depth, finding) in s.story() {
        tell(&mut out, s, finding, depth);
    }
    out
}

fn tell(out: &mut String, s: &Summary, f: &Finding, depth: usize) {
    let margin = "    ".repeat(depth) + "  ";
    let led = if depth > 0 { "led to " } else { "" };
    let about = if f.subject.is_empty() { String::new() } else { format!(" of {}", f.subject) };
    let head = format!(
        "{led}{} {}{about}: {}, {}, from {}{}",
        f.id,
        f.kind.title(),
        f.severity.name(),
        f.status.name(),
        f.onset.tenths(),
        f.until(s.over())
    );
    fold(out, &head, &margin, "  ");
    let inner = format!("{margin}    ");
    fold(out, &f.claim, &inner, "");
    if let Some(felt) = s.felt(f) {
        fold(out, &format!("what clients felt: {}", felt.sentence()), &inner, "  ");
    }
    if let (Some(cause), Some(why)) = (&f.caused_by, &f.caused_by_reason) {
        fold(out, &format!("because of {cause}: {why}"), &inner, "  ");
    }
    for e in f.evidence.iter().take(EVIDENCE) {
        fold(out, &format!("- {} ({}, {} to {})", e.text, e.lane, e.span.start, e.span.end), &inner, "  ");
    }
    for e in &f.contradicting {
        fold(out, &format!("- against it: {}", e.text), &inner, "  ");
    }
    match f.advice.as_slice() {
        [only] => fold(out, &format!("do: {only}"), &inner, "    "),
        list => {
            // Not all of them are alternatives, so they are numbered.
            for (i, advice) in list.iter().enumerate() {
                let (word, margin) = if i == 0 { ("do: ", "") } else { ("", "    ") };
                let hang = " ".repeat(word.len() + 3);
                fold(out, &format!("{word}{}. {advice}", i + 1), &format!("{inner}{margin}"), &hang);
            }
        }
    }
    if !f.missing.is_empty() {
        fold(out, &format!("to say more, this is missing: {}", f.missing.join(", ")), &inner, "  ");
    }
}

fn fold(out: &mut String, text: &str, margin: &str, hang: &str) {
    fold_at(WIDTH, out, text, margin, hang);
}

/// Writes `text` without control characters, folded between words at `width` columns; `margin` stands before each
/// line, `hang` after it on all but the first.
pub(crate) fn fold_at(width: usize, out: &mut String, text: &str, margin: &str, hang: &str) {
    let text = clean(text, usize::MAX - 1);
    let mut line = margin.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(out, "{line}");
            line = format!("{margin}{hang}");
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    let _ = writeln!(out, "{line}");
}

fn gates(out: &mut String, gates: &[GateResult]) {
    if gates.is_empty() {
        return;
    }
    *out += "\ngates\n";
    let width = gates.iter().map(|g| g.that.chars().count()).max().unwrap_or(0).min(60);
    for g in gates {
        let _ = writeln!(
            out,
            "  {:9}  {:width$}  {}",
            holds(g.holds),
            clean(&g.that, 200),
            clean(&g.figure, 200)
        );
    }
}

fn holds(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "holds",
        Some(false) => "FAILS",
        None => "undecided",
    }
}

fn time(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| Unit::Ns.show(v))
}

fn steps(out: &mut String, s: &Summary) {
    if s.steps.is_empty() {
        return;
    }
    let names = s.steps.iter().map(|st| st.name.chars().count());
    let width = names.max().unwrap_or(0).clamp(4, NAME);
    let _ =
        writeln!(out, "\n  {:width$} {:>17}  {:-^49}  {:-^19}", "", "", " response time ", " service time ");
    let _ = writeln!(
        out,
        "  {:width$} {:>9} {:>7}  {:>9} {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
        "step", "count", "errors", "p50", "p90", "p99", "p99.9", "max", "p50", "p99"
    );
    for step in &s.steps {
        row(out, width, &clean(&step.name, NAME), step);
    }
    let all = match s.total.measures.as_str() {
        "response" => "all".to_owned(),
        measures => format!("all ({})", measures.replace('-', " ")),
    };
    row(out, width, &all, &s.total);
    if !s.errors.is_empty() {
        let list: Vec<String> = s.errors.iter().map(|e| format!("{} {}", e.count, e.kind)).collect();
        fold(out, &format!("errors: {}", list.join(", ")), "  ", "  ");
    }
}

fn row(out: &mut String, width: usize, name: &str, step: &Step) {
    let (r, s) = (&step.response, &step.service);
    let _ = writeln!(
        out,
        "  {name:width$} {:>9} {:>7}  {:>9} {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
        step.count,
        step.errors,
        time(r.p50),
        time(r.p90),
        time(r.p99),
        time(r.p999),
        time(r.max),
        time(s.p50),
        time(s.p99)
    );
}

/// Facts below the table stand behind a word, aligned.
const HANG: &str = "             ";

fn fact(out: &mut String, word: &str, text: &str) {
    let mut folded = String::new();
    fold(&mut folded, text, HANG, "");
    let _ = write!(out, "  {word:9}  {}", folded.trim_start_matches(' '));
}

fn load(out: &mut String, s: &Summary) {
    let g = &s.generator;
    if g.workers == 0 {
        return;
    }
    let seconds = s.end.measured as f64 / 1e9;
    let rate = |n: u64| if seconds > 0.0 { Unit::PerSecond.show(n as f64 / seconds) } else { "-".to_owned() };
    let sessions = s.lanes.get(names::OPEN_SESSIONS);
    let sessions =
        sessions.map_or_else(String::new, |l| format!(", up to {} sessions at once", l.max as u64));
    *out += "\n";
    let rates = format!(
        "offered {}, achieved {}, completed {}{sessions}",
        rate(g.offered),
        rate(g.achieved),
        s.total.rate.map_or_else(|| "-".to_owned(), |r| Unit::PerSecond.show(r))
    );
    fact(out, "load", &rates);
    let cpu = g.cpu_median.map_or_else(String::new, |c| format!(", CPU {}", Unit::Cores.show(c)));
    let health = format!(
        "{} of {} planned starts made, {} late by more than 10 ms, {} dropped, lateness p99 {}, longest hiccup {}, {} worker process(es){cpu}",
        g.made(),
        g.offered,
        g.late,
        g.dropped,
        time(g.lateness.p99),
        time(g.hiccup_max),
        g.workers
    );
    fact(out, "generator", &health);
    let r = &g.release_error;
    if r.p99.is_some() {
        // It is part of every response time of an arrival, and none of the target's doing.
        let text =
            format!("its timer released what was due {} (p50) and {} (p99) late", time(r.p50), time(r.p99));
        fact(out, "timer", &text);
    }
}

fn notes(out: &mut String, s: &Summary) {
    s.target.attached.iter().for_each(|line| fact(out, "attached", line));
    s.notes.iter().for_each(|line| fact(out, "note", line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_timer_s_error_stands_below_the_response_times() {
        let mut s = fixture::flash_sale().summary();
        assert!(!summary(&s, &[]).contains("timer"));
        (s.generator.release_error.p50, s.generator.release_error.p99) = (Some(6e5), Some(1.5e6));
        let text = summary(&s, &[]);
        assert!(
            text.contains("timer      its timer released what was due 600 us (p50) and 1.50 ms (p99) late"),
            "{text}"
        );
    }

    #[test]
    fn the_row_of_all_says_what_its_times_are() {
        let mut s = fixture::flash_sale().summary();
        for (measures, all) in
            [("response", "all  "), ("first-byte", "all (first byte) "), ("exchange", "all (exchange) ")]
        {
            s.total.measures = measures.to_owned();
            let text = summary(&s, &[]);
            assert!(text.lines().any(|line| line.trim_start().starts_with(all)), "{text}");
        }
    }

    #[test]
    fn the_summary_reads_cause_first() {
        insta::assert_snapshot!(summary(
            &fixture::flash_sale().summary(),
            &["dyno-runs/x/report.html".into()]
        ));
    }

    #[test]
    fn the_verdict_stands_above_the_next_prompt() {
        let text = summary(&fixture::starved().summary(), &[]);
        let verdict = text.rsplit("\n\n").next().unwrap();
        assert!(verdict.starts_with("verdict: invalid - the load generator could not keep"), "{text}");
    }

    #[test]
    fn no_text_reaches_the_terminal_raw() {
        let text = summary(&fixture::hostile().summary(), &[]);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
