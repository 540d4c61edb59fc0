//! Serving a router on a listener: connections with time limits, and their orderly end.
//!
//! Shop and control endpoint share it. Owns the connections (one task each, in a [`JoinSet`]); routes
//! belong to whoever made the router.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A connection that sends no whole head for so long is closed. hyper counts idle time between requests
/// too, so it must exceed every think time that is worth keeping a connection for.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// Pause after a failed `accept` (mostly: no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The kernel cuts it down to `net.core.somaxconn`.
pub const BACKLOG: u32 = 4_096;

/// Serves until `stopping` becomes true, then stops accepting, lets requests in flight finish for `grace`,
/// and closes what is left. Dropping the future closes everything at once.
pub async fn serve(listener: TcpListener, router: Router, stopping: watch::Receiver<bool>, grace: Duration) {
    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), stopping.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            () = told(&mut stop) => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

/// Waits until `stop` becomes true. A sender that is gone means the same.
pub async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        // Errors here are the client's: resets, bad heads (answered with 400 by hyper), time-outs.
        _ = connection.as_mut() => return,
        () = told(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
