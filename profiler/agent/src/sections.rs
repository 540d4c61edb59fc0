//! Stop-the-world sections: stretches in which the target stops its own work on purpose.
//!
//! Owns the guard that the target holds during one, and those that are over since the last tick.

use std::sync::{Arc, Mutex};

use timeline::clock::MonoNs;
use timeline::event::{LABEL_MAX, kinds};
use timeline::probe::ProbeEvent;
use timeline::text::clean;

use crate::stretch::Stretch;
use crate::tally::lock;
use crate::top::Top;

/// Most sections told in one tick; longer ones go first.
const MOST_EVENTS: usize = 16;
/// Most sections watched while they are open; more are told when they end.
const MOST_OPEN: usize = 64;

/// Sections open and over.
#[derive(Debug)]
pub(crate) struct Sections {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    open: Vec<u64>,
    over: Top<(Stretch, &'static str)>,
    longest: u64,
}

impl Default for Sections {
    fn default() -> Self {
        let inner = Inner { open: Vec::new(), over: Top::new(MOST_EVENTS), longest: 0 };
        Self { inner: Mutex::new(inner) }
    }
}

impl Sections {
    fn begin(&self, now: u64) {
        let mut inner = lock(&self.inner);
        if inner.open.len() < MOST_OPEN {
            inner.open.push(now);
        }
    }

    fn end(&self, what: &'static str, stretch: Stretch) {
        let mut inner = lock(&self.inner);
        if let Some(n) = inner.open.iter().position(|&s| s == stretch.start) {
            inner.open.swap_remove(n);
        }
        inner.longest = inner.longest.max(stretch.length());
        inner.over.offer(stretch.length() as f64, || (stretch, what));
    }

    /// The longest that lasted or ended since the last call, ns, and those that ended.
    pub(crate) fn take(&self, now: u64) -> (u64, (Vec<ProbeEvent>, u64)) {
        let mut inner = lock(&self.inner);
        let open = inner.open.iter().map(|&start| now.saturating_sub(start)).max().unwrap_or(0);
        let longest = std::mem::take(&mut inner.longest).max(open);
        let (over, others) = inner.over.take();
        (longest, (over.into_iter().map(|(s, what)| event(s, what)).collect(), others))
    }
}

fn event(stretch: Stretch, what: &str) -> ProbeEvent {
    let labels = vec![("what".to_owned(), clean(what, LABEL_MAX))];
    ProbeEvent { labels, ..stretch.event(kinds::PAUSE_STOP_THE_WORLD) }
}

/// A section in which the target stops its own work. Dropped: it is over, and becomes an event.
#[derive(Debug)]
pub struct StopTheWorld {
    sections: Arc<Sections>,
    what: &'static str,
    since: MonoNs,
}

impl StopTheWorld {
    pub(crate) fn begin(sections: Arc<Sections>, what: &'static str) -> Self {
        let since = MonoNs::now();
        sections.begin(since.0);
        Self { sections, what, since }
    }
}

impl Drop for StopTheWorld {
    fn drop(&mut self) {
        self.sections.end(self.what, Stretch { start: self.since.0, end: MonoNs::now().0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_counts_while_it_lasts_and_is_an_event_when_it_ends() {
        let sections = Sections::default();
        sections.begin(100);
        let (longest, events) = sections.take(400);
        assert_eq!((longest, events.0.len()), (300, 0));
        sections.end("compaction", Stretch { start: 100, end: 900 });
        let (longest, (events, others)) = sections.take(1_000);
        assert_eq!((longest, others), (800, 0));
        assert_eq!((events[0].start, events[0].end), (100, 900));
        assert_eq!(events[0].labels, [("what".to_owned(), "compaction".to_owned())]);
        assert_eq!(sections.take(2_000).0, 0);
    }
}
