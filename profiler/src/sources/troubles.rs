//! Troubles: a source that fails says so once, and once more when it fails otherwise or answers again.
//!
//! Owns what was said already, and the event that detectors read. What counts as a failure is the source's to say.

use std::collections::BTreeSet;
use std::fmt::Display;

use timeline::MonoNs;
use timeline::event::kinds;

use super::{Sink, SourceEvent};

/// Most different sentences of one source: a few kinds of failure exist, but their words may vary.
const MOST_SAID: usize = 16;
/// What was said of one thing that is read.
pub(super) struct Troubles {
    source: &'static str,
    /// How the last reading failed, if it did: one word for detectors.
    state: Option<&'static str>,
    said: BTreeSet<String>,
}

impl Troubles {
    pub fn new(source: &'static str) -> Self {
        Self { source, state: None, said: BTreeSet::new() }
    }

    /// Did the last reading fail?
    pub fn lasting(&self) -> bool {
        self.state.is_some()
    }

    /// Notes what is wrong with `who`, if it has not been noted before.
    pub fn say(&mut self, who: &str, what: &dyn Display, sink: &mut dyn Sink) {
        let text = format!("{who}: {what}");
        if self.said.len() < MOST_SAID && self.said.insert(text.clone()) {
            sink.remark(self.source, &text);
        }
    }

    /// A reading ended so; `state` is one word for detectors.
    pub fn after<E: Display>(
        &mut self,
        who: &str,
        read: Result<(), E>,
        state: fn(&E) -> &'static str,
        sink: &mut dyn Sink,
    ) {
        match read {
            Ok(()) => self.over(who, sink),
            Err(e) => self.began(who, state(&e), &e, sink),
        }
    }

    /// A reading failed; `state` is one word for detectors.
    pub fn began(&mut self, who: &str, state: &'static str, what: &dyn Display, sink: &mut dyn Sink) {
        // Whoever stood still at first may have ended since.
        if self.state.replace(state) != Some(state) {
            tell(self.source, who, state, sink);
        }
        self.say(who, what, sink);
    }

    /// A reading succeeded.
    pub fn over(&mut self, who: &str, sink: &mut dyn Sink) {
        if self.state.take().is_some() {
            tell(self.source, who, "back", sink);
            sink.note(self.source, &format!("{who}: answers again"));
        }
    }
}

/// The state of `source` for `instance` has changed.
pub(super) fn tell(source: &str, instance: &str, what: &str, sink: &mut dyn Sink) {
    let now = MonoNs::now();
    sink.event(SourceEvent {
        kind: kinds::SOURCE.to_owned(),
        instance: instance.to_owned(),
        start: now,
        end: now,
        labels: vec![("source".to_owned(), source.to_owned()), ("what".to_owned(), what.to_owned())],
        value: 0.0,
        others: 0,
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::Keeping;
    use super::*;

    #[test]
    fn how_it_fails_is_told_whenever_that_changes() {
        let (mut troubles, mut told) = (Troubles::new("redis"), Keeping::default());
        for state in ["silent", "silent", "refused", "refused"] {
            troubles.began("redis-1", state, &state, &mut told);
        }
        troubles.over("redis-1", &mut told);
        troubles.over("redis-1", &mut told);
        let states: Vec<&str> = told.events.iter().map(|e| e.labels[1].1.as_str()).collect();
        assert_eq!(states, ["silent", "refused", "back"]);
        assert_eq!(told.remarks, ["redis-1: silent", "redis-1: refused"]);
        assert!(!troubles.lasting());
    }
}
