//! The shop: what its routes share, and which routes there are.
//!
//! Owns the state of one worker ([`Shop`]) and the table of routes. Each route's work lies in a file named after it.

mod answer;
mod called;
mod cart;
mod catalogue;
mod checkout;
mod dashboard;
mod export;
mod feed;
mod health;
mod import;
mod login;
mod orders;
pub mod password;
mod price;
pub mod product;
pub mod product_cache;
mod search;
pub mod sessions;
mod token;
mod watched;
mod websocket;

use std::sync::Arc;

use agent::{Agent, Gauge};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post, put};
use timeline::Unit;
use timeline::lane::names;
use tokio::sync::watch;

use crate::broker::outbox::Outbox;
use crate::faults::Faults;
use crate::http::Stage;
use crate::settings::ShopSettings;
use crate::store::Database;
use crate::wire::WorkerSettings;
pub use answer::{Body, Refusal};
use called::CalledServices;
pub use feed::Feed;
use product_cache::ProductCache;
use sessions::Sessions;
use token::Tokens;

/// The longest body of a route that reads it whole, bytes.
const MAX_BODY: usize = 16 * 1024;

/// Everything that the routes of one worker share.
pub struct Shop {
    /// Its instruments.
    pub agent: Agent,
    /// The database behind its pool.
    pub database: Arc<Database>,
    /// Product details, kept for a while.
    pub products: ProductCache,
    /// Who is logged in.
    pub sessions: Sessions,
    /// The way of events to the broker.
    pub outbox: Outbox,
    /// The services, for calls while the customer waits.
    pub services: CalledServices,
    /// Who listens to the live feed.
    pub feed: Arc<Feed>,
    /// WebSockets open now.
    pub websockets: Gauge,
    /// Whether the worker ends.
    pub stage: watch::Receiver<Stage>,
    /// Figures of the shop.
    pub settings: ShopSettings,
}

/// What a shop is made of.
pub struct Parts {
    /// Its instruments.
    pub agent: Agent,
    /// The database behind its pool.
    pub database: Arc<Database>,
    /// Product details.
    pub products: ProductCache,
    /// The way of events to the broker.
    pub outbox: Outbox,
    /// Switches of the faults.
    pub faults: Arc<Faults>,
    /// Whether the worker ends.
    pub stage: watch::Receiver<Stage>,
}

impl Shop {
    /// A shop over stores that are there already.
    pub fn new(parts: Parts, settings: &WorkerSettings) -> Self {
        let Parts { agent, database, products, outbox, faults, stage } = parts;
        let tokens = Tokens::new(&settings.signing_key);
        let capacity = settings.shop.session_capacity;
        Self {
            products,
            sessions: Sessions::new(&agent, database.clone(), faults, tokens, capacity),
            outbox,
            services: CalledServices::new(&agent, settings),
            feed: Arc::new(Feed::default()),
            websockets: agent.gauge(names::SERVER_WEBSOCKETS, Unit::Count),
            agent,
            database,
            stage,
            settings: settings.shop.clone(),
        }
    }
}

/// The routes. Each says of itself, under its template, how often and how long it works.
pub fn router(shop: Arc<Shop>) -> Router {
    let whole = DefaultBodyLimit::max(MAX_BODY);
    let routes: [(&'static str, MethodRouter<Arc<Shop>>); 15] = [
        ("/", get(health::hello)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/login", post(login::log_in)),
        ("/products", get(catalogue::page)),
        ("/products/{id}", get(catalogue::detail)),
        ("/products/{id}/price", put(price::change)),
        ("/search", get(search::search)),
        ("/dashboard", get(dashboard::show)),
        ("/export", get(export::export)),
        ("/cart", post(cart::add)),
        ("/checkout", post(checkout::check_out)),
        ("/orders", get(orders::list)),
        // Read as a stream, with a limit of its own.
        ("/import", post(import::import).layer(DefaultBodyLimit::disable())),
        ("/ws", get(websocket::open)),
    ];
    let mut router = Router::new();
    for (template, methods) in routes {
        router = router.route(template, watched::measured(&shop.agent, template, methods));
    }
    router
        .fallback(answer::no_such_route)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(whole)
        .layer(from_fn(watched::secured))
        .with_state(shop)
}
