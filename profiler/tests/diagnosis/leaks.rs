//! Leaks, on made-up runs: found with their rate and beginning, beside garbage that waits for its collection, steps, and what fills up.

use dynamometer_profiler as profiler;

use super::detectors::leak;
use crate::world::{Setup, World, build, claim_and_advice, find, kinds_of, likely, ms, phase, took};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Status, Unit};

const MB: f64 = 1024.0 * 1024.0;

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

/// A heap of shop-0, under the same load from 5 s on; at each of so many ticks of a tenth of a second so many MB live, and so many are garbage.
fn heap(seconds: u64, ticks: u64, at: impl Fn(u64) -> (f64, f64)) -> World {
    let phases = vec![phase(0, 5, 0.0, 200.0, true), phase(5, seconds, 200.0, 200.0, false)];
    let mut w = World::empty(seconds, phases);
    let level = |lane: &str| LaneSpec::level(lane, "shop-0", Unit::Bytes);
    let lanes = [names::HEAP_USED, names::HEAP_OLD, names::HEAP_LIVE].map(|lane| w.lane(level(lane)));
    for tick in 1..ticks {
        let (live, garbage) = at(tick);
        for (lane, mb) in lanes.into_iter().zip([live + garbage + 1.0, live + garbage, live]) {
            w.sample(lane, ms(tick * 100), mb * MB);
        }
    }
    w
}

#[test]
fn a_collection_at_the_beginning_does_not_speak_for_what_comes_after_it() {
    // From 10 s on: 2 MB at once, and 0.6 MB a second. Collected at 11 s and at 30 s, when `kept` of each MB since is left.
    let kinds = |kept: f64| {
        let w = heap(60, 450, |tick| {
            let s = tick as f64 / 10.0;
            match tick {
                0..100 => (20.0, 0.0),
                100..110 => (20.0, 2.0 + 0.6 * (s - 10.0)),
                110..300 => (22.6, 0.6 * (s - 11.0)),
                _ => (22.6 + kept * 0.6 * 19.0, 0.6 * (s - 30.0)),
            }
        });
        kinds_of(&w.diagnose())
    };
    assert_eq!(kinds(0.0), []);
    assert_eq!(kinds(1.0), [FindingKind::HeapLeak]);
}

/// From 6 s on a heap grows by 4 MB a second, and from 12 s on by `slower`; every 5 s a collection leaves all of it. So many requests a second
/// are answered until then, and afterwards.
fn slower_growth(slower: f64, requests: [f64; 2]) -> Vec<FindingKind> {
    // Later on the window and the time before it are alike.
    const TICKS: u64 = 230;
    let old = |tick: u64| {
        let s = tick as f64 / 10.0;
        20.0 + 4.0 * (s.min(12.0) - 6.0).max(0.0) + slower * (s - 12.0).max(0.0)
    };
    let mut w = heap(60, TICKS, |tick| {
        let live = old(tick / 50 * 50);
        (live, old(tick) - live)
    });
    let answered = w.lane(LaneSpec::rate(names::SERVER_REQUESTS, "shop-0", Unit::PerSecond));
    (1..TICKS).for_each(|tick| w.sample(answered, ms(tick * 100), requests[usize::from(tick >= 120)]));
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
    let until = collected_s - 10.0;
    let w = heap(40, until_s * 10, |tick| {
        let since = (tick as f64 / 10.0 - 10.0).max(0.0);
        match since {
            0.0 => (20.0, 0.0),
            _ if since < until => (20.0, if at_once { 4.0 } else { 3.0 * since }),
            _ => (20.0 + stays * if at_once { 4.0 } else { 3.0 * until }, 3.0 * (since - until)),
        }
    });
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
