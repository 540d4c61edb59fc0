//! Measures the engine: one worker process against a target, closed loop or idle sessions.
//!
//! `measure WORKER PORT get|script|idle-http|idle-ws|echo SESSIONS SECONDS`, where WORKER is the built `dyno-load-worker`. Prints requests per
//! second, CPU per request, and resident bytes per session (between a tenth of the sessions and all of them).

use std::error::Error;

use loadgen::coordinator::LEAD;
use loadgen::protocol::Counters;
use loadgen::{Coordinator, CoordinatorOptions, LoadUpdate};
use scenarios::plan::*;
use timeline::{MonoNs, RunClock};

const SECOND: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [worker, port, mode, sessions, seconds] = &arguments[..] else {
        return Err("measure WORKER PORT MODE SESSIONS SECONDS".into());
    };
    let options = CoordinatorOptions {
        plan: plan(mode, sessions.parse()?, seconds.parse()?)?,
        url: BaseUrl { tls: false, host: "127.0.0.1".to_owned(), port: port.parse()?, prefix: String::new() },
        worker_exe: worker.into(),
        worker_args: Vec::new(),
        workers: 1,
        cpus: None,
        clock: RunClock::with_origin(MonoNs(MonoNs::now().0 + LEAD.as_nanos() as u64)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(options))
}

fn plan(mode: &str, sessions: f64, seconds: u64) -> Result<RunPlan, Box<dyn Error>> {
    let text = |t: &str| Template(vec![Part::Text(t.to_owned())]);
    let get = |id| Request {
        id: StepId(id),
        when: None,
        method: "GET".to_owned(),
        path: text("/"),
        headers: Vec::new(),
        body: None,
        checks: Vec::new(),
        saves: Vec::new(),
        options: RequestOptions::default(),
    };
    let forever =
        |steps| Step::Repeat(Box::new(Repeat { times: Times::UntilEnd, every: None, guard: None, steps }));
    let connect = || {
        Step::Connect(Box::new(Connect {
            id: StepId(1),
            path: text("/"),
            headers: Vec::new(),
            subprotocol: None,
            options: SocketOptions::default(),
        }))
    };
    let idle = Step::Think(Dist::Constant(3600 * SECOND));
    let steps = match mode {
        "get" => vec![forever(vec![Step::Request(Box::new(get(0)))])],
        "script" => {
            let mut r = get(0);
            r.path = Template(vec![
                Part::Text("/item/".to_owned()),
                Part::Int(1, 1000),
                Part::Text("?s=".to_owned()),
                Part::Session,
            ]);
            r.checks =
                vec![Check::Status(vec![(200, 200)]), Check::Body(TextTest::Contains("World".to_owned()))];
            r.saves = vec![Save {
                slot: Slot(0),
                from: Capture::Header("Content-Type".to_owned()),
                pick: Pick::First,
            }];
            vec![forever(vec![Step::Request(Box::new(r))])]
        }
        "idle-http" => vec![Step::Request(Box::new(get(0))), idle],
        "idle-ws" => vec![connect(), idle],
        "echo" => {
            let message = Template(vec![
                Part::Text("{\"id\":".to_owned()),
                Part::Int(1, 1_000_000),
                Part::Text("}".to_owned()),
            ]);
            let wait = Await {
                what: Awaited::JsonEquals("$.id".to_owned(), Template(vec![Part::Sent("id".to_owned())])),
                within_ns: 10 * SECOND,
            };
            vec![
                connect(),
                forever(vec![Step::Send(Box::new(Send {
                    id: StepId(0),
                    payload: Payload::Text(message),
                    wait: Some(wait),
                }))]),
            ]
        }
        other => return Err(format!("no mode {other}").into()),
    };
    let phase = |name: &str, s: u64, from, to| Phase {
        name: name.to_owned(),
        length_ns: s * SECOND,
        model: Model::Sessions { from, to },
        warmup: false,
    };
    Ok(RunPlan {
        name: "measure".to_owned(),
        about: String::new(),
        seed: 1,
        target: Target::Bundled,
        transport: Transport::default(),
        attach: Vec::new(),
        // A tenth, a rise to all within a second, all.
        phases: vec![
            phase("some", 1, sessions / 10.0, sessions / 10.0),
            phase("rise", 1, sessions / 10.0, sessions),
            phase("all", seconds, sessions, sessions),
        ],
        sessions: vec![SessionKind { name: "client".to_owned(), weight: 1, steps }],
        steps: vec!["step".to_owned(), "connect".to_owned()],
        slots: 1,
        feeders: Vec::new(),
        assets: Assets::default(),
        faults: Vec::new(),
        gates: Vec::new(),
        grace_ns: 2 * SECOND,
        timeout_ns: 10 * SECOND,
        timer: Timer::default(),
    })
}

async fn measure(options: CoordinatorOptions) -> Result<(), Box<dyn Error>> {
    let end = options.plan.length_ns();
    let mut coordinator = Coordinator::start(options).await?;
    let (mut pid, mut some, mut first, mut last) = (0, None, None, None);
    while let Some(update) = coordinator.next().await {
        match update {
            LoadUpdate::Joined { pid: p, .. } => pid = p,
            LoadUpdate::Lost { why, .. } => return Err(why.into()),
            LoadUpdate::Counters(_, c) if c.at < SECOND => some = Some((resident(pid), c)),
            LoadUpdate::Counters(_, c) if (5 * SECOND / 2..=end).contains(&c.at) => {
                first.get_or_insert_with(|| c.clone());
                last = Some((resident(pid), c));
            }
            _ => {}
        }
    }
    let (Some((few, before)), Some(a), Some((all, b))) = (some, first, last) else {
        return Err("too short a run".into());
    };
    report(&a, &b, (all - few) / (b.open_sessions.saturating_sub(before.open_sessions)).max(1) as f64);
    Ok(())
}

fn report(a: &Counters, b: &Counters, bytes: f64) {
    let (seconds, done) = ((b.at - a.at) as f64 / 1e9, b.completed - a.completed);
    let cpu = (b.cpu_ns - a.cpu_ns) as f64;
    println!(
        "sessions={} connections={} steps/s={:.0} cpu_us/step={:.2} cpu_cores={:.2} errors={} late={} bytes/session={bytes:.0} resident",
        b.open_sessions,
        b.open_connections,
        done as f64 / seconds,
        cpu / 1e3 / done.max(1) as f64,
        cpu / 1e9 / seconds,
        b.errors.iter().sum::<u64>(),
        b.late,
    );
}

fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}
