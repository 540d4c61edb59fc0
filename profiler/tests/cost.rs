//! A tick of the diagnosis with 500 lanes costs about as much late in a run, with findings open, as early. How much that is depends on the
//! machine: it is printed, in per cent of a core at ten ticks a second, and not asserted.

mod world;

use std::time::Duration;

use dynamometer_profiler::Diagnosis;
use timeline::lane::names;
use timeline::{Entry, LaneSpec, RunTime, Timeline, Unit};
use world::{Setup, build, ms};

/// CPU milliseconds of this thread.
fn cpu_ms() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
}

#[test]
fn a_tick_with_500_lanes_costs_no_more_late_in_a_run_than_early() {
    let mut w = build(&Setup { stampede: Some((15.0, 30.0)), leak: Some((12.0, 4e6)), ..Setup::default() });
    for i in 0..480 {
        let lane = w.lane(LaneSpec::level(format!("server.made-up-{i}"), "shop-0", Unit::Count));
        for t in 1..400 {
            w.sample(lane, ms(t * 100), f64::from(i));
        }
    }
    // What blame reads: times of ten routes in two processes, and of ten steps.
    for i in 0..10 {
        let took: Vec<f64> = (1..40).map(|v| f64::from(v) * 7e3).collect();
        for shop in ["shop-0", "shop-1"] {
            let route = format!("/route-{i}");
            let lane = w.lane(LaneSpec::histogram(names::SERVER_HANDLER, shop).about(route));
            for t in 1..400 {
                w.histogram(lane, ms(t * 100 - 100), ms(t * 100), &took[..(t % 15) as usize * 2]);
            }
        }
        for name in [names::RESPONSE, names::SERVICE] {
            let lane = w.lane(LaneSpec::histogram(name, "gen-0").about(format!("step {i}")));
            for t in 1..40 {
                w.histogram(lane, ms(t * 1_000 - 1_000), ms(t * 1_000), &took);
            }
        }
    }
    let (mut timeline, mut diagnosis) = (Timeline::new(), Diagnosis::new());
    let mut costs: Vec<f64> = Vec::new();
    for entry in w.script() {
        timeline.apply(&entry);
        if let Entry::Tick(at) = entry {
            // A run ticks twice a second; ten times is what it may cost.
            for earlier_ms in [400, 300, 200, 100, 0] {
                let before = cpu_ms();
                diagnosis.tick(&timeline, at.back(Duration::from_millis(earlier_ms)));
                costs.push(cpu_ms() - before);
            }
        }
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (early, late) = (mean(&costs[costs.len() / 4..costs.len() / 2]), mean(&costs[costs.len() * 3 / 4..]));
    // A millisecond ten times a second is a hundredth of a core.
    println!(
        "{} ticks: {early:.3} ms each in the second quarter, {late:.3} in the last with findings open, which is as many per cent of a core",
        costs.len(),
    );
    // Windows are bounded, so a longer run does not make a tick dearer; a factor of 4 is room for noise and for what open findings take.
    assert!(late < 4.0 * early.max(0.05), "{early} ms a tick grew to {late} ms");
    assert!(timeline.now() > RunTime::ZERO);
}
