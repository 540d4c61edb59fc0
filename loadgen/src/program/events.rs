//! Steps on an event stream, made ready.

use std::rc::Rc;

use scenarios::plan;

use super::{Awaited, BadPlan, Compiler, Judging, awaited, finder};
use crate::http::stream;
use crate::scan::Finder;
use crate::sse::EVENT_MAX;
use crate::template::Text;

/// The opening of an event stream.
#[derive(Debug)]
pub struct OpenEvents {
    /// Which step.
    pub id: usize,
    /// Head up to the end.
    pub head: Text,
    /// Longest event, bytes of its lines.
    pub max_event: u32,
    /// Where an event's timestamp is; shared by all streams.
    pub push_age: Option<Rc<Finder>>,
    /// Is it opened again when it ends?
    pub reconnect: bool,
}

/// The wait for an event.
#[derive(Debug)]
pub struct AwaitEvent {
    /// Which step.
    pub id: usize,
    /// Its type; none: any.
    pub kind: Option<String>,
    /// What must hold of its data.
    pub what: Option<Awaited>,
    /// What is looked into of it beyond that; none: nothing.
    pub judging: Option<Box<Judging>>,
    /// Time limit, ns.
    pub within_ns: u64,
}

impl AwaitEvent {
    /// The text with holes that is compared with.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        self.what.as_ref().and_then(Awaited::text)
    }
}

impl Compiler<'_> {
    pub(super) fn open_events(&self, e: &plan::OpenEvents) -> Result<OpenEvents, BadPlan> {
        let mut head = self.head("GET", &e.path, &e.headers);
        let given = |name: &str| e.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if !given("accept") {
            head.fixed("Accept: text/event-stream\r\n");
        }
        // As browsers do: a cache between would answer with events of the past.
        if !given("cache-control") {
            head.fixed("Cache-Control: no-cache\r\n");
        }
        if self.transport.compression && !given("accept-encoding") {
            head.fixed(format!("Accept-Encoding: {}\r\n", stream::ACCEPTED));
        }
        head.fixed("\r\n");
        let o = &e.options;
        Ok(OpenEvents {
            id: self.id(e.id)?,
            head,
            max_event: o.max_event.unwrap_or(EVENT_MAX as u32),
            push_age: o.push_age.as_deref().map(finder).transpose()?.map(Rc::new),
            reconnect: o.reconnect,
        })
    }

    pub(super) fn await_event(&self, a: &plan::AwaitEvent) -> Result<AwaitEvent, BadPlan> {
        Ok(AwaitEvent {
            id: self.id(a.id)?,
            kind: a.kind.clone(),
            what: a.what.as_ref().map(awaited).transpose()?,
            judging: Judging::of_message(&a.judgement)?,
            within_ns: a.within_ns.max(1),
        })
    }
}
