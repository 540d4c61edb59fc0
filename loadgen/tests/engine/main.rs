//! The engine against servers that behave, each file asking one thing. One program, since each of its own would be linked anew; those that
//! measure time or memory have one to themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../hostile/beside.rs"]
mod beside;
mod bodies;
#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod events;
mod exchange;
mod imported;
mod journey;
mod language;
mod load;
mod misbehaviour;
mod models;
mod parallel;
#[path = "../common/server.rs"]
mod server;
mod sources;
mod tls;
mod websocket;
