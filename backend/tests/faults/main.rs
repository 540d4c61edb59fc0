//! Every fault, switched in real workers: each does its work, and its cure does not. One program, since each of its own would be linked anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod event_loop;
mod feed;
mod memory;
mod pools;
mod processes;
mod services;
