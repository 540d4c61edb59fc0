//! Faults of the cache, in a worker's memory and on a server alike: that each does what it says, and its cure does not.

use std::sync::Barrier;
use std::time::Duration;

use crate::common::servers::redis::Redis;
use crate::common::{Backend, life, wait_for};

/// Longer than any test.
const FOR_EVER: &str = r#"{"ttl-ms":600000,"jitter":0.5,"negative-ms":600000}"#;

/// A shop of one worker with a cache of its own, then one with a cache on a server. Entries stay for ever.
fn on_both(test: impl Fn(&Backend)) {
    for shared in [false, true] {
        let redis = shared.then(Redis::start);
        let url = redis.as_ref().map(Redis::url).unwrap_or_default();
        let backend = Backend::with(1, &[("DYNO_CACHE_URL", &url)]);
        backend.set_cache(FOR_EVER);
        eprintln!("on a server: {shared}");
        test(&backend);
    }
}

/// What a lane of the cache has counted.
fn counted(backend: &Backend, what: &str) -> u64 {
    backend.times("shop-0", &format!("cache.products.{what}")).round() as u64
}

/// What it has counted after the tick of this number.
fn counted_after(backend: &Backend, tick: u64, what: &str) -> u64 {
    backend.times_after(tick, "shop-0", &format!("cache.products.{what}")).round() as u64
}

/// How much a lane of the cache counts while `work` runs.
fn during(backend: &Backend, what: &str, work: impl FnOnce()) -> u64 {
    let before = backend.tick("shop-0");
    work();
    backend.tick("shop-0");
    counted_after(backend, before, what)
}

/// Does `work` come to find all it wants? The shop goes on without a server that does not answer for a moment, and what
/// was to be kept then is loaded once more.
fn comes_to_find_all(backend: &Backend, work: impl Fn()) -> bool {
    wait_for(|| during(backend, "loads", &work) == 0)
}

/// Asks for these products, twelve at a time.
fn ask_for(backend: &Backend, products: impl Iterator<Item = u32>, status: u16) {
    let products: Vec<u32> = products.collect();
    let start = Barrier::new(12);
    std::thread::scope(|scope| {
        for part in 0..12 {
            let (products, start) = (&products, &start);
            scope.spawn(move || {
                start.wait();
                for product in products.iter().skip(part).step_by(12) {
                    assert_eq!(backend.get(&format!("/products/{product}")).status, status);
                }
            });
        }
    });
}

#[test]
fn in_an_avalanche_all_that_was_loaded_is_missed_in_the_same_instant() {
    on_both(|backend| {
        let all = || ask_for(backend, 101..161, 200);
        all();
        assert!(comes_to_find_all(backend, all), "the cure: they stay");
        backend.arm(r#"{"name":"avalanche","for_ms":600000,"knobs":{"period_ms":4000}}"#);
        for turn in 0..2 {
            // Sixty loads on twelve connections take most of a second, so an instant may come in between.
            let missed_at_once = wait_for(|| during(backend, "misses", all) >= 50);
            assert!(missed_at_once, "turn {turn}: they are all missed at once");
        }
        assert!(wait_for(|| backend.truth() == life("avalanche")[..2]), "{:?}", backend.truth());
        backend.cure();
        // Whatever went with the last instant is back then.
        all();
        assert!(comes_to_find_all(backend, all));
        assert_eq!(backend.truth(), life("avalanche"));
    });
}

#[test]
fn when_an_avalanche_is_over_nothing_expires_in_its_next_instant() {
    on_both(|backend| {
        let all = || ask_for(backend, 101..161, 200);
        // Another try, should an instant come between the loads and the end: what went with that is loaded anew in any case.
        let stays = (0..5).any(|_| {
            backend.arm(r#"{"name":"avalanche","for_ms":600000,"knobs":{"period_ms":4000}}"#);
            all();
            backend.cure();
            std::thread::sleep(Duration::from_millis(4_100));
            during(backend, "misses", all) < 30
        });
        assert!(stays, "they are all missed at once after the end");
    });
}

#[test]
fn what_exists_nowhere_is_looked_for_each_time_or_remembered() {
    on_both(|backend| {
        let ten = |product: u32| (0..10).for_each(|_| ask_for(backend, product..product + 1, 404));
        let loads = |product: u32| during(backend, "absent-loads", || ten(product));
        let hits = |product: u32| during(backend, "absent-hits", || ten(product));
        // Another try with another one, should the server not have answered for a moment: where nothing is remembered, all ten load
        // each time.
        assert!((70_001..70_004).any(|product| loads(product) == 1 && hits(product) == 10), "the cure");
        backend.arm(r#"{"name":"penetration","for_ms":60000}"#);
        assert_eq!(loads(70_011), 10);
        backend.cure();
        assert!((70_011..70_014).any(|product| loads(product) == 1), "the cure again");
        assert_eq!(backend.truth(), life("penetration"));
    });
}

#[test]
fn a_cache_that_is_emptied_again_and_again_loads_again_and_again_and_is_warm_afterwards() {
    on_both(|backend| {
        // Entries from before the settings were known last a second.
        std::thread::sleep(Duration::from_millis(1_100));
        let popular = || ask_for(backend, 1..25, 200);
        popular();
        assert!(comes_to_find_all(backend, popular));
        backend.arm(r#"{"name":"cold-cache","for_ms":60000,"knobs":{"period_ms":500}}"#);
        let emptied = || counted(backend, "removed") > 60 && counted(backend, "loads") > 80;
        assert!(backend.press(12, "/products/3", || {
            popular();
            emptied()
        }));
        let before = backend.tick("shop-0");
        backend.cure();
        assert_eq!(backend.truth(), life("cold-cache"));
        // Nobody asks; the cure does, for each of the two dozen.
        let found_or_loaded = || ["hits", "loads"].map(|what| counted_after(backend, before, what));
        let warmed = || found_or_loaded().iter().sum::<u64>() >= 24;
        let in_flight = || backend.lane("cache.products.loads-in-flight");
        assert!(wait_for(|| warmed() && in_flight() == Some(0.0)));
        assert_eq!(during(backend, "misses", popular), 0, "it was warmed");
    });
}

#[test]
fn a_worker_is_warm_before_it_is_asked() {
    let backend = Backend::with(1, &[("DYNO_SHOP_SETTINGS", r#"{"cache":{"ttl-ms":600000}}"#)]);
    ask_for(&backend, 1..25, 200);
    assert!(wait_for(|| counted(&backend, "hits") >= 24));
}

#[test]
fn in_too_small_a_cache_entries_go_before_they_are_wanted_again() {
    on_both(|backend| {
        let all = || ask_for(backend, 101..161, 200);
        all();
        assert!(comes_to_find_all(backend, all), "the cure: there is room");
        backend.arm(r#"{"name":"too-small-cache","for_ms":60000,"knobs":{"capacity":10}}"#);
        assert!(wait_for(|| counted(backend, "evictions") >= 50), "they have to make room");
        let loads = during(backend, "loads", || (0..2).for_each(|_| all()));
        assert!(loads >= 90, "{loads} loads for 120 requests");
        backend.cure();
        all();
        assert!(comes_to_find_all(backend, all));
        assert_eq!(backend.truth(), life("too-small-cache"));
    });
}
