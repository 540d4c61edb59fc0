//! Causes: which finding set off which, and in what order findings are told.
//!
//! Owns the ranking; what can cause what is in [`crate::mechanisms`]. A finding hangs under another one only if three
//! things hold: the table knows a mechanism, the cause began before (within the resolution of the
//! lanes), and, where both come and go, most of the effect lies in the time of the cause. Otherwise they are
//! independent and both stay roots.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::{Finding, FindingKind, Severity, Span, Status};

use crate::ledger::Entry;
use crate::mechanisms::{MECHANISMS, Mechanism};
use crate::proof::Proofs;

/// How much later than its effect a cause may seem to begin: two intervals of a 10 Hz lane, since
/// each side's onset is known to one interval.
const RESOLUTION: Duration = Duration::from_millis(200);
/// How long after its cause was last seen an effect may begin: time for a queue to form.
const REACH: Duration = Duration::from_secs(3);
/// How long an effect outlives an episode of its cause: time for a queue to drain.
const DRAIN: Duration = Duration::from_millis(500);
/// Least share of the effect's time that must lie in the cause's, where they come and go together.
/// An independent effect that lasts shows the cause's share of all time instead, a third for loads of
/// 0.3 s every second.
const LEAST_SHARE: f64 = 0.5;

/// Sets `caused_by` of every entry's finding, adds what `proofs` know of it and returns them ranked: roots worst first,
/// each followed by its consequences.
pub fn rank(entries: &[Entry], proofs: &Proofs) -> Vec<Finding> {
    let mut findings: Vec<Finding> = entries.iter().map(|e| e.finding.clone()).collect();
    for (i, effect) in entries.iter().enumerate() {
        if let Some((cause, reason)) = cause_of(entries, effect) {
            let explained = proofs.reason(&cause).map_or_else(String::new, |text| format!("; {text}"));
            findings[i].caused_by_reason = Some(reason + &explained);
            findings[i].caused_by = Some(cause);
        }
        proofs.tell(&mut findings[i]);
    }
    in_order(&findings, proofs)
}

/// The best cause of `effect`: the surest, then the one that began last before it.
fn cause_of(entries: &[Entry], effect: &Entry) -> Option<(String, String)> {
    entries
        .iter()
        .filter(|c| c.finding.id != effect.finding.id)
        .filter_map(|c| {
            let m = MECHANISMS.iter().find(|m| {
                m.cause == c.finding.kind
                    && m.effect == effect.finding.kind
                    && m.holds_for(c.sort, effect.sort)
            })?;
            let reason = explains(c, effect, m)?;
            Some(((c.finding.status, c.finding.onset), c.finding.id.clone(), reason))
        })
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, id, reason)| (id, reason))
}

fn explains(cause: &Entry, effect: &Entry, m: &Mechanism) -> Option<String> {
    let (first, then) = (cause.finding.onset, effect.finding.onset);
    let in_order = first <= then + RESOLUTION && (!m.together || then <= cause.last + REACH);
    // A cause that was itself only noticed later than its effect's end explains nothing.
    if !in_order || cause.finding.status < Status::Likely {
        return None;
    }
    let order = if then.since(first) >= RESOLUTION {
        format!("precedes by {}", timeline::Unit::Ns.show(then.since(first).as_nanos() as f64))
    } else {
        "begins with it, within 200 ms".to_owned()
    };
    if !m.together {
        return Some(format!("{order}; {}", m.reason));
    }
    let share = share_within(&effect.episodes, &cause.episodes, cause.last)?;
    (share >= LEAST_SHARE)
        .then(|| format!("{order}; {:.0} % of its time lies within; {}", share * 100.0, m.reason))
}

/// The share of `effects` that lies within `causes` (each with its drain), up to the cause's last
/// evidence: what came later cannot be judged yet. None if the effect has no time there.
fn share_within(effects: &[Span], causes: &[Span], until: RunTime) -> Option<f64> {
    let until = until + DRAIN;
    let from = causes.first()?.start.back(RESOLUTION);
    let known = Span::new(from, until);
    let mut causes: Vec<Span> =
        causes.iter().map(|c| Span::new(c.start.back(RESOLUTION), c.end + DRAIN)).collect();
    causes.dedup_by(|next, open| {
        let joined = next.start <= open.end;
        if joined {
            open.end = open.end.max(next.end);
        }
        joined
    });
    let (mut all, mut within) = (Duration::ZERO, Duration::ZERO);
    for effect in effects {
        all += effect.overlap(known);
        within += causes.iter().map(|c| c.overlap(*effect)).sum::<Duration>();
    }
    (all > Duration::ZERO).then(|| within.as_secs_f64() / all.as_secs_f64())
}

/// Roots worst first, each followed by what it caused. Among equally bad and sure ones, those that were weighed and
/// found to explain next to nothing of the added response time come last; else the earliest is first. A
/// greater share does not put a root before an earlier one: a queue at the end of a chain explains most of the
/// time and the least of the cause.
fn in_order(findings: &[Finding], proofs: &Proofs) -> Vec<Finding> {
    let mut roots: Vec<&Finding> =
        findings.iter().filter(|f| f.caused_by.is_none() || in_circle(findings, f)).collect();
    roots.sort_by_cached_key(|f| {
        let invalid = f.kind == FindingKind::GeneratorLimited;
        let little = proofs.explains_little(&f.id);
        (!invalid, std::cmp::Reverse((worst(findings, f, 0), f.status)), little, f.onset, f.id.clone())
    });
    let mut out = Vec::with_capacity(findings.len());
    for root in roots {
        tell(findings, root, &mut out);
    }
    out
}

/// The worst severity of a finding and all that it caused.
fn worst(findings: &[Finding], root: &Finding, depth: usize) -> Severity {
    if depth > MECHANISMS.len() {
        return root.severity;
    }
    effects(findings, root).map(|f| worst(findings, f, depth + 1)).fold(root.severity, Severity::max)
}

fn effects<'a>(findings: &'a [Finding], root: &'a Finding) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(|f| f.caused_by.as_deref() == Some(root.id.as_str()))
}

fn tell(findings: &[Finding], root: &Finding, out: &mut Vec<Finding>) {
    if out.iter().any(|f| f.id == root.id) {
        return;
    }
    out.push(root.clone());
    let mut next: Vec<&Finding> = effects(findings, root).collect();
    next.sort_by_key(|f| (std::cmp::Reverse(f.severity), f.onset));
    for effect in next {
        tell(findings, effect, out);
    }
}

/// Does following the causes never come to a root? The table has no such circle today; if two rows
/// ever make one, its findings must still be told.
fn in_circle(findings: &[Finding], start: &Finding) -> bool {
    let mut at = start;
    for _ in 0..=findings.len() {
        let Some(cause) = &at.caused_by else { return false };
        let Some(next) = findings.iter().find(|f| &f.id == cause) else { return true };
        at = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(a: u64, b: u64) -> Span {
        Span::new(RunTime::from_ms(a), RunTime::from_ms(b))
    }

    #[test]
    fn an_effect_that_comes_and_goes_with_its_cause_lies_within_it() {
        let causes = [ms(1_000, 1_600), ms(3_000, 3_600)];
        let bursts = [ms(1_100, 1_900), ms(3_100, 3_900)];
        assert_eq!(share_within(&bursts, &causes, RunTime::from_ms(3_600)), Some(1.0));
        let lasting = [ms(0, 9_000)];
        assert!(
            share_within(&lasting, &[ms(1_000, 1_100), ms(6_000, 6_100)], RunTime::from_ms(6_100)).unwrap()
                < LEAST_SHARE
        );
        assert_eq!(share_within(&[ms(9_000, 9_500)], &causes, RunTime::from_ms(3_600)), None);
    }
}
