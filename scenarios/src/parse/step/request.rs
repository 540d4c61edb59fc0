//! HTTP requests: headers, checks on the answer, and what is saved of it.

use toml::de::DeValue;

use super::Journey;
use super::body::plain_value;
use crate::mistake::{Wrong, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{Capture, Check, Request, Save, Slot, Step, Template};
use crate::text::quantity;

/// Most header fields, checks or saved values of a step.
const MAX_ENTRIES: usize = 64;
/// Header fields that the engine writes itself.
const OWN_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
];
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
        let headers = self.headers(fields);
        let body = self.body(fields, verb);
        let checks = fields.get("check").map_or(Some(Vec::new()), |v| self.checks(v));
        let saves = fields.get("save").map_or(Some(Vec::new()), |v| self.saves(v));
        let when = match fields.get("if") {
            Some(v) => Some(self.condition(v)?),
            None => None,
        };
        Some(Step::Request(Box::new(Request {
            id: id?,
            when,
            method: verb.to_uppercase(),
            path: path?,
            headers: headers?,
            body: body?,
            checks: checks?,
            saves: saves?,
            options: crate::parse::transport::options(self.world.reader, fields),
        })))
    }

    pub(super) fn headers(&self, fields: &Fields<'_>) -> Option<Vec<(String, Template)>> {
        let Some(value) = fields.get("headers") else {
            return Some(Vec::new());
        };
        let reader = self.world.reader;
        let mut headers = Vec::new();
        for (name, span, value) in
            self.entries(value, "a table such as { Authorization = \"Bearer ${token}\" }")?
        {
            let lower = name.to_ascii_lowercase();
            let wrong = if OWN_HEADERS.contains(&lower.as_str()) {
                Wrong::new(format!("{} is written by dyno itself", quoted(name))).expected("another header")
            } else if lower == "content-type" {
                Wrong::new("the content type is not among the headers")
                    .expected("the key `type` beside the body")
            } else if let Err(wrong) = token(name) {
                wrong
            } else {
                reader.read(value, "a text in quotes", header_value)?;
                headers.push((name.to_owned(), self.template(value, "a text in quotes")?));
                continue;
            };
            reader.wrong(span, wrong);
            return None;
        }
        Some(headers)
    }

    fn entries<'d>(
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

    fn checks(&self, value: &Value<'_>) -> Option<Vec<Check>> {
        let reader = self.world.reader;
        let fields = reader.fields(value, keys::CHECK)?;
        let mut checks = Vec::new();
        if let Some(v) = fields.get("status") {
            checks.push(Check::Status(self.statuses(v)?));
        }
        if let Some(v) = fields.get("time") {
            checks.push(Check::Time(reader.read(v, "a limit such as \"< 1s\"", time)?));
        }
        if let Some(v) = fields.get("body") {
            reader.text(v, "a text that the body contains")?;
            if let serde_json::Value::String(text) = plain_value(self, v)? {
                checks.push(Check::Body(text));
            }
        }
        if let Some(v) = fields.get("json") {
            for (path, span, wanted) in self.entries(v, "a table such as { \"$.id\" = \"not empty\" }")? {
                let path = json_path(path).map_err(|w| reader.wrong(span, w)).ok()?;
                checks.push(match plain_value(self, wanted)? {
                    serde_json::Value::String(s) if s == "not empty" => Check::JsonNotEmpty(path),
                    wanted => Check::JsonEquals(path, wanted),
                });
            }
        }
        Some(checks)
    }

    fn statuses(&self, value: &Value<'_>) -> Option<Vec<u16>> {
        let reader = self.world.reader;
        let one = |v: &Value<'_>| reader.integer(v, 100..=599).map(|n| n as u16);
        if !matches!(value.get_ref(), DeValue::Array(_)) {
            return one(value).map(|n| vec![n]);
        }
        let values = reader.array(value, "statuses such as [200, 201]", MAX_ENTRIES)?;
        if values.is_empty() {
            reader.wrong(
                value.span(),
                Wrong::new("no status can be right").expected("statuses such as [200, 201]"),
            );
            return None;
        }
        values.iter().map(one).collect()
    }

    fn saves(&self, value: &Value<'_>) -> Option<Vec<Save>> {
        let reader = self.world.reader;
        let mut saves = Vec::new();
        for (name, _, from) in self.entries(value, "a table such as { token = \"$.token\" }")? {
            let look = "a JSONPath (\"$.token\", \"$.rooms[*].id | random\"), a header (\"header:Location\") or a cookie (\"cookie:sid\")";
            let from = reader.read(from, look, capture)?;
            // A name that cannot be a variable was noted when variables were collected.
            let slot = self.slots.iter().position(|s| s == name)?;
            saves.push(Save { slot: Slot(slot as u16), from });
        }
        Some(saves)
    }
}

fn capture(text: &str) -> Result<Capture, Wrong> {
    let look = "a JSONPath (\"$.token\", \"$.rooms[*].id | random\"), a header (\"header:Location\") or a cookie (\"cookie:sid\")";
    if let Some(name) = text.strip_prefix("header:") {
        return token(name.trim()).map(Capture::Header);
    }
    if let Some(name) = text.strip_prefix("cookie:") {
        return token(name.trim()).map(Capture::Cookie);
    }
    if !text.starts_with('$') {
        return Err(Wrong::new(format!("{} cannot be saved from", quoted(text))).expected(look));
    }
    match text.rsplit_once('|') {
        Some((path, "random" | " random")) => json_path(path.trim_end()).map(Capture::JsonRandom),
        Some((_, filter)) if json_path(text).is_err() => {
            let filter = filter.trim();
            let wrong = Wrong::new(format!("there is no filter {}", quoted(filter))).expected("| random");
            Err(wrong.did_you_mean(filter, ["random"]))
        }
        _ => json_path(text).map(Capture::Json),
    }
}

/// A limit on time: `< 1s`.
fn time(text: &str) -> Result<u64, Wrong> {
    let look = "a limit such as \"< 1s\"";
    match text.trim().strip_prefix('<') {
        Some(rest) => match quantity::duration(rest)? {
            0 => Err(Wrong::new("no answer takes no time at all").expected(look)),
            ns => Ok(ns),
        },
        None => Err(Wrong::new(format!("{} is not a limit", quoted(text))).expected(look)),
    }
}

/// A JSONPath after RFC 9535, as written.
pub(super) fn json_path(text: &str) -> Result<String, Wrong> {
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

/// A token of HTTP: a header's name, a subprotocol.
pub(super) fn token(text: &str) -> Result<String, Wrong> {
    let good = !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if good {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("{} cannot stand in a header", quoted(text))).expected("letters, digits and `-`"))
}

/// A header's value: one line of visible text. Templates in it are read elsewhere.
pub(super) fn header_value(text: &str) -> Result<String, Wrong> {
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(Wrong::new(format!("a header cannot hold {c:?}")).expected("one line of text"));
    }
    Ok(text.to_owned())
}
