//! Scenarios as they are read, and told back: each file asks one thing. One program, since each of its own would be linked anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod bodies;
mod broken;
#[path = "../common/mod.rs"]
mod common;
mod good;
mod http;
mod import;
mod includes;
mod journeys;
mod language;
mod loads;
mod schema;
mod steps;
mod vars;
