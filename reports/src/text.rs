//! The summary in words, as it is printed on standard output: cause first, verdict last.
//!
//! Plain ASCII without colour, so that it reads alike in a terminal, a log and a screen reader.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use timeline::text::{clean, plural};
use timeline::{Finding, RunTime, Unit};

use crate::summary::{GateResult, Step, Summary};

/// Lines are folded here: most terminals and logs show as much.
const WIDTH: usize = 100;
/// A terminal narrower than this breaks some lines: sentences would become a column of words.
const NARROWEST: usize = 40;
/// Longest step name that the table shows whole.
const NAME: usize = 32;
/// Columns that a name has at least.
const SHORTEST_NAME: usize = 4;
/// Evidence lines shown for each finding; `summary.json` and `report.html` have all of them.
const EVIDENCE: usize = 4;

/// What the table of steps takes beside their names: all of it, without p99.9 and max, and without service times, too.
const WHOLE: usize = 92;
const WITHOUT_TAIL: usize = 72;
const WITHOUT_SERVICE: usize = 51;

/// A text as it grows, and the columns that it is for.
struct Page {
    text: String,
    /// Sentences are folded here.
    fold: usize,
    /// Those of the table; none where nothing breaks lines.
    table: Option<usize>,
}

impl Page {
    fn new(columns: Option<usize>) -> Self {
        let fold = columns.map_or(WIDTH, |columns| columns.clamp(NARROWEST, WIDTH));
        Self { text: String::new(), fold, table: columns }
    }
}

/// The whole closing block, as a file or a log takes it.
#[must_use]
pub fn summary(s: &Summary, files: &[PathBuf]) -> String {
    summary_within(s, files, None)
}

/// What to ask next of the run in this folder, or of this recording: a line.
#[must_use]
pub fn more(run: &Path) -> String {
    format!("more: dyno explain {}\n", run.display())
}

/// The whole closing block for a terminal of so many `columns`: what does not fit is left out of the table, where a terminal would break
/// its lines. Without any, as [`summary()`].
#[must_use]
pub fn summary_within(s: &Summary, files: &[PathBuf], columns: Option<usize>) -> String {
    let mut page = Page::new(columns);
    let out = &mut page;
    out.text.push('\n');
    let run = format!(
        "{} against {}, {}, {}, seed {}, run {}",
        s.scenario.name,
        s.target.url,
        RunTime(s.end.length),
        s.end.reason.name(),
        s.scenario.seed,
        s.end.run_id
    );
    fold(out, &run, "", "  ");
    out.text.push('\n');
    findings(out, s);
    gates(&mut out.text, &s.gates);
    steps(out, s);
    load(out, s);
    notes(out, s);
    if !files.is_empty() {
        out.text += "\nfiles\n";
        for file in files {
            let _ = writeln!(out.text, "  {}", file.display());
        }
    }
    // Last, because that is what stands above the next prompt.
    out.text.push('\n');
    fold(out, &format!("verdict: {} - {}", s.verdict.name(), s.verdict_reason), "", "  ");
    page.text
}

/// What happened, in the order of cause and consequence.
#[must_use]
pub fn story(s: &Summary) -> String {
    let mut page = Page::new(None);
    findings(&mut page, s);
    page.text
}

fn findings(out: &mut Page, s: &Summary) {
    out.text += if s.findings.is_empty() { "findings: none\n" } else { "findings\n" };
    for (depth, finding) in s.story() {
        tell(out, s, finding, depth);
    }
}

fn tell(out: &mut Page, s: &Summary, f: &Finding, depth: usize) {
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

fn fold(out: &mut Page, text: &str, margin: &str, hang: &str) {
    fold_at(out.fold, &mut out.text, text, margin, hang);
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

/// How much of the table of steps is shown.
struct Table {
    /// Columns of names.
    names: usize,
    /// How many of p50, p90, p99, p99.9 and max of response times.
    response: usize,
    /// Those of service times, too?
    service: bool,
}

impl Table {
    /// For names of so many characters, within so many `columns`.
    fn fitting(names: usize, columns: Option<usize>) -> Self {
        let columns = columns.unwrap_or(usize::MAX);
        let whole = Self { names, response: 5, service: true };
        match columns.saturating_sub(names) {
            WHOLE.. => whole,
            WITHOUT_TAIL..WHOLE => Self { response: 3, ..whole },
            WITHOUT_SERVICE..WITHOUT_TAIL => Self { response: 3, service: false, ..whole },
            _ => {
                let names = columns.saturating_sub(WITHOUT_SERVICE).max(SHORTEST_NAME);
                Self { names, response: 3, service: false }
            }
        }
    }

    fn head(&self, out: &mut String) {
        let (width, times) = (self.names, 10 * self.response - 1);
        let mut groups = format!("  {:width$} {:>17}  {:-^times$}", "", "", " response time ");
        let mut names = format!("  {:width$} {:>9} {:>7} ", "step", "count", "errors");
        for name in ["p50", "p90", "p99", "p99.9", "max"].iter().take(self.response) {
            let _ = write!(names, " {name:>9}");
        }
        if self.service {
            let _ = write!(groups, "  {:-^19}", " service time ");
            let _ = write!(names, "  {:>9} {:>9}", "p50", "p99");
        }
        let _ = writeln!(out, "\n{groups}\n{names}");
    }

    fn row(&self, out: &mut String, name: &str, step: &Step) {
        let (width, r, s) = (self.names, &step.response, &step.service);
        let name = clean(name, width);
        let _ = write!(out, "  {name:width$} {:>9} {:>7} ", step.count, step.errors);
        for value in [r.p50, r.p90, r.p99, r.p999, r.max].into_iter().take(self.response) {
            let _ = write!(out, " {:>9}", time(value));
        }
        if self.service {
            let _ = write!(out, "  {:>9} {:>9}", time(s.p50), time(s.p99));
        }
        out.push('\n');
    }
}

fn steps(out: &mut Page, s: &Summary) {
    if s.steps.is_empty() {
        return;
    }
    let all = match s.total.measures.as_str() {
        "response" => "all".to_owned(),
        measures => format!("all ({})", measures.replace('-', " ")),
    };
    let names = s.steps.iter().map(|st| st.name.chars().count()).chain([all.chars().count()]);
    let table = Table::fitting(names.max().unwrap_or(0).clamp(SHORTEST_NAME, NAME), out.table);
    table.head(&mut out.text);
    for step in &s.steps {
        table.row(&mut out.text, &step.name, step);
    }
    table.row(&mut out.text, &all, &s.total);
    if !s.errors.is_empty() {
        let list: Vec<String> = s.errors.iter().map(|e| format!("{} {}", e.count, e.told())).collect();
        fold(out, &format!("errors: {}", list.join(", ")), "  ", "  ");
    }
}

/// Facts below the table stand behind a word, aligned.
const HANG: &str = "             ";

fn fact(out: &mut Page, word: &str, text: &str) {
    let mut folded = String::new();
    fold_at(out.fold, &mut folded, text, HANG, "");
    let _ = write!(out.text, "  {word:9}  {}", folded.trim_start_matches(' '));
}

fn load(out: &mut Page, s: &Summary) {
    let g = &s.generator;
    if g.workers == 0 {
        return;
    }
    let seconds = s.end.measured as f64 / 1e9;
    let rate = |n: u64| if seconds > 0.0 { Unit::PerSecond.show(n as f64 / seconds) } else { "-".to_owned() };
    let sessions = s.most_sessions().map_or(0, |most| most as u64);
    let sessions = match sessions {
        // Each was over before anybody looked.
        0 => String::new(),
        n => format!(", up to {} at once", plural(n as usize, "session")),
    };
    out.text.push('\n');
    let rates = format!(
        "offered {}, achieved {}, completed {}{sessions}",
        rate(g.offered),
        rate(g.achieved),
        s.total.rate.map_or_else(|| "-".to_owned(), |r| Unit::PerSecond.show(r))
    );
    fact(out, "load", &rates);
    let cpu = g.cpu_median.map_or_else(String::new, |c| format!(", CPU {}", Unit::Cores.show(c)));
    let health = format!(
        "{} of {} planned starts made, {} late by more than 10 ms, {} dropped, lateness p99 {}, longest hiccup {}, {}{cpu}",
        g.made(),
        g.offered,
        g.late,
        g.dropped,
        time(g.lateness.p99),
        time(g.hiccup_max),
        plural(g.workers as usize, "worker process")
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

fn notes(out: &mut Page, s: &Summary) {
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
    fn a_table_of_steps_fits_the_terminal() {
        let mut s = fixture::flash_sale().summary();
        s.steps[0].name = "a step whose name is rather long".to_owned();
        let whole = summary(&s, &[]);
        assert_eq!(summary_within(&s, &[], Some(200)), whole);
        for (columns, shows, hides) in [
            (123, " service time ", "p99.9  "),
            (104, " service time ", "p99.9  "),
            (90, " response time ", " service time "),
            (60, " response time ", " service time "),
        ] {
            let text = summary_within(&s, &[], Some(columns));
            assert!(text.contains(shows) && !text.contains(hides), "{columns}: {text}");
            let table: Vec<&str> =
                text.lines().skip_while(|line| !line.contains(" response time ")).collect();
            let table = &table[..2 + s.steps.len() + 1];
            assert!(table.iter().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            let counts = |text: &str| text.split_whitespace().filter(|w| *w == "10000").count();
            assert_eq!(counts(&text), counts(&whole), "every step is told: {text}");
        }
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
