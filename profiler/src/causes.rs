//! Causes: which finding set off which, and in what order findings are told.
//!
//! Owns the ranking; what can cause what is in [`crate::mechanisms`]. A finding hangs under another one only if these
//! things hold: the table knows a mechanism (of some, within one pool, cache or service alone), the cause began before (within the resolution of the
//! lanes; what blocks a loop is known up to six seconds after its first stalls), and was not over for long when the effect began, and, where both come and go, most of the effect lies in
//! the time of the cause. Otherwise they are independent and both stay roots.
//!
//! What a finding says of itself alone (that the load needs more of something than there is) is not said under a cause: without that the
//! load may need no more, and more may make it worse. It says to cure the root first.
//!
//! The table has circles (a pause lets memory pile up, which starves the loop, which is a pause), and findings that begin together may
//! each be the next one's cause in its eyes. What began first was there without the others, so it is told
//! without that cause: no choice of causes leads back to where it began.

use std::borrow::Cow;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::{Finding, FindingKind, Severity, Span, Status};

use crate::detectors::{ALONE, heap_churn, joined, loop_blocked};
use crate::ledger::Entry;
use crate::mechanisms::{MECHANISMS, Mechanism};
use crate::proof::Proofs;

/// How much later than its effect a cause may seem to begin: two intervals of a 10 Hz lane, since
/// each side's onset is known to one interval.
const RESOLUTION: Duration = Duration::from_millis(200);
/// The same where one of them is churn, whose beginning is known to a cell.
const CHURN_RESOLUTION: Duration = RESOLUTION.saturating_add(heap_churn::CELL);
/// For so long before a loop is known to be blocked its single stalls count as of the same making: they are told before there are enough of
/// them to know the route.
const STALLS_BEFORE: Duration = Duration::from_secs(loop_blocked::WINDOW_S as u64);
/// How long after its cause was last seen an effect may begin: time for a queue to form.
const REACH: Duration = Duration::from_secs(3);
/// How long an effect outlives an episode of its cause: time for a queue to drain.
const DRAIN: Duration = Duration::from_millis(500);
/// Least share of the effect's time that must lie in the cause's, where they come and go together.
/// An independent effect that lasts shows the cause's share of all time instead, a third for loads of
/// 0.3 s every second.
const LEAST_SHARE: f64 = 0.5;
/// Effects that truly begin long after their cause is over: what was loaded at once expires at once, a time to live later.
const LATER: [(FindingKind, FindingKind); 1] = [(FindingKind::CacheCold, FindingKind::CacheAvalanche)];

/// Sets `caused_by` of every entry's finding, adds what `proofs` know of it and returns them ranked: roots worst first,
/// each followed by its consequences.
pub fn rank(entries: &[Entry], proofs: &Proofs) -> Vec<Finding> {
    let mut findings: Vec<Finding> = entries.iter().map(|e| e.finding.clone()).collect();
    let causes = chosen(entries);
    let cause_of = |place: usize| causes[place].as_ref().map(|c| c.place);
    for (place, finding) in findings.iter_mut().enumerate() {
        let chain = std::iter::successors(cause_of(place), |&p| cause_of(p));
        let root = chain.take(entries.len()).last();
        under(root.map(|p| &entries[p].finding), finding);
    }
    for (finding, cause) in findings.iter_mut().zip(causes) {
        if let Some(Cause { place, reason, .. }) = cause {
            let id = &entries[place].finding.id;
            let explained = proofs.reason(id).map_or_else(String::new, |text| format!("; {text}"));
            finding.caused_by_reason = Some(reason + &explained);
            finding.caused_by = Some(id.clone());
        }
        proofs.tell(finding);
    }
    in_order(&findings, proofs)
}

/// Takes out of a finding what is said only of one that nothing set off, and says to cure the `root` of it first; without a root all stays.
fn under(root: Option<&Finding>, finding: &mut Finding) {
    let Some(root) = root else {
        let evidence = finding.evidence.iter_mut().map(|e| &mut e.text);
        for text in finding.advice.iter_mut().chain(evidence).chain([&mut finding.claim]) {
            *text = text.replace(ALONE, "");
        }
        return;
    };
    if let Some(end) = finding.claim.find(ALONE) {
        finding.claim.truncate(end);
    }
    finding.evidence.retain(|e| !e.text.starts_with(ALONE));
    let all = finding.advice.len();
    finding.advice.retain(|advice| !advice.starts_with(ALONE));
    if finding.advice.len() < all {
        finding.remedies.clear();
        let of = if root.subject.is_empty() { String::new() } else { format!(" of {}", root.subject) };
        let first = format!(
            "First cure {} ({}{of}): how many are enough can be told only without it.",
            root.id,
            root.kind.title()
        );
        finding.advice.insert(0, first);
    }
}

/// What set a finding off: its place among the entries, and why it is believed.
struct Cause {
    place: usize,
    reason: String,
    /// It is known from after the effect's beginning only, as what blocks a loop is.
    is_late: bool,
}

/// The cause of each entry: its best one, unless that closes a circle that it began.
fn chosen(entries: &[Entry]) -> Vec<Option<Cause>> {
    let mut possible: Vec<Vec<Cause>> = entries.iter().map(|e| causes_of(entries, e)).collect();
    while let Some(first) = began_a_circle(entries, &possible) {
        possible[first].pop();
    }
    possible.into_iter().map(|mut causes| causes.pop()).collect()
}

/// Of the findings of which each has the next one as its best cause, and the last one the first, the one that began first.
fn began_a_circle(entries: &[Entry], possible: &[Vec<Cause>]) -> Option<usize> {
    let cause = |&effect: &usize| possible[effect].last().map(|c| c.place);
    (0..entries.len()).find_map(|start| {
        let way: Vec<usize> = std::iter::successors(Some(start), cause).take(entries.len() + 1).collect();
        let back = way.iter().skip(1).position(|&place| place == start)?;
        way[..=back].iter().copied().min_by_key(|&place| (entries[place].finding.onset, place))
    })
}

/// All causes of `effect`, the best one last: the surest, then the one that began last before it; what is known from later on comes behind those.
fn causes_of(entries: &[Entry], effect: &Entry) -> Vec<Cause> {
    let others = entries.iter().enumerate().filter(|(_, c)| c.finding.id != effect.finding.id);
    let mut causes: Vec<Cause> = others
        .filter_map(|(place, c)| {
            let m = MECHANISMS.iter().find(|m| {
                m.cause == c.finding.kind
                    && m.effect == effect.finding.kind
                    && m.holds_for(c.sort, effect.sort)
                    && (!m.of_one || c.identity == effect.identity)
            })?;
            explains(place, c, effect, m)
        })
        .collect();
    let finding = |c: &Cause| &entries[c.place].finding;
    causes.sort_by_key(|c| (finding(c).status, !c.is_late, finding(c).onset));
    causes
}

/// Whether the entry at `place`, `cause`, is believed to have set off `effect`, and why.
fn explains(place: usize, cause: &Entry, effect: &Entry, m: &Mechanism) -> Option<Cause> {
    let (first, then) = (cause.finding.onset, effect.finding.onset);
    let is_churn = [m.cause, m.effect].contains(&FindingKind::HeapChurn);
    let is_stalls = m.cause == FindingKind::LoopBlocked && effect.sort == kinds::PAUSE_WORKER_STALL;
    let known_to = if is_churn { CHURN_RESOLUTION } else { RESOLUTION };
    let before = if is_stalls { STALLS_BEFORE } else { Duration::ZERO };
    let is_over = cause.finding.ended.is_some();
    // What gathers may begin at any time while its cause lasts, though that is seen only now and then.
    let any_time = LATER.contains(&(m.cause, m.effect)) || (!m.together && !is_over);
    let in_order = first <= then + known_to.max(before) && (any_time || then <= cause.last + REACH);
    // What is only possible explains nothing.
    if !in_order || cause.finding.status < Status::Likely {
        return None;
    }
    let is_late = first > then + known_to;
    let show = |time: Duration| timeline::Unit::Ns.show(time.as_nanos() as f64);
    let order = if is_late {
        format!(
            "is known {} after the first of them, once there were enough to tell",
            show(first.since(then))
        )
    } else if then.since(first) >= RESOLUTION {
        format!("precedes by {}", show(then.since(first)))
    } else {
        format!("begins with it, within {}", show(known_to))
    };
    if !m.together {
        return Some(Cause { place, reason: format!("{order}; {}", m.reason), is_late });
    }
    let mut causes = Cow::Borrowed(&cause.episodes);
    if !before.is_zero() {
        let first = causes.to_mut().first_mut()?;
        first.start = first.start.back(before);
    }
    let share = share_within(&effect.episodes, &causes, cause.last, is_over)?;
    let reason = format!("{order}; {:.0} % of its time lies within; {}", share * 100.0, m.reason);
    (share >= LEAST_SHARE).then_some(Cause { place, reason, is_late })
}

/// The share of `effects` that lies within `causes` (each with its drain), up to `last`, the cause's last
/// evidence, or until its last episode is over: what came later cannot be judged yet. Once the cause `is_over` it can: an effect
/// that goes on beyond the reach of that end has another cause. Only the time in between, in which a queue that was left may drain,
/// speaks neither for nor against it. None if the effect has no time there.
fn share_within(effects: &[Span], causes: &[Span], last: RunTime, is_over: bool) -> Option<f64> {
    let from = causes.first()?.start.back(RESOLUTION);
    // An episode may outlast the evidence: what was removed in an instant is loaded for seconds.
    let last = causes.last()?.end.max(last);
    let known = Span::new(from, last + DRAIN);
    let beyond = is_over.then(|| Span::new(last + REACH, RunTime(u64::MAX)));
    let causes = causes.iter().map(|c| Span::new(c.start.back(RESOLUTION), c.end + DRAIN)).collect();
    let causes = joined(causes, Duration::ZERO);
    let (mut all, mut within) = (Duration::ZERO, Duration::ZERO);
    for effect in effects {
        all += effect.overlap(known) + beyond.map_or(Duration::ZERO, |span| effect.overlap(span));
        within += causes.iter().map(|c| c.overlap(*effect)).sum::<Duration>();
    }
    (all > Duration::ZERO).then(|| within.as_secs_f64() / all.as_secs_f64())
}

/// Roots worst first, each followed by what it caused. Among equally bad and sure ones, those that were weighed and
/// found to explain next to nothing of the added response time come last; else the earliest is first. A
/// greater share does not put a root before an earlier one: a queue at the end of a chain explains most of the
/// time and the least of the cause.
fn in_order(findings: &[Finding], proofs: &Proofs) -> Vec<Finding> {
    let mut roots: Vec<&Finding> = findings.iter().filter(|f| f.caused_by.is_none()).collect();
    roots.sort_by_cached_key(|f| {
        let invalid = f.kind == FindingKind::GeneratorLimited;
        let little = proofs.explains_little(&f.id);
        (!invalid, std::cmp::Reverse((worst(findings, f), f.status)), little, f.onset, f.id.clone())
    });
    let mut out = Vec::with_capacity(findings.len());
    for root in roots {
        tell(findings, root, &mut out);
    }
    out
}

/// The worst severity of a finding and all that it caused.
fn worst(findings: &[Finding], root: &Finding) -> Severity {
    effects(findings, root).map(|f| worst(findings, f)).fold(root.severity, Severity::max)
}

fn effects<'a>(findings: &'a [Finding], root: &'a Finding) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(|f| f.caused_by.as_deref() == Some(root.id.as_str()))
}

fn tell(findings: &[Finding], root: &Finding, out: &mut Vec<Finding>) {
    out.push(root.clone());
    let mut next: Vec<&Finding> = effects(findings, root).collect();
    next.sort_by_key(|f| (std::cmp::Reverse(f.severity), f.onset));
    for effect in next {
        tell(findings, effect, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::Claim;
    use crate::ledger::Ledger;

    #[test]
    fn how_much_is_enough_is_said_only_of_what_nothing_set_off() {
        let seen = |from| Span::new(RunTime::from_ms(from), RunTime::from_ms(9_000));
        let saturated = Claim {
            claim: format!("saturated{ALONE}; it needs 9"),
            evidence: vec![crate::detectors::evidence(
                format!("{ALONE}it asks"),
                "pool.db.acquired",
                seen(1_500),
                1.0,
                timeline::Unit::Count,
            )],
            advice: vec![format!("{ALONE}Raise it."), "Look.".to_owned()],
            remedies: vec![timeline::Remedy::number("pool.db.capacity", 9.0)],
            ..Claim::bare(FindingKind::PoolSaturated, seen(1_500))
        };
        let told = |others: &[Claim]| {
            let mut ledger = Ledger::default();
            for claim in others.iter().chain([&saturated]) {
                ledger.take(claim.clone(), RunTime::from_ms(9_000));
            }
            let told = rank(ledger.entries(), &Proofs::default());
            told.into_iter().find(|f| f.kind == FindingKind::PoolSaturated).unwrap()
        };
        let alone = told(&[]);
        assert_eq!(
            (alone.claim.as_str(), alone.evidence[0].text.as_str()),
            ("saturated; it needs 9", "it asks")
        );
        assert!(alone.advice == ["Raise it.", "Look."] && alone.remedies.len() == 1, "{alone:?}");
        // A lost worker's successor has an empty cache: the root of it is named, not the link in between.
        let lost = Claim::bare(FindingKind::WorkerLost, seen(1_000));
        let cold =
            Claim { subject: "products".to_owned(), ..Claim::bare(FindingKind::CacheCold, seen(1_300)) };
        let under = told(&[lost, cold]);
        assert_eq!((under.claim.as_str(), under.caused_by.as_deref()), ("saturated", Some("F2")));
        assert!(under.evidence.is_empty() && under.remedies.is_empty(), "{under:?}");
        assert!(under.advice[0].starts_with("First cure F1 (worker lost): "), "{under:?}");
        assert_eq!(under.advice[1..], ["Look."]);
    }

    #[test]
    fn what_one_pool_has_lost_is_missing_in_no_other() {
        let seen = |from| Span::new(RunTime::from_ms(from), RunTime::from_ms(9_000));
        let caused_by = |pool: &str| {
            let mut ledger = Ledger::default();
            for (kind, identity, from) in
                [(FindingKind::PoolLeak, "pg", 1_000), (FindingKind::PoolSaturated, pool, 2_000)]
            {
                let claim = Claim { identity: identity.to_owned(), ..Claim::bare(kind, seen(from)) };
                ledger.take(claim, RunTime::from_ms(9_000));
            }
            let told = rank(ledger.entries(), &Proofs::default());
            told.into_iter().find(|f| f.kind == FindingKind::PoolSaturated).unwrap().caused_by
        };
        assert_eq!((caused_by("pg").as_deref(), caused_by("pg-2")), (Some("F1"), None));
    }

    /// Findings that last from their onset (ms) to 9 s, ranked.
    fn ranked(findings: &[(FindingKind, &'static str, u64)]) -> Vec<Finding> {
        let (mut ledger, end) = (Ledger::default(), RunTime::from_ms(9_000));
        for &(kind, sort, onset) in findings {
            let seen = Span::new(RunTime::from_ms(onset), end);
            ledger.take(Claim { sort, ..Claim::bare(kind, seen) }, end);
        }
        rank(ledger.entries(), &Proofs::default())
    }

    /// What is told of an effect and its cause, each seen in its span (ms); whatever was last seen long before `now` is over by then.
    fn caused_by(cause: (FindingKind, Span), effect: (FindingKind, Span), now: u64) -> Option<String> {
        let mut ledger = Ledger::default();
        for (kind, seen) in [cause, effect] {
            ledger.take(Claim::bare(kind, seen), seen.end);
        }
        ledger.close(RunTime::from_ms(now), |_| false);
        let told = rank(ledger.entries(), &Proofs::default());
        told.into_iter().find(|f| f.kind == effect.0).unwrap().caused_by_reason
    }

    /// Each with the kind of its cause.
    fn chain(findings: &[(FindingKind, &'static str, u64)]) -> Vec<(FindingKind, Option<FindingKind>)> {
        let told = ranked(findings);
        let kind = |id: &String| told.iter().find(|f| &f.id == id).map(|f| f.kind);
        told.iter().map(|f| (f.kind, f.caused_by.as_ref().and_then(kind))).collect()
    }

    #[test]
    fn of_a_circle_what_began_first_is_told_without_a_cause() {
        use FindingKind::{HeapBloat, HeapLeak, LongPause, LoopStarved, PoolSaturated};
        let starved = (LoopStarved, "", 1_000);
        let bloated = (HeapBloat, "", 1_100);
        let paused = (LongPause, kinds::PAUSE_HICCUP, 1_050);
        assert_eq!(
            chain(&[bloated, paused, starved]),
            [(LoopStarved, None), (LongPause, Some(LoopStarved)), (HeapBloat, Some(LongPause))]
        );
        // At the same instant it is the one that was found first.
        assert_eq!(
            chain(&[(HeapBloat, "", 1_000), paused, starved]),
            [(HeapBloat, None), (LoopStarved, Some(HeapBloat)), (LongPause, Some(LoopStarved))]
        );
        assert_eq!(
            chain(&[
                (HeapLeak, "", 1_100),
                (LongPause, kinds::PAUSE_MAJOR, 1_000),
                (PoolSaturated, "", 1_050)
            ]),
            [(LongPause, None), (PoolSaturated, Some(LongPause)), (HeapLeak, Some(PoolSaturated))]
        );
    }

    #[test]
    fn stalls_before_their_route_was_known_are_of_the_same_making() {
        use FindingKind::{CpuSaturated, LongPause, LoopBlocked};
        // Stalls of one sort from 1 s to 2 s, and afterwards what blocks the loop; `more` is another finding.
        let cause = |sort, blocked: (u64, u64), more: &[(FindingKind, u64, u64)]| {
            let mut ledger = Ledger::default();
            let claims = [(LongPause, sort, ms(1_000, 2_000)), (LoopBlocked, "", ms(blocked.0, blocked.1))];
            let more = more.iter().map(|&(kind, from, to)| (kind, "", ms(from, to)));
            for (kind, sort, seen) in claims.into_iter().chain(more) {
                ledger.take(Claim { sort, ..Claim::bare(kind, seen) }, seen.end);
            }
            let told = rank(ledger.entries(), &Proofs::default());
            let pause = told.iter().find(|f| f.kind == LongPause).unwrap();
            let id = pause.caused_by.as_deref()?;
            Some((told.iter().find(|f| f.id == id)?.kind, pause.caused_by_reason.clone()?))
        };
        let stall = kinds::PAUSE_WORKER_STALL;
        let (kind, reason) = cause(stall, (4_000, 9_000), &[]).unwrap();
        assert_eq!(kind, LoopBlocked);
        assert!(reason.starts_with("is known 3.00 s after the first of them, once "), "{reason}");
        assert_eq!(cause(stall, (8_000, 9_000), &[]), None, "not in the same six seconds");
        assert_eq!(cause(kinds::PAUSE_STOP_THE_WORLD, (4_000, 9_000), &[]), None);
        // What was there before comes first.
        let full = [(CpuSaturated, 900, 9_000)];
        assert_eq!(cause(stall, (4_000, 9_000), &full).unwrap().0, CpuSaturated);
    }

    #[test]
    fn who_lacks_a_descriptor_for_being_asked_does_not_stand_still_and_sets_nothing_off() {
        use FindingKind::{FdExhausted, LongPause, PoolSaturated};
        let full = (FdExhausted, "", 1_000);
        let of = |sort| chain(&[full, (LongPause, sort, 2_000), (PoolSaturated, "", 2_100)]);
        let unasked = of(crate::detectors::long_pause::UNASKED);
        assert!(unasked.contains(&(LongPause, Some(FdExhausted))), "{unasked:?}");
        assert!(unasked.contains(&(PoolSaturated, None)), "{unasked:?}");
        // One that has stopped has done so for another reason, whoever is out of descriptors.
        let stopped = of(kinds::PAUSE_HICCUP);
        assert!(stopped.contains(&(LongPause, None)), "{stopped:?}");
        assert!(stopped.contains(&(PoolSaturated, Some(LongPause))), "{stopped:?}");
    }

    #[test]
    fn whoever_opens_a_circle_may_have_another_cause() {
        use FindingKind::{HeapBloat, LongPause, LoopBlocked, LoopStarved};
        let circle =
            [(LoopStarved, "", 1_000), (LongPause, kinds::PAUSE_HICCUP, 1_050), (HeapBloat, "", 1_100)];
        let told = chain(&[(LoopBlocked, "", 900), circle[0], circle[1], circle[2]]);
        assert_eq!(told[0], (LoopBlocked, None), "{told:?}");
        assert!(told.contains(&(LoopStarved, Some(LoopBlocked))) && told.len() == 4, "{told:?}");
    }

    fn ms(a: u64, b: u64) -> Span {
        Span::new(RunTime::from_ms(a), RunTime::from_ms(b))
    }

    #[test]
    fn an_effect_that_comes_and_goes_with_its_cause_lies_within_it() {
        let causes = [ms(1_000, 1_600), ms(3_000, 3_600)];
        let bursts = [ms(1_100, 1_900), ms(3_100, 3_900)];
        let last = RunTime::from_ms(3_600);
        assert_eq!(share_within(&bursts, &causes, last, false), Some(1.0));
        assert_eq!(share_within(&bursts, &causes, last, true), Some(1.0));
        let (lasting, seldom) = ([ms(0, 9_000)], [ms(1_000, 1_100), ms(6_000, 6_100)]);
        assert!(share_within(&lasting, &seldom, RunTime::from_ms(6_100), false).unwrap() < LEAST_SHARE);
        // As many as the ledger remembers, each by itself.
        let many: Vec<Span> = (1..=200).map(|s| ms(s * 1_000, s * 1_000 + 100)).collect();
        assert_eq!(share_within(&many, &many, RunTime::from_ms(200_100), false), Some(1.0));
        // The evidence of each was over long before its episode.
        let early = RunTime::from_ms(3_050);
        assert_eq!(share_within(&bursts, &causes, early, false), Some(1.0));
        assert_eq!(share_within(&bursts, &causes, early, true), Some(1.0));
        assert_eq!(share_within(&[ms(9_000, 9_500)], &causes, last, false), None);
        assert_eq!(share_within(&[ms(9_000, 9_500)], &causes, last, true), Some(0.0));
    }

    #[test]
    fn an_effect_that_goes_on_when_its_cause_is_over_has_another_one() {
        use FindingKind::{LongPause, PoolSaturated};
        let paused = (LongPause, ms(10_000, 10_400));
        let saturated = |until| (PoolSaturated, ms(10_300, until));
        // While the pause may go on nobody can tell.
        assert!(caused_by(paused, saturated(12_000), 12_000).is_some());
        assert_eq!(caused_by(paused, saturated(60_000), 60_000), None);
        // What drains after it is its own.
        let reason = caused_by(paused, saturated(11_500), 60_000).unwrap();
        assert!(reason.contains("100 % of its time lies within"), "{reason}");
    }

    #[test]
    fn what_gathers_begins_while_its_cause_lasts_or_soon_after() {
        use FindingKind::{CacheAvalanche, CacheCold, HeapLeak, PoolSaturated};
        let (saturated, leak) = ((PoolSaturated, ms(20_000, 30_000)), |from| (HeapLeak, ms(from, 310_000)));
        assert!(caused_by(saturated, leak(32_000), 310_000).is_some());
        assert_eq!(caused_by(saturated, leak(300_000), 310_000), None);
        // A time to live later.
        let avalanche = (CacheAvalanche, ms(300_000, 301_000));
        assert!(caused_by((CacheCold, ms(20_000, 21_000)), avalanche, 301_000).is_some());
    }
}
