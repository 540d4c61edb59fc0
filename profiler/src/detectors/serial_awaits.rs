//! Serial awaits: independent questions to the database, each awaited before the next is asked.
//!
//! **Claim.** The requests of a route take several connections, never two at a time. **Reads**
//! `server.db.{checkouts,repeated,time,wall}` by route. **Needs** all of them, and eight requests. **Statistic.** `wall / time` over all requests of the
//! shortest window of 2 to 5 s that has eight: it is 1 where nothing overlaps, and 1/n where n questions of equal length are asked together; and
//! the number of connections that a request takes for statements which it does not repeat, over the window and its newer half. **Null
//! test.** The same route before: where it took as many connections and they overlapped, the finding is confirmed.
//!
//! Whether a question needs the answer of another one cannot be seen from here; so that short chains (look up, then
//! write) stay out of it, it takes four, and the claim says so. Repetitions are [`super::query_fan_out`]'s.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::database::asked::{Asked, onset, routes};
use super::database::{CRITICAL_NS, QUIET};
use super::{Answer, Claim, ONSET, cannot_tell, evidence};
use crate::window;

/// Connections that a request takes one after another. Three in a row are common where each step needs the one before
/// (who is it, what does it have, write it); of four or more some are mostly independent.
const LEAST_CHECKOUTS: f64 = 4.0;
/// Least `wall / time` of awaits in a row. Of four questions of which only two overlap it is 0.75; the rest is room for both
/// clocks.
const IN_A_ROW: f64 = 0.9;
/// `wall / time` of a route that awaits together: four equal questions give 0.25, four very unequal ones more.
const TOGETHER: f64 = 0.6;
/// How long before the onset the route's past is looked at.
const PAST: Duration = Duration::from_secs(10);
/// Requests in that past.
const LEAST_PAST: u64 = 8;

/// Looks at every route.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) =
        cannot_tell(timeline, &[names::SERVER_DB_CHECKOUTS, names::SERVER_DB_TIME, names::SERVER_DB_WALL])
    {
        return cannot;
    }
    Answer::Looked(routes(timeline).into_iter().filter_map(|r| look_at(timeline, r, at)).collect())
}

/// Connections that a request takes, those for statements that it repeats left out.
fn questions(asked: &Asked) -> f64 {
    asked.each((asked.checkouts - asked.repeated).max(0.0))
}

/// How much of the time nothing else was under way; none without requests.
fn ratio(asked: &Asked) -> Option<f64> {
    Some(asked.wall_ns()? / asked.time_ns()?.max(1.0))
}

fn in_a_row(asked: &Asked) -> bool {
    questions(asked) >= LEAST_CHECKOUTS && ratio(asked).is_some_and(|r| r >= IN_A_ROW)
}

fn look_at(timeline: &Timeline, route: &str, at: RunTime) -> Option<Claim> {
    let asked = Asked::lately(timeline, route, at)?;
    // In a whole window of the past shape a change shows late; its newer half alone may be the change.
    let half = Span::new(asked.span.end.back(asked.span.length() / 2), asked.span.end);
    let newer = Asked::within(timeline, route, half);
    if !in_a_row(&newer) || !in_a_row(&asked) {
        return None;
    }
    let since = onset(timeline, route, at, |cell| ratio(cell).map(|r| r >= IN_A_ROW))?;
    // Requests from before would thin the figures out; more of the later ones make them truer.
    let asked = Asked::within(timeline, route, Span::new(since, asked.span.end));
    if !in_a_row(&asked) {
        return None;
    }
    let past = Asked::within(timeline, route, Span::new(since.back(PAST), since));
    let together = past.requests >= LEAST_PAST
        && questions(&past) >= LEAST_CHECKOUTS
        && ratio(&past).is_some_and(|r| r <= TOGETHER);
    let (n, wall) = (questions(&asked).round(), asked.wall_ns()?);
    Some(Claim {
        kind: FindingKind::SerialAwaits,
        identity: route.to_owned(),
        subject: route.to_owned(),
        severity: if wall >= CRITICAL_NS { Severity::Critical } else { Severity::Warning },
        status: if together { Status::Confirmed } else { Status::Likely },
        onset: since,
        last: at,
        quiet: QUIET,
        // The more requests, the truer the figures.
        weight: asked.requests as f64,
        claim: format!(
            "each request of {route} asks the database {n} times in a row since {ONSET}, never two questions at once: {} of waiting, {} for each on average",
            Unit::Ns.show(wall),
            Unit::Ns.show(wall / n)
        ),
        evidence: supporting(&asked, &past, together),
        contradicting: against(&asked, together),
        advice: advice(route, timeline, &asked, n, wall),
        missing: Vec::new(),
        episodes: vec![Span::new(since, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

fn supporting(asked: &Asked, past: &Asked, together: bool) -> Vec<Evidence> {
    let ratio_now = ratio(asked).unwrap_or_default();
    let mut list = vec![evidence(
        format!(
            "{} connections a request over {} requests; {} of their time nothing else of the request was under way",
            questions(asked).round(),
            asked.requests,
            Unit::Ratio.show(ratio_now.min(1.0))
        ),
        names::SERVER_DB_WALL,
        asked.span,
        ratio_now,
        Unit::Ratio,
    )];
    if together {
        let before = past.wall_ns().unwrap_or_default();
        let text = format!(
            "before, {} requests took {} connections each and awaited them together: {} of waiting",
            past.requests,
            questions(past).round(),
            Unit::Ns.show(before)
        );
        list.push(evidence(text, names::SERVER_DB_WALL, past.span, before, Unit::Ns));
    }
    list
}

/// What cannot be seen.
fn against(asked: &Asked, together: bool) -> Vec<Evidence> {
    if together {
        return Vec::new();
    }
    let text = "where a question needs the answer of the one before, the two must stay in a row; the lanes do not show it";
    vec![evidence(text, names::SERVER_DB_CHECKOUTS, asked.span, questions(asked), Unit::Count)]
}

fn advice(route: &str, timeline: &Timeline, asked: &Asked, n: f64, wall: f64) -> Vec<String> {
    // The slowest takes the mean at least.
    let saved = wall * (1.0 - 1.0 / n);
    let mut list = vec![format!(
        "In {route}, ask the {n} questions at once and await them together (`try_join!`, `Promise.all`): the slowest decides, which saves up to {} of {} a request.",
        Unit::Ns.show(saved),
        Unit::Ns.show(wall)
    )];
    // Little's law: connections busy on average stay what they are; only their bursts change.
    let rate = asked.requests as f64 / window::seconds(asked.span);
    let busy = rate * asked.time_ns().unwrap_or_default() / 1e9;
    let capacity: f64 = timeline
        .members(names::POOL)
        .iter()
        .filter_map(|p| window::mean(timeline, &names::of(names::POOL, p, "capacity"), asked.span))
        .sum();
    if capacity > 0.0 {
        list.push(format!(
            "A request then takes {n} connections at once of the {} that a process has; on average {busy:.1} stay busy, as now.",
            Unit::Count.show(capacity)
        ));
    }
    list
}
