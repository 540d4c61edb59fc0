//! Functions as V8 names them in a profile.
//!
//! Owns how one is shown, and whose doing a stack is. The tree that a profile puts them in is each profile's business.

use std::rc::Rc;

use serde::{Deserialize, Deserializer};
use timeline::event::LABEL_MAX;
use timeline::text::clean;

/// Most bytes that are kept of a function's name, and of the end of its file's.
const MAX_NAME: usize = 256;

/// Most nodes of a profile that are looked at, and frames of a stack.
pub(super) const MAX_NODES: usize = 50_000;
pub(super) const MAX_FRAMES: usize = 200;
/// Most stacks of one: those with the most.
pub(super) const MAX_STACKS: usize = 5_000;

/// A function, one of a stack; many stacks share it.
pub(super) type Shared = Rc<Frame>;

/// A function.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame {
    #[serde(deserialize_with = "beginning")]
    function_name: String,
    #[serde(deserialize_with = "end")]
    url: String,
    /// From 0; -1 where there is none.
    line_number: i64,
}

impl Frame {
    /// `name (folder/file.js:17)`, without what would end a frame.
    pub fn shown(&self) -> String {
        let name = if self.function_name.is_empty() { "anonymous" } else { &self.function_name };
        let line = self.line_number.saturating_add(1);
        let path: Vec<&str> = self.url.trim_start_matches("file://").rsplit('/').take(2).collect();
        let place = match path.as_slice() {
            [] | [""] => String::new(),
            [file] => format!(" ({file}:{line})"),
            [file, folder, ..] => format!(" ({folder}/{file}:{line})"),
        };
        clean(&format!("{name}{place}"), LABEL_MAX).replace(';', ",")
    }

    /// The tree's root, or time in which nothing ran.
    pub fn is_idle(&self) -> bool {
        self.function_name == "(idle)" || self.function_name == "(root)"
    }

    fn is_runtimes(&self) -> bool {
        self.url.is_empty() || self.url.starts_with("node:") || self.url.starts_with("ext:")
    }
}

/// A function that comes once and lies in many stacks.
pub(super) fn shared<'de, D: Deserializer<'de>>(from: D) -> Result<Shared, D::Error> {
    Frame::deserialize(from).map(Rc::new)
}

/// The beginning of a text that may be of any length.
fn beginning<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let mut text = String::deserialize(from)?;
    text.truncate(text.floor_char_boundary(MAX_NAME));
    text.shrink_to_fit();
    Ok(text)
}

/// Its end: which folder and file it is.
fn end<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text[text.ceil_char_boundary(text.len().saturating_sub(MAX_NAME))..].to_owned())
}

/// Whose doing it is: the innermost function of the process's own code, else of a library; a collection is nobody's.
pub(super) fn responsible(frames: &[Shared]) -> Option<String> {
    let own = frames.iter().rev().filter(|f| !f.is_runtimes());
    let mut libraries = own.clone();
    let own = own.clone().find(|f| !f.url.contains("/node_modules/"));
    own.or_else(|| libraries.next()).map(|f| f.shown())
}
