//! Measures how exactly arrivals are released: both timers, at a rate, with what they cost.
//!
//! `release WORKER RATE SECONDS`, where WORKER is the built `dyno-load-worker`. The sessions do nothing at all, so that only the
//! timer is measured. Prints the release error's quantiles and the CPU of the worker.

use std::error::Error;
use std::net::TcpListener;

use loadgen::coordinator::LEAD;
use loadgen::{Coordinator, CoordinatorOptions, LoadUpdate};
use scenarios::plan::*;
use timeline::histogram;
use timeline::{MonoNs, RunClock};

const SECOND: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [worker, rate, seconds] = &arguments[..] else {
        return Err("release WORKER RATE SECONDS".into());
    };
    // Nobody talks to it; it is there to be found.
    let target = TcpListener::bind("127.0.0.1:0")?;
    let port = target.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for timer in [Timer::Wheel, Timer::Precise, Timer::Precise, Timer::Wheel] {
        let options = CoordinatorOptions {
            plan: plan(timer, rate.parse()?, seconds.parse()?),
            url: BaseUrl { tls: false, host: "127.0.0.1".to_owned(), port, prefix: String::new() },
            worker_exe: worker.into(),
            worker_args: Vec::new(),
            workers: 1,
            cpus: None,
            clock: RunClock::with_origin(MonoNs(MonoNs::now().0 + LEAD.as_nanos() as u64)),
        };
        println!("{timer:?}: {}", runtime.block_on(measure(options))?);
    }
    Ok(())
}

fn plan(timer: Timer, rate: f64, seconds: u64) -> RunPlan {
    RunPlan {
        name: "release".to_owned(),
        about: String::new(),
        seed: 1,
        target: Target::Bundled,
        transport: Transport::default(),
        attach: Vec::new(),
        phases: vec![Phase {
            name: "all".to_owned(),
            length_ns: seconds * SECOND,
            model: Model::Arrivals { from: rate, to: rate },
            warmup: false,
        }],
        sessions: vec![SessionKind { name: "nobody".to_owned(), weight: 1, steps: Vec::new() }],
        steps: Vec::new(),
        slots: 0,
        feeders: Vec::new(),
        assets: Assets::default(),
        faults: Vec::new(),
        gates: Vec::new(),
        grace_ns: SECOND,
        timeout_ns: SECOND,
        timer,
    }
}

async fn measure(options: CoordinatorOptions) -> Result<String, Box<dyn Error>> {
    let end = options.plan.length_ns();
    let mut coordinator = Coordinator::start(options).await?;
    let (mut errors, mut first, mut last) = (histogram::new(), None, None);
    while let Some(update) = coordinator.next().await {
        match update {
            LoadUpdate::Lost { why, .. } => return Err(why.into()),
            // The first second has the start in it.
            LoadUpdate::Histograms(_, h) if h.start >= SECOND => h.release_error.add_to(&mut errors),
            LoadUpdate::Counters(_, c) if (SECOND..=end).contains(&c.at) => {
                first.get_or_insert_with(|| c.clone());
                last = Some(c);
            }
            _ => {}
        }
    }
    let (Some(a), Some(b)) = (first, last) else { return Err("too short a run".into()) };
    let us = |q| histogram::quantile_ns(&errors, q).unwrap_or(0.0) / 1e3;
    let cores = (b.cpu_ns - a.cpu_ns) as f64 / (b.at - a.at).max(1) as f64;
    Ok(format!(
        "{} releases, error p50 {:.0} us, p90 {:.0} us, p99 {:.0} us, max {:.0} us, {cores:.2} cores",
        errors.len(),
        us(0.5),
        us(0.9),
        us(0.99),
        us(1.0)
    ))
}
