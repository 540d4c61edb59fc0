//! GitHub Actions: annotations by workflow commands, and lines that can be none.
//!
//! A runner reads every line of a step's output. It takes a line for a command if it begins with `::`, spaces aside, or
//! has `##[` anywhere; so whatever comes from a target is kept from both.

use timeline::{Severity, Status};

use crate::summary::Summary;

/// GitHub shows so many annotations of a kind for a step, and drops the rest without a word.
const MOST: usize = 10;

/// Annotations, a line each: an error for whatever fails the run, then findings as warnings and notices.
#[must_use]
pub fn annotations(s: &Summary) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some((word, why)) = s.objection() {
        errors.push(command("error", &format!("dyno: the run is {word}"), why));
    }
    for g in &s.gates {
        let (title, stands) = match g.holds {
            Some(true) => continue,
            Some(false) => ("dyno: a gate fails", "is"),
            None => ("dyno: a gate is undecided", "stands at"),
        };
        errors.push(command("error", title, &format!("{}: the figure {stands} {}", g.that, g.figure)));
    }
    let (mut warnings, mut notices) = (Vec::new(), Vec::new());
    for (_, f) in s.story() {
        if f.status < Status::Possible {
            continue;
        }
        let about = if f.subject.is_empty() { String::new() } else { format!(" of {}", f.subject) };
        let title = format!("dyno: {}{about}", f.kind.title());
        let advice = f.advice.first().map(|a| format!("\ndo: {a}")).unwrap_or_default();
        let text = format!("{} {} from {}: {}{advice}", f.status.name(), f.id, f.onset, f.claim);
        match f.severity {
            Severity::Critical | Severity::Warning => warnings.push(command("warning", &title, &text)),
            Severity::Info => notices.push(command("notice", &title, &text)),
        }
    }
    [errors, warnings, notices].into_iter().flat_map(|all| all.into_iter().take(MOST)).collect()
}

/// `::error title=...::...`, escaped as GitHub's own toolkit does.
fn command(name: &str, title: &str, text: &str) -> String {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace("##[", "# #[")
}

/// `text` with no line that a runner could take for a command.
#[must_use]
pub fn harmless(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("##[", "# #[");
        match line.trim_start().strip_prefix("::") {
            Some(rest) => format!("{}: :{rest}", &line[..line.len() - line.trim_start().len()]),
            None => line,
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use timeline::facts::EndReason;

    use super::*;
    use crate::fixture;

    #[test]
    fn what_fails_stands_first() {
        insta::assert_snapshot!(annotations(&fixture::flash_sale().summary()).join("\n"));
    }

    #[test]
    fn a_run_that_ended_early_is_an_error_where_its_gates_hold() {
        let ends = [(EndReason::GateAborted, "gate-aborted"), (EndReason::Interrupted, "interrupted")];
        for (reason, word) in ends {
            let all = annotations(&fixture::ended(reason));
            assert_eq!(all.iter().filter(|line| line.starts_with("::error ")).count(), 1, "{all:?}");
            assert!(all[0].starts_with(&format!("::error title=dyno%3A the run is {word}::")), "{all:?}");
        }
    }

    #[test]
    fn a_target_cannot_say_a_command() {
        let mut s = fixture::hostile().summary();
        let evil = "x\n::set-output name=a::b\r##[add-mask]y,z:: 100%";
        for f in &mut s.findings {
            evil.clone_into(&mut f.finding.claim);
            evil.clone_into(&mut f.finding.subject);
        }
        let all = annotations(&s);
        assert!(!all.is_empty());
        for line in &all {
            assert!(!line.contains(['\n', '\r']) && !line.contains("##["), "{line}");
            let (head, data) = line[2..].split_once("::").unwrap();
            assert_eq!(head.split_once(" title=").unwrap().1.find([':', ',']), None, "{line}");
            assert!(["error", "warning", "notice"].iter().any(|c| head.starts_with(c)), "{line}");
            assert!(data.contains("100%25") || !data.contains("100%"), "{line}");
        }
        let said = harmless("a\n  ::error::x\n::stop-commands::y\nt=1 note=\"##[group]z\"\nfine :: here");
        assert_eq!(said, "a\n  : :error::x\n: :stop-commands::y\nt=1 note=\"# #[group]z\"\nfine :: here");
    }
}
