//! Findings of event loop, offload pool and CPU, on made-up runs of two processes: found with their figures, silent on what only looks like them.

use crate::world::process::{Tick, run};
use crate::world::{
    Dice, SHOPS, World, cannot_tell, claim_and_advice, find, kinds_of, likely, ms, needs, state, took,
};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Status, Unit};

/// When what is wrong begins, ms.
const FROM: u64 = 10_000;
const FROM_S: f64 = FROM as f64 / 1e3;

/// Log-ins that hash for `stall_ms` on the loop, four a second in each process, and those who wait for them.
fn hashing(seed: u64, stall_ms: u64) -> World {
    run(seed, 24, move |tick, _, t, dice| {
        if t < FROM {
            if dice.unit() < 0.4 {
                tick.request("/login", 24_000.0);
            }
        } else if dice.unit() < 0.4 {
            let end = t - 40;
            tick.stalls.push((end - stall_ms, end));
            tick.request("/login", (stall_ms + 14) as f64 * 1e3);
            if dice.unit() < 0.5 {
                tick.request("/list", (stall_ms + 8) as f64 * 1e3);
            }
            tick.busy += stall_ms as f64 / 100.0;
            tick.late.extend((1..=stall_ms / 10).map(|n| (n * 10_000) as f64));
        }
    })
}

/// A task that puts itself first: wakes come once in `turn_ms`, and nearly nothing is answered.
fn requeued(tick: &mut Tick, dice: &mut Dice, t: u64, turn_ms: u64) {
    tick.busy = if dice.unit() < 0.7 { 1.0 } else { dice.between(0.35, 0.65) };
    tick.cpu = dice.between(0.47, 0.5);
    tick.late = (0..10).map(|_| dice.between(0.0, turn_ms as f64 * 1e3)).collect();
    tick.ended.retain(|e| e.0 == "/page");
    if dice.unit() < 0.6 {
        tick.request("/list", dice.between(600e3, 1_400e3));
    }
    if turn_ms > 30 {
        tick.stalls.push((t - 100, t - 100 + turn_ms.min(98)));
    }
}

/// Requests twenty times as many as usual, on one core for two processes.
fn crowd(tick: &mut Tick, dice: &mut Dice) {
    tick.busy = dice.between(0.85, 1.0);
    tick.cpu = dice.between(0.47, 0.5);
    tick.late = (0..10).map(|_| dice.exp(60e3)).collect();
    tick.ended = (0..48).map(|_| ("/page", dice.between(900.0, 1_100.0))).collect();
}

/// Before a crowd: a tenth of it, at the same cost.
fn quiet(tick: &mut Tick, dice: &mut Dice) {
    tick.ended = (0..5).map(|_| ("/page", dice.between(900.0, 1_100.0))).collect();
    tick.cpu = dice.between(0.045, 0.06);
}

#[test]
fn blocking_work_is_blamed_on_its_route_whatever_its_length() {
    for (seed, stall) in [(1, 28), (2, 28), (3, 60), (4, 95)] {
        let d = hashing(seed, stall).diagnose();
        let f = find(&d, FindingKind::LoopBlocked);
        assert_eq!(d.findings()[0].kind, FindingKind::LoopBlocked, "{:#?}", d.findings());
        assert_eq!((f.subject.as_str(), f.status), ("/login", Status::Confirmed), "{f:#?}");
        assert!(took(f, FROM_S) <= 3.5 && f.onset.0 + 150_000_000 >= ms(FROM).0, "{f:#?}");
    }
}

/// A loop that stalls for 40 ms more than nine times a second from the start to the end, of which 30 ms are late, and beside each stall as many requests
/// of `/login` as `ending` says.
fn always_stalled(seed: u64, ending: impl Fn(&mut Dice) -> usize + 'static) -> World {
    run(seed, 24, move |tick, _, t, dice| {
        if dice.unit() < 0.95 {
            let end = t - 30;
            tick.stalls.push((end - 30, end));
            for _ in 0..ending(dice) {
                tick.request("/login", dice.between(39e3, 42e3));
            }
            tick.busy = dice.between(0.3, 0.5);
            tick.late.extend([10e3, 20e3, 30e3]);
        }
    })
}

#[test]
fn what_blocks_from_the_start_to_the_end_is_blamed_though_no_other_time_is_there_to_compare_with() {
    for seed in 0..3 {
        let d = always_stalled(seed, |_| 1).diagnose();
        let f = find(&d, FindingKind::LoopBlocked);
        assert_eq!((f.subject.as_str(), f.status), ("/login", Status::Likely), "{f:#?}");
        assert!(f.evidence[1].text.contains("tick by tick"), "{f:#?}");
        // Those who wait for what a timer does are as many as chance has it.
        let d = always_stalled(seed, |dice| match dice.unit() {
            u if u < 0.37 => 0,
            u if u < 0.74 => 1,
            u if u < 0.92 => 2,
            _ => 3,
        })
        .diagnose();
        assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
    }
}

/// Hashes of 200 to 800 ms one after the other, so that the loop has no time left and everybody waits for several.
fn drowned(seed: u64) -> World {
    let mut free = [FROM; 2];
    run(seed, 24, move |tick, process, t, dice| {
        if t < FROM {
            return;
        }
        tick.busy = 1.0;
        tick.cpu = dice.between(0.47, 0.5);
        tick.late = (1..=20).map(|n| f64::from(n) * 10e3).collect();
        tick.ended.clear();
        if free[process] <= t {
            let stall = [200, 400, 400, 800][(dice.unit() * 4.0) as usize % 4];
            // Told when it is over; what follows is told with the tick in which it ended.
            tick.stalls.push((free[process].saturating_sub(stall) + 10, free[process]));
            tick.request("/login", (stall + 250) as f64 * 1e3);
            for _ in 0..9 {
                tick.request("/list", (2 * stall) as f64 * 1e3);
            }
            free[process] += stall + 5;
        }
    })
}

#[test]
fn work_that_leaves_the_loop_no_time_is_blocking_and_not_starving() {
    for seed in 0..3 {
        let d = drowned(seed).diagnose();
        let f = &d.findings()[0];
        assert_eq!((f.kind, f.subject.as_str()), (FindingKind::LoopBlocked, "/login"), "{:#?}", d.findings());
        assert!(!kinds_of(&d).contains(&FindingKind::LoopStarved), "{:#?}", d.findings());
    }
}

/// Hashes of 600 ms each: as one ends the next one begins, three times, before the loop turns; everybody ends then.
fn in_a_row(seed: u64) -> World {
    run(seed, 24, move |tick, _, t, dice| {
        if t < FROM {
            return;
        }
        tick.busy = 1.0;
        tick.cpu = 0.47;
        tick.ended.clear();
        let (since, round) = ((t - FROM) % 1_900, (t - FROM) / 1_900);
        if since % 600 == 0 && since + round > 0 {
            tick.request("/login", 590e3);
        }
        if since == 0 && round > 0 {
            tick.stalls.push((t - 1_860, t - 20));
            tick.late = (1..=180).map(|n| f64::from(n) * 10e3).collect();
            for _ in 0..4 + (dice.unit() * 5.0) as usize {
                tick.request("/list", dice.between(100e3, 1_400e3));
            }
        }
    })
}

#[test]
fn blocking_requests_that_come_one_after_another_are_one_stall_and_blamed_all_the_same() {
    for seed in 0..3 {
        let d = in_a_row(seed).diagnose();
        let f = &d.findings()[0];
        assert_eq!((f.kind, f.subject.as_str()), (FindingKind::LoopBlocked, "/login"), "{:#?}", d.findings());
        assert!(f.evidence[1].text.contains("one after another"), "{f:#?}");
        assert!(!kinds_of(&d).contains(&FindingKind::LoopStarved), "{:#?}", d.findings());
    }
}

/// Log-ins that hash for `each` ms, one after another, before the loop turns; the target reads itself on it, and tells all of them at once,
/// beside everybody who waited.
fn told_at_once(seed: u64, each: &'static [u64], hashes: bool) -> World {
    let stall: u64 = each.iter().sum();
    run(seed, 24, move |tick, _, t, dice| {
        if t < FROM {
            return;
        }
        tick.busy = 1.0;
        tick.cpu = 0.47;
        tick.ended.clear();
        let since = (t - FROM) % (stall + 300);
        if (1..=stall + 100).contains(&since) {
            tick.late.clear();
            tick.offload.3.clear();
            tick.offload.4.clear();
        }
        if since == stall + 100 {
            tick.since = since;
            tick.stalls.push((t - 10 - stall, t - 10));
            tick.late = (1..=stall / 10).map(|n| (n * 10_000) as f64).collect();
            for ms in each.iter().filter(|_| hashes) {
                tick.request("/login", (ms * 1_000) as f64);
            }
            for _ in 0..8 {
                tick.request("/list", (stall as f64 + dice.between(20.0, 80.0)) * 1e3);
                tick.request("/page", dice.between(500.0, 900.0));
            }
        }
    })
}

#[test]
fn blocking_requests_of_which_is_told_only_when_the_loop_turns_are_blamed_by_their_sum() {
    const EACH: [&[u64]; 2] = [&[300, 500], &[350, 400, 450]];
    for each in EACH {
        let d = told_at_once(1, each, true).diagnose();
        let f = find(&d, FindingKind::LoopBlocked);
        assert_eq!(d.findings()[0].kind, FindingKind::LoopBlocked, "{:#?}", d.findings());
        assert_eq!((f.subject.as_str(), f.status), ("/login", Status::Confirmed), "{f:#?}");
        assert!(f.evidence[1].text.contains("several that together took as long"), "{f:#?}");
        assert!(f.advice[0].contains("of 400 ms"), "{f:#?}");
        let d = told_at_once(1, each, false).diagnose();
        assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
    }
}

#[test]
fn stalls_are_not_blamed_on_whoever_merely_waited() {
    // No route ends beside them: collections of a library, say.
    let d = run(5, 24, |tick, _, t, dice| {
        if t >= FROM && dice.unit() < 0.3 {
            tick.stalls.push((t - 90, t - 40));
        }
    })
    .diagnose();
    assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
}

#[test]
fn who_does_nothing_else_is_blamed_though_others_of_its_route_wait_for_a_pool() {
    let held_up = |blocks: bool| {
        run(6, 24, move |tick, _, t, dice| {
            if t < FROM {
                tick.request("/login", 900.0);
                return;
            }
            for _ in 0..4 {
                tick.request("/login", dice.between(1.5e6, 2.5e6));
            }
            if dice.unit() < 0.25 {
                tick.stalls.push((t - 80, t - 50));
                tick.request("/login", if blocks { 34e3 } else { 2e6 });
            }
        })
    };
    let d = held_up(true).diagnose();
    let f = find(&d, FindingKind::LoopBlocked);
    assert_eq!((f.subject.as_str(), f.status), ("/login", Status::Confirmed), "{f:#?}");
    let d = held_up(false).diagnose();
    assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
}

#[test]
fn one_burst_of_the_machine_is_no_blocked_loop() {
    for seed in 0..5 {
        let d = run(seed, 24, |tick, _, t, _| {
            if (FROM..FROM + 400).contains(&t) {
                tick.stalls.push((t - 80, t - 20));
                tick.request("/list", 75_000.0);
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn stalls_of_a_thread_without_a_core_are_a_neighbours() {
    let d = run(7, 24, |tick, _, t, dice| {
        if t >= FROM && dice.unit() < 0.3 {
            tick.stalls.push((t - 90, t - 40));
            tick.coreless = 45;
            tick.request("/list", 60_000.0);
        }
    })
    .diagnose();
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
}

/// Of two stalls one has a collection in it, and is no evidence for a route; the loop does not rest in it either.
#[test]
fn a_loop_that_never_rests_is_starved_though_a_route_ends_beside_the_stalls_without_a_collection() {
    for seed in 0..3 {
        let d = run(seed, 24, |tick, process, t, dice| {
            if t <= FROM {
                return;
            }
            tick.busy = 0.99;
            tick.cpu = dice.between(0.44, 0.46);
            tick.late = (0..10).map(|_| dice.between(0.0, 500e3)).collect();
            tick.ended.clear();
            if t % 500 == 0 {
                tick.stalls.push((t - 495, t - 5));
                if t % 1_500 > 0 {
                    tick.pauses.push((kinds::PAUSE_MINOR, t - 300, t - 295));
                }
                (0..6).for_each(|_| tick.request("/item", dice.between(520e3, 1_100e3)));
                if t % 1_500 == 0 && t % 6_000 != 3_000 * process as u64 {
                    tick.request("/page", dice.between(520e3, 1_100e3));
                }
            }
        })
        .diagnose();
        assert_eq!(d.findings()[0].kind, FindingKind::LoopStarved, "{:#?}", d.findings());
        assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
        let collections = d.findings().iter().find(|f| f.claim.contains("collections"));
        assert!(collections.is_none(), "of a hundredth of the time: {collections:#?}");
    }
}

#[test]
fn stalls_in_a_section_of_the_targets_own_are_its_pauses() {
    let d = run(6, 24, |tick, _, t, _| {
        if t >= FROM && t % 500 == 0 {
            tick.stalls.push((t - 95, t - 10));
            tick.pauses.push((kinds::PAUSE_STOP_THE_WORLD, t - 95, t - 10));
            tick.request("/list", 90_000.0);
        }
    })
    .diagnose();
    assert!(!kinds_of(&d).contains(&FindingKind::LoopBlocked), "{:#?}", d.findings());
}

#[test]
fn a_starved_loop_is_told_from_a_blocked_one_and_from_a_full_one() {
    for (seed, turn) in [(1, 25), (2, 120), (3, 60)] {
        let d = run(seed, 24, move |tick, _, t, dice| {
            if t >= FROM {
                requeued(tick, dice, t, turn);
            }
        })
        .diagnose();
        let f = &d.findings()[0];
        assert_eq!(f.kind, FindingKind::LoopStarved, "{:#?}", d.findings());
        assert!(likely(f) && took(f, FROM_S) <= 3.5, "{f:#?}");
        let others = [FindingKind::LoopBlocked, FindingKind::CpuSaturated];
        assert!(kinds_of(&d).iter().all(|k| !others.contains(k)), "{:#?}", d.findings());
    }
}

#[test]
fn a_starved_loop_is_found_where_it_cannot_have_twice_its_cpu_but_pauses_of_its_own_are_not_blamed_on_it() {
    for (seed, paused) in [(1, false), (2, false), (3, true)] {
        let d = run(seed, 24, |tick, _, t, dice| {
            tick.cpu = dice.between(0.25, 0.3);
            if t >= FROM {
                requeued(tick, dice, t, 25);
                tick.cpu = dice.between(0.44, 0.46);
                if paused && t % 1_000 == 0 {
                    tick.pauses.push((kinds::PAUSE_STOP_THE_WORLD, t - 600, t));
                }
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d).contains(&FindingKind::LoopStarved), !paused, "{:#?}", d.findings());
    }
}

#[test]
fn what_its_collections_take_is_no_task_that_starves_the_loop() {
    for (seed, collects) in [(1, false), (2, true), (3, true)] {
        let d = run(seed, 24, |tick, _, t, dice| {
            if t >= FROM {
                requeued(tick, dice, t, 25);
                tick.busy = 1.0;
                tick.cpu = 0.3;
                if collects {
                    // Under a quarter of the time, and all that is more than usual.
                    tick.pauses.push((kinds::PAUSE_MAJOR, t - 60, t - 38));
                }
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d).contains(&FindingKind::LoopStarved), !collects, "{:#?}", d.findings());
    }
}

#[test]
fn a_process_that_was_just_started_is_not_compared_with_the_one_before_it() {
    let starved = |restarted: bool| {
        let mut w = run(1, 24, |tick, _, t, dice| {
            if (FROM..FROM + 3_000).contains(&t) {
                requeued(tick, dice, t, 25);
            }
        });
        for name in SHOPS {
            let lane = w.lane(LaneSpec::level(names::PROCESS_GENERATION, name, Unit::Count));
            for t in (500..24_000).step_by(500) {
                w.sample(lane, ms(t), if restarted && t >= FROM { 1.0 } else { 0.0 });
            }
        }
        kinds_of(&w.diagnose()).contains(&FindingKind::LoopStarved)
    };
    assert!(starved(false) && !starved(true));
}

#[test]
fn more_requests_than_the_cores_can_do_are_found_with_what_the_cores_can_do() {
    for seed in 0..3 {
        let d =
            run(seed, 24, |tick, _, t, dice| if t >= FROM { crowd(tick, dice) } else { quiet(tick, dice) })
                .diagnose();
        let f = &d.findings()[0];
        assert_eq!((f.kind, f.status), (FindingKind::CpuSaturated, Status::Confirmed), "{:#?}", d.findings());
        assert!(f.subject == "/page" && took(f, FROM_S) <= 3.5, "{f:#?}");
        assert!(!kinds_of(&d).contains(&FindingKind::LoopStarved), "{:#?}", d.findings());
    }
}

#[test]
fn a_neighbour_who_takes_the_machine_is_not_the_targets_fault() {
    for seed in 0..3 {
        let d = run(seed, 24, |tick, _, t, dice| {
            quiet(tick, dice);
            if t >= FROM {
                tick.host = 1.0;
                tick.busy = dice.between(0.85, 1.0);
                tick.cpu = dice.between(0.08, 0.12);
                tick.late = (0..10).map(|_| dice.exp(60e3)).collect();
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

/// `queued` tasks wait for one of 4 threads, each of which ends 7.4 tasks of 135 ms a second.
fn few_threads(tick: &mut Tick, dice: &mut Dice, queued: f64) {
    let ended = if dice.unit() < 0.96 { 3 } else { 2 };
    let wait = queued / 4.0 * 135e3;
    tick.offload =
        (4.0, 4.0, queued, vec![wait; ended], (0..ended).map(|_| dice.between(130e3, 140e3)).collect());
}

#[test]
fn too_few_offload_threads_are_found_with_how_many_are_needed() {
    for seed in 0..3 {
        let d = run(seed, 24, |tick, _, t, dice| {
            if t >= FROM {
                few_threads(tick, dice, ((t - FROM) as f64 / 100.0).min(20.0));
            }
        })
        .diagnose();
        let f = &d.findings()[0];
        assert_eq!(
            (f.kind, f.status),
            (FindingKind::OffloadSaturated, Status::Confirmed),
            "{:#?}",
            d.findings()
        );
        assert!(took(f, FROM_S) <= 3.0, "{f:#?}");
        // While the queue grows by 10/s and 29.6/s end, each process asks for 39.6/s x 135 ms = 5.3 threads.
        assert!(f.advice[0].contains("from 4 to"), "{}", f.advice[0]);
    }
}

#[test]
fn sessions_that_wait_are_not_taken_for_tasks() {
    let d = run(1, 24, |tick, _, t, dice| {
        if t >= FROM {
            few_threads(tick, dice, 80.0);
        }
    })
    .diagnose();
    let f = find(&d, FindingKind::OffloadSaturated);
    // 160 of 200 sessions wait. The same load ended 80 tasks a second before: at 135 ms each process has 5.4 under way.
    assert!(f.claim.ends_with("; the load needs at least 11"), "{}", f.claim);
    assert_eq!(f.remedies, [timeline::Remedy::number("offload.threads", 11.0)], "{f:#?}");
}

#[test]
fn a_crowded_offload_pool_is_found_by_how_many_tasks_wait() {
    for seed in 0..3 {
        let d = run(seed, 24, |tick, _, t, dice| {
            if t >= FROM {
                // 28 tasks a second of 135 ms keep 3.8 of 6 threads busy; one in five waits.
                let waits = if dice.unit() < 0.2 { 45e3 } else { 20.0 };
                let queued = f64::from(u8::from(waits > 1e3));
                tick.offload = (6.0, 6.0, queued, vec![waits; 3], vec![135e3; 3]);
            }
        })
        .diagnose();
        let f = &d.findings()[0];
        assert_eq!(
            (f.kind, f.severity),
            (FindingKind::OffloadSaturated, timeline::Severity::Warning),
            "{f:#?}"
        );
        assert!(likely(f) && took(f, FROM_S) <= 7.0, "{f:#?}");
    }
}

/// As the inspector tells it: nothing of others' tasks, and of its own one whether it waits and for how long.
#[test]
fn a_full_offload_pool_is_found_by_one_task_that_waits_alone() {
    let waits = |us: f64| {
        let world = run(1, 24, |tick, _, t, _| {
            tick.offload = if t >= FROM {
                (4.0, 4.0, 1.0, vec![us], Vec::new())
            } else {
                (4.0, 0.0, 0.0, vec![100.0], Vec::new())
            };
        });
        world.without(names::OFFLOAD_BUSY).without(names::OFFLOAD_RUN).diagnose()
    };
    let d = waits(80e3);
    let f = find(&d, FindingKind::OffloadSaturated);
    assert_eq!(
        (f.status, f.missing.as_slice()),
        (Status::Likely, [names::OFFLOAD_RUN.to_owned()].as_slice())
    );
    assert_eq!(kinds_of(&waits(12e3)), [], "nobody notices so short a wait");
}

/// A loop that is starved tells of its pool once in each turn of a second.
#[test]
fn a_full_offload_pool_is_found_though_it_is_seldom_told() {
    let queued = |waits: fn(u64) -> bool| {
        let mut world = run(1, 24, |tick, _, t, _| {
            let waits = t >= FROM && waits(t);
            tick.offload = (4.0, 4.0, f64::from(u8::from(waits)), vec![80e3], Vec::new());
        });
        world.told_only(names::OFFLOAD_QUEUED, |at| at < ms(FROM) || at.0 / 100_000_000 % 10 == 0);
        world.without(names::OFFLOAD_BUSY).without(names::OFFLOAD_RUN).diagnose()
    };
    let d = queued(|_| true);
    let f = find(&d, FindingKind::OffloadSaturated);
    assert!(likely(f) && took(f, FROM_S) <= 4.0, "{f:#?}");
    assert_eq!(kinds_of(&queued(|t| t / 1_000 % 2 == 0)), [], "it was seen without a queue in between");
}

#[test]
fn a_full_offload_pool_without_a_queue_is_well_used() {
    for seed in 0..3 {
        let d = run(seed, 24, |tick, _, t, dice| {
            if t >= FROM {
                // Now and then a task waits for a moment.
                let queued = f64::from(u8::from(dice.unit() < 0.3));
                few_threads(tick, dice, queued);
                tick.offload.3 = vec![1_000.0; 3];
            }
        })
        .diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn healthy_runs_have_no_finding() {
    for seed in 0..10 {
        let d = run(seed, 30, |_, _, _, _| {}).diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    }
}

#[test]
fn what_is_not_told_cannot_be_judged() {
    let healthy = || run(1, 12, |_, _, _, _| {});
    for (lane, kind) in [
        (names::LOOP_UTILISATION, FindingKind::LoopStarved),
        (names::LOOP_DELAY, FindingKind::LoopStarved),
        (names::SERVER_HANDLER, FindingKind::LoopStarved),
        (names::PROCESS_CPU, FindingKind::CpuSaturated),
        (names::OFFLOAD_QUEUED, FindingKind::OffloadSaturated),
        (names::OFFLOAD_CAPACITY, FindingKind::OffloadSaturated),
    ] {
        needs(healthy(), kind, lane);
    }
    let no_loop = healthy().without(names::LOOP_UTILISATION).without(names::LOOP_DELAY);
    cannot_tell(&no_loop.diagnose(), FindingKind::LoopBlocked, names::LOOP_DELAY);
    // A page tells how late goroutines run, or how busy a loop is, and of no stall.
    for source in ["metrics", "otlp"] {
        let mut page = healthy();
        for shop in SHOPS {
            page.lane(LaneSpec::level(names::SOURCE_AGE, source, Unit::Ns).about(shop).worst());
        }
        let (status, why) = state(&page.diagnose(), FindingKind::LoopBlocked);
        assert_eq!((status, why.as_str()), (Status::CannotTell, "missing: pause.worker-stall"));
    }
    assert_eq!(state(&healthy().diagnose(), FindingKind::LoopBlocked).0, Status::NotSeen);
}

#[test]
fn without_routes_a_blocked_loop_is_possible_and_says_what_it_lacks() {
    let d = hashing(1, 40).without(names::SERVER_HANDLER).diagnose();
    let f = find(&d, FindingKind::LoopBlocked);
    assert_eq!(
        (f.status, f.missing.as_slice()),
        (Status::Possible, [names::SERVER_HANDLER.to_owned()].as_slice())
    );
}

#[test]
fn texts_name_the_thing_and_its_numbers() {
    let starved = run(2, 24, |tick, _, t, dice| {
        if t >= FROM {
            requeued(tick, dice, t, 120)
        }
    });
    let full = run(1, 24, |tick, _, t, dice| if t >= FROM { crowd(tick, dice) } else { quiet(tick, dice) });
    let few = run(1, 24, |tick, _, t, dice| {
        if t >= FROM {
            few_threads(tick, dice, 12.0);
        }
    });
    let all = [hashing(1, 28), starved, full, few].map(|w| claim_and_advice(&w.diagnose().findings()[0]));
    insta::assert_snapshot!("texts", all.join("\n\n"));
}
