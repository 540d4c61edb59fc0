//! Query fan-out: a request sends the same statement again and again, once for each row of a list (N+1).
//!
//! **Claim.** The requests of a route repeat a statement that one join could have asked once. **Reads**
//! `server.db.{statements,repeated,checkouts,time,wall}` by route, `db.{calls,time}` by statement. **Needs** the first four,
//! and eight requests. **Statistic.** Repetitions for each request, over the shortest window of 2 to 5 s that has eight
//! requests, and once more over the newer half of it. **Law.** Round trips one after another add up: where statements x their median time is the time that
//! the request had a connection for, the finding is confirmed.
//!
//! A batch is sent in one go and counts as one statement, so a long order line by line is none of this.

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::database::asked::{Asked, onset, routes};
use super::database::statement::{self, Filter};
use super::database::{CRITICAL_NS, QUIET};
use super::{Answer, Claim, ONSET, cannot_tell, evidence, they};
use crate::window;

/// Repetitions in a request from which on it walks a list. What a request does twice or thrice (a check before and
/// after, three kinds of a thing) is a fixed number, and lists that are worth a page are longer than five.
const LEAST_REPEATED: f64 = 5.0;
/// Share of the repetitions that one statement must account for to be named.
const NAMED_SHARE: f64 = 0.5;
/// The law's tolerance: medians stand for means, and the wait for the connection belongs to the time.
const LAW_TOLERANCE: f64 = 0.3;

/// Looks at every route.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(
        timeline,
        &[names::SERVER_DB_STATEMENTS, names::SERVER_DB_REPEATED, names::SERVER_DB_TIME],
    ) {
        return cannot;
    }
    Answer::Looked(routes(timeline).into_iter().filter_map(|r| look_at(timeline, r, at)).collect())
}

/// Does every request of it walk a list? A request under way has repeated already and is not yet counted, so one is
/// always allowed for.
fn walks(asked: &Asked) -> bool {
    asked.repeated >= LEAST_REPEATED * (asked.requests as f64 + 1.0)
}

fn look_at(timeline: &Timeline, route: &str, at: RunTime) -> Option<Claim> {
    let asked = Asked::lately(timeline, route, at)?;
    let half = Span::new(asked.span.end.back(asked.span.length() / 2), asked.span.end);
    if !walks(&asked) || !walks(&Asked::within(timeline, route, half)) {
        return None;
    }
    let since = onset(timeline, route, at, |cell| {
        let told = cell.requests > 0 || cell.statements > 0.0;
        told.then_some(cell.repeated >= LEAST_REPEATED)
    })?;
    // Requests from before would thin the figures out; more of the later ones make them truer.
    let asked = Asked::within(timeline, route, Span::new(since, asked.span.end));
    let worst = Worst::of(timeline, &asked);
    let time = asked.time_ns()?;
    let each = asked.each(asked.repeated).round();
    let law = worst.as_ref().map(|w| (asked.each(asked.statements) * w.time_ns, w));
    let agrees = law.as_ref().is_some_and(|(predicted, _)| (predicted / time - 1.0).abs() <= LAW_TOLERANCE);
    let named = worst.as_ref().map_or("one of its statements".to_owned(), |w| format!("`{}`", w.text));
    Some(Claim {
        kind: FindingKind::QueryFanOut,
        identity: route.to_owned(),
        subject: route.to_owned(),
        severity: if time >= CRITICAL_NS { Severity::Critical } else { Severity::Warning },
        status: if agrees { Status::Confirmed } else { Status::Likely },
        onset: since,
        last: at,
        quiet: QUIET,
        // The more requests, the truer the figures.
        weight: asked.requests as f64,
        claim: format!(
            "each request of {route} repeats {named} {each} times since {ONSET}: {} statements and {} with a connection, for one list",
            asked.each(asked.statements).round(),
            Unit::Ns.show(time)
        ),
        evidence: supporting(&asked, time, law, agrees),
        contradicting: Vec::new(),
        advice: advice(route, &asked, time, worst.as_ref()),
        missing: if worst.is_none() { vec![names::DB_CALLS.to_owned()] } else { Vec::new() },
        episodes: vec![Span::new(since, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// The statement that is repeated.
struct Worst {
    text: String,
    calls: f64,
    time_ns: f64,
}

impl Worst {
    /// The one that is sent about as often in the window as statements are repeated, if one can account for that. What all requests send is sent
    /// more often than all that these requests send.
    fn of(timeline: &Timeline, asked: &Asked) -> Option<Self> {
        let mut by_text = std::collections::BTreeMap::<&str, f64>::new();
        for series in timeline.named(names::DB_CALLS) {
            let calls = window::counted_of([series], asked.span).unwrap_or_default();
            *by_text.entry(&series.spec.subject).or_default() += calls;
        }
        let may_be = NAMED_SHARE * asked.repeated..=asked.statements / NAMED_SHARE;
        let off = |calls: f64| (calls / asked.repeated).ln().abs();
        let fitting = by_text.into_iter().filter(|(_, calls)| may_be.contains(calls));
        let (text, calls) = fitting.min_by(|a, b| off(a.1).total_cmp(&off(b.1)))?;
        let time = window::durations_about(timeline, names::DB_TIME, text, asked.span).quantile_ns(0.5)?;
        Some(Self { text: text.to_owned(), calls, time_ns: time })
    }
}

fn supporting(asked: &Asked, time: f64, law: Option<(f64, &Worst)>, agrees: bool) -> Vec<Evidence> {
    let each = asked.each(asked.repeated);
    let mut list = vec![evidence(
        format!(
            "{} of {} statements of {} requests repeat one that the same request has sent before",
            Unit::Count.show(asked.repeated.round()),
            Unit::Count.show(asked.statements.round()),
            asked.requests
        ),
        names::SERVER_DB_REPEATED,
        asked.span,
        each,
        Unit::Count,
    )];
    if let Some((predicted, worst)) = law {
        let text = format!("`{}` was sent {} times", worst.text, Unit::Count.show(worst.calls.round()));
        list.push(evidence(text, names::DB_CALLS, asked.span, worst.calls, Unit::Count));
        let text = format!(
            "round trips in a row: {} statements of {} make {}, seen {}: they {}",
            asked.each(asked.statements).round(),
            Unit::Ns.show(worst.time_ns),
            Unit::Ns.show(predicted),
            Unit::Ns.show(time),
            they(agrees, !agrees)
        );
        list.push(evidence(text, names::SERVER_DB_TIME, asked.span, predicted, Unit::Ns));
    }
    list
}

fn advice(route: &str, asked: &Asked, time: f64, worst: Option<&Worst>) -> Vec<String> {
    let Some(worst) = worst else {
        return vec![format!(
            "Find the statement that {route} sends once for each row, and ask for all rows in one: a join, or a list of keys."
        )];
    };
    let (before, after) = (asked.each(asked.statements), asked.each(asked.statements - asked.repeated));
    let saved = (time * (1.0 - after / before)).max(0.0);
    let how = match statement::filter(&worst.text) {
        Filter::Column { table, column } if !table.is_empty() => {
            format!(
                "join {table} on {table}.{column} in the statement that gives the list, or send one with {column} IN (all keys of the list)"
            )
        }
        _ => "join its tables in the statement that gives the list, or send one with all keys of the list"
            .to_owned(),
    };
    vec![format!(
        "In {route}, {how}: {} round trips become {}, which saves about {} of {} a request.",
        before.round(),
        after.round().max(1.0),
        Unit::Ns.show(saved),
        Unit::Ns.show(time)
    )]
}
