//! The rows of `dyno bench backend`: what is measured, and what it should come to.
//!
//! The numbers are this project's targets for its reference backend; a bench that misses one says so.

use super::{Entry, What};
use crate::bench::servers::Kind;
use crate::bench::serving::{Duel, Import, Sockets};
use crate::bench::stats::Bound::AtMost;

/// What a reader must know before quoting a figure.
pub const NOTES: &[&str] = &[
    "all servers answer on one worker and are asked at the same fixed rate by a `dyno run` on the other half of the cores; \
     requests are those of the rate, and a run in which one failed or was not sent says so",
    "CPU is the kernel's, of the worker processes that serve: a supervisor and the services process serve no request",
    "the shop is measured as it comes, its agent watching; where the agent is what is measured, the run reads it ten times a \
     second; the hook in the allocator is there in both, at rest in one",
    super::CONTAMINATED,
];

/// CPU for a plain request over a bare hyper server's, at most.
const PLAIN: f64 = 1.15;
/// CPU for a request with the agent over that without it, at most.
const AGENT: f64 = 1.02;
/// Requests a second: about half of what the worker's core can do (16 us each were seen), so that neither its idling nor its
/// queues are measured. At 45,000 it was busy for 0.55 to 0.79 of a second in each, and four of ten runs fell behind their rate.
const RATE: u64 = 30_000;
/// Bytes of a server for an idle WebSocket, at most.
const SOCKET_BYTES: f64 = 3_000.0;
/// Idle WebSockets: what one process may open (20,000 descriptors are common), with room to spare.
const SOCKETS: u64 = 15_000;
/// An axum server with its defaults holds fewer: each takes 134 KB.
const AXUM_SOCKETS: u64 = 2_000;
/// Growth of resident memory during a streamed import, MB, at most.
const IMPORT_MB: f64 = 32.0;

/// All of them.
pub fn all(quick: bool) -> Vec<Entry> {
    let (rate, sockets, axum_sockets, megabytes) =
        if quick { (5_000, 2_000, 500, 64) } else { (RATE, SOCKETS, AXUM_SOCKETS, 1_024) };
    let duel = |ours, theirs, at_most| What::Duel(Duel { ours, theirs, per_s: rate, at_most });
    let held = |kind, sessions, at_most| What::Sockets(Sockets { kind, sessions, at_most });
    let import = |whole, at_most| What::Import(Import { megabytes, whole, at_most });
    let rows = [
        ("plain-self", duel(Kind::Bare, Kind::Bare, None)),
        ("plain-hyper", duel(Kind::Shop, Kind::Bare, Some(AtMost(PLAIN)))),
        ("plain-agent", duel(Kind::Shop, Kind::Unwatched, Some(AtMost(AGENT)))),
        ("idle-websocket", held(Kind::Shop, sockets, Some(AtMost(SOCKET_BYTES)))),
        ("idle-websocket-axum", held(Kind::Axum, axum_sockets, None)),
        ("import-streamed", import(false, Some(AtMost(IMPORT_MB)))),
        ("import-whole", import(true, None)),
    ];
    rows.into_iter().map(|(name, what)| Entry { name: name.to_owned(), what }).collect()
}
