//! Plans for tests: the smallest that are complete.

use std::net::SocketAddr;

use scenarios::plan::{
    Assets, BaseUrl, Model, Part, Phase, Request, RequestOptions, RunPlan, SessionKind, Step, StepId, Target,
    Template, Timer, Transport,
};

use crate::protocol::Segment;

/// A plan with one phase of one session for a second, and one session kind of `steps`; eight step names.
pub fn plan_of(steps: Vec<Step>) -> RunPlan {
    let phase = Phase {
        name: "only".to_owned(),
        length_ns: 1_000_000_000,
        model: Model::Sessions { from: 1.0, to: 1.0 },
        warmup: false,
    };
    RunPlan {
        name: "test".to_owned(),
        about: String::new(),
        seed: 1,
        target: Target::Url(BaseUrl {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: 1,
            prefix: String::new(),
        }),
        transport: Transport::default(),
        attach: Vec::new(),
        metrics: Vec::new(),
        phases: vec![phase],
        sessions: vec![SessionKind { name: "only".to_owned(), weight: 1, steps }],
        steps: (0..8).map(|i| format!("step {i}")).collect(),
        slots: 4,
        feeders: Vec::new(),
        assets: Assets::default(),
        faults: Vec::new(),
        actions: Vec::new(),
        cache: Vec::new(),
        gates: Vec::new(),
        grace_ns: 500_000_000,
        timeout_ns: 1_000_000_000,
        timer: Timer::default(),
    }
}

/// All of the plan as one worker's part, for a target that nobody talks to.
pub fn segment(plan: RunPlan) -> Segment {
    let url = BaseUrl { tls: false, host: "x".to_owned(), port: 80, prefix: String::new() };
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    Segment { worker: 0, workers: 1, url, address, sources: Vec::new(), plan }
}

/// A bare `GET`.
pub fn get(id: u16, path: &str) -> Step {
    Step::Request(Box::new(Request {
        id: StepId(id),
        when: None,
        method: "GET".to_owned(),
        path: Template(vec![Part::Text(path.to_owned())]),
        headers: Vec::new(),
        body: None,
        checks: Vec::new(),
        saves: Vec::new(),
        options: RequestOptions::default(),
    }))
}
