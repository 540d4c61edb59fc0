//! Where no CPU is left, a bigger pool or more threads are no remedy, and are not advised.

use crate::world::process::run;
use crate::world::{self, Setup, build, find, ms};
use timeline::lane::names;
use timeline::{Finding, FindingKind, LaneSpec, Unit};

/// A pool below the load, beside so much use of the host's CPU.
fn small_pool(cpu: f64) -> Finding {
    let mut w = build(&Setup {
        phases: world::open(Setup::default().phases),
        capacity: |s| if s < 12.0 { 8 } else { 3 },
        rate: |s| 700.0 * (s / 5.0).min(1.0),
        seconds: 24,
        ..Setup::default()
    });
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    let cores = w.lane(LaneSpec::level(names::HOST_CORES, "host", Unit::Count));
    for i in 1..240 {
        w.sample(host, ms(i * 100), cpu);
        w.sample(cores, ms(i * 100), 2.0);
    }
    find(&w.diagnose(), FindingKind::PoolSaturated).clone()
}

/// 4 threads in each process for 15 tasks that wait; from 10 s on they use so many cores of a host that is used so much.
fn few_threads(cores: f64, cpu: f64) -> Finding {
    let w = run(1, 24, |tick, _, t, dice| {
        if t >= 10_000 {
            let runs = (0..3).map(|_| dice.between(130e3, 140e3)).collect();
            tick.offload = (4.0, 4.0, 15.0, vec![500e3; 3], runs);
            (tick.cpu, tick.host) = (cores / 2.0, cpu);
        }
    });
    find(&w.diagnose(), FindingKind::OffloadSaturated).clone()
}

#[test]
fn nothing_is_enlarged_while_the_cpu_is_short() {
    for (spare, short, setting, instead) in [
        (small_pool(0.6), small_pool(0.97), "pool.db.capacity", "Find what takes the CPU"),
        (
            few_threads(0.2, 0.6),
            few_threads(2.2, 0.97),
            "offload.threads",
            "Make what the tasks compute cheaper",
        ),
    ] {
        let enlarges = |f: &Finding| f.advice.iter().any(|a| a.contains("Raise the"));
        assert!(enlarges(&spare) && spare.remedies.iter().any(|r| r.set == setting), "{spare:#?}");
        assert!(short.contradicting.iter().any(|e| e.lane == names::HOST_CPU), "{short:#?}");
        assert!(!enlarges(&short) && short.remedies.is_empty(), "{short:#?}");
        assert!(short.advice[0].starts_with(instead), "{:?}", short.advice);
    }
}

#[test]
fn threads_that_only_wait_may_be_more_on_a_full_machine() {
    let f = few_threads(0.2, 0.97);
    assert!(f.advice[0].contains("Raise the threads") && f.remedies.len() == 1, "{f:#?}");
}

/// Loops that are busy all the time with few cores of a host that has more, held back for so much of the time.
fn under_quota(share: f64) -> Option<Finding> {
    let mut w = run(1, 24, |tick, _, t, dice| {
        let crowded = t >= 10_000;
        let (requests, cpu) = if crowded { (30, 0.3) } else { (5, 0.05) };
        tick.ended = (0..requests).map(|_| ("/page", dice.between(900.0, 1_100.0))).collect();
        (tick.host, tick.cpu) = (0.4, dice.between(0.95, 1.05) * cpu);
        if crowded {
            tick.busy = dice.between(0.9, 1.0);
        }
    });
    for name in world::SHOPS {
        let lane = w.lane(LaneSpec::rate(names::PROCESS_THROTTLED, name, Unit::Ratio));
        for t in (1_000..24_000).step_by(500) {
            w.sample(lane, ms(t), if t >= 10_000 { share } else { 0.0 });
        }
    }
    let d = w.diagnose();
    d.findings().iter().find(|f| f.kind == FindingKind::CpuSaturated).cloned()
}

#[test]
fn a_quota_that_holds_the_target_back_is_named() {
    let f = under_quota(0.6).unwrap();
    assert!(
        f.evidence.iter().any(|e| e.text == "a CPU quota holds them back for 60.0 % of the time"),
        "{f:#?}"
    );
    assert!(f.advice[0].starts_with("Raise the CPU quota"), "{:?}", f.advice);
    assert_eq!(under_quota(0.0), None);
    // Each by itself: held back for six tenths of the CPU time that it wants.
    for shop in world::SHOPS {
        let after = |words: &str| -> f64 {
            let text = f.advice[0].split(shop).nth(1).unwrap().split(words).nth(1).unwrap();
            text.split([' ', ',']).next().unwrap().parse().unwrap()
        };
        let (wanted, used) = (after("would use "), after("instead of "));
        assert!((0.28..=0.32).contains(&used) && (wanted * 0.4 - used).abs() < 0.01, "{:?}", f.advice);
    }
    let always = under_quota(1.0).unwrap();
    assert!(always.advice[0].contains("shop-0 would use more than its 0.3"), "{:?}", always.advice);
}
