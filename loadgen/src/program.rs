//! The program of a worker: a plan's steps, flattened and made ready once, so that nothing is parsed or looked up per use.
//!
//! Owns the ready form (heads as texts with holes, JSONPaths compiled, loops as jumps). Running it is `session`'s business.

use std::collections::BTreeSet;

use regex::bytes::Regex;
use scenarios::plan::{
    self, BaseUrl, Capture, Check, Compare, Dist, Feeder, JsonTest, Pick, RunPlan, Step, Template, TextTest,
    Times,
};
use serde_json_path::JsonPath;
use thiserror::Error;

use crate::template::{Place, Text};
use crate::ws::handshake;

/// Why a plan cannot be made ready; the scenario's parser finds these first.
#[derive(Debug, Error)]
pub enum BadPlan {
    /// A JSONPath is wrong.
    #[error("{path:?} is not a JSONPath: {why}")]
    JsonPath {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A regular expression is wrong.
    #[error("{pattern:?} is not a regular expression: {why}")]
    Regex {
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step has no name.
    #[error("step {0} has no name in the plan")]
    Step(u16),
    /// There is nothing to run.
    #[error("the plan has no session kinds or no phases")]
    Empty,
}

/// All that sessions of a worker run.
#[derive(Debug)]
pub struct Program {
    /// Session kinds, in the order of the plan.
    pub kinds: Vec<Kind>,
    /// Variable slots of a session.
    pub slots: usize,
    /// Feeders.
    pub feeders: Vec<Feeder>,
    /// Number of steps.
    pub steps: usize,
    /// Time limit of a step, ns.
    pub timeout_ns: u64,
    /// Seed of everything random.
    pub seed: u64,
}

/// A session kind.
#[derive(Debug)]
pub struct Kind {
    /// What it does.
    pub ops: Vec<Op>,
    /// Feeders that it draws a row of, ascending.
    pub feeders: Vec<usize>,
    /// Connections that it holds at most.
    pub connections: u64,
}

impl Kind {
    fn of(ops: Vec<Op>) -> Self {
        let mut feeders = BTreeSet::new();
        let (mut http, mut socket) = (0, 0);
        for op in &ops {
            match op {
                Op::Request(r) => {
                    http = 1;
                    feeders.extend(r.head.feeders().chain(r.body.iter().flat_map(Text::feeders)));
                }
                Op::Connect(c) => {
                    socket = 1;
                    feeders.extend(c.head.feeders());
                }
                Op::Send(s) => {
                    feeders.extend(s.text.feeders().chain(s.wait.iter().flat_map(|w| w.equals.feeders())));
                }
                Op::Wait(_) | Op::Enter { .. } | Op::Again { .. } | Op::Close(_) => {}
            }
        }
        Self { ops, feeders: feeders.into_iter().collect(), connections: http + socket }
    }
}

/// One instruction.
#[derive(Debug)]
pub enum Op {
    /// An HTTP request.
    Request(Box<Request>),
    /// A WebSocket handshake.
    Connect(Box<Connect>),
    /// A WebSocket message.
    Send(Box<Send>),
    /// Waits; what is pushed meanwhile is read. Listening and thinking are alike.
    Wait(Dist),
    /// Begins a loop whose end is at `again`.
    Enter {
        /// How often.
        times: Times,
        /// The loop's [`Op::Again`].
        again: usize,
    },
    /// Begins the next turn of the loop at `enter`, or leaves it.
    Again {
        /// The loop's [`Op::Enter`].
        enter: usize,
        /// Pacing.
        every: Option<Dist>,
    },
    /// Closes the WebSocket.
    Close(usize),
}

/// An HTTP request.
#[derive(Debug)]
pub struct Request {
    /// Which step.
    pub id: usize,
    /// Skipped unless this variable is set and not empty.
    pub when: Option<usize>,
    /// Head up to the end; with a body, up to the value of `Content-Length`.
    pub head: Text,
    /// Body.
    pub body: Option<Text>,
    /// Is it `HEAD`?
    pub is_head: bool,
    /// Header fields that saves need.
    pub fields: Vec<String>,
    /// Must the body be kept?
    pub keeps_body: bool,
    /// Statuses that are right; none: all below 400.
    pub statuses: Option<Vec<(u16, u16)>>,
    /// Further checks.
    pub checks: Vec<Expect>,
    /// What is kept.
    pub saves: Vec<(usize, From, Pick)>,
    /// Must the body be parsed as JSON?
    pub parses: bool,
}

/// A check beyond the status.
#[derive(Debug)]
pub enum Expect {
    /// Service time below, ns.
    Time(u64),
    /// Body smaller, bytes.
    Size(u64),
    /// The body.
    Body(TextIs),
    /// The field with this index in [`Request::fields`].
    Field(usize, TextIs),
    /// What the path finds.
    Json(JsonPath, JsonIs),
}

/// A test of a text.
#[derive(Debug)]
pub enum TextIs {
    /// It is this.
    Equals(Box<[u8]>),
    /// It contains this.
    Contains(Box<[u8]>),
    /// This matches somewhere.
    Matches(Regex),
}

/// A test of what a JSONPath finds.
#[derive(Debug)]
pub enum JsonIs {
    /// Something.
    Exists,
    /// Nothing.
    Absent,
    /// Something that is not empty.
    NotEmpty,
    /// This.
    Equals(serde_json::Value),
    /// A number.
    Number(Compare, f64),
    /// Something with a length.
    Length(Compare, f64),
    /// A text.
    Text(TextIs),
}

/// Where a saved value comes from.
#[derive(Debug)]
pub enum From {
    /// What the path finds.
    Json(JsonPath),
    /// What the first group captures, or the whole match.
    Regex(Regex),
    /// The body.
    Body,
    /// The status.
    Status,
    /// The field with this index in [`Request::fields`].
    Field(usize),
}

/// A WebSocket handshake.
#[derive(Debug)]
pub struct Connect {
    /// Which step.
    pub id: usize,
    /// Head up to the value of `Sec-WebSocket-Key`.
    pub head: Text,
    /// Subprotocol asked for.
    pub subprotocol: Option<String>,
    /// Header fields that the check of the answer needs.
    pub fields: Vec<String>,
}

/// A WebSocket message.
#[derive(Debug)]
pub struct Send {
    /// Which step.
    pub id: usize,
    /// The text.
    pub text: Text,
    /// What to wait for.
    pub wait: Option<Await>,
}

/// Which message answers.
#[derive(Debug)]
pub struct Await {
    /// Where in the message.
    pub path: JsonPath,
    /// What must be there.
    pub equals: Text,
    /// Does `equals` need what was sent?
    pub uses_sent: bool,
    /// Time limit, ns.
    pub within_ns: u64,
}

impl Program {
    /// Makes `plan` ready for the target `url`.
    ///
    /// # Errors
    /// [`BadPlan`].
    pub fn new(plan: &RunPlan, url: &BaseUrl) -> Result<Self, BadPlan> {
        if plan.sessions.is_empty() || plan.phases.is_empty() {
            return Err(BadPlan::Empty);
        }
        let compiler = Compiler { url, steps: plan.steps.len() };
        let mut kinds = Vec::with_capacity(plan.sessions.len());
        for kind in &plan.sessions {
            let mut ops = Vec::new();
            compiler.steps(&kind.steps, &mut ops)?;
            kinds.push(Kind::of(ops));
        }
        Ok(Self {
            kinds,
            slots: usize::from(plan.slots),
            feeders: plan.feeders.clone(),
            steps: plan.steps.len(),
            timeout_ns: plan.timeout_ns.max(1),
            seed: plan.seed,
        })
    }
}

struct Compiler<'a> {
    url: &'a BaseUrl,
    steps: usize,
}

impl Compiler<'_> {
    fn steps(&self, steps: &[Step], ops: &mut Vec<Op>) -> Result<(), BadPlan> {
        for step in steps {
            let op = match step {
                Step::Request(r) => Op::Request(Box::new(self.request(r)?)),
                Step::Connect(c) => Op::Connect(Box::new(self.connect(c)?)),
                Step::Send(s) => Op::Send(Box::new(self.send(s)?)),
                Step::Listen(dist) | Step::Think(dist) => Op::Wait(*dist),
                Step::Close(id) => Op::Close(self.id(*id)?),
                Step::Repeat(repeat) => {
                    let enter = ops.len();
                    ops.push(Op::Enter { times: repeat.times, again: 0 });
                    self.steps(&repeat.steps, ops)?;
                    ops[enter] = Op::Enter { times: repeat.times, again: ops.len() };
                    Op::Again { enter, every: repeat.every }
                }
            };
            ops.push(op);
        }
        Ok(())
    }

    fn id(&self, id: plan::StepId) -> Result<usize, BadPlan> {
        let i = usize::from(id.0);
        if i < self.steps { Ok(i) } else { Err(BadPlan::Step(id.0)) }
    }

    /// Request line and header fields that any request has, without the empty line.
    fn head(&self, method: &str, path: &Template, headers: &[(String, Template)]) -> Text {
        let mut head = Text::default();
        head.fixed(method)
            .fixed(" ")
            .fixed(&self.url.prefix)
            .template(path, Place::Path)
            .fixed(" HTTP/1.1\r\n");
        let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if !given("host") {
            head.fixed(format!("Host: {}\r\n", authority(self.url)));
        }
        if !given("user-agent") {
            head.fixed(concat!("User-Agent: dyno/", env!("CARGO_PKG_VERSION"), "\r\n"));
        }
        for (name, value) in headers {
            head.fixed(name).fixed(": ").template(value, Place::Field).fixed("\r\n");
        }
        head
    }

    fn request(&self, r: &plan::Request) -> Result<Request, BadPlan> {
        let mut head = self.head(&r.method, &r.path, &r.headers);
        let body = r.body.as_ref().map(|(content_type, template)| {
            head.fixed(format!("Content-Type: {content_type}\r\nContent-Length: "));
            let mut body = Text::default();
            body.template(template, Place::Plain);
            body
        });
        if body.is_none() {
            // RFC 9110, 8.6: a method that defines a meaning for content says that there is none.
            let says = matches!(&*r.method, "POST" | "PUT" | "PATCH");
            head.fixed(if says { "Content-Length: 0\r\n\r\n" } else { "\r\n" });
        }
        let mut request = Request {
            id: self.id(r.id)?,
            when: r.when.map(|slot| usize::from(slot.0)),
            head,
            body,
            is_head: r.method == "HEAD",
            fields: Vec::new(),
            keeps_body: false,
            statuses: None,
            checks: Vec::new(),
            saves: Vec::new(),
            parses: false,
        };
        r.checks.iter().try_for_each(|c| request.check(c))?;
        r.saves.iter().try_for_each(|s| request.save(s))?;
        request.keeps_body |= request.parses;
        Ok(request)
    }

    fn connect(&self, c: &plan::Connect) -> Result<Connect, BadPlan> {
        let mut head = self.head("GET", &c.path, &c.headers);
        if let Some(subprotocol) = &c.subprotocol {
            head.fixed(format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
        }
        head.fixed(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        );
        let (id, subprotocol) = (self.id(c.id)?, c.subprotocol.clone());
        Ok(Connect { id, head, subprotocol, fields: handshake::fields() })
    }

    fn send(&self, s: &plan::Send) -> Result<Send, BadPlan> {
        let mut text = Text::default();
        text.template(&s.text, Place::Plain);
        let wait = s.wait.as_ref().map(|w| {
            let mut equals = Text::default();
            equals.template(&w.equals, Place::Plain);
            let uses_sent = equals.uses_sent();
            Ok(Await { path: json_path(&w.json)?, equals, uses_sent, within_ns: w.within_ns.max(1) })
        });
        Ok(Send { id: self.id(s.id)?, text, wait: wait.transpose()? })
    }
}

impl Request {
    fn check(&mut self, check: &Check) -> Result<(), BadPlan> {
        let expect = match check {
            Check::Status(ranges) => {
                self.statuses.get_or_insert_default().extend(ranges);
                return Ok(());
            }
            Check::Time(ns) => Expect::Time(*ns),
            Check::Size(bytes) => Expect::Size(*bytes),
            Check::Body(test) => {
                self.keeps_body = true;
                Expect::Body(text_is(test)?)
            }
            Check::Header(name, test) => Expect::Field(self.field(name), text_is(test)?),
            Check::Json(path, test) => Expect::Json(self.path(path)?, json_is(test)?),
        };
        self.checks.push(expect);
        Ok(())
    }

    fn save(&mut self, save: &plan::Save) -> Result<(), BadPlan> {
        let from = match &save.from {
            Capture::Json(path) => From::Json(self.path(path)?),
            Capture::Regex(pattern) => {
                self.keeps_body = true;
                From::Regex(regex(pattern)?)
            }
            Capture::Body => {
                self.keeps_body = true;
                From::Body
            }
            Capture::Status => From::Status,
            Capture::Header(name) => From::Field(self.field(name)),
        };
        self.saves.push((usize::from(save.slot.0), from, save.pick));
        Ok(())
    }

    /// The index of a header field that is kept.
    fn field(&mut self, name: &str) -> usize {
        let known = self.fields.iter().position(|f| f.eq_ignore_ascii_case(name));
        known.unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        })
    }

    fn path(&mut self, path: &str) -> Result<JsonPath, BadPlan> {
        self.parses = true;
        json_path(path)
    }
}

fn regex(pattern: &str) -> Result<Regex, BadPlan> {
    Regex::new(pattern).map_err(|e| BadPlan::Regex { pattern: pattern.to_owned(), why: e.to_string() })
}

fn text_is(test: &TextTest) -> Result<TextIs, BadPlan> {
    let bytes = |text: &String| text.clone().into_bytes().into_boxed_slice();
    Ok(match test {
        TextTest::Equals(text) => TextIs::Equals(bytes(text)),
        TextTest::Contains(text) => TextIs::Contains(bytes(text)),
        TextTest::Matches(pattern) => TextIs::Matches(regex(pattern)?),
    })
}

fn json_is(test: &JsonTest) -> Result<JsonIs, BadPlan> {
    Ok(match test {
        JsonTest::Exists => JsonIs::Exists,
        JsonTest::Absent => JsonIs::Absent,
        JsonTest::NotEmpty => JsonIs::NotEmpty,
        JsonTest::Equals(value) => JsonIs::Equals(value.clone()),
        JsonTest::Number(compare, n) => JsonIs::Number(*compare, *n),
        JsonTest::Length(compare, n) => JsonIs::Length(*compare, *n),
        JsonTest::Text(test) => JsonIs::Text(text_is(test)?),
    })
}

fn json_path(path: &str) -> Result<JsonPath, BadPlan> {
    JsonPath::parse(path).map_err(|e| BadPlan::JsonPath { path: path.to_owned(), why: e.to_string() })
}

/// What stands in `Host`: brackets around an IPv6 address, no port where it is the usual one.
fn authority(url: &BaseUrl) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    if url.port == 80 { host } else { format!("{host}:{}", url.port) }
}
