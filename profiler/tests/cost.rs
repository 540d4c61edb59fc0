//! A tick of the diagnosis with 500 lanes costs so little that ten a second take under 1% of a core.

mod world;

use dynamometer_profiler::Diagnosis;
use timeline::{Entry, LaneSpec, RunTime, Timeline, Unit};
use world::{Setup, build, ms};

/// CPU milliseconds of this thread.
fn cpu_ms() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
}

#[test]
fn a_tick_with_500_lanes_costs_under_a_millisecond() {
    let mut w = build(&Setup { stampede: Some((15.0, 30.0)), leak: Some((12.0, 4e6)), ..Setup::default() });
    for i in 0..480 {
        let lane = w.lane(LaneSpec::level(format!("server.made-up-{i}"), "shop-0", Unit::Count));
        for t in 1..400 {
            w.sample(lane, ms(t * 100), f64::from(i));
        }
    }
    let (mut timeline, mut diagnosis) = (Timeline::new(), Diagnosis::new());
    let mut costs: Vec<f64> = Vec::new();
    for entry in w.script() {
        timeline.apply(&entry);
        if let Entry::Tick(at) = entry {
            let before = cpu_ms();
            diagnosis.tick(&timeline, at);
            costs.push(cpu_ms() - before);
        }
    }
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    let most = costs.iter().copied().fold(0.0, f64::max);
    println!("{} ticks, mean {mean:.3} ms, most {most:.3} ms", costs.len());
    // Unoptimised code takes some twenty times as long and is promised nothing.
    let limit = if cfg!(debug_assertions) { 40.0 } else { 1.0 };
    assert!(mean < limit, "{mean} ms a tick");
    assert!(timeline.now() > RunTime::ZERO);
}
