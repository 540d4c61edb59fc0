//! `[[gate]]` and `--gate`: conditions on the run. Their language is `timeline::gate`'s.

use timeline::gate::{Gate, GateError};

use super::reader::{Fields, Reader, Value};
use super::{keys, tables};
use crate::mistake::{Wrong, quoted};
use crate::plan::GatePlan;
use crate::text::quantity;

/// Ends a gate that is given as an option and may end the run.
const ABORT: &str = " abort after ";

/// Names of steps and of phases.
type Names<'a> = Option<(&'a [String], &'a [String])>;

/// Reads all gates of the file. Without `names` only their grammar is checked.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>, names: Names<'_>) -> Vec<GatePlan> {
    tables(reader, file, "gate").iter().filter_map(|v| gate(reader, v, names)).collect()
}

fn gate(reader: &Reader<'_>, value: &Value<'_>, names: Names<'_>) -> Option<GatePlan> {
    let fields = reader.fields(value, keys::GATE)?;
    let look = "a condition such as that = \"p99 < 250ms\"";
    let that = fields.need("that", look).and_then(|v| reader.read(v, look, |text| check(text, names)));
    let abort_after_ns = match fields.get("abort_after") {
        Some(v) => Some(reader.span(v)?),
        None => None,
    };
    Some(GatePlan { that: that?, abort_after_ns })
}

/// The gates given as options; `abort after 10s` at the end of one stands for `abort_after` in a file.
pub(crate) fn option_gates(gates: &[String], names: Names<'_>) -> Result<Vec<GatePlan>, Vec<Wrong>> {
    let mut good = Vec::new();
    let mut wrong = Vec::new();
    for text in gates {
        match option_gate(text, names) {
            Ok(gate) => good.push(gate),
            Err(w) => wrong.push(w.in_front(&format!("--gate {}", quoted(text)))),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

fn option_gate(text: &str, names: Names<'_>) -> Result<GatePlan, Wrong> {
    let Some((gate, patience)) = text.rsplit_once(ABORT) else {
        return Ok(GatePlan { that: check(text, names)?, abort_after_ns: None });
    };
    let start = gate.len() + ABORT.len();
    let wrong = |w: Wrong| w.within(start..text.len());
    let patience = quantity::duration(patience.trim()).map_err(wrong)?;
    Ok(GatePlan { that: check(gate.trim_end_matches([' ', ',']), names)?, abort_after_ns: Some(patience) })
}

/// Reads a gate and, with `names`, checks that what it is about exists. Gives it as it was written.
fn check(text: &str, names: Names<'_>) -> Result<String, Wrong> {
    let gate = Gate::parse(text).map_err(|e| {
        let start = text.char_indices().nth(e.at.saturating_sub(1)).map_or(text.len(), |(i, _)| i);
        let length = text[start..].find(char::is_whitespace).unwrap_or(text.len() - start);
        wrong(&e).within(start..start + length)
    })?;
    if let Some((steps, phases)) = names {
        // The error counts in the canonical spelling; the name itself is spelled the same in both.
        gate.check_names(steps, phases).map_err(|e| {
            let canonical = gate.expression();
            let at = canonical.char_indices().nth(e.at.saturating_sub(1)).map_or(0, |(i, _)| i);
            let tail = &canonical[at..];
            let longest = (1..=tail.len()).rev().filter(|n| tail.is_char_boundary(*n)).map(|n| &tail[..n]);
            let found = longest
                .filter(|t| !t.trim().is_empty())
                .find_map(|t| text.rfind(t).map(|i| i..i + t.trim_end().len()));
            wrong(&e).within(found.unwrap_or(0..text.len()))
        })?;
    }
    Ok(text.trim().to_owned())
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
