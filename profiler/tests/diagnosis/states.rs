//! What is said of a kind that was not found: that it was looked for and not seen, or why it never could be looked for.

use crate::world::process::run;
use crate::world::{self, Setup, World, build, cannot_tell, ms, phase, state};
use dynamometer_profiler::Diagnosis;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Status, Unit};

/// A healthy run of so many seconds that tells what heaps, descriptors and a pool hold.
fn healthy(seconds: u64) -> Diagnosis {
    let mut w = run(1, seconds, |_, _, _, _| {});
    let told = [
        (names::PROCESS_DESCRIPTORS, 30.0),
        (names::PROCESS_DESCRIPTOR_LIMIT, 1_000.0),
        ("pool.db.in-use", 0.0),
        ("pool.db.idle", 6.0),
    ];
    for (name, value) in told {
        let lane = w.lane(LaneSpec::level(name, "shop-0", Unit::Count));
        (1..seconds * 10).for_each(|i| w.sample(lane, ms(i * 100), value));
    }
    w.diagnose()
}

#[test]
fn too_little_data_is_said_and_what_it_takes() {
    let (short, long) = (healthy(5), healthy(45));
    for (kind, seconds) in [
        (FindingKind::HeapChurn, 3),
        (FindingKind::HeapBloat, 3),
        (FindingKind::PoolOversized, 3),
        (FindingKind::FdExhausted, 5),
        // Without generations only long windows are heard.
        (FindingKind::HeapLeak, 37),
    ] {
        let why = format!("not enough data: {seconds} s of settled load are needed");
        cannot_tell(&short, kind, &why);
        assert_eq!(state(&long, kind), (Status::NotSeen, "looked for and not seen".to_owned()));
    }
}

#[test]
fn a_leak_takes_thirteen_seconds_of_settled_load() {
    // The load has settled at 5 s.
    let told =
        |seconds| state(&build(&Setup { seconds, ..Setup::default() }).diagnose(), FindingKind::HeapLeak);
    assert_eq!(told(8).1, "not enough data: 13 s of settled load are needed");
    assert_eq!(told(20).0, Status::NotSeen);
}

#[test]
fn a_source_that_dies_at_once_has_shown_no_leak_to_be_absent() {
    let mut w = build(&Setup { seconds: 30, ..Setup::default() });
    w.entries.retain(|e| e.0 < ms(3_000));
    cannot_tell(&w.diagnose(), FindingKind::HeapLeak, "not enough data");
}

#[test]
fn growth_that_no_collection_has_judged_is_not_said_to_be_none() {
    let mut w = World::empty(40, vec![phase(0, 5, 0.0, 200.0, true), phase(5, 40, 200.0, 200.0, false)]);
    let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE]
        .map(|name| w.lane(LaneSpec::level(name, "shop-0", Unit::Bytes)));
    for i in 1..400_u64 {
        let old = 14e6 + 2e5 * i as f64;
        for (lane, value) in lanes.into_iter().zip([old + 1e6, old, 14e6]) {
            w.sample(lane, ms(i * 100), value);
        }
    }
    cannot_tell(&w.diagnose(), FindingKind::HeapLeak, "no major collection");
}

#[test]
fn what_is_withheld_is_not_said_to_be_absent() {
    let d = build(&Setup {
        phases: world::open(Setup::default().phases),
        capacity: |s| if s < 12.0 { 8 } else { 3 },
        rate: |s| 700.0 * (s / 5.0).min(1.0),
        seconds: 24,
        starved: Some((11.0, 30.0)),
        ..Setup::default()
    })
    .diagnose();
    cannot_tell(&d, FindingKind::PoolSaturated, "withheld");
    assert_eq!(state(&d, FindingKind::HeapLeak).0, Status::NotSeen);
}

#[test]
fn a_lane_that_is_declared_and_never_told_is_missing() {
    let mut w = World::empty(10, vec![phase(0, 10, 5.0, 5.0, false)]);
    for name in [names::OFFLOAD_CAPACITY, names::OFFLOAD_QUEUED, "pool.db.waiters", "pool.db.capacity"] {
        w.lane(LaneSpec::level(name, "shop-0", Unit::Count));
    }
    let d = w.diagnose();
    cannot_tell(&d, FindingKind::OffloadSaturated, names::OFFLOAD_QUEUED);
    cannot_tell(&d, FindingKind::PoolSaturated, "pool.NAME.waiters");
}
