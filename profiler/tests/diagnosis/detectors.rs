//! Each pathology is found with its figures, each twin stays clean, on made-up runs of two processes.

use std::collections::BTreeMap;

use dynamometer_profiler as profiler;

use crate::world::{
    self, Setup, World, build, claim_and_advice, find, kinds_of, likely, ms, phase, told, took,
};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{Entry, FindingKind, LaneId, LaneSpec, RunTime, Severity, Status, Unit};

fn small_pool() -> Setup {
    let phases = world::open(Setup::default().phases);
    Setup {
        phases,
        capacity: |s| if s < 12.0 { 8 } else { 3 },
        rate: |s| 700.0 * (s / 5.0).min(1.0),
        seconds: 24,
        ..Setup::default()
    }
}

fn stampede() -> Setup {
    Setup { stampede: Some((15.0, 30.0)), rate: |s| 150.0 * (s / 5.0).min(1.0), ..Setup::default() }
}

fn leak() -> Setup {
    Setup { leak: Some((12.0, 3.1 * 1024.0 * 1024.0)), ..Setup::default() }
}

fn frozen() -> Setup {
    Setup { frozen: Some((12.0, 30.0, 400, 2_000)), ..Setup::default() }
}

/// Seeds for each healthy load; `DYNO_SEEDS=100` looks harder.
fn seeds() -> u64 {
    std::env::var("DYNO_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3)
}

#[test]
fn a_pool_below_the_load_is_found_with_what_the_load_needs() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..small_pool() }).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::PoolSaturated], "{:#?}", d.findings());
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(took(f, 12.0) <= 3.0 && f.onset >= ms(11_500) && f.onset <= ms(13_000), "{f:#?}");
        assert_eq!(f.status, Status::Confirmed);
        assert_eq!(f.caused_by, None);
        // 700/s x 15 ms = 10.5
        let needs: f64 = f.claim.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((9.0..=13.0).contains(&needs), "{}", f.claim);
    }
}

#[test]
fn what_a_warm_up_leaves_in_the_queue_drains_before_it_counts() {
    // Twice 533/s are to be had: 940 wait when the warm-up ends at 5 s, and are gone at 6.4 s.
    let rising = Setup {
        capacity: |_| 8,
        rate: |s| if s < 5.0 { 1_300.0 * s.min(1.0) } else { 400.0 },
        ..small_pool()
    };
    for seed in 0..3 {
        let d = build(&Setup { seed, ..rising.clone() }).diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
        // A pool that is too small all the same is found with what follows.
        let small = Setup { capacity: |_| 3, rate: |s| 700.0 * (s / 5.0).min(1.0), ..small_pool() };
        let d = build(&Setup { seed, ..small }).diagnose();
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(f.status == Status::Confirmed && f.onset >= ms(8_000) && f.found_at <= ms(13_500), "{f:#?}");
    }
}

#[test]
fn what_a_closed_loop_would_ask_for_is_seen_through_its_waiting() {
    // 1,000 sessions that think for 1 s: 985/s with nobody waiting, 14.8 connections busy; 8 are left.
    let setup = Setup {
        closed: Some((1_000, 1.0)),
        sessions: |_| 1_000.0,
        capacity: |s| if s < 12.0 { 16 } else { 4 },
        seconds: 30,
        ..Setup::default()
    };
    for seed in 0..3 {
        let d = build(&Setup { seed, ..setup.clone() }).diagnose();
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(took(f, 12.0) <= 3.0 && f.status == Status::Confirmed, "{f:#?}");
        let needs: f64 = f.claim.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((13.0..=18.0).contains(&needs), "{}", f.claim);
    }
}

#[test]
fn a_stampede_comes_before_the_pool_that_it_fills() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..stampede() }).diagnose();
        assert_eq!(
            kinds_of(&d),
            [FindingKind::CacheStampede, FindingKind::PoolSaturated],
            "{:#?}",
            d.findings()
        );
        let (cause, effect) = (&d.findings()[0], &d.findings()[1]);
        assert_eq!(cause.onset, ms(15_000));
        assert!(
            took(cause, 15.0) <= 3.0 && took(effect, 15.0) <= 3.0,
            "{} {}",
            cause.found_at,
            effect.found_at
        );
        assert_eq!((cause.status, cause.subject.as_str()), (Status::Confirmed, "product:7"));
        assert_eq!(effect.caused_by.as_ref(), Some(&cause.id), "{effect:#?}");
        assert!(cause.ended.is_some(), "it ended at 30 s");
    }
}

#[test]
fn stops_of_a_process_are_found_with_length_and_period() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..frozen() }).diagnose();
        let f = &d.findings()[0];
        assert_eq!(
            (f.kind, f.subject.as_str(), f.status),
            (FindingKind::LongPause, "shop-0", Status::Confirmed)
        );
        assert!(took(f, 12.0) <= 3.0 && f.onset == ms(12_003), "{f:#?}");
        assert!(f.claim.contains("every 2.00 s") && f.claim.contains("398 ms"), "{}", f.claim);
        assert!(
            d.findings().iter().skip(1).all(|g| g.caused_by.as_ref() == Some(&f.id)),
            "{:#?}",
            d.findings()
        );
    }
}

#[test]
fn a_leak_is_told_with_who_allocates_what_stays() {
    let mut w = build(&leak());
    for (function, share) in [("keep (shop/sessions.js:17)", 0.8), ("log (shop/log.js:3)", 0.1)] {
        w.event(kinds::PROFILE_RETAINED, "shop-0", ms(24_000), ms(29_000), &[("function", function)], share);
    }
    let said = claim_and_advice(find(&w.diagnose(), FindingKind::HeapLeak));
    assert!(said.contains("80 % of what stays is allocated in keep (shop/sessions.js:17)"), "{said}");
    assert!(!said.contains("shop/log.js"), "{said}");
}

#[test]
fn a_leak_is_found_with_its_rate_and_its_beginning() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..leak() }).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::HeapLeak], "{:#?}", d.findings());
        let f = find(&d, FindingKind::HeapLeak);
        let rate = f.evidence[0].value / 1024.0 / 1024.0;
        assert!((2.6..3.6).contains(&rate), "{rate} {f:#?}");
        assert!(f.onset >= ms(10_500) && f.onset <= ms(13_500), "{f:#?}");
        // The least data is 13 s from its beginning.
        assert!(took(f, 12.0) <= 16.0, "{f:#?}");
    }
}

/// A heap with a collector: so much is kept each second, and so much garbage grows old, until a major collection comes when
/// the old generation has doubled since the last.
fn collected(kept: f64, garbage: f64, tells: bool) -> World {
    const MB: f64 = 1024.0 * 1024.0;
    let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 60, 200.0, 200.0, false)];
    let mut w = World::empty(60, phases);
    let level = |name: &str| LaneSpec::level(name, "shop-0", Unit::Bytes);
    let (used, old) = (w.lane(level(names::HEAP_USED)), w.lane(level(names::HEAP_OLD)));
    let live = tells.then(|| w.lane(level(names::HEAP_LIVE)));
    let limit = w.lane(level(names::HEAP_LIMIT));
    let (mut alive, mut dead, mut left) = (14.0 * MB, 0.0, 14.0 * MB);
    for tick in 1..600 {
        let at = ms(tick * 100);
        alive += if tick > 100 { kept * MB / 10.0 } else { 0.0 };
        dead += garbage * MB / 10.0;
        if alive + dead >= 2.0 * left {
            (dead, left) = (0.0, alive);
        }
        // The young generation fills and is collected, once in 1.1 s.
        let young = (tick % 11) as f64 / 10.0 * MB;
        w.sample(used, at, alive + dead + young);
        w.sample(old, at, alive + dead);
        w.sample(limit, at, 1_024.0 * MB);
        if let Some(live) = live {
            w.sample(live, at, left);
        }
    }
    w
}

/// What is loaded again and again lives for a tick or three, and is three times what the leak keeps in a second.
#[test]
fn what_requests_hold_for_a_moment_hides_no_leak() {
    let held = |s: f64| if (s * 10.0).round() as u64 % 9 < 3 { 14e6 } else { 0.0 };
    for seed in 0..3 {
        let d = build(&Setup { seed, held, ..leak() }).diagnose();
        let f = find(&d, FindingKind::HeapLeak);
        assert!(likely(f) && took(f, 12.0) <= 14.5, "{f:#?}");
        let clean = build(&Setup { seed, held, ..Setup::default() }).diagnose();
        assert_eq!(kinds_of(&clean), [], "{:#?}", clean.findings());
    }
}

#[test]
fn a_leak_that_comes_to_rest_lasts_until_it_is_given_back() {
    let ended = |heap: fn(f64) -> f64| {
        let phases = vec![phase(0, 5, 0.0, 5_000.0, true), phase(5, 75, 5_000.0, 5_000.0, false)];
        let d = build(&Setup { heap, seconds: 75, phases, ..Setup::default() }).diagnose();
        find(&d, FindingKind::HeapLeak).ended
    };
    fn rested(s: f64) -> f64 {
        60e6 + 60e6 * (s / 5.0).min(1.0) + 4e6 * (s.min(32.0) - 12.0).max(0.0)
    }
    assert_eq!(ended(rested), None);
    let given_back = ended(|s| if s < 60.0 { rested(s) } else { 120e6 });
    assert!(given_back.is_some_and(|end| (31.0..45.0).contains(&end.as_secs_f64())), "{given_back:?}");
}

#[test]
fn garbage_that_waits_for_a_collection_is_no_leak_and_what_a_collection_leaves_is() {
    let clean = |tells| kinds_of(&collected(0.0, 1.0, tells).diagnose());
    assert_eq!(clean(true), []);
    assert_eq!(clean(false), [FindingKind::HeapLeak], "nothing but the lane tells garbage from a leak");
    let d = collected(3.0, 1.0, true).diagnose();
    let f = find(&d, FindingKind::HeapLeak);
    assert!(likely(f) && f.onset >= ms(8_000) && f.onset <= ms(13_000), "{f:#?}");
    assert!(f.evidence.iter().any(|e| e.text.contains("the last major collection left")), "{f:#?}");
    let limit = f.advice.iter().find(|a| a.contains("limit")).unwrap();
    assert!(limit.starts_with("shop-0 comes to its heap's limit of 1.00 GiB in "), "{limit}");
}

#[test]
fn the_teeth_of_collections_do_not_hide_what_they_leave() {
    // The leak begins at 10 s, among as much garbage: half of all growth goes again with each collection.
    for mb in [1.5, 2.0, 3.0] {
        let d = collected(mb, mb, true).diagnose();
        let f = find(&d, FindingKind::HeapLeak);
        assert!(likely(f) && took(f, 10.0) <= 16.0, "{mb} {f:#?}");
        let rate = f.evidence[0].value / 1024.0 / 1024.0;
        assert!((0.8 * mb..1.5 * mb).contains(&rate), "{mb} {rate} {f:#?}");
        // At the end of 60 s: what lives then, and goes on growing.
        let limit = f.advice.iter().find(|a| a.contains("limit")).unwrap();
        let told: f64 = limit.split(" in ").nth(1).and_then(|l| l.split(' ').next()?.parse().ok()).unwrap();
        let left = (1_024.0 - 14.0 - 50.0 * mb) / mb;
        assert!((0.7 * left..1.4 * left).contains(&told), "{mb} {left} {limit}");
    }
    // However often garbage is collected, it is none.
    for mb in [2.0, 4.0, 8.0] {
        assert_eq!(kinds_of(&collected(0.0, mb, true).diagnose()), [], "{mb}");
    }
}

/// A heap without generations, as Go's: it doubles until the next collection, which leaves what lives.
fn without_generations(kept: f64) -> profiler::Diagnosis {
    const MB: f64 = 1024.0 * 1024.0;
    let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 60, 200.0, 200.0, false)];
    let mut w = World::empty(60, phases);
    let lanes = [names::HEAP_USED, names::HEAP_LIVE, names::HEAP_CAPACITY]
        .map(|name| w.lane(LaneSpec::level(name, "metrics-8080", Unit::Bytes)));
    for tick in 1..600_u64 {
        let live = (20.0 + kept * (tick / 40 * 4) as f64) * MB;
        let used = live * (1.0 + (tick % 40) as f64 / 40.0);
        for (lane, value) in lanes.into_iter().zip([used, live, 200.0 * MB]) {
            w.sample(lane, ms(tick * 100), value);
        }
    }
    w.diagnose()
}

#[test]
fn a_heap_without_generations_leaks_what_its_collections_leave() {
    let d = without_generations(1.0);
    assert_eq!(kinds_of(&d), [FindingKind::HeapLeak], "{:#?}", d.findings());
    let f = find(&d, FindingKind::HeapLeak);
    assert_eq!((f.status, f.evidence[0].lane.as_str()), (Status::Possible, names::HEAP_LIVE), "{f:#?}");
    let d = without_generations(0.0);
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
}

#[test]
fn a_collection_speaks_for_its_own_process() {
    const MB: f64 = 1024.0 * 1024.0;
    // One grows by so many MB a second and is collected every 10 s, which leaves all of it; the other grows, too, and is not collected.
    let kinds = |collected: f64, other: f64| {
        let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 60, 200.0, 200.0, false)];
        let mut w = World::empty(60, phases);
        for (name, slope, is_collected) in [("services-0", collected, true), ("shop-0", other, false)] {
            let level = |lane: &str| LaneSpec::level(lane, name, Unit::Bytes);
            let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE].map(|lane| w.lane(level(lane)));
            for tick in 1..600_u64 {
                let old = |tick: u64| (14.0 + slope * tick as f64 / 10.0) * MB;
                let live = if is_collected { old(tick / 100 * 100) } else { old(0) };
                for (lane, value) in lanes.into_iter().zip([old(tick) + MB, old(tick), live]) {
                    w.sample(lane, ms(tick * 100), value);
                }
            }
        }
        kinds_of(&w.diagnose())
    };
    assert_eq!(kinds(0.8, 2.0), []);
    assert_eq!(kinds(2.0, 0.8), [FindingKind::HeapLeak]);
}

#[test]
fn a_collection_at_the_beginning_does_not_speak_for_what_comes_after_it() {
    const MB: f64 = 1024.0 * 1024.0;
    // From 10 s on: 2 MB at once, and 0.6 MB a second. Collected at 11 s and at 30 s, when `kept` of each MB since is left.
    let kinds = |kept: f64| {
        let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 60, 200.0, 200.0, false)];
        let mut w = World::empty(60, phases);
        let level = |lane: &str| LaneSpec::level(lane, "shop-0", Unit::Bytes);
        let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE].map(|lane| w.lane(level(lane)));
        for tick in 1..450_u64 {
            let s = tick as f64 / 10.0;
            let (live, garbage) = match tick {
                0..100 => (20.0, 0.0),
                100..110 => (20.0, 2.0 + 0.6 * (s - 10.0)),
                110..300 => (22.6, 0.6 * (s - 11.0)),
                _ => (22.6 + kept * 0.6 * 19.0, 0.6 * (s - 30.0)),
            };
            for (lane, mb) in lanes.into_iter().zip([live + garbage + 1.0, live + garbage, live]) {
                w.sample(lane, ms(tick * 100), mb * MB);
            }
        }
        kinds_of(&w.diagnose())
    };
    assert_eq!(kinds(0.0), []);
    assert_eq!(kinds(1.0), [FindingKind::HeapLeak]);
}

/// From 6 s on a heap grows by 4 MB a second, and from 12 s on by `slower`; every 5 s a collection leaves all of it. So many requests a second
/// are answered until then, and afterwards.
fn slower_growth(slower: f64, requests: [f64; 2]) -> Vec<FindingKind> {
    const MB: f64 = 1024.0 * 1024.0;
    let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 60, 200.0, 200.0, false)];
    let mut w = World::empty(60, phases);
    let level = |lane: &str| LaneSpec::level(lane, "shop-0", Unit::Bytes);
    let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE].map(|lane| w.lane(level(lane)));
    let answered = w.lane(LaneSpec::rate(names::SERVER_REQUESTS, "shop-0", Unit::PerSecond));
    let old = |tick: u64| {
        let s = tick as f64 / 10.0;
        20.0 + 4.0 * (s.min(12.0) - 6.0).max(0.0) + slower * (s - 12.0).max(0.0)
    };
    // Later on the window and the time before it are alike.
    for tick in 1..230_u64 {
        let live = old(tick / 50 * 50);
        for (lane, mb) in lanes.into_iter().zip([old(tick) + 1.0, old(tick), live]) {
            w.sample(lane, ms(tick * 100), mb * MB);
        }
        w.sample(answered, ms(tick * 100), requests[usize::from(tick >= 120)]);
    }
    kinds_of(&w.diagnose())
}

#[test]
fn a_leak_that_slows_down_with_its_requests_does_not_fill_up() {
    assert_eq!(slower_growth(2.4, [400.0, 240.0]), [FindingKind::HeapLeak]);
    assert_eq!(slower_growth(2.4, [400.0, 400.0]), [], "a cache that fills");
    assert_eq!(slower_growth(2.4, [0.0, 0.0]), [], "one that no request fills");
    assert_eq!(slower_growth(4.0, [400.0, 800.0]), [FindingKind::HeapLeak], "as fast for more requests");
}

/// From 10 s on a heap grows by 3 MB a second, and is collected once, at `collected_s`, which leaves `stays` of what came. Until then it
/// grows so, too, or by 4 MB at once.
fn collected_once(collected_s: f64, stays: f64, at_once: bool, until_s: u64) -> profiler::Diagnosis {
    const MB: f64 = 1024.0 * 1024.0;
    let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, 40, 200.0, 200.0, false)];
    let mut w = World::empty(40, phases);
    let level = |lane: &str| LaneSpec::level(lane, "shop-0", Unit::Bytes);
    let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE].map(|lane| w.lane(level(lane)));
    let until = collected_s - 10.0;
    for tick in 1..until_s * 10 {
        let since = (tick as f64 / 10.0 - 10.0).max(0.0);
        let (live, garbage) = match since {
            0.0 => (20.0, 0.0),
            _ if since < until => (20.0, if at_once { 4.0 } else { 3.0 * since }),
            _ => (20.0 + stays * if at_once { 4.0 } else { 3.0 * until }, 3.0 * (since - until)),
        };
        for (lane, mb) in lanes.into_iter().zip([live + garbage + 1.0, live + garbage, live]) {
            w.sample(lane, ms(tick * 100), mb * MB);
        }
    }
    w.diagnose()
}

/// By 18 s, when a window is full, the collection at 12.6 s has seen less than a third of the growth, and more than a fifth until 23 s.
#[test]
fn an_early_collection_speaks_where_what_it_left_came_at_the_pace_of_what_comes_after_it() {
    let kinds = |collected_s, stays, at_once| kinds_of(&collected_once(collected_s, stays, at_once, 22));
    assert_eq!(kinds(12.6, 1.0, false), [FindingKind::HeapLeak]);
    assert_eq!(kinds(12.6, 1.0, true), [], "a step, with what may be garbage behind it");
    assert_eq!(kinds(12.6, 0.8, false), [], "not all of it stayed");
    assert_eq!(kinds(12.0, 1.0, false), [], "requests may hold what came in two seconds");
    // A window of 16 s confirms, of which the collection at 14 s has seen a fourth.
    let d = collected_once(14.0, 1.0, false, 29);
    assert_eq!(find(&d, FindingKind::HeapLeak).status, Status::Likely, "too early to confirm it");
}

#[test]
fn a_leak_outlasts_what_long_requests_hold() {
    let found = |request_s: u64| {
        let mut w = collected(3.0, 0.0, true);
        let handler = w.lane(LaneSpec::histogram(names::SERVER_HANDLER, "shop-0").about("/import"));
        for end in (request_s..60).step_by(2) {
            w.histogram(handler, ms(end * 1000 - 100), ms(end * 1000), &[request_s as f64 * 1e6]);
        }
        let d = w.diagnose();
        find(&d, FindingKind::HeapLeak).found_at.as_secs_f64()
    };
    let (short, long) = (found(1), found(8));
    // It begins at 10 s; 8 s are a window for requests of 1 s, 32 s the first one for requests of 8 s.
    assert!(short < 30.0 && long >= 10.0 + 32.0, "{short} {long}");
}

#[test]
fn a_starved_generator_silences_what_it_would_blame_on_the_target() {
    let d = build(&Setup { starved: Some((11.0, 30.0)), ..frozen() }).diagnose();
    assert_eq!(kinds_of(&d), [FindingKind::GeneratorLimited], "{:#?}", d.findings());
    let d = build(&Setup { starved: Some((11.0, 30.0)), ..small_pool() }).diagnose();
    assert_eq!(kinds_of(&d), [FindingKind::GeneratorLimited], "{:#?}", d.findings());
    assert!(
        d.findings()[0].evidence.iter().any(|e| e.text.contains("withheld: pool-saturated db")),
        "{:#?}",
        d.findings()
    );
}

#[test]
fn healthy_runs_have_no_finding() {
    let steady = Setup::default();
    let ramp = Setup {
        phases: vec![phase(0, 30, 0.0, 5_000.0, false), phase(30, 40, 5_000.0, 5_000.0, false)],
        rate: |s| 500.0 * (s / 30.0).min(1.0),
        sessions: |s| 5_000.0 * (s / 30.0).min(1.0),
        heap: |s| 20e6 + 200e6 * (s / 30.0).min(1.0),
        ..Setup::default()
    };
    let spike = Setup {
        phases: vec![
            phase(0, 15, 500.0, 500.0, false),
            phase(15, 25, 5_000.0, 5_000.0, false),
            phase(25, 40, 500.0, 500.0, false),
        ],
        rate: |s| if (15.0..25.0).contains(&s) { 600.0 } else { 100.0 },
        sessions: |s| if (15.0..25.0).contains(&s) { 5_000.0 } else { 500.0 },
        heap: |s| 30e6 + if s > 15.0 { 80e6 * ((s - 15.0) / 2.0).min(1.0) } else { 0.0 },
        ..Setup::default()
    };
    let filling = Setup { heap: |s| 200e6 - 100e6 * (-s / 6.0).exp(), ..Setup::default() };
    let filling_fast = Setup { heap: |s| 100e6 - 50e6 * (-s / 3.0).exp(), ..Setup::default() };
    let filling_slowly = Setup { heap: |s| 200e6 - 100e6 * (-s / 12.0).exp(), ..Setup::default() };
    let noisy = Setup { noisy: true, ..Setup::default() };
    for (name, setup) in [
        ("steady", steady),
        ("ramp", ramp),
        ("spike", spike),
        ("filling", filling),
        ("filling fast", filling_fast),
        ("filling slowly", filling_slowly),
        ("noisy", noisy),
    ] {
        for seed in 0..seeds() {
            let d = build(&Setup { seed, ..setup.clone() }).diagnose();
            assert!(d.findings().is_empty(), "{name}, seed {seed}: {:#?}", d.findings());
            // The world has not the lanes of every detector.
            assert!(d.states().iter().all(|s| s.1 <= Status::NotSeen), "{:#?}", d.states());
        }
    }
}

/// What a person does to the load is known to all who judge: neither the halt nor the going on is a fault of the target.
#[test]
fn a_halt_is_no_finding() {
    use timeline::Amendment::{GoOn, Halt, Scale};
    for seed in 0..seeds() {
        for open in [false, true] {
            let mut setup = Setup {
                seed,
                rate: |s| match s {
                    15.0..20.0 => 0.0,
                    30.0.. => 250.0,
                    _ => 500.0 * (s / 5.0).min(1.0),
                },
                ..Setup::default()
            };
            if open {
                setup.phases = world::open(setup.phases);
            }
            let mut w = build(&setup);
            for (s, what) in [(15, Halt), (20, GoOn), (30, Scale(0.5))] {
                w.entries.push((ms(s * 1_000), timeline::Entry::Event(what.event(ms(s * 1_000)))));
            }
            let d = w.diagnose();
            assert_eq!(kinds_of(&d), [], "seed {seed}, open {open}: {:#?}", d.findings());
        }
    }
}

#[test]
fn independent_faults_are_both_found_and_neither_is_blamed_for_the_other() {
    let d = build(&Setup { leak: leak().leak, ..frozen() }).diagnose();
    for kind in [FindingKind::HeapLeak, FindingKind::LongPause] {
        let f = find(&d, kind);
        assert!(likely(f) && f.caused_by.is_none(), "{f:#?}");
    }
    // A pool that is short all the time, and short stampedes in between.
    let both = Setup {
        stampede: Some((18.0, 30.0)),
        ttl: 3.0,
        load_ms: 60.0,
        key_rate: 400.0,
        seconds: 34,
        ..small_pool()
    };
    let d = build(&both).diagnose();
    for kind in [FindingKind::CacheStampede, FindingKind::PoolSaturated] {
        assert!(find(&d, kind).caused_by.is_none(), "{:#?}", d.findings());
    }
}

/// Each 1.5 s the process stands still for 150 ms, of which it was ready to run for 130; a collection takes `collected` of it.
fn without_a_core(collected: u64) -> profiler::Diagnosis {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 150), &[], 130e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + collected), &[], 0.0);
    }
    w.diagnose()
}

#[test]
fn a_collection_whose_helpers_have_the_cores_is_a_pause_and_a_neighbour_is_none() {
    let d = without_a_core(120);
    let f = find(&d, FindingKind::LongPause);
    assert!(f.claim.contains("major collections"), "{f:#?}");
    assert_eq!(kinds_of(&without_a_core(10)), []);
}

/// Each 1.5 s the loop of shop-0 turns 80 ms late, because it was `busy` or for no reason of its own; a collection takes `collected` of it.
fn late_for_80_ms(busy: bool, collected: u64) -> Vec<FindingKind> {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let kind = if busy { kinds::PAUSE_WORKER_STALL } else { kinds::PAUSE_HICCUP };
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kind, "shop-0", ms(at), ms(at + 80), &[], 0.0);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + collected), &[], 0.0);
    }
    kinds_of(&w.diagnose())
}

#[test]
fn collections_count_from_half_of_what_a_standstill_without_a_reason_takes_to_count() {
    assert!(late_for_80_ms(true, 75).contains(&FindingKind::LongPause));
    assert!(late_for_80_ms(false, 75).contains(&FindingKind::LongPause));
    assert!(
        !late_for_80_ms(true, 20).contains(&FindingKind::LongPause),
        "the work of its loop, and little else"
    );
    assert_eq!(late_for_80_ms(false, 20), []);
    // A standstill that is a collection for the most part is no second one beside it.
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 60), &[], 20e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + 35), &[], 0.0);
    }
    assert_eq!(kinds_of(&w.diagnose()), []);
}

/// Each 1.5 s shop-0 stands still for 600 ms, of which it was ready to run for 540, with a collection of 335 ms in it; so much of the CPU is in
/// use, and shop-1 lacks a core at the same time or does not.
fn starved_collections(cpu: f64, both: bool) -> bool {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    (1..48).for_each(|i| w.sample(host, ms(i * 500), cpu));
    for at in (12_000..23_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 600), &[], 540e6);
        w.event(kinds::PAUSE_MINOR, "shop-0", ms(at + 100), ms(at + 435), &[], 0.0);
        if both {
            w.event(kinds::PAUSE_HICCUP, "shop-1", ms(at + 50), ms(at + 500), &[], 400e6);
        }
    }
    kinds_of(&w.diagnose()).contains(&FindingKind::LongPause)
}

#[test]
fn a_collection_that_lacked_a_core_itself_is_no_pause() {
    assert!(!starved_collections(1.0, true));
    assert!(starved_collections(0.6, true), "there were cores");
    assert!(starved_collections(1.0, false), "the other process had one");
}

/// Each 1.5 s shop-0 stands still for 130 ms, waits for a core for `queued` of it, and has a collection of 92 ms in it. The host uses `cpu` of
/// its two cores, which so many threads want.
fn hardly_ran(queued: u64, cpu: f64, wanted: f64) -> bool {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = |name, unit, value| (LaneSpec::level(name, "host", unit), value);
    for (spec, value) in [
        host(names::HOST_CPU, Unit::Ratio, cpu),
        host(names::HOST_CORES, Unit::Count, 2.0),
        host(names::HOST_RUN_QUEUE, Unit::Count, wanted),
    ] {
        let lane = w.lane(spec);
        (1..48).for_each(|i| w.sample(lane, ms(i * 500), value));
    }
    for at in (12_000..23_000).step_by(1_500) {
        w.event(kinds::PAUSE_WORKER_STALL, "shop-0", ms(at), ms(at + 130), &[], queued as f64 * 1e6);
        w.event(kinds::PAUSE_MINOR, "shop-0", ms(at + 30), ms(at + 122), &[], 0.0);
    }
    kinds_of(&w.diagnose()).contains(&FindingKind::LongPause)
}

#[test]
fn a_collection_whose_thread_hardly_ran_is_no_pause_where_the_cores_are_full() {
    assert!(!hardly_ran(125, 1.0, 3.0));
    assert!(!hardly_ran(125, 0.55, 7.0), "one core of two is the target's, and seven want it");
    assert!(hardly_ran(125, 0.55, 4.0), "whoever looks wants one, too: its helpers have them");
    assert!(hardly_ran(70, 1.0, 7.0), "it ran for longer than a collection that counts");
}

#[test]
fn a_short_collection_that_hardly_waited_is_still_called_one_where_the_cores_are_full() {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    (1..48).for_each(|i| w.sample(host, ms(i * 500), 1.0));
    for at in (12_000..23_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 70), &[], 25e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at + 5), ms(at + 65), &[], 0.0);
    }
    let d = w.diagnose();
    let f = find(&d, FindingKind::LongPause);
    assert!(f.claim.contains("major collections"), "{f:#?}");
}

/// What is advised where shop-0 stands still, and tells so many requests a second of its own, or none.
fn frozen_with_requests(each_second: Option<f64>) -> Vec<String> {
    let mut w = build(&frozen());
    let lanes = [("shop-0", each_second), ("shop-1", Some(200.0))]
        .map(|(name, n)| (w.lane(LaneSpec::rate(names::SERVER_REQUESTS, name, Unit::PerSecond)), n));
    for (lane, rate) in lanes {
        if let Some(n) = rate {
            (1..400).for_each(|i| w.sample(lane, ms(i * 100), n));
        }
    }
    find(&w.diagnose(), FindingKind::LongPause).advice.clone()
}

#[test]
fn what_a_pause_holds_up_is_what_that_process_is_asked() {
    let asked = frozen_with_requests(Some(200.0));
    assert!(asked.iter().any(|a| a == "At 200/s such a pause holds up about 80 requests."), "{asked:?}");
    for asked in [frozen_with_requests(Some(0.0)), frozen_with_requests(None)] {
        assert!(!asked.is_empty() && asked.iter().all(|a| !a.contains("holds up")), "{asked:?}");
    }
}

/// What is told of shop-0, which says nothing from second 12 on for three, with so many of 256 descriptors open.
fn silent_with(descriptors: f64) -> profiler::Diagnosis {
    let mut w = build(&Setup { seconds: 20, ..Setup::default() });
    for (name, value) in [(names::PROCESS_DESCRIPTORS, descriptors), (names::PROCESS_DESCRIPTOR_LIMIT, 256.0)]
    {
        let lane = w.lane(LaneSpec::level(name, "shop-0", Unit::Count));
        (1..40).for_each(|i| w.sample(lane, ms(i * 500), value));
    }
    let script =
        without_the_silent(&w, |instance, at| instance == "shop-0" && (ms(12_000)..ms(15_000)).contains(&at));
    world::replay(&script)
}

#[test]
fn who_has_no_descriptor_left_cannot_be_asked_and_need_not_stand_still() {
    let told = |descriptors| find(&silent_with(descriptors), FindingKind::LongPause).clone();
    let unasked = told(250.0);
    assert_eq!((unasked.subject.as_str(), unasked.severity), ("shop-0", Severity::Info), "{unasked:#?}");
    assert!(unasked.claim.starts_with("shop-0 cannot be asked since 00:1"), "{}", unasked.claim);
    assert!(unasked.evidence.iter().any(|e| e.text.starts_with("250 of its 256")), "{unasked:#?}");
    let stopped = told(100.0);
    assert_eq!(stopped.severity, Severity::Critical, "{stopped:#?}");
    assert!(stopped.claim.starts_with("shop-0 stands still since 00:1"), "{}", stopped.claim);
}

#[test]
fn a_process_that_stands_still_is_named_before_it_can_speak() {
    let d = build(&Setup { frozen: Some((12.0, 12.5, 9_000, 10_000)), seconds: 20, ..Setup::default() })
        .diagnose();
    let f = &d.findings()[0];
    assert_eq!((f.kind, f.subject.as_str()), (FindingKind::LongPause, "shop-0"));
    assert!(took(f, 12.0) <= 2.0, "{f:#?}");
}

/// A healthy run beside which somebody's page or exports come at `times`, ms.
fn beside_a_slow_voice(
    source: &str,
    instance: &str,
    times: impl Iterator<Item = u64>,
) -> profiler::Diagnosis {
    let mut w = build(&Setup::default());
    let lanes = [names::HEAP_USED, "pool.http.in-use"].map(|lane| {
        let unit = if lane == names::HEAP_USED { Unit::Bytes } else { Unit::Count };
        w.lane(LaneSpec::level(lane, instance, unit))
    });
    let age = w.lane(LaneSpec::level(names::SOURCE_AGE, source, Unit::Ns).about(instance).worst());
    for t in times {
        lanes.into_iter().for_each(|lane| w.sample(lane, ms(t), 5.0));
        w.sample(age, ms(t), 0.0);
    }
    w.diagnose()
}

#[test]
fn who_speaks_seldom_does_not_stand_still_in_between() {
    for (source, period) in [("metrics", 1_500), ("metrics", 2_000), ("otlp", 15_000)] {
        let instance = format!("{source}-8080");
        let d = beside_a_slow_voice(source, &instance, (700..40_000).step_by(period));
        assert_eq!(kinds_of(&d), [], "{instance} each {period} ms: {:#?}", d.findings());
    }
}

#[test]
fn a_page_is_asked_later_after_a_slow_answer_and_stands_still_beyond_that() {
    let fast = |from: u64, to: u64| (from..to).step_by(100);
    // One answer took 40 ms: the next question comes 2 s later.
    let d = beside_a_slow_voice("metrics", "metrics-8080", fast(700, 20_000).chain(fast(22_040, 40_000)));
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    let d = beside_a_slow_voice("metrics", "metrics-8080", fast(700, 20_000).chain(fast(28_000, 40_000)));
    assert_eq!(find(&d, FindingKind::LongPause).subject, "metrics-8080", "{:#?}", d.findings());
}

/// What is told of a run without what those instances say that are silent then.
fn without_the_silent(w: &World, silent: impl Fn(&str, RunTime) -> bool) -> Vec<Entry> {
    let script = w.script();
    let instances: BTreeMap<LaneId, String> = script
        .iter()
        .filter_map(|e| match e {
            Entry::Lane(id, spec) => Some((*id, spec.instance.clone())),
            _ => None,
        })
        .collect();
    let kept = |e: &Entry| match e {
        Entry::Sample { lane, at, .. } => !silent(&instances[lane], *at),
        Entry::Histogram { lane, span, .. } => !silent(&instances[lane], span.end),
        _ => true,
    };
    script.into_iter().filter(kept).collect()
}

/// A healthy run with a third process, in which both shops say nothing from second 12 on for so long.
fn both_silent(ms_long: u64) -> Vec<Entry> {
    let mut w = build(&Setup { seconds: 20, ..Setup::default() });
    let third = w.lane(LaneSpec::level(names::LOOP_UTILISATION, "services-0", Unit::Ratio));
    (1..200).for_each(|i| w.sample(third, ms(i * 100), 0.1));
    let silent = |at: RunTime| at >= ms(12_000) && at < ms(12_000 + ms_long);
    without_the_silent(&w, |instance, at| instance.starts_with("shop-") && silent(at))
}

#[test]
fn all_processes_of_a_kind_that_are_silent_for_a_moment_lack_the_same_core() {
    let found = |ms_long| {
        world::replay(&both_silent(ms_long))
            .findings()
            .iter()
            .filter(|f| f.kind == FindingKind::LongPause)
            .count()
    };
    assert_eq!((found(1_000), found(2_500)), (0, 2));
}

/// shop-1 has gone at second 6, and is known to have; who is left says nothing from second 20 on for three.
#[test]
fn who_is_left_when_others_have_gone_stands_still_alone() {
    let mut w = build(&Setup { seconds: 30, ..Setup::default() });
    w.event(kinds::SOURCE, "shop-1", ms(6_000), ms(6_000), &[("what", "gone")], 0.0);
    let script = without_the_silent(&w, |instance, at| match instance {
        "shop-1" => at >= ms(6_000),
        "shop-0" => (ms(20_000)..ms(23_000)).contains(&at),
        _ => false,
    });
    let d = world::replay(&script);
    let still = d.findings().iter().filter(|f| f.kind == FindingKind::LongPause);
    assert_eq!(still.map(|f| f.subject.as_str()).collect::<Vec<_>>(), ["shop-0"], "{:#?}", d.findings());
}

#[test]
fn names_of_phases_and_steps_change_nothing() {
    for setup in [stampede(), small_pool(), leak(), frozen()] {
        let mut w = build(&setup);
        let before = serde_json::to_string(w.diagnose().findings()).unwrap();
        w.plan.phases.iter_mut().for_each(|p| p.name = "stampede leak frozen".into());
        w.plan.steps = vec!["pool-too-small".into(); 2];
        assert_eq!(serde_json::to_string(w.diagnose().findings()).unwrap(), before);
    }
}

#[test]
fn the_same_entries_give_the_same_findings_to_the_byte() {
    let script = build(&stampede()).script();
    let json = |d: profiler::Diagnosis| serde_json::to_string(d.findings()).unwrap();
    assert_eq!(json(world::replay(&script)), json(world::replay(&script)));
}

#[test]
fn without_lanes_nothing_can_be_told_and_the_missing_ones_are_named() {
    let d = world::World::empty(10, Vec::new()).diagnose();
    let states = d.states();
    assert!(states.iter().all(|s| s.1 == Status::CannotTell && s.2.starts_with("missing: ")), "{states:#?}");
    assert!(d.findings().is_empty());
    assert_eq!(profiler::Diagnosis::new().states()[0].2, "the run was too short to look");
}

#[test]
fn the_words_of_each_finding() {
    insta::assert_snapshot!("stampede", told(&build(&stampede()).diagnose()));
    insta::assert_snapshot!("small_pool", told(&build(&small_pool()).diagnose()));
    insta::assert_snapshot!("leak", told(&build(&leak()).diagnose()));
    insta::assert_snapshot!("frozen", told(&build(&frozen()).diagnose()));
    insta::assert_snapshot!(
        "starved",
        told(&build(&Setup { starved: Some((11.0, 30.0)), ..small_pool() }).diagnose())
    );
}
