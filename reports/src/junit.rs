//! `junit.xml`: one case for each gate, and one for the run itself, as every CI system reads it.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::summary::{Summary, Verdict};
use crate::write::ReportError;

/// The document.
///
/// # Errors
/// When it cannot be serialised.
pub fn render(summary: &Summary) -> Result<String, ReportError> {
    let mut suite = TestSuite::new(plain(&summary.scenario.name));
    suite.add_test_case(run_case(summary));
    for gate in &summary.gates {
        let status = match gate.holds {
            Some(true) => TestCaseStatus::success(),
            Some(false) => failure(NonSuccessKind::Failure, &gate.figure, "gate"),
            None => {
                let mut skipped = TestCaseStatus::skipped();
                skipped.set_message(plain(&gate.figure));
                skipped
            }
        };
        let mut case = TestCase::new(plain(&gate.that), status);
        case.set_classname("gate");
        suite.add_test_case(case);
    }
    let mut report = Report::new("dyno");
    report.add_test_suite(suite);
    report.to_string().map_err(|e| ReportError::Form { what: "junit.xml", why: e.to_string() })
}

/// The run as such: an invalid one is an error, neither pass nor fail.
fn run_case(summary: &Summary) -> TestCase {
    let status = match summary.verdict {
        Verdict::Invalid => failure(NonSuccessKind::Error, &summary.verdict_reason, "invalid"),
        Verdict::Pass | Verdict::Fail => TestCaseStatus::success(),
    };
    let mut case = TestCase::new("the run is valid", status);
    case.set_classname("run");
    let findings: Vec<String> =
        summary.findings.iter().map(|f| format!("{} {}: {}", f.id, f.kind.name(), f.claim)).collect();
    case.set_system_out(plain(&findings.join("\n")));
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
