//! The process of the services: e-mail and billing, apart from the shop as other teams' services would be.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /email`, `POST /billing` | the service's work for one order, while the caller waits |
//! | `POST /events` | the embedded broker: puts events into the queue of each service, all or none |
//! | `GET /counts` | what has been done |
//!
//! Owns the routes and who consumes; what is done lies in [`email`] and [`billing`]. Everything wants the token.

mod billing;
mod consumers;
mod email;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lru::LruCache;
use serde::Serialize;

use crate::broker::{Message, Placed};
use crate::http::bears;
use crate::shop::{Body, Refusal};
pub use consumers::{Consumers, Queues};

/// The services, in the names of queues, lanes and routes.
pub const NAMES: &[&str] = &["email", "billing"];
/// A batch of events with long carts.
const MAX_BODY: usize = 1 << 20;
/// Orders of which a service knows that it has done them: what comes twice does so within seconds.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).expect("it is not zero");

/// One service: does its work once for each order.
pub struct Service {
    work: fn(&Placed) -> usize,
    done: Mutex<LruCache<i64, ()>>,
    count: AtomicU64,
    again: AtomicU64,
}

impl Service {
    fn new(work: fn(&Placed) -> usize) -> Self {
        Self {
            work,
            done: Mutex::new(LruCache::new(REMEMBERED)),
            count: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    /// Does the work for an order, unless that is done already. Takes CPU: never call it on the event loop.
    pub fn serve(&self, placed: &Placed) {
        let new = self.done.lock().unwrap_or_else(PoisonError::into_inner).put(placed.order, ()).is_none();
        if new {
            std::hint::black_box((self.work)(placed));
        }
        let count = if new { &self.count } else { &self.again };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// All services.
pub struct Services {
    /// Tells the customer.
    pub email: Service,
    /// Writes the invoice.
    pub billing: Service,
}

impl Default for Services {
    fn default() -> Self {
        Self { email: Service::new(email::send), billing: Service::new(billing::bill) }
    }
}

impl Services {
    /// By its name.
    pub fn named(&self, name: &str) -> &Service {
        if name == "email" { &self.email } else { &self.billing }
    }
}

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// Who works.
    pub services: Arc<Services>,
    /// The embedded broker's queues.
    pub queues: Queues,
    /// What a caller must bear.
    pub token: Arc<str>,
}

/// The routes.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/email", post(|desk, body| serve_now(desk, body, "email")))
        .route("/billing", post(|desk, body| serve_now(desk, body, "billing")))
        .route("/events", post(enqueue))
        .route("/counts", get(counts))
        .fallback(async || Refusal::not_found("there is no such route"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(desk.clone(), only_with_token))
        .with_state(desk)
}

async fn only_with_token(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    if bears(request.headers(), &desk.token) {
        next.run(request).await
    } else {
        Refusal::unauthorized("the services want `Authorization: Bearer TOKEN`").into_response()
    }
}

async fn serve_now(
    State(desk): State<Desk>,
    Body(placed): Body<Placed>,
    name: &'static str,
) -> Result<StatusCode, Refusal> {
    let services = desk.services.clone();
    let done = tokio::task::spawn_blocking(move || services.named(name).serve(&placed)).await;
    done.map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn enqueue(
    State(desk): State<Desk>,
    Body(messages): Body<Vec<Message>>,
) -> Result<StatusCode, Refusal> {
    if desk.queues.put(messages) {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the queues are full"))
    }
}

#[derive(Serialize)]
struct Counts {
    email: u64,
    billing: u64,
    /// Events that came twice.
    again: u64,
}

async fn counts(State(desk): State<Desk>) -> Json<Counts> {
    let Services { email, billing } = &*desk.services;
    let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
    Json(Counts {
        email: read(&email.count),
        billing: read(&billing.count),
        again: read(&email.again) + read(&billing.again),
    })
}
