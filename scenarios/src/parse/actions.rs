//! `[[action]]`: what the bundled backend is told to do that is no fault, and when.

use super::reader::{Fields, Reader, Value};
use super::{keys, tables, within_run};
use crate::mistake::{Wrong, no_such};
use crate::plan::{Action, ActionPlan};

/// Reads all actions; `length_ns` is the run's length, if it is known.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>, length_ns: Option<u64>) -> Vec<ActionPlan> {
    tables(reader, file, "action").iter().filter_map(|v| action(reader, v, length_ns)).collect()
}

fn action(reader: &Reader<'_>, value: &Value<'_>, length_ns: Option<u64>) -> Option<ActionPlan> {
    let fields = reader.fields(value, keys::ACTION)?;
    let action = fields.need("do", "do = \"reload\"").and_then(|v| reader.read(v, "what is done", named));
    let at_ns = fields.need("at", "at = \"20s\", from the run's start").and_then(|v| reader.duration(v));
    within_run(reader, &fields, at_ns, length_ns, "action");
    Some(ActionPlan { at_ns: at_ns?, action: action? })
}

fn named(text: &str) -> Result<Action, Wrong> {
    let found = Action::ALL.iter().copied().find(|a| a.name() == text);
    found.ok_or_else(|| no_such("action", text, Action::ALL.iter().map(|a| a.name())))
}
