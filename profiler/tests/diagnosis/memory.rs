//! Findings of memory (churn, bloat, fragmentation), on made-up runs of two processes: found with their figures, silent on what only looks like them.

use crate::world::process::{Tick, run};
use crate::world::{Dice, World, cannot_tell, claim_and_advice, find, kinds_of, likely, ms, needs, took};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Status, Unit};

/// When what is wrong begins, ms.
const FROM: u64 = 10_000;
const FROM_S: f64 = FROM as f64 / 1e3;
const MIB: f64 = 1024.0 * 1024.0;

/// 25 requests a second of `/page` in each process, each of which allocates `mib`.
fn drawing(tick: &mut Tick, dice: &mut Dice, mib: f64) {
    let n = (dice.between(0.0, 6.0)) as usize;
    tick.ended.retain(|e| e.0 != "/page");
    for _ in 0..n {
        tick.request("/page", 2_600.0);
    }
    // Sampled: known to a tenth or so.
    tick.allocated += n as f64 * mib * MIB * 10.0 * dice.between(0.9, 1.1);
}

fn churning(seed: u64, mib: f64) -> World {
    run(seed, 24, move |tick, _, t, dice| drawing(tick, dice, if t >= FROM { mib } else { 0.01 }))
}

/// An import of 64 MiB each 5 s in the first process, which lasts 3 s; whole in memory from [`FROM`] on.
fn importing(tick: &mut Tick, process: usize, t: u64, whole: bool) {
    let into = t % 5_000;
    if process > 0 || t < 3_000 || into >= 3_000 {
        return;
    }
    tick.in_flight += 1.0;
    tick.allocated += 150e6;
    if into == 2_900 {
        tick.request("/import", 2_900_000.0);
    }
    if whole {
        tick.used += 67e6 * (into as f64 / 600.0).min(1.0);
        tick.resident += 67e6 * (into as f64 / 600.0).min(1.0);
    }
}

fn bloated(seed: u64) -> World {
    run(seed, 28, |tick, process, t, _| importing(tick, process, t, t >= FROM))
}

/// Resident memory that rises to `mib` within 2 s and stays.
fn holes(seed: u64, mib: f64) -> World {
    run(seed, 28, move |tick, _, t, _| {
        if t >= FROM {
            tick.used += 3e6;
            tick.resident += mib * MIB * ((t - FROM) as f64 / 2e3).min(1.0);
        }
    })
}

#[test]
fn churn_is_found_with_its_route_and_the_bytes_of_a_request() {
    for (seed, mib) in [(1, 8.0), (2, 2.5), (3, 16.0)] {
        let d = churning(seed, mib).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::HeapChurn], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert_eq!((f.subject.as_str(), f.status), ("/page", Status::Confirmed), "{f:#?}");
        assert!(took(f, FROM_S) <= 4.0 && f.onset >= ms(FROM - 600), "{f:#?}");
        let each = f.evidence.iter().find(|e| e.lane == names::SERVER_HANDLER).unwrap().value / MIB;
        assert!((0.7 * mib..=1.3 * mib).contains(&each), "{each} for {mib}: {f:#?}");
    }
}

#[test]
fn churn_is_told_with_who_allocates_it() {
    let mut w = churning(1, 8.0);
    let draw = [("function", "draw (shop/picture.js:40)")];
    w.event(kinds::PROFILE_ALLOCATED, "shop-1", ms(14_000), ms(16_000), &draw, 0.7);
    let said = claim_and_advice(find(&w.diagnose(), FindingKind::HeapChurn));
    assert!(
        said.contains("70 % of what lies in the heap is allocated in draw (shop/picture.js:40)"),
        "{said}"
    );
}

#[test]
fn churn_begins_with_its_step_though_few_requests_allocated_much_before() {
    for seed in 0..4 {
        let d = run(seed, 24, move |tick, _, t, dice| drawing(tick, dice, if t >= FROM { 2.5 } else { 0.6 }))
            .diagnose();
        let f = d.findings().iter().find(|f| f.kind == FindingKind::HeapChurn).unwrap();
        assert!(f.onset >= ms(FROM - 1_100) && f.onset <= ms(FROM + 1_100), "{f:#?}");
    }
}

/// A loop stood still, and all who waited end at once, of whatever route; so does the job that allocates.
#[test]
fn what_is_allocated_while_a_queue_is_let_go_of_is_laid_to_no_route() {
    let burst = |tick: &mut Tick, t: u64, dice: &mut Dice| {
        drawing(tick, dice, 0.01);
        if t == FROM {
            (0..120).for_each(|_| tick.request("/page", 900_000.0));
            tick.allocated += 120.0 * MIB * 10.0;
        }
    };
    for seed in 0..3 {
        let d = run(seed, 24, |tick, _, t, dice| burst(tick, t, dice)).diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn a_file_worked_through_as_a_stream_is_neither_churn_nor_bloat() {
    for seed in 0..3 {
        let d = run(seed, 28, |tick, process, t, _| importing(tick, process, t, false)).diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn a_collector_that_is_not_busy_makes_churn_no_matter() {
    let collected = |pause: u64| {
        run(1, 24, move |tick, _, t, dice| {
            drawing(tick, dice, if t >= FROM { 8.0 } else { 0.01 });
            if t >= FROM {
                tick.pauses.push((kinds::PAUSE_MINOR, t - 50, t - 50 + pause));
            }
        })
        .diagnose()
    };
    assert_eq!(kinds_of(&collected(2)), []);
    let busy = collected(12);
    assert!(
        find(&busy, FindingKind::HeapChurn).claim.contains("collections take 1"),
        "{:#?}",
        busy.findings()
    );
}

#[test]
fn a_file_held_whole_is_found_and_named_by_its_long_requests() {
    for seed in 0..3 {
        let d = bloated(seed).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::HeapBloat], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert_eq!((f.subject.as_str(), f.status), ("/import", Status::Confirmed), "{f:#?}");
        assert!(took(f, FROM_S) <= 3.0 && f.onset >= ms(FROM), "{f:#?}");
    }
}

/// Each process tells what its collections left, each second: by the time.
fn tells_live(w: World, live: impl Fn(u64) -> f64) -> World {
    tells(w, names::HEAP_LIVE, live)
}

fn tells(mut w: World, name: &str, bytes: impl Fn(u64) -> f64) -> World {
    for instance in ["shop-0", "shop-1"] {
        let lane = w.lane(LaneSpec::level(name, instance, Unit::Bytes));
        for t in (1..28_000).step_by(100) {
            w.sample(lane, ms(t), bytes(t / 1_000 * 1_000));
        }
    }
    w
}

/// Compactions each 1.6 s, beside imports; `kept` bytes more are there from the third one after [`FROM`] on.
fn compacted(seed: u64, whole: bool, kept: f64) -> World {
    run(seed, 28, move |tick, process, t, _| {
        importing(tick, process, t, whole && t >= FROM);
        if t >= 3_000 && t % 1_600 == 0 {
            tick.pauses.push((kinds::PAUSE_STOP_THE_WORLD, t - 200, t));
        }
        if t >= 14_300 {
            tick.used += kept;
            tick.resident += kept;
        }
    })
}

#[test]
fn a_file_held_whole_is_found_between_compactions_and_what_one_of_them_takes_is_its_own() {
    for seed in 0..3 {
        let d = compacted(seed, true, 0.0).diagnose();
        let f = find(&d, FindingKind::HeapBloat);
        assert!(f.subject == "/import" && took(f, FROM_S) <= 3.0, "{f:#?}");
        let d = compacted(seed, false, 67e6).diagnose();
        assert!(!kinds_of(&d).contains(&FindingKind::HeapBloat), "{:#?}", d.findings());
    }
}

#[test]
fn garbage_that_waits_for_its_collection_is_no_bloat() {
    let saw = || {
        run(3, 28, |tick, _, t, _| {
            tick.in_flight = 1.0;
            tick.used += 60e6 * (t % 2_000) as f64 / 2e3;
        })
    };
    assert_eq!(kinds_of(&saw().diagnose()), [FindingKind::HeapBloat], "without a collector it would be one");
    let d = tells_live(saw(), |_| 15e6).diagnose();
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    let held = tells_live(saw(), |t| if t % 5_000 >= 2_000 { 80e6 } else { 15e6 }).diagnose();
    let f = find(&held, FindingKind::HeapBloat);
    assert!(f.evidence.iter().any(|e| e.lane == names::HEAP_LIVE), "{f:#?}");
}

#[test]
fn what_came_since_a_collection_long_ago_is_no_bloat_however_much_it_is() {
    let kinds = |live: fn(u64) -> f64| {
        kinds_of(&tells_live(run(3, 28, |tick, _, _, _| tick.in_flight = 1.0), live).diagnose())
    };
    // A cache has filled for minutes when the first collection shows it.
    assert_eq!(kinds(|t| if t < 20_000 { 60e6 } else { 400e6 }), []);
    // Zero stands for none so far.
    assert_eq!(kinds(|t| if t < 20_000 { 0.0 } else { 150e6 }), []);
    // Of two collections within 2 s the second tells what came in between.
    let sudden = kinds(|t| match t {
        0..19_000 => 60e6,
        19_000..20_000 => 61e6,
        _ => 400e6,
    });
    assert_eq!(sudden, [FindingKind::HeapBloat]);
}

#[test]
fn a_collector_that_does_not_say_what_it_left_leaves_nothing_to_judge() {
    let saw = run(3, 28, |tick, _, t, _| {
        tick.in_flight = 1.0;
        tick.used += 60e6 * (t % 2_000) as f64 / 2e3;
    });
    let d = tells(saw, names::HEAP_CAPACITY, |_| 90e6).diagnose();
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    cannot_tell(&d, FindingKind::HeapBloat, names::HEAP_LIVE);
    cannot_tell(&d, FindingKind::HeapLeak, names::HEAP_LIVE);
}

#[test]
fn memory_that_is_loaded_once_and_stays_is_no_bloat() {
    for seed in 0..3 {
        let d = run(seed, 28, |tick, _, t, _| {
            if t >= FROM {
                tick.used += 70e6 * ((t - FROM) as f64 / 1e3).min(1.0);
                tick.resident += 75e6 * ((t - FROM) as f64 / 1e3).min(1.0);
            }
            // A client that polls is answered after 25 s, and asks again.
            tick.in_flight += 1.0;
            if t % 2_000 == 0 {
                tick.request("/poll", 25_000_000.0);
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn memory_of_many_requests_at_once_is_no_bloat() {
    let d = run(4, 28, |tick, _, t, _| {
        if t >= FROM && t % 4_000 < 2_000 {
            tick.used += 60e6;
            tick.resident += 60e6;
            tick.in_flight = 900.0;
        }
    })
    .diagnose();
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
}

#[test]
fn requests_that_wait_for_a_connection_meanwhile_do_not_hide_who_holds_a_whole_file() {
    // Bytes, and how long before they came the others began to wait, ms.
    let found = |bytes: f64, waiting: u64| {
        let mut w = run(4, 28, |tick, process, t, _| {
            if t >= 12_000 {
                tick.in_flight = 120.0;
                if process == 0 && (16_000..20_000).contains(&t) {
                    tick.used += bytes * ((t - 16_000) as f64 / 600.0).min(1.0);
                    tick.resident += bytes * ((t - 16_000) as f64 / 600.0).min(1.0);
                }
            }
        });
        let lane = w.lane(LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count));
        for t in (1..28_000).step_by(100) {
            w.sample(lane, ms(t), if t + waiting >= 16_000 { 118.0 } else { 0.0 });
        }
        w.diagnose()
    };
    let d = found(200e6, 4_000);
    let f = find(&d, FindingKind::HeapBloat);
    assert!(likely(f) && took(f, 16.0) <= 3.0, "{f:#?}");
    assert!(
        f.claim.contains("with 120 requests in flight, of which 118 wait for a connection, as before"),
        "{f:#?}"
    );
    let said = |bytes, waiting| kinds_of(&found(bytes, waiting)).contains(&FindingKind::HeapBloat);
    assert!(said(90e6, 500), "they waited already when it began to rise");
    for (bytes, waiting) in [(200e6, 0), (90e6, 0), (60e6, 4_000)] {
        assert!(!said(bytes, waiting), "120 requests are many: {bytes} {waiting}");
    }
}

#[test]
fn holes_are_found_after_the_least_data_and_confirmed_when_they_outlast_the_decay() {
    for (seed, mib) in [(1, 80.0), (2, 30.0), (3, 200.0)] {
        let d = holes(seed, mib).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::HeapFragmented], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert!(took(f, FROM_S) <= 6.0 + 3.0 && f.status == Status::Confirmed, "{f:#?}");
        assert!(f.onset >= ms(FROM) && f.onset <= ms(FROM + 2_000), "{f:#?}");
    }
}

#[test]
fn pages_that_were_in_use_and_go_back_slowly_are_no_holes() {
    for seed in 0..3 {
        let d = run(seed, 40, |tick, _, t, _| {
            // 90 MB live for 3 s; their pages go back within 10 s.
            if (FROM..FROM + 3_000).contains(&t) {
                tick.used += 90e6 * ((t - FROM) as f64 / 2.9e3);
                tick.in_flight = 500.0;
            }
            if t >= FROM {
                let cold = (t.saturating_sub(FROM + 3_000) as f64 / 10e3).min(1.0);
                tick.resident += 95e6 * ((t - FROM) as f64 / 2.9e3).min(1.0) * (1.0 - cold);
            }
        })
        .diagnose();
        assert!(!kinds_of(&d).contains(&FindingKind::HeapFragmented), "{:#?}", d.findings());
    }
}

/// What lives and what is on pages that hold something of it, bytes more than in everyday life; pages go back cold, by and by.
fn paged(seed: u64, seconds: u64, of: impl Fn(u64) -> (f64, f64)) -> World {
    let mut w = run(seed, seconds, |tick, _, t, _| {
        let (live, pages) = of(t);
        tick.used += live;
        tick.resident += pages + if t >= FROM { 65e6 } else { 0.0 };
    });
    for instance in ["shop-0", "shop-1"] {
        let lane = w.lane(LaneSpec::level(names::HEAP_ACTIVE, instance, Unit::Bytes));
        (1..seconds * 10).for_each(|i| w.sample(lane, ms(i * 100), 8e6 + of(i * 100).1));
    }
    w
}

/// Documents of 60 MB that live for three tenths of each two seconds, from [`FROM`] on, beside so many holes.
fn documents(seed: u64, holes: impl Fn(u64) -> f64) -> World {
    paged(seed, 28, |t| {
        let document = if t >= FROM && t % 2_000 < 300 { 60e6 } else { 0.0 };
        (document, document + holes(t))
    })
}

fn fragmented(w: World) -> bool {
    kinds_of(&w.diagnose()).contains(&FindingKind::HeapFragmented)
}

#[test]
fn pages_that_hold_little_are_told_from_cold_ones_and_from_what_lives_for_a_moment() {
    for (seed, mib) in [(1, 30.0), (2, 80.0)] {
        let gathered = move |t: u64| mib * MIB * (t.saturating_sub(FROM) as f64 / 2e3).min(1.0);
        let d = documents(seed, gathered).diagnose();
        let f = find(&d, FindingKind::HeapFragmented);
        assert!(took(f, FROM_S) <= 6.0 + 3.0 && f.status == Status::Confirmed, "{f:#?}");
        assert!(f.onset >= ms(FROM) && f.onset <= ms(FROM + 2_000), "{f:#?}");
        assert!(f.evidence.iter().any(|e| e.lane == names::HEAP_ACTIVE), "{f:#?}");
        assert!(!fragmented(documents(seed, gathered).without(names::HEAP_ACTIVE)), "by what is resident");
    }
    let come_and_go = |t: u64| if t >= FROM && t % 5_000 < 4_500 { 40e6 } else { 2e6 };
    assert!(!fragmented(documents(3, come_and_go)));
    assert!(!fragmented(documents(4, |_| 0.0)));
}

#[test]
fn pages_that_empty_as_what_lived_on_them_goes_are_no_holes() {
    // 100 MB of sessions that end after 5 s on average, 64 to a page: pages stay until the last of theirs has gone.
    let w = paged(1, 60, |t| {
        let gone = 1.0 - (-(t.saturating_sub(FROM) as f64) / 5e3).exp();
        if t < FROM { (0.0, 0.0) } else { (100e6 * (1.0 - gone), 100e6 * (1.0 - gone.powi(64))) }
    });
    assert!(!fragmented(w));
}

#[test]
fn holes_begin_when_little_lives_beside_them() {
    // They are a third of what lives, until that goes.
    let live = |t: u64| if t < 20_000 { 60e6 } else { 0.0 };
    let d = paged(1, 60, |t| (live(t), live(t) + 20e6)).diagnose();
    let f = find(&d, FindingKind::HeapFragmented);
    assert!(f.onset >= ms(20_000) && f.found_at >= ms(40_000), "{f:#?}");
}

#[test]
fn where_pages_are_no_longer_told_what_is_resident_counts() {
    let mut w = holes(1, 80.0);
    let lane = w.lane(LaneSpec::level(names::HEAP_ACTIVE, "shop-0", Unit::Bytes));
    (1..80).for_each(|i| w.sample(lane, ms(i * 100), 8e6));
    let d = w.diagnose();
    let f = find(&d, FindingKind::HeapFragmented);
    assert!(f.claim.contains("2 processes"), "{f:#?}");
}

#[test]
fn a_large_heap_in_use_has_no_holes() {
    let d = run(5, 28, |tick, _, _, _| {
        tick.used += 300e6;
        tick.resident += 420e6;
    })
    .diagnose();
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
}

#[test]
fn what_is_not_told_cannot_be_judged() {
    for (lane, kind) in [
        (names::HEAP_ALLOCATED, FindingKind::HeapChurn),
        (names::HEAP_USED, FindingKind::HeapBloat),
        (names::HEAP_RESIDENT, FindingKind::HeapFragmented),
        (names::HEAP_USED, FindingKind::HeapFragmented),
    ] {
        needs(run(1, 12, |_, _, _, _| {}), kind, lane);
    }
}

#[test]
fn without_routes_churn_is_possible_only() {
    let d = churning(1, 8.0).without(names::SERVER_HANDLER).diagnose();
    assert!(d.findings().iter().all(|f| !likely(f)), "{:#?}", d.findings());
}

#[test]
fn texts_name_the_thing_and_its_numbers() {
    let all =
        [churning(1, 8.0), bloated(1), holes(1, 80.0)].map(|w| claim_and_advice(&w.diagnose().findings()[0]));
    insta::assert_snapshot!("texts", all.join("\n\n"));
}
