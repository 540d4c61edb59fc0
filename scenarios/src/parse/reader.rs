//! Typed reading of TOML values that remembers where everything stands.
//!
//! Owns the collection of mistakes: whoever reads a value gets `None` when it is wrong, and the mistake
//! is noted with its place, so that reading goes on and finds the next one.

use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Shape;
use super::source::Sources;
use crate::mistake::{MAX_MISTAKES, Mistake, ScenarioError, Wrong, closest, listed, quoted};
use crate::plan::Dist;
use crate::text::quantity;

/// A value with its place.
pub(crate) type Value<'d> = Spanned<DeValue<'d>>;

/// The text being read and what is wrong with it so far.
pub(crate) struct Reader<'t> {
    sources: &'t Sources,
    mistakes: RefCell<Vec<(usize, Mistake)>>,
    more: Cell<usize>,
}

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'d> {
    reader: &'d Reader<'d>,
    table: &'d DeTable<'d>,
    shape: &'static Shape,
    at: (usize, usize),
}

impl<'t> Reader<'t> {
    pub(crate) fn new(sources: &'t Sources) -> Self {
        Self { sources, mistakes: RefCell::default(), more: Cell::new(0) }
    }

    /// Notes a mistake about the bytes `span` of the file.
    pub(crate) fn wrong(&self, span: Range<usize>, wrong: Wrong) {
        let start = span.start;
        let mut mistakes = self.mistakes.borrow_mut();
        if mistakes.len() < MAX_MISTAKES {
            let mistake = (start, wrong.at(Some(self.sources.place(span))));
            // What several session kinds inherit is read, and may be wrong, once for each.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// Notes a mistake that no place in the file shows, such as one in an option.
    pub(crate) fn wrong_outside(&self, wrong: Wrong) {
        self.mistakes.borrow_mut().push((usize::MAX, wrong.at(None)));
    }

    /// Notes a mistake about a part of a string value, as near as its spelling in the file allows.
    pub(crate) fn wrong_in(&self, value: &Value<'_>, text: &str, mut wrong: Wrong) {
        let span = value.span();
        let within = wrong.within.take().and_then(|w| self.inside(&span, text, w));
        self.wrong(within.unwrap_or(span), wrong);
    }

    /// Bytes of the file where the bytes `within` of a string value stand.
    fn inside(&self, span: &Range<usize>, text: &str, within: Range<usize>) -> Option<Range<usize>> {
        let (file, here) = self.sources.find(span.clone());
        let raw = file.get(here)?;
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        let newline = raw.get(quotes..)?.chars().take_while(|c| matches!(c, '\r' | '\n')).take(2).count();
        let skip = quotes + if quotes == 3 { newline } else { 0 };
        let start = if raw.get(skip..)?.starts_with(text) {
            skip + within.start
        } else {
            // Escapes move everything behind them; the words themselves seldom hold any.
            raw.find(text.get(within.clone())?)?
        };
        Some(span.start + start..span.start + start + within.len())
    }

    /// A path that a value names: relative to the file that holds the value.
    pub(crate) fn beside(&self, value: &Value<'_>, path: &str) -> Result<PathBuf, Wrong> {
        self.sources
            .beside(&value.span(), path)
            .ok_or_else(|| Wrong::new("a scenario without a file of its own has no folder to look in"))
    }

    /// How many mistakes there are so far: tells whether something read meanwhile was wrong.
    pub(crate) fn count(&self) -> usize {
        self.mistakes.borrow().len() + self.more.get()
    }

    /// All mistakes in the order of the file, if there are any.
    pub(crate) fn finish(self) -> Result<(), ScenarioError> {
        let mut mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort_by_key(|(at, _)| *at);
        Err(ScenarioError { mistakes: mistakes.into_iter().map(|(_, m)| m).collect(), more: self.more.get() })
    }

    /// Notes that `value` is not what was expected.
    pub(crate) fn not_a(&self, value: &Value<'_>, expected: &str) {
        self.wrong(value.span(), Wrong::new(format!("this is {}", kind(value.get_ref()))).expected(expected));
    }

    /// Notes what `f` finds wrong with a string.
    pub(crate) fn read<T>(
        &self,
        value: &Value<'_>,
        look: &str,
        f: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.text(value, look)?;
        f(text).map_err(|wrong| self.wrong_in(value, text, wrong)).ok()
    }

    /// A string.
    pub(crate) fn text<'d>(&self, value: &'d Value<'_>, look: &str) -> Option<&'d str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.not_a(value, look);
        }
        text
    }

    /// A duration, ns.
    pub(crate) fn duration(&self, value: &Value<'_>) -> Option<u64> {
        self.timed(value, quantity::duration)
    }

    /// A duration above zero, ns.
    pub(crate) fn span(&self, value: &Value<'_>) -> Option<u64> {
        let ns = self.duration(value)?;
        if ns == 0 {
            self.wrong(value.span(), Wrong::new("this is no time at all").expected("a duration above zero"));
        }
        (ns > 0).then_some(ns)
    }

    /// A distribution of durations.
    pub(crate) fn dist(&self, value: &Value<'_>) -> Option<Dist> {
        self.timed(value, quantity::dist)
    }

    fn timed<T>(&self, value: &Value<'_>, f: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        if let Some(n) = number(value.get_ref()) {
            let wrong = Wrong::new(format!("{n} is a number without a unit"))
                .expected("a duration in quotes, such as \"250ms\", \"30s\" or \"5m\"")
                .help(format!("did you mean \"{n}s\"?"));
            self.wrong(value.span(), wrong);
            return None;
        }
        self.read(value, "a duration in quotes, such as \"30s\"", f)
    }

    /// A rate per second.
    pub(crate) fn rate(&self, value: &Value<'_>) -> Option<f64> {
        if let Some(n) = number(value.get_ref()) {
            let wrong = Wrong::new(format!("{n} is a number without a unit"))
                .expected("a rate in quotes, such as \"10/s\" or \"600/min\"")
                .help(format!("did you mean \"{n}/s\"?"));
            self.wrong(value.span(), wrong);
            return None;
        }
        self.read(value, "a rate in quotes, such as \"10/s\"", quantity::rate)
    }

    /// A whole number within `range`.
    pub(crate) fn integer(&self, value: &Value<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let look = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(i) = value.get_ref() else {
            self.not_a(value, &look);
            return None;
        };
        let digits = i.as_str().replace('_', "");
        match u64::from_str_radix(&digits, i.radix()) {
            Ok(n) if range.contains(&n) => Some(n),
            _ => {
                let wrong = Wrong::new(format!("{} is out of range", timeline::text::clean(&digits, 40)));
                self.wrong(value.span(), wrong.expected(look));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, value: &Value<'_>) -> Option<bool> {
        if let DeValue::Boolean(b) = value.get_ref() {
            return Some(*b);
        }
        self.not_a(value, "true or false");
        None
    }

    /// The values of an array with at most `most` entries.
    pub(crate) fn array<'d>(&self, value: &'d Value<'d>, look: &str, most: usize) -> Option<&'d [Value<'d>]> {
        let DeValue::Array(values) = value.get_ref() else {
            self.not_a(value, look);
            return None;
        };
        if values.len() > most {
            let wrong = Wrong::new(format!("{} entries are too many", values.len()))
                .expected(format!("at most {most}"));
            self.wrong(value.span(), wrong);
            return None;
        }
        Some(values)
    }

    /// A table with its keys in the order of the file.
    pub(crate) fn table<'d>(
        &self,
        value: &'d Value<'d>,
        look: &str,
    ) -> Option<Vec<(&'d str, Range<usize>, &'d Value<'d>)>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.not_a(value, look);
            return None;
        };
        Some(in_order(table))
    }

    /// A name: short, printable, not blank.
    pub(crate) fn name(&self, value: &Value<'_>) -> Option<String> {
        let text = self.text(value, "a name in quotes")?;
        match check_name(text) {
            Ok(()) => Some(text.to_owned()),
            Err(wrong) => {
                self.wrong(value.span(), wrong);
                None
            }
        }
    }

    /// A table of the given shape; unknown keys are noted.
    pub(crate) fn fields<'d>(&'d self, value: &'d Value<'d>, shape: &'static Shape) -> Option<Fields<'d>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.not_a(
                value,
                &format!("a table: {} takes {}", shape.name, listed(shape.keys.iter().copied())),
            );
            return None;
        };
        Some(self.root(table, value.span(), shape))
    }

    /// A table that is read a second time: nothing is noted again.
    pub(crate) fn quiet<'d>(&'d self, value: &'d Value<'d>, shape: &'static Shape) -> Option<Fields<'d>> {
        let DeValue::Table(table) = value.get_ref() else { return None };
        let span = value.span();
        Some(Fields { reader: self, table, shape, at: (span.start, span.end) })
    }

    /// The same for a table without a value of its own.
    pub(crate) fn root<'d>(
        &'d self,
        table: &'d DeTable<'d>,
        span: Range<usize>,
        shape: &'static Shape,
    ) -> Fields<'d> {
        if !shape.open {
            for (key, span, _) in in_order(table) {
                if !shape.keys.contains(&key) {
                    let wrong = Wrong::new(format!("unknown key {} in {}", quoted(key), shape.name))
                        .expected(format!("one of {}", listed(shape.keys.iter().copied())))
                        .did_you_mean(key, shape.keys.iter().copied());
                    self.wrong(span, wrong);
                }
            }
        }
        Fields { reader: self, table, shape, at: (span.start, span.end) }
    }
}

impl<'d> Fields<'d> {
    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&'d Value<'d>> {
        debug_assert!(self.shape.keys.contains(&key), "{key} is not listed in keys.rs");
        self.table.get(key)
    }

    /// The value of a key that must be there; its absence is noted.
    pub(crate) fn need(&self, key: &str, example: &str) -> Option<&'d Value<'d>> {
        let value = self.get(key);
        if value.is_none() && !self.meant(key) {
            let wrong = Wrong::new(format!("{} lacks `{key}`", self.shape.name)).expected(example);
            self.reader.wrong(self.span(), wrong);
        }
        value
    }

    /// Whether an unknown key looks like `key` misspelt: that is noted already, and once is enough.
    pub(crate) fn meant(&self, key: &str) -> bool {
        let keys = self.shape.keys;
        let mut unknown = self.table.keys().map(|k| k.get_ref().as_ref()).filter(|k| !keys.contains(k));
        !self.shape.open && unknown.any(|k| closest(k, keys.iter().copied()) == Some(key))
    }

    /// Where the table stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.at.0..self.at.1
    }

    /// Where a key (not its value) stands.
    pub(crate) fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.span(), |(k, _)| k.span())
    }

    /// All entries in the order of the file.
    pub(crate) fn entries(&self) -> Vec<(&'d str, Range<usize>, &'d Value<'d>)> {
        in_order(self.table)
    }
}

/// Entries in the order of the file; the table itself is sorted by name.
fn in_order<'d>(table: &'d DeTable<'d>) -> Vec<(&'d str, Range<usize>, &'d Value<'d>)> {
    let mut entries: Vec<_> = table.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

/// The whole number that a value is.
pub(crate) fn whole(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(i) = value else { return None };
    i64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok()
}

/// The number that a value is.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(_) => whole(value).map(|n| n as f64),
        DeValue::Float(f) => f.as_str().replace('_', "").parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

/// A number as it stands in a text: a whole one in decimal digits, another as it is written. None if it cannot be kept as it is.
pub(crate) fn digits(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(_) => whole(value).map(|n| n.to_string()),
        DeValue::Float(f) => number(value).map(|_| f.as_str().replace('_', "")),
        _ => None,
    }
}

/// Longest name of a phase, session kind, step or feeder: it must fit a column of a screen.
const MAX_NAME: usize = 64;

/// Whether a text can be a name.
pub(crate) fn check_name(text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("this name is empty").expected("a name"));
    }
    if text.chars().count() > MAX_NAME {
        return Err(Wrong::new("this name is too long").expected(format!("at most {MAX_NAME} characters")));
    }
    if timeline::text::clean(text, MAX_NAME) != text {
        return Err(Wrong::new("this name holds a control character").expected("printable characters"));
    }
    Ok(())
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
