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
mod offload;
mod orders;
pub mod password;
pub mod picture;
pub mod price_list;
pub mod product;
pub mod product_cache;
pub mod ranking;
pub mod recommend;
mod search;
pub mod sessions;
mod sheet;
mod supplier_file;
mod visits;
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
use crate::faults::churn::Canvases;
use crate::faults::regex_backtracking::Words;
use crate::settings::ShopSettings;
use crate::store::{Database, PRODUCTS};
pub use answer::Refusal;
pub use feed::Feed;
use offload::Offload;
use product_cache::ProductCache;
use ranking::Ranking;
use recommend::Recommendations;
use sessions::Sessions;
use visits::Visits;

/// The longest body of a route that reads it whole, bytes.
const MAX_BODY: usize = 16 * 1024;

/// Everything that the routes of one worker share.
pub struct Shop {
    /// Its instruments.
    pub agent: Agent,
    /// Which faults are on.
    pub faults: Arc<Faults>,
    /// The database behind its pool.
    pub database: Arc<Database>,
    /// Product details, kept for a while.
    pub products: ProductCache,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Where they have been.
    pub visits: Visits,
    /// Threads for what would keep the event loop from turning.
    pub offload: Offload,
    /// Decides what may be searched for.
    pub words: Words,
    /// What is in demand.
    pub ranking: Ranking,
    /// For drawing pictures.
    pub canvases: Canvases,
    /// What goes with what.
    pub recommendations: Recommendations,
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
            sessions: Sessions::new(&agent, database.clone(), faults.clone(), settings.session_capacity),
            visits: Visits::new(&agent, settings.session_capacity),
            offload: Offload::new(&agent, settings.offload_threads, faults.clone()),
            words: Words::new(faults.clone()),
            ranking: Ranking::new(PRODUCTS),
            canvases: Canvases::new(faults.clone()),
            recommendations: Recommendations::new(faults.clone()),
            faults,
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
    let routes: [(&'static str, MethodRouter<Arc<Shop>>); 19] = [
        ("/", get(health::hello)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/login", post(login::log_in)),
        ("/products", get(catalogue::page)),
        ("/products/{id}", get(catalogue::detail)),
        ("/products/{id}/picture", get(picture::picture)),
        ("/products/{id}/recommendations", get(recommend::recommend)),
        ("/products/{id}/sheet", get(sheet::sheet)),
        ("/popular", get(ranking::popular)),
        ("/price-list", get(price_list::price_list)),
        ("/search", get(search::search)),
        ("/visits", get(visits::list)),
        ("/cart", post(cart::add)),
        ("/checkout", post(checkout::check_out)),
        ("/orders", get(orders::list)),
        // Read as a stream, with a limit of its own.
        ("/import", post(import::import).layer(DefaultBodyLimit::disable())),
        ("/import/supplier", post(supplier_file::import)),
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
