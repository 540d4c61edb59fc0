//! The shop itself: its routes, stores and processes. One program, since each of its own would be linked anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod broker;
mod cache;
mod checkout;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod processes;
mod reload;
mod routes;
