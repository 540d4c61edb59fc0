//! The quick form, `dyno run --url URL --sessions 50 --for 30s`: a plan without a file.
//!
//! Owns the one request; how much load there is, `flags` says.

use std::borrow::Cow;
use std::path::Path;

use timeline::metric::Mapping;

use crate::files;
use crate::flags::LoadFlags;
use crate::mistake::{ScenarioError, Wrong, quoted};
use crate::parse::{
    DEFAULT_GRACE_NS, DEFAULT_SEED, DEFAULT_TIMEOUT_NS, MAX_FILE_BYTES, http_flag, option_gates,
};
use crate::plan::{
    Of, Part, Repeat, Request, RequestOptions, RunPlan, SessionKind, Step, StepId, Target, Template, Timer,
    Times, Transport,
};
use crate::text::template::{self, Scope};
use crate::text::{address, field, json};

/// Methods that a quick run can use.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// What a quick run says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quick {
    /// Address with path and query; `${int(1, 9)}` and other functions work in it, as in body and headers.
    pub url: String,
    /// How much load, and for how long.
    pub load: LoadFlags,
    /// `GET` if not given, or `POST` with a body.
    pub method: Option<String>,
    /// Body, or `@FILE`, whose text it is; its type is JSON if it looks like it, unless a header says another.
    pub body: Option<String>,
    /// `Name: value`.
    pub headers: Vec<String>,
    /// `1.1` if not given, `2` or `auto`.
    pub http: Option<String>,
    /// Metrics of the target that no library calls so, and the lanes that they fill: [`crate::mappings`] reads them from a file.
    pub metrics: Vec<Mapping>,
    /// Seed of everything random; 1 if not given.
    pub seed: Option<u64>,
    /// Conditions that must hold.
    pub gates: Vec<String>,
}

/// The plan of a quick run: one step named after the path, done again and again in one phase.
///
/// # Errors
/// All mistakes in what was said.
pub fn quick(quick: &Quick) -> Result<RunPlan, ScenarioError> {
    let mut wrong = Vec::new();
    let address = address::target_and_path(&quick.url).map_err(|w| wrong.push(w.in_front("--url"))).ok();
    let target = address.as_ref().map(|(base, _)| Target::Url(base.clone()));
    let http = quick.http.as_deref().zip(target.as_ref()).map(|(text, target)| http_flag(text, target));
    let http = http.transpose().map_err(|w| wrong.push(w)).ok().flatten().unwrap_or_default();
    let phase = quick.load.phase(Of::Requests).map_err(|all| wrong.extend(all)).ok();
    let path = address.as_ref().map_or("/", |(_, path)| path.as_str());
    let request = request(quick, path, &mut wrong);
    // A query may hold what is nobody's business; what is recorded goes by the path alone.
    let plain = |text: &str| text.split(['?', '#']).next().unwrap_or_default().to_owned();
    let step = timeline::text::clean(&plain(path), 64);
    let mistakes = |wrong: Vec<Wrong>| ScenarioError {
        mistakes: wrong.into_iter().map(|w| w.at(None)).collect(),
        more: 0,
    };
    let (Some(target), Some(phase), true) = (target, phase, wrong.is_empty()) else {
        // What else is wrong with gates is said as well.
        wrong.extend(option_gates(&quick.gates, None).err().into_iter().flatten());
        return Err(mistakes(wrong));
    };
    let about = format!("{} {} again and again", request.method, plain(&quick.url));
    let request = Step::Request(Box::new(request));
    // Passes that arrive, or are counted, are one request each; a session that is held goes on.
    let once = phase.model.of() != Of::Sessions || phase.model.rules().turns.is_some();
    let step_of = if once { request } else { again(request) };
    let plan = RunPlan {
        name: "quick".to_owned(),
        about: timeline::text::clean(&about, 300),
        seed: quick.seed.unwrap_or(DEFAULT_SEED),
        target,
        transport: Transport { http, ..Transport::default() },
        attach: vec!["auto".to_owned()],
        metrics: quick.metrics.clone(),
        phases: vec![phase],
        sessions: vec![SessionKind { name: "client".to_owned(), weight: 1, steps: vec![step_of] }],
        steps: vec![step],
        slots: 0,
        feeders: Vec::new(),
        assets: Default::default(),
        faults: Vec::new(),
        actions: Vec::new(),
        cache: Vec::new(),
        gates: Vec::new(),
        grace_ns: DEFAULT_GRACE_NS,
        timeout_ns: DEFAULT_TIMEOUT_NS,
        timer: Timer::default(),
    };
    let gates = option_gates(&quick.gates, Some(&plan)).map_err(mistakes)?;
    Ok(RunPlan { gates, ..plan })
}

fn request(quick: &Quick, path: &str, wrong: &mut Vec<Wrong>) -> Request {
    let mut note = |all: Vec<Wrong>, flag: &str| wrong.extend(all.into_iter().map(|w| w.in_front(flag)));
    let path = path_template(path).map_err(|all| note(all, "--url")).unwrap_or_default();
    let default = if quick.body.is_some() { "POST" } else { "GET" };
    let method = quick.method.as_deref().unwrap_or(default).to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        let w = Wrong::new(format!("{} is no method", quoted(&method))).expected(METHODS.join(", "));
        note(vec![w], "--method");
    } else if quick.body.is_some() && matches!(method.as_str(), "GET" | "HEAD") {
        note(vec![Wrong::new(format!("a {method} has no body")).expected("another method")], "--body");
    }
    let mut kind = None;
    let mut headers = Vec::new();
    for text in &quick.headers {
        match header(text) {
            Ok((name, value)) if name.eq_ignore_ascii_case("content-type") => kind = Some(value),
            Ok((name, value)) => match hole_template(value) {
                Ok(template) => headers.push((name.to_owned(), template)),
                Err(all) => note(all, "--header"),
            },
            Err(w) => note(vec![w], "--header"),
        }
    }
    if kind.is_some() && quick.body.is_none() {
        let w = Wrong::new("a content type without a body").expected("`--body` beside it");
        note(vec![w], "--header");
    }
    let text = quick.body.as_deref().map(body_text);
    let text = text.transpose().map_err(|w| note(vec![w], "--body")).ok().flatten();
    let body = text.map(|text| {
        let guessed =
            if text.trim_start().starts_with(['{', '[']) { "application/json" } else { "text/plain" };
        let template = hole_template(&text).map_err(|all| note(all, "--body")).unwrap_or_default();
        let kind = kind.unwrap_or(guessed);
        (kind.to_owned(), json::of_type(kind, template).into())
    });
    Request {
        id: StepId(0),
        when: None,
        method,
        path,
        headers,
        body,
        checks: Vec::new(),
        saves: Vec::new(),
        options: RequestOptions::default(),
    }
}

/// What `--body` says, or what the file holds that it names by `@`, as curl does.
fn body_text(text: &str) -> Result<Cow<'_, str>, Wrong> {
    match text.strip_prefix('@') {
        None => Ok(Cow::Borrowed(text)),
        Some("") => Err(Wrong::new("`@` names no file").expected("the body itself, or @FILE")),
        Some(file) => files::text(Path::new(file), MAX_FILE_BYTES as u64).map(Cow::Owned),
    }
}

/// `Name: value`, both as they may stand in a request.
fn header(text: &str) -> Result<(&str, &str), Wrong> {
    let bad = || Wrong::new(format!("{} is not a header", quoted(text))).expected("\"Name: value\"");
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let (name, value) = (name.trim(), value.trim());
    field::free_name(name)?;
    field::value(value)?;
    Ok((name, value))
}

fn hole_template(text: &str) -> Result<Template, Vec<Wrong>> {
    template::parse(text, &Scope { slots: &[], feeders: &[], secrets: &[], sent: None })
}

fn path_template(path: &str) -> Result<Template, Vec<Wrong>> {
    if let Some(c) = path.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
        return Err(vec![Wrong::new(format!("a path cannot hold {c:?}")).expected("printable ASCII")]);
    }
    let template = hole_template(path)?;
    // A space is right inside `${int(1, 9)}` only.
    if template.0.iter().any(|p| matches!(p, Part::Text(t) if t.contains(' '))) {
        return Err(vec![Wrong::new("a path cannot hold a space").help("it is written %20")]);
    }
    Ok(template)
}

fn again(step: Step) -> Step {
    Step::Repeat(Box::new(Repeat { times: Times::UntilEnd, every: None, guard: None, steps: vec![step] }))
}
