//! Remedies that follow from what was found: a finding's first advice as a setting.
//!
//! A detector whose advice has a number or a name of its own (a capacity, an index) puts the remedy into its claim. What is
//! left are ways of doing things, which the kind of the finding alone decides; they are here, one row each. A kind without
//! a row has advice that is no setting: more cores, or to look for what ended a process.

use timeline::event::kinds;
use timeline::remedy::Setting;
use timeline::{FindingKind, Remedy};

use crate::detectors::Claim;

/// Kind, setting (`{}` is what the finding is told apart by: cache, pool, route, service) and its way.
const WAYS: &[(FindingKind, &str, &str)] = &[
    (FindingKind::LoopBlocked, "route.{}.work", "off-loop"),
    (FindingKind::LoopStarved, "loop.turns", "yield"),
    (FindingKind::HeapLeak, "heap.kept", "bounded"),
    (FindingKind::HeapChurn, "heap.buffers", "reused"),
    (FindingKind::HeapBloat, "heap.files", "streamed"),
    (FindingKind::HeapFragmented, "heap.requests", "arena"),
    (FindingKind::PoolLeak, "pool.{}.give-back", "always"),
    (FindingKind::ConnectionChurn, "pool.{}.connections", "kept"),
    (FindingKind::QueryFanOut, "route.{}.statements", "joined"),
    (FindingKind::SerialAwaits, "route.{}.statements", "together"),
    (FindingKind::CacheStampede, "cache.{}.protection", "single-flight"),
    (FindingKind::CacheCold, "cache.{}.emptying", "key-by-key"),
    (FindingKind::DownstreamCascade, "downstream.{}.calls", "published"),
    (FindingKind::RetryStorm, "downstream.{}.retries", "budget"),
    (FindingKind::BrokerBacklog, "broker.{}.messages", "cheaper"),
    (FindingKind::UnevenWorkers, "listener.sockets", "one-each"),
    (FindingKind::SlowConsumer, "feed.queues", "bounded"),
    (FindingKind::AcceptOverflow, "listener.accept", "at-once"),
    (FindingKind::FdExhausted, "descriptors", "closed"),
];
/// A pause of the target's own making can be cut into pieces; one that comes from outside cannot.
const COMPACTION: (&str, &str) = ("heap.compaction", "incremental");

/// What a claim's advice comes to as settings.
pub fn of(claim: &Claim) -> Vec<Remedy> {
    if !claim.remedies.is_empty() {
        // What is not finite is no setting, and JSON has no word for it.
        let none = |remedy: &&Remedy| matches!(remedy.to, Setting::Number(to) if !to.is_finite());
        return claim.remedies.iter().filter(|remedy| !none(remedy)).cloned().collect();
    }
    if claim.kind == FindingKind::LongPause && claim.sort == kinds::PAUSE_STOP_THE_WORLD {
        return vec![Remedy::word(COMPACTION.0, COMPACTION.1)];
    }
    let way = WAYS.iter().find(|w| w.0 == claim.kind);
    let named = |set: &str| !set.contains("{}") || !claim.identity.is_empty();
    way.filter(|w| named(w.1))
        .map(|(_, set, to)| Remedy::word(set.replace("{}", &claim.identity), *to))
        .into_iter()
        .collect()
}
