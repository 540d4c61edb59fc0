//! The load engine of dyno: plans become sessions, sessions become traffic and figures.
//!
//! A run is a set of worker processes under one [`Coordinator`]. Each worker ([`worker_main`]) has one thread and runs
//! an exact part of the plan: `schedule` says when, `release` starts what is due, `session` does it over the
//! codecs in `http`, `ws` and `sse`, or over `http2`, `figures` counts it, `protocol` carries it home. [`lanes::Lanes`] turns what comes into lanes.
//! Scenario files, the recording and judging are left to others.

pub mod coordinator;
pub mod http;
pub mod lanes;
pub mod protocol;
pub mod random;
pub mod sizing;
pub mod sse;
pub mod ws;

mod condition;
mod connection;
mod cookies;
mod date;
mod dial;
mod error;
mod figures;
mod filler;
mod halt;
mod health;
mod http2;
mod journey;
mod kind;
mod precise;
mod program;
mod reach;
mod release;
mod rendered;
mod room;
mod rules;
mod scan;
mod schedule;
mod seats;
mod session;
mod shard;
mod template;
mod tls;
mod token;
mod turn;
mod worker;

#[cfg(test)]
mod testing;

pub use coordinator::{Coordinator, CoordinatorOptions, Crew, LoadUpdate, Loss};
pub use error::LoadError;
pub use kind::ErrorKind;
pub use reach::reach;
pub use sizing::{Resources, Sizing, workers_needed};
pub use worker::{WorkerError, raise_descriptor_limit, worker_main};
