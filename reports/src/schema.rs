//! For tests: does a document keep to our published schema?

use serde_json::Value;

/// As much of JSON Schema as ours uses; a keyword that it does not know is an error of the test.
pub(crate) fn check(root: &Value, schema: &Value, value: &Value, path: &str) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, path);
            }
            "type" => {
                let allowed: Vec<&str> = match rule {
                    Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                assert!(allowed.iter().any(|t| is(t, value)), "{path}: {value} is no {allowed:?}");
            }
            "enum" => {
                assert!(rule.as_array().unwrap().contains(value), "{path}: {value} is none of {rule}")
            }
            "const" => assert_eq!(rule, value, "{path}"),
            "minimum" => {
                assert!(value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()), "{path}: {value}")
            }
            "items" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                items.iter().enumerate().for_each(|(i, v)| check(root, rule, v, &format!("{path}[{i}]")));
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    assert!(value.get(name.as_str().unwrap()).is_some(), "{path} has no {name}");
                }
            }
            "properties" | "additionalProperties" => properties(root, schema, value, path),
            "description" | "title" | "$schema" | "$id" | "$defs" => {}
            other => panic!("{path}: the test does not know {other}"),
        }
    }
}

fn properties(root: &Value, schema: &Value, value: &Value, path: &str) {
    for (name, v) in value.as_object().unwrap() {
        let at = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(rule), _) => check(root, rule, v, &at),
            (None, Value::Bool(false)) => panic!("{at} is not in the schema"),
            (None, rule) => check(root, rule, v, &at),
        }
    }
}

fn is(type_: &str, value: &Value) -> bool {
    match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}
