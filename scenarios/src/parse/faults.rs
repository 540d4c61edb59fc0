//! `[[fault]]`: what the bundled backend is told to do wrong, and when.

use std::collections::BTreeMap;

use timeline::fault::{FaultKind, FaultOrder};

use super::reader::{Fields, Reader, Value, number};
use super::{keys, tables, within_run};
use crate::mistake::{Wrong, listed, no_such, quoted};
use crate::plan::FaultPlan;

const NS_PER_MS: u64 = 1_000_000;

/// Reads all faults; `length_ns` is the run's length, if it is known.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>, length_ns: Option<u64>) -> Vec<FaultPlan> {
    tables(reader, file, "fault").iter().filter_map(|v| fault(reader, v, length_ns)).collect()
}

fn fault(reader: &Reader<'_>, value: &Value<'_>, length_ns: Option<u64>) -> Option<FaultPlan> {
    let fields = reader.fields(value, keys::FAULT)?;
    let name =
        fields.need("name", "name = \"stampede\"").and_then(|v| reader.read(v, "a fault's name", kind));
    let at_ns = fields.need("at", "at = \"20s\", from the run's start").and_then(|v| reader.duration(v));
    let for_ns = fields.need("for", "for = \"20s\"").and_then(|v| reader.span(v));
    within_run(reader, &fields, at_ns, length_ns, "fault");
    let knobs = name.map(|name| knobs(reader, &fields, name));
    let order = FaultOrder { name: name?, for_ms: (for_ns? / NS_PER_MS).max(1), knobs: knobs? };
    Some(FaultPlan { at_ns: at_ns?, order })
}

fn kind(text: &str) -> Result<FaultKind, Wrong> {
    let names = FaultKind::ALL.iter().map(|f| f.name());
    FaultKind::from_name(text).ok_or_else(|| no_such("fault", text, names))
}

fn knobs(reader: &Reader<'_>, fields: &Fields<'_>, name: FaultKind) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (key, span, value) in fields.entries() {
        if keys::FAULT.keys.contains(&key) {
            continue;
        }
        let known = name.knobs().iter().map(|k| k.name);
        if !known.clone().any(|k| k == key) {
            let wrong = Wrong::new(format!("fault {} has no knob {}", name.name(), quoted(key)))
                .expected(format!("one of {}", listed(keys::FAULT.keys.iter().copied().chain(known.clone()))))
                .did_you_mean(key, known.chain(keys::FAULT.keys.iter().copied()));
            reader.wrong(span, wrong);
            continue;
        }
        let Some(n) = number(value.get_ref()) else {
            reader.not_a(value, "a number");
            continue;
        };
        let one = FaultOrder { name, for_ms: 1, knobs: BTreeMap::from([(key.to_owned(), n)]) };
        match one.check() {
            Ok(()) => drop(all.insert(key.to_owned(), n)),
            Err(sentence) => reader.wrong(value.span(), Wrong::new(sentence)),
        }
    }
    all
}
