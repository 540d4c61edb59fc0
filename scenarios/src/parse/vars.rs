//! `[vars]` and `-e NAME=VALUE`: values with a default, put in before anything else is read.
//!
//! `"${vars.NAME}"` may stand in any text of the file. Where it is the whole text, the value keeps its type, so that
//! numbers (`sessions = "${vars.users}"`) can be said from outside too.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::Overrides;
use super::reader::{Reader, Value, digits, number, whole};
use super::target::is_variable;
use crate::mistake::{Wrong, listed, quoted};

/// How a value is referred to.
const OPEN: &str = "${vars.";
/// Most values: the command line has no room for more.
const MAX_VARS: usize = 256;

/// Replaces every `${vars.NAME}` of the file; what is wrong is noted. Gives the values.
pub(super) fn fill<'i>(
    reader: &Reader<'_>,
    table: &mut DeTable<'i>,
    overrides: &'i Overrides,
) -> serde_json::Map<String, serde_json::Value> {
    let vars = values(reader, table, overrides);
    for (key, value) in table.iter_mut() {
        if key.get_ref() != "vars" {
            walk(reader, value, &vars);
        }
    }
    vars.into_iter().map(|(name, value)| (name, as_json(&value))).collect()
}

fn as_json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::Boolean(yes) => (*yes).into(),
        DeValue::Integer(_) => whole(value).map_or_else(|| show(value).into(), Into::into),
        DeValue::Float(_) => number(value).into(),
        other => show(other).into(),
    }
}

type Vars<'i> = BTreeMap<String, DeValue<'i>>;

/// The defaults, or what the command line says instead.
fn values<'i>(reader: &Reader<'_>, table: &DeTable<'i>, overrides: &'i Overrides) -> Vars<'i> {
    let mut vars = Vars::new();
    let Some(given) = table.get("vars") else { return vars };
    let look = "a table such as [vars] with users = 500";
    let DeValue::Table(given) = given.get_ref() else {
        reader.not_a(given, look);
        return vars;
    };
    for (key, default) in given.iter() {
        let name = key.get_ref();
        let wrong = if !is_variable(name) {
            Wrong::new(format!("{} cannot be a variable", quoted(name)))
                .expected("letters, digits, `_` and `-`")
        } else if vars.len() == MAX_VARS {
            Wrong::new("too many variables").expected(format!("at most {MAX_VARS}"))
        } else if is_plain(default.get_ref()) {
            let value = match overrides.vars.get(&**name) {
                Some(text) => said(reader, name, text, default.get_ref()),
                None => default.get_ref().clone(),
            };
            vars.insert(name.to_string(), value);
            continue;
        } else {
            reader.not_a(default, "a text, a number, true or false");
            continue;
        };
        reader.wrong(key.span(), wrong);
    }
    vars
}

/// What the command line says, as a value of the default's type.
fn said<'i>(reader: &Reader<'_>, name: &str, text: &'i str, default: &DeValue<'i>) -> DeValue<'i> {
    if matches!(default, DeValue::String(_)) {
        return DeValue::String(Cow::Borrowed(text));
    }
    match DeValue::parse(text).map(toml::Spanned::into_inner) {
        Ok(value) if value.same_type(default) || (is_number(&value) && is_number(default)) => value,
        _ => {
            let wrong =
                Wrong::new(format!("-e {name}: {} does not fit the scenario's default", quoted(text)));
            reader.wrong_outside(wrong.expected(format!("a value such as {}", show(default))));
            default.clone()
        }
    }
}

fn is_plain(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::String(_) | DeValue::Boolean(_)) || is_number(value)
}

fn is_number(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Integer(_) | DeValue::Float(_))
}

/// As it stands inside a longer text.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => digits(value).unwrap_or_else(|| n.as_str().to_owned()),
        DeValue::Float(n) => digits(value).unwrap_or_else(|| n.as_str().to_owned()),
        DeValue::Boolean(yes) => yes.to_string(),
        _ => String::new(),
    }
}

fn walk<'i>(reader: &Reader<'_>, value: &mut Value<'i>, vars: &Vars<'i>) {
    let span = value.span();
    let filled = match value.get_mut() {
        DeValue::Array(values) => {
            values.iter_mut().for_each(|v| walk(reader, v, vars));
            return;
        }
        DeValue::Table(table) => {
            table.iter_mut().for_each(|(_, v)| walk(reader, v, vars));
            return;
        }
        DeValue::String(text) if text.contains(OPEN) => put(text, vars),
        _ => return,
    };
    match filled {
        Ok(filled) => *value.get_mut() = filled,
        Err(wrong) => reader.wrong(span, wrong),
    }
}

/// The text with every reference replaced; a reference that is all of it gives the value itself.
fn put<'i>(text: &str, vars: &Vars<'i>) -> Result<DeValue<'i>, Wrong> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        // What a template is to leave as it stands.
        if before.ends_with('$') {
            out += before;
            out += OPEN;
            rest = after;
            continue;
        }
        let end = after.find('}').ok_or_else(|| {
            Wrong::new(format!("{} is not closed", quoted(text))).expected("a `}` behind the name")
        })?;
        let name = &after[..end];
        let value = vars.get(name).ok_or_else(|| {
            if vars.is_empty() {
                return Wrong::new(format!("there is no [vars] for {}", quoted(name)))
                    .expected("a table such as [vars] with users = 500");
            }
            let known = || vars.keys().map(String::as_str);
            Wrong::new(format!("[vars] has no {}", quoted(name)))
                .expected(format!("one of {}", listed(known())))
                .did_you_mean(name, known())
        })?;
        rest = &after[end + 1..];
        if before.is_empty() && out.is_empty() && rest.is_empty() {
            return Ok(value.clone());
        }
        out += before;
        out += &show(value);
    }
    Ok(DeValue::String(Cow::Owned(out + rest)))
}
