//! `check`: what must hold of an answer or an awaited message, in the words of a scenario.

use toml::de::DeValue;

use super::Journey;
use super::body::plain_value;
use super::request::{MAX_ENTRIES, Saved, json_path};
use crate::mistake::{Wrong, quoted};
use crate::parse::keys::{self, Shape};
use crate::parse::reader::{Fields, Value};
use crate::plan::{Awaited, Check, Compare, FieldTest, JsonTest, Judgement, TextTest};
use crate::text::pattern::regex;
use crate::text::{field, quantity};

const STATUS_LOOK: &str = "a status, a class such as \"2xx\", or an array of them";
const HEADER_LOOK: &str =
    "the field's value, \"= TEXT\", \"exists\", \"absent\", \"not empty\" or \"~ REGEX\"";
const TIME_LOOK: &str = "a limit such as \"< 1s\"";
const SIZE_LOOK: &str = "a limit such as \"< 100KiB\"";
const JSON_LOOK: &str =
    "a table such as { \"$.id\" = \"not empty\", \"$.total\" = \"> 5\", \"$.rooms\" = \"length >= 1\" }";

impl Journey<'_, '_> {
    /// What `check` and `save` of a step say of the message or event that it awaits.
    pub(super) fn judgement(&self, step: &Fields<'_>, what: Option<&Awaited>) -> Option<Judgement> {
        if matches!(what, Some(Awaited::Binary | Awaited::Closed)) {
            self.nothing_to_judge(step, "what is awaited has no text", "`json`, `contains` or `regex`")?;
        }
        let checks = step.get("check").map_or(Some(Vec::new()), |v| self.checks(v, keys::MESSAGE_CHECK));
        let saves = step.get("save").map_or(Some(Vec::new()), |v| self.saves(v, Saved::OfMessage));
        Some(Judgement { checks: checks?, saves: saves? })
    }

    /// None if the step checks or saves something nevertheless.
    pub(super) fn nothing_to_judge(&self, step: &Fields<'_>, why: &str, look: &str) -> Option<()> {
        let key = ["check", "save"].into_iter().find(|key| step.get(key).is_some());
        let Some(key) = key else { return Some(()) };
        self.world.reader.wrong(step.key_span(key), Wrong::new(why).expected(look));
        None
    }

    pub(super) fn checks(&self, value: &Value<'_>, shape: &'static Shape) -> Option<Vec<Check>> {
        let reader = self.world.reader;
        let fields = reader.fields(value, shape)?;
        let mut checks = Vec::new();
        if let Some(v) = fields.get("status") {
            checks.push(Check::Status(self.statuses(v)?));
        }
        if let Some(v) = fields.get("time") {
            let (compare, ns) = reader.read(v, TIME_LOOK, |t| limit(t, TIME_LOOK, quantity::duration))?;
            checks.push(Check::Time(compare, ns));
        }
        if let Some(v) = fields.get("size") {
            let (compare, bytes) = reader.read(v, SIZE_LOOK, |t| limit(t, SIZE_LOOK, quantity::bytes))?;
            checks.push(Check::Size(compare, bytes));
        }
        if let Some(v) = fields.get("body") {
            reader.text(v, "a text that the body contains, \"~ REGEX\" or \"= TEXT\"")?;
            plain_value(self, v)?;
            checks.push(Check::Body(reader.read(v, "", |t| text_test(t, TextTest::Contains))?));
        }
        if let Some(v) = fields.get("header") {
            for (name, span, wanted) in self.entries(v, "a table such as { content-type = \"~ json\" }")? {
                let name = field::name(name).map_err(|w| reader.wrong(span, w)).ok()?;
                reader.text(wanted, HEADER_LOOK)?;
                plain_value(self, wanted)?;
                checks.push(Check::Header(name, reader.read(wanted, "", field_test)?));
            }
        }
        if let Some(v) = fields.get("json") {
            for (path, span, wanted) in self.entries(v, JSON_LOOK)? {
                let path = json_path(path).map_err(|w| reader.wrong(span, w)).ok()?;
                checks.push(Check::Json(path, self.json_test(wanted)?));
            }
        }
        if checks.is_empty() {
            let wrong = Wrong::new("this checks nothing");
            reader.wrong(value.span(), wrong.expected("what must hold, such as status = 200"));
            return None;
        }
        Some(checks)
    }

    fn json_test(&self, wanted: &Value<'_>) -> Option<JsonTest> {
        let plain = plain_value(self, wanted)?;
        if !plain.is_string() {
            return Some(JsonTest::Equals(plain));
        }
        self.world.reader.read(wanted, "", |text| match text {
            "not empty" => Ok(JsonTest::NotEmpty),
            "exists" => Ok(JsonTest::Exists),
            "absent" => Ok(JsonTest::Absent),
            _ => {
                if let Some(rest) = text.strip_prefix("length ") {
                    let (compare, n) = number(rest).ok_or_else(|| {
                        Wrong::new(format!("{} is no length", quoted(rest)))
                            .expected("\"length 3\" or \"length >= 1\"")
                    })?;
                    return Ok(JsonTest::Length(compare.unwrap_or(Compare::Equal), n));
                }
                match number(text) {
                    Some((Some(compare), n)) => return Ok(JsonTest::Number(compare, n)),
                    None if Compare::SPELLINGS.iter().any(|(s, _)| text.starts_with(s)) => {
                        return Err(Wrong::new(format!("{} compares with no number", quoted(text)))
                            .expected("a number behind the sign")
                            .help("\"= TEXT\" compares texts"));
                    }
                    Some((None, _)) | None => {}
                }
                text_test(text, TextTest::Equals).map(JsonTest::Text)
            }
        })
    }

    fn statuses(&self, value: &Value<'_>) -> Option<Vec<(u16, u16)>> {
        let reader = self.world.reader;
        let one = |v: &Value<'_>| match v.get_ref() {
            DeValue::String(_) => reader.read(v, STATUS_LOOK, class),
            _ => reader.integer(v, 100..=599).map(|n| (n as u16, n as u16)),
        };
        if !matches!(value.get_ref(), DeValue::Array(_)) {
            return one(value).map(|n| vec![n]);
        }
        let values = reader.array(value, STATUS_LOOK, MAX_ENTRIES)?;
        if values.is_empty() {
            reader.wrong(value.span(), Wrong::new("no status can be right").expected(STATUS_LOOK));
            return None;
        }
        values.iter().map(one).collect()
    }
}

/// `2xx`: a class of statuses.
fn class(text: &str) -> Result<(u16, u16), Wrong> {
    match text.as_bytes() {
        [d @ b'1'..=b'5', b'x', b'x'] => {
            let low = u16::from(d - b'0') * 100;
            Ok((low, low + 99))
        }
        _ => Err(Wrong::new(format!("{} is not a status", quoted(text))).expected(STATUS_LOOK)),
    }
}

/// `~ REGEX`, `= TEXT`, or a text that stands for what `plain` makes of it.
fn text_test(text: &str, plain: impl Fn(String) -> TextTest) -> Result<TextTest, Wrong> {
    if let Some(pattern) = text.strip_prefix("~ ") {
        return regex(pattern).map(TextTest::Matches);
    }
    Ok(match text.strip_prefix("= ") {
        Some(exact) => TextTest::Equals(exact.to_owned()),
        None => plain(text.to_owned()),
    })
}

/// What is said of a header field.
fn field_test(text: &str) -> Result<FieldTest, Wrong> {
    match text {
        "not empty" => Ok(FieldTest::NotEmpty),
        "exists" => Ok(FieldTest::Exists),
        "absent" => Ok(FieldTest::Absent),
        _ => text_test(text, TextTest::Equals).map(FieldTest::Text),
    }
}

/// `> 5`: a sign, if there is one, and a number.
fn number(text: &str) -> Option<(Option<Compare>, f64)> {
    let sign = Compare::SPELLINGS.iter().find(|(s, _)| text.starts_with(s));
    let rest = sign.map_or(text, |(s, _)| &text[s.len()..]);
    let n: f64 = rest.trim().parse().ok()?;
    n.is_finite().then_some((sign.map(|(_, c)| *c), n))
}

/// A limit on time or size, such as `< 1s` or `>= 100KiB`.
fn limit(text: &str, look: &str, read: impl Fn(&str) -> Result<u64, Wrong>) -> Result<(Compare, u64), Wrong> {
    let trimmed = text.trim();
    let sign = Compare::SPELLINGS.iter().find(|(sign, _)| trimmed.starts_with(sign));
    match sign {
        Some((sign, compare)) if !matches!(compare, Compare::Equal | Compare::Other) => {
            match (compare, read(trimmed[sign.len()..].trim())?) {
                (Compare::Less, 0) => Err(Wrong::new("nothing is below zero").expected(look)),
                (compare, n) => Ok((*compare, n)),
            }
        }
        _ => Err(Wrong::new(format!("{} is not a limit", quoted(text)))
            .expected(format!("{look}, with `<`, `<=`, `>` or `>=`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_one_of_four_signs() {
        let time = |text: &str| limit(text, TIME_LOOK, quantity::duration).map_err(|w| w.sentence());
        let second = 1_000_000_000;
        for (text, compare) in [
            ("< 1s", Compare::Less),
            ("<=1s", Compare::AtMost),
            (" > 1000ms", Compare::Greater),
            (">= 1s", Compare::AtLeast),
        ] {
            assert_eq!(time(text), Ok((compare, second)), "{text}");
        }
        assert_eq!(limit("> 0B", SIZE_LOOK, quantity::bytes).ok(), Some((Compare::Greater, 0)));
        for text in ["1s", "= 1s", "== 1s", "!= 1s", ""] {
            let why = time(text).unwrap_err();
            assert!(why.contains("is not a limit") && why.contains("`<=`"), "{text}: {why}");
        }
        assert!(time("<= soon").unwrap_err().starts_with("`soon` is not a duration"));
        assert!(time("< 0s").unwrap_err().contains("below zero"));
    }

    #[test]
    fn a_header_knows_the_words_that_json_knows() {
        let exact = |text: &str| FieldTest::Text(TextTest::Equals(text.to_owned()));
        for (text, wanted) in [
            ("exists", FieldTest::Exists),
            ("absent", FieldTest::Absent),
            ("not empty", FieldTest::NotEmpty),
            ("= absent", exact("absent")),
            ("text/html", exact("text/html")),
            ("~ json", FieldTest::Text(TextTest::Matches("json".to_owned()))),
        ] {
            assert_eq!(field_test(text).map_err(|w| w.sentence()), Ok(wanted), "{text}");
        }
    }
}
