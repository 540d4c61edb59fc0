//! Connections refused: clients do not get a connection, or lose the one they have.
//!
//! **Claim.** So many connections were refused, not made in time, had no way to the target, or were broken. **Reads** `client.errors` by kind, `client.achieved`. **Needs** the errors alone.
//! **Statistic.** Counts: five in the last 3 s, in two samples at least, and one in a thousand starts; a few breaks of a keep-alive connection that
//! both ends use at once are usual.
//! Beside instruments, which may have ended with the process that they watched, one in a hundred starts, and only while they have found nothing;
//! where most were refused, unless they have found that a process died: nothing else in a target lets nobody listen.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::super::{Answer, Claim, ONSET, episodes, evidence, plural};
use super::{BESIDE_DEATHS, BESIDE_INSTRUMENTS, alone, attach, beside_instruments, unfit};
use crate::window;

/// Window, seconds.
const WINDOW_S: f64 = 3.0;
/// Errors in it, samples that have one, and errors over starts, at least.
const LEAST_ERRORS: f64 = 5.0;
const LEAST_SAMPLES: usize = 2;
const LEAST_SHARE: f64 = 1e-3;
/// Share of starts that is critical.
const CRITICAL_SHARE: f64 = 0.01;
/// Kinds of errors, what they mean, and where to look first.
const KINDS: [(&str, &str, &str); 5] = [
    (
        "connect-refused",
        "refused",
        "Nobody listens: see whether the process is there, on that address and port, and whether it was restarted.",
    ),
    (
        "connect-timeout",
        "not made in time",
        "Nobody accepts: see its listen queue (ss -lt) and whether its loop turns; a firewall drops silently, too.",
    ),
    (
        "unreachable",
        "without a way to the target",
        "The client's own system has no way there: see its route (ip route get), whether the interface is up, and its firewall.",
    ),
    (
        "reset",
        "reset",
        "Something closes connections in use: a crash, a deploy without draining, a proxy's limit, an idle limit shorter than the client's.",
    ),
    (
        "closed-early",
        "closed before the answer was whole",
        "The process ended or gave up inside an answer: see its log at that time.",
    ),
];
/// No error for so long has ended it.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at errors of connections.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    // A generator declares a lane of errors only once there is one.
    if !timeline.has(names::ACHIEVED) {
        return Answer::CannotTell(vec![names::ERRORS.to_owned()]);
    }
    if let Some(unfit) = unfit(timeline, at) {
        return unfit;
    }
    let claim = look_at(timeline, at);
    if !alone(timeline) {
        // Whoever is attached may have ended with the process, or see nothing of it: many that are lost are told all the same.
        let sort = claim.as_ref().map_or("", |(worst, _)| match KINDS[*worst].0 {
            "connect-refused" => BESIDE_DEATHS,
            _ => BESIDE_INSTRUMENTS,
        });
        let many = claim.map(|(_, claim)| claim).filter(|c| c.severity == Severity::Critical);
        return beside_instruments(many, sort);
    }
    let claim = claim.map(|(_, mut claim)| {
        let shows = "deaths of its processes, its listen queue and its descriptors name the cause";
        claim.advice.push(attach(shows));
        claim
    });
    Answer::of(claim, at.as_secs_f64() >= WINDOW_S, WINDOW_S)
}

/// Which of the kinds most are of, and the claim.
fn look_at(timeline: &Timeline, at: RunTime) -> Option<(usize, Claim)> {
    let span = window::last(at, WINDOW_S);
    let mut seen: Vec<(usize, f64)> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for (i, kind) in KINDS.iter().enumerate() {
        let lanes = timeline.named(names::ERRORS).filter(|s| s.spec.subject == kind.0);
        let steps: Vec<_> = lanes.flat_map(|s| window::steps(s, span)).filter(|s| s.2 > 0.0).collect();
        let count: f64 = steps.iter().map(|(since, at, rate)| rate * at.since(*since).as_secs_f64()).sum();
        if count > 0.0 {
            seen.push((i, count));
            spans.extend(steps.iter().map(|s| Span::new(s.0, s.1)));
        }
    }
    seen.sort_by(|a, b| b.1.total_cmp(&a.1));
    let worst = seen.first()?.0;
    let count: f64 = seen.iter().map(|s| s.1).sum();
    let starts = window::counted(timeline, names::ACHIEVED, span)?.max(count);
    if count < LEAST_ERRORS || spans.len() < LEAST_SAMPLES || count < LEAST_SHARE * starts {
        return None;
    }
    let parts: Vec<String> =
        seen.iter().map(|&(i, n)| format!("{} {}", Unit::Count.show(n.round()), KINDS[i].1)).collect();
    let evidence = seen.iter().map(|&(i, n)| {
        evidence(
            format!("{} {} in {WINDOW_S:.0} s", plural(n, "connection"), KINDS[i].1),
            names::ERRORS,
            span,
            n,
            Unit::Count,
        )
    });
    let share = count / starts;
    let claim = Claim {
        kind: FindingKind::ConnectionsRefused,
        identity: String::new(),
        subject: String::new(),
        severity: if share >= CRITICAL_SHARE { Severity::Critical } else { Severity::Warning },
        status: Status::Likely,
        onset: spans.iter().map(|s| s.start).min()?,
        last: spans.iter().map(|s| s.end).max()?.min(at),
        quiet: QUIET,
        weight: count,
        claim: format!(
            "clients lose connections since {ONSET}: {} in {WINDOW_S:.0} s, {} of all starts",
            parts.join(", "),
            Unit::Ratio.show(share)
        ),
        evidence: evidence.collect(),
        contradicting: Vec::new(),
        advice: vec![KINDS[worst].2.to_owned()],
        missing: vec![names::PROCESS_DEATHS.to_owned(), names::PROCESS_LISTEN_QUEUE.to_owned()],
        episodes: episodes(spans, Duration::from_secs(1)),
        remedies: Vec::new(),
        sort: "",
    };
    Some((worst, claim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::LaneSpec;

    #[test]
    fn beside_instruments_many_that_are_lost_are_told_and_few_are_not() {
        for (kind, lost, sort) in [
            ("connect-refused", 40.0, Some(BESIDE_DEATHS)),
            ("reset", 40.0, Some(BESIDE_INSTRUMENTS)),
            ("connect-refused", 4.0, None),
        ] {
            let rate = |name: &str| LaneSpec::rate(name, "gen-0", Unit::PerSecond);
            let lanes = [
                (rate(names::ERRORS).about(kind), lost),
                (rate(names::ACHIEVED), 800.0),
                (LaneSpec::level(names::LOOP_UTILISATION, "pid-1", Unit::Ratio), 0.1),
            ];
            let t = told_each(100, 10_000, lanes);
            let told = match look(&t, RunTime::from_ms(10_000)) {
                Answer::Looked(claims) => Some(claims[0].sort),
                _ => None,
            };
            assert_eq!(told, sort, "{lost} {kind}");
        }
    }

    #[test]
    fn a_target_that_no_way_leads_to_is_found() {
        let rate = |name: &str| LaneSpec::rate(name, "gen-0", Unit::PerSecond);
        let lanes = [(rate(names::ERRORS).about("unreachable"), 40.0), (rate(names::ACHIEVED), 40.0)];
        let t = told_each(100, 10_000, lanes);
        let (_, claim) = look_at(&t, RunTime::from_ms(10_000)).unwrap();
        assert_eq!(claim.severity, Severity::Critical);
        assert!(claim.claim.contains(" without a way to the target in 3 s"), "{}", claim.claim);
        assert!(claim.advice[0].contains("route"), "{:?}", claim.advice);
    }
}
