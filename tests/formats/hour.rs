//! The page of an hour of 500 lanes. What it weighs and how soon it is painted is printed: `PAINTS=5 cargo test --release --test formats hour --
//! --nocapture`.

use std::collections::BTreeMap;

use reports::{Format, Inputs, Summary};
use timeline::facts::{LoadModel, PhaseFacts, PlanFacts, RunMeta};
use timeline::histogram::Sparse;
use timeline::lane::{Shape, names};
use timeline::{Entry, LaneId, LaneSpec, RunTime, Span, Timeline, Unit};

/// Length of the run, seconds.
const HOUR: u64 = 3_600;
/// Largest page, bytes.
const LARGEST: u64 = 3_000_000;

/// What the shop's workers, pools, caches and services would say, each by a name of its own: no two lanes share a line.
fn lanes() -> Vec<LaneSpec> {
    let of = |name: &str, unit| LaneSpec::level(name, "shop-0", unit);
    let rate = |name: &str| LaneSpec::rate(name, "shop-0", Unit::PerSecond);
    let mut lanes = vec![
        rate(names::OFFERED),
        rate(names::ACHIEVED),
        rate(names::COMPLETED),
        rate(names::ERRORS).about("status"),
        of(names::OPEN_SESSIONS, Unit::Count),
        of(names::HEAP_YOUNG, Unit::Bytes),
        of(names::HEAP_OLD, Unit::Bytes),
        of(names::PROCESS_CPU, Unit::Cores),
    ];
    for step in ["list", "product", "check out", "log in"] {
        lanes.extend([names::RESPONSE, names::SERVICE].map(|l| LaneSpec::histogram(l, "gen-0").about(step)));
    }
    for i in 0..60 {
        let name = |part: &str| format!("pool.p{i}.{part}");
        lanes.extend(["capacity", "in-use", "waiters"].map(|part| of(&name(part), Unit::Count)));
        lanes.push(LaneSpec::histogram(name("wait"), "shop-0"));
    }
    for i in 0..41 {
        let parts = ["hits", "misses", "loads", "coalesced"];
        lanes.extend(parts.map(|part| rate(&format!("cache.c{i}.{part}"))));
    }
    for i in 0..20 {
        let name = |part: &str| format!("downstream.s{i}.{part}");
        lanes.extend(["calls", "failures", "retries"].map(|part| rate(&name(part))));
        lanes.push(LaneSpec::histogram(name("time"), "shop-0"));
    }
    lanes
}

/// Every value is another one, so that nothing of the page is small by chance.
fn hour() -> Timeline {
    let mut timeline = Timeline::new();
    let phase = PhaseFacts {
        name: "steady".to_owned(),
        span: Span::new(RunTime::ZERO, RunTime::from_ms(HOUR * 1_000)),
        warmup: false,
        model: LoadModel::Sessions,
        from: 500.0,
        to: 500.0,
    };
    timeline.apply(&Entry::Plan(PlanFacts { phases: vec![phase], ..PlanFacts::default() }));
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    let lanes = lanes();
    assert_eq!(lanes.len(), 500);
    for (id, spec) in lanes.iter().enumerate() {
        let lane = LaneId(id as u32);
        timeline.apply(&Entry::Lane(lane, spec.clone()));
        for second in 0..HOUR {
            let span = Span::new(RunTime::from_ms(second * 1_000), RunTime::from_ms((second + 1) * 1_000));
            timeline.apply(&if spec.shape == Shape::Histogram {
                let cells: BTreeMap<u32, u32> =
                    (0..12).map(|i| (1_000 + i * 700 + random() % 700, 1 + random() % 9)).collect();
                Entry::Histogram { lane, span, cells: Sparse { cells: cells.into_iter().collect() } }
            } else {
                Entry::Sample { lane, at: span.end, value: f64::from(random()) / 7.0 }
            });
        }
    }
    timeline
}

#[test]
fn the_page_of_an_hour_of_five_hundred_lanes_is_small_and_is_drawn() {
    let timeline = hour();
    let meta = RunMeta { scenario: "hour".to_owned(), ..RunMeta::default() };
    let summary = Summary::new(&meta, &timeline, &[], None);
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs { summary: &summary, timeline: &timeline, meta: &meta };
    let written = reports::write(dir.path(), &inputs, &[Format::Html]).unwrap();
    let size = std::fs::metadata(&written[0]).unwrap().len();
    assert!(size < LARGEST, "{size} bytes");
    let paint_ms = super::the_page_in_a_browser(dir.path(), true);
    println!("{size} bytes, first painted after {paint_ms:.0} ms");
}
