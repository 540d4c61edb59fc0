//! No content of a timeline makes a detector panic, or a finding that cannot be shown.

use crate::world;
use proptest::prelude::*;
use timeline::clock::Span;
use timeline::event::kinds;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{Entry, Event, LaneId, LaneSpec, RunTime, Unit};

const LANES: [&str; 39] = [
    "pool.db.capacity",
    "pool.db.in-use",
    "pool.db.waiters",
    "pool.db.timeouts",
    "pool.db.wait",
    "pool.db.hold",
    "cache.c.hits",
    "cache.c.misses",
    "cache.c.loads",
    "cache.c.coalesced",
    "cache.c.duplicate-loads",
    "cache.c.load",
    names::HEAP_USED,
    names::HEAP_ACTIVE,
    names::HEAP_OLD,
    names::HEAP_PROMOTED,
    names::HEAP_ERROR,
    names::OPEN_SESSIONS,
    names::SERVER_SESSIONS,
    names::GENERATOR_HICCUP,
    names::GENERATOR_CPU,
    names::LATENESS,
    names::OFFERED,
    names::ACHIEVED,
    names::HOST_STEAL,
    names::HOST_CPU,
    names::SERVICE,
    names::LOOP_DELAY,
    names::LOOP_UTILISATION,
    names::PROCESS_CPU,
    names::SERVER_HANDLER,
    names::OFFLOAD_CAPACITY,
    names::OFFLOAD_BUSY,
    names::OFFLOAD_QUEUED,
    names::OFFLOAD_RUN,
    names::HEAP_ALLOCATED,
    names::HEAP_RESIDENT,
    names::SERVER_IN_FLIGHT,
    names::RESPONSE,
];
const KINDS: [&str; 7] = [
    kinds::CACHE_REFRESH,
    kinds::PAUSE_HICCUP,
    kinds::PAUSE_WORKER_STALL,
    kinds::PAUSE_MAJOR,
    kinds::SOURCE,
    "",
    "nonsense",
];

fn lanes() -> Vec<Entry> {
    let mut list = Vec::new();
    for name in LANES {
        for instance in ["a", "b"] {
            let spec = match name.rsplit('.').next().unwrap() {
                "wait" | "hold" | "load" | "lateness" | "service" | "response" | "delay" | "handler"
                | "run" => LaneSpec::histogram(name, instance),
                _ => LaneSpec::level(name, instance, Unit::Count),
            };
            list.push(Entry::Lane(LaneId(list.len() as u32), spec));
        }
    }
    list
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-1.0),
        Just(f64::MAX),
        Just(-f64::MAX),
        Just(f64::MIN_POSITIVE),
        0.0..10.0f64,
        0.0..1e12f64
    ]
}

/// Mostly within half a minute, now and then at the ends of time.
fn time() -> impl Strategy<Value = RunTime> {
    prop_oneof![20 => (0u64..30_000).prop_map(RunTime::from_ms), 1 => Just(RunTime::ZERO), 1 => Just(RunTime(u64::MAX / 2))]
}

fn entry() -> impl Strategy<Value = Entry> {
    let lane = (0..LANES.len() as u32 * 2).prop_map(LaneId);
    let cells = prop::collection::vec((1u32..3_600_000_000, 1u32..u32::MAX), 0..4).prop_map(|mut cells| {
        cells.sort_unstable();
        Sparse { cells }
    });
    let label = prop_oneof![Just("c".to_owned()), Just("{onset}".to_owned()), ".{0,5}"];
    prop_oneof![
        8 => (lane.clone(), time(), value()).prop_map(|(lane, at, value)| Entry::Sample { lane, at, value }),
        3 => (lane, time(), time(), cells).prop_map(|(lane, a, b, cells)| Entry::Histogram { lane, span: Span::new(a, b), cells }),
        3 => (0..KINDS.len(), time(), time(), label, value()).prop_map(|(k, a, b, label, value)| Entry::Event(Event {
            kind: KINDS[k].to_owned(),
            instance: "a".to_owned(),
            start: a.min(b),
            end: b.max(a),
            labels: vec![("cache".to_owned(), label.clone()), ("key".to_owned(), label.clone()), ("what".to_owned(), label)],
            value,
            others: 0,
        })),
        1 => time().prop_map(Entry::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_timeline_makes_a_detector_panic(entries in prop::collection::vec(entry(), 0..300)) {
        let mut script = lanes();
        script.extend(entries);
        script.push(Entry::Tick(RunTime::from_ms(15_000)));
        script.push(Entry::Tick(RunTime::from_ms(30_000)));
        script.push(Entry::Tick(RunTime(u64::MAX)));
        let d = world::replay(&script);
        let json = serde_json::to_string(d.findings()).unwrap();
        for figure in ["value", "to"] {
            prop_assert!(!json.contains(&format!("\"{figure}\":null")), "a figure that is no number: {json}");
        }
        prop_assert!(d.findings().iter().all(|f| f.status >= timeline::Status::Possible));
        prop_assert_eq!(json, serde_json::to_string(world::replay(&script).findings()).unwrap());
    }
}
