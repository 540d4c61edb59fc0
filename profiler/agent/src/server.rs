//! Requests inside the target's handlers, by route.
//!
//! Owns the routes (a bounded number, the rest in `other`), the guard of one request, and the lanes
//! `server.in-flight`, `server.requests`, `server.handler` and `server.db.*`. A request that never ends stays in flight.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use timeline::clock::MonoNs;
use timeline::event::LABEL_MAX;
use timeline::lane::{LaneSpec, names};
use timeline::text::clean;
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::tally::{Tally, lock};
use crate::traffic::{self, Traffic};

/// Most routes that are told apart: a person reads no longer list, and each costs two lanes.
const MOST_ROUTES: usize = 64;
/// Where all further routes are counted.
const OTHER: &str = "other";

#[derive(Debug)]
struct Route {
    name: &'static str,
    finished: Counter,
    handler: Tally,
    database: OnceLock<Database>,
}

/// What the requests of a route ask of the database; only where they ask anything.
#[derive(Debug, Default)]
struct Database {
    statements: Counter,
    repeated: Counter,
    checkouts: Counter,
    time: Tally,
    wall: Tally,
}

impl Database {
    fn add(&self, traffic: &Traffic) {
        self.statements.add(traffic.statements);
        self.repeated.add(traffic.repeated);
        self.checkouts.add(traffic.checkouts);
        self.time.record_ns(traffic.time_ns);
        self.wall.record_ns(traffic.wall_ns);
    }
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
            database: OnceLock::new(),
        });
        self.used.store(used + 1, Ordering::Release);
        used
    }
}

/// A request inside its handler. Dropped: it is finished (or was given up), and its time is recorded.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<ServerState>,
    slot: usize,
    since: MonoNs,
}

impl InFlight {
    pub(crate) fn new(state: &Arc<ServerState>, route: &'static str) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::clone(state), slot: state.slot(route), since: MonoNs::now() }
    }

    /// Does the request's work, and ends with it. What is asked of the database on its task meanwhile is the request's.
    pub async fn around<T>(self, work: impl Future<Output = T>) -> T {
        traffic::around(async move {
            // Dropped last, also when the client is gone: the request then has given back what it took.
            let _request = self;
            work.await
        })
        .await
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(route) = self.state.routes[self.slot].get() {
            route.finished.add(1);
            route.handler.record_ns(MonoNs::now().0.saturating_sub(self.since.0));
            if let Some(traffic) = traffic::take().filter(|t| t.checkouts > 0) {
                route.database.get_or_init(Database::default).add(&traffic);
            }
        }
    }
}

struct RouteLanes {
    requests: LaneNo,
    handler: LaneNo,
    /// Declared when a request of the route has first asked the database.
    database: Option<DatabaseLanes>,
}

#[derive(Clone, Copy)]
struct DatabaseLanes {
    statements: LaneNo,
    repeated: LaneNo,
    checkouts: LaneNo,
    time: LaneNo,
    wall: LaneNo,
}

impl DatabaseLanes {
    fn declare(route: &str, draft: &mut Draft<'_>) -> Self {
        let subject = clean(route, LABEL_MAX);
        let mut declare = |spec: LaneSpec| draft.lanes.declare(spec.about(subject.as_str()));
        let mut rate = |name| declare(LaneSpec::rate(name, "", Unit::PerSecond));
        let (statements, repeated, checkouts) = (
            rate(names::SERVER_DB_STATEMENTS),
            rate(names::SERVER_DB_REPEATED),
            rate(names::SERVER_DB_CHECKOUTS),
        );
        let mut histogram = |name| declare(LaneSpec::histogram(name, ""));
        let (time, wall) = (histogram(names::SERVER_DB_TIME), histogram(names::SERVER_DB_WALL));
        Self { statements, repeated, checkouts, time, wall }
    }

    fn collect(self, database: &Database, draft: &mut Draft<'_>) {
        draft.count(self.statements, &database.statements);
        draft.count(self.repeated, &database.repeated);
        draft.count(self.checkouts, &database.checkouts);
        draft.histogram(self.time, &database.time);
        draft.histogram(self.wall, &database.wall);
    }
}

/// The lanes of the server; none before the first request, since the target may serve none at all.
pub(crate) struct Server {
    state: Arc<ServerState>,
    in_flight: Option<LaneNo>,
    known: Vec<RouteLanes>,
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
            let (requests, handler) = (draft.lanes.declare(rate), draft.lanes.declare(handler));
            self.known.push(RouteLanes { requests, handler, database: None });
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
        for (route, lanes) in self.state.used().zip(&mut self.known) {
            draft.count(lanes.requests, &route.finished);
            draft.histogram(lanes.handler, &route.handler);
            if let Some(database) = route.database.get() {
                let declared =
                    lanes.database.get_or_insert_with(|| DatabaseLanes::declare(route.name, draft));
                declared.collect(database, draft);
            }
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
