//! The course of a phase's load: a level, a ramp, steps, a spike, or arrivals at random; and the rules beside it.

use toml::de::DeValue;

use super::keys;
use super::reader::{Fields, Reader, Value};
use crate::mistake::{Wrong, quoted};
use crate::plan::{Dist, Leg, MAX_SESSIONS, Of, Rules, Timer, Turns};
use crate::text::quantity::{self, show_duration};

/// Most levels of a load in steps.
const MAX_STEPS: usize = 1000;
/// Most turns that a phase counts.
const MAX_TURNS: u64 = 1_000_000_000_000;
const STEPS_LOOK: &str = "levels, such as [\"10/s\", \"50/s\", \"100/s\"] or [10, 50, 100]";

/// What stands under `sessions`, `arrivals` or `requests`.
pub(super) struct Course {
    /// The legs, as long as the phase.
    pub(super) legs: Vec<Leg>,
    /// Whether arrivals come at random.
    pub(super) random: bool,
}

/// Reads a course of `of`; `length` is what the phase's `for` says, where it says anything right.
pub(super) fn read(reader: &Reader<'_>, value: &Value<'_>, of: Of, length: Option<u64>) -> Option<Course> {
    let course = match value.get_ref() {
        DeValue::Table(table) if table.contains_key("steps") => steps(reader, value, of, length),
        DeValue::Table(table) if table.contains_key("spike") => spike(reader, value, of, length),
        DeValue::Table(table) if table.contains_key("poisson") => {
            let fields = reader.fields(value, keys::POISSON)?;
            let rate = one(reader, fields.get("poisson")?, Of::Arrivals)?;
            chance_is_of_arrivals(reader, value, of)?;
            Some(Course { legs: vec![Leg { length_ns: length?, from: rate, to: rate }], random: true })
        }
        DeValue::Table(_) => {
            let fields = reader.fields(value, keys::RAMP)?;
            let end = |key| fields.need(key, "{ from = ..., to = ... }").and_then(|v| one(reader, v, of));
            let (from, to) = (end("from"), end("to"));
            let random = random(reader, &fields, of)?;
            Some(Course { legs: vec![Leg { length_ns: length?, from: from?, to: to? }], random })
        }
        _ => {
            let level = one(reader, value, of)?;
            Some(Course { legs: vec![Leg { length_ns: length?, from: level, to: level }], random: false })
        }
    }?;
    if course.legs.iter().all(|l| l.from <= 0.0 && l.to <= 0.0) {
        reader.wrong(value.span(), Wrong::new("this phase offers no load").expected("more than zero"));
        return None;
    }
    Some(course)
}

/// How long a course is by itself: steps of a given length each are. Mistakes are left for [`read`] to note.
pub(super) fn own_length(value: &Value<'_>) -> Option<u64> {
    let DeValue::Table(table) = value.get_ref() else { return None };
    let DeValue::Array(levels) = table.get("steps")?.get_ref() else { return None };
    let each = quantity::duration(table.get("each")?.get_ref().as_str()?).ok()?;
    each.checked_mul(levels.len() as u64).filter(|ns| *ns > 0)
}

fn one(reader: &Reader<'_>, value: &Value<'_>, of: Of) -> Option<f64> {
    if of == Of::Sessions {
        reader.integer(value, 0..=MAX_SESSIONS).map(|n| n as f64)
    } else {
        reader.rate(value)
    }
}

fn steps(reader: &Reader<'_>, value: &Value<'_>, of: Of, length: Option<u64>) -> Option<Course> {
    let fields = reader.fields(value, keys::STEPS)?;
    let levels = reader.array(fields.get("steps")?, STEPS_LOOK, MAX_STEPS)?;
    let each = fields.get("each").map(|v| reader.span(v).ok_or(())).transpose().ok()?;
    if levels.is_empty() {
        let wrong = Wrong::new("these steps have no level").expected(STEPS_LOOK);
        reader.wrong(value.span(), wrong);
        return None;
    }
    let count = levels.len() as u64;
    let whole = length.or(own_length(value))?;
    if let Some(each) = each
        && each.checked_mul(count) != Some(whole)
    {
        let wrong = Wrong::new(format!(
            "{count} steps of {} do not fill {}",
            show_duration(each),
            show_duration(whole)
        ));
        let wrong = wrong.expected("a phase as long as its steps").help("leave out `each` or `for`");
        reader.wrong(fields.key_span("each"), wrong);
        return None;
    }
    let levels: Option<Vec<_>> = levels.iter().map(|v| one(reader, v, of)).collect();
    let random = random(reader, &fields, of)?;
    // Lengths in whole nanoseconds that add up to the phase's.
    let end = |i: u64| (u128::from(whole) * u128::from(i) / u128::from(count)) as u64;
    let leg = |(i, level): (u64, f64)| Leg { length_ns: end(i + 1) - end(i), from: level, to: level };
    Some(Course { legs: (0..).zip(levels?).map(leg).collect(), random })
}

fn spike(reader: &Reader<'_>, value: &Value<'_>, of: Of, length: Option<u64>) -> Option<Course> {
    let fields = reader.fields(value, keys::SPIKE)?;
    let base = fields.need("base", "base = \"10/s\"").and_then(|v| one(reader, v, of));
    let top = fields.get("spike").and_then(|v| one(reader, v, of));
    let at = fields.need("at", "at = \"20s\"").and_then(|v| reader.duration(v));
    let lasts = fields.need("for", "for = \"5s\"").and_then(|v| reader.span(v));
    let random = random(reader, &fields, of)?;
    let (base, top, at, lasts, length) = (base?, top?, at?, lasts?, length?);
    if at.saturating_add(lasts) > length {
        let wrong = Wrong::new(format!("the spike ends after the phase's {}", show_duration(length)));
        reader.wrong(fields.key_span("at"), wrong.expected("`at` and `for` within the phase"));
        return None;
    }
    let level = |length_ns, n| Leg { length_ns, from: n, to: n };
    let legs = [level(at, base), level(lasts, top), level(length - at - lasts, base)];
    Some(Course { legs: legs.into_iter().filter(|l| l.length_ns > 0).collect(), random })
}

fn random(reader: &Reader<'_>, fields: &Fields<'_>, of: Of) -> Option<bool> {
    let Some(value) = fields.get("random") else { return Some(false) };
    let random = reader.boolean(value)?;
    if random {
        chance_is_of_arrivals(reader, value, of)?;
    }
    Some(random)
}

/// A count of held sessions has no gaps that could be drawn.
fn chance_is_of_arrivals(reader: &Reader<'_>, value: &Value<'_>, of: Of) -> Option<()> {
    if of != Of::Sessions {
        return Some(());
    }
    let wrong = Wrong::new("held sessions do not arrive at random").expected("`arrivals` or `requests`");
    reader.wrong(value.span(), wrong);
    None
}

/// Reads the rules of a phase that loads `of`; `random` is what its course says.
pub(super) fn rules(reader: &Reader<'_>, fields: &Fields<'_>, of: Of, random_course: bool) -> Option<Rules> {
    let before = reader.count();
    let held = ["iterations", "shared-iterations", "lifetime", "churn", "ramp-down"];
    let arriving = ["max-sessions", "random"];
    let (misplaced, whose) = if of == Of::Sessions {
        (&arriving[..], "`arrivals` or `requests`")
    } else {
        (&held[..], "`sessions`, which are held")
    };
    for key in misplaced.iter().filter(|k| fields.get(k).is_some()) {
        let wrong = Wrong::new(format!("{} has no meaning in this phase", quoted(key)));
        reader.wrong(fields.key_span(key), wrong.expected(format!("a phase of {whose}")));
    }
    for (a, b) in [("iterations", "shared-iterations"), ("lifetime", "churn")] {
        if fields.get(a).is_some() && fields.get(b).is_some() {
            let wrong = Wrong::new(format!("a phase has `{a}` or `{b}`, not both"));
            reader.wrong(fields.key_span(b), wrong.expected("one of them"));
        }
    }
    let count = |key, max| fields.get(key).and_then(|v| reader.integer(v, 1..=max));
    let each = count("iterations", MAX_TURNS).map(Turns::Each);
    let shared = count("shared-iterations", MAX_TURNS).map(Turns::Shared);
    let random = fields.get("random").and_then(|v| reader.boolean(v));
    if random == Some(false) && random_course {
        let wrong = Wrong::new("the arrivals of this course are random already");
        reader.wrong(fields.key_span("random"), wrong.expected("no `random = false` beside it"));
    }
    let churn = fields.get("churn").and_then(|v| reader.read(v, quantity::CHURN_LOOK, quantity::churn));
    let rules = Rules {
        random: random_course || random.unwrap_or(false),
        turns: each.or(shared),
        max_sessions: count("max-sessions", MAX_SESSIONS),
        lifetime: fields.get("lifetime").and_then(|v| lifetime(reader, v)).or(churn),
        ramp_down_ns: fields.get("ramp-down").and_then(|v| reader.duration(v)),
    };
    (reader.count() == before).then_some(rules)
}

/// Reads `[load] timer`.
pub(super) fn timer(reader: &Reader<'_>, file: &Fields<'_>) -> Timer {
    let read = |text: &str| match text {
        "wheel" => Ok(Timer::Wheel),
        "precise" => Ok(Timer::Precise),
        other => {
            let wrong = Wrong::new(format!("{} is no timer", quoted(other)));
            Err(wrong.expected("\"wheel\" or \"precise\"").did_you_mean(other, ["wheel", "precise"]))
        }
    };
    let load = file.get("load").and_then(|v| reader.fields(v, keys::LOAD));
    load.and_then(|l| l.get("timer"))
        .and_then(|v| reader.read(v, "\"wheel\" or \"precise\"", read))
        .unwrap_or_default()
}

fn lifetime(reader: &Reader<'_>, value: &Value<'_>) -> Option<Dist> {
    let dist = reader.dist(value)?;
    if dist == Dist::Constant(0) {
        let wrong = Wrong::new("a session cannot live for no time");
        reader.wrong(value.span(), wrong.expected("a lifetime such as \"5m\" or \"exp(5m)\""));
        return None;
    }
    Some(dist)
}
