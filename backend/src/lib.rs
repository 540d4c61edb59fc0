//! The reference backend: a small shop with switchable faults, each beside its cure.
//!
//! It is the ground truth of the whole project. Owns the shop (`shop`), its stores, each embedded or on a server
//! (`store`, `cache`, `broker`), memory in generations (`region`), the services that it uses (`services`), the faults
//! (`faults`), the worker processes that serve both (`worker`) and the supervisor that keeps the workers and answers for
//! them (`supervisor`). What the shop shows of itself goes through `agent`; what was injected goes to the truth alone,
//! which no detector reads.
//!
//! ```text
//! supervise() --orders, JSON lines on stdin--> work() --serves--> shop on the shared port
//!      |      <-ready, truth, on stdout-------   |
//!      +-- control, and the probes of all workers +-- agent's probe on a port of its own
//! ```

mod broker;
mod cache;
mod downstream;
mod error;
mod faults;
mod http;
mod places;
mod region;
mod remedies;
mod say;
mod services;
mod settings;
mod shop;
mod store;
mod supervisor;
pub mod twin;
mod wire;
mod worker;

pub use error::BackendError;
pub use places::{
    BROKER_VARIABLE, BrokerUrl, CACHE_VARIABLE, CacheUrl, DATABASE_VARIABLE, DatabaseUrl, StoreUrl, Stores,
};
pub use remedies::{Held, Hold, held};
pub use settings::{
    CacheMode, CacheSettings, MAX_WORKERS, Notify, Protection, ShopSettings, SupervisorOptions,
};
pub use supervisor::supervise;
pub use worker::work;
