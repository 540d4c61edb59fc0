//! The rows of `dyno bench engine`: what is measured, and what it should come to.
//!
//! The numbers are this project's targets for its engine; a bench that misses one says so.

use super::{Entry, What};
use crate::bench::held::Holding;
use crate::bench::pairs::Comparison;
use crate::bench::peers::Peer;
use crate::bench::scenario::Work;
use crate::bench::stats::Bound::{self, AtLeast, AtMost};

/// What a reader must know before quoting a figure.
pub const NOTES: &[&str] = &[
    "requests and messages are counted by the target, CPU by the kernel over whole process trees, both within a window that \
     opens when all connections stand: connecting, starting and reports are in nobody's figure",
    "ours is a whole `dyno run` (workers, coordinator, recorder, detectors) without sources that watch the target",
    "goose times an answer to its head, and k6 keeps lists of samples: their figures mean less and cost more; only cost and \
     rate are compared here, not what is timed",
    super::CONTAMINATED,
];

/// Connections, client CPU for a request over wrk's, and requests per second over wrk's.
const HTTP: [(u64, f64, Option<f64>); 4] =
    [(100, 1.15, None), (1_000, 0.95, Some(1.0)), (9_000, 0.8, Some(1.15)), (15_000, 0.6, Some(1.35))];
/// Requests per second over those of other clients.
const RATES: [(Peer, f64); 3] = [(Peer::Oha, 1.4), (Peer::Goose, 5.0), (Peer::K6, 8.0)];
/// CPU for a message over that of a client made with a library, and over k6's. "The best of" two libraries is kept by
/// keeping it with each.
const SOCKETS: [(Peer, f64); 3] =
    [(Peer::Fastwebsockets, 1.1), (Peer::TokioWebsockets, 1.1), (Peer::K6, 0.1)];
/// Connections of the WebSocket rows.
const ECHOES: u64 = 15_000;
/// Idle sessions, and bytes for each: HTTP, WebSocket.
const IDLE: [u64; 4] = [1_000, 10_000, 50_000, 200_000];
const IDLE_HTTP_BYTES: f64 = 2_500.0;
const IDLE_WEBSOCKET_BYTES: f64 = 1_400.0;

/// Release error of the precise timer at p99, us.
const PRECISE_US: f64 = 250.0;

/// All of them.
pub fn all(quick: bool) -> Vec<Entry> {
    let mut rows = vec![pair("http-1000-get", Work::Get, Peer::Ourselves, 1_000, None, None)];
    for (n, cpu, rate) in HTTP.into_iter().filter(|(n, ..)| !quick || *n <= 1_000) {
        for (name, work) in [("get", Work::Get), ("script", Work::Script)] {
            let name = format!("http-{n}-{name}");
            rows.push(pair(&name, work, Peer::Wrk, n, Some(AtMost(cpu)), rate.map(AtLeast)));
        }
        for (peer, rate) in RATES {
            rows.push(pair(&format!("http-{n}-get"), Work::Get, peer, n, None, Some(AtLeast(rate))));
        }
    }
    let echoes = if quick { 1_000 } else { ECHOES };
    for (name, work) in [("echo", Work::Echo), ("script", Work::EchoScript)] {
        for (peer, cpu) in SOCKETS {
            let name = format!("websocket-{echoes}-{name}");
            rows.push(pair(&name, work, peer, echoes, Some(AtMost(cpu)), None));
        }
    }
    let sizes = if quick { vec![1_000, 4_000] } else { IDLE.to_vec() };
    let mut push = |name: &str, what| rows.push(Entry { name: name.to_owned(), what });
    push("idle-http", What::Idle(Work::IdleHttp, sizes.clone(), IDLE_HTTP_BYTES));
    push("idle-websocket", What::Idle(Work::IdleWebSocket, sizes, IDLE_WEBSOCKET_BYTES));
    let (scale, seconds) = if quick { (20, 5) } else { (1, 60) };
    let mixed = Holding { work: Work::Mixed(10), sessions: 50_000 / scale, beside: 2_000 / scale, seconds };
    push("held-mixed", What::Hold(mixed));
    let sockets = Holding { work: Work::SlowEcho(10), sessions: 200_000 / scale, beside: 0, seconds };
    push("held-websocket", What::Hold(sockets));
    push("timer-wheel", What::Timer("wheel", None, seconds));
    push("timer-precise", What::Timer("precise", Some(PRECISE_US), seconds));
    push("million", What::Million(120));
    rows
}

fn pair(
    name: &str,
    work: Work,
    peer: Peer,
    connections: u64,
    cpu: Option<Bound>,
    rate: Option<Bound>,
) -> Entry {
    let what = What::Compare(Comparison { work, peer, connections, cpu, rate });
    Entry { name: format!("{name}-{}", peer.name()), what }
}
