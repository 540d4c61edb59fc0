//! What is looked into of an answer or of an awaited message, and what is kept of it: compiled checks and captures.
//!
//! Owns what of an answer must be kept for that. Doing it is `session::judge`'s business.

use regex::bytes::Regex;
use scenarios::plan::{Capture, Check, Compare, FieldTest, JsonTest, Judgement, Pick, Save, TextTest};
use serde_json_path::JsonPath;

use super::BadPlan;
use super::compile::{json_path, regex};

/// Checks and captures, ready to be done.
#[derive(Debug, Default)]
pub struct Judging {
    /// Statuses that are right; none: all below 400.
    pub statuses: Option<Vec<(u16, u16)>>,
    /// Further checks, and how a person reads each.
    pub checks: Vec<(Expect, String)>,
    /// What is kept.
    pub saves: Vec<(usize, From, Pick)>,
    /// Header fields that are needed for that.
    pub fields: Vec<String>,
    /// Must the body be kept?
    pub keeps_body: bool,
    /// Must what `Set-Cookie` says be kept?
    pub keeps_cookies: bool,
    /// Must the body be parsed as JSON?
    pub parses: bool,
}

/// A check beyond the status.
#[derive(Debug)]
pub enum Expect {
    /// Service time, ns.
    Time(Compare, u64),
    /// The body's length, bytes.
    Size(Compare, u64),
    /// The body.
    Body(TextIs),
    /// The field with this index in [`Judging::fields`].
    Field(usize, FieldIs),
    /// What the path finds.
    Json(JsonPath, JsonIs),
}

/// A test of a text.
#[derive(Debug)]
pub enum TextIs {
    /// It is this.
    Equals(Box<[u8]>),
    /// It contains this.
    Contains(Box<[u8]>),
    /// This matches somewhere.
    Matches(Regex),
}

/// A test of a header field.
#[derive(Debug)]
pub enum FieldIs {
    /// It is there.
    Exists,
    /// It is not.
    Absent,
    /// It is there and not empty.
    NotEmpty,
    /// It is there, with such a text.
    Text(TextIs),
}

/// A test of what a JSONPath finds.
#[derive(Debug)]
pub enum JsonIs {
    /// Something.
    Exists,
    /// Nothing.
    Absent,
    /// Something that is not empty.
    NotEmpty,
    /// This.
    Equals(serde_json::Value),
    /// A number.
    Number(Compare, f64),
    /// Something with a length.
    Length(Compare, f64),
    /// A text, a number or a boolean, as it is written.
    Text(TextIs),
}

/// Where a saved value comes from.
#[derive(Debug)]
pub enum From {
    /// What the path finds.
    Json(JsonPath),
    /// What the first group captures, or the whole match.
    Regex(Regex),
    /// The body.
    Body,
    /// The status.
    Status,
    /// The field with this index in [`Judging::fields`].
    Field(usize),
    /// The cookie of this name.
    Cookie(String),
}

impl From {
    /// Is it looked for in the body?
    pub fn needs_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Regex(_) | Self::Body)
    }
}

impl Judging {
    /// Is this one of the statuses that are right?
    pub fn wants(&self, status: u16) -> bool {
        match &self.statuses {
            Some(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&status)),
            None => status < 400,
        }
    }

    /// Is this a status that a check asks for?
    pub fn asks_for(&self, status: u16) -> bool {
        self.statuses.is_some() && self.wants(status)
    }

    /// Of an answer.
    pub(super) fn new(checks: &[Check], saves: &[Save]) -> Result<Self, BadPlan> {
        let mut judging = Self::default();
        checks.iter().try_for_each(|c| judging.check(c))?;
        saves.iter().try_for_each(|s| judging.save(s))?;
        judging.keeps_body |= judging.parses;
        Ok(judging)
    }

    /// Of an awaited message; none where nothing is looked into.
    pub(super) fn of_message(judgement: &Judgement) -> Result<Option<Box<Self>>, BadPlan> {
        let Judgement { checks, saves } = judgement;
        let looks = !checks.is_empty() || !saves.is_empty();
        looks.then(|| Self::new(checks, saves).map(Box::new)).transpose()
    }

    fn check(&mut self, check: &Check) -> Result<(), BadPlan> {
        let expect = match check {
            Check::Status(ranges) => {
                self.statuses.get_or_insert_default().extend(ranges);
                return Ok(());
            }
            Check::Time(compare, ns) => Expect::Time(*compare, *ns),
            Check::Size(compare, bytes) => Expect::Size(*compare, *bytes),
            Check::Body(test) => {
                self.keeps_body = true;
                Expect::Body(text_is(test)?)
            }
            Check::Header(name, test) => Expect::Field(self.field(name), field_is(test)?),
            Check::Json(path, test) => Expect::Json(self.path(path)?, json_is(test)?),
        };
        self.checks.push((expect, scenarios::check_in_words(check)));
        Ok(())
    }

    fn save(&mut self, save: &Save) -> Result<(), BadPlan> {
        let from = match &save.from {
            Capture::Json(path) => From::Json(self.path(path)?),
            Capture::Cookie(name) => {
                self.keeps_cookies = true;
                From::Cookie(name.clone())
            }
            Capture::Regex(pattern) => {
                self.keeps_body = true;
                From::Regex(regex(pattern)?)
            }
            Capture::Body => {
                self.keeps_body = true;
                From::Body
            }
            Capture::Status => From::Status,
            Capture::Header(name) => From::Field(self.field(name)),
        };
        self.saves.push((usize::from(save.slot.0), from, save.pick));
        Ok(())
    }

    /// The index of a header field that is kept.
    fn field(&mut self, name: &str) -> usize {
        let known = self.fields.iter().position(|f| f.eq_ignore_ascii_case(name));
        known.unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        })
    }

    fn path(&mut self, path: &str) -> Result<JsonPath, BadPlan> {
        self.parses = true;
        json_path(path)
    }
}

fn text_is(test: &TextTest) -> Result<TextIs, BadPlan> {
    let bytes = |text: &String| text.clone().into_bytes().into_boxed_slice();
    Ok(match test {
        TextTest::Equals(text) => TextIs::Equals(bytes(text)),
        TextTest::Contains(text) => TextIs::Contains(bytes(text)),
        TextTest::Matches(pattern) => TextIs::Matches(regex(pattern)?),
    })
}

fn field_is(test: &FieldTest) -> Result<FieldIs, BadPlan> {
    Ok(match test {
        FieldTest::Exists => FieldIs::Exists,
        FieldTest::Absent => FieldIs::Absent,
        FieldTest::NotEmpty => FieldIs::NotEmpty,
        FieldTest::Text(test) => FieldIs::Text(text_is(test)?),
    })
}

fn json_is(test: &JsonTest) -> Result<JsonIs, BadPlan> {
    Ok(match test {
        JsonTest::Exists => JsonIs::Exists,
        JsonTest::Absent => JsonIs::Absent,
        JsonTest::NotEmpty => JsonIs::NotEmpty,
        JsonTest::Equals(value) => JsonIs::Equals(value.clone()),
        JsonTest::Number(compare, n) => JsonIs::Number(*compare, *n),
        JsonTest::Length(compare, n) => JsonIs::Length(*compare, *n),
        JsonTest::Text(test) => JsonIs::Text(text_is(test)?),
    })
}
