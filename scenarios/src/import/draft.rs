//! A scenario under construction: what importers fill in and `write` writes down.
//!
//! Owns the names of steps, variables and environment variables, each made unique and valid; knows no input format.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use crate::text::field;
use crate::text::template::RESERVED;

/// Longest name of a step, characters; leaves room for a number behind it.
const NAME_WIDTH: usize = 58;
/// Longest name of a variable.
const VARIABLE_WIDTH: usize = 40;
/// Most steps that are written; a scenario takes 1000.
pub(super) const STEPS_MAX: usize = 900;
/// Most parts of a form with files; a scenario takes no more.
pub(super) const PARTS_MAX: usize = 64;
/// Longest value of a header field, bytes: what most servers accept.
const FIELD_MAX: usize = 8 << 10;
/// What of ASCII may not stand in a path of a scenario.
pub(super) const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'#');
/// Most variables of the environment that are named after what they hold; `[target] env` takes 64.
pub(super) const ENV_MAX: usize = 60;
/// What a shell or a log-in sets for everybody: a run would send that in the place of a secret, and nobody be told that it is to be set.
const SET_FOR_ALL: &[&str] =
    &["HOME", "LANG", "LOGNAME", "MAIL", "OLDPWD", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "USER"];
/// Stands for all secrets under further names.
const ENV_REST: &str = "OTHER_SECRETS";

/// What becomes of an input file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) about: String,
    /// `[target] url`.
    pub(super) url: String,
    /// `[[session]] name`.
    pub(super) session: String,
    pub(super) steps: Vec<DraftStep>,
    /// `[target] cookies`: do sessions keep the cookies that they are given?
    pub(super) cookies: bool,
    /// Environment variables with what each stands for.
    pub(super) env: BTreeMap<String, String>,
    /// Those variables by the wanted name and the value that each stands for, which is never written.
    pub(super) secrets: BTreeMap<(String, String), String>,
    /// How often a secret beyond [`ENV_MAX`] got the variable of another one.
    pub(super) shared: usize,
    /// What was left out or changed, one sentence each.
    pub(super) notes: Vec<String>,
    pub(super) names: BTreeMap<String, usize>,
}

/// A step with remarks for its reader.
#[derive(Debug)]
pub(super) struct DraftStep {
    pub(super) remarks: Vec<String>,
    pub(super) does: Does,
}

/// What a step does. Texts are templates: literal `${` is escaped already.
#[derive(Debug)]
pub(super) enum Does {
    /// A pause, ms.
    Think(u64),
    Request(Box<DraftRequest>),
    Connect {
        name: String,
        path: String,
        subprotocol: Option<String>,
        headers: Vec<(String, String)>,
    },
    Events {
        name: String,
        path: String,
        headers: Vec<(String, String)>,
        /// Did the browser open it again by itself?
        reconnect: bool,
    },
    Send {
        name: String,
        body: Body,
        wait: Option<String>,
    },
    /// A binary message.
    SendBytes {
        name: String,
        /// In base64.
        data: String,
        /// Is a binary message awaited behind it?
        wait: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct DraftRequest {
    pub(super) name: String,
    /// Lower case.
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Body>,
    /// Content type, where it is not what the kind of body says by itself.
    pub(super) kind: Option<String>,
    pub(super) statuses: Vec<u16>,
    /// Variable and JSONPath.
    pub(super) saves: Vec<(String, String)>,
}

/// A body or message.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Json(Value),
    /// JSON with holes for numbers, which no table can say.
    JsonText(String),
    Form(Vec<(String, String)>),
    Multipart(Vec<(String, Part)>),
    Text(String),
}

/// A part of a form with files.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(String),
    /// Bytes that are made up, of this content type.
    Generated(Option<String>),
}

impl Draft {
    /// A name that no other step has: `GET /rooms`, `GET /rooms #2`.
    pub(super) fn step_name(&mut self, wanted: &str) -> String {
        let base = timeline::text::clean(wanted, NAME_WIDTH).trim().to_owned();
        let base = if base.is_empty() { "step".to_owned() } else { base };
        let seen = self.names.entry(base.clone()).or_insert(0);
        *seen += 1;
        if *seen == 1 { base } else { format!("{base} #{seen}") }
    }

    /// A variable of the environment, another one for each value of a name; says its `${NAME}`.
    pub(super) fn secret(&mut self, wanted: &str, value: &str, stands_for: &str) -> String {
        let base = identifier(wanted).to_uppercase();
        let base = if SET_FOR_ALL.contains(&base.as_str()) { format!("{base}_VALUE") } else { base };
        let key = (base.clone(), value.to_owned());
        if let Some(name) = self.secrets.get(&key) {
            return format!("${{{name}}}");
        }
        if self.env.len() >= ENV_MAX {
            self.shared += 1;
            let name = if self.env.contains_key(&base) { base } else { ENV_REST.to_owned() };
            self.env.entry(name.clone()).or_insert_with(|| "what there was no room to name".to_owned());
            return format!("${{{name}}}");
        }
        let numbered = |n: usize| if n == 1 { base.clone() } else { format!("{base}_{n}") };
        let taken = |n: &usize| self.env.contains_key(&numbered(*n));
        let n = (1..).find(|n| !taken(n)).expect("numbers do not run out");
        let name = numbered(n);
        let told = if n == 1 { stands_for.to_owned() } else { format!("{stands_for}, value {n}") };
        self.env.insert(name.clone(), timeline::text::clean(&told, 120));
        self.secrets.insert(key, name.clone());
        format!("${{{name}}}")
    }
}

/// Letters, digits and `_`, beginning with a letter.
pub(super) fn identifier(text: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && lower {
                out.push('_');
            }
            lower = c.is_ascii_lowercase() || c.is_ascii_digit();
            out.push(c.to_ascii_lowercase());
        } else {
            lower = false;
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
        }
        if out.len() >= VARIABLE_WIDTH {
            break;
        }
    }
    let out = out.trim_end_matches('_').to_owned();
    if out.starts_with(|c: char| c.is_ascii_alphabetic()) { out } else { format!("value_{out}") }
}

/// A name for a saved variable that is neither reserved nor in `taken`.
pub(super) fn variable(wanted: &str, taken: &BTreeSet<String>) -> String {
    let base = identifier(wanted);
    let base = if RESERVED.contains(&base.as_str()) { format!("{base}_value") } else { base };
    let free = |name: &String| !taken.contains(name);
    Some(base.clone()).filter(free).unwrap_or_else(|| {
        (2usize..).map(|n| format!("{base}_{n}")).find(free).expect("numbers do not run out")
    })
}

/// A text as it stands in a template: a `${` that means itself is written `$${`; the mark of number holes is not kept.
pub(super) fn literal(text: &str) -> String {
    text.replace(BARE, "").replace("${", "$${")
}

/// Marks a string that is to be written into JSON without quotes; no text of an input keeps this character.
const BARE: char = '\u{1}';

/// A hole for a number inside JSON.
pub(super) fn number_hole(hole: &str) -> Value {
    Value::String(format!("{BARE}{hole}"))
}

/// A JSON body: a table where TOML can say it, a text where a number is a hole.
pub(super) fn json_body(value: Value) -> Body {
    if !has_bare(&value) {
        return Body::Json(value);
    }
    // Behind the mark stands `${name}` alone, which JSON writes as it is.
    let text = json_text(&value);
    let mut parts = text.split("\"\\u0001");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('"') {
            Some((hole, rest)) => out.extend([hole, rest]),
            None => out += part,
        }
    }
    Body::JsonText(out)
}

/// JSON as a text with holes: unlike in a table, its names are part of the template too.
pub(super) fn json_text(value: &Value) -> String {
    fn named(value: &Value) -> Value {
        match value {
            Value::Array(values) => values.iter().map(named).collect(),
            Value::Object(fields) => fields.iter().map(|(k, v)| (literal(k), named(v))).collect(),
            simple => simple.clone(),
        }
    }
    named(value).to_string()
}

fn has_bare(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(BARE),
        Value::Array(values) => values.iter().any(has_bare),
        Value::Object(fields) => fields.values().any(has_bare),
        _ => false,
    }
}

/// Can this be the value of a header, and is it none that servers refuse for its length?
pub(super) fn is_header_text(text: &str) -> bool {
    text.len() <= FIELD_MAX && field::value(text).is_ok()
}

/// A path as it may stand in a scenario.
pub(super) fn path_text(path: &str) -> String {
    encoded(path, NOT_IN_PATH)
}

/// A text as a template, percent-encoded where it is not ASCII or stands in `codes`.
pub(super) fn encoded(text: &str, codes: &'static AsciiSet) -> String {
    literal(&utf8_percent_encode(text, codes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_unique() {
        assert_eq!(identifier("accessToken"), "access_token");
        assert_eq!(identifier("X-CSRF-Token"), "x_csrf_token");
        assert_eq!(identifier("42"), "value_42");
        let taken = BTreeSet::from(["id".to_owned(), "id_2".to_owned()]);
        assert_eq!(variable("id", &taken), "id_3");
        assert_eq!(variable("session", &taken), "session_value");
        let mut draft = Draft::default();
        assert_eq!(draft.step_name("GET /"), "GET /");
        assert_eq!(draft.step_name("GET /"), "GET / #2");
        assert!(!draft.step_name("GET /\u{7}x").contains('\u{7}'));
        assert_eq!(draft.secret("x-api-key", "a", "header"), "${X_API_KEY}");
        assert_eq!(draft.secret("pwd", "a", "body"), "${PWD_VALUE}", "each shell sets PWD");
    }

    #[test]
    fn each_value_of_a_secret_has_a_variable_of_its_own_as_far_as_they_go() {
        let mut draft = Draft::default();
        assert_eq!(draft.secret("Authorization", "A", "header"), "${AUTHORIZATION}");
        assert_eq!(draft.secret("authorization", "B", "header"), "${AUTHORIZATION_2}");
        assert_eq!(draft.secret("authorization", "A", "header"), "${AUTHORIZATION}");
        assert_eq!(draft.env["AUTHORIZATION_2"], "header, value 2");
        for n in 0..100 {
            draft.secret("csrf", &n.to_string(), "form");
        }
        assert_eq!(draft.secret("csrf", "57", "form"), "${CSRF_58}");
        assert_eq!(draft.secret("csrf", "99", "form"), "${CSRF}");
        assert_eq!(draft.secret("pin", "1", "form"), "${OTHER_SECRETS}");
        assert!(draft.env.len() <= 64 && draft.shared == 44, "{} {}", draft.env.len(), draft.shared);
    }

    #[test]
    fn what_looks_like_a_hole_is_escaped() {
        assert_eq!(path_text("/a b#${x}ü"), "/a%20b%23$${x}%C3%BC");
    }
}
