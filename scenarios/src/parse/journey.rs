//! `[[session]] journey = "..."`: a session kind whose steps are code.
//!
//! Owns how its transactions become steps with names of their own, and what of `[target]` does not go with one. What they do
//! is known to the crate `journeys` alone.

use super::reader::{Fields, Reader, Value};
use super::sessions::{Kind, World};
use super::step::{Journey as Names, StepNames};
use super::{Overrides, keys};
use crate::journeys::{self, When};
use crate::mistake::{Wrong, no_such, quoted};
use crate::plan::{Dist, HttpVersion, Journey, JourneyStep, Step, Target, Transport};

/// What a step name of a journey belongs to, as messages about a clash of names say it.
const VERB: &str = "journey";
const NS_PER_MS: u64 = 1_000_000;

/// Reads the name of a journey; an unknown one is noted.
pub(super) fn read(world: &World<'_>, value: &Value<'_>, names: &mut StepNames) -> Option<Vec<Step>> {
    let reader = world.reader;
    let name = reader.text(value, "the name of a journey in quotes")?;
    let Some(journey) = journeys::find(name) else {
        let wrong = no_such("journey", name, journeys::ALL.iter().map(|j| j.name));
        let goose = || "somebody's own goose binary runs under `dyno goose -- COMMAND`".to_owned();
        reader.wrong(value.span(), wrong.help_or(goose));
        return None;
    };
    let mut names = Names::new(world, Vec::new(), names);
    let mut steps = Vec::with_capacity(journey.transactions.len());
    for transaction in journey.transactions {
        let (whole, inside) = journey.steps_of(transaction);
        match (names.named(whole, VERB), names.named(inside, VERB)) {
            (Ok(id), Ok(inside)) => {
                let times = if transaction.when == When::Visit { transaction.weight } else { 1 };
                steps.push(JourneyStep { id, inside, times });
            }
            (Err(wrong), _) | (_, Err(wrong)) => reader.wrong(value.span(), wrong),
        }
    }
    let pause = journey.pause_ms.map(|(a, b)| Dist::Uniform(a * NS_PER_MS, b * NS_PER_MS));
    let journey = Journey { name: name.to_owned(), connections: journey.connections, pause, steps };
    Some(vec![Step::Journey(Box::new(journey))])
}

/// Notes what `[target]` asks for that a journey cannot do, and what has no effect where all sessions are journeys: their client
/// is goose's, and one for all visitors.
pub(super) fn check(
    reader: &Reader<'_>,
    file: &Fields<'_>,
    (target, transport): (&Target, &Transport),
    overrides: &Overrides,
    kinds: &[Kind],
) {
    let Some(first) = kinds.iter().map(|k| &k.kind).find(|k| k.is_journey()) else { return };
    let written = file.get("target").and_then(|v| reader.quiet(v, keys::TARGET));
    let note = |key: &str, flag: Option<&str>, wrong: Wrong| match (flag, &written) {
        (Some(flag), _) => reader.wrong_outside(wrong.in_front(flag)),
        (None, Some(fields)) => reader.wrong(fields.key_span(key), wrong),
        (None, None) => reader.wrong_outside(wrong),
    };
    let name = quoted(&first.name);
    if matches!(target, Target::Url(url) if url.tls) {
        let wrong =
            Wrong::new(format!("session kind {name} is a journey, and journeys go to http:// targets only"));
        let wrong = wrong.expected("an address that begins with http://, or `steps` instead of `journey`");
        note("url", overrides.target.as_ref().map(|_| "--target"), wrong);
    } else if transport.http == HttpVersion::Http2 {
        let wrong =
            Wrong::new(format!("session kind {name} is a journey, and journeys speak HTTP/1.1 alone"));
        let wrong = wrong.expected("\"1.1\", or `steps` instead of `journey`");
        note("http", overrides.http.as_ref().map(|_| "--http"), wrong);
    }
    if kinds.iter().any(|k| !k.kind.is_journey()) {
        return;
    }
    let auth = written.as_ref().is_some_and(|fields| fields.get("auth").is_some());
    for key in
        [("cookies", transport.cookies), ("auth", auth)].into_iter().filter_map(|(k, set)| set.then_some(k))
    {
        let wrong = Wrong::new(format!("all sessions are journeys, so `{key}` would have no effect"));
        note(key, None, wrong.expected(format!("a session of `steps`, or no `{key}`")));
    }
}
