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
