//! Bodies as templates of minijinja: what is wrong with one, and which names it uses.
//!
//! One rendering with made-up values finds filters that nobody has; what depends on the values is left to the run.

use std::ops::Range;

use super::Journey;
use crate::mistake::{Wrong, listed, quoted};
use crate::parse::reader::Value;
use crate::plan::{Body, Known, Part, Rendered, Slot};
use crate::rendering::{self, FUNCTIONS, MAX_SOURCE};

/// What an inline template is called in messages.
const INLINE: &str = "template";

impl Journey<'_, '_> {
    /// `template = """..."""`.
    pub(super) fn template_text(&self, value: &Value<'_>) -> Option<Body> {
        let reader = self.world.reader;
        let source = reader.text(value, "a template of minijinja in quotes")?;
        self.rendered(INLINE, source).map_err(|w| reader.wrong_in(value, source, w)).ok()
    }

    /// `template-file = "order.j2"`.
    pub(super) fn template_file(&self, value: &Value<'_>) -> Option<Body> {
        let reader = self.world.reader;
        reader.read(value, "the path of a template of minijinja", |name| {
            let path = reader.beside(value, name)?;
            let source = crate::files::text(&path, MAX_SOURCE as u64)?;
            let shown = path.display().to_string();
            self.rendered(&shown, &source).map_err(|mut wrong| {
                let (line, column) = rendering::position(&source, wrong.within.take().map_or(0, |w| w.start));
                wrong.in_front(&format!("{shown}:{line}:{column}"))
            })
        })
    }

    fn rendered(&self, name: &str, source: &str) -> Result<Body, Wrong> {
        let mut environment = rendering::environment();
        rendering::add_samples(&mut environment);
        environment.add_template_owned(name, source).map_err(|e| {
            let (what, range) = rendering::told(&e, source);
            Wrong::new(what).expected("a template of minijinja").within(range.unwrap_or(0..source.len()))
        })?;
        let template = environment.get_template(name).map_err(|e| Wrong::new(e.to_string()))?;
        let mut used: Vec<_> = template.undeclared_variables(true).into_iter().collect();
        used.sort_unstable();
        let mut values: Vec<(String, Known)> = Vec::new();
        for path in &used {
            let (root, rest) = path.split_once('.').unwrap_or((path, ""));
            let is_global =
                FUNCTIONS.contains(&root) || environment.globals().any(|(known, _)| known == root);
            if is_global && self.known(root).is_none() {
                continue;
            }
            let found = self.known(root).ok_or_else(|| self.unknown(root, source))?;
            if let Known::Row(feeder) = found {
                self.check_column(usize::from(feeder), rest, path, source)?;
            }
            if !values.iter().any(|(name, _)| name == root) {
                values.push((root.to_owned(), found));
            }
        }
        let sample = |known: &Known| self.sample(known);
        let context =
            minijinja::Value::from_pairs(values.iter().map(|(name, known)| (name.clone(), sample(known))));
        if let Err(e) = template.render_captured_to(context, std::io::sink())
            && let Some((what, range)) = rendering::unknown(&e, source)
        {
            return Err(Wrong::new(what)
                .expected("what minijinja knows")
                .within(range.unwrap_or(0..source.len())));
        }
        Ok(Body::Rendered(Rendered { name: name.to_owned(), source: source.to_owned(), values }))
    }

    /// A value to try a template with.
    fn sample(&self, known: &Known) -> minijinja::Value {
        match known {
            Known::Row(feeder) => {
                let columns = self.world.feeders.get(usize::from(*feeder)).and_then(|f| f.columns.as_ref());
                let columns = columns.into_iter().flatten();
                minijinja::Value::from_pairs(columns.map(|name| (name.clone(), minijinja::Value::from("1"))))
            }
            Known::Fixed(value) => rendering::value_of(value),
            Known::Value(_) => minijinja::Value::from("1"),
        }
    }

    fn known(&self, name: &str) -> Option<Known> {
        if let Some(slot) = self.slots.iter().position(|s| s == name) {
            return Some(Known::Value(Part::Var(Slot(slot as u16))));
        }
        if let Some(secret) = self.world.secrets.iter().find(|s| s.name == name) {
            return Some(Known::Value(Part::Secret(secret.clone())));
        }
        if let Some(feeder) = self.world.feeders.iter().position(|f| f.name == name) {
            return Some(Known::Row(feeder as u16));
        }
        match name {
            "session" => Some(Known::Value(Part::Session)),
            "now" => Some(Known::Value(Part::Now)),
            "vars" => Some(Known::Fixed(self.world.vars.clone().into())),
            _ => None,
        }
    }

    fn check_column(&self, feeder: usize, column: &str, path: &str, source: &str) -> Result<(), Wrong> {
        let feeder = &self.world.feeders[feeder];
        let column = column.split('.').next().unwrap_or_default();
        match &feeder.columns {
            Some(columns) if !column.is_empty() && !columns.iter().any(|c| c == column) => {
                let known = || columns.iter().map(String::as_str);
                Err(Wrong::new(format!("[data.{}] has no column {}", feeder.name, quoted(column)))
                    .expected(format!("one of {}", listed(known())))
                    .did_you_mean(column, known())
                    .within(occurrence(source, path)))
            }
            _ => Ok(()),
        }
    }

    fn unknown(&self, name: &str, source: &str) -> Wrong {
        let slots = self.slots.iter().map(String::as_str);
        let known: Vec<&str> = slots
            .chain(self.world.secrets.iter().map(|s| s.name.as_str()))
            .chain(self.world.feeders.iter().map(|f| f.name.as_str()))
            .chain(["session", "now", "vars"])
            .chain(FUNCTIONS)
            .collect();
        Wrong::new(format!("unknown variable {}", quoted(name)))
            .expected(format!("one of {}", listed(known.iter().copied())))
            .did_you_mean(name, known.iter().copied())
            .within(occurrence(source, name))
    }
}

/// Where a name stands as a word of its own.
fn occurrence(source: &str, name: &str) -> Range<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |i: &usize| {
        !source[..*i].ends_with(|c| is_word(c) || c == '.') && !source[i + name.len()..].starts_with(is_word)
    };
    let found = source.match_indices(name).map(|(i, _)| i).find(whole);
    found.map_or(0..source.len(), |i| i..i + name.len())
}
