//! What an answer or an awaited message must be, and what is kept of it for later steps.

use regex::bytes::Regex;
use scenarios::plan::{Compare, Pick};
use serde_json::Value;
use timeline::Unit;
use timeline::text::plural;

use super::Session;
use crate::http::answer::Answer;
use crate::kind::ErrorKind;
use crate::program::{Expect, FieldIs, From, JsonIs, Judging, TextIs};
use crate::scan::contains;
use crate::template;

/// Longest value that is kept in a variable, bytes: a session may have 64 of them, and keeps them for as long as it lives.
const SAVED_MAX: usize = 64 << 10;
/// Most matches of a regular expression that are chosen from.
const MATCHES_MAX: usize = 10_000;

/// What is judged.
pub(super) enum Judged<'a> {
    /// An answer.
    Answer(&'a Answer<'a>),
    /// The text of a message, or the data of an event.
    Message(&'a str),
}

impl Judged<'_> {
    fn body(&self) -> &[u8] {
        match self {
            Self::Answer(answer) => answer.body(),
            Self::Message(text) => text.as_bytes(),
        }
    }

    fn body_bytes(&self) -> u64 {
        match self {
            Self::Answer(answer) => answer.body_bytes(),
            Self::Message(text) => text.len() as u64,
        }
    }

    fn field(&self, i: usize) -> Option<&str> {
        if let Self::Answer(answer) = self { answer.field(i) } else { None }
    }

    /// None where there is no such thing.
    fn status(&self) -> Option<u16> {
        if let Self::Answer(answer) = self { Some(answer.status()) } else { None }
    }
}

impl Session {
    /// Checks the answer or the message of a step, and keeps what later steps need of it.
    pub(super) fn judge(
        &mut self,
        step: usize,
        judging: &Judging,
        judged: &Judged<'_>,
        service_ns: u64,
    ) -> Result<(), ErrorKind> {
        let json: Option<Value> =
            if judging.parses { serde_json::from_slice(judged.body()).ok() } else { None };
        for save in &judging.saves {
            self.save(save, judged, json.as_ref());
        }
        if let Some(status) = judged.status().filter(|status| !judging.wants(*status)) {
            return Err(self.shard.figures.unwanted(status));
        }
        let json = json.as_ref();
        let fails = |(check, _): &(Expect, String)| !holds(check, judged, json, service_ns);
        let Some(i) = judging.checks.iter().position(fails) else { return Ok(()) };
        let (check, what) = &judging.checks[i];
        let told = || (what.clone(), found(check, judged, json, service_ns));
        self.shard.figures.check_failed(step, i, told);
        Err(ErrorKind::Check)
    }

    /// The same of an awaited message's text, if anything is looked into.
    pub(super) fn judge_message(
        &mut self,
        step: usize,
        judging: Option<&Judging>,
        text: Option<&str>,
        service_ns: u64,
    ) -> Result<(), ErrorKind> {
        match (judging, text) {
            (Some(judging), Some(text)) => self.judge(step, judging, &Judged::Message(text), service_ns),
            _ => Ok(()),
        }
    }

    /// Looks at an answer whose body is of no use, which is an error of this `kind`; says of what kind it is then. A status that
    /// is not wanted says more, and what needs no body is kept all the same.
    pub(super) fn judge_bodiless(
        &mut self,
        judging: &Judging,
        answer: &Answer<'_>,
        kind: ErrorKind,
    ) -> ErrorKind {
        for save in judging.saves.iter().filter(|(_, from, _)| !from.needs_body()) {
            self.save(save, &Judged::Answer(answer), None);
        }
        if judging.wants(answer.status()) {
            return kind;
        }
        self.shard.figures.unwanted(answer.status())
    }

    /// Keeps one value in its variable.
    fn save(&mut self, (slot, from, pick): &(usize, From, Pick), judged: &Judged<'_>, json: Option<&Value>) {
        self.state.saved = true;
        let value = self.capture(from, *pick, judged, json);
        if let Some(var) = self.vars.get_mut(*slot) {
            *var = value.map(String::into_boxed_str);
        }
    }

    /// What is kept in a variable; a value that is too long is as good as none.
    fn capture(
        &mut self,
        from: &From,
        pick: Pick,
        judged: &Judged<'_>,
        json: Option<&Value>,
    ) -> Option<String> {
        let value = match from {
            From::Cookie(name) => match judged {
                Judged::Answer(answer) => self.cookie(name, answer),
                Judged::Message(_) => None,
            },
            From::Status => judged.status().map(|status| status.to_string()),
            From::Body => Some(judged.body())
                .filter(|body| body.len() <= SAVED_MAX)
                .and_then(|body| std::str::from_utf8(body).ok())
                .map(str::to_owned),
            From::Field(i) => judged.field(*i).map(str::to_owned),
            From::Json(path) => {
                let found = json.map(|j| path.query(j).all()).unwrap_or_default();
                // A null is nothing that a request could be made with, and not the text `null`.
                self.pick(pick, found, |v| (!v.is_null()).then(|| template::as_text(v)))
            }
            From::Regex(regex) => {
                let found = regex.captures_iter(judged.body()).take(MATCHES_MAX);
                let found = found.filter_map(|c| c.get(1).or_else(|| c.get(0))).collect();
                self.pick(pick, found, |m| Some(String::from_utf8_lossy(m.as_bytes()).into_owned()))
            }
        };
        value.filter(|value| value.len() <= SAVED_MAX)
    }

    fn pick<T>(&mut self, pick: Pick, found: Vec<T>, text: impl Fn(&T) -> Option<String>) -> Option<String> {
        match pick {
            Pick::First => found.first().and_then(text),
            Pick::Last => found.last().and_then(text),
            Pick::Random => found.get(self.stream.below(found.len() as u64) as usize).and_then(text),
            Pick::Count => Some(found.len().to_string()),
        }
    }
}

fn holds(check: &Expect, judged: &Judged<'_>, json: Option<&Value>, service_ns: u64) -> bool {
    match check {
        Expect::Time(compare, limit) => compare.holds_of(service_ns.cmp(limit)),
        Expect::Size(compare, limit) => compare.holds_of(judged.body_bytes().cmp(limit)),
        Expect::Body(test) => text_holds(test, judged.body()),
        Expect::Field(i, test) => field_holds(test, judged.field(*i)),
        Expect::Json(path, test) => {
            json.is_some_and(|j| json_holds(test, path.query(j).all().first().copied()))
        }
    }
}

/// What stood where a check failed, for a person. Texts are not repeated: an answer's may be nobody's business.
fn found(check: &Expect, judged: &Judged<'_>, json: Option<&Value>, service_ns: u64) -> String {
    let text = |text: &str| format!("a text of {}", plural(text.chars().count(), "character"));
    match check {
        Expect::Time(..) => Unit::Ns.show(service_ns as f64),
        Expect::Size(..) => Unit::Bytes.show(judged.body_bytes() as f64),
        Expect::Body(_) => format!("a body of {}", Unit::Bytes.show(judged.body_bytes() as f64)),
        Expect::Field(i, _) => judged.field(*i).map_or_else(|| "no such field".to_owned(), text),
        Expect::Json(path, test) => match json.map(|j| path.query(j).all().first().copied()) {
            None => "no JSON".to_owned(),
            Some(None) => "nothing".to_owned(),
            Some(Some(Value::String(s))) => text(s),
            Some(Some(Value::Array(a))) => format!("an array of {}", plural(a.len(), "value")),
            Some(Some(Value::Object(o))) => format!("an object of {}", plural(o.len(), "value")),
            // A number may be a code that is nobody else's business.
            Some(Some(Value::Number(_))) if !matches!(test, JsonIs::Number(..)) => "a number".to_owned(),
            Some(Some(plain)) => plain.to_string(),
        },
    }
}

fn field_holds(test: &FieldIs, field: Option<&str>) -> bool {
    match test {
        FieldIs::Exists => field.is_some(),
        FieldIs::Absent => field.is_none(),
        FieldIs::NotEmpty => field.is_some_and(|f| !f.is_empty()),
        FieldIs::Text(test) => field.is_some_and(|f| text_holds(test, f.as_bytes())),
    }
}

fn text_holds(test: &TextIs, text: &[u8]) -> bool {
    match test {
        TextIs::Equals(wanted) => text == &**wanted,
        TextIs::Contains(wanted) => contains(text, wanted),
        TextIs::Matches(regex) => Regex::is_match(regex, text),
    }
}

fn json_holds(test: &JsonIs, found: Option<&Value>) -> bool {
    let Some(value) = found else { return matches!(test, JsonIs::Absent) };
    match test {
        JsonIs::Exists => true,
        JsonIs::Absent => false,
        JsonIs::NotEmpty => !is_empty(value),
        JsonIs::Equals(wanted) => alike(value, wanted),
        JsonIs::Number(compare, n) => value.as_f64().is_some_and(|v| compare.holds(v, *n)),
        JsonIs::Length(compare, n) => length(value).is_some_and(|len| compare.holds(len as f64, *n)),
        JsonIs::Text(test) => match value {
            Value::String(s) => text_holds(test, s.as_bytes()),
            Value::Number(_) | Value::Bool(_) => text_holds(test, template::as_text(value).as_bytes()),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        },
    }
}

/// Is it the same value? Numbers by what they are worth: `9` and `9.0` are two spellings of one.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_f64() != y.is_f64() => {
            x.as_f64().zip(y.as_f64()).is_some_and(|(x, y)| Compare::Equal.holds(x, y))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

/// Entries of an array or object, characters of a text.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(a) => Some(a.len()),
        Value::Object(o) => Some(o.len()),
        Value::String(s) => Some(s.chars().count()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_header_field_is_there_or_not_whatever_it_says() {
        let is = |text: &str| FieldIs::Text(TextIs::Equals(text.as_bytes().into()));
        let cases = [
            (FieldIs::Exists, [false, true, true]),
            (FieldIs::Absent, [true, false, false]),
            (FieldIs::NotEmpty, [false, false, true]),
            (is(""), [false, true, false]),
            (is("x"), [false, false, true]),
        ];
        for (test, wanted) in cases {
            assert_eq!([None, Some(""), Some("x")].map(|f| field_holds(&test, f)), wanted, "{test:?}");
        }
    }

    #[test]
    fn json_tests_hold_of_what_they_say_and_of_nothing_else() {
        let text = || JsonIs::Text(TextIs::Matches(Regex::new("^a+$").unwrap()));
        let written = |text: &str| JsonIs::Text(TextIs::Equals(text.as_bytes().into()));
        let cases = [
            (JsonIs::Exists, Some(json!(null)), true),
            (JsonIs::Exists, None, false),
            (JsonIs::Absent, None, true),
            (JsonIs::Absent, Some(json!(null)), false),
            (JsonIs::NotEmpty, Some(json!([])), false),
            (JsonIs::Equals(json!("x")), Some(json!("x")), true),
            (JsonIs::Equals(json!(9)), Some(json!(9.0)), true),
            (JsonIs::Equals(json!(9.0)), Some(json!(9)), true),
            (JsonIs::Equals(json!(9)), Some(json!(9.5)), false),
            (JsonIs::Equals(json!(9)), Some(json!("9")), false),
            // Equal as floating point, but both are whole and differ.
            (JsonIs::Equals(json!(9_007_199_254_740_992_u64)), Some(json!(9_007_199_254_740_993_u64)), false),
            (JsonIs::Equals(json!({"a": [1, 2.0]})), Some(json!({"a": [1.0, 2]})), true),
            (JsonIs::Equals(json!({"a": 1})), Some(json!({"b": 1})), false),
            (JsonIs::Equals(json!([1])), Some(json!([1, 1])), false),
            (JsonIs::Number(Compare::Greater, 5.0), Some(json!(6)), true),
            (JsonIs::Number(Compare::Greater, 5.0), Some(json!("6")), false),
            (JsonIs::Length(Compare::Equal, 2.0), Some(json!("aü")), true),
            (JsonIs::Length(Compare::AtLeast, 1.0), Some(json!(3)), false),
            (text(), Some(json!("aaa")), true),
            (text(), Some(json!(7)), false),
            (written("3"), Some(json!(3)), true),
            (written("3"), Some(json!("3")), true),
            (written("3"), Some(json!(30)), false),
            (written("true"), Some(json!(true)), true),
            (JsonIs::Text(TextIs::Matches(Regex::new("^[0-9]+$").unwrap())), Some(json!(42)), true),
            (written("null"), Some(json!(null)), false),
            (written("[]"), Some(json!([])), false),
        ];
        for (test, value, wanted) in cases {
            assert_eq!(json_holds(&test, value.as_ref()), wanted, "{test:?} of {value:?}");
        }
    }
}
