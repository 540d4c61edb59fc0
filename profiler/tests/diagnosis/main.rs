//! What the diagnosis says of lanes that are made, and of those that were recorded. One program, since each of its own would be linked anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod anything;
mod blame;
mod caches;
mod circles;
mod client;
mod cpu_short;
mod database;
mod detectors;
mod event_loop;
mod leaks;
mod memory;
mod pauses;
mod pools;
mod processes;
mod recorded;
mod services;
mod states;
#[path = "../world/mod.rs"]
mod world;
