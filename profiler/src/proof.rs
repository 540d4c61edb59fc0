//! Proof: which findings are weighed against the added response time, when, and what is said of it.
//!
//! Owns the pace (once a second, a bounded number of findings, only those that changed) and the sentences. The test is
//! [`crate::blame`]'s, the split of the response time [`crate::breakdown`]'s.
//!
//! A finding rises from *likely* to *confirmed* by the null test, if that had shifts enough and nothing speaks against it (a law
//! that fails does): its detector has then seen the pathology by its own lanes, and the client's times, which that detector does
//! not read, agree with it at the very instants and not at others. A finding that is only *possible* does not rise: that requests are slow together with it would be all there is.
//! Long ones cannot rise in this way (they are one coincidence); their detectors have laws of their own. A law
//! does not confirm against the test: where that says chance, the finding is told as *likely*.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::{Breakdown, Finding, FindingKind, Span, Status, Timeline, Unit};

use crate::blame::Blame;
use crate::breakdown;
use crate::detectors::evidence;
use crate::excess::Excess;
use crate::ledger::{Entry, Ledger};

/// Time from weighing to weighing.
const PACE: Duration = Duration::from_secs(1);
/// Findings weighed at once; the others come next time.
const AT_ONCE: usize = 12;
/// Less added to a request, as a share of what it took before, is no added response time: means of equal stretches differ by so much.
const LEAST_ADDED: f64 = 0.1;
/// And in nanoseconds: what a timer's tick and a busy core add.
const LEAST_ADDED_NS: f64 = 1e6;
/// What these do to clients is no response time: they are counted, by errors, or by a generator that is late.
const BESIDE_THE_TIME: [FindingKind; 3] =
    [FindingKind::WorkerLost, FindingKind::FdExhausted, FindingKind::GeneratorLimited];
/// A finding whose own parts explain less than this of what was added explains little.
const LITTLE: f64 = 0.05;

/// What is known of the findings' part in the added response time.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    weighed: BTreeMap<String, Weighed>,
    last: Option<RunTime>,
}

/// One finding, weighed.
#[derive(Debug, Clone, Default)]
struct Weighed {
    at: RunTime,
    /// What the finding looked like then.
    seen: (usize, RunTime, Option<RunTime>),
    blame: Option<Blame>,
    breakdown: Option<Breakdown>,
}

impl Weighed {
    fn explains(&self) -> Option<f64> {
        self.blame.as_ref().filter(|b| b.holds()).map(|b| b.of_all).or_else(|| self.told()?.explained())
    }

    /// The breakdown, if enough was added to speak of.
    fn told(&self) -> Option<&Breakdown> {
        self.breakdown
            .as_ref()
            .filter(|b| b.added_service() >= LEAST_ADDED_NS.max(LEAST_ADDED * b.service_before))
    }
}

impl Proofs {
    /// Weighs what changed, at most once a second.
    pub fn look(&mut self, timeline: &Timeline, at: RunTime, ledger: &mut Ledger) {
        if self.last.is_some_and(|last| at.since(last) < PACE) {
            return;
        }
        let known: Vec<&Entry> =
            ledger.entries().iter().filter(|e| e.finding.status >= Status::Likely).collect();
        self.weighed.retain(|id, _| known.iter().any(|e| &e.finding.id == id));
        let Some(onset) = known.iter().map(|e| e.finding.onset).min() else { return };
        self.last = Some(at);
        let mut changed: Vec<&Entry> = known
            .iter()
            .copied()
            .filter(|e| self.weighed.get(&e.finding.id).is_none_or(|w| w.seen != look_of(e)))
            .collect();
        if changed.is_empty() {
            return;
        }
        // Those longest not looked at first.
        changed.sort_by_key(|e| self.weighed.get(&e.finding.id).map(|w| w.at));
        let excess = Excess::read(timeline, at, onset);
        let mut confirmed = Vec::new();
        for entry in changed.into_iter().take(AT_ONCE) {
            let weighed = Weighed {
                at,
                seen: look_of(entry),
                blame: excess.as_ref().and_then(|x| Blame::of(x, &entry.episodes)),
                breakdown: breakdown::of(timeline, at, entry, &beside(&known, entry)),
            };
            let f = &entry.finding;
            if weighed.blame.as_ref().is_some_and(Blame::confirms) && f.contradicting.is_empty() {
                confirmed.push(f.id.clone());
            }
            self.weighed.insert(f.id.clone(), weighed);
        }
        confirmed.iter().for_each(|id| ledger.confirm(id));
    }

    /// The share of the added response time that a finding explains, 0 to 1: by its episodes where they pass the null test,
    /// else by its parts of the breakdown. None where neither can be told.
    pub fn explains(&self, id: &str) -> Option<f64> {
        self.weighed.get(id)?.explains()
    }

    /// Was it weighed and found to explain next to nothing of what was added?
    pub fn explains_little(&self, id: &str) -> bool {
        self.explains(id).is_some_and(|share| share < LITTLE)
    }

    /// The breakdown around a finding's onset.
    pub fn breakdown(&self, id: &str) -> Option<&Breakdown> {
        self.weighed.get(id)?.breakdown.as_ref()
    }

    /// For the reason of an effect: what its cause explains, only where the null test has shown it.
    pub fn reason(&self, cause: &str) -> Option<String> {
        let blame = self.weighed.get(cause)?.blame.as_ref().filter(|b| b.holds())?;
        Some(format!("it explains {:.0} % of the added response time", blame.of_all * 100.0))
    }

    /// Adds what is known to a finding's evidence, for it or against it, and takes back what that does not bear.
    pub fn tell(&self, f: &mut Finding) {
        let Some(w) = self.weighed.get(&f.id) else { return };
        if let Some(b) = &w.blame {
            let line = evidence(b.sentence(), b.lane, b.span, b.share, Unit::Ratio);
            if b.holds() {
                f.evidence.push(line);
            } else if b.is_chance() {
                f.contradicting.push(line);
                if !BESIDE_THE_TIME.contains(&f.kind) {
                    f.status = f.status.min(Status::Likely);
                }
            }
        }
        // A consequence is told under its cause, which has the same breakdown but for the onset.
        if f.caused_by.is_none() {
            f.evidence.extend(w.told().and_then(split_line));
        }
    }
}

/// When the other ones were seen, each from its onset to its latest evidence.
fn beside(known: &[&Entry], entry: &Entry) -> Vec<Span> {
    let others = known.iter().filter(|e| e.finding.id != entry.finding.id);
    others.map(|e| Span::new(e.finding.onset, e.last)).collect()
}

fn look_of(e: &Entry) -> (usize, RunTime, Option<RunTime>) {
    (e.episodes.len(), e.last, e.finding.ended)
}

/// `a sent request takes 412 ms longer on average; waiting for a connection of a pool: 2 us before, 300 ms since (73 % of it)`
fn split_line(b: &Breakdown) -> Option<Evidence> {
    let added = b.added_service();
    let own = b.parts.iter().chain(&b.inside).filter(|p| p.own && p.added() > 0.0);
    let part = own.max_by(|x, y| x.added().total_cmp(&y.added()))?;
    let share = part.added() / added;
    if share < LITTLE {
        return None;
    }
    // Loads of a cache may run at once in one request, or grow while something else shrinks.
    let of_it = if share < 0.995 { format!("{:.0} % of it", share * 100.0) } else { "all of it".to_owned() };
    let text = format!(
        "a request that was sent takes {} longer on average than before; {}: {} then, {} now ({of_it})",
        Unit::Ns.show(added),
        part.what,
        Unit::Ns.show(part.before),
        Unit::Ns.show(part.after)
    );
    let span = Span::new(b.before.start, b.after.end);
    // What is the difference of two is looked up under the first.
    let lane = part.lane.split(" - ").next().unwrap_or_default();
    Some(evidence(text, lane, span, share.min(1.0), Unit::Ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_takes_back_what_a_law_confirmed_of_the_time_alone() {
        let span = Span::new(RunTime::ZERO, RunTime::from_ms(30_000));
        let blame = Blame {
            share: 0.2,
            of_all: 0.2,
            chance: 0.2,
            as_good: 200,
            shifts: 400,
            apart: 400,
            episodes: 8,
            bad: 2,
            usually_bad: 0.2,
            sharp: true,
            lane: "client.response",
            span,
        };
        let told = |kind, blame: &Blame| {
            let weighed = Weighed { blame: Some(blame.clone()), ..Weighed::default() };
            let proofs = Proofs { weighed: [("F1".to_owned(), weighed)].into(), last: None };
            let mut f = Finding { status: Status::Confirmed, ..Finding::bare("F1", kind, RunTime::ZERO) };
            proofs.tell(&mut f);
            (f.status, f.contradicting.len())
        };
        assert_eq!(told(FindingKind::PoolSaturated, &blame), (Status::Likely, 1));
        assert_eq!(told(FindingKind::WorkerLost, &blame), (Status::Confirmed, 1));
        // A lane that smears episodes says nothing.
        let smeared = Blame { sharp: false, ..blame };
        assert_eq!(told(FindingKind::PoolSaturated, &smeared), (Status::Confirmed, 0));
    }
}
