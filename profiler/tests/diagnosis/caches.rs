//! What goes wrong in caches is found with its figures, and what only looks like it is not.

use crate::world::shelf::Shelf;
use crate::world::{self, Dice, World, cannot_tell, find, kinds_of, ms, phase, state, took};
use timeline::{FindingKind, LaneSpec, Status, Unit};

const KINDS: [FindingKind; 4] = [
    FindingKind::CacheAvalanche,
    FindingKind::CacheCold,
    FindingKind::CachePenetration,
    FindingKind::CacheThrash,
];

fn avalanche() -> Shelf {
    Shelf { together: Some((12.0, 25.0, 4.0)), ..Shelf::default() }
}

fn cold() -> Shelf {
    Shelf { ttl: 60.0, emptied: Some((12.0, 20.0, 1.0)), ..Shelf::default() }
}

fn penetration() -> Shelf {
    Shelf {
        absent: Some((0.0, 0.9)),
        forgets: Some((12.0, 20.0)),
        ttl: 4.0,
        load_ms: 20.0,
        ..Shelf::default()
    }
}

fn thrash() -> Shelf {
    Shelf { ttl: 60.0, keys: 300, capacity: Some((12.0, 30)), ..Shelf::default() }
}

/// Seeds for each case; `DYNO_SEEDS=100` looks harder.
fn seeds() -> u64 {
    std::env::var("DYNO_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3)
}

#[test]
fn keys_that_expire_together_are_found_with_their_number_and_period() {
    for seed in 0..seeds() {
        for period in [1.5, 4.0, 6.0] {
            let d = Shelf { seed, together: Some((12.0, 25.0, period)), ..avalanche() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::CacheAvalanche], "{:#?}", d.findings());
            let f = &d.findings()[0];
            assert!(took(f, 12.0) <= 3.0 && f.onset >= ms(11_600) && f.onset <= ms(12_400), "{f:#?}");
            assert_eq!((f.status, f.subject.as_str()), (Status::Confirmed, "products"), "{f:#?}");
            let keys: f64 = f.claim.split(' ').next().unwrap().parse().unwrap();
            assert!((200.0..=440.0).contains(&keys), "200 keys in two processes: {}", f.claim);
            let apart: f64 =
                f.claim.split(" so far, ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!((apart / period - 1.0).abs() < 0.1, "{}", f.claim);
        }
    }
}

#[test]
fn where_nobody_tells_what_expires_the_missing_lane_is_named() {
    let d = Shelf { tells: false, ..avalanche() }.build().diagnose();
    let f = find(&d, FindingKind::CacheAvalanche);
    assert_eq!(f.status, Status::Likely, "{f:#?}");
    assert_eq!(f.missing, ["cache.products.expired"]);
    let state = |kind| d.states().into_iter().find(|s| s.0 == kind).unwrap();
    assert_eq!(state(FindingKind::CacheThrash).1, Status::CannotTell);
}

#[test]
fn an_emptied_cache_is_found_and_loses_to_nothing_it_caused() {
    for seed in 0..seeds() {
        for period in [0.3_f64, 1.0, 5.0] {
            let d = Shelf { seed, emptied: Some((12.0, 21.0, period)), ..cold() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::CacheCold], "{:#?}", d.findings());
            let f = &d.findings()[0];
            let onset = (12.0_f64 / period).ceil() * period;
            assert!(took(f, onset) <= 3.0 && f.status == Status::Confirmed, "{f:#?}");
            assert!((f.onset.as_secs_f64() - onset).abs() < 0.4, "{} {onset}", f.onset.as_secs_f64());
        }
    }
}

#[test]
fn an_emptied_cache_elsewhere_is_likely_and_says_what_is_missing() {
    let d = Shelf { tells: false, ..cold() }.build().diagnose();
    let f = &d.findings()[0];
    assert_eq!((f.kind, f.status), (FindingKind::CacheCold, Status::Likely), "{:#?}", d.findings());
    assert_eq!(f.missing, ["cache.products.entries"]);
}

#[test]
fn an_emptied_cache_that_is_full_again_at_once_is_found_too() {
    let quick =
        Shelf { tells: false, keys: 150, skew: 2.0, rate: |_| 1_500.0, load_ms: 2.0, at_once: 50, ..cold() };
    let d = quick.build().diagnose();
    assert_eq!(d.findings().first().map(|f| f.kind), Some(FindingKind::CacheCold), "{:#?}", d.findings());
}

#[test]
fn requests_for_what_does_not_exist_are_found_where_that_is_not_remembered() {
    for seed in 0..seeds() {
        for share in [0.3, 0.9] {
            let d = Shelf { seed, absent: Some((0.0, share)), ..penetration() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::CachePenetration], "{:#?}", d.findings());
            let f = &d.findings()[0];
            // What is remembered from before is so for up to 4 s.
            assert!(took(f, 14.0) <= 4.0 && f.status == Status::Confirmed, "{f:#?}");
            let rate: f64 =
                f.claim.split(": ").nth(1).unwrap().split(" loads/s").next().unwrap().parse().unwrap();
            assert!((rate / (500.0 * share) - 1.0).abs() < 0.35, "{}", f.claim);
        }
    }
}

#[test]
fn too_small_a_cache_is_found_with_the_room_that_is_wanted() {
    for seed in 0..seeds() {
        for capacity in [5, 30, 150] {
            let d = Shelf { seed, capacity: Some((12.0, capacity)), ..thrash() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::CacheThrash], "{:#?}", d.findings());
            let f = &d.findings()[0];
            assert!(took(f, 12.0) <= 3.5 && f.status == Status::Confirmed, "{f:#?}");
            let room: f64 =
                f.advice[0].split(" to ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!((270.0..=480.0).contains(&room), "300 keys and a tenth more: {:?}", f.advice);
        }
    }
}

#[test]
fn who_tells_of_evictions_need_not_tell_what_the_cache_holds() {
    let mut w = thrash().build();
    w.silence("cache.products.entries");
    let d = w.diagnose();
    let f = find(&d, FindingKind::CacheThrash);
    assert!(f.status == Status::Likely && f.subject == "products", "{f:#?}");
}

/// What a Redis server alone tells, five times a second: from second 12 on so many look-ups of 500 miss, and `evicted` of each hundred of
/// those make room.
fn server(seed: u64, missed: f64, evicted: f64) -> World {
    let mut w = World::empty(25, vec![phase(0, 4, 0.0, 100.0, true), phase(4, 25, 100.0, 100.0, false)]);
    let mut dice = Dice::new(seed);
    let rate = |part: &str| LaneSpec::rate(format!("cache.redis.{part}"), "redis-6379", Unit::PerSecond);
    let rates = ["hits", "misses", "evictions"].map(|part| w.lane(rate(part)));
    let level = |part: &str, unit| LaneSpec::level(format!("cache.redis.{part}"), "redis-6379", unit);
    let levels = ["memory", "memory-limit"].map(|part| w.lane(level(part, Unit::Bytes)));
    let entries = w.lane(level("entries", Unit::Count));
    for tick in 1..125 {
        let at = ms(tick * 200);
        let now = if tick >= 60 { missed } else { 20.0 };
        let evictions = if tick >= 60 { now * evicted } else { 0.0 };
        for (lane, value) in rates.into_iter().zip([500.0 - now, now, evictions]) {
            w.sample(lane, at, value * dice.between(0.9, 1.1));
        }
        w.sample(entries, at, if tick >= 60 { dice.between(995.0, 1_005.0) } else { 400.0 }.round());
        w.sample(levels[0], at, if tick >= 60 { 2.05e6 } else { 1.4e6 });
        w.sample(levels[1], at, 2.1e6);
    }
    w
}

#[test]
fn a_servers_own_statistics_are_enough_to_find_that_it_is_too_small() {
    for seed in 0..seeds() {
        let d = server(seed, 250.0, 0.97).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::CacheThrash], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert!(took(f, 12.0) <= 3.0 && f.status == Status::Confirmed, "{f:#?}");
        // Half of what is wanted has room, so twice the memory and a tenth more.
        assert!(
            f.advice[0].contains("maxmemory") && f.remedies[0].set == "cache.redis.memory-limit",
            "{f:#?}"
        );
        // One in ten misses; or most do, and it is not room that they lack.
        for (missed, evicted) in [(50.0, 1.0), (250.0, 0.1)] {
            let d = server(seed, missed, evicted).diagnose();
            assert_eq!(kinds_of(&d), [], "{missed} {evicted}: {:#?}", d.findings());
        }
    }
    insta::assert_snapshot!("thrash_server", world::told(&server(1, 250.0, 0.97).diagnose()));
}

#[test]
fn who_counts_no_duplicate_loads_has_not_looked_for_a_stampede() {
    cannot_tell(&server(1, 20.0, 0.0).diagnose(), FindingKind::CacheStampede, "cache.NAME.duplicate-loads");
    assert_eq!(state(&Shelf::default().build().diagnose(), FindingKind::CacheStampede).0, Status::NotSeen);
}

/// One key that everybody loads while others expire as usual: most look-ups miss, and no more keys are loaded than ever.
#[test]
fn a_stampede_is_no_avalanche() {
    for seed in 0..seeds() {
        let shelf = Shelf {
            seed,
            keys: 300,
            hot: 0.8,
            ttl: 2.0,
            load_ms: 400.0,
            at_once: 1_000,
            rate: |_| 900.0,
            ..Shelf::default()
        };
        let d = shelf.build().diagnose();
        assert!(kinds_of(&d).iter().all(|k| *k != FindingKind::CacheAvalanche), "{:#?}", d.findings());
    }
}

#[test]
fn what_only_looks_like_it_is_not_found() {
    let healthy: [(&str, Shelf); 11] = [
        ("ends that are spread", Shelf { ttl: 2.0, ..Shelf::default() }),
        (
            "one popular key that expires",
            Shelf { hot: 0.95, keys: 50, ttl: 3.0, load_ms: 300.0, ..Shelf::default() },
        ),
        ("few keys that expire together", Shelf { keys: 5, ttl: 3.0, jitter: 0.0, ..Shelf::default() }),
        ("a load that comes slowly", Shelf { rate: |s| 20.0 + 10.0 * s, ..Shelf::default() }),
        ("single changes", Shelf { changed: 20.0, ttl: 60.0, ..Shelf::default() }),
        ("emptied when nobody asks", Shelf { rate: |s| if s > 10.0 { 0.2 } else { 300.0 }, ..cold() }),
        ("a process that begins anew", Shelf { reloaded: Some(14.0), ttl: 60.0, ..Shelf::default() }),
        ("absence that is remembered", Shelf { absent: Some((0.0, 0.9)), ..Shelf::default() }),
        ("absence that is learnt", Shelf { absent: Some((12.0, 0.9)), ttl: 60.0, ..Shelf::default() }),
        (
            "few mistyped links",
            Shelf { absent: Some((0.0, 0.03)), forgets: Some((0.0, 30.0)), ..Shelf::default() },
        ),
        (
            "a long tail",
            Shelf { keys: 3_000, skew: 6.0, ttl: 60.0, capacity: Some((0.0, 1_500)), ..Shelf::default() },
        ),
    ];
    for (what, shelf) in healthy {
        for seed in 0..seeds() {
            let d = Shelf { seed, ..shelf.clone() }.build().diagnose();
            assert_eq!(kinds_of(&d), [], "{what}, seed {seed}: {:#?}", d.findings());
        }
    }
}

#[test]
fn without_the_lanes_none_of_them_can_tell() {
    let d = World::empty(10, vec![phase(0, 10, 5.0, 5.0, false)]).diagnose();
    for kind in KINDS {
        cannot_tell(&d, kind, "cache.NAME.");
    }
}

#[test]
fn what_is_said() {
    for (name, shelf) in
        [("avalanche", avalanche()), ("cold", cold()), ("penetration", penetration()), ("thrash", thrash())]
    {
        insta::assert_snapshot!(name, world::told(&shelf.build().diagnose()));
    }
}
