//! Plain lines: calm, complete, the same for the same run.

use dashboard::plain::Plain;
use timeline::snapshot::{RunState, Snapshot};
use timeline::{RunTime, Severity, Status};

use crate::fixture;

/// A whole run at four snapshots a second.
fn whole_run() -> Vec<String> {
    let mut plain = Plain::new();
    let mut out = Vec::new();
    for quarter in 0..=280 {
        let mut s = fixture::flash_sale(quarter / 4);
        s.at = RunTime::from_ms(quarter * 250);
        if quarter == 280 {
            s.run.state = RunState::Done;
        }
        out.extend(plain.lines(&s));
    }
    out
}

#[test]
fn a_run_reads_like_this() {
    insta::assert_snapshot!(whole_run().join("\n"));
}

#[test]
fn every_finding_appears_and_growing_is_said_once() {
    let lines = whole_run();
    let of = |id: &str| lines.iter().filter(|l| l.contains(&format!(" id={id} "))).count();
    assert_eq!([of("F1"), of("F2"), of("F3")], [2, 1, 1], "F1 is likely first and confirmed later");
}

#[test]
fn nothing_new_says_nothing() {
    let mut plain = Plain::new();
    let s = fixture::flash_sale(66);
    assert!(!plain.lines(&s).is_empty());
    assert!(plain.lines(&s).is_empty());
}

#[test]
fn status_that_falls_and_rises_again_is_not_repeated() {
    let mut plain = Plain::new();
    let mut s = fixture::flash_sale(66);
    s.findings.truncate(1);
    plain.lines(&s);
    s.findings[0].status = Status::Possible;
    assert!(plain.lines(&s).is_empty());
    s.findings[0].status = Status::Confirmed;
    assert!(plain.lines(&s).is_empty());
    s.findings[0].ended = Some(RunTime::from_ms(65_000));
    assert_eq!(plain.lines(&s).len(), 1);
}

#[test]
fn severity_that_grows_is_said() {
    let mut plain = Plain::new();
    let mut s = fixture::flash_sale(66);
    s.findings[2].severity = Severity::Info;
    plain.lines(&s);
    s.findings[2].severity = Severity::Critical;
    let lines = plain.lines(&s);
    assert!(
        lines.len() == 1 && lines[0].contains("severity=critical") && lines[0].contains("id=F3"),
        "{lines:?}"
    );
}

#[test]
fn what_cannot_be_told_says_which_signal_is_missing() {
    let mut plain = Plain::new();
    let mut s = fixture::flash_sale(66);
    s.findings.drain(..2);
    s.findings[0].status = Status::CannotTell;
    let lines = plain.lines(&s);
    assert!(
        lines
            .iter()
            .any(|l| l.contains("status=cannot-tell") && l.contains("missing=\"allocation sites by age\"")),
        "{lines:?}"
    );
    s.findings[0].status = Status::NotSeen;
    assert!(Plain::new().lines(&s).iter().all(|l| !l.contains("finding=")));
}

#[test]
fn a_source_that_falls_silent_and_comes_back_is_said() {
    let mut plain = Plain::new();
    let mut s: Snapshot = fixture::flash_sale(66);
    plain.lines(&s);
    s.sources[0].age_ns = Some(4_200_000_000);
    assert_eq!(plain.lines(&s), ["t=01:06 source=agent state=silent age=4s"]);
    assert!(plain.lines(&s).is_empty());
    s.sources[0].age_ns = Some(0);
    assert_eq!(plain.lines(&s), ["t=01:06 source=agent state=back"]);
    s.sources[0].age_ns = Some(4_200_000_000);
    assert_eq!(plain.lines(&s).len(), 1, "it falls silent again");
    s.run.state = RunState::Done;
    let last = plain.lines(&s);
    assert!(
        !last.is_empty() && last.iter().all(|line| !line.contains("source=")),
        "it never came back: {last:?}"
    );
}

#[test]
fn gates_speak_when_they_turn() {
    let mut plain = Plain::new();
    let mut s = fixture::flash_sale(30);
    plain.lines(&s);
    s.gates[0].holds = Some(false);
    let lines = plain.lines(&s);
    assert_eq!(
        lines,
        ["t=00:30 gate=\"p99 < 250ms for checkout in phase rush\" holds=false figure=\"402 ms\""]
    );
    for undecided in [true, false] {
        if undecided {
            s.gates[0].holds = None;
            assert!(plain.lines(&s).is_empty());
        }
        s.gates[0].holds = Some(true);
        assert_eq!(
            plain.lines(&s),
            ["t=00:30 gate=\"p99 < 250ms for checkout in phase rush\" holds=true figure=\"402 ms\""]
        );
        s.gates[0].holds = Some(false);
        assert_eq!(plain.lines(&s).len(), 1, "it fails again");
    }
}
