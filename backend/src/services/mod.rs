//! The process of the services: e-mail and billing, apart from the shop as other teams' services would be.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /email`, `POST /billing` | the service's work for one order, while the caller waits |
//! | `POST /invoice` | the signed invoice of one order, for whoever waits for it |
//! | `POST /events` | the embedded broker: puts events into the queue of each service, all or none |
//! | `GET /counts` | what has been done |
//!
//! Owns the routes and who consumes; what is done lies in [`email`] and [`billing`]. Everything wants the token.

pub mod billing;
mod consumers;
mod email;
mod signing;

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
use tokio::task::{JoinError, spawn_blocking};

use crate::broker::{Message, Placed};
use crate::faults::{Faults, retry_storm, slow_downstream};
use crate::http::bears;
use crate::shop::{Body, Refusal};
pub use consumers::{Consumers, Queues};

/// The services, in the names of queues, lanes and routes.
pub const NAMES: &[&str] = &["email", "billing"];
/// A batch of events with long carts.
const MAX_BODY: usize = 1 << 20;
/// Orders of which a service knows that it has done them: what comes twice does so within seconds.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).expect("it is not zero");

/// What a service has done.
pub struct Tally {
    known: Mutex<LruCache<i64, ()>>,
    count: AtomicU64,
    again: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::new(REMEMBERED)),
            count: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Is it the first time that an order comes?
    fn first(&self, order: i64) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(order, ()).is_none()
    }
}

/// All services.
pub struct Services {
    /// Which faults are on.
    pub faults: Arc<Faults>,
    email: Tally,
    billing: Tally,
    /// The e-mail service's way out, while it sends one message after another.
    pub outgoing: tokio::sync::Mutex<()>,
    /// Who makes invoices for those who wait.
    pub invoices: retry_storm::Desk,
}

impl Services {
    /// That have done nothing yet.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self {
            faults,
            email: Tally::default(),
            billing: Tally::default(),
            outgoing: tokio::sync::Mutex::default(),
            invoices: retry_storm::Desk::default(),
        }
    }

    /// Has the service called `name` do its work for an order, once. An e-mail has so many signatures. Dropping it does not
    /// stop work that has begun.
    ///
    /// # Errors
    /// When the work panics.
    pub async fn serve(
        self: &Arc<Self>,
        name: &'static str,
        placed: Placed,
        signatures: usize,
    ) -> Result<(), JoinError> {
        let services = self.clone();
        spawn_blocking(move || services.work(name, &placed, signatures)).await
    }

    /// Takes CPU: never call it on the event loop.
    fn work(&self, name: &str, placed: &Placed, signatures: usize) {
        let is_email = name == "email";
        let tally = if is_email { &self.email } else { &self.billing };
        let first = tally.first(placed.order);
        if first {
            let length = if is_email { email::send(placed, signatures) } else { billing::bill(placed) };
            std::hint::black_box(length);
        }
        let count = if first { &tally.count } else { &tally.again };
        count.fetch_add(1, Ordering::Relaxed);
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
        .route("/email", post(send_now))
        .route("/billing", post(bill_now))
        .route("/invoice", post(invoice))
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

async fn send_now(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<StatusCode, Refusal> {
    slow_downstream::send(&desk.services, placed).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn bill_now(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<StatusCode, Refusal> {
    desk.services.serve("billing", placed, 0).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn invoice(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<String, Refusal> {
    let made = desk.services.invoices.make(&desk.services.faults, placed).await;
    made.map_err(failed)?
        .ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many wait for their invoices"))
}

fn failed(why: JoinError) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
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
    let Services { email, billing, .. } = &*desk.services;
    let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
    Json(Counts {
        email: read(&email.count),
        billing: read(&billing.count),
        again: read(&email.again) + read(&billing.again),
    })
}
