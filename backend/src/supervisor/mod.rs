//! The supervisor: keeps the workers, holds the port, and answers for them.
//!
//! A request to a port shared by several processes reaches one of them at random; so control and probe
//! have a port of their own, here. Owns the order of starting and ending; workers are [`crew`]'s,
//! the control endpoint is [`control`]'s.

mod control;
mod crew;
mod frozen;
mod port;
mod proxy;
mod truths;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::error::BackendError;
use crate::http;
use crate::settings::{MAX_WORKERS, ShopSettings, SupervisorOptions};
use crate::store;
use control::Controls;
use crew::{Crew, Origin};
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
    if options.token.is_empty() {
        return Err(BackendError::Option("the token of control and probe is empty".to_owned()));
    }
    Ok(())
}

async fn run(options: SupervisorOptions) -> Result<(), BackendError> {
    let mut ends = Ends::listen(options.follow_stdin)?;
    let port = port::reserve(options.listen)?;
    let control = TcpListener::bind(options.control).await.map_err(BackendError::listen(options.control))?;
    let control_address = control.local_addr().map_err(BackendError::system("read an address"))?;
    let folder = tokio::task::spawn_blocking(store::create)
        .await
        .map_err(|e| BackendError::system("make the database")(e.into()))??;

    let truths = Arc::new(Truths::default());
    let crew = Arc::new(Crew::new(
        Origin {
            args: options.worker_args,
            listen: port.address(),
            token: options.token.clone(),
            database: folder.file(),
            shop: ShopSettings::default(),
        },
        options.workers,
        truths.clone(),
    ));
    let (stop_workers, stopping) = watch::channel(false);
    let mut workers = JoinSet::new();
    for index in 0..options.workers {
        workers.spawn(crew.clone().keep(index, stopping.clone()));
    }
    let started = tokio::select! {
        started = tokio::time::timeout(START_PATIENCE, crew.all_ready()) => match started {
            Ok(started) => started.map(|()| true),
            Err(_) => Err(crew.late()),
        },
        () = ends.asked() => Ok(false),
    };
    if let Ok(true) = started {
        say_ready(port.address(), control_address, &crew);
        let (commands, mut asked) = mpsc::channel(1);
        let (stop_control, control_stopping) = watch::channel(false);
        let controls = Controls::new(crew.clone(), truths, options.token, commands);
        let mut serving = JoinSet::new();
        serving.spawn(http::serve(
            control,
            control::router(controls.clone()),
            control_stopping,
            CONTROL_GRACE,
        ));
        tokio::select! {
            () = ends.asked() => {}
            _ = asked.recv() => {}
        }
        controls.end_frozen().await;
        end_workers(&stop_workers, &mut workers).await;
        let _ = stop_control.send(true);
        serving.join_next().await;
    } else {
        end_workers(&stop_workers, &mut workers).await;
    }
    started.map(|_| ())
}

/// Asks the workers to end and waits; those that do not are killed, since dropping their keeper does so.
async fn end_workers(stop: &watch::Sender<bool>, workers: &mut JoinSet<()>) {
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
