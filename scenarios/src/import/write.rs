//! A draft as TOML that a person can read and go on with.
//!
//! Owns layout and quoting. The one thing JSON has and TOML has not, `null`, makes a body a text.

use serde_json::Value;

use super::draft::{Body, Does, Draft, DraftRequest, DraftStep, Part, json_text};

/// A JSON value that fits on a line this wide stands on one.
const LINE_WIDTH: usize = 100;
/// How long the written phase lasts, and how many sessions it holds: a careful start, to be changed.
const PHASE: &str = "[[phase]]\nname = \"steady\"\nfor = \"60s\"\nsessions = 10\n";
/// How large a file is that is made up.
const GENERATED: &str = "1KiB";
/// How long an awaited message may take.
const WITHIN: &str = "10s";
const MS_PER_S: u64 = 1_000;

/// The whole file.
pub(super) fn scenario(draft: &Draft) -> String {
    let mut out = String::new();
    for note in &draft.notes {
        comment(&mut out, note);
    }
    if !draft.env.is_empty() {
        comment(&mut out, "Set in the environment before a run:");
        for (name, stands_for) in &draft.env {
            comment(&mut out, &format!("  {name}: {stands_for}"));
        }
    }
    out += &format!("about = {}\n\n[target]\nurl = {}\n", quote(&draft.about), quote(&draft.url));
    if !draft.env.is_empty() {
        let names: Vec<String> = draft.env.keys().map(|n| quote(n)).collect();
        out += &format!("env = [{}]\n", names.join(", "));
    }
    if draft.cookies {
        out += "cookies = true\n";
    }
    out += "\n";
    out += PHASE;
    out += &format!("\n[[session]]\nname = {}\n", quote(&draft.session));
    for step in &draft.steps {
        out += &step_text(step);
    }
    out += "\n[[gate]]\nthat = \"errors < 1%\"\n";
    out
}

/// One step, with the empty line before it.
pub(super) fn step_text(step: &DraftStep) -> String {
    let mut out = "\n".to_owned();
    for remark in &step.remarks {
        comment(&mut out, remark);
    }
    out += "[[session.steps]]\n";
    match &step.does {
        Does::Think(ms) => out += &format!("think = {}\n", quote(&pause(*ms))),
        Does::Request(request) => request_text(&mut out, request),
        Does::Connect { name, path, subprotocol, headers } => {
            out += &format!("name = {}\nconnect = {}\n", quote(name), quote(path));
            if let Some(subprotocol) = subprotocol {
                out += &format!("subprotocol = {}\n", quote(subprotocol));
            }
            pairs(&mut out, "headers", headers);
        }
        Does::Events { name, path, headers, reconnect } => {
            out += &format!("name = {}\nevents = {}\n", quote(name), quote(path));
            pairs(&mut out, "headers", headers);
            if *reconnect {
                out += "reconnect = true\n";
            }
        }
        Does::SendBytes { name, data, wait } => {
            out += &format!("name = {}\nsend-binary = {}\n", quote(name), quote(data));
            if *wait {
                out += &format!("await = {{ binary = true, within = \"{WITHIN}\" }}\n");
            }
        }
        Does::Send { name, body, wait } => {
            out += &format!("name = {}\n", quote(name));
            body_text(&mut out, body, "send", "send");
            if let Some(field) = wait {
                out += &format!(
                    "await = {{ json = {}, equals = {}, within = \"{WITHIN}\" }}\n",
                    quote(&format!("${}", json_path_member(field))),
                    quote(&format!("${{sent.{field}}}"))
                );
            }
        }
    }
    out
}

fn request_text(out: &mut String, request: &DraftRequest) {
    *out += &format!("name = {}\n{} = {}\n", quote(&request.name), request.method, quote(&request.path));
    pairs(out, "headers", &request.headers);
    if let Some(body) = &request.body {
        let as_text = body_text(out, body, "json", "body");
        let json = as_text && matches!(body, Body::Json(_) | Body::JsonText(_));
        match &request.kind {
            Some(kind) => *out += &format!("type = {}\n", quote(kind)),
            None if json => *out += "type = \"application/json\"\n",
            None => {}
        }
    }
    match request.statuses.as_slice() {
        [] => {}
        [one] => *out += &format!("check = {{ status = {one} }}\n"),
        some => *out += &format!("check = {{ status = {some:?} }}\n"),
    }
    pairs(out, "save", &request.saves);
}

/// Writes a body under the key for its kind; says whether it had to be a text.
fn body_text(out: &mut String, body: &Body, json_key: &str, text_key: &str) -> bool {
    match body {
        Body::Json(value) if value.is_object() && fits_toml(value) => {
            *out += &format!("{json_key} = {}\n", toml(value, 0));
            return false;
        }
        Body::Json(value) if json_key == "json" && fits_toml(value) => {
            *out += &format!("{json_key} = {}\n", toml(value, 0));
            return false;
        }
        Body::Json(value) => *out += &format!("{text_key} = {}\n", quote(&json_text(value))),
        Body::Form(fields) => {
            pairs(out, "form", fields);
            return false;
        }
        Body::Multipart(parts) => {
            let all: Vec<String> = parts
                .iter()
                .map(|(name, part)| format!("{} = {}", bare(name), part_text(name, part)))
                .collect();
            *out += &format!("multipart = {{ {} }}\n", all.join(", "));
            return false;
        }
        Body::Text(text) | Body::JsonText(text) => *out += &format!("{text_key} = {}\n", quote(text)),
    }
    true
}

fn part_text(name: &str, part: &Part) -> String {
    match part {
        Part::Text(text) => quote(text),
        Part::Generated(kind) => {
            let kind = kind.as_ref().map(|kind| format!(", type = {}", quote(kind))).unwrap_or_default();
            format!("{{ generated = \"{GENERATED}\", name = {}{kind} }}", quote(name))
        }
    }
}

fn pairs(out: &mut String, key: &str, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        let all: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{} = {}", bare(name), quote(value))).collect();
        *out += &format!("{key} = {{ {} }}\n", all.join(", "));
    }
}

/// Can TOML say this value? It has no null, and whole numbers of 64 bits at most.
fn fits_toml(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(n) => n.as_i64().is_some() || n.is_f64(),
        Value::Array(values) => values.iter().all(fits_toml),
        Value::Object(fields) => fields.values().all(fits_toml),
        _ => true,
    }
}

/// A value; an array that is too long for a line has an entry on each.
fn toml(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(values) => {
            let all: Vec<String> = values.iter().map(|v| toml(v, depth + 1)).collect();
            let flat = format!("[{}]", all.join(", "));
            if flat.len() <= LINE_WIDTH {
                return flat;
            }
            let indent = "  ".repeat(depth + 1);
            let lines: String = all.iter().map(|v| format!("\n{indent}{v},")).collect();
            format!("[{lines}\n{}]", "  ".repeat(depth))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let all: Vec<String> =
                fields.iter().map(|(k, v)| format!("{} = {}", bare(k), toml(v, depth + 1))).collect();
            format!("{{ {} }}", all.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A pause as scenarios write it.
fn pause(ms: u64) -> String {
    if ms.is_multiple_of(MS_PER_S) { format!("{}s", ms / MS_PER_S) } else { format!("{ms}ms") }
}

fn comment(out: &mut String, text: &str) {
    *out += &format!("# {}\n", timeline::text::clean(text, 300).trim_end());
}

/// A key, in quotes where it needs them.
fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain { key.to_owned() } else { quote(key) }
}

/// A member as a step of a JSONPath: `.id`, or in brackets where its name needs them.
pub(super) fn json_path_member(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain {
        return format!(".{name}");
    }
    let mut out = "['".to_owned();
    for c in name.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "']"
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if c.is_control() || is_lost_on_a_page(c) => out += &format!("\\u{:04X}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Does what prints pages replace this character? By its number it comes through: all outputs are equal.
fn is_lost_on_a_page(c: char) -> bool {
    !c.is_ascii() && !timeline::text::clean_page(c.encode_utf8(&mut [0; 4])).starts_with(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_quoted_reads_the_same(text in any::<String>()) {
            let read: toml::Table = toml::from_str(&format!("{} = {}", bare(&text), quote(&text))).unwrap();
            prop_assert_eq!(read[&text].as_str(), Some(text.as_str()));
        }

        #[test]
        fn what_is_quoted_is_printed_as_it_is(text in any::<String>()) {
            prop_assert_eq!(timeline::text::clean_page(&quote(&text)), quote(&text));
        }
    }

    #[test]
    fn joined_characters_are_written_by_number() {
        assert_eq!(quote("a\u{200D}b\u{FEFF}ü\u{FFFD}"), "\"a\\u200Db\\uFEFFü\u{FFFD}\"");
        assert_eq!(timeline::text::clean_page(&quote("\u{202E}\u{2060}\u{85}")), "\"\\u202E\\u2060\\u0085\"");
    }

    #[test]
    fn json_without_null_reads_the_same() {
        let value = serde_json::json!({"a b": [1, 2.5, "x\"\n", {"deep": [true, {}]}], "long": vec!["entry that is long"; 9]});
        let read: toml::Table = toml::from_str(&format!("v = {}", super::toml(&value, 0))).unwrap();
        assert_eq!(serde_json::to_value(&read["v"]).unwrap(), value);
        assert!(!fits_toml(&serde_json::json!({"a": [null]})));
        assert!(!fits_toml(&serde_json::json!(u64::MAX)));
    }
}
