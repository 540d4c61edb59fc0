//! What an answer must be, and what is kept of it for later steps.

use regex::bytes::Regex;
use scenarios::plan::Pick;
use serde_json::Value;

use super::Session;
use crate::http::answer::Answer;
use crate::kind::ErrorKind;
use crate::program::{Expect, From, JsonIs, Request, TextIs};
use crate::template;

/// Most of a body that is kept in a variable, bytes: each session may keep one.
const BODY_VAR_MAX: usize = 64 << 10;
/// Most matches of a regular expression that are chosen from.
const MATCHES_MAX: usize = 10_000;

impl Session {
    /// Checks an answer, and keeps what later steps need of it.
    pub(super) fn judge(
        &mut self,
        request: &Request,
        answer: &Answer<'_>,
        service_ns: u64,
    ) -> Result<(), ErrorKind> {
        let json: Option<Value> =
            if request.parses { serde_json::from_slice(answer.body()).ok() } else { None };
        self.state.saved |= !request.saves.is_empty();
        for (slot, from, pick) in &request.saves {
            let value = self.capture(from, *pick, answer, json.as_ref());
            if let Some(var) = self.vars.get_mut(*slot) {
                *var = value.map(String::into_boxed_str);
            }
        }
        let right = match &request.statuses {
            Some(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&answer.status())),
            None => answer.status() < 400,
        };
        if !right {
            return Err(ErrorKind::Status);
        }
        let hold = request.checks.iter().all(|check| holds(check, answer, json.as_ref(), service_ns));
        if hold { Ok(()) } else { Err(ErrorKind::Check) }
    }

    fn capture(
        &mut self,
        from: &From,
        pick: Pick,
        answer: &Answer<'_>,
        json: Option<&Value>,
    ) -> Option<String> {
        match from {
            From::Cookie(name) => self.cookie(name, answer),
            From::Status => Some(answer.status().to_string()),
            From::Body => std::str::from_utf8(&answer.body()[..answer.body().len().min(BODY_VAR_MAX)])
                .ok()
                .map(str::to_owned),
            From::Field(i) => {
                let field = answer.field(*i);
                if pick == Pick::Count {
                    Some(u8::from(field.is_some()).to_string())
                } else {
                    field.map(str::to_owned)
                }
            }
            From::Json(path) => {
                let found = json.map(|j| path.query(j).all()).unwrap_or_default();
                self.pick(pick, found, |v| template::as_text(v))
            }
            From::Regex(regex) => {
                let found = regex.captures_iter(answer.body()).take(MATCHES_MAX);
                let found = found.filter_map(|c| c.get(1).or_else(|| c.get(0))).collect();
                self.pick(pick, found, |m| String::from_utf8_lossy(m.as_bytes()).into_owned())
            }
        }
    }

    fn pick<T>(&mut self, pick: Pick, found: Vec<T>, text: impl Fn(&T) -> String) -> Option<String> {
        match pick {
            Pick::First => found.first().map(text),
            Pick::Last => found.last().map(text),
            Pick::Random => found.get(self.stream.below(found.len() as u64) as usize).map(text),
            Pick::Count => Some(found.len().to_string()),
        }
    }
}

fn holds(check: &Expect, answer: &Answer<'_>, json: Option<&Value>, service_ns: u64) -> bool {
    match check {
        Expect::Time(limit) => service_ns < *limit,
        Expect::Size(limit) => answer.body_bytes() < *limit,
        Expect::Body(test) => text_holds(test, answer.body()),
        Expect::Field(i, test) => answer.field(*i).is_some_and(|f| text_holds(test, f.as_bytes())),
        Expect::Json(path, test) => {
            json.is_some_and(|j| json_holds(test, path.query(j).all().first().copied()))
        }
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
        JsonIs::Equals(wanted) => value == wanted,
        JsonIs::Number(compare, n) => value.as_f64().is_some_and(|v| compare.holds(v, *n)),
        JsonIs::Length(compare, n) => length(value).is_some_and(|len| compare.holds(len as f64, *n)),
        JsonIs::Text(test) => value.as_str().is_some_and(|s| text_holds(test, s.as_bytes())),
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

/// Does `text` occur in `body`?
pub(super) fn contains(body: &[u8], text: &[u8]) -> bool {
    let Some(&first) = text.first() else { return true };
    let mut rest = body;
    while let Some(i) = rest.iter().position(|&b| b == first) {
        if rest[i..].starts_with(text) {
            return true;
        }
        rest = &rest[i + 1..];
    }
    false
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
    use scenarios::plan::Compare;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_tests_hold_of_what_they_say_and_of_nothing_else() {
        let text = || JsonIs::Text(TextIs::Matches(Regex::new("^a+$").unwrap()));
        let cases = [
            (JsonIs::Exists, Some(json!(null)), true),
            (JsonIs::Exists, None, false),
            (JsonIs::Absent, None, true),
            (JsonIs::Absent, Some(json!(null)), false),
            (JsonIs::NotEmpty, Some(json!([])), false),
            (JsonIs::Equals(json!("x")), Some(json!("x")), true),
            (JsonIs::Number(Compare::Greater, 5.0), Some(json!(6)), true),
            (JsonIs::Number(Compare::Greater, 5.0), Some(json!("6")), false),
            (JsonIs::Length(Compare::Equal, 2.0), Some(json!("aü")), true),
            (JsonIs::Length(Compare::AtLeast, 1.0), Some(json!(3)), false),
            (text(), Some(json!("aaa")), true),
            (text(), Some(json!(7)), false),
        ];
        for (test, value, wanted) in cases {
            assert_eq!(json_holds(&test, value.as_ref()), wanted, "{test:?} of {value:?}");
        }
    }
}
