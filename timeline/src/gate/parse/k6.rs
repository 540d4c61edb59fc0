//! Thresholds as k6 has them: `http_req_duration{name:checkout}: p(95)<500`.
//!
//! Owns which of k6's metrics is which figure of ours, what its numbers without a unit mean, and which of its
//! tags name a step or a phase.

use super::subject::{Bare, Draft};
use super::words::Words;
use super::{Read, Scope};
use crate::gate::{GateError, Stat};
use crate::lane::names;
use crate::units::Unit;

/// Metrics of k6 that have a figure here.
const KEPT: [&str; 9] = [
    "http_req_duration",
    "http_req_failed",
    "http_reqs",
    "checks",
    "dropped_iterations",
    "vus",
    "data_received",
    "data_sent",
    "ws_ping",
];
/// How k6's own metrics begin, so that one that is not kept is not taken for a misspelt word.
const FAMILIES: [&str; 8] =
    ["http_req", "iteration", "vus", "data_", "ws_", "grpc_", "group_duration", "browser_"];

/// Reads a metric of k6 with its tags and what is taken of it; none if the text begins with something else.
pub(super) fn metric(w: &mut Words<'_>) -> Result<Option<Read>, GateError> {
    let at = w.at();
    let Some(word) = w.peek().cloned() else { return Ok(None) };
    let name = word.key.split([':', '{']).next().unwrap_or_default();
    if !KEPT.contains(&name) {
        if FAMILIES.iter().any(|f| name.starts_with(f)) {
            let problem = format!("k6's `{name}` has no figure here; expected one of {}", KEPT.join(", "));
            return Err(w.error_at(at, problem, super::nearest(name, KEPT)));
        }
        return Ok(None);
    }
    let rest = &w.text[at + name.len()..];
    let (scope, taken) = tags(w, at + name.len(), rest)?;
    let behind = at + name.len() + taken;
    let colon = usize::from(w.text[behind..].starts_with(':'));
    w.skip_to(behind + colon);
    // `metric:p(95)` without a space is one word with the metric.
    let (start, end) = (behind + colon, w.end_of_last());
    let (draft, bare) = if end > start {
        let mut inner = Words::of(&w.text[start..end])?;
        figure(&mut inner, name).map_err(|e| w.error_at(start, e.problem, e.suggestion))?
    } else {
        figure(w, name)?
    };
    Ok(Some(Read { inverted: name == "checks", draft, bare, scope }))
}

/// `{name:checkout,scenario:peak}`: the scope, and how many bytes it takes.
fn tags(w: &Words<'_>, at: usize, rest: &str) -> Result<(Scope, usize), GateError> {
    let mut scope = Scope::default();
    let Some(inner) = rest.strip_prefix('{') else { return Ok((scope, 0)) };
    let Some(end) = inner.find('}') else { return Err(w.error_at(at, "this brace is not closed", None)) };
    for tag in inner[..end].split(',') {
        let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
        let value = value.trim().trim_matches(['"', '\'']).to_owned();
        match key.trim() {
            _ if value.is_empty() => {
                return Err(w.error_at(at, "expected tags such as `{name:checkout}`", None));
            }
            "name" | "step" => scope.step = Some(value),
            "scenario" | "phase" => scope.phase = Some(value),
            other => {
                let problem = format!(
                    "figures are not kept by the tag `{other}`; expected `name` (a step) or `scenario` (a phase)"
                );
                return Err(w.error_at(at, problem, None));
            }
        }
    }
    Ok((scope, end + 2))
}

/// What is taken of the metric, and what its limit means without a unit.
fn figure(w: &mut Words<'_>, name: &str) -> Result<(Draft, Bare), GateError> {
    let lane = |lane: &str, stat, unit| Draft::Lane(lane.to_owned(), stat, Some(unit));
    match name {
        "http_req_duration" => {
            let stat = w.stat()?.ok_or_else(|| w.expected("a figure such as `p(95)` or `max`"))?;
            Ok((Draft::Time(names::RESPONSE, stat.0), Bare::Millis))
        }
        "ws_ping" => {
            let stat = w.stat()?.ok_or_else(|| w.expected("a figure such as `p(95)` or `max`"))?;
            Ok((lane(names::PING_RTT, Some(stat.0), Unit::Ns), Bare::Millis))
        }
        "http_req_failed" if w.eat("count") => Ok((Draft::Errors, Bare::Plain)),
        "http_req_failed" | "checks" => {
            w.eat("rate");
            Ok((Draft::Errors, Bare::Share))
        }
        "http_reqs" if w.eat("count") => Ok((Draft::Count, Bare::Plain)),
        "http_reqs" => w.expect("rate").map(|()| (Draft::Rate(names::COMPLETED), Bare::PerSecond)),
        "dropped_iterations" => w.expect("count").map(|()| (Draft::Dropped, Bare::Plain)),
        "vus" => {
            let stat = if w.eat("value") { Some(Stat::Last) } else { w.stat()?.map(|(stat, _)| stat) };
            Ok((lane(names::OPEN_SESSIONS, stat, Unit::Count), Bare::Plain))
        }
        received => {
            let of = if received == "data_sent" { names::SENT } else { names::RECEIVED };
            w.expect("rate")
                .map(|()| (lane(of, Some(Stat::Mean), Unit::BytesPerSecond), Bare::BytesPerSecond))
        }
    }
}
