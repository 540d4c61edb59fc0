//! From text to gate: words, in order, each error with its place.
//!
//! [`words`] takes the text apart, [`subject`] knows our figures and [`k6`] k6's metrics; what is said of
//! where a figure is read, and what can never hold, is here.

mod k6;
mod subject;
#[cfg(test)]
mod tests;
mod words;

use super::quantity::Quantity;
use super::{Condition, GateError, Op, Scope, Subject};
use crate::finding::FindingKind;
use crate::histogram::MAX_US;
use crate::lane::names;
use crate::units::Unit;
use subject::{Bare, Draft, subject};
use words::Words;
pub(super) use words::quoted;

/// Reads a whole expression.
pub(super) fn gate(text: &str) -> Result<Condition, GateError> {
    let mut w = Words::of(text)?;
    let Some(first) = w.peek().map(|word| word.key.clone()) else {
        return Err(w.error_at(0, "it is empty; expected a condition such as `p99 < 250ms`", None));
    };
    if first == "no" {
        w.take();
        return no_finding(w);
    }
    let start = w.at();
    let (read, op_at, op, limit_at, limit) = comparison(&mut w)?;
    let (subject, limit) = read.draft.with_limit(&w, limit_at, limit)?;
    let op = match op {
        Some(op) => op,
        None => end_of_scale(&w, op_at, &subject, limit)?,
    };
    let (op, limit) = if read.inverted { (op.inverted(), without_dust(1.0 - limit)) } else { (op, limit) };
    if subject == Subject::AchievedShare && w.eat("of") {
        w.expect("offered")?;
    }
    let scope = scope(&mut w, read.scope)?;
    refuse_scope(&w, start, &subject, &scope)?;
    refuse_hopeless(&w, limit_at, &subject, op, limit)?;
    Ok(Condition::Figure { subject, op, limit, scope })
}

/// What is compared, as far as it is known before the limit.
struct Read {
    draft: Draft,
    bare: Bare,
    /// Spoken of as what went well; we count what went wrong.
    inverted: bool,
    scope: Scope,
}

/// Reads up to the limit: figure, place and kind of the comparison (none for `==`), place and value of the limit.
fn comparison(w: &mut Words<'_>) -> Result<(Read, usize, Option<Op>, usize, Quantity), GateError> {
    let read = match k6::metric(w)? {
        Some(read) => read,
        None => {
            let (draft, bare) = subject(w)?;
            Read { draft, bare, inverted: false, scope: Scope::default() }
        }
    };
    let op_at = w.at();
    let op = w.op()?;
    let (limit_at, limit) = w.limit()?;
    let limit = read.bare.complete(limit);
    Ok((read, op_at, op, limit_at, limit))
}

/// `==` at the end of a scale says what `<=` or `>=` says; elsewhere nothing measured ever meets it.
fn end_of_scale(w: &Words<'_>, at: usize, subject: &Subject, limit: f64) -> Result<Op, GateError> {
    match subject.unit() {
        Unit::Count | Unit::Ratio | Unit::PerSecond if limit == 0.0 => Ok(Op::AtMost),
        Unit::Ratio if limit == 1.0 => Ok(Op::AtLeast),
        _ => {
            Err(w.error_at(at, "a measured figure is hardly ever exactly that; expected `<=` or `>=`", None))
        }
    }
}

/// 1 - 0.95 is 0.05000...4.
fn without_dust(share: f64) -> f64 {
    (share * 1e9).round() / 1e9
}

fn no_finding(mut w: Words<'_>) -> Result<Condition, GateError> {
    let at = w.at();
    let plural = match w.take().map(|word| word.key).as_deref() {
        Some("findings") => true,
        Some("finding") => false,
        _ => return Err(w.error_at(at, "expected `no findings` or `no finding KIND`", None)),
    };
    let at = w.at();
    let Some(word) = w.take() else {
        return if plural {
            Ok(Condition::NoFinding(None))
        } else {
            Err(w.error_at(
                at,
                "expected a kind of finding such as `cache-stampede`",
                Some("no findings".into()),
            ))
        };
    };
    w.end()?;
    match FindingKind::from_name(&word.key) {
        Some(kind) => Ok(Condition::NoFinding(Some(kind))),
        None => {
            let kinds = FindingKind::ALL.iter().map(|k| k.name());
            Err(w.error_at(at, format!("there is no finding `{}`", word.text), nearest(&word.key, kinds)))
        }
    }
}

/// What follows the limit, beside what is known already.
fn scope(w: &mut Words<'_>, mut scope: Scope) -> Result<Scope, GateError> {
    while let Some(word) = w.peek().cloned() {
        let twice = || w.error_at(word.start, format!("`{}` is said twice", word.text), None);
        match word.key.as_str() {
            "for" if scope.step.is_some() => return Err(twice()),
            "in" if scope.phase.is_some() => return Err(twice()),
            "over" if scope.over.is_some() => return Err(twice()),
            "for" => {
                w.take();
                scope.step = Some(w.name("a step")?);
            }
            "in" => {
                w.take();
                w.expect("phase")?;
                scope.phase = Some(w.name("a phase")?);
            }
            "over" => {
                w.take();
                scope.over = Some(w.window()?);
            }
            _ => return Err(w.expected("`for STEP`, `in phase NAME`, `over 30s` or the end")),
        }
    }
    Ok(scope)
}

/// Refuses scopes that the figure cannot be read over.
fn refuse_scope(w: &Words<'_>, at: usize, subject: &Subject, scope: &Scope) -> Result<(), GateError> {
    let by_step = match subject {
        Subject::Time(lane, _) => *lane != names::LATENESS,
        Subject::ErrorShare
        | Subject::ErrorCount
        | Subject::Count
        | Subject::Lane(..)
        | Subject::Growth(..) => true,
        Subject::AchievedShare | Subject::Rate(_) | Subject::Dropped => false,
    };
    if scope.step.is_some() && !by_step {
        return Err(w.error_at(at, "this figure is not kept by step; leave `for ...` out", None));
    }
    if scope.over.is_some() && matches!(subject, Subject::Growth(..)) {
        return Err(w.error_at(at, "growth is read over a whole phase or run; leave `over ...` out", None));
    }
    Ok(())
}

/// Refuses what can never hold, and shares that no share can reach.
fn refuse_hopeless(w: &Words<'_>, at: usize, subject: &Subject, op: Op, limit: f64) -> Result<(), GateError> {
    if matches!(subject, Subject::Growth(..)) {
        return Ok(());
    }
    let unit = subject.unit();
    let never = |why: &str| Err(w.error_at(at, format!("this gate can never hold: {why}"), None));
    // The least time that is told apart is a microsecond, so even "at most nothing" is out of reach.
    let nothing = limit < 0.0
        || limit == 0.0 && (op == Op::Less || op == Op::AtMost && matches!(subject, Subject::Time(..)));
    if !op.is_upper() && matches!(subject, Subject::Time(..)) && limit > MAX_US as f64 * 1e3 {
        return never("times are kept up to an hour");
    }
    // A gate over no samples fails, so that `count < 1` fails either way.
    if *subject == Subject::Count && (op == Op::Less && limit <= 1.0 || op == Op::AtMost && limit < 1.0) {
        return never("a gate over nothing fails");
    }
    if op.is_upper() && nothing {
        return never("the figure is never below nothing");
    }
    if unit == Unit::Ratio && op == Op::More && limit >= 1.0 {
        return never("a share is never above 100%");
    }
    if unit == Unit::Ratio && limit > 1.0 {
        return Err(w.error_at(at, "a share is at most 100%", None));
    }
    Ok(())
}

/// `service ` for the lane of service times; nothing for response time, which is meant anyway.
pub(super) fn time_word(lane: &str) -> &'static str {
    match lane {
        names::SERVICE => "service ",
        names::LATENESS => "lateness ",
        _ => "",
    }
}

/// The candidate that was probably meant: within a third of its letters.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= c.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c.to_owned())
}
