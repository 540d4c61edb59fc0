//! Before and after: a run beside the one that was made again with its advice applied.
//!
//! Owns what is compared and what is said of it. Which advice could be applied, and how, is said by whoever ran it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use timeline::text::clean;
use timeline::{Finding, FindingKind, Remedy, Severity, Span, Status, Timeline, Unit, figures};

use super::story::{WIDTH, name};
use crate::summary::{Reason, Summary, Verdict};
use crate::text::fold_at;

/// Width of a label in the table.
const LABEL: usize = 34;
/// Characters of a setting that are shown; the target's own names are in it.
const REMEDY: usize = 120;
/// Characters of what became of it.
const HOW: usize = 400;

/// What came of running it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Identity of the new run; none where there was nothing to apply, so that none was made.
    pub run_id: Option<String>,
    /// The new run's folder.
    pub folder: Option<String>,
    /// The first advice of each root finding, and whether it was applied.
    pub tried: Vec<Tried>,
    /// The span of both runs that the figures are of: as long as what was cured lasted in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Figures of both runs.
    pub figures: Vec<Sides>,
    /// Kinds of findings of the new run that the first did not have.
    pub new: Vec<FindingKind>,
    /// Advice was applied, all that it was to cure is gone, nothing critical came instead, and the new run is valid and saw the whole plan.
    pub verified: bool,
    /// Why, in one sentence.
    pub reason: String,
}

/// A finding's advice, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The finding's number in the first run.
    pub finding: String,
    /// Its kind.
    pub kind: FindingKind,
    /// What it is called.
    pub name: String,
    /// Its advice as a setting; none where it is no setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// Was it applied?
    pub applied: bool,
    /// What that means in the target, or why it was not.
    pub how: String,
    /// Does the new run have no finding of this kind? None where it was not applied, and where the new run ended early without one.
    pub gone: Option<bool>,
}

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    /// What it is.
    pub what: String,
    /// Its unit.
    pub unit: Unit,
    /// In the first run; none without a sample.
    pub before: Option<f64>,
    /// In the new one.
    pub after: Option<f64>,
}

/// A run, as it is compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Everything measured.
    pub timeline: &'a Timeline,
    /// Its findings.
    pub findings: &'a [Finding],
}

impl Tried {
    /// Advice for `finding` that is still to be applied.
    #[must_use]
    pub fn new(finding: &Finding, remedy: Option<Remedy>, applied: bool, how: String) -> Self {
        let name = name(finding);
        Self { finding: finding.id.clone(), kind: finding.kind, name, remedy, applied, how, gone: None }
    }
}

impl Sides {
    fn is_not_less(&self) -> bool {
        self.before.zip(self.after).is_some_and(|(before, after)| after >= before)
    }
}

impl Verification {
    /// Nothing could be applied, so nothing was run.
    #[must_use]
    pub fn not_run(tried: Vec<Tried>) -> Self {
        let reason = match tried.is_empty() {
            true => "nothing was found to be wrong, so there is no advice to apply",
            false => "none of the advice can be applied automatically, so nothing was run",
        };
        let (figures, new) = (Vec::new(), Vec::new());
        let reason = reason.to_owned();
        Self { run_id: None, folder: None, tried, span: None, figures, new, verified: false, reason }
    }

    /// The first run beside the new one, of which `again` is the summary.
    #[must_use]
    pub fn new(
        mut tried: Vec<Tried>,
        before: Side<'_>,
        after: Side<'_>,
        again: &Summary,
        folder: String,
    ) -> Self {
        let has = |side: Side<'_>, kind| side.findings.iter().any(|f| f.kind == kind);
        // What a run does not have that did not see the whole plan may only not have come yet.
        let whole = again.end.reason == Reason::Completed;
        for t in tried.iter_mut().filter(|t| t.applied) {
            t.gone = if has(after, t.kind) { Some(false) } else { whole.then_some(true) };
        }
        let span = lasted(before, &tried);
        let mut new: Vec<_> = after.findings.iter().map(|f| f.kind).filter(|k| !has(before, *k)).collect();
        new.sort_unstable();
        new.dedup();
        let figures = span.map(|s| compared(before.timeline, after.timeline, s)).unwrap_or_default();
        let instead =
            after.findings.iter().filter(|f| new.contains(&f.kind) && is_grave(f)).map(name).collect();
        let (verified, mut reason) = judged(&tried, instead, again);
        if verified && figures.iter().filter(|f| f.unit == Unit::Ns).all(Sides::is_not_less) {
            reason += "; response times are no shorter for it, though";
        }
        Self {
            run_id: Some(again.end.run_id.clone()),
            folder: Some(folder),
            figures,
            tried,
            span,
            new,
            verified,
            reason,
        }
    }
}

/// A cause that the service cannot live with.
fn is_grave(finding: &Finding) -> bool {
    finding.severity == Severity::Critical && finding.status >= Status::Likely && finding.caused_by.is_none()
}

fn judged(tried: &[Tried], instead: Vec<String>, again: &Summary) -> (bool, String) {
    if again.verdict == Verdict::Invalid {
        return (
            false,
            format!("the new run is invalid, so nothing follows from it: {}", again.verdict_reason),
        );
    }
    if again.end.reason != Reason::Completed {
        return (false, "the new run was ended early, perhaps before what was to be cured began".to_owned());
    }
    let left: Vec<&str> = tried.iter().filter(|t| t.gone == Some(false)).map(|t| t.name.as_str()).collect();
    let cured: Vec<&str> = tried.iter().filter(|t| t.gone == Some(true)).map(|t| t.name.as_str()).collect();
    if !left.is_empty() {
        return (false, format!("with the advice applied, this is still there: {}", left.join(", ")));
    }
    let gone = format!("with the advice applied, this is gone: {}", cured.join(", "));
    match instead.is_empty() {
        true => (true, gone),
        false => (false, format!("{gone}; but this came instead: {}", instead.join(", "))),
    }
}

/// From the earliest onset to when the last of what was cured was over.
fn lasted(before: Side<'_>, tried: &[Tried]) -> Option<Span> {
    let applied = |f: &&Finding| tried.iter().any(|t| t.applied && t.finding == f.id);
    let all = || before.findings.iter().filter(applied);
    let end = figures::measured(before.timeline).last()?.end;
    let start = all().map(|f| f.onset).min()?;
    Some(Span::new(start, all().map(|f| f.over(end).unwrap_or(end)).max()?.max(start)))
}

fn compared(before: &Timeline, after: &Timeline, span: Span) -> Vec<Sides> {
    let read = |timeline| {
        let f = figures::step_figures(timeline, None, &[span]);
        let response = |q| (!f.response.is_empty()).then(|| f.response.value_at_quantile(q) as f64 * 1e3);
        let done = figures::finished_rate(timeline, None, &[span]);
        [response(0.5), response(0.99), f.error_share(), done]
    };
    let rows = [
        ("response time, p50", Unit::Ns),
        ("response time, p99", Unit::Ns),
        ("errors", Unit::Ratio),
        ("requests finished", Unit::PerSecond),
    ];
    let sides = read(before).into_iter().zip(read(after)).zip(rows);
    sides
        .map(|((before, after), (what, unit))| Sides { what: what.to_owned(), unit, before, after })
        .collect()
}

/// The part of the story that tells of it.
pub fn tell(out: &mut String, v: &Verification) {
    let mut say = |text: &str, margin: &str, hang: &str| fold_at(WIDTH, out, text, margin, hang);
    say("", "", "");
    say(if v.run_id.is_some() { "Run again with the advice applied" } else { "Not run again" }, "", "");
    for t in &v.tried {
        let what = t.remedy.as_ref().map_or("no setting".to_owned(), |r| clean(&r.to_string(), REMEDY));
        let done = if t.applied { "applied" } else { "not applied" };
        say(&format!("{} ({}): {what}", t.name, t.finding), "   ", "  ");
        say(&format!("{done}: {}.", clean(&t.how, HOW)), "     ", "");
        match t.gone {
            Some(true) => say("The finding is gone.", "     ", ""),
            Some(false) => say("The finding is still there.", "     ", ""),
            None => {}
        }
    }
    for kind in &v.new {
        say(&format!("New, with the advice applied: {}.", kind.title()), "   ", "  ");
    }
    table(out, v);
    let mut say = |text: &str| fold_at(WIDTH, out, text, "   ", "  ");
    if let Some(folder) = &v.folder {
        say(&format!("The new run is in {folder}."));
    }
    say(&format!("{}: {}.", if v.verified { "verified" } else { "not verified" }, v.reason));
}

fn table(out: &mut String, v: &Verification) {
    let Some(span) = v.span else { return };
    let head = format!("From {} to {}", span.start.tenths(), span.end.tenths());
    let _ = writeln!(out, "   {head:LABEL$} {:>10} {:>10}", "before", "after");
    for row in &v.figures {
        let show = |n: Option<f64>| n.map_or("-".to_owned(), |n| row.unit.show(n));
        let _ = writeln!(out, "   {:LABEL$} {:>10} {:>10}", row.what, show(row.before), show(row.after));
    }
}

#[cfg(test)]
mod tests {
    use timeline::facts::EndReason;

    use super::*;
    use crate::explain::{SCHEMA, story};
    use crate::fixture::{self, Run};
    use crate::schema::check;

    fn tried(run: &Run) -> Vec<Tried> {
        let remedy = Remedy::word("cache.products.protection", "single-flight");
        let how = "one request loads a key, and the others wait".to_owned();
        let cannot = "it takes somebody who does it: add cores".to_owned();
        vec![
            Tried::new(&run.findings[0], Some(remedy), true, how),
            Tried::new(&run.findings[1], None, false, cannot),
        ]
    }

    fn verified(run: &Run, after: &[Finding]) -> Verification {
        let side = |findings| Side { timeline: &run.timeline, findings };
        let again = run.summary();
        Verification::new(tried(run), side(&run.findings), side(after), &again, "dyno-runs/again".to_owned())
    }

    fn told(run: &Run, verification: Verification) -> String {
        let explanation = crate::Explanation { verification: Some(verification), ..run.explanation() };
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let value = serde_json::to_value(&explanation).unwrap();
        check(&schema, &schema, &value, "explanation");
        assert_eq!(serde_json::from_value::<crate::Explanation>(value).unwrap(), explanation);
        let text = story(&explanation);
        text[text.find("Run again").or(text.find("Not run again")).unwrap()..].to_owned()
    }

    #[test]
    fn a_finding_that_is_gone_verifies_the_advice() {
        let run = fixture::flash_sale();
        let v = verified(&run, &[]);
        assert!(v.verified && v.new.is_empty());
        insta::assert_snapshot!(told(&run, v));
    }

    #[test]
    fn a_finding_that_stays_and_a_new_one_are_said() {
        let run = fixture::flash_sale();
        let other = Finding { kind: FindingKind::LoopBlocked, ..run.findings[0].clone() };
        let v = verified(&run, &[run.findings[0].clone(), other]);
        assert!(!v.verified && v.tried[0].gone == Some(false) && v.tried[1].gone.is_none());
        let text = told(&run, v);
        assert!(text.contains("New, with the advice applied: loop blocked.\n"), "{text}");
        assert!(text.contains("not verified: with the advice applied, this is still there"), "{text}");
    }

    #[test]
    fn what_is_cured_at_the_price_of_something_critical_is_not_verified() {
        let run = fixture::flash_sale();
        let other = Finding {
            kind: FindingKind::CpuSaturated,
            severity: Severity::Critical,
            status: Status::Likely,
            caused_by: None,
            ..run.findings[0].clone()
        };
        let v = verified(&run, std::slice::from_ref(&other));
        assert!(!v.verified && v.tried[0].gone == Some(true), "{}", v.reason);
        assert!(v.reason.contains("but this came instead"), "{}", v.reason);
        let mild = Finding { severity: Severity::Warning, ..other };
        assert!(verified(&run, &[mild]).verified);
    }

    #[test]
    fn a_run_that_a_gate_or_a_person_ended_verifies_nothing() {
        let run = fixture::flash_sale();
        let side = |findings| Side { timeline: &run.timeline, findings };
        for reason in [EndReason::GateAborted, EndReason::Interrupted] {
            let again = fixture::ended(reason);
            let v = Verification::new(tried(&run), side(&run.findings), side(&[]), &again, String::new());
            assert!(!v.verified && v.reason.starts_with("the new run was ended early"), "{}", v.reason);
            assert_eq!(v.tried[0].gone, None, "{reason:?}");
        }
    }

    #[test]
    fn an_invalid_run_verifies_nothing_and_without_advice_none_is_made() {
        let (run, starved) = (fixture::flash_sale(), fixture::starved());
        let side = |findings| Side { timeline: &run.timeline, findings };
        let again = starved.summary();
        let v = Verification::new(tried(&run), side(&run.findings), side(&[]), &again, String::new());
        assert!(!v.verified && v.reason.starts_with("the new run is invalid"), "{}", v.reason);
        let none = told(&run, Verification::not_run(tried(&run).split_off(1)));
        assert!(none.contains("not verified: none of the advice can be applied automatically"), "{none}");
    }
}
