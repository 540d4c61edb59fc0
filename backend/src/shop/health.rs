//! `GET /`, `GET /healthz`, `GET /readyz`: is somebody there, and can work be sent here?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Shop;
use super::answer::{Answer, Refusal};

#[derive(Serialize)]
pub struct Status {
    status: &'static str,
}

/// A plain answer, with nothing behind it.
pub async fn hello() -> Json<Status> {
    Json(Status { status: "open" })
}

/// The process answers.
pub async fn alive() -> Json<Status> {
    Json(Status { status: "alive" })
}

/// The process does not end just now, and its database answers.
pub async fn ready(State(shop): State<Arc<Shop>>) -> Answer<Status> {
    if shop.is_ending() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this worker is about to end"));
    }
    shop.database.row("SELECT 1", Vec::new()).await?;
    Ok(Json(Status { status: "ready" }))
}
