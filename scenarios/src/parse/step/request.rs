//! HTTP requests: headers, and what is saved of the answer. Checks on it are in `check`.

use super::Journey;
use crate::mistake::{Wrong, no_such, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{Capture, Pick, Request, Save, Slot, Step, Template};
use crate::text::pattern::regex;
use crate::text::{field, template};

/// Most header fields, checks or saved values of a step.
pub(super) const MAX_ENTRIES: usize = 64;
const SAVE_LOOK: &str = "a JSONPath (\"$.token\", \"$.rooms[*].id | random\"), \"header:NAME\", \"cookie:NAME\", \"regex:PATTERN\", \"body\" or \"status\"";
const MESSAGE_SAVE_LOOK: &str =
    "a JSONPath (\"$.id\", \"$.rooms[*].id | random\"), \"regex:PATTERN\" or \"body\"";
/// Filters behind ` | `.
const PICKS: &[(&str, Pick)] =
    &[("first", Pick::First), ("last", Pick::Last), ("random", Pick::Random), ("count", Pick::Count)];
const PATH_LOOK: &str = "a JSONPath such as \"$.token\"";

impl Journey<'_, '_> {
    pub(super) fn request(
        &mut self,
        fields: &Fields<'_>,
        verb: &'static str,
        what: &Value<'_>,
    ) -> Option<Step> {
        let id = self.id(fields, verb);
        let path = self.path(what);
        let headers = self.authorized_headers(fields);
        let body = self.body(fields, verb);
        let checks = fields.get("check").map_or(Some(Vec::new()), |v| self.checks(v, keys::CHECK));
        let saves = fields.get("save").map_or(Some(Vec::new()), |v| self.saves(v, Saved::OfAnswer));
        Some(Step::Request(Box::new(Request {
            id: id?,
            when: None,
            method: verb.to_uppercase(),
            path: path?,
            headers: headers?,
            body: body?,
            checks: checks?,
            saves: saves?,
            options: crate::parse::transport::options(self.world.reader, fields),
        })))
    }

    /// The header fields of a step, `Authorization` among them.
    pub(super) fn authorized_headers(&self, fields: &Fields<'_>) -> Option<Vec<(String, Template)>> {
        let mut headers = self.headers(fields)?;
        self.authorize(fields, &mut headers)?;
        Some(headers)
    }

    fn headers(&self, fields: &Fields<'_>) -> Option<Vec<(String, Template)>> {
        let Some(value) = fields.get("headers") else {
            return Some(Vec::new());
        };
        let reader = self.world.reader;
        let mut headers = Vec::new();
        for (name, span, value) in
            self.entries(value, "a table such as { Authorization = \"Bearer ${token}\" }")?
        {
            let wrong = if name.eq_ignore_ascii_case("content-type") {
                Wrong::new("the content type is not among the headers")
                    .expected("the key `type` beside the body")
            } else if let Err(wrong) = field::free_name(name) {
                wrong
            } else {
                reader.read(value, "a text in quotes", field::value)?;
                headers.push((name.to_owned(), self.template(value, "a text in quotes")?));
                continue;
            };
            reader.wrong(span, wrong);
            return None;
        }
        Some(headers)
    }

    pub(super) fn entries<'d>(
        &self,
        value: &'d Value<'d>,
        look: &str,
    ) -> Option<Vec<(&'d str, std::ops::Range<usize>, &'d Value<'d>)>> {
        let entries = self.world.reader.table(value, look)?;
        if entries.len() > MAX_ENTRIES {
            let wrong = Wrong::new("too many entries").expected(format!("at most {MAX_ENTRIES}"));
            self.world.reader.wrong(value.span(), wrong);
            return None;
        }
        Some(entries)
    }

    pub(super) fn saves(&self, value: &Value<'_>, of: Saved) -> Option<Vec<Save>> {
        let reader = self.world.reader;
        let mut saves = Vec::new();
        for (name, _, from) in self.entries(value, "a table such as { token = \"$.token\" }")? {
            let (from, pick) = match of {
                Saved::OfAnswer => reader.read(from, SAVE_LOOK, capture)?,
                Saved::OfMessage => reader.read(from, MESSAGE_SAVE_LOOK, capture_of_message)?,
            };
            // A name that cannot be a variable was noted when variables were collected.
            let slot = self.slots.iter().position(|s| s == name)?;
            saves.push(Save { slot: Slot(slot as u16), from, pick });
        }
        Some(saves)
    }
}

/// What values are saved from.
#[derive(Clone, Copy)]
pub(super) enum Saved {
    /// An answer.
    OfAnswer,
    /// An awaited message or event.
    OfMessage,
}

/// The same as [`capture`], of what has neither status nor header fields.
fn capture_of_message(text: &str) -> Result<(Capture, Pick), Wrong> {
    match capture(text)? {
        (Capture::Header(_) | Capture::Cookie(_) | Capture::Status, _) => {
            let wrong = Wrong::new("a message has neither status nor header fields");
            Err(wrong.expected(MESSAGE_SAVE_LOOK))
        }
        saved => Ok(saved),
    }
}

/// Where a value is saved from, and which of several.
fn capture(text: &str) -> Result<(Capture, Pick), Wrong> {
    let (from, pick) = filtered(text);
    if let Some(name) = from.strip_prefix("header:") {
        return one(from, Capture::Header(field::name(name.trim())?), pick);
    }
    if let Some(name) = from.strip_prefix("cookie:") {
        return one(from, Capture::Cookie(field::name(name.trim())?), pick);
    }
    if let Some(pattern) = from.strip_prefix("regex:") {
        return Ok((Capture::Regex(regex(pattern)?), pick));
    }
    match from {
        "body" => return one(from, Capture::Body, pick),
        "status" => return one(from, Capture::Status, pick),
        _ if !from.starts_with('$') => {
            let wrong = Wrong::new(format!("{} cannot be saved from", quoted(from))).expected(SAVE_LOOK);
            return Err(wrong.did_you_mean(from, ["body", "status"]));
        }
        _ => {}
    }
    template::without_holes(from)?;
    match from.rsplit_once('|') {
        Some((path, filter)) if json_path(from).is_err() && json_path(path.trim_end()).is_ok() => {
            Err(no_such("filter", filter.trim(), PICKS.iter().map(|(word, _)| *word)))
        }
        _ => Ok((Capture::Json(json_path(from)?), pick)),
    }
}

/// Where one value is saved from: a filter has nothing to choose from there.
fn one(from: &str, capture: Capture, pick: Pick) -> Result<(Capture, Pick), Wrong> {
    if pick == Pick::default() {
        return Ok((capture, pick));
    }
    let wrong = Wrong::new(format!("{} is one value, which leaves a filter no choice", quoted(from)));
    Err(wrong.expected("a filter only behind a JSONPath or `regex:PATTERN`"))
}

/// A text before its filter, and what the filter keeps.
fn filtered(text: &str) -> (&str, Pick) {
    // It stands behind the last `|`. A regular expression may hold others: there, spaces tell them apart.
    let last = if text.starts_with('$') { text.rsplit_once('|') } else { text.rsplit_once(" | ") };
    let found = last.and_then(|(from, filter)| {
        let (_, pick) = PICKS.iter().find(|(word, _)| *word == filter.trim())?;
        Some((from.trim_end(), *pick))
    });
    found.unwrap_or((text, Pick::default()))
}

/// A JSONPath after RFC 9535, as written.
pub(super) fn json_path(text: &str) -> Result<String, Wrong> {
    template::without_holes(text)?;
    match serde_json_path::JsonPath::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => {
            let at = text.char_indices().nth(e.position().saturating_sub(1)).map_or(0, |(i, _)| i);
            Err(Wrong::new(format!("{} is not a JSONPath", quoted(text)))
                .expected(PATH_LOOK)
                .within(at..text.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_needs_no_spaces_behind_a_jsonpath() {
        for text in ["$.a|last", "$.a |last", "$.a| last ", "$.a  |  last"] {
            assert_eq!(capture(text), Ok((Capture::Json("$.a".into()), Pick::Last)), "{text}");
        }
        assert_eq!(capture("regex:a|last"), Ok((Capture::Regex("a|last".into()), Pick::First)));
        assert_eq!(capture("regex:a|b | last"), Ok((Capture::Regex("a|b".into()), Pick::Last)));
        assert_eq!(capture("body | first"), Ok((Capture::Body, Pick::First)));
        let either = "$[?@.a || @.b]";
        assert_eq!(capture(either), Ok((Capture::Json(either.into()), Pick::First)));
        for (text, told) in [
            ("$.a|lst", "there is no filter `lst`"),
            ("$[?@.a || @.b ==]", "is not a JSONPath"),
            ("$[?@.a == '${b}' || @.c].d | last", "templates are not filled in here"),
            ("body | last", "`body` is one value"),
            ("status | random", "`status` is one value"),
            ("cookie:sid | count", "`cookie:sid` is one value"),
            ("header:Location | last", "`header:Location` is one value"),
        ] {
            let wrong = capture(text).unwrap_err().sentence();
            assert!(wrong.contains(told), "{text}: {wrong}");
        }
    }
}
