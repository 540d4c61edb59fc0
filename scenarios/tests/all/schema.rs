//! The schema by which editors complete and check: it takes what is shipped, and what it must refuse it refuses.

use dynamometer_scenarios::{SCHEMA, catalog};
use regex::Regex;
use serde_json::Value;

/// What of a scenario's text breaks the schema, if anything.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
    keeps_to(&root, &root, &serde_json::to_value(table).unwrap(), "file")
}

/// As much of JSON Schema as ours uses; a keyword that it does not know is an error of the test.
fn keeps_to(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().unwrap() {
        let fits = |schema: &Value| keeps_to(root, schema, value, at).is_ok();
        let rules = || rule.as_array().into_iter().flatten();
        let text = value.as_str();
        let entries = value.as_array().map(Vec::len);
        let good = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().trim_start_matches("#/$defs/");
                keeps_to(root, &root["$defs"][name], value, at)?;
                true
            }
            "type" => is(rule, value) || rules().any(|kind| is(kind, value)),
            "enum" => rules().any(|one| one == value),
            "const" => rule == value,
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "pattern" => text.is_none_or(|t| Regex::new(rule.as_str().unwrap()).unwrap().is_match(t)),
            "minLength" => text.is_none_or(|t| t.chars().count() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => text.is_none_or(|t| t.chars().count() as u64 <= rule.as_u64().unwrap()),
            "minItems" => entries.is_none_or(|n| n as u64 >= rule.as_u64().unwrap()),
            "maxItems" => entries.is_none_or(|n| n as u64 <= rule.as_u64().unwrap()),
            "maxProperties" => {
                value.as_object().is_none_or(|table| table.len() as u64 <= rule.as_u64().unwrap())
            }
            "items" => {
                for (i, entry) in value.as_array().into_iter().flatten().enumerate() {
                    keeps_to(root, rule, entry, &format!("{at}[{i}]"))?;
                }
                true
            }
            "properties" => true,
            "additionalProperties" => {
                properties(root, schema, value, at)?;
                true
            }
            "required" => value.as_object().is_none_or(|table| rules().all(|key| has(table, key))),
            "dependentRequired" => value.as_object().is_none_or(|table| {
                let wanted = rule.as_object().unwrap().iter().filter(|(key, _)| table.contains_key(*key));
                wanted.flat_map(|(_, keys)| keys.as_array().unwrap()).all(|key| has(table, key))
            }),
            "oneOf" => rules().filter(|&one| fits(one)).count() == 1,
            "anyOf" => rules().any(fits),
            "not" => !fits(rule),
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "format"
            | "contentEncoding" => true,
            other => panic!("{at}: the test does not know {other}"),
        };
        if !good {
            return Err(format!("{at}: {value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

/// What `properties` and `additionalProperties` say of a table; ours has none of the former without the latter.
fn properties(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(rule), _) => keeps_to(root, rule, value, &at)?,
            (None, Value::Bool(false)) => return Err(format!("{at} is not in the schema")),
            (None, rule) => keeps_to(root, rule, value, &at)?,
        }
    }
    Ok(())
}

fn has(table: &serde_json::Map<String, Value>, key: &Value) -> bool {
    table.contains_key(key.as_str().unwrap())
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        _ => false,
    }
}

#[test]
fn every_shipped_scenario_keeps_to_it() {
    for entry in catalog::list() {
        check(entry.text).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
    }
}

/// A scenario whose one session kind does `step`.
fn with(step: &str) -> String {
    format!(
        "phase = [{{ name = \"p\", for = \"1s\", sessions = 1 }}]\nsession = [{{ name = \"s\", steps = [{step}] }}]\n"
    )
}

#[test]
fn a_variable_may_stand_for_any_value() {
    for (from, to) in [
        ("sessions = 1", "sessions = \"${vars.n}\""),
        ("\"1s\"", "\"${vars.length}\""),
        ("name = \"s\"", "name = \"s\", weight = \"${vars.n}\""),
        ("get = \"/\"", "get = \"${vars.base}/x\", redirects = \"${vars.n}\", chunked = \"${vars.yes}\""),
        ("get = \"/\"", "get = \"/\", auth = \"${vars.who}\", check = { status = \"${vars.status}\" }"),
        ("name = \"x\", get = \"/\"", "repeat = \"while ${vars.x} == 1\", steps = []"),
    ] {
        let text = with("{ name = \"x\", get = \"/\" }");
        assert!(text.contains(from), "{from}");
        check(&text.replace(from, to)).unwrap_or_else(|e| panic!("{to}: {e}"));
    }
    check("include = [\"a.toml\"]\nphase = [{ name = \"p\", for = \"1s\", sessions = 1 }]").unwrap();
}

#[test]
fn sizes_and_what_is_awaited_are_as_the_reader_takes_them() {
    for good in ["1MB", "1.5 MiB", "64kB", "512B", "1GB"] {
        let step = format!("{{ name = \"x\", connect = \"/\", max-message = \"{good}\" }}");
        check(&with(&step)).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    check(&with("{ name = \"x\", await = { closed = true } }")).unwrap();
    for wrong in [
        "{ name = \"x\", connect = \"/\", max-message = \"1TB\" }",
        "{ name = \"x\", await = { closed = true, json = \"$\" } }",
        "{ name = \"x\", await = {} }",
        "{ name = \"x\", get = \"x\" }",
        "{ repeat = \"whle x\", steps = [] }",
    ] {
        assert!(check(&with(wrong)).is_err(), "{wrong}");
    }
}
