//! The program of a worker: a plan's steps, flattened and made ready once, so that nothing is parsed or looked up per use.
//!
//! Owns the ready form (heads as texts with holes, JSONPaths compiled, loops as jumps). Making it of a plan is `compile`'s
//! business, running it `session`'s.

mod ahead;
mod compile;
mod events;
mod judging;
mod upload;

use std::collections::BTreeSet;
use std::rc::Rc;

use regex::bytes::Regex;
use scenarios::plan::{self, BaseUrl, Dist, Feeder, HttpVersion, RunPlan, Times};
use serde_json_path::JsonPath;
use thiserror::Error;

use crate::condition::Condition;
use crate::http::answer::Want;
use crate::journey::Coded;
use crate::scan::Finder;
use crate::template::Text;
use crate::token::Signer;
pub use ahead::Ahead;
pub(crate) use compile::regex;
use compile::{Compiler, awaited, finder};
pub use events::{AwaitEvent, OpenEvents};
pub use judging::{Expect, FieldIs, From, JsonIs, Judging, TextIs};
pub use upload::{Piece, Upload};

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
    /// A key signs no tokens.
    #[error("a token's key: {0}")]
    Key(String),
    /// A template is wrong.
    #[error("template {name}: {why}")]
    Template {
        /// Where it is from.
        name: String,
        /// What is wrong with it.
        why: String,
    },
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
    /// What makes tokens.
    pub signers: Vec<Signer>,
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
    /// What each of them, or one behind it, awaits of what came before.
    pub ahead: Vec<Ahead>,
    /// Feeders that it draws a row of, ascending.
    pub feeders: Vec<usize>,
}

impl Kind {
    fn of(ops: Vec<Op>, signers: &[Signer]) -> Self {
        let mut feeders = BTreeSet::new();
        let mut tokens = BTreeSet::new();
        for op in &ops {
            match op {
                Op::Request(r) => {
                    feeders.extend(r.feeders());
                    tokens.extend(r.head.signers());
                }
                Op::Parallel(p) => {
                    feeders.extend(p.requests.iter().flat_map(Request::feeders));
                    tokens.extend(p.requests.iter().flat_map(|r| r.head.signers()));
                }
                Op::Connect(c) => {
                    feeders.extend(c.head.feeders());
                    tokens.extend(c.head.signers());
                }
                Op::Send(s) => feeders.extend(s.texts().flat_map(Text::feeders)),
                Op::OpenEvents(e) => {
                    feeders.extend(e.head.feeders());
                    tokens.extend(e.head.signers());
                }
                Op::AwaitEvent(a) => feeders.extend(a.text().into_iter().flat_map(Text::feeders)),
                Op::If { when, .. } => feeders.extend(when.feeders()),
                Op::Enter { first, .. } => feeders.extend(first.iter().flat_map(Condition::feeders)),
                Op::Again { goes_on, .. } => {
                    feeders.extend(goes_on.iter().flat_map(|g| g.condition.feeders()));
                }
                Op::Wait(_)
                | Op::Ignore(_)
                | Op::Close { .. }
                | Op::CloseEvents(_)
                | Op::Jump(_)
                | Op::Choose { .. }
                | Op::Journey(_) => {}
            }
        }
        feeders.extend(tokens.into_iter().filter_map(|i| signers.get(i)).flat_map(Signer::feeders));
        Self { ahead: ahead::of(&ops), ops, feeders: feeders.into_iter().collect() }
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
    /// Waits, and reads nothing meanwhile.
    Ignore(Dist),
    /// Begins a loop whose end is at `again`.
    Enter {
        /// How often.
        times: Times,
        /// What must hold for the first turn.
        first: Option<Condition>,
        /// The loop's [`Op::Again`].
        again: usize,
    },
    /// Begins the next turn of the loop at `enter`, or leaves it.
    Again {
        /// The loop's [`Op::Enter`].
        enter: usize,
        /// Pacing.
        every: Option<Dist>,
        /// What must hold for another turn.
        goes_on: Option<GoesOn>,
    },
    /// Goes on at `otherwise` unless this holds.
    If {
        /// What must hold.
        when: Condition,
        /// Where to go on if it does not.
        otherwise: usize,
    },
    /// Goes on there.
    Jump(usize),
    /// Goes on at one of these places, drawn by weight.
    Choose {
        /// The sum of all weights.
        total: u64,
        /// Each weight, and where its steps begin.
        courses: Vec<(u64, usize)>,
    },
    /// Closes the WebSocket.
    Close {
        /// Which step.
        id: usize,
        /// With which code.
        code: u16,
    },
    /// Opens the event stream.
    OpenEvents(Box<OpenEvents>),
    /// Awaits an event.
    AwaitEvent(Box<AwaitEvent>),
    /// Closes the event stream.
    CloseEvents(usize),
    /// A visit in code.
    Journey(Box<Coded>),
}

impl Op {
    /// Does it do something to the target, rather than wait or choose what comes next?
    #[must_use]
    pub fn starts_something(&self) -> bool {
        match self {
            Self::Request(_)
            | Self::Parallel(_)
            | Self::Connect(_)
            | Self::Send(_)
            | Self::Close { .. }
            | Self::OpenEvents(_)
            | Self::AwaitEvent(_)
            | Self::CloseEvents(_)
            | Self::Journey(_) => true,
            Self::Wait(_)
            | Self::Ignore(_)
            | Self::Enter { .. }
            | Self::Again { .. }
            | Self::If { .. }
            | Self::Jump(_)
            | Self::Choose { .. } => false,
        }
    }
}

/// What must hold for another turn of a loop.
#[derive(Debug)]
pub struct GoesOn {
    /// What is looked at.
    pub condition: Condition,
    /// Must it hold, or must it not?
    pub wanted: bool,
}

/// An HTTP request.
#[derive(Debug)]
pub struct Request {
    /// Which step.
    pub id: usize,
    /// Skipped unless this holds.
    pub when: Option<Condition>,
    /// Head up to the end; with a body, up to the value of `Content-Length`.
    pub head: Text,
    /// Body, if it is a text that is sent at once.
    pub body: Option<Text>,
    /// Body, if it is anything else; the head then ends before what is said of it.
    pub upload: Option<Box<Upload>>,
    /// Is it `HEAD`?
    pub is_head: bool,
    /// May it be sent again where nobody knows what became of it: is it the same to the server to be asked twice?
    pub repeatable: bool,
    /// Is the body sent only after `100 Continue`?
    pub expects: bool,
    /// How redirects are followed; none: they are answers like any other.
    pub follow: Option<Box<Follow>>,
    /// What is looked into of the answer, and what is kept of it.
    pub judging: Judging,
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
    /// Where `Location` is among [`Judging::fields`].
    pub location: usize,
    /// The request's method.
    pub method: String,
    /// What follows the path in the head.
    pub tail: Text,
    /// The same where the body was dropped on the way.
    pub bare: Text,
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
    pub push_age: Option<Rc<Finder>>,
    /// Time between pings, ns.
    pub ping_every_ns: Option<u64>,
    /// Is what is pushed sent back?
    pub echo: bool,
    /// Most bytes of a message in one frame.
    pub max_frame: Option<u32>,
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
    /// What is looked into of it; none: nothing.
    pub judging: Option<Box<Judging>>,
    /// Time limit, ns.
    pub within_ns: u64,
}

/// How an awaited message is known.
#[derive(Debug)]
pub enum Awaited {
    /// The path finds this first.
    JsonEquals(Finder, Text),
    /// The path finds anything.
    JsonAny(JsonPath),
    /// It holds this text.
    Contains(Text),
    /// It matches.
    Regex(Regex),
    /// It is binary.
    Binary,
    /// None: the server is to end the WebSocket.
    Closed,
}

impl Awaited {
    /// The text with holes that is compared with.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::JsonEquals(_, text) | Self::Contains(text) => Some(text),
            Self::JsonAny(_) | Self::Regex(_) | Self::Binary | Self::Closed => None,
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
        let signers = plan.assets.signers.iter().map(Signer::new).collect::<Result<Vec<_>, _>>()?;
        let files = plan.assets.files.iter().map(|f| Rc::from(f.bytes.as_slice())).collect();
        let (transport, steps) = (&plan.transport, plan.steps.len());
        let compiler = Compiler { url, transport, steps, files, seed: plan.seed };
        let mut kinds = Vec::with_capacity(plan.sessions.len());
        for kind in &plan.sessions {
            let mut ops = Vec::new();
            compiler.steps(&kind.steps, &mut ops)?;
            kinds.push(Kind::of(ops, &signers));
        }
        Ok(Self {
            kinds,
            slots: usize::from(plan.slots),
            feeders: plan.feeders.clone(),
            signers,
            steps: plan.steps.len(),
            timeout_ns: plan.timeout_ns.max(1),
            seed: plan.seed,
            cookies: plan.transport.cookies,
            http,
            url: url.clone(),
        })
    }
}

impl Request {
    /// The feeders whose columns it sends.
    fn feeders(&self) -> Vec<usize> {
        let mut all = self.head.feeders();
        all.extend(self.when.iter().flat_map(Condition::feeders));
        all.extend(self.body.iter().flat_map(Text::feeders));
        all.extend(self.upload.iter().flat_map(|u| u.feeders()));
        all
    }

    /// What of an answer is kept.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        let Judging { keeps_body, keeps_cookies, fields, .. } = &self.judging;
        Want { head: self.is_head, body: *keeps_body, cookies: *keeps_cookies, fields }
    }
}
