//! Retry storm: calls that failed are made again so often that the calls multiply, and fail for it.
//!
//! **Claim.** Much of what a service is asked is asked again, without a budget that would bound it, while the service refuses or fails. **Reads**
//! `downstream.NAME.{calls,retries,failures}`, `server.requests`. **Statistic.** Over the last 2 s calls are half as many again as would be without retries,
//! in most samples, and a good part of calls fails. **Needs** twenty retries. **Law.** With a share `p` of calls failing and up to `n` tries,
//! each request makes (1 - p^n) / (1 - p) calls, so retries are at most `p` of the calls, and all of that share where nothing bounds them;
//! where retries over failures say that nearly every failure is repeated, it is confirmed.
//!
//! A budget of a tenth (the usual one: Google SRE, "Handling Overload") makes 1.1 calls of one and stays far below the rule. One blip is repeated once
//! or twice and is over before most samples of a window have seen it.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural, quiet};
use crate::cache_cells::{CELL, busy, sampled};
use crate::window;

/// Window of the rule, seconds.
const WINDOW_S: f64 = 2.0;
/// How far back its beginning is looked for, seconds.
const REACH_S: f64 = 10.0;
/// Retries in the window.
const LEAST_RETRIES: f64 = 20.0;
/// Calls over calls without retries. A budget of a tenth makes 1.1; two tries where half of the calls fail make 1.5.
const MULTIPLIED: f64 = 1.5;
/// Share of calls that must fail: retries of what then succeeds are doing their work.
const FAILED_SHARE: f64 = 0.3;
/// Share of samples with retries, of the process that has most.
const SAMPLES_SHARE: f64 = 0.5;
/// Law: retries over failures from which on (nearly) every failure is repeated. With `n` tries it is (n - 1) / n where all fail.
const REPEATED: f64 = 0.45;
/// Share of calls that fail from which on it hurts whoever asked.
const CRITICAL_FAILED: f64 = 0.5;
/// What a route is compared with: so long ago.
const BEFORE_FROM: Duration = Duration::from_secs(20);
const BEFORE_TO: Duration = Duration::from_secs(6);
/// A route whose requests grew so much while the planned load did not is asked again by its own clients.
const CLIENTS_GROWTH: f64 = 1.5;
/// Silence after which it has ended, or what is told more seldom has not come for some times.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every service that is called.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut services = timeline.members(names::DOWNSTREAM);
    services.retain(|s| timeline.has(&lane(s, "retries")) && timeline.has(&lane(s, "calls")));
    if services.is_empty() {
        return Answer::CannotTell(vec![
            "downstream.NAME.retries".to_owned(),
            "downstream.NAME.calls".to_owned(),
        ]);
    }
    Answer::Looked(services.iter().filter_map(|s| look_at(timeline, at, s)).collect())
}

fn lane(service: &str, part: &str) -> String {
    names::of(names::DOWNSTREAM, service, part)
}

fn look_at(timeline: &Timeline, at: RunTime, service: &str) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    let of = |part: &str| window::counted(timeline, &lane(service, part), span);
    let seen = Seen {
        span,
        calls: of("calls")?,
        retries: of("retries")?,
        failures: of("failures").unwrap_or(0.0),
        clients: clients(timeline, at),
    };
    (seen.retries >= LEAST_RETRIES
        && seen.multiplied() >= MULTIPLIED
        && seen.failed() >= FAILED_SHARE
        && sampled(timeline, &lane(service, "retries"), span) >= SAMPLES_SHARE)
        .then(|| claim(timeline, at, service, &seen))
}

struct Seen {
    span: Span,
    calls: f64,
    retries: f64,
    failures: f64,
    /// Route whose clients ask more than before: its requests per second then and now.
    clients: Option<(String, f64, f64)>,
}

impl Seen {
    /// First calls: what would be asked without retries.
    fn first(&self) -> f64 {
        (self.calls - self.retries).max(1.0)
    }

    /// First calls per second that are wanted: without those of requests that clients make again because of it.
    fn wanted(&self) -> f64 {
        let asked_once = self.clients.as_ref().map_or(1.0, |(_, before, now)| before / now.max(*before));
        self.first() / WINDOW_S * asked_once
    }

    fn multiplied(&self) -> f64 {
        self.calls / self.first()
    }

    fn failed(&self) -> f64 {
        (self.failures / self.calls.max(1.0)).min(1.0)
    }

    fn answered(&self) -> f64 {
        (self.calls - self.failures).max(0.0) / WINDOW_S
    }

    fn law_agrees(&self) -> bool {
        self.retries >= REPEATED * self.failures
    }
}

/// The route whose requests grew most although the planned load is what it was.
fn clients(timeline: &Timeline, at: RunTime) -> Option<(String, f64, f64)> {
    let before =
        Span::new(at.back(BEFORE_FROM).max(window::same_load_since(timeline.plan(), at)), at.back(BEFORE_TO));
    let now = window::last(at, WINDOW_S);
    let rate = |route: &str, span: Span| {
        let count = window::counted_of(window::about(timeline, names::SERVER_REQUESTS, route), span);
        count.unwrap_or(0.0) / window::seconds(span).max(0.1)
    };
    if window::seconds(before) < 1.0 {
        return None;
    }
    window::subjects(timeline, names::SERVER_REQUESTS)
        .into_iter()
        .map(|r| (r.to_owned(), rate(r, before), rate(r, now)))
        .filter(|r| r.1 > 1.0 && r.2 >= CLIENTS_GROWTH * r.1)
        .max_by(|a, b| (a.2 - a.1).total_cmp(&(b.2 - b.1)))
}

fn claim(timeline: &Timeline, at: RunTime, service: &str, seen: &Seen) -> Claim {
    let spans = busy(timeline, &lane(service, "retries"), window::last(at, REACH_S), CELL * 5);
    let critical = seen.failed() >= CRITICAL_FAILED;
    Claim {
        kind: FindingKind::RetryStorm,
        identity: service.to_owned(),
        subject: service.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if seen.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset: spans.last().map_or(seen.span.start, |s| s.start),
        last: spans.last().map_or(at, |s| s.end),
        quiet: quiet(window::pace(timeline, &lane(service, "retries"), at), QUIET, QUIET),
        weight: seen.retries,
        claim: format!(
            "calls of service {service} are made again and again since {ONSET}: {} instead of {}, {:.1} times as many, and {} of them fail",
            Unit::PerSecond.show((seen.calls / WINDOW_S).round()),
            Unit::PerSecond.show((seen.first() / WINDOW_S).round()),
            seen.multiplied(),
            Unit::Ratio.show(seen.failed())
        ),
        evidence: supporting(service, seen),
        contradicting: Vec::new(),
        advice: advice(service, seen),
        missing: Vec::new(),
        episodes: spans,
        remedies: Vec::new(),
        sort: "",
    }
}

fn supporting(service: &str, seen: &Seen) -> Vec<Evidence> {
    let text = format!(
        "{} of {} repeat one that failed",
        plural(seen.retries, "call"),
        Unit::Count.show(seen.calls.round())
    );
    let mut list = vec![evidence(text, lane(service, "retries"), seen.span, seen.retries, Unit::Count)];
    let repeated = seen.retries / seen.failures.max(1.0);
    let text = format!(
        "{} failed, and {} of the failures were repeated: {}",
        plural(seen.failures, "call"),
        Unit::Ratio.show(repeated.min(1.0)),
        if seen.law_agrees() { "no budget bounds that" } else { "something bounds that" }
    );
    list.push(evidence(text, lane(service, "failures"), seen.span, seen.failures, Unit::Count));
    let text = format!("{} calls/s are answered", Unit::Count.show(seen.answered().round()));
    list.push(evidence(text, lane(service, "calls"), seen.span, seen.answered(), Unit::PerSecond));
    if let Some((route, before, now)) = &seen.clients {
        let text = format!(
            "clients ask again, too: {route} has {} where it had {} under the same load",
            Unit::PerSecond.show(now.round()),
            Unit::PerSecond.show(before.round())
        );
        list.push(evidence(text, names::SERVER_REQUESTS, seen.span, *now, Unit::PerSecond));
    }
    list
}

fn advice(service: &str, seen: &Seen) -> Vec<String> {
    let first = seen.first() / WINDOW_S;
    let mut list = vec![format!(
        "Give retries of service {service} a budget of a tenth of its calls: {} become {} at most, whatever fails.",
        Unit::PerSecond.show((seen.calls / WINDOW_S).round()),
        Unit::PerSecond.show((first * 1.1).ceil())
    )];
    list.push(
        "Wait before each retry for a time drawn between 0 and a limit that doubles (100 ms, 200 ms, 400 ms ...), so that callers do not come back together."
            .to_owned(),
    );
    let wanted = seen.wanted();
    if seen.answered() < wanted {
        let once = if seen.clients.is_some() { " once clients do not ask again" } else { "" };
        let wants = Unit::PerSecond.show(wanted.round());
        list.push(if seen.answered() >= 1.0 {
            format!(
                "The service answers {} of {wants} that are wanted{once}: it needs {:.1} times its capacity, or callers that give up sooner (a circuit breaker).",
                Unit::PerSecond.show(seen.answered().round()),
                wanted / seen.answered()
            )
        } else {
            format!(
                "The service answers next to none of {wants} that are wanted{once}: look whether it is there, and let callers give up sooner (a circuit breaker)."
            )
        });
    }
    if seen.clients.is_some() {
        list.push(
            "Tell clients when to come back (Retry-After), since they ask again at once as well.".to_owned(),
        );
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_ask_again_is_not_wanted_of_the_service() {
        let span = window::last(RunTime::from_ms(14_000), WINDOW_S);
        let clients = Some(("/invoice".to_owned(), 80.0, 350.0));
        let seen = Seen { span, calls: 5_000.0, retries: 4_300.0, failures: 4_930.0, clients };
        // 350 first calls a second, of which 80 are of requests that were not asked again; 35 are answered.
        let capacity = |seen: &Seen| advice("billing", seen).into_iter().find(|a| a.contains("its capacity"));
        let told = capacity(&seen).unwrap();
        assert!(told.contains("answers 35/s of 80/s") && told.contains("needs 2.3 times"), "{told}");
        let told = capacity(&Seen { clients: None, ..seen }).unwrap();
        assert!(told.contains("answers 35/s of 350/s that are wanted:"), "{told}");
        // As many as are answered: clients that wait before they ask again are all that it needs.
        let clients = Some(("/invoice".to_owned(), 30.0, 350.0));
        let seen = Seen { span, calls: 5_000.0, retries: 4_300.0, failures: 4_930.0, clients };
        assert_eq!(capacity(&seen), None);
        // Of one that answers nothing nobody can tell how much more it would take.
        let seen = Seen { span, calls: 5_000.0, retries: 4_300.0, failures: 5_000.0, clients: None };
        let told = advice("billing", &seen).into_iter().find(|a| a.contains("answers")).unwrap();
        assert!(told.contains("answers next to none of 350/s that are wanted:"), "{told}");
    }
}
