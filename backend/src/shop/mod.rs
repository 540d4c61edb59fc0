//! The shop: what its routes share, and which routes there are.
//!
//! Owns the state of one worker ([`Shop`]) and the table of routes. Each route's work lies in a file named after it.

mod answer;
mod called;
mod cart;
pub mod catalogue;
mod checkout;
mod dashboard;
pub mod entrance;
mod export;
mod feed;
mod health;
mod import;
mod invoice;
mod login;
pub mod neighbours;
mod offload;
mod orders;
pub mod password;
pub mod picture;
mod price;
pub mod price_list;
pub mod product;
pub mod product_cache;
pub mod ranking;
pub mod recommend;
mod search;
pub mod sessions;
mod sheet;
mod supplier_file;
mod token;
mod visits;
mod watched;
mod websocket;

use std::sync::Arc;

use agent::{Agent, Gauge};
use timeline::Unit;
use timeline::lane::names;
use tokio::sync::watch;

use crate::broker::outbox::Outbox;
use crate::faults::Faults;
use crate::faults::churn::Canvases;
use crate::faults::fd_exhausted::Spools;
use crate::faults::regex_backtracking::Words;
use crate::http::{Routing, Stage};
use crate::settings::ShopSettings;
use crate::store::{Database, PRODUCTS};
use crate::wire::WorkerSettings;
pub use answer::{Body, Object, Path, Query, Refusal, no_such_method, no_such_route};
use called::CalledServices;
pub use cart::MAX_QUANTITY;
use entrance::Entrance;
pub use feed::Feed;
use neighbours::Neighbours;
use offload::Offload;
pub use price::MAX_CENTS;
use product_cache::ProductCache;
use ranking::Ranking;
use recommend::Recommendations;
use sessions::Sessions;
use token::Tokens;
use visits::Visits;
use watched::Routes;
pub use watched::secure;

/// Everything that the routes of one worker share.
pub struct Shop {
    /// Its instruments.
    pub agent: Agent,
    /// Which faults are on.
    pub faults: Arc<Faults>,
    /// The database behind its pool.
    pub database: Arc<Database>,
    /// Is this the worker that does what one does for all?
    pub first: bool,
    /// Product details, kept for a while.
    pub products: ProductCache,
    /// Who is logged in.
    pub sessions: Sessions,
    /// The way of events to the broker.
    pub outbox: Outbox,
    /// The services, for calls while the customer waits.
    pub services: CalledServices,
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
    /// Where sheets are drawn into.
    pub spools: Spools,
    /// How connections come in.
    pub entrance: Entrance,
    /// The other workers.
    pub neighbours: Neighbours,
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
    /// The other workers.
    pub neighbours: Neighbours,
    /// Whether the worker ends.
    pub stage: watch::Receiver<Stage>,
}

impl Shop {
    /// A shop over stores that are there already.
    pub fn new(parts: Parts, settings: &WorkerSettings) -> Self {
        let Parts { agent, database, products, outbox, faults, neighbours, stage } = parts;
        let tokens = Tokens::new(&settings.signing_key);
        Self {
            first: settings.is_first(),
            products,
            sessions: Sessions::new(&agent, database.clone(), faults.clone(), tokens, &settings.shop),
            outbox,
            services: CalledServices::new(&agent, settings, &faults),
            visits: Visits::new(&agent, settings.shop.session_capacity),
            offload: Offload::new(&agent, settings.shop.offload_threads, faults.clone()),
            words: Words::new(faults.clone()),
            ranking: Ranking::new(PRODUCTS),
            canvases: Canvases::new(faults.clone()),
            recommendations: Recommendations::new(faults.clone()),
            spools: Spools::new(faults.clone()),
            entrance: Entrance::new(&agent),
            feed: Arc::new(Feed::new(faults.clone())),
            faults,
            neighbours,
            websockets: agent.gauge(names::SERVER_WEBSOCKETS, Unit::Count),
            agent,
            database,
            stage,
            settings: settings.shop.clone(),
        }
    }

    /// Does its worker take no new clients any more?
    pub fn is_ending(&self) -> bool {
        *self.stage.borrow() != Stage::Open
    }
}

/// The routes. Each says of itself, under its template, how often and how long it works.
pub fn routes(shop: Arc<Shop>) -> Routing {
    Routes::new(shop)
        .get("/", health::hello)
        .get("/healthz", health::alive)
        .get("/readyz", health::ready)
        .post("/login", login::log_in)
        .get("/products", catalogue::page)
        .get("/products/{id}", catalogue::detail)
        .put("/products/{id}/price", price::change)
        .get("/dashboard", dashboard::show)
        .get("/export", export::export)
        .get("/products/{id}/picture", picture::picture)
        .get("/products/{id}/recommendations", recommend::recommend)
        .get("/products/{id}/sheet", sheet::sheet)
        .get("/popular", ranking::popular)
        .get("/price-list", price_list::price_list)
        .get("/search", search::search)
        .get("/visits", visits::list)
        .post("/cart", cart::add)
        .post("/checkout", checkout::check_out)
        .get("/orders", orders::list)
        .get("/orders/{id}/invoice", invoice::invoice)
        .stream("/import", import::import)
        .post("/import/supplier", supplier_file::import)
        .get("/ws", websocket::open)
        .all()
}
