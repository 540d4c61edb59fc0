//! The shop: what its routes share, and which routes there are.
//!
//! Owns the state of one worker ([`Shop`]) and the table of routes. Each route's work lies in a file named after it.

mod answer;
mod cart;
mod catalogue;
mod checkout;
mod feed;
mod health;
mod import;
mod login;
mod orders;
pub mod password;
pub mod product;
pub mod product_cache;
pub mod sessions;
mod watched;
mod websocket;

use std::sync::Arc;

use agent::{Agent, Gauge};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use timeline::Unit;
use timeline::lane::names;
use tokio::sync::watch;

use crate::faults::Faults;
use crate::settings::ShopSettings;
use crate::store::Database;
pub use answer::Refusal;
pub use feed::Feed;
use product_cache::ProductCache;
use sessions::Sessions;

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
    /// Who listens to the live feed.
    pub feed: Arc<Feed>,
    /// WebSockets open now.
    pub websockets: Gauge,
    /// True from the moment on at which the worker ends.
    pub draining: watch::Receiver<bool>,
}

impl Shop {
    /// A shop over a database that is there already.
    pub fn new(
        agent: Agent,
        database: Arc<Database>,
        faults: Arc<Faults>,
        settings: &ShopSettings,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self {
            products: ProductCache::new(&agent, database.clone(), faults.clone(), settings),
            sessions: Sessions::new(&agent, database.clone(), faults, settings.session_capacity),
            feed: Arc::new(Feed::default()),
            websockets: agent.gauge(names::SERVER_WEBSOCKETS, Unit::Count),
            agent,
            database,
            draining,
        }
    }
}

/// The routes. Each says of itself, under its template, how often and how long it works.
pub fn router(shop: Arc<Shop>) -> Router {
    let whole = DefaultBodyLimit::max(MAX_BODY);
    let routes: [(&'static str, MethodRouter<Arc<Shop>>); 11] = [
        ("/", get(health::hello)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/login", post(login::log_in)),
        ("/products", get(catalogue::page)),
        ("/products/{id}", get(catalogue::detail)),
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
