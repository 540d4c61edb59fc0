//! The supervisor: keeps the workers, holds the port, and answers for them.
//!
//! A request to a port shared by several processes reaches one of them at random; so control and probe
//! have a port of their own, here. Owns the order of starting and ending; workers are [`crew`]'s, each kept alive by a
//! [`keeper`], the control endpoint is [`control`]'s.

mod borrowed;
mod control;
mod crash;
mod crew;
mod frozen;
mod inflicted;
mod keeper;
mod port;
mod process;
mod proxy;
mod truths;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use timeline::MonoNs;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::error::BackendError;
use crate::http::{self, Stage};
use crate::places::CacheUrl;
use crate::settings::{MAX_HISTORY, MAX_WORKERS, SupervisorOptions};
use crate::shop::secure;
use crate::store;
use borrowed::Borrowed;
use control::Controls;
use crew::{Crew, Origin};
#[cfg(test)]
pub use inflicted::is_inflicted;
use truths::Truths;

/// All workers must be there after this; opening connections and binding takes a few dozen milliseconds.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// What the control endpoint may still answer when everything ends.
const CONTROL_GRACE: Duration = Duration::from_millis(300);

/// Starts the workers and keeps them until it is told to end: by SIGTERM or SIGINT, by the control
/// endpoint, or by the end of standard input. Prints one line of JSON when all are ready. Blocks; call it from
/// `main`'s own thread, because workers die with the thread that started them.
///
/// # Errors
/// [`BackendError::PortTaken`] when somebody else listens on an address asked for; others when the system,
/// the database or a worker refuses.
pub fn supervise(options: SupervisorOptions) -> Result<(), BackendError> {
    check(&options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BackendError::system("start the event loop"))?;
    let done = runtime.block_on(run(options));
    runtime.shutdown_background();
    done
}

fn check(options: &SupervisorOptions) -> Result<(), BackendError> {
    if !(1..=MAX_WORKERS).contains(&options.workers) {
        let workers = options.workers;
        return Err(BackendError::Option(format!(
            "{workers} workers asked for, expected 1 to {MAX_WORKERS}"
        )));
    }
    if options.shop.history_rows > MAX_HISTORY {
        let rows = options.shop.history_rows;
        return Err(BackendError::Option(format!("{rows} rows asked for, expected at most {MAX_HISTORY}")));
    }
    let shared = options.stores.cache != CacheUrl::Memory;
    options.shop.cache.check(shared).map_err(BackendError::Option)?;
    if options.token.is_empty() {
        return Err(BackendError::Option("the token of control and probe is empty".to_owned()));
    }
    Ok(())
}

async fn run(options: SupervisorOptions) -> Result<(), BackendError> {
    let mut ends = Ends::listen(options.follow_stdin)?;
    let ports = Ports::open(&options).await?;
    let run = format!("{}_{}", std::process::id(), MonoNs::now().0);
    let borrowed = Borrowed::new(&options.stores, &run);
    let history = options.shop.history_rows;
    let plan = store::Plan { database: options.stores.database, run, history };
    let home = tokio::select! {
        made = store::make(plan) => made?,
        () = ends.asked() => return Ok(()),
    };
    let origin = Origin {
        args: options.worker_args,
        token: options.token,
        // 256 random bits, as HS256 wants (RFC 7518, section 3.2).
        signing_key: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
        database: home.place(),
        cache: borrowed.cache.clone(),
        broker: borrowed.broker.clone(),
        services: ports.services_address,
        shop: options.shop,
    };
    let served = serve(origin, ports, &mut ends).await;
    borrowed.leave().await;
    home.leave().await;
    served
}

/// What it listens on, and where that is.
struct Ports {
    /// One for each worker.
    shop: Vec<StdTcpListener>,
    shop_address: SocketAddr,
    control: TcpListener,
    control_address: SocketAddr,
    services: StdTcpListener,
    services_address: SocketAddr,
}

impl Ports {
    async fn open(options: &SupervisorOptions) -> Result<Self, BackendError> {
        let read = || BackendError::system("read an address");
        let shop = port::listen(options.listen, options.workers)?;
        let control =
            TcpListener::bind(options.control).await.map_err(BackendError::listen(options.control))?;
        let mut services = port::listen((Ipv4Addr::LOCALHOST, 0).into(), 1)?;
        let services = services.pop().expect("one was asked for");
        Ok(Self {
            shop_address: shop[0].local_addr().map_err(read())?,
            shop,
            control_address: control.local_addr().map_err(read())?,
            control,
            services_address: services.local_addr().map_err(read())?,
            services,
        })
    }
}

/// From the first worker's start to the last one's end.
async fn serve(origin: Origin, ports: Ports, ends: &mut Ends) -> Result<(), BackendError> {
    let token = origin.token.clone();
    let truths = Arc::new(Truths::default());
    let crew = Arc::new(Crew::new(origin, ports.services, ports.shop, truths.clone()));
    let (stop_workers, stopping) = watch::channel(false);
    let mut workers = JoinSet::new();
    for keeper in crew.keepers(&stopping) {
        workers.spawn(keeper.keep());
    }
    let started = tokio::select! {
        started = tokio::time::timeout(START_PATIENCE, crew.all_ready()) => match started {
            Ok(started) => started.map(|()| true),
            Err(_) => Err(crew.late()),
        },
        () = ends.asked() => Ok(false),
    };
    if let Ok(true) = started {
        say_ready(ports.shop_address, ports.control_address, &crew);
        let (commands, mut asked) = mpsc::channel(1);
        let (stop_control, control_stage) = watch::channel(Stage::Open);
        let controls = Controls::new(crew.clone(), truths, token, commands);
        let mut serving = JoinSet::new();
        let routes = control::router(controls.clone());
        serving.spawn(http::serve(ports.control, routes, secure, control_stage, CONTROL_GRACE));
        tokio::select! {
            () = ends.asked() => {}
            _ = asked.recv() => {}
        }
        controls.inflicted.end_all().await;
        end_workers(&crew, &stop_workers, &mut workers).await;
        let _ = stop_control.send(Stage::Ending);
        serving.join_next().await;
    } else {
        end_workers(&crew, &stop_workers, &mut workers).await;
    }
    started.map(|_| ())
}

/// Asks the workers to end and waits; those that do not are killed, since dropping their keeper does so.
async fn end_workers(crew: &Crew, stop: &watch::Sender<bool>, workers: &mut JoinSet<()>) {
    crew.close();
    let _ = stop.send(true);
    let all = async { while workers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(crew::END_PATIENCE, all).await;
    workers.shutdown().await;
}

#[derive(Serialize)]
struct ReadyLine {
    ready: Ready,
}

#[derive(Serialize)]
struct Ready {
    url: String,
    probe: String,
    workers: Vec<crew::WorkerLine>,
}

/// Whoever started us waits for this line. If nobody reads it, nobody needs it.
fn say_ready(shop: SocketAddr, control: SocketAddr, crew: &Crew) {
    let ready =
        Ready { url: format!("http://{shop}"), probe: format!("http://{control}"), workers: crew.lines() };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(crate::wire::line(&ReadyLine { ready }).as_bytes());
    let _ = out.flush();
}

/// The ways in which it can be told to end from outside.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    /// Set when standard input is followed.
    input: Option<mpsc::Receiver<()>>,
}

impl Ends {
    fn listen(follow_stdin: bool) -> Result<Self, BackendError> {
        let on = |kind| signal(kind).map_err(BackendError::system("listen for signals"));
        let input = if follow_stdin { Some(end_of_input()?) } else { None };
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())?, input })
    }

    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                // The terminal interrupts the whole group of processes. Whoever holds our input decides
                // what that means: a run wants its target while it drains.
                _ = self.interrupt.recv() => if self.input.is_none() { return },
                () = input_ended(&mut self.input) => return,
            }
        }
    }
}

async fn input_ended(input: &mut Option<mpsc::Receiver<()>>) {
    match input {
        // Nothing is ever sent; the channel closes when the input ends.
        Some(ended) => while ended.recv().await.is_some() {},
        None => std::future::pending().await,
    }
}

/// A thread reads standard input to its end. It ends with the process: nothing can wake it from its read.
fn end_of_input() -> Result<mpsc::Receiver<()>, BackendError> {
    let (open, ended) = mpsc::channel(1);
    let read = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(open);
    };
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(read)
        .map_err(BackendError::system("start a thread"))?;
    Ok(ended)
}
