//! `steps`: one table each, read by the key that says what it does.
//!
//! Owns the walk through a session kind's steps and what depends on their order; requests, with all
//! that belongs to them, are in `request`, steps that hold steps in `nested`.

pub(crate) mod auth;
mod body;
mod check;
mod events;
mod nested;
mod parallel;
mod rendered;
mod request;
mod socket;
mod upload;

use toml::de::DeValue;

use super::keys::{Shape, VERBS};
use super::reader::{Fields, Value, check_name};
use super::sessions::World;
use crate::mistake::{Wrong, closest, listed, quoted};
use crate::plan::{Close, Dist, Fork, Step, StepId, Template};
use crate::text::{address, template};

/// Most steps of a scenario, inner ones included.
const MAX_STEPS: usize = 1_000;

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
    /// What the session kind, or the target, says of authentication.
    inherited: Option<auth::Auth>,
    /// How many steps hold the one that is read.
    depth: usize,
    /// What the groups around it put in front of its name.
    prefix: String,
    /// Whether a step so far opens a WebSocket.
    connected: bool,
    /// Whether one opens an event stream.
    streaming: bool,
}

impl<'a, 'n> Journey<'a, 'n> {
    pub(super) fn new(world: &'a World<'a>, slots: Vec<String>, names: &'n mut StepNames) -> Self {
        Self {
            world,
            slots,
            names,
            inherited: None,
            depth: 0,
            prefix: String::new(),
            connected: false,
            streaming: false,
        }
    }

    /// What all requests inherit that say nothing of authentication themselves.
    pub(super) fn inherit(&mut self, auth: &Value<'_>) {
        self.inherited = self.auth(auth);
    }

    /// Reads an array of steps; wrong ones are noted and left out.
    pub(super) fn steps(&mut self, value: &Value<'_>) -> Option<Vec<Step>> {
        let values = self.world.reader.array(value, "an array of steps", MAX_STEPS)?;
        let mut steps = Vec::with_capacity(values.len());
        for value in values {
            // What is wrong is noted, and left out.
            let _ = self.step(value, &mut steps);
        }
        Some(steps)
    }

    fn step(&mut self, value: &Value<'_>, into: &mut Vec<Step>) -> Option<()> {
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
        if verb == "steps" {
            return self.group(&fields, what, into);
        }
        let when = self.when(&fields);
        let step = match verb {
            "connect" => self.connect(&fields, what),
            "events" => self.open_events(&fields, what),
            "send" => self.send(&fields, what),
            "send-binary" => self.send_binary(&fields, what),
            "await" if self.is_of_stream(what) => self.await_event(&fields, what),
            "await" => self.await_alone(&fields, what),
            "listen" | "ignore" => {
                if !self.streaming {
                    self.must_be_connected(&fields, verb);
                }
                let step = if verb == "listen" { Step::Listen } else { Step::Ignore };
                self.world.reader.dist(what).map(step)
            }
            "think" => self.world.reader.dist(what).map(Step::Think),
            "repeat" => self.repeat(&fields, what),
            "choose" => self.choose(what),
            "parallel" => self.parallel(&fields, what),
            "close" => self.close(&fields, what),
            _ => self.request(&fields, verb, what),
        };
        let (step, when) = (step?, when?);
        into.push(match (step, when) {
            (Step::Request(mut request), when) => {
                request.when = when;
                Step::Request(request)
            }
            (step, None) => step,
            (step, Some(when)) => Step::If(Box::new(Fork { when, then: vec![step], otherwise: Vec::new() })),
        });
        Some(())
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
        // Beside something that is sent, `await` is no step of its own, and a loop's steps are no group.
        let counts = |verb: &str| {
            let of_another = (sends && verb == "await") || (verb == "steps" && table.contains_key("repeat"));
            table.contains_key(verb) && !of_another
        };
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
        let name = format!("{}{name}", self.prefix);
        let named = check_name(&name).and_then(|()| self.named(name, verb));
        match named {
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

    fn close(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        if self.is_of_stream(what) {
            return self.close_events(fields, what);
        }
        self.must_be_connected(fields, "close");
        let code = self.close_code(what)?;
        self.closing_id(fields, what, "close").map(|id| Step::Close(Close { id, code }))
    }

    /// The code with which a WebSocket is closed.
    fn close_code(&self, what: &Value<'_>) -> Option<u16> {
        let reader = self.world.reader;
        let wrong = match what.get_ref() {
            DeValue::Boolean(true) => return Some(Close::NORMAL),
            DeValue::Boolean(false) => Wrong::new("this step does nothing").expected("close = true"),
            _ => match reader.integer(what, 1_000..=4_999)? as u16 {
                code @ (Close::NORMAL | 3_000..) => return Some(code),
                code => Wrong::new(format!("a client does not close with {code}"))
                    .expected("1000, or 3000 to 4999, which are the applications' own"),
            },
        };
        reader.wrong(what.span(), wrong);
        None
    }

    /// The id of a step that closes something and need not have a name.
    fn closing_id(&mut self, fields: &Fields<'_>, what: &Value<'_>, usual: &str) -> Option<StepId> {
        match fields.get("name") {
            Some(_) => self.id(fields, "close"),
            None => self
                .named(format!("{}{usual}", self.prefix), "close")
                .map_err(|w| self.world.reader.wrong(what.span(), w))
                .ok(),
        }
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
        if let Some(wrong) = plain.map(String::as_str).find_map(address::not_in_path) {
            reader.wrong(value.span(), wrong);
            return None;
        }
        Some(template)
    }
}

fn takes_time(dist: Dist) -> bool {
    dist.mean_s() > 0.0
}

/// Whether a step always waits for something, so that a loop around it cannot spin.
fn step_takes_time(step: &Step) -> bool {
    match step {
        Step::Request(r) => r.when.is_none(),
        Step::Parallel(p) => p.requests.iter().any(|r| r.when.is_none()),
        Step::Connect(_) | Step::OpenEvents(_) | Step::AwaitEvent(_) => true,
        Step::Send(s) => s.wait.is_some(),
        Step::Listen(d) | Step::Ignore(d) | Step::Think(d) => takes_time(*d),
        Step::Repeat(r) => {
            let turns = !matches!(r.guard, Some(crate::plan::Guard::While(_)));
            turns && (r.every.is_some_and(takes_time) || r.steps.iter().any(step_takes_time))
        }
        Step::If(f) => f.then.iter().any(step_takes_time) && f.otherwise.iter().any(step_takes_time),
        Step::Choose(all) => all.iter().all(|c| c.steps.iter().any(step_takes_time)),
        Step::Close(_) | Step::CloseEvents(_) | Step::Journey(_) => false,
    }
}
