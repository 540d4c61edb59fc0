//! `junit.xml`: one case for each gate, and one for the run itself, as every CI system reads it.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::summary::{GateResult, Reason, Summary, Verdict};
use crate::write::ReportError;

/// The document. An undecided gate is a skipped case; an invalid run and one that a person ended are errors: they neither pass nor fail.
///
/// # Errors
/// When it cannot be serialised.
pub fn render(summary: &Summary) -> Result<String, ReportError> {
    document(summary, false)
}

/// The document for CI, where an undecided gate is a failure, as it is for the exit code.
///
/// # Errors
/// When it cannot be serialised.
pub fn strict(summary: &Summary) -> Result<String, ReportError> {
    document(summary, true)
}

fn document(summary: &Summary, strict: bool) -> Result<String, ReportError> {
    let length = Duration::from_nanos(summary.end.length);
    let mut suite = TestSuite::new(plain(&summary.scenario.name));
    suite.set_time(length);
    for (name, value) in [
        ("run", summary.end.run_id.as_str()),
        ("started", &summary.end.started),
        ("target", &summary.target.url),
        ("verdict", summary.verdict.name()),
        ("dyno", &summary.versions.dyno),
    ] {
        suite.add_property((plain(name), plain(value)));
    }
    suite.add_test_case(run_case(summary, length));
    suite.add_test_cases(summary.gates.iter().map(|g| gate_case(g, strict)));
    let mut report = Report::new("dyno");
    report.set_time(length);
    report.add_test_suite(suite);
    report.to_string().map_err(|e| ReportError::Form { what: "junit.xml", why: e.to_string() })
}

/// The run as such, with the findings beside it.
fn run_case(summary: &Summary, length: Duration) -> TestCase {
    let status = match summary.objection() {
        Some((word, why)) if fails(summary) => failure(NonSuccessKind::Failure, why, word),
        Some((word, why)) => failure(NonSuccessKind::Error, why, word),
        None => TestCaseStatus::success(),
    };
    let mut case = TestCase::new("the run is valid", status);
    case.set_classname("run").set_time(length).set_system_out(plain(&crate::text::story(summary)));
    case
}

/// Did a gate end it?
fn fails(summary: &Summary) -> bool {
    summary.verdict == Verdict::Fail && summary.end.reason != Reason::Interrupted
}

fn gate_case(gate: &GateResult, strict: bool) -> TestCase {
    let status = match gate.holds {
        Some(true) => TestCaseStatus::success(),
        Some(false) => failure(NonSuccessKind::Failure, &gate.figure, "gate"),
        None if strict => {
            failure(NonSuccessKind::Failure, &format!("undecided: {}", gate.figure), "undecided")
        }
        None => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(plain(&format!("undecided: {}", gate.figure)));
            skipped
        }
    };
    let mut case = TestCase::new(plain(&gate.that), status);
    case.set_classname("gate")
        .set_system_out(plain(&format!("{} over {} samples", gate.figure, gate.samples)));
    case
}

fn failure(kind: NonSuccessKind, message: &str, type_: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(plain(message)).set_type(type_);
    status
}

/// XML 1.0 has no way to write most control characters, escaped or not.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => '\u{FFFD}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use timeline::facts::EndReason;

    use super::*;
    use crate::fixture;

    #[test]
    fn a_case_for_each_gate_and_one_for_the_run() {
        insta::assert_snapshot!(render(&fixture::flash_sale().summary()).unwrap());
    }

    #[test]
    fn an_undecided_gate_is_skipped_and_fails_in_ci() {
        let mut s = fixture::flash_sale().summary();
        s.gates.iter_mut().for_each(|g| g.holds = None);
        let cases = s.gates.len();
        assert_eq!(render(&s).unwrap().matches("<skipped").count(), cases);
        assert_eq!(strict(&s).unwrap().matches("<failure").count(), cases);
    }

    #[test]
    fn an_invalid_run_is_an_error() {
        let xml = render(&fixture::starved().summary()).unwrap();
        assert!(xml.contains("errors=\"1\"") && xml.contains("<error "), "{xml}");
    }

    #[test]
    fn a_run_that_ended_early_is_no_success_where_its_gates_hold() {
        for (reason, is) in [(EndReason::GateAborted, (1, 0)), (EndReason::Interrupted, (0, 1))] {
            let xml = strict(&fixture::ended(reason)).unwrap();
            assert_eq!((xml.matches("<failure").count(), xml.matches("<error").count()), is, "{xml}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let xml = render(&fixture::hostile().summary()).unwrap();
        assert!(!xml.contains("<script") && !xml.contains("]]>"), "{xml}");
        assert!(xml.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{xml:?}");
    }
}
