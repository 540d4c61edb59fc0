//! `[[session]] journey = "..."`: a session kind whose steps are code.
//!
//! Owns how its transactions become steps with names of their own. What they do is known to the crate `journeys` alone.

use super::reader::Value;
use super::sessions::World;
use super::step::{Journey as Names, StepNames};
use crate::journeys::{self, When};
use crate::mistake::{Wrong, closest, listed, quoted};
use crate::plan::{Dist, Journey, JourneyStep, Step};

/// What a step name of a journey belongs to, as messages about a clash of names say it.
const VERB: &str = "journey";
const NS_PER_MS: u64 = 1_000_000;

/// Reads the name of a journey; an unknown one is noted.
pub(super) fn read(world: &World<'_>, value: &Value<'_>, names: &mut StepNames) -> Option<Vec<Step>> {
    let reader = world.reader;
    let name = reader.text(value, "the name of a journey in quotes")?;
    let known = || journeys::ALL.iter().map(|j| j.name);
    let Some(journey) = journeys::find(name) else {
        let wrong = Wrong::new(format!("there is no journey {}", quoted(name)));
        let wrong = wrong.expected(format!("one of {}", listed(known())));
        reader.wrong(
            value.span(),
            match closest(name, known()) {
                Some(close) => wrong.help(format!("did you mean `{close}`?")),
                None => wrong.help("somebody's own goose binary runs under `dyno goose -- COMMAND`"),
            },
        );
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
