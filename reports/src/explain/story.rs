//! The story in plain words: what broke, when, why that is believed, what speaks against it, what to do.
//!
//! Plain ASCII without colour, 80 columns, so that it reads alike in a terminal, a mail and a screen reader.

use std::fmt::Write as _;

use timeline::breakdown::{Breakdown, Part};
use timeline::finding::Evidence;
use timeline::text::clean;
use timeline::{Finding, FindingKind, RunTime, Status, Unit};

use super::{Explanation, Looked, verification};
use crate::text::fold_at;

/// Characters of what a finding is about, in its name: a statement is told whole in the claim.
const SUBJECT: usize = 48;

/// Lines are folded here.
pub(super) const WIDTH: usize = 80;
/// A line has room for no deeper margin; what hangs deeper is told as deep as that.
const DEEPEST: usize = 6;
/// Parts of the response time below this share of it, before and since, are left out of the table.
const LEAST_PART: f64 = 0.01;
/// Width of a label in that table.
const LABEL: usize = 46;
/// Roots that begin so close to one another divide the run alike; one table is enough.
const SAME_ONSET_NS: u64 = 1_000_000_000;

/// The whole story.
#[must_use]
pub fn story(e: &Explanation) -> String {
    let mut out = String::new();
    let run = format!(
        "{} against {}, {}, seed {}, run {}",
        e.run.scenario,
        e.run.target,
        RunTime(e.run.length),
        e.run.seed,
        e.run.id
    );
    say(&mut out, &run, "", "  ");
    out += "\n";
    say(&mut out, &opening(e), "", "");
    let mut number = 0;
    for f in findings(e).filter(|f| cause(e, f).is_none()) {
        number += 1;
        tell(&mut out, e, f, &number.to_string(), 0);
    }
    where_the_time_went(&mut out, e);
    looked_for(&mut out, &e.looked_for);
    notes(&mut out, e);
    if let Some(v) = &e.verification {
        verification::tell(&mut out, v);
    }
    out += "\n";
    say(&mut out, &format!("verdict: {} - {}", e.verdict.name(), e.verdict_reason), "", "  ");
    out
}

fn say(out: &mut String, text: &str, margin: &str, hang: &str) {
    fold_at(WIDTH, out, text, margin, hang);
}

fn findings(e: &Explanation) -> impl Iterator<Item = &Finding> {
    e.findings.iter().map(|t| &t.finding)
}

fn cause<'a>(e: &'a Explanation, f: &Finding) -> Option<&'a Finding> {
    let id = f.caused_by.as_deref()?;
    findings(e).find(|c| c.id == id)
}

pub(super) fn name(f: &Finding) -> String {
    if f.subject.is_empty() {
        f.kind.title().to_owned()
    } else {
        format!("{} of {}", f.kind.title(), clean(&f.subject, SUBJECT))
    }
}

/// Begins what is said of a kind of finding that somebody else looks for on purpose: `left to the instruments that are attached`.
const LEFT: &str = "left to ";

fn is_left(l: &Looked) -> bool {
    l.status == Status::CannotTell && l.text.starts_with(LEFT)
}

fn opening(e: &Explanation) -> String {
    let roots = findings(e).filter(|f| cause(e, f).is_none()).count();
    let all = e.findings.len();
    let first = findings(e).next();
    let Some(first) = first else {
        let kinds: Vec<&Looked> = e.looked_for.iter().filter(|l| !is_left(l)).collect();
        let blind = kinds.iter().filter(|l| l.status == Status::CannotTell).count();
        return match blind {
            0 => "Nothing was found to be wrong.".to_owned(),
            n => format!(
                "Nothing was found to be wrong, as far as could be seen: {n} of {} kinds of fault could not be looked for.",
                kinds.len()
            ),
        };
    };
    let whom = if roots == 1 { "it" } else { "them" };
    let followed = match all - roots {
        0 => String::new(),
        n => format!("; {n} more followed from {whom}"),
    };
    match roots {
        1 if first.kind == FindingKind::GeneratorLimited => {
            "The load generator could not keep up; nothing can be said of the target.".to_owned()
        }
        1 => format!("One thing went wrong: {}, from {}{followed}.", name(first), first.onset.tenths()),
        n => format!("{n} things went wrong, each on its own, the worst first{followed}."),
    }
}

fn tell(out: &mut String, e: &Explanation, f: &Finding, number: &str, depth: usize) {
    let margin = "   ".repeat(depth.min(DEEPEST));
    let inner = format!("{margin}   ");
    *out += "\n";
    let until = match f.until(RunTime(e.run.length)) {
        none if none.is_empty() => " to the end".to_owned(),
        until => until,
    };
    let head = format!("{number}. {}, from {}{until} ({})", name(f), f.onset.tenths(), f.id);
    say(out, &head, &margin, "   ");
    let sure = format!(
        "{}, {}; found {:.1} s after its onset",
        f.severity.name(),
        f.status.name(),
        f.found_at.since(f.onset).as_secs_f64()
    );
    say(out, &sure, &inner, "");
    say(out, &f.claim, &inner, "");
    if let Some(felt) = e.findings.iter().find(|t| t.finding.id == f.id).and_then(|t| t.felt.as_ref()) {
        say(out, &format!("What clients felt: {}.", felt.sentence()), &inner, "  ");
    }
    if let (Some(cause), Some(why)) = (cause(e, f), &f.caused_by_reason) {
        say(out, &format!("Caused by {} ({}): {why}.", name(cause), cause.id), &inner, "");
    }
    figures(out, "Evidence:", &f.evidence, &inner);
    figures(out, "Against it:", &f.contradicting, &inner);
    if !f.advice.is_empty() {
        say(out, "What to do, the best first:", &inner, "");
        for (i, advice) in f.advice.iter().enumerate() {
            say(out, &format!("{}. {advice}", i + 1), &format!("{inner}  "), "   ");
        }
    }
    if !f.missing.is_empty() {
        say(out, &format!("To say more, this is missing: {}.", f.missing.join(", ")), &inner, "  ");
    }
    // A chain has no more links than there are findings.
    if depth >= e.findings.len() {
        return;
    }
    let effects = findings(e).filter(|x| x.caused_by.as_deref() == Some(f.id.as_str()));
    for (i, effect) in effects.enumerate() {
        tell(out, e, effect, &format!("{number}.{}", i + 1), depth + 1);
    }
}

fn figures(out: &mut String, title: &str, list: &[Evidence], inner: &str) {
    if list.is_empty() {
        return;
    }
    say(out, title, inner, "");
    for line in list {
        let place = format!("({}, {} to {})", line.lane, line.span.start.tenths(), line.span.end.tenths());
        say(out, &format!("- {} {place}", line.text), &format!("{inner}  "), "  ");
    }
}

fn where_the_time_went(out: &mut String, e: &Explanation) {
    let mut told: Vec<&Breakdown> = Vec::new();
    for b in &e.breakdowns {
        if told.iter().any(|t| t.after.start.0.abs_diff(b.after.start.0) < SAME_ONSET_NS) {
            continue;
        }
        told.push(b);
        table(out, b);
        laws(out, b);
    }
}

fn table(out: &mut String, b: &Breakdown) {
    *out += "\n";
    say(out, &format!("Where the time goes, before and since {}", b.finding), "", "  ");
    let about = format!(
        "Mean of {} requests from {} to {} and of {} from {} to {}.",
        b.requests_before,
        b.before.start.tenths(),
        b.before.end.tenths(),
        b.requests_after,
        b.after.start.tenths(),
        b.after.end.tenths()
    );
    say(out, &about, "   ", "");
    let _ = writeln!(out, "   {:LABEL$} {:>9} {:>9} {:>9}", "", "before", "since", "added");
    let counts = |before: f64, after: f64| {
        before >= LEAST_PART * b.response_before || after >= LEAST_PART * b.response_after
    };
    let shown = |p: &&Part| counts(p.before, p.after);
    let (mut rest_before, mut rest_after) = (b.response_before, b.response_after);
    for part in b.parts.iter().filter(shown) {
        row(out, "", &part.what, part.before, part.after);
        rest_before -= part.before;
        rest_after -= part.after;
    }
    if counts(rest_before, rest_after) {
        row(out, "", "everything else", rest_before.max(0.0), rest_after.max(0.0));
    }
    row(out, "", "response time", b.response_before, b.response_after);
    if b.inside.iter().any(|p| shown(&p)) {
        say(out, "Of it, inside of the parts above:", "   ", "");
        for part in b.inside.iter().filter(shown) {
            row(out, "  ", &part.what, part.before, part.after);
        }
    }
    if b.counts_differ() {
        let text = format!(
            "It cannot be split further: handlers finished {} requests before where clients count {}, and {} since where they count {}. What lies inside of handlers is a mean over the larger count.",
            b.handled_before, b.requests_before, b.handled_after, b.requests_after
        );
        say(out, &text, "   ", "");
    }
    if !b.missing.is_empty() {
        let text = format!("It cannot be split further; this is missing: {}.", b.missing.join(", "));
        say(out, &text, "   ", "  ");
    }
}

fn row(out: &mut String, indent: &str, what: &str, before: f64, after: f64) {
    let mut label = String::new();
    fold_at(LABEL, &mut label, what, indent, "  ");
    let mut lines = label.lines();
    let added = after - before;
    let sign = if added < 0.0 { "-" } else { "+" };
    let added = format!("{sign}{}", Unit::Ns.show(added.abs()));
    let first = lines.next().unwrap_or_default();
    let _ = writeln!(
        out,
        "   {first:LABEL$} {:>9} {:>9} {added:>9}",
        Unit::Ns.show(before),
        Unit::Ns.show(after)
    );
    for line in lines {
        let _ = writeln!(out, "   {line}");
    }
}

fn laws(out: &mut String, b: &Breakdown) {
    if b.laws.is_empty() {
        return;
    }
    let open: Vec<_> = b.laws.iter().filter(|l| !l.closes).collect();
    let text = match (open.len(), b.laws.len()) {
        (0, 1) => {
            "The readings agree with one another: Little's law holds in the one place where both sides of it are seen."
                .to_owned()
        }
        (0, n) => format!(
            "The readings agree with one another: Little's law holds in all {n} places where both sides of it are seen."
        ),
        (k, n) => format!(
            "Little's law does not close in {k} of {n} places; something is counted and not timed there, or timed and not counted:"
        ),
    };
    say(out, &text, "   ", "");
    for law in open {
        say(out, &format!("- {} ({})", law.text, law.lane), "     ", "  ");
    }
}

fn looked_for(out: &mut String, all: &[Looked]) {
    let of = |status: Status| all.iter().filter(move |l| l.status == status);
    let clean: Vec<&str> = of(Status::NotSeen).map(|l| l.kind.title()).collect();
    if !clean.is_empty() {
        *out += "\n";
        say(out, "Looked for and not seen", "", "");
        say(out, &(clean.join(", ") + "."), "   ", "");
    }
    if of(Status::CannotTell).next().is_some() {
        *out += "\n";
        say(out, "Cannot be told", "", "");
        for l in of(Status::CannotTell).filter(|l| !is_left(l)) {
            say(out, &format!("{}: {}", l.kind.title(), l.text), "   ", "  ");
        }
        // Those are left for one reason, and it is no lack.
        let left: Vec<&Looked> = all.iter().filter(|l| is_left(l)).collect();
        if let Some(first) = left.first() {
            let titles: Vec<&str> = left.iter().map(|l| l.kind.title()).collect();
            say(out, &format!("{}: {}", titles.join(", "), first.text), "   ", "  ");
        }
    }
}

fn notes(out: &mut String, e: &Explanation) {
    for (title, lines) in [("Attached", &e.attached), ("Notes on the run", &e.notes)] {
        if lines.is_empty() {
            continue;
        }
        *out += "\n";
        say(out, title, "", "");
        lines.iter().for_each(|line| say(out, line, "   ", "  "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_story_is_told_cause_first() {
        let text = story(&fixture::flash_sale().explanation());
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_starved_generator_is_said_before_anything_else() {
        insta::assert_snapshot!(story(&fixture::starved().explanation()));
    }

    #[test]
    fn nothing_found_is_told_with_what_could_not_be_looked_for() {
        let mut e = fixture::flash_sale().explanation();
        e.findings.clear();
        e.breakdowns.clear();
        let text = story(&e);
        assert!(text.contains("as far as could be seen: 1 of 3 kinds of fault\n"), "{text}");
        // What is left to somebody who looks is not out of sight.
        let left = e.looked_for.last_mut().unwrap();
        left.text = "left to the instruments that are attached to the target".to_owned();
        let text = story(&e);
        assert!(text.contains("\nNothing was found to be wrong.\n"), "{text}");
        assert!(text.contains("   offload pool saturated: left to the instruments that"), "{text}");
    }

    #[test]
    fn what_was_over_before_the_end_is_not_told_to_the_end() {
        let mut run = fixture::flash_sale();
        run.findings[0].ended = None;
        let told = |run: &fixture::Run| story(&run.explanation());
        assert!(told(&run).contains("from 00:20.0 to the end (F1)"), "{}", told(&run));
        run.findings[0].last = Some(RunTime::from_ms(37_600));
        assert!(told(&run).contains("from 00:20.0, last seen 00:37.6 (F1)"), "{}", told(&run));
    }

    #[test]
    fn a_part_that_is_large_before_is_shown_though_it_is_small_beside_what_came() {
        let mut e = fixture::flash_sale().explanation();
        let b = &mut e.breakdowns[0];
        // A hundredth of the time before, and far from it since.
        b.parts[1] = Part { before: 0.03e6, after: 0.03e6, ..b.parts[1].clone() };
        let text = story(&e);
        assert!(
            text.contains("waiting for a connection of a pool               30.0 us   30.0 us"),
            "{text}"
        );
        // 62.4 ms less 10.3 ms, 0.03 ms and 1.0 ms.
        assert!(
            text.contains("everything else                                   970 us   51.1 ms"),
            "{text}"
        );
        let b = &mut e.breakdowns[0];
        (b.handled_before, b.handled_after) = (4_000, 8_000);
        b.parts[1].lane = timeline::lane::names::SERVICE.to_owned();
        let text = story(&e);
        assert!(text.contains("handlers finished 4000 requests"), "{text}");
    }

    #[test]
    fn no_text_reaches_the_terminal_raw() {
        let text = story(&fixture::hostile().explanation());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
