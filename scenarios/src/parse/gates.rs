//! `[[gate]]` and `--gate`: conditions on the run, each of them beside the plan and the gates before it. Their language is
//! `timeline::gate`'s; what a plan can come to is `reach`'s.

use timeline::gate::{Gate, GateError};

use super::reader::{Fields, Reader, Value};
use super::{keys, tables};
use crate::mistake::{Wrong, quoted};
use crate::plan::{GatePlan, RunPlan};
use crate::reach;
use crate::text::quantity;

/// Ends a gate that is given as an option and may end the run.
const ABORT: &str = " abort after ";

/// Reads all gates of the file. Without a plan only their grammar is checked.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>, plan: Option<&RunPlan>) -> Vec<GatePlan> {
    let mut good = Vec::new();
    for value in tables(reader, file, "gate") {
        good.extend(gate(reader, value, plan, &good));
    }
    good
}

fn gate(
    reader: &Reader<'_>,
    value: &Value<'_>,
    plan: Option<&RunPlan>,
    before: &[GatePlan],
) -> Option<GatePlan> {
    let fields = reader.fields(value, keys::GATE)?;
    let look = "a condition such as that = \"p99 < 250ms\"";
    let that = fields.need("that", look).and_then(|v| reader.read(v, look, |text| check(text, plan, before)));
    let abort_after_ns = match fields.get("abort_after") {
        Some(v) => Some(reader.span(v)?),
        None => None,
    };
    Some(GatePlan { that: that?, abort_after_ns })
}

/// What gates given as options add to the plan's own; `abort after 10s` at the end of one stands for `abort_after` in a file.
pub(crate) fn option_gates(gates: &[String], plan: Option<&RunPlan>) -> Result<Vec<GatePlan>, Vec<Wrong>> {
    let mut all = plan.map(|p| p.gates.clone()).unwrap_or_default();
    let own = all.len();
    let mut wrong = Vec::new();
    for text in gates {
        // One set of options may serve many scenarios, some of which ask for the same.
        let mut asked = all[..own].iter().filter_map(|g| Gate::parse(&g.that).ok());
        if Gate::parse(text).is_ok_and(|gate| asked.any(|g| g == gate)) {
            continue;
        }
        match option_gate(text, plan, &all) {
            Ok(gate) => all.push(gate),
            Err(w) => wrong.push(w.in_front(&format!("--gate {}", quoted(text)))),
        }
    }
    if wrong.is_empty() { Ok(all.split_off(own)) } else { Err(wrong) }
}

fn option_gate(text: &str, plan: Option<&RunPlan>, before: &[GatePlan]) -> Result<GatePlan, Wrong> {
    let Some((gate, patience)) = text.rsplit_once(ABORT) else {
        return Ok(GatePlan { that: check(text, plan, before)?, abort_after_ns: None });
    };
    let start = gate.len() + ABORT.len();
    let wrong = |w: Wrong| w.within(start..text.len());
    let patience = quantity::duration(patience.trim()).map_err(wrong)?;
    let that = check(gate.trim_end_matches([' ', ',']), plan, before)?;
    Ok(GatePlan { that, abort_after_ns: Some(patience) })
}

/// Reads a gate and checks that it can hold: together with those before it and, with a plan, in its run. Gives it as it was written.
fn check(text: &str, plan: Option<&RunPlan>, before: &[GatePlan]) -> Result<String, Wrong> {
    let gate = Gate::parse(text).map_err(|e| {
        let start = text.char_indices().nth(e.at.saturating_sub(1)).map_or(text.len(), |(i, _)| i);
        let length = text[start..].find(char::is_whitespace).unwrap_or(text.len() - start);
        wrong(&e).within(start..start + length)
    })?;
    beside(&gate, before)?;
    if let Some(plan) = plan {
        // The error counts in the canonical spelling; the name itself is spelled the same in both.
        gate.check_plan(&plan.facts()).map_err(|e| {
            let canonical = gate.expression();
            let at = canonical.char_indices().nth(e.at.saturating_sub(1)).map_or(0, |(i, _)| i);
            let tail = &canonical[at..];
            let longest = (1..=tail.len()).rev().filter(|n| tail.is_char_boundary(*n)).map(|n| &tail[..n]);
            let found = longest
                .filter(|t| !t.trim().is_empty())
                .find_map(|t| text.rfind(t).map(|i| i..i + t.trim_end().len()));
            wrong(&e).within(found.unwrap_or(0..text.len()))
        })?;
        reach::check(&gate, plan)?;
    }
    Ok(text.trim().to_owned())
}

/// Refuses a gate that is there already, or that cannot hold together with another one.
fn beside(gate: &Gate, before: &[GatePlan]) -> Result<(), Wrong> {
    for other in before.iter().filter_map(|g| Gate::parse(&g.that).ok()) {
        let name = quoted(&other.expression());
        if *gate == other {
            let wrong = Wrong::new(format!("the gate {name} is there already"));
            return Err(wrong.expected("each gate once"));
        }
        if gate.excludes(&other) {
            let wrong = Wrong::new(format!("this gate and {name} can never hold together"));
            return Err(wrong.expected("limits that leave something between them"));
        }
    }
    Ok(())
}

fn wrong(e: &GateError) -> Wrong {
    let wrong = Wrong::new(e.problem.clone());
    match &e.suggestion {
        Some(s) => wrong.help(format!("did you mean `{s}`?")),
        None => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_on_the_command_line_may_end_the_run() {
        let read = |text: &str| option_gates(&[text.to_owned()], None);
        let gate = |that: &str, abort_after_ns| Ok(vec![GatePlan { that: that.to_owned(), abort_after_ns }]);
        assert_eq!(read("p99 < 1s over 5s, abort after 10s"), gate("p99 < 1s over 5s", Some(10_000_000_000)));
        assert_eq!(read("errors < 1% abort after 0s"), gate("errors < 1%", Some(0)));
        assert_eq!(read("errors < 1%"), gate("errors < 1%", None));
        for wrong in ["errors < 1% abort after soon", "eror < 1% abort after 5s", "abort after 5s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
