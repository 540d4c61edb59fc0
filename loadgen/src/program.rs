//! The program of a worker: a plan's steps, flattened and made ready once, so that nothing is parsed or looked up per use.
//!
//! Owns the ready form (heads as texts with holes, JSONPaths compiled, loops as jumps). Running it is `session`'s business.

use std::collections::BTreeSet;
use std::rc::Rc;

use regex::bytes::Regex;
use scenarios::plan::{
    self, BaseUrl, Capture, Check, Compare, Dist, Feeder, HttpVersion, JsonTest, Pick, RunPlan, Step,
    Template, TextTest, Times,
};
use serde_json_path::JsonPath;
use thiserror::Error;

use crate::http::answer::Want;
use crate::http::coding;
use crate::journey::Coded;
use crate::template::{Place, Text};
use crate::ws::{MESSAGE_MAX, deflate, handshake};

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
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// A coded journey cannot be walked.
    #[error("{0}")]
    Journey(String),
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
    /// Do sessions keep cookies?
    pub cookies: bool,
    /// Which version of HTTP requests speak: `Auto` only where a server can choose.
    pub http: HttpVersion,
    /// The target as written.
    pub url: BaseUrl,
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
    fn of(ops: Vec<Op>, http_version: HttpVersion) -> Self {
        let mut feeders = BTreeSet::new();
        let (mut http, mut socket, mut coded) = (0, 0, 0);
        for op in &ops {
            match op {
                Op::Request(r) => {
                    http = http.max(1);
                    feeders.extend(r.feeders());
                }
                Op::Parallel(p) => {
                    http =
                        http.max(if http_version == HttpVersion::Http2 { 1 } else { p.connections as u64 });
                    feeders.extend(p.requests.iter().flat_map(Request::feeders));
                }
                Op::Connect(c) => {
                    socket = 1;
                    feeders.extend(c.head.feeders());
                }
                Op::Send(s) => {
                    feeders.extend(s.texts().flat_map(Text::feeders));
                }
                Op::Journey(journey) => coded = coded.max(journey.connections),
                Op::Wait(_) | Op::Enter { .. } | Op::Again { .. } | Op::Close(_) => {}
            }
        }
        Self { ops, feeders: feeders.into_iter().collect(), connections: http + socket + coded }
    }
}

/// One instruction.
#[derive(Debug)]
pub enum Op {
    /// An HTTP request.
    Request(Box<Request>),
    /// HTTP requests at once.
    Parallel(Box<Parallel>),
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
    /// A visit in code.
    Journey(Box<Coded>),
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
    /// Is the body sent only after `100 Continue`?
    pub expects: bool,
    /// How redirects are followed; none: they are answers like any other.
    pub follow: Option<Box<Follow>>,
    /// Must what `Set-Cookie` says be kept?
    pub keeps_cookies: bool,
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

/// HTTP requests at once.
#[derive(Debug)]
pub struct Parallel {
    /// The requests.
    pub requests: Vec<Request>,
    /// How many connections they share over HTTP/1.1; at least 1, at most one for each.
    pub connections: usize,
}

/// How redirects are followed.
#[derive(Debug)]
pub struct Follow {
    /// At most so many.
    pub max: u8,
    /// Where `Location` is among [`Request::fields`].
    pub location: usize,
    /// The request's method.
    pub method: String,
    /// What follows the path in the head.
    pub tail: Text,
    /// The same where the body was dropped on the way.
    pub bare: Text,
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
    /// The cookie of this name.
    Cookie(String),
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
    /// Longest message, bytes.
    pub max_message: u32,
    /// Offer of compression.
    pub deflate: Option<plan::Deflate>,
    /// Where a pushed message's timestamp is; shared by all WebSockets.
    pub push_age: Option<Rc<JsonPath>>,
    /// Time between pings, ns.
    pub ping_every_ns: Option<u64>,
    /// Is what is pushed sent back?
    pub echo: bool,
}

/// A WebSocket message, the wait for one, or both.
#[derive(Debug)]
pub struct Send {
    /// Which step.
    pub id: usize,
    /// What is sent.
    pub payload: Payload,
    /// What to wait for.
    pub wait: Option<Await>,
}

/// What is sent.
#[derive(Debug)]
pub enum Payload {
    /// Text.
    Text(Text),
    /// Bytes.
    Binary(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// Which message answers.
#[derive(Debug)]
pub struct Await {
    /// How it is known.
    pub what: Awaited,
    /// Does that need what was sent?
    pub uses_sent: bool,
    /// Time limit, ns.
    pub within_ns: u64,
}

/// How an awaited message is known.
#[derive(Debug)]
pub enum Awaited {
    /// The path finds this first.
    JsonEquals(JsonPath, Text),
    /// The path finds anything.
    JsonAny(JsonPath),
    /// It holds this text.
    Contains(Text),
    /// It matches.
    Regex(Regex),
    /// It is binary.
    Binary,
}

impl Awaited {
    /// The text with holes that is compared with.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::JsonEquals(_, text) | Self::Contains(text) => Some(text),
            Self::JsonAny(_) | Self::Regex(_) | Self::Binary => None,
        }
    }
}

impl Send {
    /// All texts with holes.
    fn texts(&self) -> impl Iterator<Item = &Text> {
        let sent = if let Payload::Text(text) = &self.payload { Some(text) } else { None };
        sent.into_iter().chain(self.wait.as_ref().and_then(|w| w.what.text()))
    }
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
        let http = match plan.transport.http {
            HttpVersion::Auto if !url.tls => HttpVersion::Http1,
            chosen => chosen,
        };
        let compiler = Compiler { url, transport: &plan.transport, steps: plan.steps.len() };
        let mut kinds = Vec::with_capacity(plan.sessions.len());
        for kind in &plan.sessions {
            let mut ops = Vec::new();
            compiler.steps(&kind.steps, &mut ops)?;
            kinds.push(Kind::of(ops, http));
        }
        Ok(Self {
            kinds,
            slots: usize::from(plan.slots),
            feeders: plan.feeders.clone(),
            steps: plan.steps.len(),
            timeout_ns: plan.timeout_ns.max(1),
            seed: plan.seed,
            cookies: plan.transport.cookies,
            http,
            url: url.clone(),
        })
    }
}

struct Compiler<'a> {
    url: &'a BaseUrl,
    transport: &'a plan::Transport,
    steps: usize,
}

impl Compiler<'_> {
    fn steps(&self, steps: &[Step], ops: &mut Vec<Op>) -> Result<(), BadPlan> {
        for step in steps {
            let op = match step {
                Step::Request(r) => Op::Request(Box::new(self.request(r)?)),
                Step::Parallel(p) => {
                    let requests =
                        p.requests.iter().map(|r| self.request(r)).collect::<Result<Vec<_>, _>>()?;
                    let connections = usize::from(p.connections).min(requests.len()).max(1);
                    Op::Parallel(Box::new(Parallel { requests, connections }))
                }
                Step::Connect(c) => Op::Connect(Box::new(self.connect(c)?)),
                Step::Send(s) => Op::Send(Box::new(self.send(s)?)),
                Step::Listen(dist) | Step::Think(dist) => Op::Wait(*dist),
                Step::Close(id) => Op::Close(self.id(*id)?),
                Step::Journey(journey) => Op::Journey(Box::new(Coded::of(journey, self.steps)?)),
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
        head.fixed(method).fixed(" ").fixed(&self.url.prefix).template(path, Place::Path);
        self.tail(&mut head, headers);
        head
    }

    /// What follows the path in the head of any request.
    fn tail(&self, head: &mut Text, headers: &[(String, Template)]) {
        head.fixed(" HTTP/1.1\r\n");
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
    }

    /// The end of a request's head, as far as the value of `Content-Length` if it has a body.
    fn end(&self, head: &mut Text, r: &plan::Request, with_body: bool) {
        if self.transport.compression
            && !r.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("accept-encoding"))
        {
            head.fixed(format!("Accept-Encoding: {}\r\n", coding::ACCEPTED));
        }
        match r.body.as_ref().filter(|_| with_body) {
            Some((content_type, _)) => {
                if r.options.expect_continue {
                    head.fixed("Expect: 100-continue\r\n");
                }
                head.fixed(format!("Content-Type: {content_type}\r\nContent-Length: "));
            }
            // RFC 9110, 8.6: a method that defines a meaning for content says that there is none.
            None if with_body && matches!(&*r.method, "POST" | "PUT" | "PATCH") => {
                head.fixed("Content-Length: 0\r\n\r\n");
            }
            None => drop(head.fixed("\r\n")),
        }
    }

    /// How the redirects of a request are followed.
    fn follow(&self, r: &plan::Request, fields: &mut Vec<String>) -> Option<Box<Follow>> {
        let max = r.options.redirects.unwrap_or(self.transport.redirects);
        if max == 0 {
            return None;
        }
        fields.push("location".to_owned());
        let [tail, bare] = [true, false].map(|with_body| {
            let mut tail = Text::default();
            self.tail(&mut tail, &r.headers);
            self.end(&mut tail, r, with_body);
            tail
        });
        let (location, method) = (fields.len() - 1, r.method.clone());
        Some(Box::new(Follow { max, location, method, tail, bare }))
    }

    fn request(&self, r: &plan::Request) -> Result<Request, BadPlan> {
        let mut head = self.head(&r.method, &r.path, &r.headers);
        self.end(&mut head, r, true);
        let body = r.body.as_ref().map(|(_, template)| {
            let mut body = Text::default();
            body.template(template, Place::Plain);
            body
        });
        let mut request = Request {
            id: self.id(r.id)?,
            when: r.when.map(|slot| usize::from(slot.0)),
            head,
            body,
            is_head: r.method == "HEAD",
            expects: r.options.expect_continue && r.body.is_some(),
            follow: None,
            keeps_cookies: self.transport.cookies,
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
        request.follow = self.follow(r, &mut request.fields);
        Ok(request)
    }

    fn connect(&self, c: &plan::Connect) -> Result<Connect, BadPlan> {
        let mut head = self.head("GET", &c.path, &c.headers);
        if let Some(subprotocol) = &c.subprotocol {
            head.fixed(format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
        }
        if let Some(deflate) = &c.options.deflate {
            head.fixed(format!("Sec-WebSocket-Extensions: {}\r\n", deflate::offer(deflate)));
        }
        head.fixed(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        );
        let o = &c.options;
        Ok(Connect {
            id: self.id(c.id)?,
            head,
            subprotocol: c.subprotocol.clone(),
            fields: handshake::fields(),
            max_message: o.max_message.unwrap_or(MESSAGE_MAX as u32),
            deflate: o.deflate.clone(),
            push_age: o.push_age.as_deref().map(json_path).transpose()?.map(Rc::new),
            ping_every_ns: o.ping_every_ns.map(|ns| ns.max(1)),
            echo: o.echo,
        })
    }

    fn send(&self, s: &plan::Send) -> Result<Send, BadPlan> {
        let ready = |template: &Template| {
            let mut text = Text::default();
            text.template(template, Place::Plain);
            text
        };
        let payload = match &s.payload {
            plan::Payload::Text(template) => Payload::Text(ready(template)),
            plan::Payload::Binary(bytes) => Payload::Binary(bytes.clone()),
            plan::Payload::Nothing => Payload::Nothing,
        };
        let wait = s.wait.as_ref().map(|w| {
            let what = match &w.what {
                plan::Awaited::JsonEquals(path, equals) => {
                    Awaited::JsonEquals(json_path(path)?, ready(equals))
                }
                plan::Awaited::JsonAny(path) => Awaited::JsonAny(json_path(path)?),
                plan::Awaited::Contains(text) => Awaited::Contains(ready(text)),
                plan::Awaited::Regex(pattern) => Awaited::Regex(regex(pattern)?),
                plan::Awaited::Binary => Awaited::Binary,
            };
            let uses_sent = what.text().is_some_and(Text::uses_sent);
            Ok(Await { what, uses_sent, within_ns: w.within_ns.max(1) })
        });
        Ok(Send { id: self.id(s.id)?, payload, wait: wait.transpose()? })
    }
}

impl Request {
    /// The feeders whose columns it sends.
    fn feeders(&self) -> impl Iterator<Item = usize> + '_ {
        self.head.feeders().chain(self.body.iter().flat_map(Text::feeders))
    }

    /// What of an answer is kept.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        let (head, body, cookies) = (self.is_head, self.keeps_body, self.keeps_cookies);
        Want { head, body, cookies, fields: &self.fields }
    }

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
            Capture::Cookie(name) => {
                self.keeps_cookies = true;
                From::Cookie(name.clone())
            }
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
    if url.port == url.usual_port() { host } else { format!("{host}:{}", url.port) }
}
