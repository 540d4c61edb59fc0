//! `[[session]]`: kinds of simulated clients, and what must hold of a kind as a whole.

use std::cell::RefCell;

use toml::de::DeValue;

use super::reader::{Fields, Reader, Value};
use super::step::{Journey, StepNames};
use super::target::is_variable;
use super::{keys, some_tables};
use crate::mistake::{Wrong, quoted};
use crate::plan::{Assets, Secret, SessionKind, Step};
use crate::text::template::{Known, RESERVED};

/// Greatest weight; shares finer than one in a million cannot be told apart.
const MAX_WEIGHT: u64 = 1_000_000;
/// Most variables of a session: each costs memory in every session.
const MAX_SLOTS: usize = 64;

/// What all kinds may refer to.
pub(super) struct World<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) feeders: &'a [Known],
    pub(super) secrets: &'a [Secret],
    pub(super) timeout_ns: u64,
    /// The values of `[vars]`.
    pub(super) vars: serde_json::Map<String, serde_json::Value>,
    /// What `[target]` says of authentication; read for each kind, since it may name a kind's variables.
    pub(super) auth: Option<&'a Value<'a>>,
    /// What steps refer to by number, as far as it was read.
    pub(super) assets: RefCell<Assets>,
}

/// A kind and what others must know of it.
pub(super) struct Kind {
    pub(super) kind: SessionKind,
    /// It uses a WebSocket or repeats until the end.
    pub(super) needs_session: bool,
}

/// All kinds, and what they have in common.
pub(super) struct Kinds {
    pub(super) kinds: Vec<Kind>,
    pub(super) steps: Vec<String>,
    pub(super) slots: u16,
}

/// Reads all session kinds.
pub(super) fn read(world: &World<'_>, file: &Fields<'_>) -> Kinds {
    let written = some_tables(world.reader, file, "session", "at least one [[session]] with name and steps");
    let mut names = StepNames::default();
    let mut all = Kinds { kinds: Vec::new(), steps: Vec::new(), slots: 0 };
    for value in written {
        let Some((kind, slots)) = kind(world, value, &mut names) else {
            continue;
        };
        if all.kinds.iter().any(|k| k.kind.name == kind.name) {
            let wrong = Wrong::new(format!("there are two session kinds called {}", quoted(&kind.name)));
            world.reader.wrong(value.span(), wrong.expected("a name of its own for each kind"));
        }
        all.slots = all.slots.max(slots);
        let needs_session = needs_session(&kind.steps);
        all.kinds.push(Kind { kind, needs_session });
    }
    if let Some(auth) = world.auth
        && !(written.is_empty() || written.iter().any(inherits))
    {
        check_unused(world, auth, written);
    }
    all.steps = names.into_names();
    all
}

/// Does this kind take up what `[target]` says of authentication?
fn inherits(kind: &Value<'_>) -> bool {
    let has = |key: &str| kind.get_ref().as_table().is_some_and(|kind| kind.get(key).is_some());
    has("steps") && !has("auth") && !has("journey")
}

/// Notes what is wrong with the `auth` of `[target]` that no kind takes up. It may name any kind's variables.
fn check_unused(world: &World<'_>, auth: &Value<'_>, kinds: &[Value<'_>]) {
    let mut slots = Vec::new();
    for steps in kinds.iter().filter_map(|kind| kind.get_ref().as_table()?.get("steps")) {
        let mut own = Vec::new();
        variables(world, steps, &mut own);
        slots.append(&mut own);
    }
    let signers = world.assets.borrow().signers.len();
    Journey::new(world, slots, &mut StepNames::default()).inherit(auth);
    // Nobody signs with its key.
    world.assets.borrow_mut().signers.truncate(signers);
}

fn kind(world: &World<'_>, value: &Value<'_>, names: &mut StepNames) -> Option<(SessionKind, u16)> {
    let reader = world.reader;
    let fields = reader.fields(value, keys::SESSION)?;
    let name = fields.need("name", "name = \"browser\"").and_then(|v| reader.name(v));
    let weight = fields.get("weight").map_or(Some(1), |v| reader.integer(v, 1..=MAX_WEIGHT));
    if let Some(journey) = fields.get("journey") {
        if let Some(steps) = fields.get("steps") {
            let wrong = Wrong::new("this session has both `steps` and `journey`");
            reader.wrong(steps.span(), wrong.expected("one of the two: a journey brings its steps"));
        }
        if fields.get("auth").is_some() {
            let wrong = Wrong::new("a journey logs in by itself");
            reader.wrong(fields.key_span("auth"), wrong.expected("`steps` beside `auth`"));
        }
        let steps = super::journey::read(world, journey, names)?;
        return Some((SessionKind { name: name?, weight: weight? as u32, steps }, 0));
    }
    let steps = fields.need("steps", "steps = [{ name = \"home\", get = \"/\" }]")?;
    let mut slots = Vec::new();
    variables(world, steps, &mut slots);
    let slot_count = slots.len() as u16;
    let mut journey = Journey::new(world, slots, names);
    if let Some(auth) = fields.get("auth").or(world.auth) {
        journey.inherit(auth);
    }
    let before = reader.count();
    let steps_read = journey.steps(steps);
    if reader.count() == before && steps_read.as_ref().is_some_and(Vec::is_empty) {
        reader.wrong(steps.span(), Wrong::new("this session does nothing").expected("at least one step"));
    }
    Some((SessionKind { name: name?, weight: weight? as u32, steps: steps_read? }, slot_count))
}

/// Collects the names of all variables that steps save, inner ones included; wrong shapes are noted elsewhere.
fn variables(world: &World<'_>, steps: &Value<'_>, into: &mut Vec<String>) {
    let DeValue::Array(steps) = steps.get_ref() else {
        return;
    };
    for step in steps.iter() {
        let DeValue::Table(step) = step.get_ref() else {
            continue;
        };
        for inner in ["steps", "else", "parallel"].into_iter().filter_map(|key| step.get(key)) {
            variables(world, inner, into);
        }
        if let Some(choices) = step.get("choose") {
            variables(world, choices, into);
        }
        let Some(save) = step.get("save") else {
            continue;
        };
        for (name, span, _) in
            world.reader.table(save, "a table such as save = { token = \"$.token\" }").unwrap_or_default()
        {
            if into.iter().any(|n| n == name) {
                continue;
            }
            let taken = world.secrets.iter().any(|s| s.name == name);
            let wrong = if RESERVED.contains(&name) || taken {
                Wrong::new(format!("{} is taken already", quoted(name)))
                    .expected("another name for the variable")
            } else if !is_variable(name) {
                Wrong::new(format!("{} cannot be a variable", quoted(name)))
                    .expected("letters, digits, `_` and `-`")
            } else if into.len() == MAX_SLOTS {
                Wrong::new("too many variables in one session").expected(format!("at most {MAX_SLOTS}"))
            } else {
                into.push(name.to_owned());
                continue;
            };
            world.reader.wrong(span, wrong);
        }
    }
}

fn needs_session(steps: &[Step]) -> bool {
    fn needs(step: &Step) -> bool {
        match step {
            Step::Connect(_) | Step::Send(_) | Step::Close(_) => true,
            Step::OpenEvents(_) | Step::AwaitEvent(_) | Step::CloseEvents(_) => true,
            Step::Listen(_) | Step::Ignore(_) | Step::Journey(_) => true,
            Step::Repeat(r) => r.times == crate::plan::Times::UntilEnd || step.inner().any(needs),
            Step::If(_) | Step::Choose(_) => step.inner().any(needs),
            Step::Request(_) | Step::Parallel(_) | Step::Think(_) => false,
        }
    }
    steps.iter().any(needs)
}
