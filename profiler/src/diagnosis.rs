//! The diagnosis: runs all detectors at each tick and keeps their findings ranked.
//!
//! Owns the order of work at a tick and the rules that a starved generator silences every finding
//! against the target, and that whoever sees inside goes before what the client's side tells beside. The same
//! entries in the same order give the same findings, live and in replay.
//! What is claimed belongs to `detectors`, what lasts to `ledger`, what caused what to `causes`, whether it explains the
//! added response time to `proof`.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::{Breakdown, Finding, FindingKind, Severity, Span, Status, Timeline, Unit};

use crate::causes;
use crate::detectors::client::{self, LEFT_TO_INSTRUMENTS, explains};
use crate::detectors::{self, Answer, Claim};
use crate::ledger::{Entry, Ledger, MAX_FINDINGS, MAX_RETURNING};
use crate::proof::Proofs;
use crate::window;

/// What began so shortly before or after the generator was found starved is put down to it: its
/// detector needs three bad seconds of five, so the starving began up to so much earlier.
const STARVED_MARGIN: Duration = Duration::from_secs(2);
/// What instruments found explains a backlog that began so shortly after its end: its queue may drain for a while.
const INSIDE_MARGIN: Duration = Duration::from_secs(3);

/// Detectors, ledger and ranking of one run.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis {
    ledger: Ledger,
    proofs: Proofs,
    ranked: Vec<Finding>,
    answers: Vec<State>,
    /// What was withheld: the newest subject by kind and identity, so many as a run can have findings.
    withheld: BTreeMap<(FindingKind, String), String>,
}

/// The latest word of one detector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    NeverLooked,
    Missing(Vec<String>),
    Unready(String),
    Looked,
}

impl Diagnosis {
    /// A diagnosis that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { answers: vec![State::NeverLooked; detectors::ALL.len()], ..Self::default() }
    }

    /// Looks at the timeline as it stands at `at`. To be called at every tick of a recording, in order.
    pub fn tick(&mut self, timeline: &Timeline, at: RunTime) {
        self.answers.resize(detectors::ALL.len(), State::NeverLooked);
        let over = window::after_plan(timeline.plan(), at);
        for (i, detector) in detectors::ALL.iter().enumerate() {
            match (detector.look)(timeline, at) {
                Answer::CannotTell(missing) => self.could_not_look(i, State::Missing(missing), over),
                Answer::Unready(why) => self.could_not_look(i, State::Unready(why), over),
                Answer::Looked(claims) if self.are_left_to_instruments(&claims) => {
                    self.could_not_look(i, State::Unready(LEFT_TO_INSTRUMENTS.to_owned()), over);
                }
                Answer::Looked(claims) => {
                    self.answers[i] = State::Looked;
                    for claim in claims {
                        self.take(claim, at);
                    }
                }
            }
        }
        // What has leaked is held for as long as it is not given back, whether more comes or not.
        self.ledger.close(at, |e| {
            e.finding.kind == FindingKind::HeapLeak
                && detectors::heap_leak::is_held(timeline, e.finding.onset, e.last, at)
        });
        self.withdraw_what_the_generator_explains();
        self.withdraw_what_instruments_explain();
        self.proofs.look(timeline, at, &mut self.ledger);
        self.ranked = causes::rank(self.ledger.entries(), &self.proofs);
        self.tell_what_was_withheld();
    }

    /// Once it could look, a later gap does not undo what it has seen; and why it could not under the planned load says more
    /// than that the load is over.
    fn could_not_look(&mut self, i: usize, why: State, over: bool) {
        let known = &mut self.answers[i];
        if *known == State::NeverLooked || (*known != State::Looked && !over) {
            *known = why;
        }
    }

    fn take(&mut self, claim: Claim, at: RunTime) {
        if claim.kind != FindingKind::GeneratorLimited && self.starved().any(|s| s.contains(claim.onset)) {
            if at.since(claim.last) <= claim.quiet {
                self.withhold(claim.kind, claim.identity, claim.subject);
            }
            return;
        }
        self.ledger.take(claim, at);
    }

    fn withhold(&mut self, kind: FindingKind, identity: String, subject: String) {
        let key = (kind, identity);
        if self.withheld.len() < MAX_FINDINGS || self.withheld.contains_key(&key) {
            self.withheld.insert(key, subject);
        }
    }

    /// Spans in which the generator was starved, with their margin.
    fn starved(&self) -> impl Iterator<Item = Span> + '_ {
        self.ledger
            .entries()
            .iter()
            .filter(|e| e.finding.kind == FindingKind::GeneratorLimited && e.finding.status >= Status::Likely)
            .map(|e| {
                let end = e.finding.ended.unwrap_or(RunTime(u64::MAX)) + STARVED_MARGIN;
                Span::new(e.finding.onset.back(STARVED_MARGIN), end)
            })
    }

    fn withdraw_what_the_generator_explains(&mut self) {
        let starved: Vec<Span> = self.starved().collect();
        if starved.is_empty() {
            return;
        }
        let gone = self.ledger.withdraw(|e| {
            e.finding.kind != FindingKind::GeneratorLimited
                && starved.iter().any(|s| s.contains(e.finding.onset))
        });
        for e in gone {
            self.withhold(e.finding.kind, e.identity, e.finding.subject);
        }
    }

    /// What was found by instruments, and when, with a margin. What is only worth knowing explains nothing.
    fn found_inside(&self) -> impl Iterator<Item = (FindingKind, Span)> + '_ {
        let inside = |e: &&Entry| {
            let f = &e.finding;
            !client::KINDS.contains(&f.kind) && f.severity > Severity::Info && f.status >= Status::Likely
        };
        self.ledger.entries().iter().filter(inside).map(|e| {
            let end = e.finding.ended.unwrap_or(RunTime(u64::MAX)) + INSIDE_MARGIN;
            (e.finding.kind, Span::new(e.finding.onset, end))
        })
    }

    /// Is any of it told beside instruments that have found what explains it at the same time?
    fn are_left_to_instruments(&self, claims: &[Claim]) -> bool {
        claims.iter().any(|c| {
            let told = Span::new(c.onset, c.last);
            self.found_inside().any(|(kind, span)| explains(kind, c.sort) && meet(span, told))
        })
    }

    /// What they find later goes before it, too.
    fn withdraw_what_instruments_explain(&mut self) {
        let inside: Vec<(FindingKind, Span)> = self.found_inside().collect();
        let gone = self.ledger.withdraw(|e| {
            let told = Span::new(e.finding.onset, e.last);
            inside.iter().any(|(kind, span)| explains(*kind, e.sort) && meet(*span, told))
        });
        for (detector, answer) in detectors::ALL.iter().zip(&mut self.answers) {
            if gone.iter().any(|e| e.finding.kind == detector.kind) {
                *answer = State::Unready(LEFT_TO_INSTRUMENTS.to_owned());
            }
        }
    }

    fn tell_what_was_withheld(&mut self) {
        if self.withheld.is_empty() {
            return;
        }
        let names: Vec<String> = self
            .withheld
            .iter()
            .take(5)
            .map(|((k, _), s)| format!("{} {s}", k.name()).trim_end().to_owned())
            .collect();
        let text = format!(
            "{}{} against the target withheld: {}",
            detectors::plural(self.withheld.len() as f64, "finding"),
            if self.withheld.len() < MAX_FINDINGS { "" } else { " or more" },
            names.join(", ")
        );
        let count = self.withheld.len() as f64;
        for f in self.ranked.iter_mut().filter(|f| f.kind == FindingKind::GeneratorLimited) {
            let span = Span::new(f.onset, f.ended.unwrap_or(f.found_at));
            f.evidence.push(detectors::evidence(text.clone(), "findings", span, count, Unit::Count));
        }
    }

    /// All findings so far, ended ones too: cause before consequence, worst first. None is less than *possible*.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.ranked
    }

    /// Where the response time goes, before and since each root finding that it could be told for, in the findings' order.
    #[must_use]
    pub fn breakdowns(&self) -> Vec<Breakdown> {
        let roots = self.ranked.iter().filter(|f| f.caused_by.is_none());
        roots.filter_map(|f| self.proofs.breakdown(&f.id)).cloned().collect()
    }

    /// How many claims found no room, in a sentence; none where all did. One that lasts is claimed anew at every tick.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let claims: u64 = self.ledger.overflow().values().sum();
        (claims > 0).then(|| {
            format!(
                "{} of detectors found no room: a run keeps {MAX_FINDINGS} findings, and what comes back opens no new one beyond {MAX_RETURNING}",
                detectors::plural(claims as f64, "claim")
            )
        })
    }

    /// Each detector's best status over the run, with a sentence: what it found, that it looked and saw
    /// nothing, or why it never could look: which signals it lacks, how much data it takes, who spoke in its place; or that there was no room
    /// for what it saw.
    #[must_use]
    pub fn states(&self) -> Vec<(FindingKind, Status, String)> {
        detectors::ALL.iter().enumerate().map(|(i, d)| self.state(d.kind, self.answers.get(i))).collect()
    }

    fn state(&self, kind: FindingKind, answer: Option<&State>) -> (FindingKind, Status, String) {
        let best = self.ranked.iter().filter(|f| f.kind == kind).max_by_key(|f| f.status);
        match (best, answer) {
            (Some(f), _) => (kind, f.status, f.claim.clone()),
            (None, _) if self.withheld.keys().any(|w| w.0 == kind) => (
                kind,
                Status::CannotTell,
                "withheld: the load generator could not keep its schedule".to_owned(),
            ),
            (None, _) if self.ledger.overflow().contains_key(&kind) => {
                (kind, Status::CannotTell, format!("seen, and not kept: a run keeps {MAX_FINDINGS} findings"))
            }
            (None, Some(State::Looked)) => (kind, Status::NotSeen, "looked for and not seen".to_owned()),
            (None, Some(State::Missing(lanes))) => {
                (kind, Status::CannotTell, format!("missing: {}", lanes.join(", ")))
            }
            (None, Some(State::Unready(why))) => (kind, Status::CannotTell, why.clone()),
            (None, _) => (kind, Status::CannotTell, "the run was too short to look".to_owned()),
        }
    }
}

/// Have both any time in common?
fn meet(a: Span, b: Span) -> bool {
    a.start <= b.end && b.start <= a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::client::{BESIDE_DEATHS, BESIDE_INSTRUMENTS};

    fn claim(kind: FindingKind, identity: &str, subject: &str) -> Claim {
        let seen = Span::new(RunTime::from_ms(10_000), RunTime::from_ms(12_000));
        Claim {
            identity: identity.to_owned(),
            subject: subject.to_owned(),
            quiet: Duration::from_secs(5),
            ..Claim::bare(kind, seen)
        }
    }

    #[test]
    fn what_is_withheld_is_counted_once_whatever_it_is_called_meanwhile() {
        use FindingKind::{CacheStampede, GeneratorLimited};
        let (mut d, at) = (Diagnosis::new(), RunTime::from_ms(12_000));
        d.take(claim(CacheStampede, "products", "product:1"), at);
        d.take(claim(GeneratorLimited, "", "generator"), at);
        d.withdraw_what_the_generator_explains();
        for key in ["product:2", "product:3"] {
            d.take(claim(CacheStampede, "products", key), at);
        }
        d.ranked = causes::rank(d.ledger.entries(), &d.proofs);
        d.tell_what_was_withheld();
        let line = &d.findings()[0].evidence[0];
        assert_eq!(line.text, "1 finding against the target withheld: cache-stampede product:3");
        for pool in 0..MAX_FINDINGS + 9 {
            d.take(claim(FindingKind::PoolSaturated, &format!("pool {pool}"), ""), at);
        }
        assert_eq!(d.withheld.len(), MAX_FINDINGS, "a target that makes up pools does not eat our memory");
    }

    #[test]
    fn what_is_told_beside_instruments_makes_way_for_what_they_find() {
        use FindingKind::{HeapFragmented, PoolSaturated, ThroughputKnee};
        let at = RunTime::from_ms(12_000);
        let beside = || Claim { sort: BESIDE_INSTRUMENTS, ..claim(ThroughputKnee, "", "orders") };
        let kinds = |d: &Diagnosis| d.ledger.entries().iter().map(|e| e.finding.kind).collect::<Vec<_>>();
        let mut d = Diagnosis::new();
        d.take(Claim { severity: Severity::Info, ..claim(HeapFragmented, "", "") }, at);
        assert!(!d.are_left_to_instruments(&[beside()]), "a hint explains no backlog");
        d.take(beside(), at);
        d.withdraw_what_instruments_explain();
        assert_eq!(kinds(&d), [HeapFragmented, ThroughputKnee]);
        d.take(claim(PoolSaturated, "db", "db"), at);
        assert!(d.are_left_to_instruments(&[beside()]));
        assert!(
            !d.are_left_to_instruments(&[claim(ThroughputKnee, "", "")]),
            "told while nobody was attached"
        );
        d.withdraw_what_instruments_explain();
        assert_eq!(kinds(&d), [HeapFragmented, PoolSaturated]);
        // It is over at 12 s, and its queue has drained.
        d.ledger.close(RunTime::from_ms(30_000), |_| false);
        let seen =
            |onset| Claim { onset: RunTime::from_ms(onset), last: RunTime::from_ms(40_000), ..beside() };
        assert!(d.are_left_to_instruments(&[seen(14_000)]));
        assert!(!d.are_left_to_instruments(&[seen(20_000)]));
    }

    #[test]
    fn that_nobody_listens_is_explained_by_a_death_alone() {
        use FindingKind::{ConnectionsRefused, LongPause, WorkerLost};
        let at = RunTime::from_ms(12_000);
        let refused = || Claim { sort: BESIDE_DEATHS, ..claim(ConnectionsRefused, "", "") };
        let mut d = Diagnosis::new();
        d.take(claim(LongPause, "pid-1", "pid-1"), at);
        d.take(refused(), at);
        d.withdraw_what_instruments_explain();
        assert!(!d.are_left_to_instruments(&[refused()]) && d.ledger.entries().len() == 2);
        d.take(claim(WorkerLost, "pid-1", "pid-1"), at);
        d.withdraw_what_instruments_explain();
        assert!(d.are_left_to_instruments(&[refused()]) && d.ledger.entries().len() == 2);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_is_not_told_as_not_seen() {
        let (mut d, at) = (Diagnosis::new(), RunTime::from_ms(12_000));
        d.answers.fill(State::Looked);
        for pool in 0..MAX_FINDINGS {
            d.take(claim(FindingKind::PoolSaturated, &format!("pool {pool}"), ""), at);
        }
        let leak = |d: &Diagnosis| d.states().into_iter().find(|s| s.0 == FindingKind::HeapLeak).unwrap();
        assert_eq!((d.left_out(), leak(&d).1), (None, Status::NotSeen));
        d.take(claim(FindingKind::HeapLeak, "", ""), at);
        let (_, status, text) = leak(&d);
        assert_eq!(
            (status, text.as_str()),
            (Status::CannotTell, "seen, and not kept: a run keeps 200 findings")
        );
        assert_eq!(
            d.left_out().unwrap(),
            "1 claim of detectors found no room: a run keeps 200 findings, and what comes back opens no new one beyond 100"
        );
    }
}
