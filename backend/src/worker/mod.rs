//! A worker process: one event loop that serves the shop, and obeys its supervisor.
//!
//! Like a Node.js process it has a single thread for all its connections; what takes CPU or
//! waits for the disk goes to the blocking pool. Owns the order of starting and ending.

mod left_behind;
mod orders;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent::Agent;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::error::BackendError;
use crate::faults::{Faults, Levers, TruthLog, starved_poll, stop_the_world};
use crate::http::{self, BACKLOG};
use crate::shop::{self, Shop};
use crate::store::Database;
use crate::wire::{Report, WorkerSettings};
use orders::Orders;

/// Threads for statements and hashes: a connection each, and a few more; and those of the offload pool, which wait for
/// statements and so must never take the last one. They come when they are needed.
const BLOCKING_THREADS: usize = 32;
/// Requests in flight get this long when the worker ends; the supervisor waits a little longer.
pub const GRACE: Duration = Duration::from_millis(1_500);
/// From look to look at what has expired.
const TIDY: Duration = Duration::from_secs(1);
/// Reports that wait for the supervisor to read them.
const REPORTS: usize = 256;

/// Serves until the supervisor says so, or is gone. Blocks; call it from `main`'s own thread.
///
/// # Errors
/// When it was not started by a supervisor, or cannot start; the supervisor is told, too.
pub fn work() -> Result<(), BackendError> {
    let orders = orders::first()?;
    let settings = orders.settings.clone();
    left_behind::die_with_parent(settings.supervisor)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS + settings.shop.offload_threads)
        .build()
        .map_err(BackendError::system("start the event loop"))?;
    let done = runtime.block_on(live(orders, &settings));
    if let Err(e) = &done {
        orders::tell_failure(&e.to_string());
    }
    // A statement may still run; it may not keep the process.
    runtime.shutdown_background();
    done
}

async fn live(orders: Orders, settings: &WorkerSettings) -> Result<(), BackendError> {
    let agent = Agent::builder("shop")
        .instance(&settings.name)
        .generation(settings.generation)
        .token(settings.token.clone())
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .start()?;
    agent.watch_loop(&tokio::runtime::Handle::current());
    let (report, reports) = mpsc::channel(REPORTS);
    let (drain, draining) = watch::channel(false);
    let faults = Arc::new(Faults::new(&TruthLog::new(&settings.name, report.clone())));
    let meter = agent.pool("db", settings.shop.pool_capacity);
    let database = Arc::new(Database::new(settings.database.clone(), &settings.shop, meter, faults.clone()));
    let shop = Arc::new(Shop::new(
        agent.clone(),
        database.clone(),
        faults.clone(),
        &settings.shop,
        draining.clone(),
    ));
    database.open_all().await.map_err(|e| failed(settings, &e))?;
    let listener = listen(settings.listen)?;

    let mut tasks = JoinSet::new();
    tasks.spawn(orders::tell(reports));
    tasks.spawn(tidy(shop.clone()));
    tasks.spawn(stop_the_world::keep(shop.clone()));
    let ranked = shop.clone();
    tasks.spawn(async move { starved_poll::keep(&ranked.ranking, &ranked.faults).await });
    let feed = shop.clone();
    tasks.spawn(async move {
        if let Err(e) = feed.feed.run(&feed.database).await {
            eprintln!("shop: no live feed: {e}");
        }
    });
    // Only now: who hears it may send requests.
    let _ = report.send(Report::Ready(agent.addr())).await;
    let mut server = JoinSet::new();
    server.spawn(http::serve(listener, shop::router(shop.clone()), draining, GRACE));
    orders.obey(Levers::new(faults, shop.clone()), report).await;
    // Both hear of it at once: connections finish what they do, and listeners are told to go.
    let _ = drain.send(true);
    shop.feed.close();
    server.join_next().await;
    tasks.shutdown().await;
    Ok(())
}

fn failed(settings: &WorkerSettings, why: &dyn std::fmt::Display) -> BackendError {
    BackendError::Worker { name: settings.name.clone(), why: why.to_string() }
}

/// The shared port: the kernel gives each new connection to one of the listening workers.
fn listen(address: SocketAddr) -> Result<TcpListener, BackendError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    socket
        .and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        })
        .map_err(BackendError::listen(address))
}

/// Each connection is a descriptor, and the soft limit is often 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused: then the soft limit stays what it was, and the agent shows it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

async fn tidy(shop: Arc<Shop>) {
    let mut ticks = tokio::time::interval(TIDY);
    loop {
        ticks.tick().await;
        shop.products.tidy().await;
    }
}
