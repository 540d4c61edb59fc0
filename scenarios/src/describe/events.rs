//! Steps on an event stream in words.

use super::show;
use super::socket::{SHOWN, awaited};
use super::steps::judged;
use crate::plan::{AwaitEvent, OpenEvents, RunPlan};
use crate::text::quantity::show_duration;

/// What is opened, and how it is used as far as that is not usual.
pub(super) fn open(plan: &RunPlan, step: &OpenEvents) -> String {
    let mut out = format!("event stream {}", show(plan, &step.path));
    if let Some(bytes) = step.options.max_event {
        out += &format!(", events up to {bytes} B");
    }
    if let Some(path) = &step.options.push_age {
        out += &format!(", push age from {}", timeline::text::clean(path, SHOWN));
    }
    if step.options.reconnect {
        out += ", opened again when it ends";
    }
    out
}

/// What a step awaits.
pub(super) fn awaits(plan: &RunPlan, step: &AwaitEvent) -> String {
    let kind = step
        .kind
        .as_deref()
        .map_or("any event".to_owned(), |kind| format!("an event {}", timeline::text::clean(kind, SHOWN)));
    let what = step.what.as_ref().map(|what| format!(" ({})", awaited(plan, what))).unwrap_or_default();
    let judged = judged(&step.judgement.checks, &step.judgement.saves);
    format!("awaits {kind}{what} within {}{judged}", show_duration(step.within_ns))
}
