//! `[[phase]]`: how long, how much load, and whether it counts.

use std::ops::Range;

use super::reader::{Fields, Reader, Value};
use super::{course, keys, some_tables};
use crate::mistake::{Wrong, quoted};
use crate::plan::{Model, Of, Phase};

const MODELS: [&str; 3] = ["sessions", "arrivals", "requests"];
const MODEL_LOOK: &str = "exactly one of `sessions = 100` (held), `arrivals = \"10/s\"` (sessions arrive), `requests = \"100/s\"` (single requests)";

/// Reads all phases; each comes with the place of its load model.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>) -> Vec<(Phase, Range<usize>)> {
    let written = some_tables(reader, file, "phase", "at least one [[phase]] with name, for and load");
    let mut phases: Vec<(Phase, Range<usize>)> = Vec::new();
    for value in written {
        let Some(phase) = phase(reader, value) else {
            continue;
        };
        if phases.iter().any(|(p, _)| p.name == phase.0.name) {
            let wrong = Wrong::new(format!("there are two phases called {}", quoted(&phase.0.name)));
            reader.wrong(value.span(), wrong.expected("a name of its own for each phase"));
        }
        phases.push(phase);
    }
    if phases.len() == written.len() && !phases.is_empty() && phases.iter().all(|(p, _)| p.warmup) {
        let wrong = Wrong::new("every phase is warm-up, so no figure would count");
        reader.wrong(written[0].span(), wrong.expected("at least one phase without `warmup = true`"));
    }
    phases
}

fn phase(reader: &Reader<'_>, value: &Value<'_>) -> Option<(Phase, Range<usize>)> {
    let fields = reader.fields(value, keys::PHASE)?;
    let name = fields.need("name", "name = \"steady\"").and_then(|v| reader.name(v));
    let own = MODELS.iter().find_map(|m| fields.get(m).and_then(course::own_length));
    let length_ns = match (fields.get("for"), own) {
        (None, Some(own)) => Some(own),
        _ => fields.need("for", "for = \"60s\"").and_then(|v| reader.span(v)),
    };
    let warmup = fields.get("warmup").map_or(Some(false), |v| reader.boolean(v));
    let model = model(reader, &fields, length_ns);
    let (model, span) = model?;
    Some((Phase { name: name?, length_ns: length_ns?, model, warmup: warmup? }, span))
}

fn model(reader: &Reader<'_>, fields: &Fields<'_>, length: Option<u64>) -> Option<(Model, Range<usize>)> {
    let given: Vec<_> = MODELS.iter().filter(|m| fields.get(m).is_some()).collect();
    let [key] = given.as_slice() else {
        let (what, span) = match given.last() {
            None if MODELS.iter().any(|m| fields.meant(m)) => return None,
            None => ("this phase has no load", fields.span()),
            Some(last) => ("this phase has more than one load model", fields.key_span(last)),
        };
        reader.wrong(span, Wrong::new(what).expected(MODEL_LOOK));
        return None;
    };
    let of = match **key {
        "sessions" => Of::Sessions,
        "arrivals" => Of::Arrivals,
        _ => Of::Requests,
    };
    let course = course::read(reader, fields.get(key)?, of, length);
    let rules = course::rules(reader, fields, of, course.as_ref().is_some_and(|c| c.random));
    Some((Model::of_legs(of, course?.legs, rules?), fields.key_span(key)))
}
