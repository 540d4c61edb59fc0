//! Steps in words.

use std::fmt::Write as _;

use timeline::Unit;
use timeline::text::plural;

use super::{events, show, socket};
use crate::plan::{
    Body, Check, Choice, Condition, Content, FieldTest, Guard, HttpVersion, Journey, JsonTest, Parallel,
    Part, Request, RunPlan, Save, Step, StepId, Template, TextTest, Times,
};
use crate::text::quantity::{show_dist, show_duration};

/// Characters of a check in words: a pattern may be long.
const CHECK_WIDTH: usize = 160;
/// Characters of a text in it.
const TEXT_WIDTH: usize = 32;

/// Steps, one a line, those inside of others further in.
pub(super) fn steps(plan: &RunPlan, all: &[Step], depth: usize, out: &mut String) {
    let name = |id| name(plan, id);
    for step in all {
        let line = match step {
            Step::Request(r) => request(plan, r),
            Step::Parallel(p) => parallel(plan, p),
            Step::Connect(c) => {
                let (path, auth) = (show(plan, &c.path), authorized(plan, &c.headers));
                format!("{}: WebSocket {path}{auth}{}", name(c.id), socket::options(&c.options))
            }
            Step::Send(s) => format!("{}: {}", name(s.id), socket::send(plan, s)),
            Step::OpenEvents(e) => {
                let auth = authorized(plan, &e.headers);
                format!("{}: {}{auth}", name(e.id), events::open(plan, e))
            }
            Step::AwaitEvent(a) => format!("{}: {}", name(a.id), events::awaits(plan, a)),
            Step::CloseEvents(id) => format!("{}: close the event stream", name(*id)),
            Step::Listen(d) => format!("listen for {}", show_dist(*d)),
            Step::Ignore(d) => format!("read nothing for {}", show_dist(*d)),
            Step::Think(d) => format!("think for {}", show_dist(*d)),
            Step::Close(c) => format!("{}: {}", name(c.id), socket::close(*c)),
            Step::Journey(journey) => journey_line(journey),
            Step::Repeat(r) => {
                let times = match r.times {
                    Times::UntilEnd => "until the end".to_owned(),
                    Times::Count(n) => plural(n as usize, "time"),
                };
                let every = r.every.map(|d| format!(", every {}", show_dist(d))).unwrap_or_default();
                match &r.guard {
                    Some(Guard::While(c)) => format!("repeat while {}, at most {times}{every}", words(c)),
                    Some(Guard::Until(c)) => format!("repeat until {}, at most {times}{every}", words(c)),
                    None => format!("repeat {times}{every}"),
                }
            }
            Step::If(fork) => format!("if {}", words(&fork.when)),
            Step::Choose(all) => format!("choose one of {}", all.len()),
        };
        *out += &format!("{:indent$}{line}\n", "", indent = depth * 2);
        if let Step::Repeat(r) = step {
            steps(plan, &r.steps, depth + 1, out);
        }
        if let Step::Parallel(p) = step {
            for r in &p.requests {
                *out += &format!("{:indent$}{}\n", "", request(plan, r), indent = (depth + 1) * 2);
            }
        }
        if let Step::If(fork) = step {
            steps(plan, &fork.then, depth + 1, out);
            if !fork.otherwise.is_empty() {
                *out += &format!("{:indent$}or else\n", "", indent = depth * 2);
                steps(plan, &fork.otherwise, depth + 1, out);
            }
        }
        if let Step::Choose(choices) = step {
            choose(plan, choices, depth + 1, out);
        }
        if let Step::Journey(journey) = step {
            for step in &journey.steps {
                let times = if step.times > 1 {
                    format!(", {} a visit", plural(step.times as usize, "time"))
                } else {
                    String::new()
                };
                *out += &format!(
                    "{:indent$}{}{times}; times inside it: {}\n",
                    "",
                    name(step.id),
                    name(step.inside),
                    indent = (depth + 1) * 2
                );
            }
        }
    }
}

fn name(plan: &RunPlan, id: StepId) -> &str {
    plan.steps.get(usize::from(id.0)).map_or("?", String::as_str)
}

fn request(plan: &RunPlan, r: &Request) -> String {
    let mut line = format!("{}: {} {}", name(plan, r.id), r.method, show(plan, &r.path));
    line += &judged(&r.checks, &r.saves);
    line += &carried(plan, r);
    line += &authorized(plan, &r.headers);
    if r.options.expect_continue {
        line += ", body after 100 Continue";
    }
    if let Some(n) = r.options.redirects {
        let _ = write!(line, ", {} followed at most", plural(usize::from(n), "redirect"));
    }
    if let Some(when) = &r.when {
        let _ = write!(line, ", if {}", words(when));
    }
    line
}

fn parallel(plan: &RunPlan, p: &Parallel) -> String {
    let over = match plan.transport.http {
        HttpVersion::Http1 => plural(p.connections_used(), "connection"),
        HttpVersion::Http2 => plural(1, "connection"),
        HttpVersion::Auto => {
            format!("{} of HTTP/1.1 or one of HTTP/2", plural(p.connections_used(), "connection"))
        }
    };
    format!("{} at once, over {over}", plural(p.requests.len(), "request"))
}

fn choose(plan: &RunPlan, choices: &[Choice], depth: usize, out: &mut String) {
    let all: f64 = choices.iter().map(|c| f64::from(c.weight)).sum();
    for choice in choices {
        let share = Unit::Ratio.show(f64::from(choice.weight) / all);
        let nothing = if choice.steps.is_empty() { ": nothing" } else { "" };
        *out += &format!("{:indent$}{share}{nothing}\n", "", indent = depth * 2);
        steps(plan, &choice.steps, depth + 1, out);
    }
}

/// What a request carries, where it is more than a text.
fn carried(plan: &RunPlan, request: &Request) -> String {
    let content = |content: &Content| match content {
        Content::Text(_) => String::new(),
        Content::File(i) => {
            let file = plan.assets.files.get(usize::from(*i));
            let name = file.map_or("?", |f| f.name.rsplit('/').next().unwrap_or_default());
            let bytes = file.map_or(0, |f| f.bytes.len());
            format!("file {} ({})", timeline::text::clean(name, 60), Unit::Bytes.show(bytes as f64))
        }
        Content::Generated(g) => format!("{} generated", Unit::Bytes.show(g.bytes as f64)),
    };
    let what = match request.body.as_ref().map(|(_, body)| body) {
        None => return String::new(),
        Some(Body::Whole(whole)) => content(whole),
        Some(Body::Rendered(rendered)) => {
            format!(
                "body by {}",
                timeline::text::clean(rendered.name.rsplit('/').next().unwrap_or_default(), 60)
            )
        }
        Some(Body::Multipart(fields)) => {
            let large = fields.iter().map(|f| content(&f.content)).filter(|what| !what.is_empty());
            let large: String = large.map(|what| format!(", {what}")).collect();
            format!("a form of {}{large}", plural(fields.len(), "part"))
        }
    };
    let chunked = if request.options.chunked { ", chunked" } else { "" };
    let comma = if what.is_empty() { "" } else { ", " };
    format!("{comma}{what}{chunked}")
}

/// By what a request is authorised, where `auth` says so.
fn authorized(plan: &RunPlan, headers: &[(String, Template)]) -> String {
    let parts = headers.iter().filter(|(name, _)| name == "Authorization").flat_map(|(_, value)| &value.0);
    for part in parts {
        match part {
            Part::Base64(_) => return ", basic authentication".to_owned(),
            Part::Token(i) => {
                let signer = plan.assets.signers.get(usize::from(*i));
                let by = signer.map_or("?", |s| s.algorithm.name());
                let good = signer.map_or(0, |s| s.expires_ms * 1_000_000);
                return format!(", a token by {by} good for {}", show_duration(good));
            }
            _ => {}
        }
    }
    String::new()
}

/// A condition as it is written.
fn words(condition: &Condition) -> String {
    timeline::text::clean(&condition.text, 100)
}

fn journey_line(journey: &Journey) -> String {
    let pause = journey.pause.map(|p| format!(", pauses of {}", show_dist(p))).unwrap_or_default();
    let about = crate::journeys::find(&journey.name).map_or("", |j| j.about);
    format!("coded journey {}: {about}{pause}", journey.name)
}

/// What must hold of an answer or a message, and how much is kept of it.
pub(super) fn judged(checks: &[Check], saves: &[Save]) -> String {
    let mut out = String::new();
    if !checks.is_empty() {
        out += &format!(", checks {}", checks.iter().map(check).collect::<Vec<_>>().join(", "));
    }
    if !saves.is_empty() {
        out += &format!(", {} saved", plural(saves.len(), "value"));
    }
    out
}

fn check(check: &Check) -> String {
    match check {
        Check::Status(all) => {
            let one = |(low, high): &(u16, u16)| {
                if low == high { low.to_string() } else { format!("{low} to {high}") }
            };
            format!("status {}", all.iter().map(one).collect::<Vec<_>>().join(" or "))
        }
        Check::Time(compare, ns) => format!("time {} {}", compare.sign(), show_duration(*ns)),
        Check::Size(compare, bytes) => {
            format!("size {} {}", compare.sign(), Unit::Bytes.show(*bytes as f64))
        }
        Check::Body(_) => "body".to_owned(),
        Check::Header(name, _) => format!("header {name}"),
        Check::Json(path, _) => timeline::text::clean(path, 60),
    }
}

/// What a check asks for, with the values that it names.
#[must_use]
pub fn check_in_words(check: &Check) -> String {
    let said = match check {
        Check::Status(_) | Check::Time(..) | Check::Size(..) => self::check(check),
        Check::Body(test) => format!("body {}", text_test(test)),
        Check::Header(name, FieldTest::Exists) => format!("header {name} exists"),
        Check::Header(name, FieldTest::Absent) => format!("header {name} absent"),
        Check::Header(name, FieldTest::NotEmpty) => format!("header {name} not empty"),
        Check::Header(name, FieldTest::Text(test)) => format!("header {name} {}", text_test(test)),
        Check::Json(path, test) => format!("json {path} {}", json_test(test)),
    };
    timeline::text::clean(&said, CHECK_WIDTH)
}

fn text_test(test: &TextTest) -> String {
    // What is long may be a secret's beginning once it is cut.
    let told = |text: &str| match text.chars().count() {
        n if n > TEXT_WIDTH => format!("a text of {n} characters"),
        _ => text.to_owned(),
    };
    match test {
        TextTest::Equals(text) => format!("= {}", told(text)),
        TextTest::Contains(text) => format!("contains {}", told(text)),
        TextTest::Matches(pattern) => format!("~ {}", told(pattern)),
    }
}

fn json_test(test: &JsonTest) -> String {
    match test {
        JsonTest::Exists => "exists".to_owned(),
        JsonTest::Absent => "absent".to_owned(),
        JsonTest::NotEmpty => "not empty".to_owned(),
        JsonTest::Equals(value) => text_test(&TextTest::Equals(value.to_string())),
        JsonTest::Number(compare, n) => format!("{} {n}", compare.sign()),
        JsonTest::Length(compare, n) => format!("length {} {n}", compare.sign()),
        JsonTest::Text(test) => text_test(test),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Compare;

    #[test]
    fn a_check_in_words_is_what_a_scenario_writes() {
        let header = |test| Check::Header("x-none".to_owned(), test);
        let json = |test| Check::Json("$.id".to_owned(), test);
        for (check, words) in [
            (Check::Time(Compare::AtMost, 1_000_000_000), "time <= 1s"),
            (header(FieldTest::Absent), "header x-none absent"),
            (header(FieldTest::Text(TextTest::Equals("a".to_owned()))), "header x-none = a"),
            (Check::Body(TextTest::Matches("^a".to_owned())), "body ~ ^a"),
            (json(JsonTest::Number(Compare::Greater, 5.0)), "json $.id > 5"),
            (json(JsonTest::Length(Compare::Equal, 3.0)), "json $.id length == 3"),
            (json(JsonTest::Equals(3.into())), "json $.id = 3"),
        ] {
            assert_eq!(check_in_words(&check), words);
        }
        let long = Check::Body(TextTest::Contains("x".repeat(10_000)));
        assert!(check_in_words(&long).chars().count() <= CHECK_WIDTH);
    }
}
