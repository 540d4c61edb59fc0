//! The document itself: JSON or YAML, its version, and what a `$ref` in it means.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::import::url::decode;
use crate::mistake::{Wrong, quoted};

/// How many references may lead to one another.
const REFS_MAX: usize = 16;
const BOM: &str = "\u{FEFF}";

/// A description that was read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Value,
    /// References that could not be followed; whoever asked may have gone on without.
    lost: RefCell<BTreeSet<String>>,
}

impl Document {
    /// Reads JSON or YAML of a supported version.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        let look = "OpenAPI 3.0 or 3.1, as JSON or YAML";
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let line = crate::files::line_of(e, bytes);
            Wrong::new(format!("line {line}: this is not UTF-8 text")).expected(look)
        })?;
        let text = text.strip_prefix(BOM).unwrap_or(text);
        let root: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|e| {
                Wrong::new(format!("line {}, column {}: {e}", e.line(), e.column())).expected(look)
            })?
        } else {
            yaml(text).map_err(|wrong| wrong.expected(look))?
        };
        match root["openapi"].as_str() {
            Some(v) if v.starts_with("3.") => Ok(Self { root, lost: RefCell::default() }),
            Some(v) => Err(Wrong::new(format!("openapi: version {} is not read", quoted(v))).expected(look)),
            None if root.get("swagger").is_some() => {
                let wrong = Wrong::new("swagger: this is Swagger 2.0").expected(look);
                Err(wrong.help("convert it first, for instance with `npx swagger2openapi`"))
            }
            None => Err(Wrong::new("`openapi` is missing at the top").expected(look)),
        }
    }

    /// A table at the top of the document.
    pub(super) fn object(&self, name: &str) -> Result<&Map<String, Value>, Wrong> {
        self.root[name].as_object().ok_or_else(|| {
            Wrong::new(format!("`{name}` is missing"))
                .expected(format!("`{name}` with an entry for each path"))
        })
    }

    /// What a value stands for: itself, or what its `$ref` leads to. `place` is where it stands.
    pub(super) fn resolve<'d>(&'d self, value: &'d Value, place: &str) -> Result<&'d Value, Wrong> {
        let mut value = value;
        for _ in 0..REFS_MAX {
            let Some(link) = value["$ref"].as_str() else { return Ok(value) };
            // Behind `#` stands a piece of an address: what may not stand there is percent-encoded (RFC 6901, 6).
            let pointer = link.strip_prefix('#').map(|pointer| decode(pointer, false));
            let found = pointer.and_then(|pointer| self.root.pointer(&pointer));
            value = found.ok_or_else(|| {
                self.lost.borrow_mut().insert(link.to_owned());
                let wrong = Wrong::new(format!("{place}: {} leads nowhere", quoted(link)));
                wrong.expected("a reference inside this file, such as \"#/components/schemas/Pet\"")
            })?;
        }
        self.lost.borrow_mut().extend(value["$ref"].as_str().map(str::to_owned));
        Err(Wrong::new(format!("{place}: its references go in a circle")).expected("a reference that ends"))
    }

    /// The references that could not be followed since this was last asked.
    pub(super) fn lost(&self) -> BTreeSet<String> {
        self.lost.take()
    }
}

/// YAML 1.2, as OpenAPI demands: `y`, `NO` and `01234` are texts there, which 1.1 took for other things.
fn yaml(text: &str) -> Result<Value, Wrong> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let told = e.to_string();
        let first = told.lines().next().unwrap_or_default().to_owned();
        match e.location() {
            Some(at) => Wrong::new(format!("line {}, column {}: {first}", at.line(), at.column())),
            None => Wrong::new(first),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Document {
        Document::read(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.sentence()))
    }

    #[test]
    fn words_and_codes_of_yaml_stay_texts() {
        let document = read("openapi: 3.0.0\nv: [y, NO, on, 01234, 1_000, 7, 0.5, true, 0, -1, ~]\n");
        let all = json!(["y", "NO", "on", "01234", "1_000", 7, 0.5, true, 0, -1, null]);
        assert_eq!(document.root["v"], all);
    }

    #[test]
    fn references_are_decoded() {
        let document = read("openapi: 3.0.0\npaths: { '/users/{id}': { get: { x: 1 } } }\n");
        let link = json!({ "$ref": "#/paths/~1users~1%7Bid%7D/get" });
        assert_eq!(document.resolve(&link, "here").ok(), Some(&json!({ "x": 1 })));
        assert!(document.lost().is_empty());
        let nowhere = json!({ "$ref": "#/nowhere" });
        assert!(document.resolve(&nowhere, "here").is_err());
        assert_eq!(document.lost().into_iter().collect::<Vec<_>>(), ["#/nowhere"]);
        assert!(document.lost().is_empty());
    }
}
