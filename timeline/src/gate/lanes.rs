//! Which canonical lanes there are and in what unit, so that a misspelt one is refused at once.

use super::parse::nearest;
use crate::lane::names;
use crate::units::Unit;

const FIXED: [(&str, Unit); 56] = [
    (names::OFFERED, Unit::PerSecond),
    (names::ACHIEVED, Unit::PerSecond),
    (names::COMPLETED, Unit::PerSecond),
    (names::ERRORS, Unit::PerSecond),
    (names::STEP_ERRORS, Unit::PerSecond),
    (names::LATE, Unit::PerSecond),
    (names::OPEN_SESSIONS, Unit::Count),
    (names::OPEN_CONNECTIONS, Unit::Count),
    (names::RESPONSE, Unit::Ns),
    (names::SERVICE, Unit::Ns),
    (names::FIRST_BYTE, Unit::Ns),
    (names::EXCHANGE, Unit::Ns),
    (names::LATENESS, Unit::Ns),
    (names::DROPPED, Unit::PerSecond),
    (names::RECEIVED, Unit::BytesPerSecond),
    (names::SENT, Unit::BytesPerSecond),
    (names::PUSHED, Unit::PerSecond),
    (names::PUSHED_BYTES, Unit::BytesPerSecond),
    (names::PUSH_AGE, Unit::Ns),
    (names::PUSH_UNSTAMPED, Unit::PerSecond),
    (names::PING_RTT, Unit::Ns),
    (names::PINGS, Unit::PerSecond),
    (names::OPEN_WEBSOCKETS, Unit::Count),
    (names::WS_OPENED, Unit::PerSecond),
    (names::WS_CLOSES, Unit::PerSecond),
    (names::OPEN_EVENT_STREAMS, Unit::Count),
    (names::SSE_OPENED, Unit::PerSecond),
    (names::SSE_RECONNECTS, Unit::PerSecond),
    (names::GENERATOR_CPU, Unit::Cores),
    (names::GENERATOR_HICCUP, Unit::Ns),
    (names::RELEASE_ERROR, Unit::Ns),
    (names::HOST_STEAL, Unit::Ratio),
    (names::HOST_CPU, Unit::Ratio),
    (names::HEAP_YOUNG, Unit::Bytes),
    (names::HEAP_OLD, Unit::Bytes),
    (names::HEAP_USED, Unit::Bytes),
    (names::HEAP_RESIDENT, Unit::Bytes),
    (names::HEAP_RETAINED, Unit::Bytes),
    (names::HEAP_ALLOCATED, Unit::BytesPerSecond),
    (names::HEAP_PROMOTED, Unit::BytesPerSecond),
    (names::HEAP_ERROR, Unit::Ratio),
    (names::HEAP_LIVE, Unit::Bytes),
    (names::PAUSE, Unit::Ns),
    (names::LOOP_DELAY, Unit::Ns),
    (names::LOOP_UTILISATION, Unit::Ratio),
    (names::SERVER_IN_FLIGHT, Unit::Count),
    (names::SERVER_HANDLER, Unit::Ns),
    (names::SERVER_REQUESTS, Unit::PerSecond),
    (names::SERVER_WEBSOCKETS, Unit::Count),
    (names::SERVER_SESSIONS, Unit::Count),
    (names::PROCESS_CPU, Unit::Cores),
    (names::PROCESS_RESIDENT, Unit::Bytes),
    (names::PROCESS_DESCRIPTORS, Unit::Count),
    (names::PROCESS_DESCRIPTOR_LIMIT, Unit::Count),
    (names::PROCESS_THREADS, Unit::Count),
    (names::SOURCE_AGE, Unit::Ns),
];
const POOL: [(&str, Unit); 9] = [
    ("capacity", Unit::Count),
    ("in-use", Unit::Count),
    ("idle", Unit::Count),
    ("waiters", Unit::Count),
    ("wait", Unit::Ns),
    ("hold", Unit::Ns),
    ("timeouts", Unit::PerSecond),
    ("opened", Unit::PerSecond),
    ("acquired", Unit::PerSecond),
];
const CACHE: [(&str, Unit); 9] = [
    ("hits", Unit::PerSecond),
    ("misses", Unit::PerSecond),
    ("loads", Unit::PerSecond),
    ("coalesced", Unit::PerSecond),
    ("duplicate-loads", Unit::PerSecond),
    ("evictions", Unit::PerSecond),
    ("loads-in-flight", Unit::Count),
    ("entries", Unit::Count),
    ("load", Unit::Ns),
];

/// The unit of a canonical lane; none for a lane that some source may well have.
/// An error carries the canonical name that was probably meant.
pub(super) fn known(name: &str) -> Result<Option<Unit>, String> {
    if let Some((_, unit)) = FIXED.iter().find(|(n, _)| *n == name) {
        return Ok(Some(*unit));
    }
    let (family, rest) = name.split_once('.').unwrap_or((name, ""));
    for (member, parts) in [(names::POOL, &POOL), (names::CACHE, &CACHE)] {
        if family == member {
            return part(name, rest, parts);
        }
    }
    // Far from every canonical name: another source's lane. Close to one: a slip of the pen.
    let close = nearest(name, FIXED.iter().map(|(n, _)| *n));
    let close = close.filter(|c| strsim::damerau_levenshtein(c, name) <= 2);
    // `loop` is two letters from `pool`.
    let slip = [names::POOL, names::CACHE].into_iter().find(|f| strsim::damerau_levenshtein(f, family) == 1);
    match close.or_else(|| slip.map(|f| format!("{f}.{rest}"))) {
        Some(meant) => Err(meant),
        None => Ok(None),
    }
}

fn part(name: &str, rest: &str, parts: &[(&str, Unit)]) -> Result<Option<Unit>, String> {
    let Some((member, last)) = rest.rsplit_once('.') else {
        return Err(format!("{name}.{}", parts[0].0));
    };
    if let Some((_, unit)) = parts.iter().find(|(p, _)| *p == last) {
        return Ok(Some(*unit));
    }
    let meant = nearest(last, parts.iter().map(|(p, _)| *p)).unwrap_or_else(|| parts[0].0.to_owned());
    Err(format!("{}.{member}.{meant}", name.split('.').next().unwrap_or(name)))
}
