//! The ledger: what was found in a run so far, and whether it still lasts.
//!
//! Owns identity over time: a claim continues the open finding of the same kind and identity or
//! opens a new one; status and severity only rise while it is open, and its words and figures are those of its strongest claim; it ends
//! when its detector has not seen it for as long as the claim says. What comes and goes may fill half of the room, so that what is new
//! finds some. Knows nothing of causes.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::{Finding, FindingKind, Span, Status};

use crate::detectors::{Claim, ONSET};
use crate::remedies;

/// Most findings of one run; a target that makes up pools must not eat our memory. What comes
/// beyond is counted by kind, and told by [`Diagnosis::left_out`](crate::Diagnosis::left_out).
pub const MAX_FINDINGS: usize = 200;
/// Beyond so many, what has been found before and has ended opens no new one: the rest is for what has not.
pub const MAX_RETURNING: usize = MAX_FINDINGS / 2;
/// Most episodes kept for one finding; the oldest go first.
const MAX_EPISODES: usize = 256;

/// One finding with what the ledger must remember of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As people will see it.
    pub finding: Finding,
    /// Spans in which it was seen, in order.
    pub episodes: Vec<Span>,
    /// Finer sort of the kind, see [`Claim::sort`].
    pub sort: &'static str,
    /// Latest evidence.
    pub last: RunTime,
    /// What makes it the same finding as an earlier claim's of its kind, see [`Claim::identity`].
    pub identity: String,
    template: String,
    quiet: Duration,
    /// When the finding before it ended, of the same kind and identity; what came before that is the other's.
    not_before: RunTime,
    /// Of the claim that the words are of.
    strength: Strength,
}

/// What a claim is compared by: *likely* or not, its weight, and of those of one weight the latest evidence. That a law agreed at a moment makes
/// the finding surer, and the figures of that moment no stronger; a later look at the same evidence has nothing to add.
type Strength = (Status, f64, RunTime);

fn strength(claim: &Claim) -> Strength {
    (claim.status.min(Status::Likely), claim.weight, claim.last)
}

/// All findings of a run.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    discovered: u64,
    overflow: BTreeMap<FindingKind, u64>,
}

impl Ledger {
    /// All entries in order of discovery.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many claims found no room, by kind.
    pub fn overflow(&self) -> &BTreeMap<FindingKind, u64> {
        &self.overflow
    }

    /// Takes one claim in at the tick `at`.
    pub fn take(&mut self, claim: Claim, at: RunTime) {
        if at.since(claim.last) > claim.quiet {
            return; // a look back at what is over
        }
        let same = |e: &&mut Entry| e.finding.kind == claim.kind && e.identity == claim.identity;
        match self.entries.iter_mut().rev().find(same) {
            Some(open) if open.finding.ended.is_none() => open.update(claim, at),
            // Evidence from before the end belongs to the finding that has ended.
            Some(over) if over.finding.ended.is_some_and(|end| claim.last <= end) => {}
            Some(over) => {
                let not_before = over.finding.ended.unwrap_or_default();
                self.open(claim, at, not_before, MAX_RETURNING);
            }
            None => self.open(claim, at, RunTime::ZERO, MAX_FINDINGS),
        }
    }

    fn open(&mut self, claim: Claim, at: RunTime, not_before: RunTime, most: usize) {
        if self.entries.len() >= most {
            *self.overflow.entry(claim.kind).or_default() += 1;
            return;
        }
        self.discovered += 1;
        self.entries.push(Entry::new(&format!("F{}", self.discovered), claim, at, not_before));
    }

    /// A null test agrees with a likely finding.
    pub fn confirm(&mut self, id: &str) {
        let found = self.entries.iter_mut().map(|e| &mut e.finding).find(|f| f.id == id);
        if let Some(f) = found.filter(|f| f.status == Status::Likely) {
            f.status = Status::Confirmed;
        }
    }

    /// Marks as ended what was not seen for long enough, unless what it did is still there by `lasts`.
    pub fn close(&mut self, at: RunTime, lasts: impl Fn(&Entry) -> bool) {
        for e in self.entries.iter_mut().filter(|e| e.finding.ended.is_none()) {
            if at.since(e.last) <= e.quiet {
                continue;
            }
            if lasts(e) {
                e.finding.last = Some(at);
            } else {
                (e.finding.ended, e.finding.last) = (Some(e.last), Some(e.last));
            }
        }
    }

    /// Takes findings out again that `drop` names, for good.
    pub fn withdraw(&mut self, drop: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let (gone, kept) = self.entries.drain(..).partition(|e| drop(e));
        self.entries = kept;
        gone
    }
}

impl Entry {
    fn new(id: &str, claim: Claim, at: RunTime, not_before: RunTime) -> Self {
        let finding = Finding {
            subject: claim.subject.clone(),
            severity: claim.severity,
            status: claim.status,
            found_at: at,
            ..Finding::bare(id, claim.kind, claim.onset.max(not_before))
        };
        let mut entry = Self {
            finding,
            episodes: Vec::new(),
            sort: claim.sort,
            last: claim.last,
            identity: claim.identity.clone(),
            template: String::new(),
            quiet: claim.quiet,
            not_before,
            strength: (Status::CannotTell, 0.0, RunTime::ZERO),
        };
        entry.update(claim, at);
        entry
    }

    fn update(&mut self, claim: Claim, at: RunTime) {
        let f = &mut self.finding;
        if f.status < Status::Likely && claim.status >= Status::Likely {
            f.found_at = at;
        }
        f.status = f.status.max(claim.status);
        f.severity = f.severity.max(claim.severity);
        f.onset = f.onset.min(claim.onset.max(self.not_before));
        self.last = self.last.max(claim.last);
        f.last = f.last.max(Some(self.last));
        self.quiet = claim.quiet; // the newest claim knows the period best
        self.remember(&claim.episodes);
        let strength = strength(&claim);
        if strength > self.strength {
            self.finding.remedies = remedies::of(&claim);
            self.strength = strength;
            self.sort = claim.sort;
            self.template = claim.claim;
            let f = &mut self.finding;
            f.subject = claim.subject;
            f.evidence = claim.evidence;
            f.contradicting = claim.contradicting;
            f.advice = claim.advice;
            f.missing = claim.missing;
        }
        self.finding.claim = self.template.replace(ONSET, &self.finding.onset.tenths());
    }

    /// Merges the newest episodes into the known ones: the same episode is seen again at every tick.
    fn remember(&mut self, newest: &[Span]) {
        for &span in newest.iter().filter(|e| e.end > self.not_before) {
            let i = self.episodes.partition_point(|e| e.end < span.start);
            match self.episodes.get_mut(i) {
                Some(e) if e.start <= span.end => {
                    e.start = e.start.min(span.start);
                    e.end = e.end.max(span.end);
                    let end = e.end;
                    while self.episodes.get(i + 1).is_some_and(|next| next.start <= end) {
                        let next = self.episodes.remove(i + 1);
                        self.episodes[i].end = end.max(next.end);
                    }
                }
                _ => self.episodes.insert(i, span),
            }
        }
        let surplus = self.episodes.len().saturating_sub(MAX_EPISODES);
        self.episodes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(onset_ms: u64, last_ms: u64, status: Status, weight: f64) -> Claim {
        let seen = Span::new(RunTime::from_ms(onset_ms), RunTime::from_ms(last_ms));
        Claim {
            identity: "db".into(),
            subject: "db".into(),
            status,
            quiet: Duration::from_secs(2),
            weight,
            claim: format!("weight {weight} since {ONSET}"),
            ..Claim::bare(FindingKind::PoolSaturated, seen)
        }
    }

    #[test]
    fn a_finding_rises_keeps_its_strongest_words_and_its_earliest_onset() {
        let mut l = Ledger::default();
        l.take(claim(1_500, 2_000, Status::Possible, 1.0), RunTime::from_ms(2_000));
        l.take(claim(1_000, 2_500, Status::Likely, 9.0), RunTime::from_ms(2_500));
        l.take(claim(2_000, 3_000, Status::Possible, 99.0), RunTime::from_ms(3_000));
        let f = &l.entries()[0].finding;
        assert_eq!(
            (f.id.as_str(), f.status, f.onset.as_ms(), f.found_at.as_ms()),
            ("F1", Status::Likely, 1_000, 2_500)
        );
        assert_eq!(f.claim, "weight 9 since 00:01.0");
        assert_eq!(l.entries()[0].episodes, [Span::new(RunTime::from_ms(1_000), RunTime::from_ms(3_000))]);
    }

    #[test]
    fn figures_are_the_heaviest_claim_s_and_not_those_of_the_moment_in_which_a_law_agreed() {
        let mut l = Ledger::default();
        let mut take = |last_ms, status, weight, look: &str| {
            let claim = claim(1_000, last_ms, status, weight);
            let claim = Claim { claim: format!("{look}, {}", claim.claim), ..claim };
            l.take(claim, RunTime::from_ms(last_ms + 500));
            let f = &l.entries()[0].finding;
            (f.status, f.claim.clone(), f.last.map(RunTime::as_ms))
        };
        let told = |look: &str, weight: u32, last_ms: u64| {
            (Status::Confirmed, format!("{look}, weight {weight} since 00:01.0"), Some(last_ms))
        };
        assert_eq!(take(2_000, Status::Confirmed, 2.0, "first"), told("first", 2, 2_000));
        assert_eq!(take(3_000, Status::Likely, 9.0, "second"), told("second", 9, 3_000));
        assert_eq!(take(3_000, Status::Likely, 9.0, "once more"), told("second", 9, 3_000));
        assert_eq!(take(4_000, Status::Confirmed, 3.0, "lighter"), told("second", 9, 4_000));
        assert_eq!(take(5_000, Status::Likely, 9.0, "newer"), told("newer", 9, 5_000));
    }

    #[test]
    fn what_comes_back_after_its_end_is_a_new_finding_with_a_later_onset() {
        let mut l = Ledger::default();
        l.take(claim(1_000, 2_000, Status::Likely, 1.0), RunTime::from_ms(2_000));
        l.close(RunTime::from_ms(4_500), |_| true);
        let f = &l.entries()[0].finding;
        assert_eq!((f.ended, f.last), (None, Some(RunTime::from_ms(4_500))), "what it did is still there");
        l.close(RunTime::from_ms(4_500), |_| false);
        let f = &l.entries()[0].finding;
        assert_eq!((f.ended, f.last), (Some(RunTime::from_ms(2_000)), Some(RunTime::from_ms(2_000))));
        l.take(claim(1_000, 2_000, Status::Likely, 1.0), RunTime::from_ms(3_900));
        assert_eq!(l.entries().len(), 1, "old evidence opens nothing");
        l.take(claim(1_900, 6_000, Status::Likely, 1.0), RunTime::from_ms(6_000));
        assert_eq!(l.entries()[1].finding.id, "F2");
        assert_eq!(l.entries()[1].finding.onset, RunTime::from_ms(2_000));
    }

    #[test]
    fn what_comes_and_goes_leaves_room_for_what_is_new() {
        let mut l = Ledger::default();
        for i in 0..300 {
            let begins = i * 10_000;
            let (last, later) = (RunTime::from_ms(begins + 1_000), RunTime::from_ms(begins + 5_000));
            l.take(claim(begins, begins + 1_000, Status::Likely, 1.0), last);
            l.close(later, |_| false);
        }
        let left_out = BTreeMap::from([(FindingKind::PoolSaturated, 200)]);
        assert_eq!((l.entries().len(), l.overflow()), (MAX_RETURNING, &left_out));
        let at = RunTime::from_ms(3_001_000);
        l.take(Claim { identity: "other".into(), ..claim(3_000_000, 3_001_000, Status::Likely, 1.0) }, at);
        assert_eq!((l.entries().len(), l.overflow()), (MAX_RETURNING + 1, &left_out));
    }
}
