//! `parallel`: requests that are sent at once, as a browser fetches what a page needs.

use super::Journey;
use crate::mistake::Wrong;
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{Parallel, Request, Step};

/// Connections that a group uses where nothing is said: what browsers open to one host over HTTP/1.1.
const DEFAULT_CONNECTIONS: u16 = 6;
/// Most connections of a group, and most requests in it.
const MAX_CONNECTIONS: u64 = 64;
const MAX_REQUESTS: usize = 64;
const LOOK: &str =
    "requests such as [{ name = \"style\", get = \"/style.css\" }, { name = \"logo\", get = \"/logo.svg\" }]";

impl Journey<'_, '_> {
    pub(super) fn parallel(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        let reader = self.world.reader;
        let connections = match fields.get("connections") {
            Some(v) => reader.integer(v, 1..=MAX_CONNECTIONS).map(|n| n as u16),
            None => Some(DEFAULT_CONNECTIONS),
        };
        let values = reader.array(what, LOOK, MAX_REQUESTS)?;
        if values.is_empty() {
            reader.wrong(what.span(), Wrong::new("this group does nothing").expected(LOOK));
        }
        let requests: Vec<_> = values.iter().filter_map(|v| self.one_of_group(v)).collect();
        Some(Step::Parallel(Box::new(Parallel { requests, connections: connections? })))
    }

    fn one_of_group(&mut self, value: &Value<'_>) -> Option<Request> {
        let (verb, shape) = self.verb(value)?;
        if !std::ptr::eq(shape, keys::REQUEST) {
            let wrong = Wrong::new(format!("a `{verb}` step cannot stand in a `parallel` group"));
            self.world.reader.wrong(value.span(), wrong.expected(LOOK));
            return None;
        }
        match self.step(value)? {
            Step::Request(request) => Some(*request),
            _ => None,
        }
    }
}
