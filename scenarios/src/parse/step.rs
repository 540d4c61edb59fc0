//! `steps`: one table each, read by the key that says what it does.
//!
//! Owns the walk through a session kind's steps and what depends on their order; requests, with all
//! that belongs to them, are in `request`.

mod body;
mod check;
mod parallel;
mod request;
mod socket;

use toml::de::DeValue;

use super::keys::{Shape, VERBS};
use super::reader::{Fields, Value};
use super::sessions::World;
use crate::mistake::{Wrong, closest, listed, quoted};
use crate::plan::{Dist, Repeat, Slot, Step, StepId, Template, Times};
use crate::text::template;

/// Most steps of a scenario, inner ones included.
const MAX_STEPS: usize = 1_000;
/// How deep `repeat` may be nested.
const MAX_DEPTH: usize = 8;
/// Most turns of a counted loop.
const MAX_TURNS: u64 = 1_000_000;

/// Names of steps in the order of their first use; one name is one series, whoever does the step.
#[derive(Default)]
pub(super) struct StepNames {
    names: Vec<(String, &'static str)>,
    /// Steps of all kinds read so far, unnamed ones included.
    read: usize,
    too_many: bool,
}

impl StepNames {
    pub(super) fn into_names(self) -> Vec<String> {
        self.names.into_iter().map(|(name, _)| name).collect()
    }
}

/// The reading of one session kind's steps.
pub(super) struct Journey<'a, 'n> {
    world: &'a World<'a>,
    slots: Vec<String>,
    names: &'n mut StepNames,
    depth: usize,
    /// Whether a step so far opens a WebSocket.
    connected: bool,
}

impl<'a, 'n> Journey<'a, 'n> {
    pub(super) fn new(world: &'a World<'a>, slots: Vec<String>, names: &'n mut StepNames) -> Self {
        Self { world, slots, names, depth: 0, connected: false }
    }

    /// Reads an array of steps; wrong ones are noted and left out.
    pub(super) fn steps(&mut self, value: &Value<'_>) -> Option<Vec<Step>> {
        let values = self.world.reader.array(value, "an array of steps", MAX_STEPS)?;
        Some(values.iter().filter_map(|v| self.step(v)).collect())
    }

    fn step(&mut self, value: &Value<'_>) -> Option<Step> {
        self.names.read += 1;
        if self.names.read > MAX_STEPS {
            if !std::mem::replace(&mut self.names.too_many, true) {
                let wrong =
                    Wrong::new("too many steps").expected(format!("at most {MAX_STEPS} in a scenario"));
                self.world.reader.wrong(value.span(), wrong);
            }
            return None;
        }
        let (verb, shape) = self.verb(value)?;
        let fields = self.world.reader.fields(value, shape)?;
        let what = fields.get(verb)?;
        match verb {
            "connect" => self.connect(&fields, what),
            "send" => self.send(&fields, what),
            "send-binary" => self.send_binary(&fields, what),
            "await" => self.await_alone(&fields, what),
            "listen" => {
                self.must_be_connected(&fields, verb);
                self.world.reader.dist(what).map(Step::Listen)
            }
            "think" => self.world.reader.dist(what).map(Step::Think),
            "repeat" => self.repeat(&fields, what),
            "parallel" => self.parallel(&fields, what),
            "close" => self.close(&fields, what),
            _ => self.request(&fields, verb, what),
        }
    }

    /// The one key that says what the step does, and what else it then takes.
    fn verb(&self, value: &Value<'_>) -> Option<(&'static str, &'static Shape)> {
        let reader = self.world.reader;
        let look = || format!("exactly one of {}", listed(VERBS.iter().map(|(v, _)| *v)));
        let DeValue::Table(table) = value.get_ref() else {
            reader.not_a(value, "a step such as { name = \"home\", get = \"/\" }");
            return None;
        };
        let sends = table.contains_key("send") || table.contains_key("send-binary");
        // Beside something that is sent, `await` is no step of its own.
        let counts = |verb: &str| table.contains_key(verb) && !(sends && verb == "await");
        let given: Vec<_> = VERBS.iter().filter(|(verb, _)| counts(verb)).collect();
        match given.as_slice() {
            [one] => Some(**one),
            [] => {
                let verbs = || VERBS.iter().map(|(v, _)| *v);
                let known = |key: &str| VERBS.iter().any(|(_, shape)| shape.keys.contains(&key));
                let unknown = table.keys().filter(|k| !known(k.get_ref()));
                let meant = unknown.filter_map(|k| Some((k, closest(k.get_ref(), verbs())?))).next();
                let wrong = |what: String| Wrong::new(what).expected(look());
                match meant {
                    Some((key, verb)) => reader.wrong(
                        key.span(),
                        wrong(format!("unknown key {} in a step", quoted(key.get_ref())))
                            .help(format!("did you mean `{verb}`?")),
                    ),
                    None => reader.wrong(value.span(), wrong("this step does nothing".to_owned())),
                }
                None
            }
            [first, second, ..] => {
                let wrong = Wrong::new(format!("this step has both `{}` and `{}`", first.0, second.0));
                reader.wrong(value.span(), wrong.expected(look()));
                None
            }
        }
    }

    /// The step's name as an id; a missing one is noted.
    fn id(&mut self, fields: &Fields<'_>, verb: &'static str) -> Option<StepId> {
        let value = fields.need("name", "name = \"...\": figures and gates speak of the step by it")?;
        let name = self.world.reader.name(value)?;
        match self.named(name, verb) {
            Ok(id) => Some(id),
            Err(wrong) => {
                self.world.reader.wrong(value.span(), wrong);
                None
            }
        }
    }

    pub(super) fn named(&mut self, name: String, verb: &'static str) -> Result<StepId, Wrong> {
        if let Some(i) = self.names.names.iter().position(|(n, _)| *n == name) {
            let other = self.names.names[i].1;
            if other != verb {
                return Err(Wrong::new(format!("a `{other}` step is called {} already", quoted(&name)))
                    .expected("another name: steps with one name share their figures"));
            }
            return Ok(StepId(i as u16));
        }
        self.names.names.push((name, verb));
        Ok(StepId(self.names.names.len() as u16 - 1))
    }

    fn repeat(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        let reader = self.world.reader;
        let times = times(self.world, what);
        let every = match fields.get("every") {
            Some(v) => Some(reader.dist(v)?),
            None => None,
        };
        let steps = fields.need("steps", "steps = [...]")?;
        if self.depth == MAX_DEPTH {
            let wrong =
                Wrong::new("loops are nested too deeply").expected(format!("at most {MAX_DEPTH} levels"));
            reader.wrong(what.span(), wrong);
            return None;
        }
        let before = reader.count();
        self.depth += 1;
        let inner = self.steps(steps);
        self.depth -= 1;
        let inner = inner?;
        if reader.count() == before && !every.is_some_and(takes_time) && !inner.iter().any(step_takes_time) {
            let wrong = Wrong::new("a turn of this loop may take no time at all, so it would spin");
            let help = "give it `every`, a `think`, or a request without `if`";
            reader.wrong(steps.span(), wrong.expected("something in it that takes time").help(help));
        }
        Some(Step::Repeat(Box::new(Repeat { times: times?, every, steps: inner })))
    }

    fn close(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_connected(fields, "close");
        if self.world.reader.boolean(what)? {
            let id = match fields.get("name") {
                Some(_) => self.id(fields, "close")?,
                None => self
                    .named("close".to_owned(), "close")
                    .map_err(|w| self.world.reader.wrong(what.span(), w))
                    .ok()?,
            };
            return Some(Step::Close(id));
        }
        self.world.reader.wrong(what.span(), Wrong::new("this step does nothing").expected("close = true"));
        None
    }

    fn must_be_connected(&self, fields: &Fields<'_>, verb: &str) {
        if !self.connected {
            let wrong = Wrong::new(format!("`{verb}` needs a WebSocket, and no earlier step opens one"));
            let look = "a step such as { name = \"open\", connect = \"/ws\" } before it";
            self.world.reader.wrong(fields.key_span(verb), wrong.expected(look));
        }
    }

    fn scope<'s>(&'s self, sent: Option<&'s [String]>) -> template::Scope<'s> {
        template::Scope { slots: &self.slots, feeders: self.world.feeders, secrets: self.world.secrets, sent }
    }

    fn template(&self, value: &Value<'_>, look: &str) -> Option<Template> {
        self.template_with(value, look, None)
    }

    fn template_with(&self, value: &Value<'_>, look: &str, sent: Option<&[String]>) -> Option<Template> {
        let text = self.world.reader.text(value, look)?;
        match template::parse(text, &self.scope(sent)) {
            Ok(template) => Some(template),
            Err(wrong) => {
                wrong.into_iter().for_each(|w| self.world.reader.wrong_in(value, text, w));
                None
            }
        }
    }

    /// A path with its query, as it may stand in a request line.
    fn path(&self, value: &Value<'_>) -> Option<Template> {
        let look = "a path such as \"/rooms?page=1\"";
        let reader = self.world.reader;
        reader.read(value, look, |text| {
            if text.contains("://") && !text.starts_with('/') {
                return Err(
                    Wrong::new("a step has a path alone; the host stands in [target] url").expected(look)
                );
            }
            if !text.starts_with('/') {
                return Err(Wrong::new(format!("{} does not start with `/`", quoted(text))).expected(look));
            }
            Ok(())
        })?;
        let template = self.template(value, look)?;
        let plain =
            template.0.iter().filter_map(|p| if let crate::plan::Part::Text(t) = p { Some(t) } else { None });
        if let Some(c) = plain.flat_map(|t| t.chars()).find(|c| !c.is_ascii_graphic() || *c == '#') {
            let wrong = Wrong::new(format!("a path cannot hold {c:?}"));
            let written: String = c.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
            reader.wrong(
                value.span(),
                wrong.expected("printable ASCII").help(format!("it is written {written}")),
            );
            return None;
        }
        Some(template)
    }

    /// The variable that `if` names.
    fn condition(&self, value: &Value<'_>) -> Option<Slot> {
        let reader = self.world.reader;
        reader.read(value, "the name of a saved variable", |name| {
            let known = || self.slots.iter().map(String::as_str);
            self.slots.iter().position(|s| s == name).map(|i| Slot(i as u16)).ok_or_else(|| {
                Wrong::new(format!("no step of this session saves {}", quoted(name)))
                    .expected(format!("one of {}", listed(known())))
                    .did_you_mean(name, known())
            })
        })
    }
}

fn times(world: &World<'_>, value: &Value<'_>) -> Option<Times> {
    let look = "\"until-end\" or a number of turns";
    match value.get_ref() {
        DeValue::Integer(_) => world.reader.integer(value, 1..=MAX_TURNS).map(|n| Times::Count(n as u32)),
        _ => world.reader.read(value, look, |text| match text {
            "until-end" => Ok(Times::UntilEnd),
            _ => Err(Wrong::new(format!("{} is not a number of turns", quoted(text)))
                .expected(look)
                .did_you_mean(text, ["until-end"])),
        }),
    }
}

fn takes_time(dist: Dist) -> bool {
    crate::text::quantity::mean_s(dist) > 0.0
}

/// Whether a step always waits for something, so that a loop around it cannot spin.
fn step_takes_time(step: &Step) -> bool {
    match step {
        Step::Request(r) => r.when.is_none(),
        Step::Parallel(p) => p.requests.iter().any(|r| r.when.is_none()),
        Step::Connect(_) => true,
        Step::Send(s) => s.wait.is_some(),
        Step::Listen(d) | Step::Think(d) => takes_time(*d),
        Step::Repeat(r) => r.every.is_some_and(takes_time) || r.steps.iter().any(step_takes_time),
        Step::Close(_) | Step::Journey(_) => false,
    }
}
