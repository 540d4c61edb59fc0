//! The worker protocol: what coordinator and workers say to each other, in checked frames over any byte stream.
//!
//! Owns the messages, their numbers and their version. Plans are JSON (read once), figures are compact
//! numbers. Both sides begin with a hello; a version that differs ends the conversation with a clear error. Moving the
//! bytes is left to `worker` (threads) and `coordinator` (tokio).

use std::net::{IpAddr, SocketAddr};

use scenarios::plan::{BaseUrl, RunPlan};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use timeline::frame::{self, BadFrame, Frame};
use timeline::histogram::Sparse;
use timeline::{Amendment, MonoNs};

use crate::sse::figures::SseCounters;
use crate::ws::figures::{WsCounters, WsHistograms};

/// Version of the messages below; raised whenever one changes.
pub const VERSION: u32 = 8;

const TO_HELLO: u8 = 1;
const TO_SEGMENT: u8 = 2;
const TO_AMENDMENT: u8 = 3;
const TO_BEGIN: u8 = 4;
const FROM_HELLO: u8 = 65;
const FROM_COUNTERS: u8 = 66;
const FROM_HISTOGRAMS: u8 = 67;
const FROM_DONE: u8 = 68;
const FROM_FAILED: u8 = 69;
const FROM_READY: u8 = 70;

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum ToWorker {
    /// The first message.
    Hello(Hello),
    /// What to do; once.
    Segment(Box<Segment>),
    /// The instant at which the run starts, in the worker's clock; once, when all workers are ready.
    Begin(MonoNs),
    /// A change of what is under way.
    Amendment(Amended),
}

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// Answers the coordinator's hello.
    Hello(Hello),
    /// The segment is understood, and can begin.
    Ready,
    /// Every 100 ms.
    Counters(Box<Counters>),
    /// Every second, and every part of one that a phase's end cuts off, in which anything finished.
    Histograms(Histograms),
    /// The segment is done; the worker ends. The last counters and histograms were sent before.
    Done(Done),
    /// The segment could not be begun; the worker ends.
    Failed(String),
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The speaker's [`VERSION`].
    pub version: u32,
    /// Its process.
    pub pid: u32,
    /// Its clock, read when the message was made.
    pub now: MonoNs,
}

impl Hello {
    /// Ours, now.
    #[must_use]
    pub fn now() -> Self {
        Self { version: VERSION, pid: std::process::id(), now: MonoNs::now() }
    }
}

/// A worker's exact part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The whole plan.
    pub plan: RunPlan,
    /// Which worker this is, from 0.
    pub worker: u32,
    /// How many there are.
    pub workers: u32,
    /// The target as written, for `Host` and the path's prefix.
    pub url: BaseUrl,
    /// Where it is.
    pub address: SocketAddr,
    /// Local addresses to connect from, in turn; empty: the system chooses.
    pub sources: Vec<IpAddr>,
}

/// A change of what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Amended {
    /// When it applies, run time in ns; at once if that has passed.
    pub at: u64,
    /// What changes.
    pub what: Amendment,
}

/// A worker's totals since the run's start, and its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// When, run time in ns.
    pub at: u64,
    /// Starts of steps that were planned.
    pub offered: u64,
    /// Starts that happened.
    pub achieved: u64,
    /// Steps that finished, failed ones among them.
    pub completed: u64,
    /// Planned starts that never happened.
    pub dropped: u64,
    /// Those of them that the plan had no session free for ...
    pub over_cap: u64,
    /// ... and those that this process had no descriptors for.
    pub over_descriptors: u64,
    /// Starts more than 10 ms after they could have been.
    pub late: u64,
    /// WebSocket messages and events of event streams that no step waited for.
    pub pushed: u64,
    /// Bytes read.
    pub received: u64,
    /// Bytes written.
    pub sent: u64,
    /// Kept connections that were found closed, or to have said something unasked, before a request was sent on them: it went out on
    /// a new one.
    pub replaced: u64,
    /// Requests that were sent and reset, refused or left without an answer, and were sent again, so that they are no errors. One that
    /// may not be sent twice is none of them: it has failed.
    pub retried: u64,
    /// Answers to HTTP steps that were redirects with a `Location` and were not followed, but for those whose step asks for that
    /// status.
    pub unfollowed_redirects: u64,
    /// Sessions open now.
    pub open_sessions: u64,
    /// Most that were open at once since the last counters; not a total.
    pub most_sessions: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Samples of histograms that had to be dropped because the coordinator took none.
    pub lost_samples: u64,
    /// CPU time of the process, ns.
    pub cpu_ns: u64,
    /// Longest hiccup since the last counters, ns; not a total.
    pub hiccup_ns: u64,
    /// Failed steps by kind, in the order of [`ErrorKind::ALL`](crate::ErrorKind::ALL).
    pub errors: Vec<u64>,
    /// Of the errors of kind [`Status`](crate::ErrorKind::Status): how many answers had which status, ascending; the rest are those
    /// whose status is not told apart.
    pub statuses: Vec<(u16, u64)>,
    /// Planned starts that no row was left for, by feeder in the plan's order; they are dropped.
    pub rowless: Vec<u64>,
    /// Sessions by kind, in the plan's order.
    pub kinds: Vec<KindCounters>,
    /// WebSockets, and what is pushed.
    pub ws: WsCounters,
    /// Event streams.
    pub sse: SseCounters,
}

/// Sessions of one kind, since the run's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindCounters {
    /// Started.
    pub started: u64,
    /// Ended.
    pub ended: u64,
}

/// What finished within one interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histograms {
    /// Start of the interval, run time in ns.
    pub start: u64,
    /// Its end.
    pub end: u64,
    /// Steps of which any finished, ascending.
    pub steps: Vec<StepHistograms>,
    /// Started minus due.
    pub lateness: Sparse,
    /// Released minus due, of arrivals and think times.
    pub release_error: Sparse,
    /// Times of WebSockets that are no step's.
    pub ws: WsHistograms,
}

/// What finished of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepHistograms {
    /// Which step.
    pub step: u16,
    /// How many finished.
    pub finished: u64,
    /// How many of those failed. Those that never reached the target are in no histogram.
    pub failed: u64,
    /// Response times.
    pub response: Sparse,
    /// Service times.
    pub service: Sparse,
}

/// How a segment ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// When, run time in ns.
    pub at: u64,
    /// Sessions that were still open when the grace was over, or at an abort.
    pub cut: u64,
    /// Steps that finished.
    pub completed: u64,
    /// What there is to say beside the figures, a sentence each.
    pub notes: Vec<String>,
    /// Checks that failed, by step and in the order of its checks.
    pub failed_checks: Vec<FailedCheck>,
}

/// A check of a step that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Which step.
    pub step: u16,
    /// What was to hold.
    pub what: String,
    /// How often it was the first of its step that did not.
    pub count: u64,
    /// What was found the first time.
    pub found: String,
}

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum BadMessage {
    /// The frame is damaged.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// The other side is of another version.
    #[error(
        "the other side speaks version {theirs} of the worker protocol, this one version {VERSION}: are both of the same build?"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// The body is not what its number says.
    #[error("a message of type {kind} cannot be read: {why}")]
    Body {
        /// Its number.
        kind: u8,
        /// What does not fit.
        why: String,
    },
}

impl ToWorker {
    /// As a frame.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => frame::pack(TO_HELLO, &json(hello)),
            Self::Segment(segment) => frame::pack(TO_SEGMENT, &json(segment)),
            Self::Begin(origin) => frame::pack(TO_BEGIN, &json(origin)),
            Self::Amendment(amendment) => frame::pack(TO_AMENDMENT, &json(amendment)),
        }
    }

    /// From a frame.
    ///
    /// # Errors
    /// [`BadMessage`].
    pub fn unpack(frame: &Frame) -> Result<Self, BadMessage> {
        match frame.kind {
            TO_HELLO => hello(frame).map(Self::Hello),
            TO_SEGMENT => from_json(frame).map(Self::Segment),
            TO_BEGIN => from_json(frame).map(Self::Begin),
            TO_AMENDMENT => from_json(frame).map(Self::Amendment),
            kind => Err(unknown(kind)),
        }
    }
}

impl FromWorker {
    /// As a frame.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Hello(hello) => frame::pack(FROM_HELLO, &json(hello)),
            Self::Done(done) => frame::pack(FROM_DONE, &json(done)),
            Self::Failed(why) => frame::pack(FROM_FAILED, &json(why)),
            Self::Ready => frame::pack(FROM_READY, &[]),
            Self::Counters(counters) => {
                counters.put(&mut body);
                frame::pack(FROM_COUNTERS, &body)
            }
            Self::Histograms(histograms) => {
                histograms.put(&mut body);
                frame::pack(FROM_HISTOGRAMS, &body)
            }
        }
    }

    /// From a frame.
    ///
    /// # Errors
    /// [`BadMessage`].
    pub fn unpack(frame: &Frame) -> Result<Self, BadMessage> {
        let short = || BadMessage::Body { kind: frame.kind, why: "it ends too early".to_owned() };
        let mut numbers = Numbers(&frame.body);
        match frame.kind {
            FROM_HELLO => hello(frame).map(Self::Hello),
            FROM_DONE => from_json(frame).map(Self::Done),
            FROM_FAILED => from_json(frame).map(Self::Failed),
            FROM_READY => Ok(Self::Ready),
            FROM_COUNTERS => Counters::get(&mut numbers).map(Box::new).map(Self::Counters).ok_or_else(short),
            FROM_HISTOGRAMS => Histograms::get(&mut numbers).map(Self::Histograms).ok_or_else(short),
            kind => Err(unknown(kind)),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types have no maps with odd keys and no failing parts")
}

fn from_json<T: for<'de> Deserialize<'de>>(frame: &Frame) -> Result<T, BadMessage> {
    serde_json::from_slice(&frame.body).map_err(|e| BadMessage::Body { kind: frame.kind, why: e.to_string() })
}

fn hello(frame: &Frame) -> Result<Hello, BadMessage> {
    /// What every version of a hello has.
    #[derive(Deserialize)]
    struct AnyHello {
        version: u32,
    }
    let any: AnyHello = from_json(frame)?;
    if any.version == VERSION { from_json(frame) } else { Err(BadMessage::Version { theirs: any.version }) }
}

fn unknown(kind: u8) -> BadMessage {
    BadMessage::Body { kind, why: "no such message is known".to_owned() }
}

/// Reads numbers of variable length (LEB128): most are small.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    pub(crate) fn next(&mut self) -> Option<u64> {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= u64::from(b & 0x7F).checked_shl(shift)?;
            if b & 0x80 == 0 {
                return Some(n);
            }
            shift += 7;
        }
    }

    /// A count of things that take at least a byte each, so that a damaged one reserves no memory.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let n = self.next()? as usize;
        (n <= self.0.len()).then_some(n)
    }

    /// A histogram: values as differences.
    pub(crate) fn sparse(&mut self) -> Option<Sparse> {
        let n = self.count()?;
        let (mut cells, mut value) = (Vec::with_capacity(n), 0u32);
        for _ in 0..n {
            value = value.checked_add(u32::try_from(self.next()?).ok()?)?;
            cells.push((value, u32::try_from(self.next()?).ok()?));
        }
        Some(Sparse { cells })
    }
}

pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn put_sparse(out: &mut Vec<u8>, sparse: &Sparse) {
    put(out, sparse.cells.len() as u64);
    let mut last = 0;
    for &(value, count) in &sparse.cells {
        put(out, u64::from(value - last));
        put(out, u64::from(count));
        last = value;
    }
}

impl StepHistograms {
    /// Was it timed inside a step, by a journey? Then it has no service time, and is in no total.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.service.cells.is_empty() && !self.response.cells.is_empty()
    }
}

impl Counters {
    fn totals(&mut self) -> [&mut u64; 20] {
        [
            &mut self.at,
            &mut self.offered,
            &mut self.achieved,
            &mut self.completed,
            &mut self.dropped,
            &mut self.over_cap,
            &mut self.over_descriptors,
            &mut self.late,
            &mut self.pushed,
            &mut self.received,
            &mut self.sent,
            &mut self.replaced,
            &mut self.retried,
            &mut self.unfollowed_redirects,
            &mut self.open_sessions,
            &mut self.most_sessions,
            &mut self.open_connections,
            &mut self.lost_samples,
            &mut self.cpu_ns,
            &mut self.hiccup_ns,
        ]
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut copy = self.clone();
        copy.totals().into_iter().for_each(|n| put(out, *n));
        put(out, self.errors.len() as u64);
        self.errors.iter().for_each(|&n| put(out, n));
        put(out, self.statuses.len() as u64);
        self.statuses.iter().flat_map(|&(status, n)| [u64::from(status), n]).for_each(|n| put(out, n));
        put(out, self.rowless.len() as u64);
        self.rowless.iter().for_each(|&n| put(out, n));
        put(out, self.kinds.len() as u64);
        self.kinds.iter().flat_map(|k| [k.started, k.ended]).for_each(|n| put(out, n));
        self.ws.put(out);
        self.sse.put(out);
    }

    fn get(numbers: &mut Numbers<'_>) -> Option<Self> {
        let mut counters = Self::default();
        for total in counters.totals() {
            *total = numbers.next()?;
        }
        counters.errors = (0..numbers.count()?).map(|_| numbers.next()).collect::<Option<_>>()?;
        let status =
            |numbers: &mut Numbers<'_>| Some((u16::try_from(numbers.next()?).ok()?, numbers.next()?));
        counters.statuses = (0..numbers.count()?).map(|_| status(numbers)).collect::<Option<_>>()?;
        counters.rowless = (0..numbers.count()?).map(|_| numbers.next()).collect::<Option<_>>()?;
        let kind = |numbers: &mut Numbers<'_>| {
            Some(KindCounters { started: numbers.next()?, ended: numbers.next()? })
        };
        counters.kinds = (0..numbers.count()?).map(|_| kind(numbers)).collect::<Option<_>>()?;
        counters.ws = WsCounters::get(numbers)?;
        counters.sse = SseCounters::get(numbers)?;
        Some(counters)
    }
}

impl Histograms {
    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.start);
        put(out, self.end);
        put(out, self.steps.len() as u64);
        for s in &self.steps {
            [u64::from(s.step), s.finished, s.failed].into_iter().for_each(|n| put(out, n));
            put_sparse(out, &s.response);
            put_sparse(out, &s.service);
        }
        put_sparse(out, &self.lateness);
        put_sparse(out, &self.release_error);
        self.ws.put(out);
    }

    fn get(numbers: &mut Numbers<'_>) -> Option<Self> {
        let (start, end) = (numbers.next()?, numbers.next()?);
        let steps = (0..numbers.count()?)
            .map(|_| {
                Some(StepHistograms {
                    step: u16::try_from(numbers.next()?).ok()?,
                    finished: numbers.next()?,
                    failed: numbers.next()?,
                    response: numbers.sparse()?,
                    service: numbers.sparse()?,
                })
            })
            .collect::<Option<_>>()?;
        let (lateness, release_error) = (numbers.sparse()?, numbers.sparse()?);
        Some(Self { start, end, steps, lateness, release_error, ws: WsHistograms::get(numbers)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sparse() -> impl Strategy<Value = Sparse> {
        prop::collection::btree_map(1..3_600_000_000u32, any::<u32>(), 0..20)
            .prop_map(|m| Sparse { cells: m.into_iter().collect() })
    }

    fn again(message: &FromWorker) -> FromWorker {
        let (frame, _) = frame::unpack(&message.pack()).unwrap();
        FromWorker::unpack(&frame).unwrap()
    }

    proptest! {
        #[test]
        fn figures_survive_the_way(
            totals: [u64; 20], errors in prop::collection::vec(any::<u64>(), 0..20),
            steps in prop::collection::vec((any::<u16>(), any::<u64>(), any::<u64>(), sparse(), sparse()), 0..4), lateness in sparse(), release_error in sparse(),
        ) {
            let sse = SseCounters { opened: totals[2], closed: totals[3], reconnects: totals[4] };
            let kinds = vec![KindCounters { started: totals[5], ended: totals[6] }; errors.len() % 3];
            let statuses = errors.iter().zip(400..).map(|(&n, status)| (status, n)).collect();
            let rowless = errors.clone();
            let mut counters = Counters { errors, statuses, rowless, kinds, sse, ..Counters::default() };
            counters.totals().into_iter().zip(totals).for_each(|(c, n)| *c = n);
            let counters = FromWorker::Counters(Box::new(counters));
            prop_assert_eq!(again(&counters), counters);
            let steps = steps.into_iter().map(|(step, finished, failed, response, service)| StepHistograms { step, finished, failed, response, service });
            let histograms = FromWorker::Histograms(Histograms { start: totals[0], end: totals[1], steps: steps.collect(), lateness, release_error, ws: WsHistograms::default() });
            prop_assert_eq!(again(&histograms), histograms);
        }

        #[test]
        fn any_bytes_are_survived(kind: u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let frame = Frame { kind, body };
            let _ = FromWorker::unpack(&frame);
            let _ = ToWorker::unpack(&frame);
        }
    }

    #[test]
    fn another_version_is_refused_clearly() {
        let body = br#"{"version":9,"word":"hello"}"#.to_vec();
        let why = FromWorker::unpack(&Frame { kind: FROM_HELLO, body }).unwrap_err().to_string();
        insta::assert_snapshot!(why, @"the other side speaks version 9 of the worker protocol, this one version 8: are both of the same build?");
    }

    #[test]
    fn amendments_survive_the_way() {
        for what in
            [Amendment::Scale(0.9), Amendment::Halt, Amendment::GoOn, Amendment::Stop, Amendment::Abort]
        {
            let amended = ToWorker::Amendment(Amended { at: 7, what });
            let (frame, _) = frame::unpack(&amended.pack()).unwrap();
            assert_eq!(ToWorker::unpack(&frame).unwrap(), amended);
        }
    }

    #[test]
    fn a_segment_survives_the_way() {
        let segment = ToWorker::Segment(Box::new(Segment {
            plan: crate::testing::plan_of(vec![]),
            worker: 1,
            workers: 3,
            url: BaseUrl { tls: false, host: "::1".into(), port: 80, prefix: "/x".into() },
            address: "[::1]:80".parse().unwrap(),
            sources: vec!["127.0.0.2".parse().unwrap()],
        }));
        let (frame, _) = frame::unpack(&segment.pack()).unwrap();
        assert_eq!(ToWorker::unpack(&frame).unwrap(), segment);
        let begin = ToWorker::Begin(MonoNs(5));
        let (frame, _) = frame::unpack(&begin.pack()).unwrap();
        assert_eq!(ToWorker::unpack(&frame).unwrap(), begin);
        let (frame, _) = frame::unpack(&FromWorker::Ready.pack()).unwrap();
        assert_eq!(FromWorker::unpack(&frame).unwrap(), FromWorker::Ready);
    }
}
