//! A plan's steps become a [`Program`](super::Program): texts with holes made of templates, loops made jumps, patterns compiled.
//!
//! Owns what a request's head says beyond what the plan asks for. What the ready form means is the parent's business.

use std::rc::Rc;

use regex::bytes::Regex;
use scenarios::plan::{self, BaseUrl, Body, Content, Guard, Step, Template};
use serde_json_path::JsonPath;

use super::{
    Await, Awaited, BadPlan, Connect, Follow, GoesOn, Judging, Op, Parallel, Payload, Request, Send, Upload,
};
use crate::condition::Condition;
use crate::http::coding;
use crate::journey::Coded;
use crate::scan::Finder;
use crate::template::{Place, Text};
use crate::ws::{MESSAGE_MAX, deflate, handshake};

/// What is needed of the plan to compile a step.
pub(super) struct Compiler<'a> {
    pub(super) url: &'a BaseUrl,
    pub(super) transport: &'a plan::Transport,
    pub(super) steps: usize,
    /// The plan's files.
    pub(super) files: Vec<Rc<[u8]>>,
    pub(super) seed: u64,
}

impl Compiler<'_> {
    pub(super) fn steps(&self, steps: &[Step], ops: &mut Vec<Op>) -> Result<(), BadPlan> {
        for step in steps {
            let op = match step {
                Step::Request(r) => Op::Request(Box::new(self.request(r)?)),
                Step::Parallel(p) => {
                    let requests =
                        p.requests.iter().map(|r| self.request(r)).collect::<Result<Vec<_>, _>>()?;
                    Op::Parallel(Box::new(Parallel { requests, connections: p.connections_used() }))
                }
                Step::Connect(c) => Op::Connect(Box::new(self.connect(c)?)),
                Step::Send(s) => Op::Send(Box::new(self.send(s)?)),
                Step::Listen(dist) | Step::Think(dist) => Op::Wait(*dist),
                Step::Ignore(dist) => Op::Ignore(*dist),
                Step::Close(c) => Op::Close { id: self.id(c.id)?, code: c.code },
                Step::OpenEvents(e) => Op::OpenEvents(Box::new(self.open_events(e)?)),
                Step::AwaitEvent(a) => Op::AwaitEvent(Box::new(self.await_event(a)?)),
                Step::CloseEvents(id) => Op::CloseEvents(self.id(*id)?),
                Step::Journey(journey) => Op::Journey(Box::new(Coded::of(journey, self.steps)?)),
                Step::Repeat(repeat) => self.repeat(repeat, ops)?,
                Step::If(fork) => {
                    self.fork(fork, ops)?;
                    continue;
                }
                Step::Choose(choices) => {
                    self.choose(choices, ops)?;
                    continue;
                }
            };
            ops.push(op);
        }
        Ok(())
    }

    /// All of a loop but its end, which is given back.
    fn repeat(&self, repeat: &plan::Repeat, ops: &mut Vec<Op>) -> Result<Op, BadPlan> {
        let ready = |condition: &plan::Condition| Condition::new(condition);
        let (first, goes_on) = match &repeat.guard {
            None => (None, None),
            Some(Guard::While(c)) => (Some(ready(c)?), Some(GoesOn { condition: ready(c)?, wanted: true })),
            Some(Guard::Until(c)) => (None, Some(GoesOn { condition: ready(c)?, wanted: false })),
        };
        let enter = ops.len();
        ops.push(Op::Enter { times: repeat.times, first, again: 0 });
        self.steps(&repeat.steps, ops)?;
        let end = ops.len();
        if let Some(Op::Enter { again, .. }) = ops.get_mut(enter) {
            *again = end;
        }
        Ok(Op::Again { enter, every: repeat.every, goes_on })
    }

    fn fork(&self, fork: &plan::Fork, ops: &mut Vec<Op>) -> Result<(), BadPlan> {
        let test = ops.len();
        ops.push(Op::If { when: Condition::new(&fork.when)?, otherwise: 0 });
        self.steps(&fork.then, ops)?;
        let jump = (!fork.otherwise.is_empty()).then(|| {
            ops.push(Op::Jump(0));
            ops.len() - 1
        });
        let second = ops.len();
        if let Some(Op::If { otherwise, .. }) = ops.get_mut(test) {
            *otherwise = second;
        }
        self.steps(&fork.otherwise, ops)?;
        if let Some(jump) = jump {
            ops[jump] = Op::Jump(ops.len());
        }
        Ok(())
    }

    fn choose(&self, choices: &[plan::Choice], ops: &mut Vec<Op>) -> Result<(), BadPlan> {
        let draw = ops.len();
        ops.push(Op::Jump(0));
        let mut courses = Vec::with_capacity(choices.len());
        let mut jumps = Vec::with_capacity(choices.len());
        for choice in choices {
            courses.push((u64::from(choice.weight.max(1)), ops.len()));
            self.steps(&choice.steps, ops)?;
            jumps.push(ops.len());
            ops.push(Op::Jump(0));
        }
        let end = ops.len();
        jumps.into_iter().for_each(|jump| ops[jump] = Op::Jump(end));
        ops[draw] = Op::Choose { total: courses.iter().map(|(weight, _)| weight).sum(), courses };
        Ok(())
    }

    pub(super) fn id(&self, id: plan::StepId) -> Result<usize, BadPlan> {
        let i = usize::from(id.0);
        if i < self.steps { Ok(i) } else { Err(BadPlan::Step(id.0)) }
    }

    /// Request line and header fields that any request has, without the empty line.
    pub(super) fn head(&self, method: &str, path: &Template, headers: &[(String, Template)]) -> Text {
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

    /// The end of a request's head, as far as the value of `Content-Length` if it has a body that is sent at once, as far as what
    /// is said of the body if it has another.
    fn end(&self, head: &mut Text, r: &plan::Request, with_body: bool) {
        if self.transport.compression
            && !r.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("accept-encoding"))
        {
            head.fixed(format!("Accept-Encoding: {}\r\n", coding::ACCEPTED));
        }
        match r.body.as_ref().filter(|_| with_body) {
            Some((content_type, body)) => {
                if r.options.expect_continue {
                    head.fixed("Expect: 100-continue\r\n");
                }
                if at_once(r, body).is_none() {
                    return;
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
        let (mut body, mut upload) = (None, None);
        if let Some((kind, whole)) = &r.body {
            match at_once(r, whole) {
                Some(template) => body = Some(plain(template)),
                None => {
                    let made = Upload::new(kind, whole, r.options.chunked, &self.files, self.seed)?;
                    upload = Some(Box::new(made));
                }
            }
        }
        let mut request = Request {
            id: self.id(r.id)?,
            when: r.when.as_ref().map(Condition::new).transpose()?,
            head,
            body,
            upload,
            is_head: r.method == "HEAD",
            repeatable: is_idempotent(&r.method),
            expects: r.options.expect_continue && r.body.is_some(),
            follow: None,
            judging: Judging::new(&r.checks, &r.saves)?,
        };
        request.judging.keeps_cookies |= self.transport.cookies;
        request.follow = self.follow(r, &mut request.judging.fields);
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
            push_age: o.push_age.as_deref().map(finder).transpose()?.map(Rc::new),
            ping_every_ns: o.ping_every_ns.map(|ns| ns.max(1)),
            echo: o.echo,
            max_frame: o.max_frame,
        })
    }

    fn send(&self, s: &plan::Send) -> Result<Send, BadPlan> {
        let payload = match &s.payload {
            plan::Payload::Text(template) => Payload::Text(plain(template)),
            plan::Payload::Binary(bytes) => Payload::Binary(bytes.clone()),
            plan::Payload::Nothing => Payload::Nothing,
        };
        let wait = s.wait.as_ref().map(|w| {
            let what = awaited(&w.what)?;
            let uses_sent = what.text().is_some_and(Text::uses_sent);
            let judging = Judging::of_message(&w.judgement)?;
            Ok(Await { what, uses_sent, judging, within_ns: w.within_ns.max(1) })
        });
        Ok(Send { id: self.id(s.id)?, payload, wait: wait.transpose()? })
    }
}

/// A text that is put nowhere where it must be escaped.
pub(super) fn plain(template: &Template) -> Text {
    let mut text = Text::default();
    text.template(template, Place::Plain);
    text
}

pub(super) fn awaited(what: &plan::Awaited) -> Result<Awaited, BadPlan> {
    Ok(match what {
        plan::Awaited::JsonEquals(path, equals) => Awaited::JsonEquals(finder(path)?, plain(equals)),
        plan::Awaited::JsonAny(path) => Awaited::JsonAny(json_path(path)?),
        plan::Awaited::Contains(text) => Awaited::Contains(plain(text)),
        plan::Awaited::Regex(pattern) => Awaited::Regex(regex(pattern)?),
        plan::Awaited::Binary => Awaited::Binary,
        plan::Awaited::Closed => Awaited::Closed,
    })
}

/// A regular expression, compiled.
pub(crate) fn regex(pattern: &str) -> Result<Regex, BadPlan> {
    Regex::new(pattern).map_err(|e| BadPlan::Regex { pattern: pattern.to_owned(), why: e.to_string() })
}

/// What finds the first value at a path.
pub(super) fn finder(path: &str) -> Result<Finder, BadPlan> {
    json_path(path).map(Finder::new)
}

pub(super) fn json_path(path: &str) -> Result<JsonPath, BadPlan> {
    JsonPath::parse(path).map_err(|e| BadPlan::JsonPath { path: path.to_owned(), why: e.to_string() })
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// The text of a body that is sent at once.
fn at_once<'b>(request: &plan::Request, body: &'b Body) -> Option<&'b Template> {
    match body {
        Body::Whole(Content::Text(text)) if !request.options.chunked => Some(text),
        _ => None,
    }
}

/// What stands in `Host`: brackets around an IPv6 address, no port where it is the usual one.
fn authority(url: &BaseUrl) -> String {
    let host = url.bracketed_host();
    if url.port == url.usual_port() { host } else { format!("{host}:{}", url.port) }
}
