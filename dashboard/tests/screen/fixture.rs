//! Snapshots to draw: a flash sale at any second of its life. Those that nobody would make on purpose are in `wild.rs`.
//!
//! Everything follows from the second alone, so pictures are the same in every run.

use timeline::event::{Event, kinds};
use timeline::facts::{LoadModel, PhaseFacts};
use timeline::finding::Evidence;
use timeline::lane::{Quality, names};
use timeline::snapshot::{
    CURVE_POINTS, CacheView, Cell, Curves, GateView, HeatColumn, KindView, LaneView, LoadView, LogLine,
    Percentiles, PoolView, ProcessView, RunState, RunView, Snapshot, SourceView, StepView, VERSION,
    curve_quantile, heat_row,
};
use timeline::{Finding, FindingKind, RunTime, Severity, Shape, Span, Status, Unit};

/// Seconds of the planned run.
pub const PLANNED: u64 = 90;
/// The sale begins: the hot key's protection is off from here on.
pub const ONSET: u64 = 40;
/// The hot key expires every so many seconds.
const EXPIRY: u64 = 5;
const MIB: f64 = 1_048_576.0;
const MS: f64 = 1e6;

fn at(second: u64) -> RunTime {
    RunTime::from_ms(second * 1_000)
}

/// A number from 0 to 1 that looks like noise and is the same every time.
fn noise(seed: u64) -> f64 {
    let x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (x >> 40) as f64 / (1u64 << 24) as f64
}

fn stampedes(second: u64) -> bool {
    second >= ONSET && (second - ONSET) % EXPIRY < 2
}

/// Response times of one second: two humps, and a slow tail while the key is loaded many times.
fn heat(second: u64) -> HeatColumn {
    let ramp = (second as f64 / 30.0).min(1.0);
    let mut rows = vec![0; heat_row(2e9) + 1];
    for (ns, count) in
        [(1.6e6, 260.0), (2.2e6, 900.0), (3.1e6, 1_900.0), (4.4e6, 700.0), (8e6, 90.0), (21e6, 6.0)]
    {
        rows[heat_row(ns)] += (count * ramp * (0.8 + 0.4 * noise(second ^ ns as u64))) as u32;
    }
    let mut max = 24e6 + 9e6 * noise(second);
    if stampedes(second) {
        for (ns, count) in [(60e6, 160.0), (140e6, 310.0), (300e6, 240.0), (700e6, 60.0)] {
            rows[heat_row(ns)] += (count * (0.7 + 0.6 * noise(second + ns as u64))) as u32;
        }
        max = 0.9e9 + 0.3e9 * noise(second);
    }
    while rows.last() == Some(&0) {
        rows.pop();
    }
    let p99 = if stampedes(second) { 412.0 * MS } else { 9.1 * MS + noise(second) * MS };
    HeatColumn { rows, max, p99, p50: 3.2 * MS }
}

/// What a lane is made of.
pub struct Spec(pub &'static str, Unit, Shape, Quality, fn(u64) -> Option<f64>);

fn wave(second: u64, period: u64) -> f64 {
    (second % period) as f64 / period as f64
}

pub const LANES: &[Spec] = &[
    Spec(names::HEAP_YOUNG, Unit::Bytes, Shape::Level, Quality::Sampled, |s| {
        Some((18.0 + 46.0 * wave(s, 7)) * MIB)
    }),
    Spec(names::HEAP_OLD, Unit::Bytes, Shape::Level, Quality::Sampled, |s| {
        Some((60.0 + (s / 4) as f64 * 3.0 + 2.0 * noise(s)) * MIB)
    }),
    Spec(names::HEAP_USED, Unit::Bytes, Shape::Level, Quality::Exact, |s| {
        Some((78.0 + (s / 4) as f64 * 3.0 + 46.0 * wave(s, 7)) * MIB)
    }),
    Spec(names::HEAP_ALLOCATED, Unit::BytesPerSecond, Shape::Rate, Quality::Sampled, |s| {
        Some((38.0 + 9.0 * noise(s)) * MIB)
    }),
    Spec(names::HEAP_PROMOTED, Unit::BytesPerSecond, Shape::Rate, Quality::Sampled, |s| {
        Some((1.0 + 2.0 * noise(s + 5)) * MIB)
    }),
    Spec(names::HEAP_RESIDENT, Unit::Bytes, Shape::Level, Quality::Exact, |s| {
        Some((150.0 + (s / 4) as f64 * 3.0) * MIB)
    }),
    Spec(names::HEAP_ERROR, Unit::Ratio, Shape::Level, Quality::Exact, |_| Some(0.06)),
    Spec(names::PAUSE, Unit::Ns, Shape::Level, Quality::Exact, |s| {
        // Seconds 20 to 22 were not measured: a gap, which is not zero.
        (!(20..23).contains(&s))
            .then(|| if s == 52 { 212.0 * MS } else { (noise(s) * 8.0).floor() * 0.4 * MS })
    }),
    Spec(names::LOOP_DELAY, Unit::Ns, Shape::Histogram, Quality::Exact, |s| {
        Some((0.4 + 2.0 * noise(s + 1)) * MS)
    }),
    Spec(names::LOOP_UTILISATION, Unit::Ratio, Shape::Level, Quality::Exact, |s| {
        Some(0.3 + 0.3 * noise(s + 2))
    }),
    Spec("pool.db.in-use", Unit::Count, Shape::Level, Quality::Exact, |s| {
        Some(if stampedes(s) { 64.0 } else { 9.0 + (22.0 * noise(s + 3)).floor() })
    }),
    Spec("pool.db.capacity", Unit::Count, Shape::Level, Quality::Exact, |_| Some(64.0)),
    Spec("pool.db.waiters", Unit::Count, Shape::Level, Quality::Exact, |s| {
        Some(if stampedes(s) { 90.0 + (60.0 * noise(s)).floor() } else { 0.0 })
    }),
    Spec("pool.db.wait", Unit::Ns, Shape::Histogram, Quality::Exact, |s| {
        Some(if stampedes(s) { 380.0 * MS } else { 0.02 * MS })
    }),
    Spec("pool.db.hold", Unit::Ns, Shape::Histogram, Quality::Exact, |s| Some((7.0 + noise(s)) * MS)),
    Spec("cache.product.hits", Unit::PerSecond, Shape::Rate, Quality::Exact, |s| {
        Some(3_600.0 + (90.0 * noise(s)).floor())
    }),
    Spec("cache.product.misses", Unit::PerSecond, Shape::Rate, Quality::Exact, |s| {
        Some(if stampedes(s) { 430.0 } else { 64.0 })
    }),
    Spec("cache.product.loads", Unit::PerSecond, Shape::Rate, Quality::Exact, |s| {
        Some(if stampedes(s) { 412.0 } else { 60.0 + (9.0 * noise(s)).floor() })
    }),
    Spec("cache.product.duplicate-loads", Unit::PerSecond, Shape::Rate, Quality::Exact, |s| {
        Some(if stampedes(s) { 350.0 } else { 0.0 })
    }),
    Spec(names::PROCESS_CPU, Unit::Cores, Shape::Level, Quality::Exact, |s| Some(0.71 + 0.2 * noise(s))),
    Spec(names::SERVER_IN_FLIGHT, Unit::Count, Shape::Level, Quality::Exact, |s| {
        Some(if stampedes(s) { 190.0 } else { 14.0 + (8.0 * noise(s)).floor() })
    }),
    Spec(names::DB_CALLS, Unit::PerSecond, Shape::Rate, Quality::Exact, |s| {
        Some(900.0 + (90.0 * noise(s)).floor())
    }),
    Spec(names::DB_TIME, Unit::Ns, Shape::Histogram, Quality::Exact, |s| Some((6.0 + noise(s + 6)) * MS)),
    Spec("broker.orders.depth", Unit::Count, Shape::Level, Quality::Exact, |s| Some((s / 9) as f64)),
    Spec("broker.orders.consumers", Unit::Count, Shape::Level, Quality::Exact, |_| Some(2.0)),
    Spec("downstream.billing.time", Unit::Ns, Shape::Histogram, Quality::Exact, |s| {
        Some((20.0 + noise(s)) * MS)
    }),
    Spec(names::OPEN_SESSIONS, Unit::Count, Shape::Level, Quality::Exact, |s| Some((s.min(30) * 270) as f64)),
    Spec(names::GENERATOR_CPU, Unit::Cores, Shape::Level, Quality::Exact, |s| {
        Some(0.45 + 0.1 * noise(s + 9))
    }),
    Spec(names::HOST_CPU, Unit::Ratio, Shape::Level, Quality::Inferred, |s| Some(0.6 + 0.1 * noise(s + 4))),
];

fn lane(spec: &Spec, seconds: u64) -> LaneView {
    let Spec(name, unit, shape, quality, value) = spec;
    let cell = |s| value(s).map(|v| Cell { min: v * 0.9, max: v, last: v });
    LaneView {
        name: (*name).to_owned(),
        unit: *unit,
        shape: *shape,
        quality: *quality,
        cells: (0..seconds).map(cell).collect(),
        last: seconds.checked_sub(1).and_then(value),
        age_ns: 100_000_000,
    }
}

fn percentiles(count: u64, p50: f64, p99: f64, max: f64) -> Percentiles {
    Percentiles {
        count,
        p50: p50 * MS,
        p90: p50 * 2.1 * MS,
        p99: p99 * MS,
        p999: max * 0.45 * MS,
        max: max * MS,
    }
}

/// A curve through a few percentiles, straight between them on the plot's scales.
fn curve(p: &Percentiles) -> Vec<f64> {
    let place = |q: f64| -(1.0 - q).ln();
    let known = [(0.5, p.p50), (0.9, p.p90), (0.99, p.p99), (0.999, p.p999), (0.9999, p.max * 0.8)];
    let at = |q: f64| {
        let i = known.iter().rposition(|k| k.0 <= q + 1e-9).unwrap_or(0).min(known.len() - 2);
        let [(a, from), (b, to)] = [known[i], known[i + 1]];
        let share = (place(q) - place(a)) / (place(b) - place(a));
        from * (to / from).powf(share)
    };
    (0..CURVE_POINTS).map(|i| at(curve_quantile(i))).collect()
}

fn phases() -> Vec<PhaseFacts> {
    let phase = |name: &str, from, to, warmup, (least, most)| PhaseFacts {
        name: name.to_owned(),
        span: Span::new(at(from), at(to)),
        warmup,
        model: LoadModel::Sessions,
        from: least,
        to: most,
    };
    vec![
        phase("warm-up", 0, 30, true, (0.0, 8_100.0)),
        phase("rush", 30, 70, false, (8_100.0, 8_100.0)),
        phase("ebb", 70, PLANNED, false, (8_100.0, 500.0)),
    ]
}

fn kinds_of_sessions(second: u64) -> Vec<KindView> {
    let kind =
        |name: &str, open, started| KindView { name: name.to_owned(), open, started, ended: started - open };
    let ramp = second.min(30);
    vec![kind("buyer", ramp * 216, second * 260), kind("onlooker", ramp * 54, second * 61)]
}

fn evidence(text: &str, lane: &str, from: u64, value: f64, unit: Unit) -> Evidence {
    Evidence {
        text: text.to_owned(),
        lane: lane.to_owned(),
        span: Span::new(at(from), at(from + 2)),
        value,
        unit,
    }
}

/// The cause, its consequence, and one that stands alone.
pub fn findings(second: u64) -> Vec<Finding> {
    let stampede = Finding {
        subject: "product:7".into(),
        severity: Severity::Critical,
        status: if second < ONSET + 10 { Status::Likely } else { Status::Confirmed },
        found_at: RunTime::from_ms(ONSET * 1_000 + 1_500),
        claim:
            "key product:7 of cache product is loaded 412 times at once when it expires; one load would do"
                .into(),
        evidence: vec![
            evidence("412 loads of one key within 180 ms", "cache.refresh", ONSET, 412.0, Unit::Count),
            evidence(
                "350 duplicate loads/s, 0/s before",
                "cache.product.duplicate-loads",
                ONSET,
                350.0,
                Unit::PerSecond,
            ),
        ],
        advice: vec![
            "load a missing key once and let the others wait for it (single flight)".into(),
            "refresh product:7 before it expires, at random times (probabilistic early expiration)".into(),
        ],
        ..Finding::bare("F1", FindingKind::CacheStampede, at(ONSET))
    };
    let pool = Finding {
        subject: "db".into(),
        severity: Severity::Critical,
        found_at: RunTime::from_ms(ONSET * 1_000 + 2_000),
        claim: "pool db is full from 00:40: 118 waiters on 64 connections, wait p99 380 ms".into(),
        evidence: vec![evidence(
            "waiters p99 118, wait p99 380 ms",
            "pool.db.waiters",
            ONSET,
            118.0,
            Unit::Count,
        )],
        contradicting: vec![evidence("hold time unchanged, 7.40 ms", "pool.db.hold", ONSET, 7.4e6, Unit::Ns)],
        advice: vec![
            "cure F1 first: its loads fill the pool; without them 31 of 64 connections are enough".into(),
        ],
        caused_by: Some("F1".into()),
        caused_by_reason: Some("precedes by 180 ms; a stampede's loads fill the pool".into()),
        ..Finding::bare("F2", FindingKind::PoolSaturated, RunTime::from_ms(ONSET * 1_000 + 180))
    };
    let leak = Finding {
        status: Status::Possible,
        found_at: at(58),
        claim: "the old generation grows by 768 KiB/s since 00:30 and does not level off".into(),
        evidence: vec![evidence(
            "+768 KiB/s after warm-up",
            names::HEAP_OLD,
            30,
            786_432.0,
            Unit::BytesPerSecond,
        )],
        advice: vec!["find what keeps objects for ever; bound it".into()],
        missing: vec!["allocation sites by age".into()],
        ..Finding::bare("F3", FindingKind::HeapLeak, at(30))
    };
    [stampede, pool, leak].into_iter().filter(|f| f.found_at <= at(second)).collect()
}

fn events(second: u64) -> Vec<Event> {
    let mut out = Vec::new();
    let event = |kind: &str, start: RunTime, ms: u64, labels: &[(&str, &str)], value, others| Event {
        kind: kind.to_owned(),
        instance: "shop-0".to_owned(),
        start,
        end: RunTime(start.0 + ms * 1_000_000),
        labels: labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        value,
        others,
    };
    for s in 0..second {
        if s % 13 == 8 {
            out.push(event(kinds::PAUSE_WORKER_STALL, at(s), 11, &[("route", "/import")], 0.0, 2));
        }
        if s == 52 {
            out.push(event(kinds::PAUSE_STOP_THE_WORLD, at(s), 212, &[("what", "compaction")], 0.0, 0));
        }
        if stampedes(s) && (s - ONSET).is_multiple_of(EXPIRY) {
            out.push(event(
                kinds::CACHE_REFRESH,
                at(s),
                180,
                &[("cache", "product"), ("key", "product:7")],
                412.0,
                0,
            ));
        }
        if s == 33 {
            out.push(event(kinds::MARKER, at(s), 0, &[], 0.0, 0));
        }
    }
    out
}

fn log(second: u64) -> Vec<LogLine> {
    let lines = [
        (0, "backend ready: 2 workers at http://127.0.0.1:40123"),
        (0, "attached: agent of shop-0, agent of shop-1, processes"),
        (0, "phase warm-up: sessions arrive, 9/s"),
        (30, "phase rush: 8,100 sessions"),
        (33, "marker"),
        (41, "finding F1: cache stampede product:7, likely"),
        (42, "finding F2: pool saturated db, likely, caused by F1"),
        (50, "finding F1: confirmed"),
        (58, "finding F3: heap leak, possible"),
    ];
    let lines = lines.iter().filter(|(s, _)| *s <= second);
    lines.map(|(s, text)| LogLine { at: at(*s), text: (*text).to_owned(), source: None }).collect()
}

fn load(second: u64) -> LoadView {
    LoadView {
        offered: 4_000.0 * (second as f64 / 30.0).min(1.0),
        achieved: 3_998.0 * (second as f64 / 30.0).min(1.0),
        completed: if stampedes(second) { 3_312.0 } else { 3_991.0 },
        late: 312,
        dropped: 0,
        open_sessions: second.min(30) * 270,
        open_connections: second.min(30) * 272,
        requests: second * 3_980,
        errors: second * 2,
        lateness_p99: Some(1.4 * MS),
        factor: None,
        halted_since: None,
        age_ns: Some(100_000_000),
    }
}

/// Makes of a snapshot one whose load a person has taken down a tenth, halted once for 4 s, and again at `second`.
pub fn halt(snapshot: &mut Snapshot, second: u64) {
    (snapshot.load.factor, snapshot.load.halted_since) = (Some(0.9), Some(at(second)));
    let change = |what: timeline::Amendment, s: u64| what.event(at(s));
    snapshot.events.push(change(timeline::Amendment::Scale(0.9), 35));
    snapshot.events.push(timeline::amendment::halt_event(timeline::Span::new(at(46), at(50))));
    snapshot.events.push(change(timeline::Amendment::Halt, second));
}

fn step(name: &str, count: u64, p50: f64, p99: f64, errors: u64) -> StepView {
    StepView {
        name: name.to_owned(),
        errors,
        untimed: 0,
        response: percentiles(count, p50, p99, p99 * 3.0),
        service: percentiles(count, p50 * 0.8, p99 * 0.4, p99),
    }
}

fn steps(second: u64) -> Vec<StepView> {
    let n = second * 400;
    vec![
        step("log in", n / 8, 21.0, 64.0, 0),
        step("browse", n * 3, 2.9, 31.0, 0),
        step("product", n * 4, 3.1, 412.0, second),
        step("cart", n, 4.4, 380.0, 0),
        step("checkout", n / 2, 7.9, 402.0, second),
        step("feed", n, 0.6, 3.1, 0),
    ]
}

fn processes() -> Vec<ProcessView> {
    let one = |name: &str, cpu, mib: f64, descriptors| ProcessView {
        name: name.to_owned(),
        cpu: Some(cpu),
        resident: Some(mib * MIB),
        descriptors: Some(descriptors),
        age_ns: 200_000_000,
    };
    vec![
        one("gen-0", 0.47, 41.0, 4_091.0),
        one("gen-1", 0.46, 40.5, 4_088.0),
        one("shop-0", 0.41, 131.0, 4_120.0),
        ProcessView { name: "shop-1".into(), age_ns: 7_000_000_000, ..one("", 0.4, 128.0, 4_119.0) },
    ]
}

fn pools_and_caches(second: u64) -> (Vec<PoolView>, Vec<CacheView>) {
    let s = second.saturating_sub(1);
    let value = |name: &str| LANES.iter().find(|l| l.0 == name).and_then(|l| l.4(s));
    let pool = PoolView {
        name: "db".into(),
        capacity: Some(64.0),
        in_use: value("pool.db.in-use"),
        waiters: value("pool.db.waiters"),
        wait: percentiles(4_100, 0.01, if stampedes(s) { 380.0 } else { 0.2 }, 402.0),
        hold: percentiles(4_100, 7.4, 9.8, 22.0),
        age_ns: 100_000_000,
    };
    let (hits, misses) = (value("cache.product.hits"), value("cache.product.misses"));
    let cache = CacheView {
        name: "product".into(),
        hit_ratio: hits.zip(misses).map(|(h, m)| h / (h + m)),
        hits,
        misses,
        loads: value("cache.product.loads"),
        duplicate_loads: value("cache.product.duplicate-loads"),
        loads_in_flight: Some(if stampedes(s) { 118.0 } else { 3.0 }),
        worst_key: stampedes(s).then(|| ("product:7".to_owned(), 412.0)),
        age_ns: 100_000_000,
    };
    (vec![pool], vec![cache])
}

/// The flash sale after `second` seconds.
pub fn flash_sale(second: u64) -> Snapshot {
    let phase = if second < 30 { ("warm-up", 1) } else { ("rush", 2) };
    let (pools, caches) = pools_and_caches(second);
    let slow = second > ONSET;
    let response =
        percentiles(second * 3_950, 3.2, if slow { 61.0 } else { 9.4 }, if slow { 1_180.0 } else { 33.0 });
    let service =
        percentiles(second * 3_950, 2.6, if slow { 19.0 } else { 7.2 }, if slow { 940.0 } else { 27.0 });
    Snapshot {
        version: VERSION,
        seq: second,
        at: at(second),
        run: RunView {
            run_id: "20250101-120000-7".into(),
            scenario: "flash-sale".into(),
            target: "http://127.0.0.1:40123".into(),
            seed: 7,
            state: RunState::Running,
            phase: Some((phase.0.to_owned(), phase.1, 3)),
            planned: Some(at(PLANNED)),
        },
        load: load(second),
        response,
        service,
        recent: percentiles(19_800, 3.3, if slow { 398.0 } else { 9.2 }, if slow { 1_180.0 } else { 31.0 }),
        steps: steps(second),
        curves: Curves { response: curve(&response), service: curve(&service) },
        phases: phases(),
        kinds: kinds_of_sessions(second),
        errors: vec![
            ("status 503".into(), second),
            ("timeout".into(), second / 2),
            ("reset by peer".into(), second / 2),
        ],
        first_column: 0,
        heat: (0..second).map(heat).collect(),
        lanes: LANES.iter().map(|l| lane(l, second)).collect(),
        pools,
        caches,
        events: events(second),
        findings: findings(second),
        gates: vec![
            GateView {
                that: "p99 < 250ms for checkout in phase rush".into(),
                holds: Some(!slow),
                figure: "402 ms".into(),
                line: Some((names::RESPONSE.into(), 250e6)),
            },
            GateView {
                that: "errors < 0.1% over 30s".into(),
                holds: Some(true),
                figure: "0.05 %".into(),
                line: None,
            },
            GateView { that: "dropped = 0".into(), holds: None, figure: String::new(), line: None },
        ],
        processes: processes(),
        sources: vec![
            SourceView {
                name: "agent".into(),
                state: "shop-0, shop-1: heap by age, pauses, 1 pool, 1 cache".into(),
                age_ns: Some(100_000_000),
                ageless: false,
            },
            SourceView {
                name: "process".into(),
                state: "4 processes; no descriptors of shop-1".into(),
                age_ns: Some(400_000_000),
                ageless: false,
            },
        ],
        log: log(second),
        dropped_entries: 0,
    }
}
