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

use crate::broker::{Bought, Message, Placed};
use crate::faults::{Faults, retry_storm, slow_downstream};
use crate::http::bears;
use crate::shop::{Body, MAX_CENTS, MAX_QUANTITY, Refusal, no_such_method, no_such_route};
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
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
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

/// Is it an order that the shop can have taken? Sums of others might not fit into 64 bits.
fn check(placed: &Placed) -> Result<(), Refusal> {
    let content = &placed.content;
    let numbers = [("order", placed.order), ("cents", content.cents), ("at_ms", content.at_ms)];
    if let Some((what, number)) = numbers.iter().find(|(_, number)| *number < 0) {
        return Err(Refusal::bad(format!("{what} is {number}, expected 0 or more")));
    }
    let is_too_much = |l: &&Bought| l.quantity > MAX_QUANTITY || l.cents > MAX_CENTS;
    if let Some(Bought { product, quantity, cents }) = content.lines.iter().find(is_too_much) {
        return Err(Refusal::bad(format!(
            "{quantity} of product {product} at {cents} cents, expected at most {MAX_QUANTITY} at {MAX_CENTS}"
        )));
    }
    Ok(())
}

async fn send_now(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<StatusCode, Refusal> {
    check(&placed)?;
    slow_downstream::send(&desk.services, placed).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn bill_now(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<StatusCode, Refusal> {
    check(&placed)?;
    desk.services.serve("billing", placed, 0).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn invoice(State(desk): State<Desk>, Body(placed): Body<Placed>) -> Result<String, Refusal> {
    check(&placed)?;
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
    messages.iter().try_for_each(|message| check(&message.placed))?;
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

#[cfg(test)]
mod tests {
    use agent::Agent;
    use axum::http::{Request, header};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::broker::TOPIC;
    use crate::faults::testing::armed;

    const GOOD: &str =
        r#"{"order":7,"customer":1,"cents":100,"at_ms":5,"lines":[{"product":1,"quantity":2,"cents":50}]}"#;

    /// The routes, and those who would consume events if they ran.
    struct Asked {
        routes: TowerToHyperService<Router>,
        _held: Consumers,
    }

    impl Asked {
        fn new() -> Self {
            let agent = Agent::builder("services").token("t").start().unwrap();
            let services = Arc::new(Services::new(armed(&[]).0));
            let (queues, held) = Consumers::new(services.clone(), agent.broker(TOPIC));
            let desk = Desk { services, queues, token: "secret".into() };
            Self { routes: TowerToHyperService::new(router(desk)), _held: held }
        }

        /// The status, and what is said.
        async fn ask(&self, method: &str, path: &str, token: &str, body: &[u8]) -> (u16, String) {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, token)
                .header(header::CONTENT_TYPE, "application/json")
                .body(axum::body::Body::from(body.to_vec()))
                .unwrap();
            let answer = self.routes.call(request).await.unwrap();
            let status = answer.status().as_u16();
            let said = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(said.to_vec()).unwrap())
        }

        async fn refused(&self, asked: [&str; 3], body: &[u8], status: u16) {
            let [method, path, token] = asked;
            let (got, said) = self.ask(method, path, token, body).await;
            let sent = String::from_utf8_lossy(&body[..body.len().min(200)]);
            assert_eq!(got, status, "{method} {path} {sent}: {said}");
            let reason: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert!(!reason["error"].as_str().unwrap().is_empty(), "{method} {path} {sent}: {said}");
        }
    }

    /// Bodies that are no order, and such as no shop can have taken.
    fn bad_orders() -> Vec<Vec<u8>> {
        let with = |part: &str, other: &str| {
            assert!(GOOD.contains(part), "{part}");
            GOOD.replace(part, other)
        };
        let texts = [
            String::new(),
            "{".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            with("\"order\":7,", ""),
            with("\"order\":7", "\"order\":\"7\""),
            with("\"order\":7", "\"order\":7,\"order\":8"),
            with("\"order\":7", "\"order\":-7"),
            with("\"order\":7", "\"order\":9223372036854775808"),
            with("\"cents\":100", "\"cents\":-1"),
            with("\"at_ms\":5", "\"at_ms\":-5"),
            with("\"customer\":1", "\"customer\":-1"),
            with("\"product\":1", "\"product\":1.5"),
            with("\"quantity\":2", "\"quantity\":4294967295"),
            with("\"cents\":50", "\"cents\":4294967295"),
        ];
        let mut bodies: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        bodies.push(b"{\"order\":\"\xff\"}".to_vec());
        bodies
    }

    #[tokio::test]
    async fn bad_input_to_every_route_is_refused_with_a_reason_and_nothing_is_done() {
        let asked = Asked::new();
        let token = "Bearer secret";
        for path in ["/email", "/billing", "/invoice", "/events", "/counts"] {
            let method = if path == "/counts" { "GET" } else { "POST" };
            for wrong in ["", "secret", "Bearer", "Bearer secre", "Bearer secrets", "Basic secret"] {
                asked.refused([method, path, wrong], GOOD.as_bytes(), 401).await;
            }
            for other in ["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"] {
                if other != method {
                    asked.refused([other, path, token], b"", 405).await;
                }
            }
        }
        for body in bad_orders() {
            for path in ["/email", "/billing", "/invoice"] {
                asked.refused(["POST", path, token], &body, 400).await;
            }
            let mut events = b"[{\"published_ms\":1,".to_vec();
            events.extend(body.strip_prefix(b"{").unwrap_or(&body));
            events.push(b']');
            asked.refused(["POST", "/events", token], &events, 400).await;
        }
        for body in ["", "{", "7", "null", "{}", "[7]", "[{}]", &format!("[{GOOD}]")] {
            asked.refused(["POST", "/events", token], body.as_bytes(), 400).await;
        }
        let large = " ".repeat(MAX_BODY + 1);
        for path in ["/email", "/billing", "/invoice", "/events"] {
            asked.refused(["POST", path, token], large.as_bytes(), 413).await;
        }
        asked.refused(["GET", "/no-such", token], b"", 404).await;
        let counts = asked.ask("GET", "/counts", token, b"").await;
        assert_eq!(counts, (200, r#"{"email":0,"billing":0,"again":0}"#.to_owned()));
        assert_eq!(asked.ask("POST", "/billing", token, GOOD.as_bytes()).await.0, 204);
        let event = GOOD.replace("{\"order\"", "{\"published_ms\":1,\"order\"");
        assert_eq!(asked.ask("POST", "/events", token, format!("[{event}]").as_bytes()).await.0, 202);
    }
}
