//! The target with axum's WebSockets as they come: what a service has that sets nothing.
//!
//! It counts nothing: what is asked of it is its memory.

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::routing::get;
use tokio::net::TcpListener;

/// Serves until it cannot.
pub async fn serve(listener: TcpListener) -> std::io::Error {
    let router =
        Router::new().route("/ws", get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }));
    match axum::serve(listener, router).await {
        Ok(()) => std::io::Error::other("axum has ended"),
        Err(error) => error,
    }
}

async fn echo(mut socket: axum::extract::ws::WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
