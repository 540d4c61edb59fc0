//! Which values of a request came in an earlier answer, and so must be taken from there at run time.
//!
//! Owns the rule: a value is worth it if it looks like an identifier or stands under a name like one, and if no
//! request had sent it before (then the client made it up, and the server only gave it back).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::import::draft::variable;
use crate::import::write::json_path_member;

/// Values shorter than this are taken for identifiers by the name they stand under alone.
const ID_MIN: usize = 6;
/// Longest value; nobody's token is longer, and a document is no token.
const VALUE_MAX: usize = 4 << 10;
/// A text of one word this long is taken for a token, with or without digits.
const TOKEN_MIN: usize = 16;
/// Most values of one answer that are looked at: long lists repeat themselves.
const LEAVES_MAX: usize = 5_000;
/// Most values that are remembered.
const KNOWN_MAX: usize = 200_000;
/// Most saved variables; a session kind takes 64.
pub(super) const VARIABLES_MAX: usize = 60;
/// Endings of names under which identifiers stand, without case and separators.
const ID_NAMES: &[&str] = &[
    "id", "uuid", "guid", "token", "ticket", "nonce", "csrf", "xsrf", "key", "jwt", "etag", "cursor", "slug",
    "code",
];

/// Where a value came from.
#[derive(Debug, Clone)]
struct Source {
    /// Index of the step.
    step: usize,
    path: String,
    /// What to call it.
    name: String,
}

/// Values seen so far.
#[derive(Debug, Default)]
pub(super) struct Values {
    known: HashMap<String, Source>,
    /// Values that requests held before any answer did.
    own: HashSet<String>,
    /// Variables by step and path.
    saved: BTreeMap<(usize, String), String>,
    taken: BTreeSet<String>,
    /// Values that would have needed more variables than there may be.
    pub(super) beyond: usize,
}

impl Values {
    /// What is to be saved of each step: variable and JSONPath.
    pub(super) fn saves(&self) -> impl Iterator<Item = (usize, String, String)> {
        self.saved.iter().map(|((step, path), name)| (*step, name.clone(), path.clone()))
    }

    /// Remembers what an answer held. `noun` is the path's last word, for values that are only called `id`.
    pub(super) fn learn(&mut self, step: usize, noun: &str, answer: &Value) {
        let mut left = LEAVES_MAX;
        self.walk(step, "$".to_owned(), noun, "", answer, &mut left);
    }

    fn walk(&mut self, step: usize, path: String, parent: &str, key: &str, value: &Value, left: &mut usize) {
        if *left == 0 || self.known.len() >= KNOWN_MAX {
            return;
        }
        match value {
            Value::Object(fields) => {
                let parent = if key.is_empty() { parent } else { key };
                for (name, inner) in fields {
                    let path = format!("{path}{}", json_path_member(name));
                    self.walk(step, path, parent, name, inner, left);
                }
            }
            Value::Array(values) => {
                for (i, inner) in values.iter().enumerate() {
                    self.walk(step, format!("{path}[{i}]"), parent, key, inner, left);
                }
            }
            _ => {
                *left -= 1;
                let Some(text) = scalar(value) else { return };
                if worth(key, &text) && !self.own.contains(&text) {
                    let bare = key.is_empty() || key.len() <= 2;
                    let name = if bare { format!("{parent}_{key}") } else { key.to_owned() };
                    self.known.entry(text).or_insert(Source { step, path, name });
                }
            }
        }
    }

    /// The `${variable}` to stand for `value`, which a request holds under `key`.
    pub(super) fn replace(&mut self, key: &str, value: &str) -> Option<String> {
        let source = self.known.get(value).filter(|_| value.len() >= ID_MIN || is_id(key)).cloned();
        let Some(source) = source else {
            if value.len() <= VALUE_MAX && self.own.len() < KNOWN_MAX {
                self.own.insert(value.to_owned());
            }
            return None;
        };
        let at = (source.step, source.path);
        if let Some(name) = self.saved.get(&at) {
            return Some(format!("${{{name}}}"));
        }
        if self.saved.len() == VARIABLES_MAX {
            self.beyond += 1;
            return None;
        }
        let name = variable(&source.name, &self.taken);
        self.taken.insert(name.clone());
        self.saved.insert(at, name.clone());
        Some(format!("${{{name}}}"))
    }
}

/// A string or number as it would stand in a path.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(n) if n.is_i64() || n.is_u64() => Some(n.to_string()),
        _ => None,
    }
}

/// Does a name end like those of identifiers?
pub(super) fn is_id(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    ID_NAMES.iter().any(|n| plain.ends_with(n) || plain.strip_suffix('s').is_some_and(|p| p.ends_with(n)))
}

fn worth(key: &str, text: &str) -> bool {
    if text.len() > VALUE_MAX || text.chars().any(|c| c.is_control()) {
        return false;
    }
    let one_word = !text.contains(char::is_whitespace);
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    is_id(key) || (one_word && ((text.len() >= ID_MIN && digits) || text.len() >= TOKEN_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identifiers_are_found_and_words_are_not() {
        let mut values = Values::default();
        assert_eq!(values.replace("user", "user-1234"), None);
        values.learn(
            0,
            "login",
            &json!({"token": "abcdef", "user": "user-1234", "page": 7, "rooms": [{"id": 7}], "say": "hello"}),
        );
        assert_eq!(values.replace("", "abcdef").as_deref(), Some("${token}"));
        assert_eq!(values.replace("user", "user-1234"), None, "the client's own");
        assert_eq!(values.replace("page", "7"), None, "a short number under no telling name");
        assert_eq!(values.replace("room_id", "7").as_deref(), Some("${rooms_id}"));
        assert_eq!(values.replace("word", "hello"), None);
        assert_eq!(values.saves().count(), 2);
    }

    #[test]
    fn names_of_identifiers() {
        for name in ["id", "userId", "access_token", "order_ids", "X-CSRF"] {
            assert!(is_id(name), "{name}");
        }
        for name in ["name", "page", "count", ""] {
            assert!(!is_id(name), "{name}");
        }
    }
}
