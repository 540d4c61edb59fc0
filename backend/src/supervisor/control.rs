//! The control endpoint, and the probe of all workers on the same port. Everything here wants the token.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /v1/faults` | switches a fault on, for a span: a `FaultOrder` |
//! | `DELETE /v1/faults` | ends all faults; answers when their truth is here, or 504 when a worker does not tell it |
//! | `GET /v1/truth?since=N` | what truly happened, from line N on |
//! | `GET /v1/instances` and below | the workers, and what their agents say (`timeline::probe`) |
//! | `GET /v1/cache`, `PUT /v1/cache` | how the cache works: a `CacheSettings`, of which what is not given is the default |
//! | `POST /v1/remedies` | holds a setting against whatever faults do: a `Remedy`; answers with what that means here |
//! | `GET /v1/services` | what e-mail and billing have done |
//! | `POST /v1/reload` | relieves each worker of the shop by a new process, one after the other; no request is lost |
//! | `POST /v1/shutdown` | ends the backend |

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use timeline::Remedy;
use timeline::fault::FaultOrder;
use timeline::probe::{self, Instances};
use tokio::sync::{Mutex, mpsc};

use super::crew::Crew;
use super::inflicted::Inflicted;
use super::proxy::Proxy;
use super::truths::{Page, Truths};
use crate::http::bears;
use crate::remedies::{self, Held};
use crate::settings::CacheSettings;
use crate::shop::{Object, Path, Query, Refusal, no_such_method, no_such_route};

/// An order is a few hundred bytes.
const MAX_BODY: usize = 16 * 1024;
/// Longest address that is passed on to a worker's agent, bytes: it stands in a head, of which the agent takes 8 KiB.
const MAX_ADDRESS: usize = 4_096;
/// A fault lasts at most a day, milliseconds: what is meant to last is no fault to be switched.
const MAX_SPAN_MS: u64 = 86_400_000;
/// A worker that lives answers within a few milliseconds; one that is stopped does not, and another tenth of a
/// second later the question comes again.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// A profile takes as long as it was asked to, at most a minute, and some time to be drawn.
const PROFILE_PATIENCE: Duration = Duration::from_secs(90);

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Controls {
    crew: Arc<Crew>,
    truths: Arc<Truths>,
    token: Arc<str>,
    proxy: Proxy,
    shutdown: mpsc::Sender<()>,
    /// The faults that workers cannot switch themselves.
    pub inflicted: Arc<Inflicted>,
    /// Held while workers are relieved.
    reloading: Arc<Mutex<()>>,
}

impl Controls {
    /// Over `crew`; `shutdown` hears when the backend is to end.
    pub fn new(crew: Arc<Crew>, truths: Arc<Truths>, token: String, shutdown: mpsc::Sender<()>) -> Self {
        let inflicted = Arc::new(Inflicted::new(crew.clone(), truths.clone()));
        let (token, proxy) = (token.into(), Proxy::new());
        Self { crew, truths, token, proxy, shutdown, inflicted, reloading: Arc::default() }
    }
}

/// The routes.
pub fn router(controls: Controls) -> Router {
    Router::new()
        .route("/v1/faults", post(begin).delete(end_all))
        .route("/v1/truth", get(truth))
        .route("/v1/instances", get(instances))
        .route("/v1/instances/{name}/{*what}", get(relay))
        .route("/v1/cache", get(cache).put(set_cache))
        .route("/v1/remedies", post(hold))
        .route("/v1/services", get(services))
        .route("/v1/reload", post(reload))
        .route("/v1/shutdown", post(shut_down))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(controls.clone(), only_with_token))
        .with_state(controls)
}

async fn only_with_token(State(controls): State<Controls>, request: Request, next: Next) -> Response {
    if bears(request.headers(), &controls.token) {
        next.run(request).await
    } else {
        Refusal::unauthorized("this endpoint wants `Authorization: Bearer TOKEN`").into_response()
    }
}

/// A JSON object, whatever type it is sent as: some orders are given by hand.
struct Said<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body: Result<_, BytesRejection> = Bytes::from_request(request, state).await;
        let body = body.map_err(|e| Refusal::new(e.status(), e.body_text()))?;
        let Object(said) = serde_json::from_slice(&body).map_err(Refusal::bad)?;
        Ok(Self(said))
    }
}

#[derive(Serialize)]
struct Accepted {
    accepted: &'static str,
}

/// Did all workers take an order? 503 when one could not.
fn taken(by_all: bool) -> Result<(), Refusal> {
    if by_all {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "a worker takes no orders at present"))
}

async fn begin(
    State(controls): State<Controls>,
    Said(order): Said<FaultOrder>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    order.check().map_err(Refusal::bad)?;
    if order.name.of_twin_alone() {
        let name = order.name.name();
        return Err(Refusal::bad(format!(
            "fault {name} is none of this backend: the shop on Node.js has it"
        )));
    }
    if !(1..=MAX_SPAN_MS).contains(&order.for_ms) {
        return Err(Refusal::bad(format!("for_ms is {}, expected 1 to {MAX_SPAN_MS}", order.for_ms)));
    }
    let accepted = Accepted { accepted: order.name.name() };
    taken(controls.inflicted.begin(&order).await || controls.crew.arm(&order))?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

async fn end_all(State(controls): State<Controls>) -> Result<Json<Accepted>, Refusal> {
    // First of all: a worker that is stopped cannot end its faults.
    controls.inflicted.end_all().await;
    if let Some(late) = controls.crew.end_faults().await {
        let why = format!("{late} does not say that its faults are ended");
        return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, why));
    }
    Ok(Json(Accepted { accepted: "all faults are ended" }))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn truth(State(controls): State<Controls>, Query(wanted): Query<Since>) -> Json<Page> {
    Json(controls.truths.since(wanted.since))
}

async fn instances(State(controls): State<Controls>) -> Json<Instances> {
    let instances = controls.crew.instances();
    Json(Instances { version: probe::VERSION, service: "shop".to_owned(), instances })
}

/// The agent of a worker knows the same paths, so the question goes to it as it came.
async fn relay(
    State(controls): State<Controls>,
    Path((name, what)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    if path.len() > MAX_ADDRESS {
        let why = format!("an address has {} bytes here, expected at most {MAX_ADDRESS}", path.len());
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, why));
    }
    let probe = controls.crew.probe(&name).ok_or_else(|| Refusal::not_found("there is no such instance"))?;
    let away = |why: &dyn std::fmt::Display| Refusal::new(StatusCode::BAD_GATEWAY, format!("{name}: {why}"));
    let probe = probe.ok_or_else(|| away(&"it is being started"))?;
    let patience = if what == "profile" { PROFILE_PATIENCE } else { PROBE_PATIENCE };
    let asked = controls.proxy.ask(probe, path, &controls.token, patience).await;
    let relayed = asked.map_err(|e| match e.kind() {
        std::io::ErrorKind::TimedOut => {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, format!("{name} does not answer"))
        }
        _ => away(&e),
    })?;
    Ok((relayed.status, relayed.kind.map(|k| [k]), relayed.body).into_response())
}

async fn cache(State(controls): State<Controls>) -> Json<CacheSettings> {
    Json(*controls.crew.cache())
}

async fn set_cache(
    State(controls): State<Controls>,
    Said(settings): Said<CacheSettings>,
) -> Result<Json<CacheSettings>, Refusal> {
    settings.check(controls.crew.shares_cache()).map_err(Refusal::bad)?;
    taken(controls.crew.set_cache(settings))?;
    Ok(Json(settings))
}

async fn hold(State(controls): State<Controls>, Said(remedy): Said<Remedy>) -> Result<Json<Held>, Refusal> {
    let held = remedies::held(&remedy).map_err(Refusal::bad)?;
    taken(controls.crew.hold(held.hold.clone()))?;
    Ok(Json(held))
}

async fn services(State(controls): State<Controls>) -> Result<Response, Refusal> {
    let services = controls.crew.services();
    let asked = controls.proxy.ask(services, "/counts", &controls.token, PROBE_PATIENCE).await;
    let relayed = asked.map_err(|e| Refusal::new(StatusCode::BAD_GATEWAY, format!("the services: {e}")))?;
    Ok((relayed.status, relayed.kind.map(|k| [k]), relayed.body).into_response())
}

async fn reload(State(controls): State<Controls>) -> Result<Json<Accepted>, Refusal> {
    // One at a time: two would leave names without a process.
    let Ok(_alone) = controls.reloading.try_lock() else {
        return Err(Refusal::conflict("a reload is under way"));
    };
    let done = controls.crew.reload().await;
    done.map_err(|why| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    Ok(Json(Accepted { accepted: "all workers are new" }))
}

async fn shut_down(State(controls): State<Controls>) -> (StatusCode, Json<Accepted>) {
    // Full: it has been asked for already.
    let _ = controls.shutdown.try_send(());
    (StatusCode::ACCEPTED, Json(Accepted { accepted: "the backend ends" }))
}
