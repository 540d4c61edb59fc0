//! GitLab CI: a code quality report of the run, its findings and gates, and sections of its job log that fold.

use serde::Serialize;
use timeline::{Severity, Status};

use crate::summary::Summary;

/// An entry of a code quality report: Code Climate's form, as far as GitLab reads it.
#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: String,
    /// Tells whether a later report has the same one.
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
}

/// What speaks against the run, findings, and gates that do not hold, shown at `file`; the same ones have the same fingerprints in every run.
///
/// # Errors
/// When it cannot be serialised: a fault of ours.
pub fn code_quality(s: &Summary, file: &str) -> serde_json::Result<Vec<u8>> {
    let issue = |check: &str, subject: &str, description: String, severity| Issue {
        fingerprint: fingerprint(&[&s.scenario.name, check, subject]),
        check_name: check.to_owned(),
        description,
        severity,
        location: Location { path: file.to_owned(), lines: Lines { begin: 1 } },
    };
    let run = s.objection();
    let run = run.map(|(word, why)| issue("run", word, format!("the run is {word}: {why}"), "blocker"));
    let gates = s.gates.iter().filter(|g| g.holds != Some(true)).map(|g| {
        let how = if g.holds.is_none() { "is undecided" } else { "fails" };
        issue("gate", &g.that, format!("gate {} {how}: {}", g.that, g.figure), "blocker")
    });
    let findings = s.story().into_iter().map(|(_, f)| f).filter(|f| f.status >= Status::Possible).map(|f| {
        let severity = match f.severity {
            Severity::Critical => "critical",
            Severity::Warning => "major",
            Severity::Info => "info",
        };
        let description = format!("{} ({}): {}", f.kind.title(), f.status.name(), f.claim);
        issue(f.kind.name(), &f.subject, description, severity)
    });
    serde_json::to_vec_pretty(&run.into_iter().chain(gates).chain(findings).collect::<Vec<_>>())
}

/// FNV-1a over the parts, 64 bits: stable over runs, machines and versions.
fn fingerprint(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|p| p.bytes().chain([0]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// Begins a section of a job's log, at this second of Unix time; `name` is of letters, digits and `_`.
#[must_use]
pub fn section_start(name: &str, title: &str, unix_s: u64) -> String {
    format!("\x1b[0Ksection_start:{unix_s}:{name}[collapsed=true]\r\x1b[0K{title}")
}

/// Ends it.
#[must_use]
pub fn section_end(name: &str, unix_s: u64) -> String {
    format!("\x1b[0Ksection_end:{unix_s}:{name}\r\x1b[0K")
}

#[cfg(test)]
mod tests {
    use timeline::facts::EndReason;

    use super::*;
    use crate::fixture;

    #[test]
    fn the_report_has_what_gitlab_asks_for() {
        let report = |s: &Summary| String::from_utf8(code_quality(s, "shop.toml").unwrap()).unwrap();
        let s = fixture::flash_sale().summary();
        insta::assert_snapshot!(report(&s));
        let all: Vec<serde_json::Value> = serde_json::from_str(&report(&s)).unwrap();
        let mut prints: Vec<&str> = all.iter().map(|i| i["fingerprint"].as_str().unwrap()).collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), all.len(), "each is told from the others");
    }

    #[test]
    fn a_run_that_ended_early_is_a_blocker_where_its_gates_hold() {
        for reason in [EndReason::GateAborted, EndReason::Interrupted] {
            let report = code_quality(&fixture::ended(reason), "shop.toml").unwrap();
            let report = String::from_utf8(report).unwrap();
            assert_eq!(report.matches("\"blocker\"").count(), 1, "{report}");
        }
    }

    #[test]
    fn sections_are_what_the_log_folds() {
        assert_eq!(
            section_start("dyno_run", "the run", 7),
            "\u{1b}[0Ksection_start:7:dyno_run[collapsed=true]\r\u{1b}[0Kthe run"
        );
        assert_eq!(section_end("dyno_run", 9), "\u{1b}[0Ksection_end:9:dyno_run\r\u{1b}[0K");
    }
}
