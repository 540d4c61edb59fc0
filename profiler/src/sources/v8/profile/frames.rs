//! Functions as V8 names them in a profile.
//!
//! Owns how one is shown, and whose doing a stack is. The tree that a profile puts them in is each profile's business.

use serde::Deserialize;
use timeline::event::LABEL_MAX;
use timeline::text::clean;

/// Most nodes of a profile that are looked at, and frames of a stack.
pub(super) const MAX_NODES: usize = 50_000;
pub(super) const MAX_FRAMES: usize = 200;

/// A function.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame {
    function_name: String,
    url: String,
    /// From 0; -1 where there is none.
    line_number: i64,
}

impl Frame {
    /// `name (folder/file.js:17)`, without what would end a frame.
    pub fn shown(&self) -> String {
        let name = if self.function_name.is_empty() { "anonymous" } else { &self.function_name };
        let path: Vec<&str> = self.url.trim_start_matches("file://").rsplit('/').take(2).collect();
        let place = match path.as_slice() {
            [] | [""] => String::new(),
            [file] => format!(" ({file}:{})", self.line_number + 1),
            [file, folder, ..] => format!(" ({folder}/{file}:{})", self.line_number + 1),
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

/// Whose doing it is: the innermost function of the process's own code, else of a library; a collection is nobody's.
pub(super) fn responsible(frames: &[Frame]) -> Option<String> {
    let own = frames.iter().rev().filter(|f| !f.is_runtimes());
    let mut libraries = own.clone();
    let own = own.clone().find(|f| !f.url.contains("/node_modules/"));
    own.or_else(|| libraries.next()).map(Frame::shown)
}
