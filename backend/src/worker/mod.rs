//! A worker process: one event loop that serves the shop, or the services that it uses, and obeys its supervisor.
//!
//! Like a Node.js process it has a single thread for all its connections; what takes CPU or
//! waits for the disk goes to the blocking pool. Owns the order of starting and ending.

mod left_behind;
mod orders;
mod socket;

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use agent::Agent;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::broker::{self, Publisher, outbox, rabbit};
use crate::cache::chores;
use crate::downstream::Downstream;
use crate::error::BackendError;
use crate::faults::{Faults, Levers, TruthLog, cold_cache, fd_exhausted, starved_poll, stop_the_world};
use crate::http::{self, Stage};
use crate::say::say;
use crate::services::{self, Consumers, Desk, Services};
use crate::shop::entrance::Door;
use crate::shop::neighbours::Neighbours;
use crate::shop::product_cache::ProductCache;
use crate::shop::{self, Parts, Shop};
use crate::store::{self, Database};
use crate::wire::{Broker, Report, Role, WorkerSettings};
use orders::{Ending, Orders};

/// Threads for statements and hashes: one for each connection, and the others for log-ins that hash at once. They come when
/// they are needed; the offload pool, whose tasks wait for statements, has threads of its own.
const BLOCKING_THREADS: usize = 56;
/// Requests in flight get this long when the worker ends; the supervisor waits a little longer.
pub const GRACE: Duration = Duration::from_millis(1_500);
/// A worker that is relieved serves open connections for so long: a client that sends a request within it is asked to
/// leave with the answer, so only connections that were idle all the while are closed on it.
const LEAVING: Duration = Duration::from_secs(15);
/// What is in flight after that is finished within this, and cut off then: a client that never comes to an end may not
/// keep the process for ever.
const EMPTYING: Duration = Duration::from_secs(600);
/// How long a call to another service may take.
pub const CALL_PATIENCE: Duration = Duration::from_secs(5);
/// From look to look at what has expired: often enough for the lanes to tell an instant from a while.
const TIDY: Duration = Duration::from_millis(250);
/// Looks from one reading of the list of banned addresses to the next: half a minute.
const BANNED_EVERY: u64 = 120;
/// Reports that wait for the supervisor to read them.
const REPORTS: usize = 256;

/// Serves until the supervisor says so, or is gone. Blocks; call it from `main`'s own thread.
///
/// # Errors
/// When it was not started by a supervisor, or cannot start; the supervisor is told, too.
pub fn work() -> Result<(), BackendError> {
    let listeners = socket::receive().map_err(|e| BackendError::NoSupervisor(e.to_string()))?;
    let orders = orders::first()?;
    let settings = orders.settings.clone();
    left_behind::die_with_parent(settings.supervisor)?;
    fd_exhausted::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(BackendError::system("start the event loop"))?;
    let done = runtime.block_on(live(orders, &settings, listeners));
    if let Err(e) = &done {
        orders::tell_failure(&e.to_string());
    }
    // A statement may still run; it may not keep the process.
    runtime.shutdown_background();
    done
}

async fn live(
    orders: Orders,
    settings: &WorkerSettings,
    mut listeners: Vec<StdTcpListener>,
) -> Result<(), BackendError> {
    let service = if settings.role == Role::Shop { "shop" } else { "services" };
    let agent = Agent::builder(service)
        .instance(&settings.name)
        .generation(settings.generation)
        .token(settings.token.clone())
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .watching(settings.shop.watched)
        .start()?;
    agent.watch_loop(&tokio::runtime::Handle::current());
    let (report, reports) = mpsc::channel(REPORTS);
    let mut tasks = JoinSet::new();
    tasks.spawn(orders::tell(reports));
    let (say_stage, stage) = watch::channel(Stage::Open);
    let faults = Arc::new(Faults::new(&TruthLog::new(&settings.name, report.clone())));
    let mut server = JoinSet::new();
    let refused = BackendError::system("listen");
    let shop = match settings.role {
        Role::Shop => {
            let neighbours = Neighbours::new(report.clone());
            let shop =
                open_shop(&agent, settings, faults.clone(), neighbours, stage.clone(), &mut tasks).await?;
            let door = Door::new(listeners, shop.clone()).map_err(refused)?;
            server.spawn(http::serve(door, shop::routes(shop.clone()), shop::secure, stage, GRACE));
            Some(shop)
        }
        Role::Services => {
            let router = open_services(&agent, settings, faults.clone(), &mut tasks);
            let listener = listeners.remove(0);
            let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
            server.spawn(http::serve(listener.map_err(refused)?, router, |_| {}, stage, GRACE));
            None
        }
    };
    // Only now: who hears it may send requests.
    let _ = report.send(Report::Ready(agent.addr())).await;
    end_slowly(
        orders,
        Levers::new(faults, shop.clone(), settings.holds.clone()),
        report,
        &say_stage,
        &mut server,
    )
    .await;
    // Both hear of it at once: connections finish what they do, and listeners are told to go.
    let _ = say_stage.send(Stage::Ending);
    if let Some(shop) = &shop {
        shop.feed.close();
    }
    server.join_next().await;
    tasks.shutdown().await;
    Ok(())
}

/// Obeys until it is told to end. One that is relieved goes on serving those who are connected, for a while, and what they
/// have in flight then, for a longer one.
async fn end_slowly(
    mut orders: Orders,
    levers: Levers,
    report: mpsc::Sender<Report>,
    say_stage: &watch::Sender<Stage>,
    server: &mut JoinSet<()>,
) {
    let levers = Arc::new(levers);
    if orders.obey(&levers, &report).await == Ending::AtOnce {
        return;
    }
    // First, so that it ends its own faults alone.
    let _ = say_stage.send(Stage::Leaving);
    levers.end_all();
    let _ = report.send(Report::Left).await;
    if let Some(shop) = &levers.shop {
        shop.feed.close();
    }
    let leave = async {
        tokio::time::sleep(LEAVING).await;
        let _ = say_stage.send(Stage::Emptying);
        tokio::time::sleep(EMPTYING).await;
    };
    tokio::select! {
        _ = orders.obey(&levers, &report) => {}
        _ = server.join_next() => {}
        () = leave => {}
    }
}

/// A shop over its stores, with what it does beside answering.
async fn open_shop(
    agent: &Agent,
    settings: &WorkerSettings,
    faults: Arc<Faults>,
    neighbours: Neighbours,
    stage: watch::Receiver<Stage>,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<Shop>, BackendError> {
    let failed = |what: &'static str| {
        move |e: &dyn std::fmt::Display| BackendError::Worker {
            name: settings.name.clone(),
            why: format!("{what}: {e}"),
        }
    };
    let capacity = settings.shop.pool_capacity;
    let meters = store::Meters { pool: agent.pool("db", capacity), database: agent.database() };
    let database = Arc::new(Database::new(settings.database.clone(), &settings.shop, meters, faults.clone()));
    database.open(capacity).await.map_err(|e| failed("database")(&e))?;
    let products =
        ProductCache::open(agent, &settings.cache, database.clone(), faults.clone(), &settings.shop).await;
    let (products, chores) = products.map_err(|e| failed("cache")(&e))?;
    // Nobody else wants a connection yet.
    cold_cache::warm(&products, capacity).await;
    let publisher = publisher(agent, settings, faults.clone());
    let (outbox, relay) = outbox::open(publisher, database.clone(), agent.broker(broker::TOPIC));
    tasks.spawn(relay.run());
    let shop = Arc::new(Shop::new(
        Parts { agent: agent.clone(), database, products, outbox, faults, neighbours, stage },
        settings,
    ));
    if settings.is_first() {
        tasks.spawn(store::watch_server(shop.database.clone(), agent.database()));
    }
    tasks.spawn(tidy(shop.clone()));
    let cached = shop.clone();
    tasks.spawn(async move { chores::keep(&cached.products, chores).await });
    tasks.spawn(cold_cache::keep(shop.clone()));
    tasks.spawn(stop_the_world::keep(shop.clone()));
    let ranked = shop.clone();
    tasks.spawn(async move { starved_poll::keep(&ranked.ranking, &ranked.faults).await });
    let feed = shop.clone();
    tasks.spawn(async move {
        if let Err(e) = feed.feed.run(&feed.database, &feed.agent).await {
            say(format_args!("shop: no live feed: {e}"));
        }
    });
    Ok(shop)
}

fn publisher(agent: &Agent, settings: &WorkerSettings, faults: Arc<Faults>) -> Publisher {
    match &settings.broker {
        Broker::Services => {
            let meter = agent.downstream("events");
            let (to, token) = (settings.services, &settings.token);
            Publisher::Services(Downstream::new(to, token, meter, CALL_PATIENCE, faults))
        }
        Broker::Rabbit { url, prefix } => {
            Publisher::Rabbit(rabbit::Publisher::new(url.clone(), prefix.clone(), services::NAMES))
        }
    }
}

/// The services, with those who consume events.
fn open_services(
    agent: &Agent,
    settings: &WorkerSettings,
    faults: Arc<Faults>,
    tasks: &mut JoinSet<()>,
) -> Router {
    let services = Arc::new(Services::new(faults));
    let (queues, consumers) = Consumers::new(services.clone(), agent.broker(broker::TOPIC));
    tasks.spawn(consumers.run(settings.broker.clone(), queues.clone()));
    services::router(Desk { services, queues, token: settings.token.as_str().into() })
}

async fn tidy(shop: Arc<Shop>) {
    let mut ticks = tokio::time::interval(TIDY);
    // A cache that does not answer holds one up for longer than a tick.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        ticks.tick().await;
        shop.products.tidy().await;
        if tick.is_multiple_of(BANNED_EVERY) {
            // It fails when the database does, which is said elsewhere.
            let _ = shop.entrance.read_banned(&shop.database).await;
        }
    }
}
