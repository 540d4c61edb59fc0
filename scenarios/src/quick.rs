//! The quick form, `dyno run --url URL --sessions 50 --for 30s`: a plan without a file.

use crate::mistake::{ScenarioError, Wrong};
use crate::parse::{DEFAULT_GRACE_NS, DEFAULT_SEED, DEFAULT_TIMEOUT_NS, option_gates};
use crate::plan::{
    Model, Part, Phase, Repeat, Request, RequestOptions, RunPlan, SessionKind, Step, StepId, Target,
    Template, Times, Transport,
};
use crate::text::template::{self, Scope};
use crate::text::{address, quantity};

/// Most sessions of a quick run, as of any phase.
const MAX_SESSIONS: u64 = 10_000_000;

/// What a quick run says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quick {
    /// Address with path and query; `${int(1, 9)}` and other functions work in it.
    pub url: String,
    /// Sessions held at once.
    pub sessions: u64,
    /// For how long: `30s`.
    pub for_: String,
    /// Seed of everything random; 1 if not given.
    pub seed: Option<u64>,
    /// Conditions that must hold.
    pub gates: Vec<String>,
}

/// The plan of a quick run: one step named after the path, got again and again in one phase.
///
/// # Errors
/// All mistakes in what was said.
pub fn quick(quick: &Quick) -> Result<RunPlan, ScenarioError> {
    let mut wrong = Vec::new();
    let address = address::target_and_path(&quick.url).map_err(|w| wrong.push(w.in_front("--url"))).ok();
    let length = quantity::duration(&quick.for_)
        .and_then(above_zero)
        .map_err(|w| wrong.push(w.in_front("--for")))
        .ok();
    if !(1..=MAX_SESSIONS).contains(&quick.sessions) {
        let w = Wrong::new(format!("{} sessions cannot be held", quick.sessions));
        wrong.push(w.expected(format!("from 1 to {MAX_SESSIONS}")).in_front("--sessions"));
    }
    let path = address.as_ref().map_or("/", |(_, path)| path.as_str());
    let template = path_template(path).unwrap_or_else(|all| {
        wrong.extend(all.into_iter().map(|w| w.in_front("--url")));
        Template::default()
    });
    let step = timeline::text::clean(path, 64);
    let phase = "steady".to_owned();
    let names = (std::slice::from_ref(&step), std::slice::from_ref(&phase));
    let gates = option_gates(&quick.gates, Some(names)).unwrap_or_else(|all| {
        wrong.extend(all);
        Vec::new()
    });
    let (Some((base, _)), Some(length_ns), true) = (address, length, wrong.is_empty()) else {
        return Err(ScenarioError { mistakes: wrong.into_iter().map(|w| w.at(None)).collect(), more: 0 });
    };
    let load = quick.sessions as f64;
    Ok(RunPlan {
        name: "quick".to_owned(),
        about: timeline::text::clean(&format!("GET {} again and again", quick.url), 300),
        seed: quick.seed.unwrap_or(DEFAULT_SEED),
        target: Target::Url(base),
        transport: Transport::default(),
        attach: vec!["auto".to_owned()],
        phases: vec![Phase {
            name: phase,
            length_ns,
            model: Model::Sessions { from: load, to: load },
            warmup: false,
        }],
        sessions: vec![SessionKind {
            name: "client".to_owned(),
            weight: 1,
            steps: vec![again(get(template))],
        }],
        steps: vec![step],
        slots: 0,
        feeders: Vec::new(),
        faults: Vec::new(),
        gates,
        grace_ns: DEFAULT_GRACE_NS,
        timeout_ns: DEFAULT_TIMEOUT_NS,
    })
}

fn above_zero(ns: u64) -> Result<u64, Wrong> {
    if ns > 0 { Ok(ns) } else { Err(Wrong::new("this is no time at all").expected("a duration above zero")) }
}

fn path_template(path: &str) -> Result<Template, Vec<Wrong>> {
    if let Some(c) = path.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
        return Err(vec![Wrong::new(format!("a path cannot hold {c:?}")).expected("printable ASCII")]);
    }
    let template = template::parse(path, &Scope { slots: &[], feeders: &[], secrets: &[], sent: None })?;
    // A space is right inside `${int(1, 9)}` only.
    if template.0.iter().any(|p| matches!(p, Part::Text(t) if t.contains(' '))) {
        return Err(vec![Wrong::new("a path cannot hold a space").help("it is written %20")]);
    }
    Ok(template)
}

fn get(path: Template) -> Step {
    Step::Request(Box::new(Request {
        id: StepId(0),
        when: None,
        method: "GET".to_owned(),
        path,
        headers: Vec::new(),
        body: None,
        checks: Vec::new(),
        saves: Vec::new(),
        options: RequestOptions::default(),
    }))
}

fn again(step: Step) -> Step {
    Step::Repeat(Box::new(Repeat { times: Times::UntilEnd, every: None, steps: vec![step] }))
}
