//! The agent's handle: what a service holds and asks for meters.
//!
//! Owns the set of meters and the order in which things end. Starting is `builder`'s business.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::probe::Batch;
use timeline::units::Unit;
use tokio::runtime::Handle;

use crate::broker::{BrokerMeter, BrokerState, Brokers};
use crate::builder::Builder;
use crate::cache::{CacheMeter, CacheState, Caches};
use crate::counts::{Count, CountState, Counts};
use crate::database::{Database, DatabaseMeter, DatabaseState};
use crate::downstream::{DownstreamMeter, DownstreamState, Downstreams};
use crate::draft::Collect;
use crate::endpoint::{self, Served};
use crate::gauge::{Gauge, GaugeState, Gauges};
use crate::heap::Heap;
use crate::listeners::{ListenerState, Listeners};
use crate::offload::{self, Offload};
use crate::pauses::{PauseState, Pauses};
use crate::pool::{PoolMeter, PoolState, Pools};
use crate::process::Process;
use crate::registry::Registry;
use crate::sections::StopTheWorld;
use crate::server::{InFlight, Server, ServerState};
use crate::threads::Threads;

/// Every meter of the process.
#[derive(Debug)]
pub(crate) struct Meters {
    pools: Arc<Registry<PoolState>>,
    offload: Arc<Registry<PoolState>>,
    database: Arc<DatabaseState>,
    caches: Arc<Registry<CacheState>>,
    brokers: Arc<Registry<BrokerState>>,
    downstreams: Arc<Registry<DownstreamState>>,
    gauges: Arc<Registry<GaugeState>>,
    counts: Arc<Registry<CountState>>,
    listeners: Arc<ListenerState>,
    server: Arc<ServerState>,
    /// Hiccups, stalls and sections.
    pub(crate) pauses: Arc<PauseState>,
}

impl Meters {
    pub(crate) fn new(now: MonoNs) -> Self {
        Self {
            pools: Arc::default(),
            offload: Arc::default(),
            database: Arc::default(),
            caches: Arc::default(),
            brokers: Arc::default(),
            downstreams: Arc::default(),
            gauges: Arc::default(),
            counts: Arc::default(),
            listeners: Arc::default(),
            server: Arc::default(),
            pauses: Arc::new(PauseState::new(now.0)),
        }
    }

    /// What the ticker asks each time, in the order in which their lanes are declared.
    pub(crate) fn collectors(&self, age_threshold: Duration) -> Vec<Box<dyn Collect>> {
        vec![
            Box::new(Pauses::new(Arc::clone(&self.pauses))),
            Box::new(Heap::new(age_threshold)),
            Box::new(Process::new()),
            Box::new(Listeners::new(Arc::clone(&self.listeners))),
            Box::new(Server::new(Arc::clone(&self.server))),
            Box::new(Pools::new(Arc::clone(&self.pools))),
            Box::new(Offload::new(Arc::clone(&self.offload))),
            Box::new(Database::new(Arc::clone(&self.database))),
            Box::new(Caches::new(Arc::clone(&self.caches))),
            Box::new(Brokers::new(Arc::clone(&self.brokers))),
            Box::new(Downstreams::new(Arc::clone(&self.downstreams))),
            Box::new(Gauges::new(Arc::clone(&self.gauges))),
            Box::new(Counts::new(Arc::clone(&self.counts))),
        ]
    }
}

/// What runs behind the handles. Dropped: threads are stopped and waited for.
pub(crate) struct Running {
    addr: SocketAddr,
    threads: Arc<Threads>,
    served: Arc<Served>,
    /// Every meter.
    pub(crate) meters: Meters,
}

impl Running {
    pub(crate) const fn new(
        addr: SocketAddr,
        threads: Arc<Threads>,
        served: Arc<Served>,
        meters: Meters,
    ) -> Self {
        Self { addr, threads, served, meters }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.threads.ask();
        self.meters.pauses.unwatch();
        endpoint::knock(self.addr);
        self.served.hang_up();
        self.threads.join();
    }
}

/// The agent of this process; clones are the same agent.
///
/// Dropping the last one stops its threads and its endpoint, which takes a few milliseconds. Meters may
/// outlive it; they then count for nobody.
#[derive(Clone)]
pub struct Agent {
    running: Arc<Running>,
    watching: bool,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("addr", &self.running.addr).finish_non_exhaustive()
    }
}

impl Agent {
    pub(crate) fn new(running: Running, watching: bool) -> Self {
        Self { running: Arc::new(running), watching }
    }

    /// Describes an agent of the service called `service`.
    #[must_use]
    pub fn builder(service: &str) -> Builder {
        Builder::new(service)
    }

    /// Where the probe listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// The meter of the pool called `name`; made with `capacity` places on first use.
    #[must_use]
    pub fn pool(&self, name: &str, capacity: usize) -> PoolMeter {
        PoolMeter::new(self.running.meters.pools.get(name, || PoolState::new(capacity)))
    }

    /// The meter of the offload pool, of which a process has one; made with `threads` places on first use.
    #[must_use]
    pub fn offload(&self, threads: usize) -> PoolMeter {
        PoolMeter::new(self.running.meters.offload.get(offload::ONLY, || PoolState::new(threads)))
    }

    /// The meter of the database, of which a process has one.
    #[must_use]
    pub fn database(&self) -> DatabaseMeter {
        DatabaseMeter::new(Arc::clone(&self.running.meters.database))
    }

    /// The meter of the cache called `name`.
    #[must_use]
    pub fn cache(&self, name: &str) -> CacheMeter {
        CacheMeter::new(self.running.meters.caches.get(name, CacheState::default))
    }

    /// The meter of the broker's topic called `name`.
    #[must_use]
    pub fn broker(&self, name: &str) -> BrokerMeter {
        BrokerMeter::new(self.running.meters.brokers.get(name, BrokerState::default))
    }

    /// The meter of the called service called `name`.
    #[must_use]
    pub fn downstream(&self, name: &str) -> DownstreamMeter {
        DownstreamMeter::new(self.running.meters.downstreams.get(name, DownstreamState::default))
    }

    /// A request for `route` is in its handler until the result is dropped. What it asks of the database is seen only
    /// [around](InFlight::around) its work.
    #[must_use]
    pub fn request(&self, route: &'static str) -> InFlight {
        InFlight::new(self.watching.then_some(&self.running.meters.server), route)
    }

    /// The gauge whose lane is called `name`; `unit` counts on first use.
    #[must_use]
    pub fn gauge(&self, name: &'static str, unit: Unit) -> Gauge {
        Gauge::new(self.running.meters.gauges.get(name, || GaugeState::new(unit)))
    }

    /// Like [`Self::gauge`], for a level that does not add up over processes: the worst of them speaks for all.
    #[must_use]
    pub fn gauge_of_worst(&self, name: &'static str, unit: Unit) -> Gauge {
        Gauge::new(self.running.meters.gauges.get(name, || GaugeState::of_worst(unit)))
    }

    /// The count whose lane, a rate, is called `name`; `unit`, that of the rate, counts on first use.
    #[must_use]
    pub fn count(&self, name: &'static str, unit: Unit) -> Count {
        Count::new(self.running.meters.counts.get(name, || CountState::new(unit)))
    }

    /// Tells how many connections wait to be accepted at `socket`, which listens.
    pub fn watch_listener(&self, socket: &impl AsFd) {
        self.running.meters.listeners.watch(socket);
    }

    /// Watches `runtime` with a task of its own on it, until the agent or the runtime ends.
    ///
    /// The runtime needs its time driver (`enable_time` or `enable_all`) and must be driven: a loop that nobody
    /// runs looks like one that does not come back. Watch each runtime once.
    pub fn watch_loop(&self, runtime: &Handle) {
        if self.watching {
            self.running.meters.pauses.watch(runtime);
        }
    }

    /// The target stops its own work, to do `what`, until the result is dropped.
    #[must_use]
    pub fn stop_the_world(&self, what: &'static str) -> StopTheWorld {
        StopTheWorld::begin(Arc::clone(&self.running.meters.pauses.sections), what)
    }

    /// All ticks after number `since` that are still kept: what the endpoint serves, for readers inside the process.
    #[must_use]
    pub fn batch(&self, since: u64) -> Batch {
        self.running.served.batch(since)
    }
}
