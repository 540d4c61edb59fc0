//! The rows of `dyno bench sources`: one for each source and four further ones for Node.js, busy, with requests of more weight, with as many of
//! those as it can bear, and with such that use a pool; the same two targets for all.
//!
//! A source that comes gets its line in [`crate::bench::services::Watched`].

use super::{Entry, What};
use crate::bench::services::Watched;
use crate::bench::stats::Bound::AtMost;
use crate::bench::watching::{Asked, Watch};

/// What a reader must know before quoting a figure.
pub const NOTES: &[&str] = &[
    "a service answers at a fixed rate (`node-full`: as fast as it can) on its half of the cores, and a `dyno run` that attaches nothing \
     asks it; watched, a `dyno watch` of that one source runs beside the load, unwatched nothing does",
    "sources read ten times a second; a metrics page as often as its server bears (at most 2% of the time goes to answers), and what \
     comes by OpenTelemetry is sent ten times a second by its SDK, whose cost is what is measured of the service",
    "our side is the whole process: the source, the machine's own lanes, the recorder and all detectors",
    super::CONTAMINATED,
];

/// CPU of the service for a request while it is watched over that while it is not, at most.
const TARGET: f64 = 1.02;
/// Our side, % of a core, at most.
const OWN: f64 = 3.0;

/// Requests a second for a Node.js process that is busy for half of the time: what watching takes each second is spread over them, and
/// what it takes for each request shows.
const BUSY: u64 = 12_000;

/// Sessions that ask a Node.js process again as soon as it has answered, so that it has work all the time: what watching takes of what it can
/// bear at most. A process with time to spare pays for being woken besides, which nobody waits for.
const FULL: u64 = 32;

/// All of them.
pub fn all(quick: bool) -> Vec<Entry> {
    let asked = |name: &str, service: Watched, asked: Asked| {
        let watch = Watch { service, asked, target: AtMost(TARGET), own: AtMost(OWN) };
        Entry { name: name.to_owned(), what: What::Watch(watch) }
    };
    let row = |name: &str, service, per_s| asked(name, service, Asked::PerSecond(per_s));
    let mut all: Vec<Entry> = Watched::ALL
        .into_iter()
        .map(|service| row(service.source(), service, service.per_s(quick)))
        .collect();
    all.push(row("node-busy", Watched::Node, if quick { BUSY / 4 } else { BUSY }));
    all.push(row("node-page", Watched::NodePage, Watched::NodePage.per_s(quick)));
    all.push(asked("node-full", Watched::NodePage, Asked::Always(FULL)));
    all.push(row("node-pool", Watched::NodePool, Watched::NodePool.per_s(quick)));
    all
}
