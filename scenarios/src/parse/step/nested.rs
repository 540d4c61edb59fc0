//! Steps that hold steps: loops, groups with a condition or a name, weighted choices; and conditions themselves.

use toml::de::DeValue;

use super::{Journey, step_takes_time, takes_time};
use crate::mistake::{Wrong, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{Choice, Condition, Fork, Guard, Repeat, Step, Times};
use crate::text::condition;

/// How deep steps may hold steps.
const MAX_DEPTH: usize = 8;
/// Most turns of a counted loop.
const MAX_TURNS: u64 = 1_000_000;
/// Most turns of a loop with a condition, if it does not say: enough for any polling, and it ends.
const USUAL_TURNS: u32 = 100;
/// Most courses of a `choose`.
const MAX_CHOICES: usize = 64;
/// Greatest weight of one; as for session kinds.
const MAX_WEIGHT: u64 = 1_000_000;
const REPEAT_LOOK: &str = "\"until-end\", a number of turns, \"while CONDITION\" or \"until CONDITION\"";
const CONDITION_LOOK: &str = "a condition such as \"token\" or \"status == 200\"";
const CHOICES_LOOK: &str = "an array such as [{ weight = 3, steps = [...] }, { weight = 1, steps = [...] }]";

impl Journey<'_, '_> {
    /// What `if` says; the outer option is none when it is wrong (noted).
    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    pub(super) fn when(&self, fields: &Fields<'_>) -> Option<Option<Condition>> {
        let Some(value) = fields.get("if") else { return Some(None) };
        let read = |text: &str| condition::parse(text, &self.scope(None));
        self.world.reader.read(value, CONDITION_LOOK, read).map(Some)
    }

    /// Steps inside of a step that stands at `outer`.
    pub(super) fn inner(&mut self, outer: &Value<'_>, steps: &Value<'_>) -> Option<Vec<Step>> {
        if self.depth == MAX_DEPTH {
            let wrong =
                Wrong::new("steps are nested too deeply").expected(format!("at most {MAX_DEPTH} levels"));
            self.world.reader.wrong(outer.span(), wrong);
            return None;
        }
        self.depth += 1;
        let inner = self.steps(steps);
        self.depth -= 1;
        inner
    }

    pub(super) fn repeat(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        let reader = self.world.reader;
        let turns = self.turns(fields, what);
        let every = match fields.get("every") {
            Some(v) => Some(reader.dist(v)?),
            None => None,
        };
        let steps = fields.need("steps", "steps = [...]")?;
        let before = reader.count();
        let inner = self.inner(what, steps)?;
        if reader.count() == before && !every.is_some_and(takes_time) && !inner.iter().any(step_takes_time) {
            let wrong = Wrong::new("a turn of this loop may take no time at all, so it would spin");
            let help = "give it `every`, a `think`, or a request without `if`";
            reader.wrong(steps.span(), wrong.expected("something in it that takes time").help(help));
        }
        let (times, guard) = turns?;
        Some(Step::Repeat(Box::new(Repeat { times, every, guard, steps: inner })))
    }

    /// How often a loop turns, and what ends it before that.
    fn turns(&self, fields: &Fields<'_>, what: &Value<'_>) -> Option<(Times, Option<Guard>)> {
        let reader = self.world.reader;
        let most = fields.get("at-most");
        let counted = match what.get_ref() {
            DeValue::Integer(_) => Times::Count(reader.integer(what, 1..=MAX_TURNS)? as u32),
            DeValue::String(text) if text == "until-end" => Times::UntilEnd,
            _ => {
                let guard = reader.read(what, REPEAT_LOOK, |text| self.guard(text))?;
                let most = most.map_or(Some(u64::from(USUAL_TURNS)), |v| reader.integer(v, 1..=MAX_TURNS))?;
                return Some((Times::Count(most as u32), Some(guard)));
            }
        };
        if most.is_some() {
            let wrong = Wrong::new("`at-most` belongs to a loop with a condition");
            reader
                .wrong(fields.key_span("at-most"), wrong.expected("repeat = \"while ...\" or \"until ...\""));
        }
        Some((counted, None))
    }

    fn guard(&self, text: &str) -> Result<Guard, Wrong> {
        let read = |word: &str| {
            let rest = text.strip_prefix(word).filter(|rest| rest.starts_with(' '))?;
            Some(condition::parse(rest, &self.scope(None)).map_err(|w| w.shifted(word.len())))
        };
        if let Some(condition) = read("while") {
            return condition.map(Guard::While);
        }
        if let Some(condition) = read("until") {
            return condition.map(Guard::Until);
        }
        Err(Wrong::new(format!("{} is not a number of turns", quoted(text)))
            .expected(REPEAT_LOOK)
            .did_you_mean(text, ["until-end", "while", "until"]))
    }

    /// A group's steps become those around it, unless a condition keeps them together.
    pub(super) fn group(
        &mut self,
        fields: &Fields<'_>,
        what: &Value<'_>,
        into: &mut Vec<Step>,
    ) -> Option<()> {
        let reader = self.world.reader;
        let name = fields.get("group").map(|v| reader.name(v));
        let when = self.when(fields);
        let otherwise = fields.get("else");
        if fields.get("if").is_none() {
            if let Some(v) = otherwise {
                let wrong = Wrong::new("`else` without a condition");
                reader.wrong(v.span(), wrong.expected("`if` beside it"));
                return None;
            }
            if name.is_none() {
                let wrong = Wrong::new("this group says nothing of its steps");
                reader
                    .wrong(what.span(), wrong.expected("`if`, `group`, `repeat` or `choose` beside `steps`"));
                return None;
            }
        }
        let outer = self.prefix.clone();
        if let Some(name) = name.flatten() {
            self.prefix = format!("{outer}{name} / ");
        }
        let then = self.inner(what, what);
        let otherwise = otherwise.map_or(Some(Vec::new()), |v| self.inner(v, v));
        self.prefix = outer;
        let (then, otherwise) = (then?, otherwise?);
        match when? {
            Some(when) => into.push(Step::If(Box::new(Fork { when, then, otherwise }))),
            None => into.extend(then),
        }
        Some(())
    }

    pub(super) fn choose(&mut self, what: &Value<'_>) -> Option<Step> {
        let reader = self.world.reader;
        let entries = reader.array(what, CHOICES_LOOK, MAX_CHOICES)?;
        if entries.is_empty() {
            reader.wrong(what.span(), Wrong::new("there is nothing to choose from").expected(CHOICES_LOOK));
            return None;
        }
        let mut choices = Vec::with_capacity(entries.len());
        for entry in entries {
            let fields = reader.fields(entry, keys::CHOICE)?;
            let weight = fields.get("weight").map_or(Some(1), |v| reader.integer(v, 1..=MAX_WEIGHT));
            let steps =
                fields.need("steps", "steps = [...], which may be empty").and_then(|v| self.inner(v, v));
            choices.push(weight.zip(steps));
        }
        let choices = choices.into_iter().map(|c| c.map(|(w, steps)| Choice { weight: w as u32, steps }));
        choices.collect::<Option<Vec<_>>>().map(Step::Choose)
    }
}
