//! Requests inside the target's handlers, by route.
//!
//! Owns the routes (a bounded number, the rest in `other`), the guard of one request, and the lanes
//! `server.in-flight`, `server.requests` and `server.handler`. A request that never ends stays in flight.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use timeline::clock::MonoNs;
use timeline::event::LABEL_MAX;
use timeline::lane::{LaneSpec, names};
use timeline::text::clean;
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::tally::{Tally, lock};

/// Most routes that are told apart: a person reads no longer list, and each costs two lanes.
const MOST_ROUTES: usize = 64;
/// Where all further routes are counted.
const OTHER: &str = "other";

#[derive(Debug)]
struct Route {
    name: &'static str,
    finished: Counter,
    handler: Tally,
}

/// Routes and what is in flight. Slots are filled in order and never change, so readers need no lock.
#[derive(Debug)]
pub(crate) struct ServerState {
    in_flight: AtomicI64,
    routes: [OnceLock<Route>; MOST_ROUTES + 1],
    used: AtomicUsize,
    adding: Mutex<()>,
}

impl Default for ServerState {
    fn default() -> Self {
        Self {
            in_flight: AtomicI64::new(0),
            routes: [const { OnceLock::new() }; MOST_ROUTES + 1],
            used: AtomicUsize::new(0),
            adding: Mutex::new(()),
        }
    }
}

impl ServerState {
    fn used(&self) -> impl Iterator<Item = &Route> {
        self.routes[..self.used.load(Ordering::Acquire)].iter().filter_map(OnceLock::get)
    }

    /// Index of `name`'s slot.
    fn slot(&self, name: &'static str) -> usize {
        // One literal is mostly one address; comparing that first spares comparing texts.
        self.used()
            .position(|r| std::ptr::eq(r.name, name))
            .or_else(|| self.used().position(|r| r.name == name))
            .unwrap_or_else(|| self.add(name))
    }

    fn add(&self, name: &'static str) -> usize {
        let _adding = lock(&self.adding);
        let used = self.used.load(Ordering::Relaxed);
        if let Some(slot) = self.used().position(|r| r.name == name) {
            return slot;
        }
        if used > MOST_ROUTES {
            return MOST_ROUTES;
        }
        let name = if used == MOST_ROUTES { OTHER } else { name };
        self.routes[used].get_or_init(|| Route {
            name,
            finished: Counter::default(),
            handler: Tally::default(),
        });
        self.used.store(used + 1, Ordering::Release);
        used
    }
}

/// A request inside its handler. Dropped: it is finished (or was given up), and its time is recorded.
#[derive(Debug)]
pub struct InFlight {
    _inside: Option<Inside>,
}

#[derive(Debug)]
struct Inside {
    state: Arc<ServerState>,
    slot: usize,
    since: MonoNs,
}

impl InFlight {
    /// Without a state it is counted nowhere.
    pub(crate) fn new(state: Option<&Arc<ServerState>>, route: &'static str) -> Self {
        let inside = |state: &Arc<ServerState>| {
            state.in_flight.fetch_add(1, Ordering::Relaxed);
            Inside { state: Arc::clone(state), slot: state.slot(route), since: MonoNs::now() }
        };
        Self { _inside: state.map(inside) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(route) = self.state.routes[self.slot].get() {
            route.finished.add(1);
            route.handler.record_ns(MonoNs::now().0.saturating_sub(self.since.0));
        }
    }
}

/// The lanes of the server; none before the first request, since the target may serve none at all.
pub(crate) struct Server {
    state: Arc<ServerState>,
    in_flight: Option<LaneNo>,
    known: Vec<(LaneNo, LaneNo)>,
}

impl Server {
    pub(crate) const fn new(state: Arc<ServerState>) -> Self {
        Self { state, in_flight: None, known: Vec::new() }
    }

    fn declare(&mut self, draft: &mut Draft<'_>) {
        for route in self.state.used().skip(self.known.len()) {
            let subject = clean(route.name, LABEL_MAX);
            let rate = LaneSpec::rate(names::SERVER_REQUESTS, "", Unit::PerSecond).about(subject.as_str());
            let handler = LaneSpec::histogram(names::SERVER_HANDLER, "").about(subject);
            self.known.push((draft.lanes.declare(rate), draft.lanes.declare(handler)));
        }
    }
}

impl Collect for Server {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        self.declare(draft);
        if self.known.is_empty() {
            return;
        }
        let in_flight = *self.in_flight.get_or_insert_with(|| {
            draft.lanes.declare(LaneSpec::level(names::SERVER_IN_FLIGHT, "", Unit::Count))
        });
        draft.level(in_flight, self.state.in_flight.load(Ordering::Relaxed).max(0) as f64);
        for (route, (requests, handler)) in self.state.used().zip(&self.known) {
            draft.count(*requests, &route.finished);
            draft.histogram(*handler, &route.handler);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_past_the_bound_share_one() {
        let state = ServerState::default();
        let names: Vec<&'static str> =
            (0..100).map(|n| &*Box::leak(format!("/r{n}").into_boxed_str())).collect();
        let slots: Vec<usize> = names.iter().map(|n| state.slot(n)).collect();
        assert_eq!(slots[..MOST_ROUTES], (0..MOST_ROUTES).collect::<Vec<_>>());
        assert!(slots[MOST_ROUTES..].iter().all(|&s| s == MOST_ROUTES));
        assert_eq!(state.slot(names[7]), 7);
        // The same text at another address is the same route.
        assert_eq!(state.slot(Box::leak(String::from("/r7").into_boxed_str())), 7);
        assert_eq!(state.used().last().map(|r| r.name), Some(OTHER));
    }
}
