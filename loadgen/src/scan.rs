//! What lies in a text: some bytes, or single values of its JSON, without making values of all the rest.
//!
//! What a WebSocket step awaits is looked for in every message: a tree of each would cost more than all else that is done
//! with it. What lies beside the path is read, so that only sound JSON has values, and forgotten.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_json_path::JsonPath;

/// A JSONPath made ready: one that only names fields is followed while the text is read.
#[derive(Debug)]
pub struct Finder {
    path: JsonPath,
    /// The fields, one inside the other; none: the path does more than that.
    names: Option<Box<[String]>>,
}

impl Finder {
    /// Makes `path` ready.
    #[must_use]
    pub fn new(path: JsonPath) -> Self {
        Self { names: names(&path.to_string()), path }
    }

    /// The first value that the path finds; none in what is no JSON.
    #[must_use]
    pub fn first(&self, text: &str) -> Option<Value> {
        match &self.names {
            Some(names) => whole(text.as_bytes(), Follow(names)).flatten(),
            None => {
                let all: Value = serde_json::from_str(text).ok()?;
                self.path.query(&all).all().first().map(|&v| v.clone())
            }
        }
    }
}

/// `$.a.b` as names; dots and brackets inside of quotes are left to the full evaluation.
fn names(path: &str) -> Option<Box<[String]>> {
    let plain = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_alphanumeric() || c == '_');
    path.strip_prefix("$.")?.split('.').map(|n| plain(n).then(|| n.to_owned())).collect()
}

/// The fields of an object whose names are `wanted`; none if `text` is no object in JSON.
#[must_use]
pub fn fields(text: &[u8], wanted: impl Fn(&str) -> bool) -> Option<Value> {
    whole(text, Pick(wanted)).map(Value::Object)
}

/// Does `text` occur in `body`?
#[must_use]
pub fn contains(body: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(body, text).is_some()
}

/// Reads the text to its end.
fn whole<'a, S: DeserializeSeed<'a>>(text: &'a [u8], seed: S) -> Option<S::Value> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut from).ok()?;
    from.end().ok().map(|()| value)
}

/// Follows names inward. As in a tree, the last of equal names counts.
#[derive(Clone, Copy)]
struct Follow<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() { Value::deserialize(from).map(Some) } else { from.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, inner)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Name(|key: &str| key == name))? {
            if is_it {
                found = map.next_value_seed(Follow(inner))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    // Nothing lies inside of anything else.
    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Keeps the fields whose names pass a test.
struct Pick<F>(F);

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Pick<F> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Pick<F> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = map.next_key_seed(Name(|key: &str| (self.0)(key).then(|| key.to_owned())))? {
            match name {
                Some(name) => drop(kept.insert(name, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(kept)
    }
}

/// What a test makes of a name, which is not copied.
struct Name<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_tree(path: &str, text: &str) -> Option<Value> {
        let all: Value = serde_json::from_str(text).ok()?;
        JsonPath::parse(path).unwrap().query(&all).all().first().map(|&v| v.clone())
    }

    #[test]
    fn a_value_is_found_as_in_a_tree() {
        let paths = ["$", "$.id", "$.a.b", "$['a'].b", "$.a[0]", "$.list[-1]", "$..b", "$.é"];
        let texts = [
            r#"{"id":7,"a":{"b":[1,2],"c":null},"list":[1,"x"]}"#,
            r#"{"a":{"b":1},"a":{"c":2}}"#,
            r#"{"id":1,"id":{"b":2}}"#,
            r#"{"\u0069d":"escaped","é":true}"#,
            r#"[{"id":1}]"#,
            r#""id""#,
            "7.5",
            "null",
            r#"{"id":1"#,
            r#"{"id":1} x"#,
            "",
        ];
        for path in paths {
            let finder = Finder::new(JsonPath::parse(path).unwrap());
            for text in texts {
                assert_eq!(finder.first(text), by_tree(path, text), "{path} in {text}");
            }
        }
    }

    #[test]
    fn only_paths_of_plain_names_are_followed_while_reading() {
        let followed = |path: &str| Finder::new(JsonPath::parse(path).unwrap()).names.map(|n| n.join("/"));
        assert_eq!(followed("$.a.b_1").as_deref(), Some("a/b_1"));
        for path in ["$", "$.a[0]", "$.*", "$..a", "$['a.b']", "$[?@.a]"] {
            assert_eq!(followed(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_by_a_tree(text in r#"[\[\]{}:,"ab\\1.e-]{0,24}"#) {
            let finder = Finder::new(JsonPath::parse("$.a.b").unwrap());
            // A tree also refuses numbers that no f64 holds, and halves of surrogate pairs where nobody looks.
            if let Some(found) = by_tree("$.a.b", &text) {
                prop_assert_eq!(finder.first(&text), Some(found));
            }
        }
    }

    #[test]
    fn fields_are_picked_from_objects() {
        let text = br#"{"id":1,"x":{"id":2},"name":"n"}"#;
        assert_eq!(fields(text, |n| n == "x"), Some(serde_json::json!({"x": {"id": 2}})));
        assert_eq!(fields(text, |_| false), Some(serde_json::json!({})));
        assert_eq!(fields(b"[1]", |_| true), None);
        assert_eq!(fields(b"{\"a\":1", |_| true), None);
    }
}
