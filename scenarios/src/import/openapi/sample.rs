//! Values made of schemas: an example if there is one, else the smallest value that fits.

use percent_encoding::AsciiSet;
use serde_json::{Map, Value, json};

use super::document::Document;
use crate::import::draft::{Body, NOT_IN_PATH, PARTS_MAX, Part, encoded, is_header_text, literal, path_text};

/// How deep values are made; below, only what is required.
const DEPTH_OPTIONAL: usize = 4;
/// Below this nothing is made: the schema contains itself.
const DEPTH_MAX: usize = 12;
/// Most values in one body, and bytes of a given one that count as one.
const VALUES_MAX: usize = 500;
const WEIGHT_OF_ONE: usize = 512;
/// Most entries made for a `minItems`.
const ENTRIES_MAX: u64 = 100;
/// What a number without edges is.
const NUMBER: f64 = 1.5;
/// Longest text made for a `minLength`.
const TEXT_MAX: u64 = 256;
/// How many different whole numbers a parameter without an upper bound gets.
const SPREAD: i64 = 99;

/// Is there a value for it in the description itself?
pub(super) fn is_given(document: &Document, parameter: &Value) -> bool {
    given(parameter).is_some() || given(schema_of(document, parameter)).is_some()
}

fn schema_of<'d>(document: &'d Document, parameter: &'d Value) -> &'d Value {
    let content = parameter["content"].as_object().and_then(|c| c.values().next());
    let schema = content.map_or(&parameter["schema"], |media| &media["schema"]);
    document.resolve(schema, "schema").unwrap_or(&Value::Null)
}

/// An example or default as it is written.
fn given(value: &Value) -> Option<&Value> {
    let examples = &value["examples"];
    let first = match examples {
        Value::Array(all) => all.first(),
        Value::Object(all) => all.values().next().and_then(|e| e.get("value")),
        _ => None,
    };
    value.get("example").or(first).or_else(|| value.get("const")).or_else(|| value.get("default"))
}

/// What a parameter is without anything being made up.
fn fixed<'d>(parameter: &'d Value, schema: &'d Value) -> Option<&'d Value> {
    given(parameter).or_else(|| given(schema)).or_else(|| schema["enum"].get(0))
}

/// A query parameter with its name as a template, `tag=a&tag=b` for a list; none if it is not a simple one.
pub(super) fn query(document: &Document, written: &Value, name: &str) -> Option<String> {
    let name = path_text(name);
    let Some(entries) = exploded(document, written) else {
        return parameter(document, written).map(|value| format!("{name}={value}"));
    };
    let field = |value: &Value| component_of(value).map(|value| format!("{name}={value}"));
    entries.iter().map(field).collect::<Option<Vec<_>>>().map(|all| all.join("&"))
}

/// A simple value inside a path, query or form, as a template.
fn component_of(value: &Value) -> Option<String> {
    let uuid = (value == UUID).then(|| "${uuid()}".to_owned());
    uuid.or_else(|| plain(value).map(|text| component(&text)))
}

/// The entries of a list of which each has the name before it: what OpenAPI does where nothing else is said.
fn exploded(document: &Document, written: &Value) -> Option<Vec<Value>> {
    let form = written["style"].as_str().is_none_or(|style| style == "form");
    if !form || written["explode"].as_bool() == Some(false) || !written["content"].is_null() {
        return None;
    }
    let schema = schema_of(document, written);
    let value = match fixed(written, schema) {
        Some(value) => value.clone(),
        None if kind(schema) == "array" => made(document, schema)?,
        None => return None,
    };
    match value {
        Value::Array(entries) if !entries.is_empty() => Some(entries),
        _ => None,
    }
}

/// A parameter's value as a template for a path, query or header; none if it is not a simple one.
pub(super) fn parameter(document: &Document, parameter: &Value) -> Option<String> {
    let schema = schema_of(document, parameter);
    let in_header = parameter["in"].as_str() == Some("header");
    let write = |text: &str| if in_header { literal(text) } else { component(text) };
    if let Some(fixed) = fixed(parameter, schema) {
        return plain(fixed).map(|text| write(&text));
    }
    match (kind(schema), schema["format"].as_str()) {
        ("integer", _) => {
            let (low, high) = bounds(schema);
            Some(if low == high { low.to_string() } else { format!("${{int({low},{high})}}") })
        }
        ("string", Some("uuid")) => Some("${uuid()}".to_owned()),
        _ => plain(&made(document, schema)?).map(|text| write(&text)),
    }
}

/// A text inside a path or query: what separates there is encoded.
fn component(text: &str) -> String {
    const CODES: &AsciiSet = &NOT_IN_PATH.add(b'/').add(b'?').add(b'&').add(b'=').add(b'+').add(b'%');
    encoded(text, CODES)
}

/// A simple value as text; of a list its entries.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Array(all) => all
            .iter()
            .map(plain)
            .collect::<Option<Vec<_>>>()
            .map(|all| all.join(","))
            .filter(|t| !t.is_empty()),
        _ => None,
    }
}

/// A form whose fields are those of an example or a schema; none where there are none. The entries of a list are fields of one name
/// each, which is what OpenAPI does where nothing else is said: no table says that of several.
pub(super) fn form(document: &Document, written: &Value) -> Option<Body> {
    let fields = form_fields(document, written);
    let repeats = fields.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if !repeats {
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, flat(&as_template(value))?)));
        return Some(fields.collect::<Vec<_>>()).filter(|all| !all.is_empty()).map(Body::Form);
    }
    let field = |(name, value): &(String, Value)| {
        let value = match value {
            Value::Object(_) | Value::Array(_) => component(&value.to_string().replace('\u{1}', "")),
            Value::Null => return None,
            simple => component_of(simple).unwrap_or_default(),
        };
        Some(format!("{}={value}", component(name)))
    };
    Some(Body::Text(fields.iter().filter_map(field).collect::<Vec<_>>().join("&")))
}

/// The parts of a form with files: what is binary is generated.
pub(super) fn parts(document: &Document, written: &Value) -> Option<Body> {
    let schema = document.resolve(&written["schema"], "schema").unwrap_or(&Value::Null);
    let is_file = |name: &str| {
        let part = document.resolve(&schema["properties"][name], "schema").unwrap_or(&Value::Null);
        let part = if kind(part) == "array" {
            document.resolve(&part["items"], "schema").unwrap_or(&Value::Null)
        } else {
            part
        };
        part["format"].as_str() == Some("binary")
            || (part["contentMediaType"].is_string() && part["contentEncoding"].is_null())
    };
    let mut parts: Vec<(String, Part)> = Vec::new();
    for (name, value) in form_fields(document, written) {
        // A table has each name once, and its names are no templates.
        let fits = is_header_text(&name) && !name.contains("${") && parts.len() < PARTS_MAX;
        if !fits || parts.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let part = if is_file(&name) {
            let given =
                written["encoding"][&name]["contentType"].as_str().filter(|t| !t.contains(['*', ',']));
            Some(Part::Generated(given.filter(|t| is_header_text(t)).map(str::to_owned)))
        } else {
            flat(&as_template(value)).map(Part::Text)
        };
        parts.extend(part.map(|part| (name, part)));
    }
    Some(parts).filter(|all| !all.is_empty()).map(Body::Multipart)
}

/// Names and values of a form; those of a list stand behind each other.
fn form_fields(document: &Document, written: &Value) -> Vec<(String, Value)> {
    let Value::Object(fields) = media(document, written) else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in fields {
        let joined = written["encoding"][&name]["explode"].as_bool() == Some(false);
        match value {
            Value::Array(entries) if joined => {
                all.extend(plain(&Value::Array(entries)).map(|text| (name, Value::String(text))));
            }
            Value::Array(entries) => all.extend(entries.into_iter().map(|entry| (name.clone(), entry))),
            value => all.push((name, value)),
        }
    }
    all
}

/// A value of a form as a template.
fn flat(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(_) | Value::Array(_) => Some(value.to_string()),
        simple => plain(simple).or_else(|| Some(String::new())),
    }
}

/// The example of a body, or one made of its schema.
pub(super) fn media(document: &Document, media: &Value) -> Value {
    let example = given(media).cloned();
    example.or_else(|| made(document, &media["schema"])).unwrap_or_else(|| json!({}))
}

/// Strings as templates: a made-up UUID is new each time, a `${` that means itself is escaped.
pub(super) fn as_template(value: Value) -> Value {
    match value {
        Value::String(text) if text == UUID => Value::String("${uuid()}".to_owned()),
        Value::String(text) => Value::String(literal(&text.replace('\u{1}', ""))),
        Value::Array(all) => all.into_iter().map(as_template).collect(),
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, as_template(v))).collect(),
        simple => simple,
    }
}

/// Stands for any UUID until the body is written.
const UUID: &str = "\u{1}uuid";

/// The type of a schema; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    let first = |all: &'_ Value| all.as_array().and_then(|all| all.iter().position(|t| t != "null"));
    let at = first(&schema["type"]);
    let written = schema["type"].as_str().or_else(|| at.and_then(|i| schema["type"][i].as_str()));
    written.unwrap_or_else(|| match schema {
        s if s.get("properties").is_some() => "object",
        s if s.get("items").is_some() => "array",
        s if s.get("minimum").is_some() || s.get("maximum").is_some() => "integer",
        _ => "string",
    })
}

/// The whole numbers that fit, or the first hundred of them.
fn bounds(schema: &Value) -> (i64, i64) {
    let whole = |key: &str| schema[key].as_i64().or_else(|| schema[key].as_f64().map(|n| n as i64));
    // In 3.0 `exclusiveMinimum` is a flag beside `minimum`, in 3.1 the number itself.
    let edge = |key: &str, exclusive: &str, step: i64| match &schema[exclusive] {
        Value::Bool(true) => whole(key).map(|n| n.saturating_add(step)),
        Value::Number(_) => whole(exclusive).map(|n| n.saturating_add(step)),
        _ => whole(key),
    };
    let (low, high) = (edge("minimum", "exclusiveMinimum", 1), edge("maximum", "exclusiveMaximum", -1));
    let low = low.unwrap_or_else(|| high.map_or(1, |h| h.min(1)));
    let high = high.unwrap_or_else(|| low.saturating_add(SPREAD));
    (low, high.max(low))
}

/// A number within its edges: one above the lower, or halfway to an upper one that is nearer.
fn number(schema: &Value) -> f64 {
    let edge = |key: &str, exclusive: &str| schema[key].as_f64().or_else(|| schema[exclusive].as_f64());
    match (edge("minimum", "exclusiveMinimum"), edge("maximum", "exclusiveMaximum")) {
        (None, None) => NUMBER,
        (Some(low), None) => low + 1.0,
        (None, Some(high)) if NUMBER < high => NUMBER,
        (None, Some(high)) => high - 1.0,
        (Some(low), Some(high)) if low + 1.0 < high => low + 1.0,
        (Some(low), Some(high)) => f64::midpoint(low, high),
    }
}

fn made(document: &Document, schema: &Value) -> Option<Value> {
    let mut left = VALUES_MAX;
    sample(document, schema, 0, &mut left)
}

/// Bytes of a value, about; a large one is looked at only as far as it is found to be too large.
fn weight(value: &Value) -> usize {
    fn add(value: &Value, sum: &mut usize) {
        *sum += 8 + value.as_str().map_or(0, str::len);
        let parts = value.as_array().into_iter().flatten();
        let fields = value.as_object().into_iter().flatten();
        for (name, part) in
            parts.map(|part| ("", part)).chain(fields.map(|(name, part)| (name.as_str(), part)))
        {
            if *sum > VALUES_MAX * WEIGHT_OF_ONE {
                return;
            }
            *sum += name.len();
            add(part, sum);
        }
    }
    let mut sum = 0;
    add(value, &mut sum);
    sum
}

fn sample(document: &Document, schema: &Value, depth: usize, left: &mut usize) -> Option<Value> {
    if depth > DEPTH_MAX || *left == 0 {
        return None;
    }
    *left -= 1;
    let schema = document.resolve(schema, "schema").ok()?;
    if let Some(fixed) = given(schema).or_else(|| schema["enum"].get(0)) {
        *left = left.checked_sub(weight(fixed) / WEIGHT_OF_ONE)?;
        return Some(fixed.clone());
    }
    let nullable = may_be_null(document, schema);
    if nullable && depth >= DEPTH_OPTIONAL {
        return Some(Value::Null);
    }
    // A null is better than none: without it whatever needs the value could not be made either.
    of_kind(document, schema, depth, left).or_else(|| nullable.then_some(Value::Null))
}

/// Does a schema allow null, beside whatever else?
fn may_be_null(document: &Document, schema: &Value) -> bool {
    let says = |schema: &Value| {
        let several = schema["type"].as_array().is_some_and(|all| all.iter().any(|t| t == "null"));
        several || schema["type"] == "null" || schema["nullable"].as_bool() == Some(true)
    };
    let mut choices = ["oneOf", "anyOf"].into_iter().filter_map(|choice| schema[choice].as_array()).flatten();
    says(schema) || choices.any(|s| document.resolve(s, "schema").is_ok_and(says))
}

/// The value of a schema that gives none itself.
fn of_kind(document: &Document, schema: &Value, depth: usize, left: &mut usize) -> Option<Value> {
    if let Some(parts) = schema["allOf"].as_array() {
        return Some(merged(document, schema, parts, depth, left));
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            return choices
                .iter()
                .find_map(|s| sample(document, s, depth + 1, left).filter(|v| !v.is_null()));
        }
    }
    Some(match kind(schema) {
        "object" => Value::Object(object(document, schema, depth, left)?),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let wanted = least.clamp(1, ENTRIES_MAX) as usize;
            let made = std::iter::from_fn(|| sample(document, &schema["items"], depth + 1, left));
            let entries: Vec<Value> = made.take(wanted).collect();
            // An array whose entries contain it again ends empty, if it may.
            if entries.is_empty() && least > 0 {
                return None;
            }
            entries.into()
        }
        "integer" => bounds(schema).0.into(),
        "number" => json!(number(schema)),
        "boolean" => true.into(),
        "null" => Value::Null,
        _ => Value::String(text(schema)),
    })
}

/// All parts of an `allOf` in one; a part that is no object counts alone.
fn merged(document: &Document, schema: &Value, parts: &[Value], depth: usize, left: &mut usize) -> Value {
    let mut all = object(document, schema, depth, left).unwrap_or_default();
    for part in parts {
        match sample(document, part, depth + 1, left) {
            Some(Value::Object(fields)) => all.extend(fields),
            // A part without a type of its own only adds words.
            Some(other) if all.is_empty() && parts.len() == 1 => return other,
            _ => {}
        }
    }
    Value::Object(all)
}

fn object(document: &Document, schema: &Value, depth: usize, left: &mut usize) -> Option<Map<String, Value>> {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|r| r.as_str() == Some(name)))
    };
    let mut fields = Map::new();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let resolved = document.resolve(inner, "schema").unwrap_or(inner);
        let read_only = resolved["readOnly"].as_bool() == Some(true);
        let needed = required(name);
        if read_only || (!needed && depth >= DEPTH_OPTIONAL) {
            continue;
        }
        match sample(document, inner, depth + 1, left) {
            Some(value) => drop(fields.insert(name.clone(), value)),
            None if needed => return None,
            None => {}
        }
    }
    Some(fields)
}

fn text(schema: &Value) -> String {
    let fixed = match schema["format"].as_str().unwrap_or_default() {
        "uuid" => UUID,
        "date" => "2026-01-31",
        "date-time" => "2026-01-31T12:00:00Z",
        "time" => "12:00:00Z",
        "duration" => "PT1M",
        "email" | "idn-email" => "ann@example.test",
        "uri" | "url" | "iri" => "https://example.test/",
        "uri-reference" => "/",
        "hostname" => "example.test",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "byte" => "dGV4dA==",
        _ => {
            let least = schema["minLength"].as_u64().unwrap_or(0).min(TEXT_MAX) as usize;
            let most = schema["maxLength"].as_u64().unwrap_or(TEXT_MAX).min(TEXT_MAX) as usize;
            let mut text = "text".repeat(least.div_ceil(4).max(1));
            text.truncate(most.min(text.len()).max(least));
            return text;
        }
    };
    fixed.to_owned()
}
