//! How much a plan's load can come to at most, and the gates that ask for more.
//!
//! Owns the bound: every planned start does a whole pass through the longest kind of session, at once. A gate that even this does not
//! meet can never hold. Where sessions are held, the target says how often they start anew: then there is no bound, and no such gate is
//! refused.

use timeline::gate::{Asked, Figure, Gate};

use crate::load::Turns;
use crate::mistake::Wrong;
use crate::plan::{Of, Phase, RunPlan, Step, Times};

/// Share by which a figure may come out higher than what was planned: rates are read from counters, which do not end where phases do.
const ERROR: f64 = 0.01;
/// So much of the load behind a phase may still be counted to it, ns: two readings of the counters, which come ten times a second.
const BEHIND_NS: u64 = 200_000_000;
/// Random arrivals scatter by the square root of their number; six times that is met once in a thousand million runs.
const SCATTER: f64 = 6.0;
/// Share of the most that a gate may well ask for, for the suggestion.
const USUAL: f64 = 0.95;

/// Refuses a gate that asks for more than `plan` can come to.
pub(crate) fn check(gate: &Gate, plan: &RunPlan) -> Result<(), Wrong> {
    let Some(asked) = gate.asked() else { return Ok(()) };
    let Some(most) = most(&asked, plan).filter(|most| asked.least > most * (1.0 + ERROR)) else {
        return Ok(());
    };
    let unit = match asked.figure {
        Figure::Rate => "steps/s",
        Figure::Count => "steps",
        Figure::Sessions => "open sessions",
    };
    let less = gate.with_limit(rounded(most * USUAL)).expression();
    let wrong =
        Wrong::new(format!("this gate can never hold: the plan comes to {} {unit} at most", rounded(most)));
    Err(wrong.expected(format!("no more than that, such as `{less}`, or more load in the phases")))
}

/// Whole numbers, or two digits where there is less than one.
fn rounded(figure: f64) -> f64 {
    if figure >= 1.0 { figure.floor() } else { (figure * 100.0).floor() / 100.0 }
}

/// The most that the figure can be; none if that is not known.
fn most(asked: &Asked<'_>, plan: &RunPlan) -> Option<f64> {
    let stretches = stretches(asked, plan);
    let end = stretches.last()?.1;
    if asked.figure == Figure::Sessions {
        return sessions(plan, end);
    }
    let each = steps_of_pass(asked, plan)?;
    let whole = starts_until(plan, end)? * each;
    if asked.figure == Figure::Count {
        return Some(whole);
    }
    let length: u64 = stretches.iter().map(|(from, to)| to - from).sum();
    let Some(over) = asked.over.map(|over| over.as_nanos() as u64) else {
        return Some(whole / seconds(length));
    };
    // The worst window speaks for a gate: it has no more than the first one, and no more than the mean of those that follow each other.
    let first = starts_until(plan, stretches[0].0 + over)? * each / seconds(over);
    let side_by_side: u64 = stretches.iter().map(|(from, to)| (to - from) / over * over).sum();
    Some(if side_by_side == 0 { first } else { first.min(whole / seconds(side_by_side)) })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Starts and ends of the phases that are looked at, in order, ns of the run.
fn stretches(asked: &Asked<'_>, plan: &RunPlan) -> Vec<(u64, u64)> {
    let counts = |p: &Phase| asked.phase.map_or(!p.warmup, |name| p.name == name);
    placed(plan).filter(|(_, p)| counts(p)).map(|(from, p)| (from, from + p.length_ns)).collect()
}

/// The phases, each with its start.
fn placed(plan: &RunPlan) -> impl Iterator<Item = (u64, &Phase)> {
    plan.phases.iter().scan(0, |start, phase| {
        let from = *start;
        *start += phase.length_ns;
        Some((from, phase))
    })
}

/// Most passes that have begun by `end`, and what may be counted to them; none if a phase holds sessions.
fn starts_until(plan: &RunPlan, end: u64) -> Option<f64> {
    let end = end + BEHIND_NS;
    let (mut sum, mut random) = (0.0, 0.0);
    for (from, phase) in placed(plan).take_while(|(from, _)| *from < end) {
        let rules = phase.model.rules();
        match (phase.model.of(), rules.turns) {
            (Of::Sessions, Some(Turns::Shared(passes))) => sum += passes as f64,
            (Of::Sessions, _) => return None,
            (Of::Arrivals | Of::Requests, _) => {
                let starts = starts(phase, end - from);
                sum += starts;
                random += if rules.random { starts } else { 0.0 };
            }
        }
    }
    Some(sum + SCATTER * f64::sqrt(random) + 1.0)
}

/// Planned starts in the first `length_ns` of a phase.
fn starts(phase: &Phase, length_ns: u64) -> f64 {
    let (mut left, mut sum) = (length_ns, 0.0);
    for leg in phase.model.legs(phase.length_ns) {
        let part = left.min(leg.length_ns);
        let share = if leg.length_ns == 0 { 0.0 } else { part as f64 / leg.length_ns as f64 };
        sum += f64::midpoint(leg.from, leg.from + (leg.to - leg.from) * share) * seconds(part);
        left -= part;
    }
    sum
}

/// Most sessions that are open at once until `end`: all places that were ever made. None if sessions arrive.
fn sessions(plan: &RunPlan, end: u64) -> Option<f64> {
    let (mut level, mut made) = (0.0, 0.0);
    for (_, phase) in placed(plan).take_while(|(from, _)| *from < end) {
        if phase.model.of() != Of::Sessions {
            return None;
        }
        for leg in phase.model.legs(phase.length_ns) {
            made += f64::max(leg.from - level, 0.0) + f64::max(leg.to - leg.from, 0.0);
            level = leg.to;
        }
    }
    Some(made.ceil())
}

/// Most steps of a pass that the gate counts; none if a pass has no end that the plan knows of.
fn steps_of_pass(asked: &Asked<'_>, plan: &RunPlan) -> Option<f64> {
    let mut kinds = plan.sessions.iter().map(|kind| count(&kind.steps, plan, asked.step));
    kinds.try_fold(0.0, |most: f64, kind| Some(most.max(kind?)))
}

/// Most times that `step`, or any timed one, is done by these steps.
fn count(steps: &[Step], plan: &RunPlan, step: Option<&str>) -> Option<f64> {
    let one = |id: &crate::plan::StepId| {
        let counts = step.is_none_or(|name| plan.steps.get(usize::from(id.0)).is_some_and(|s| s == name));
        Some(if counts { 1.0 } else { 0.0 })
    };
    let of = |s: &Step| match s {
        Step::Request(r) => one(&r.id),
        Step::Parallel(p) => p.requests.iter().map(|r| one(&r.id)).sum(),
        Step::Connect(c) => one(&c.id),
        Step::Send(s) => one(&s.id),
        Step::OpenEvents(e) => one(&e.id),
        Step::AwaitEvent(e) => one(&e.id),
        Step::CloseEvents(id) => one(id),
        Step::Close(c) => one(&c.id),
        Step::Listen(_) | Step::Ignore(_) | Step::Think(_) => Some(0.0),
        Step::Repeat(r) => match r.times {
            Times::UntilEnd => None,
            Times::Count(n) => Some(f64::from(n) * count(&r.steps, plan, step)?),
        },
        Step::If(fork) => Some(count(&fork.then, plan, step)?.max(count(&fork.otherwise, plan, step)?)),
        Step::Choose(all) => {
            all.iter().map(|c| count(&c.steps, plan, step)).try_fold(0.0, |m: f64, c| Some(m.max(c?)))
        }
        // How often a visit does what is up to its code.
        Step::Journey(_) => None,
    };
    steps.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use crate::{Origin, Overrides, parse};

    /// Ten seconds of warm-up at 5/s, then a minute at the load that `phase` says; each pass is `list` and `item` twice.
    fn refused(phase: &str, gate: &str) -> Option<String> {
        let text = format!(
            r#"
[target]
url = "http://127.0.0.1:1"
[[phase]]
name = "warm"
for = "10s"
warmup = true
arrivals = "5/s"
[[phase]]
name = "peak"
for = "60s"
{phase}
[[session]]
name = "visitor"
steps = [
  {{ name = "list", get = "/" }},
  {{ repeat = 2, steps = [{{ name = "item", get = "/item" }}, {{ think = "1s" }}] }},
]
[[gate]]
that = "{gate}"
"#
        );
        let origin = Origin { name: "t".to_owned(), file: None };
        parse(&text, &origin, &Overrides::default()).err().map(|e| e.to_string())
    }

    #[test]
    fn what_the_plan_cannot_come_to_is_refused_with_what_it_can() {
        let steady = "arrivals = \"100/s\"";
        let said = [
            (steady, "completed >= 5000/s"),
            (steady, "achieved > 400/s in phase peak"),
            (steady, "http_reqs: rate>1000"),
            (steady, "count >= 100000 for item"),
            ("arrivals = { from = \"0/s\", to = \"100/s\" }", "completed >= 200/s over 5s"),
            ("requests = \"1/s\"", "offered >= 100/s in phase warm"),
        ];
        let read: Vec<String> =
            said.iter().map(|(p, g)| refused(p, g).unwrap_or_else(|| panic!("{g}"))).collect();
        insta::assert_snapshot!(read.join("\n\n"));
    }

    #[test]
    fn what_may_hold_is_not_refused() {
        let steady = "arrivals = \"100/s\"";
        let held = "sessions = 10";
        for (phase, gate) in [
            (steady, "completed >= 300/s"),
            (steady, "completed < 5000/s"),
            (steady, "count >= 12000 for item"),
            (steady, "offered >= 14/s in phase warm"),
            ("arrivals = { poisson = \"100/s\" }", "completed >= 301/s"),
            ("arrivals = { from = \"0/s\", to = \"100/s\" }", "completed >= 140/s"),
            ("arrivals = { from = \"100/s\", to = \"0/s\" }", "completed >= 140/s over 5s"),
            // Who is held starts anew as soon as the target lets them.
            (held, "completed >= 50000/s"),
            (held, "count >= 1000000"),
        ] {
            assert_eq!(refused(phase, gate), None, "{phase}: {gate}");
        }
    }

    #[test]
    fn held_sessions_and_passes_that_are_counted_have_a_bound() {
        let plan = |gate: &str, iterations| {
            let load = crate::LoadFlags { sessions: Some(10), iterations, ..Default::default() };
            let url = "http://127.0.0.1:1/".to_owned();
            crate::quick(&crate::Quick { url, load, gates: vec![gate.to_owned()], ..Default::default() })
        };
        assert!(plan("vus: value>10", None).is_ok_and(|p| p.gates.len() == 1));
        assert!(plan("client.open-sessions max >= 11", None).is_err());
        assert!(plan("count >= 1000", None).is_ok());
        assert!(plan("count >= 100", Some(100)).is_ok());
        assert!(plan("count >= 1000", Some(100)).is_err());
    }

    #[test]
    fn gates_are_there_once_and_can_hold_together() {
        let both = |a: &str, b: &str| {
            let said = crate::parse::option_gates(&[a.to_owned(), b.to_owned()], None);
            said.err().map(|wrong| wrong[0].sentence())
        };
        let said = [both("errors < 1%", "errors<0.01"), both("p99 < 1s", "p99 > 2s, abort after 5s")];
        insta::assert_snapshot!(said.map(|s| s.unwrap()).join("\n"));
        assert_eq!(both("p99 < 1s", "p99 < 1s for x"), None);
    }
}
