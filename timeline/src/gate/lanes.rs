//! Which canonical lanes there are and in what unit, so that a misspelt one is refused at once.

use super::parse::nearest;
use crate::lane::names;
use crate::units::Unit;

const FIXED: [(&str, Unit); 116] = [
    (names::OFFERED, Unit::PerSecond),
    (names::ACHIEVED, Unit::PerSecond),
    (names::COMPLETED, Unit::PerSecond),
    (names::ERRORS, Unit::PerSecond),
    (names::STEP_ERRORS, Unit::PerSecond),
    (names::STEP_UNTIMED, Unit::PerSecond),
    (names::LATE, Unit::PerSecond),
    (names::OPEN_SESSIONS, Unit::Count),
    (names::SESSIONS_BY_KIND, Unit::Count),
    (names::SESSIONS_STARTED, Unit::PerSecond),
    (names::MOST_SESSIONS, Unit::Count),
    (names::OPEN_CONNECTIONS, Unit::Count),
    (names::RESPONSE, Unit::Ns),
    (names::SERVICE, Unit::Ns),
    (names::FIRST_BYTE, Unit::Ns),
    (names::EXCHANGE, Unit::Ns),
    (names::LATENESS, Unit::Ns),
    (names::DROPPED, Unit::PerSecond),
    (names::RETRIED, Unit::PerSecond),
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
    (names::HEAP_ACTIVE, Unit::Bytes),
    (names::HEAP_RETAINED, Unit::Bytes),
    (names::HEAP_ALLOCATED, Unit::BytesPerSecond),
    (names::HEAP_PROMOTED, Unit::BytesPerSecond),
    (names::HEAP_ERROR, Unit::Ratio),
    (names::HEAP_LIVE, Unit::Bytes),
    (names::PAUSE, Unit::Ns),
    (names::PAUSE_COLLECTING, Unit::Ratio),
    (names::PAUSE_COLLECTIONS, Unit::PerSecond),
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
    (names::PROCESS_VOLUNTARY_SWITCHES, Unit::PerSecond),
    (names::PROCESS_INVOLUNTARY_SWITCHES, Unit::PerSecond),
    (names::PROCESS_THROTTLED, Unit::Ratio),
    (names::HOST_CORES, Unit::Count),
    (names::HOST_LISTEN_OVERFLOWS, Unit::PerSecond),
    (names::HOST_LISTEN_DROPS, Unit::PerSecond),
    (names::HOST_RETRANSMITS, Unit::PerSecond),
    (names::HOST_RUN_QUEUE, Unit::Count),
    (names::HEAP_LARGE, Unit::Bytes),
    (names::HEAP_CAPACITY, Unit::Bytes),
    (names::HEAP_LIMIT, Unit::Bytes),
    (names::RUNTIME_THREADS, Unit::Count),
    (names::OFFLOAD_CAPACITY, Unit::Count),
    (names::OFFLOAD_BUSY, Unit::Count),
    (names::OFFLOAD_QUEUED, Unit::Count),
    (names::OFFLOAD_WAIT, Unit::Ns),
    (names::OFFLOAD_RUN, Unit::Ns),
    (names::LOOP_DELAY_LONGEST, Unit::Ns),
    (names::LOOP_DELAY_P99, Unit::Ns),
    (names::LOOP_RESOURCES, Unit::Count),
    (names::SERVER_DB_STATEMENTS, Unit::PerSecond),
    (names::SERVER_DB_REPEATED, Unit::PerSecond),
    (names::SERVER_DB_CHECKOUTS, Unit::PerSecond),
    (names::SERVER_DB_TIME, Unit::Ns),
    (names::SERVER_DB_WALL, Unit::Ns),
    (names::SERVER_CONNECTIONS, Unit::Count),
    (names::SERVER_BEFORE_HANDLER, Unit::Ns),
    (names::SERVER_SEND_QUEUE, Unit::Bytes),
    (names::SERVER_SEND_QUEUE_LONGEST, Unit::Bytes),
    (names::PROCESS_LISTEN_QUEUE, Unit::Count),
    (names::PROCESS_GENERATION, Unit::Count),
    (names::PROCESS_DEATHS, Unit::Count),
    (names::DB_CALLS, Unit::PerSecond),
    (names::DB_TIME, Unit::Ns),
    (names::DB_FAILURES, Unit::PerSecond),
    (names::DB_ROWS, Unit::PerSecond),
    (names::DB_SCANNED, Unit::PerSecond),
    (names::DB_TABLE_SCANS, Unit::PerSecond),
    (names::DB_TABLE_SCANNED, Unit::PerSecond),
    (names::DB_TABLE_FETCHED, Unit::PerSecond),
    (names::DB_CONNECTIONS, Unit::Count),
    (names::DB_CONNECTION_LIMIT, Unit::Count),
    (names::DB_ACTIVE, Unit::Count),
    (names::DB_WAITING, Unit::Count),
    (names::DB_IDLE_IN_TRANSACTION, Unit::Count),
    (names::DB_LONGEST_TRANSACTION, Unit::Ns),
    (names::DB_COMMITS, Unit::PerSecond),
    (names::DB_ROLLBACKS, Unit::PerSecond),
    (names::DB_DEADLOCKS, Unit::PerSecond),
    (names::DB_BUFFER_HITS, Unit::Ratio),
    (names::DB_TEMPORARY, Unit::BytesPerSecond),
    (names::DB_CHECKPOINTS, Unit::PerSecond),
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
const CACHE: [(&str, Unit); 20] = [
    ("hits", Unit::PerSecond),
    ("misses", Unit::PerSecond),
    ("loads", Unit::PerSecond),
    ("coalesced", Unit::PerSecond),
    ("duplicate-loads", Unit::PerSecond),
    ("evictions", Unit::PerSecond),
    ("early-refreshes", Unit::PerSecond),
    ("expired", Unit::PerSecond),
    ("removed", Unit::PerSecond),
    ("absent-loads", Unit::PerSecond),
    ("absent-hits", Unit::PerSecond),
    ("commands", Unit::PerSecond),
    ("memory", Unit::Bytes),
    ("memory-limit", Unit::Bytes),
    ("connections", Unit::Count),
    ("blocked", Unit::Count),
    ("pause", Unit::Ns),
    ("loads-in-flight", Unit::Count),
    ("entries", Unit::Count),
    ("load", Unit::Ns),
];
const BROKER: [(&str, Unit); 6] = [
    ("depth", Unit::Count),
    ("consumers", Unit::Count),
    ("age", Unit::Ns),
    ("published", Unit::PerSecond),
    ("refused", Unit::PerSecond),
    ("consumed", Unit::PerSecond),
];
const DOWNSTREAM: [(&str, Unit); 5] = [
    ("in-flight", Unit::Count),
    ("time", Unit::Ns),
    ("calls", Unit::PerSecond),
    ("failures", Unit::PerSecond),
    ("retries", Unit::PerSecond),
];
/// Families whose members the target names.
const FAMILIES: [(&str, &[(&str, Unit)]); 4] = [
    (names::POOL, &POOL),
    (names::CACHE, &CACHE),
    (names::BROKER, &BROKER),
    (names::DOWNSTREAM, &DOWNSTREAM),
];

/// A lane as its source calls it, and the unit of a canonical one; no unit for a lane that some source may well have. Canonical
/// words are known whatever their case; what the target names itself stays as it is written.
/// An error carries the canonical name that was probably meant.
pub(super) fn known(name: &str) -> Result<(String, Option<Unit>), String> {
    if let Some((canonical, unit)) = FIXED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Ok(((*canonical).to_owned(), Some(*unit)));
    }
    let (family, rest) = name.split_once('.').unwrap_or((name, ""));
    for (canonical, parts) in FAMILIES {
        if family.eq_ignore_ascii_case(canonical) {
            return part(canonical, rest, parts);
        }
    }
    let (lower, family) = (name.to_ascii_lowercase(), family.to_ascii_lowercase());
    // Far from every canonical name: another source's lane. Close to one: a slip of the pen.
    let close = nearest(&lower, FIXED.iter().map(|(n, _)| *n));
    let close = close.filter(|c| strsim::damerau_levenshtein(c, &lower) <= 2);
    // `loop` is two letters from `pool`.
    let slip = FAMILIES.map(|(f, _)| f).into_iter().find(|f| strsim::damerau_levenshtein(f, &family) == 1);
    match close.or_else(|| slip.map(|f| format!("{f}.{rest}"))) {
        Some(meant) => Err(meant),
        None => Ok((name.to_owned(), None)),
    }
}

fn part(family: &str, rest: &str, parts: &[(&str, Unit)]) -> Result<(String, Option<Unit>), String> {
    let Some((member, last)) = rest.rsplit_once('.') else {
        return Err(names::of(family, rest, parts[0].0));
    };
    if let Some((part, unit)) = parts.iter().find(|(p, _)| p.eq_ignore_ascii_case(last)) {
        return Ok((names::of(family, member, part), Some(*unit)));
    }
    let meant = nearest(&last.to_ascii_lowercase(), parts.iter().map(|(p, _)| *p));
    Err(names::of(family, member, &meant.unwrap_or_else(|| parts[0].0.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_canonical_lane_is_known() {
        let source = include_str!("../lane.rs");
        let names: Vec<&str> = source
            .lines()
            .filter_map(|l| {
                l.trim().strip_prefix("pub const ")?.split_once("&str = \"")?.1.strip_suffix("\";")
            })
            .filter(|n| n.contains('.'))
            .collect();
        assert!(names.len() > 80, "{}", names.len());
        for name in names {
            assert!(matches!(known(name), Ok((canonical, Some(_))) if canonical == name), "{name}");
        }
    }

    #[test]
    fn a_gate_may_allow_no_request_to_be_sent_again() {
        let gate = crate::gate::Gate::parse("client.retried max == 0/s").unwrap();
        assert_eq!(gate.to_string(), "client.retried max <= 0/s");
    }
}
