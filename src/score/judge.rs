//! What a case's findings are worth beside the truth. A pure function of what was drawn and what was seen.
//!
//! Nothing is left out after a look at the findings: whether a case counts follows from the truth and the run's own verdict.

use serde::{Deserialize, Serialize};
use timeline::fault::FaultKind;
use timeline::{FindingKind, Status};

use super::case::{Began, Case, End, Found, Seen, Sort};
use super::slow::{least_data_s, shows_in_s};

/// A fault that truly lasted for less, a slow one after the least data that it takes, is as if it had never taken effect, seconds: two
/// looks of the detectors.
pub const LEAST_S: f64 = 1.0;

/// How a case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All that was wrong was found, and the first finding says it.
    Right,
    /// All was found, behind another finding.
    Behind,
    /// Something that was wrong was not found.
    Missed,
    /// Nothing was wrong, and nothing was found.
    Silent,
    /// Nothing was wrong, and something was found.
    FalseAlarm,
    /// No fault of it ever took effect, or only when it was about to end: nothing was wrong, but what should be said of that is not known.
    Void,
    /// Every run of it measured itself badly.
    Invalid,
    /// It left nothing that can be judged.
    Broken,
}

impl Outcome {
    /// As a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Behind => "behind",
            Self::Missed => "missed",
            Self::Silent => "silent",
            Self::FalseAlarm => "false alarm",
            Self::Void => "void",
            Self::Invalid => "invalid",
            Self::Broken => "broken",
        }
    }

    /// Is its recording worth keeping?
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Right | Self::Silent | Self::Void)
    }

    /// Is it part of the score?
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Void | Self::Invalid | Self::Broken)
    }
}

/// One finding that had to come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Because of this fault; none where the load itself is what is wrong.
    pub fault: Option<FaultKind>,
    /// What had to be found.
    pub kind: FindingKind,
    /// Was it?
    pub found: bool,
    /// Seconds from the true onset (of a slow fault: from the least data that it takes) until it was at least *likely*.
    pub after_s: Option<f64>,
}

/// A case, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// How it came out.
    pub outcome: Outcome,
    /// What had to be found.
    pub wanted: Vec<Wanted>,
    /// What was ranked first.
    pub first: Option<FindingKind>,
    /// The first finding is one of those wanted.
    pub first_right: bool,
    /// Findings, all of them.
    pub findings: usize,
}

/// Judges a case.
pub fn judge(case: &Case, seen: &Seen) -> Judged {
    let wanted = wanted(case, seen);
    let first = seen.findings.first();
    let first_right = first.is_some_and(|f| wanted.iter().any(|w| answers(f, w.kind, armed(seen, w.fault))));
    let outcome = match seen.end {
        End::Broken => Outcome::Broken,
        // A starved generator is what this case is about.
        End::Invalid if case.condition() != Some(FindingKind::GeneratorLimited) => Outcome::Invalid,
        _ if case.sort == Sort::Clean && seen.findings.is_empty() => Outcome::Silent,
        _ if case.sort == Sort::Clean => Outcome::FalseAlarm,
        _ if wanted.is_empty() => Outcome::Void,
        _ if wanted.iter().any(|w| !w.found) => Outcome::Missed,
        _ if first_right => Outcome::Right,
        _ => Outcome::Behind,
    };
    Judged { outcome, wanted, first: first.map(|f| f.kind), first_right, findings: seen.findings.len() }
}

fn wanted(case: &Case, seen: &Seen) -> Vec<Wanted> {
    if let Some(kind) = case.condition() {
        let found = seen.findings.iter().any(|f| f.kind == kind);
        return vec![Wanted { fault: None, kind, found, after_s: None }];
    }
    let took_effect = seen.truth.iter().filter_map(|b| Some((b, b.onset_s?)));
    let took_effect = took_effect.filter(|(b, onset_s)| lasted(case, b.fault, *onset_s));
    took_effect.map(|(began, onset_s)| look_for(began, onset_s, &seen.findings)).collect()
}

/// Was there time for anybody to see it? A file that is sent when the switch is thrown may take until the fault ends.
fn lasted(case: &Case, fault: FaultKind, onset_s: f64) -> bool {
    let end_ms = case.faults.iter().find(|f| f.fault == fault).map(|f| f.at_ms + f.for_ms);
    end_ms.is_none_or(|end| onset_s + shows_in_s(fault) + LEAST_S <= end as f64 / 1e3)
}

fn look_for(began: &Began, onset_s: f64, findings: &[Found]) -> Wanted {
    let kind = began.fault.expected();
    let answers: Vec<&Found> = findings.iter().filter(|f| answers(f, kind, began.armed_s)).collect();
    let likely = answers.iter().filter(|f| f.status >= Status::Likely).map(|f| f.found_at_s);
    let from = onset_s + least_data_s(began.fault);
    let after_s = likely.reduce(f64::min).map(|at| (at - from).max(0.0));
    Wanted { fault: Some(began.fault), kind, found: !answers.is_empty(), after_s }
}

/// What was there before the switch was thrown is no answer to it.
fn answers(finding: &Found, kind: FindingKind, armed_s: f64) -> bool {
    finding.kind == kind && finding.found_at_s >= armed_s
}

fn armed(seen: &Seen, fault: Option<FaultKind>) -> f64 {
    let of = |fault| seen.truth.iter().find(|b| b.fault == fault).map(|b| b.armed_s);
    fault.and_then(of).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::case::{Injected, Shape};
    use timeline::Severity;

    fn case(sort: Sort, scenario: &str) -> Case {
        Case {
            number: 0,
            sort,
            scenarios: vec![scenario.to_owned()],
            faults: Vec::new(),
            load: 1.0,
            shape: Shape::Steady,
            neighbour: false,
            seed: 1,
            runtime: "rust".to_owned(),
            stores: Vec::new(),
        }
    }

    fn found(kind: FindingKind, found_at_s: f64) -> Found {
        let (status, severity) = (Status::Likely, Severity::Warning);
        let (subject, claim) = (String::new(), String::new());
        Found { kind, subject, status, severity, onset_s: found_at_s, found_at_s, claim, consequence: false }
    }

    fn began(fault: FaultKind, armed_s: f64, onset_s: Option<f64>) -> Began {
        Began { fault, armed_s, onset_s }
    }

    fn outcome(case: &Case, end: End, findings: Vec<Found>, truth: Vec<Began>) -> Judged {
        judge(case, &Seen { end, why: String::new(), runs: 1, findings, truth })
    }

    #[test]
    fn one_fault_is_right_behind_missed_or_void() {
        let one = case(Sort::Fault, "stampede");
        let truth = vec![began(FaultKind::Stampede, 8.0, Some(8.5))];
        let (stampede, pool) =
            (found(FindingKind::CacheStampede, 10.0), found(FindingKind::PoolSaturated, 9.0));
        let right = outcome(&one, End::Valid, vec![stampede.clone(), pool.clone()], truth.clone());
        assert_eq!((right.outcome, right.wanted[0].after_s), (Outcome::Right, Some(1.5)));
        let behind = outcome(&one, End::Valid, vec![pool.clone(), stampede.clone()], truth.clone());
        assert_eq!((behind.outcome, behind.first_right), (Outcome::Behind, false));
        assert_eq!(outcome(&one, End::Valid, vec![pool], truth.clone()).outcome, Outcome::Missed);
        assert_eq!(
            outcome(&one, End::Invalid, vec![stampede.clone()], truth.clone()).outcome,
            Outcome::Invalid
        );
        assert_eq!(outcome(&one, End::Broken, vec![], truth).outcome, Outcome::Broken);
        let never = vec![began(FaultKind::Stampede, 8.0, None)];
        assert_eq!(outcome(&one, End::Valid, vec![], never).outcome, Outcome::Void);
        // Found before the switch was thrown: of something else.
        let later = vec![began(FaultKind::Stampede, 10.5, Some(11.0))];
        assert_eq!(outcome(&one, End::Valid, vec![stampede], later).outcome, Outcome::Missed);
    }

    #[test]
    fn a_fault_that_takes_effect_as_it_ends_is_void() {
        let injected = |for_ms| Injected {
            fault: FaultKind::WholeFile,
            at_ms: 7_000,
            for_ms,
            knobs: Default::default(),
        };
        let late = |for_ms| Case { faults: vec![injected(for_ms)], ..case(Sort::Fault, "whole-file") };
        let truth = vec![began(FaultKind::WholeFile, 7.0, Some(16.7))];
        assert_eq!(outcome(&late(10_000), End::Valid, vec![], truth.clone()).outcome, Outcome::Void);
        assert_eq!(outcome(&late(11_000), End::Valid, vec![], truth).outcome, Outcome::Missed);
        // A leak shows in a history, which this one has not, or has.
        let leak = |for_ms| {
            let faults =
                vec![Injected { fault: FaultKind::Leak, at_ms: 4_000, for_ms, knobs: Default::default() }];
            let truth = vec![began(FaultKind::Leak, 4.0, Some(4.1))];
            outcome(&Case { faults, ..case(Sort::Fault, "leak") }, End::Valid, vec![], truth).outcome
        };
        assert_eq!([leak(13_000), leak(14_500)], [Outcome::Void, Outcome::Missed]);
        // So does a queue, which is timed from its onset all the same.
        let queue = |for_ms| {
            let faults = vec![Injected { fault: FaultKind::SlowConsumer, ..injected(for_ms) }];
            let truth = vec![began(FaultKind::SlowConsumer, 7.0, Some(12.0))];
            outcome(&Case { faults, ..case(Sort::Fault, "slow-consumer") }, End::Valid, vec![], truth).outcome
        };
        assert_eq!([queue(10_500), queue(11_500)], [Outcome::Void, Outcome::Missed]);
    }

    #[test]
    fn what_is_only_possible_is_found_but_has_no_time() {
        let truth = vec![began(FaultKind::Stampede, 8.0, Some(8.5))];
        let possible = Found { status: Status::Possible, ..found(FindingKind::CacheStampede, 10.0) };
        let judged = outcome(&case(Sort::Fault, "stampede"), End::Valid, vec![possible], truth);
        assert_eq!((judged.outcome, judged.wanted[0].after_s), (Outcome::Right, None));
    }

    #[test]
    fn a_slow_fault_is_timed_from_the_least_data() {
        let truth = vec![began(FaultKind::Leak, 4.0, Some(4.0))];
        let at = 4.0 + least_data_s(FaultKind::Leak) + 2.0;
        let judged =
            outcome(&case(Sort::Fault, "leak"), End::Valid, vec![found(FindingKind::HeapLeak, at)], truth);
        assert!((judged.wanted[0].after_s.unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn both_of_a_composite_must_be_found_and_either_may_come_first() {
        let two = case(Sort::Composite, "stampede");
        let truth = vec![began(FaultKind::Stampede, 8.0, Some(8.5)), began(FaultKind::Churn, 8.0, Some(8.1))];
        let (stampede, churn) = (found(FindingKind::CacheStampede, 10.0), found(FindingKind::HeapChurn, 9.0));
        assert_eq!(
            outcome(&two, End::Valid, vec![churn.clone(), stampede], truth.clone()).outcome,
            Outcome::Right
        );
        let half = outcome(&two, End::Valid, vec![churn], truth);
        assert_eq!((half.outcome, half.first_right), (Outcome::Missed, true));
    }

    #[test]
    fn a_clean_case_is_silent_or_a_false_alarm() {
        let clean = case(Sort::Clean, "stampede-clean");
        assert_eq!(outcome(&clean, End::Valid, vec![], vec![]).outcome, Outcome::Silent);
        let alarm = outcome(&clean, End::Valid, vec![found(FindingKind::LongPause, 3.0)], vec![]);
        assert_eq!((alarm.outcome, alarm.findings), (Outcome::FalseAlarm, 1));
    }

    #[test]
    fn a_starved_generator_is_what_its_case_is_about() {
        let starved = case(Sort::Fault, "generator-limited");
        let finding = found(FindingKind::GeneratorLimited, 5.0);
        assert_eq!(outcome(&starved, End::Invalid, vec![finding], vec![]).outcome, Outcome::Right);
        assert_eq!(outcome(&starved, End::Invalid, vec![], vec![]).outcome, Outcome::Missed);
    }
}
