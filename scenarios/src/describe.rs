//! A plan in words: what `dyno plan SCENARIO` prints.
//!
//! The expected figures are what the plan alone implies if the target answered at once; a real
//! target answers later, so sessions that wait for answers do less.

mod events;
mod load;
mod socket;
mod steps;

use timeline::Unit;
use timeline::cache::{CacheMode, Protection};
use timeline::text::plural;

pub use self::steps::check_in_words;
use crate::plan::{
    Action, CachePlan, Choice, Dist, HttpVersion, Of, Order, Part, Phase, Repeat, RunPlan, SessionKind, Step,
    StepId, Target, Template, Timer, Times,
};
use crate::text::quantity::show_duration;

/// The plan as a text of several lines, ending with a line feed.
#[must_use]
pub fn describe(plan: &RunPlan) -> String {
    let mut out = String::new();
    out +=
        &format!("{}: {}\n", plan.name, if plan.about.is_empty() { "(no description)" } else { &plan.about });
    let attach: Vec<&str> = plan.attach.iter().map(|a| attached(a, &plan.target)).collect();
    out += &format!("target   {}, attach {}\n", target(&plan.target), attach.join(", "));
    out += &format!(
        "takes    {}, then up to {} for sessions to end; a step fails after {}; seed {}\n",
        show_duration(plan.length_ns()),
        show_duration(plan.grace_ns),
        show_duration(plan.timeout_ns),
        plan.seed
    );
    for m in &plan.metrics {
        let labels: Vec<String> = m.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let of = if labels.is_empty() { String::new() } else { format!(" of {}", labels.join(", ")) };
        let line = format!("{}{of} fills {}", m.metric, m.lane);
        out += &format!("metric   {}\n", timeline::text::clean(&line, 200));
    }
    if plan.timer == Timer::Precise {
        out += "timer    precise: arrivals err by microseconds, each worker takes up to a core\n";
    }
    transport(plan, &mut out);
    phases(plan, &mut out);
    expected(plan, &mut out);
    sessions(plan, &mut out);
    feeders(plan, &mut out);
    cache(plan, &mut out);
    faults(plan, &mut out);
    actions(plan, &mut out);
    out += "\ngates\n";
    for gate in &plan.gates {
        let abort = gate.abort_after_ns.map(|ns| format!(", ends the run after {}", show_duration(ns)));
        out += &format!("  {}{}\n", timeline::text::clean(&gate.that, 200), abort.unwrap_or_default());
    }
    if plan.gates.is_empty() {
        out += "  none: the run passes unless it is invalid\n";
    }
    out
}

fn target(target: &Target) -> String {
    match target {
        Target::Bundled => "the bundled reference backend".to_owned(),
        Target::Url(url) => url.to_string(),
    }
}

/// The bundled backend's own agent shows all that a look from outside would.
fn attached<'a>(source: &'a str, target: &Target) -> &'a str {
    if *target == Target::Bundled && source == "auto" { "its own agent" } else { source }
}

/// What of sockets, TLS and HTTP was chosen; nothing where all is as usual.
fn transport(plan: &RunPlan, out: &mut String) {
    let chosen = &plan.transport;
    let over_tls = matches!(&plan.target, Target::Url(url) if url.tls);
    let mut said = Vec::new();
    if over_tls {
        let tls = &chosen.tls;
        said.push(
            tls.version.map_or_else(|| "TLS 1.2 or 1.3".to_owned(), |v| format!("TLS {} alone", v.name())),
        );
        match (tls.insecure, tls.ca.is_empty()) {
            (true, _) => said.push("certificates are NOT checked (insecure)".to_owned()),
            (false, false) => said.push("further authorities are trusted".to_owned()),
            (false, true) => {}
        }
        said.extend(tls.client.as_ref().map(|_| "a client certificate is shown".to_owned()));
        said.extend(tls.server_name.as_ref().map(|n| format!("asks for {}", timeline::text::clean(n, 100))));
    }
    said.extend(match chosen.http {
        HttpVersion::Http1 => None,
        HttpVersion::Http2 => Some("HTTP/2".to_owned()),
        HttpVersion::Auto => Some("HTTP/2 if the server chooses it".to_owned()),
    });
    said.extend(chosen.compression.then(|| "compressed answers are asked for".to_owned()));
    let redirects = usize::from(chosen.redirects);
    said.extend((redirects > 0).then(|| format!("{} followed at most", plural(redirects, "redirect"))));
    let who =
        if plan.sessions.iter().any(SessionKind::is_journey) { "sessions of steps" } else { "sessions" };
    said.extend(chosen.cookies.then(|| format!("{who} keep cookies")));
    let sources: Vec<String> = chosen.sources.iter().map(ToString::to_string).collect();
    said.extend((!sources.is_empty()).then(|| format!("connects from {}", sources.join(", "))));
    if !said.is_empty() {
        *out += &format!("talks    {}\n", said.join(", "));
    }
}

fn phases(plan: &RunPlan, out: &mut String) {
    *out += "\nphases\n";
    let width = plan.phases.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let mut at = 0;
    for phase in &plan.phases {
        let end = at + phase.length_ns;
        let span = format!("{} to {}", show_duration(at), show_duration(end));
        let note = if phase.warmup { "; warm-up, left out of figures and gates" } else { "" };
        *out += &format!("  {:width$}  {span:<14}  {}{note}\n", phase.name, load::show(phase));
        at = end;
    }
}

/// How often a session does each step before it stays in a loop without end, and how long that takes, if answers took no time.
struct Lead {
    /// Times, by step.
    once: Vec<f64>,
    /// Waiting, s.
    waits_s: f64,
}

impl Lead {
    fn new(steps: usize) -> Self {
        Self { once: vec![0.0; steps], waits_s: 0.0 }
    }
}

/// What becomes of a session.
enum Fate {
    /// It comes to the end of its steps.
    Ends,
    /// It stays in a loop without end, and does each step so many times a second.
    Stays(Vec<f64>),
    /// It ends or stays, by what is drawn.
    Either,
}

/// Follows a session as far as the loop that it does not leave.
fn follow(steps: &[Step], lead: &mut Lead) -> Fate {
    for step in steps {
        let fate = match step {
            // As if the condition held.
            Step::If(fork) => follow(&fork.then, lead),
            // Its first turn does not end.
            Step::Repeat(r) if r.steps.iter().any(holds) => follow(&r.steps, lead),
            Step::Repeat(r) if r.times == Times::UntilEnd => {
                let mut turn = vec![0.0; lead.once.len()];
                let waits = turn_s(r, &mut turn);
                Fate::Stays(turn.into_iter().map(|n| n / waits).collect())
            }
            Step::Choose(choices) if holds(step) => drawn(choices, lead.once.len()),
            _ => {
                lead.waits_s += walk(step, 1.0, &mut lead.once);
                Fate::Ends
            }
        };
        if !matches!(fate, Fate::Ends) {
            return fate;
        }
    }
    Fate::Ends
}

/// Whether a session may stay in this step, if conditions hold.
fn holds(step: &Step) -> bool {
    match step {
        Step::Repeat(r) => r.times == Times::UntilEnd || r.steps.iter().any(holds),
        Step::If(fork) => fork.then.iter().any(holds),
        Step::Choose(choices) => choices.iter().flat_map(|c| &c.steps).any(holds),
        _ => false,
    }
}

/// The mean of all courses, where each has a loop without end. Where some have none, the places of those sessions are taken
/// by others, which draw again: how many have stayed depends on how long that takes.
fn drawn(choices: &[Choice], steps: usize) -> Fate {
    let all: f64 = choices.iter().map(|c| f64::from(c.weight)).sum();
    let mut rates = vec![0.0; steps];
    for choice in choices {
        let Fate::Stays(of) = follow(&choice.steps, &mut Lead::new(steps)) else { return Fate::Either };
        add(&mut rates, of, f64::from(choice.weight) / all);
    }
    Fate::Stays(rates)
}

/// Adds a share of `more` to the rates; what a loop without pauses does not do has no number, and adds nothing.
fn add(rates: &mut [f64], more: Vec<f64>, share: f64) {
    rates.iter_mut().zip(more).filter(|(_, n)| *n > 0.0).for_each(|(r, n)| *r += share * n);
}

/// Counts the steps of `step` done `times` times; gives how long one time takes, s.
fn walk(step: &Step, times: f64, counts: &mut [f64]) -> f64 {
    let mut count = |id: StepId| counts[usize::from(id.0)] += times;
    match step {
        Step::Request(r) => count(r.id),
        Step::Parallel(p) => p.requests.iter().for_each(|r| count(r.id)),
        Step::Connect(c) => count(c.id),
        Step::Send(s) => count(s.id),
        Step::Close(c) => count(c.id),
        Step::CloseEvents(id) => count(*id),
        Step::OpenEvents(e) => count(e.id),
        Step::AwaitEvent(a) => count(a.id),
        Step::Journey(journey) => {
            journey.steps.iter().for_each(|s| counts[usize::from(s.id.0)] += times * f64::from(s.times));
            let all: u32 = journey.steps.iter().map(|s| s.times).sum();
            return journey.pause.map_or(0.0, |pause| pause.mean_s() * f64::from(all.saturating_sub(1)));
        }
        Step::Listen(d) | Step::Ignore(d) | Step::Think(d) => return d.mean_s(),
        Step::Repeat(r) => {
            let turns = if let Times::Count(n) = r.times { f64::from(n) } else { 1.0 };
            let mut one = vec![0.0; counts.len()];
            let took = turn_s(r, &mut one);
            counts.iter_mut().zip(one).for_each(|(c, n)| *c += n * turns * times);
            return took * turns;
        }
        // As if the condition held.
        Step::If(fork) => return fork.then.iter().map(|s| walk(s, times, counts)).sum(),
        Step::Choose(choices) => {
            let all: f64 = choices.iter().map(|c| f64::from(c.weight)).sum();
            let share = |c: &Choice| f64::from(c.weight) / all;
            let mean = |c: &Choice| {
                c.steps.iter().map(|s| walk(s, times * share(c), counts)).sum::<f64>() * share(c)
            };
            return choices.iter().map(mean).sum();
        }
    }
    0.0
}

fn turn_s(repeat: &Repeat, counts: &mut [f64]) -> f64 {
    let waits: f64 = repeat.steps.iter().map(|s| walk(s, 1.0, counts)).sum();
    repeat.every.map_or(waits, |every: Dist| every.mean_s().max(waits))
}

/// Rate of each step in a phase of constant load, per second; infinite where nothing but answers paces it. Or why there is none.
fn rates(plan: &RunPlan, phase: &Phase) -> Result<Vec<f64>, &'static str> {
    let weights: f64 = plan.sessions.iter().map(|k| f64::from(k.weight)).sum();
    let mut rates = vec![0.0; plan.steps.len()];
    for kind in &plan.sessions {
        let share = f64::from(kind.weight) / weights;
        let mut lead = Lead::new(plan.steps.len());
        let fate = follow(&kind.steps, &mut lead);
        let to = phase.model.ends().1;
        match (phase.model.of(), fate) {
            (Of::Sessions, Fate::Stays(per_s)) => add(&mut rates, per_s, to * share),
            (Of::Sessions, Fate::Ends) => {
                add(&mut rates, lead.once.iter().map(|n| n / lead.waits_s).collect(), to * share);
            }
            (Of::Sessions, Fate::Either) => {
                return Err("some sessions stay and others end, so the rate of steps is not known");
            }
            (Of::Arrivals | Of::Requests, Fate::Ends) => add(&mut rates, lead.once, to * share),
            // Sessions that stay would add up over the phase; their rate has no single value.
            (Of::Arrivals | Of::Requests, _) => {
                return Err("sessions stay, so the rate of steps grows with every arrival");
            }
        }
    }
    Ok(rates)
}

fn expected(plan: &RunPlan, out: &mut String) {
    *out += "\nexpected, if every answer came at once\n";
    let held = plan.phases.iter().filter(|p| p.model.of() == Of::Sessions);
    if let Some(most) = held.map(|p| p.model.peak()).max_by(f64::total_cmp) {
        *out += &format!("  {most} sessions at most are held at once\n");
    }
    for phase in plan.phases.iter().filter(|p| !p.warmup) {
        if phase.model.of() != Of::Sessions {
            let all = phase.model.starts(phase.length_ns);
            *out += &format!("  phase {}: {all:.0} starts in all\n", phase.name);
        }
        let rates = match rates(plan, phase) {
            Ok(rates) => rates,
            Err(why) => {
                *out += &format!("  phase {}: {why}\n", phase.name);
                continue;
            }
        };
        let sum: f64 = rates.iter().sum();
        if !sum.is_finite() {
            *out += &format!(
                "  phase {}: as many steps as the target answers, since nothing paces them\n",
                phase.name
            );
            continue;
        }
        *out += &format!("  phase {}, at its end: {} steps\n", phase.name, Unit::PerSecond.show(sum));
        let width = plan.steps.iter().map(|s| s.chars().count()).max().unwrap_or(0);
        for (name, rate) in plan.steps.iter().zip(rates).filter(|(_, rate)| *rate > 0.0) {
            *out += &format!("    {name:width$}  {:>8}\n", Unit::PerSecond.show(rate));
        }
    }
}

fn sessions(plan: &RunPlan, out: &mut String) {
    *out += "\nsession kinds\n";
    let weights: f64 = plan.sessions.iter().map(|k| f64::from(k.weight)).sum();
    for kind in &plan.sessions {
        let share = Unit::Ratio.show(f64::from(kind.weight) / weights);
        *out += &format!("  {}, {share} of the sessions\n", kind.name);
        steps::steps(plan, &kind.steps, 2, out);
    }
}

/// A template as it may be shown: holes by what they are, secrets by name.
fn show(plan: &RunPlan, template: &Template) -> String {
    timeline::text::clean(&template.0.iter().map(|p| show_part(plan, p)).collect::<String>(), 100)
}

fn show_part(plan: &RunPlan, part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Var(_) => "${saved}".to_owned(),
        Part::Column { feeder, column } => {
            let feeder = plan.feeders.get(usize::from(*feeder));
            let column = feeder.and_then(|f| f.columns.get(usize::from(*column)));
            let name = feeder.map_or("?", |f| f.name.as_str());
            format!("${{{name}.{}}}", column.map_or("?", String::as_str))
        }
        Part::Uuid => "${uuid()}".to_owned(),
        Part::Int(low, high) => format!("${{int({low}, {high})}}"),
        Part::Zipf(n, s) => format!("${{zipf({n}, {s})}}"),
        Part::Float { low, high, digits } => format!("${{float({low}, {high}, {digits})}}"),
        Part::Letters(n) => format!("${{text({n})}}"),
        Part::Pick(texts) => format!("${{pick({})}}", texts.join(", ")),
        Part::Date { .. } => "${date()}".to_owned(),
        Part::Base64(inner) => {
            format!("${{base64({})}}", inner.0.iter().map(|p| show_part(plan, p)).collect::<String>())
        }
        Part::Token(_) => "${token}".to_owned(),
        Part::Session => "${session}".to_owned(),
        Part::Now => "${now}".to_owned(),
        Part::Sent(field) => format!("${{sent.{field}}}"),
        Part::Secret(secret) => format!("${{{}}}", secret.name),
        Part::Escaped(_, inner) => show_part(plan, inner),
    }
}

fn feeders(plan: &RunPlan, out: &mut String) {
    if plan.feeders.is_empty() {
        return;
    }
    *out += "\ndata\n";
    for feeder in &plan.feeders {
        let order = match feeder.order {
            Order::Sequential => "in turn".to_owned(),
            Order::Random => "at random".to_owned(),
            Order::Zipf(s) => format!("at random by zipf({s})"),
            Order::Unique => "each at most once".to_owned(),
        };
        *out += &format!(
            "  {}: {} ({}), {order}\n",
            feeder.name,
            plural(feeder.rows.len(), "row"),
            feeder.columns.join(", ")
        );
    }
}

fn cache(plan: &RunPlan, out: &mut String) {
    if plan.cache.is_empty() {
        return;
    }
    *out += "\ncache\n";
    for CachePlan { at_ns, settings } in &plan.cache {
        *out += &format!(
            "  from {}: protection {}, {}, entries good for {}, jitter {}, absence known for {}\n",
            show_duration(*at_ns),
            name_of(settings.protection, Protection::NAMES),
            name_of(settings.mode, CacheMode::NAMES),
            show_duration(settings.ttl_ms * 1_000_000),
            settings.jitter,
            show_duration(settings.negative_ms * 1_000_000),
        );
    }
    if plan.cache_orders().is_empty() {
        *out += "  left out: only the bundled backend can be told so\n";
    }
}

fn name_of<T: PartialEq>(it: T, known: &[(&'static str, T)]) -> &'static str {
    known.iter().find(|(_, other)| *other == it).map_or("", |(name, _)| name)
}

fn faults(plan: &RunPlan, out: &mut String) {
    if plan.faults.is_empty() {
        return;
    }
    *out += "\nfaults\n";
    for fault in &plan.faults {
        let end = fault.at_ns + fault.order.for_ms * 1_000_000;
        *out += &format!(
            "  {} from {} to {}",
            fault.order.name.name(),
            show_duration(fault.at_ns),
            show_duration(end)
        );
        for (knob, value) in &fault.order.knobs {
            *out += &format!(", {knob} = {value}");
        }
        *out += &format!("; expected finding: {}\n", fault.order.name.expected().name());
    }
    if plan.injected().is_empty() {
        *out += "  left out: only the bundled backend has switches for faults\n";
    }
}

fn actions(plan: &RunPlan, out: &mut String) {
    if plan.actions.is_empty() {
        return;
    }
    *out += "\nactions\n";
    for action in &plan.actions {
        let what = match action.action {
            Action::Reload => "each worker is relieved by a new process, one after the other",
        };
        *out += &format!("  {} at {}: {what}\n", action.action.name(), show_duration(action.at_ns));
    }
    if plan.acted().is_empty() {
        *out += "  left out: only the bundled backend takes such orders\n";
    }
}
