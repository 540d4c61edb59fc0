//! Detectors: one file each, a pure function of the timeline and an instant.
//!
//! Owns what a detector may answer ([`Answer`], [`Claim`]) and the list of all of them. A detector
//! remembers nothing: that a claim continues an earlier one is the ledger's to know, what caused
//! what is decided in [`crate::causes`], and what its law confirms stands unless the null test (`proof`) finds it to be chance. Detectors read canonical lanes, canonical events and
//! [`PlanFacts`](timeline::facts::PlanFacts) alone; no name of a scenario or a fault reaches them, and
//! they never match names of phases or steps.

pub mod accept_overflow;
pub mod broker_backlog;
pub mod cache_avalanche;
pub mod cache_cold;
pub mod cache_penetration;
pub mod cache_stampede;
pub mod cache_thrash;
pub mod client;
pub mod connection_churn;
pub mod cpu_saturated;
mod database;
pub mod downstream_cascade;
pub mod fd_exhausted;
pub mod generator_limited;
pub mod heap_bloat;
pub mod heap_churn;
pub mod heap_fragmented;
pub mod heap_leak;
pub mod long_pause;
pub mod loop_blocked;
pub mod loop_starved;
pub mod offload_saturated;
pub mod pool_leak;
pub mod pool_oversized;
pub mod pool_saturated;
pub mod query_fan_out;
mod queueing;
mod readings;
pub mod retry_storm;
pub mod serial_awaits;
pub mod slow_consumer;
pub mod slow_query;
#[cfg(test)]
mod testing;
pub mod uneven_workers;
pub mod worker_lost;

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use crate::stats::median;
use crate::window;

/// Stands for the onset in [`Claim::claim`]; the ledger, which knows the earliest one, fills it in.
pub const ONSET: &str = "{onset}";

/// Stands before what is said of a finding only as long as nothing has set it off: the end of a claim, a line of evidence, an advice. Who knows
/// the causes ([`crate::causes`]) takes it out.
pub const ALONE: &str = "{alone}";

/// One detector.
#[derive(Clone, Copy)]
pub struct Detector {
    /// What it can find.
    pub kind: FindingKind,
    /// Looks at the timeline as it stands at an instant; equal input gives an equal answer.
    pub look: fn(&Timeline, RunTime) -> Answer,
}

/// All detectors, in the order in which they run.
pub const ALL: &[Detector] = &[
    Detector { kind: FindingKind::GeneratorLimited, look: generator_limited::look },
    Detector { kind: FindingKind::CacheStampede, look: cache_stampede::look },
    Detector { kind: FindingKind::CacheAvalanche, look: cache_avalanche::look },
    Detector { kind: FindingKind::CacheCold, look: cache_cold::look },
    Detector { kind: FindingKind::CachePenetration, look: cache_penetration::look },
    Detector { kind: FindingKind::CacheThrash, look: cache_thrash::look },
    Detector { kind: FindingKind::DownstreamCascade, look: downstream_cascade::look },
    Detector { kind: FindingKind::RetryStorm, look: retry_storm::look },
    Detector { kind: FindingKind::BrokerBacklog, look: broker_backlog::look },
    Detector { kind: FindingKind::PoolSaturated, look: pool_saturated::look },
    Detector { kind: FindingKind::PoolLeak, look: pool_leak::look },
    Detector { kind: FindingKind::PoolOversized, look: pool_oversized::look },
    Detector { kind: FindingKind::ConnectionChurn, look: connection_churn::look },
    Detector { kind: FindingKind::SlowQuery, look: slow_query::look },
    Detector { kind: FindingKind::QueryFanOut, look: query_fan_out::look },
    Detector { kind: FindingKind::SerialAwaits, look: serial_awaits::look },
    Detector { kind: FindingKind::LongPause, look: long_pause::look },
    Detector { kind: FindingKind::HeapLeak, look: heap_leak::look },
    Detector { kind: FindingKind::UnevenWorkers, look: uneven_workers::look },
    Detector { kind: FindingKind::WorkerLost, look: worker_lost::look },
    Detector { kind: FindingKind::SlowConsumer, look: slow_consumer::look },
    Detector { kind: FindingKind::AcceptOverflow, look: accept_overflow::look },
    Detector { kind: FindingKind::FdExhausted, look: fd_exhausted::look },
    Detector { kind: FindingKind::ThroughputKnee, look: client::throughput_knee::look },
    Detector { kind: FindingKind::PeriodicStalls, look: client::periodic_stalls::look },
    Detector { kind: FindingKind::SlowStart, look: client::slow_start::look },
    Detector { kind: FindingKind::ConnectionsRefused, look: client::connections_refused::look },
    Detector { kind: FindingKind::LongTail, look: client::long_tail::look },
    Detector { kind: FindingKind::LoopBlocked, look: loop_blocked::look },
    Detector { kind: FindingKind::LoopStarved, look: loop_starved::look },
    Detector { kind: FindingKind::CpuSaturated, look: cpu_saturated::look },
    Detector { kind: FindingKind::OffloadSaturated, look: offload_saturated::look },
    Detector { kind: FindingKind::HeapChurn, look: heap_churn::look },
    Detector { kind: FindingKind::HeapBloat, look: heap_bloat::look },
    Detector { kind: FindingKind::HeapFragmented, look: heap_fragmented::look },
];

/// What a detector says at one instant.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A needed signal is missing: canonical names of the lanes or events.
    CannotTell(Vec<String>),
    /// All signals are there, but nothing can be judged by them now: why.
    Unready(String),
    /// All signals are there; the claims, none where nothing is wrong.
    Looked(Vec<Claim>),
}

impl Answer {
    /// A judgement takes so many seconds.
    pub(crate) fn too_little(seconds: f64) -> Self {
        Self::Unready(format!("not enough data: {seconds:.0} s of settled load are needed"))
    }

    /// What is seen once the planned load is over says nothing of what it was under it.
    pub(crate) fn over() -> Self {
        Self::Unready("the planned load was over".to_owned())
    }

    /// The claims; where there are none, and not `enough` was seen for any, that it takes so many seconds.
    pub(crate) fn of(claims: impl IntoIterator<Item = Claim>, enough: bool, seconds: f64) -> Self {
        let claims: Vec<Claim> = claims.into_iter().collect();
        if claims.is_empty() && !enough { Self::too_little(seconds) } else { Self::Looked(claims) }
    }
}

/// One thing that a detector holds to be wrong, by the evidence of its window.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// What it is.
    pub kind: FindingKind,
    /// What makes two claims of a kind the same finding: pool, cache, instance.
    pub identity: String,
    /// What it is about, for people; may be more than the identity (the worst key of a cache).
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// How sure: possible, likely or confirmed.
    pub status: Status,
    /// Earliest evidence in the window.
    pub onset: RunTime,
    /// Latest evidence.
    pub last: RunTime,
    /// Absence for so long means that it has ended.
    pub quiet: Duration,
    /// Strength among claims of one finding; its text comes from the strongest one.
    pub weight: f64,
    /// One sentence with its numbers; [`ONSET`] in it becomes the finding's onset.
    pub claim: String,
    /// Supporting figures, the strongest first.
    pub evidence: Vec<Evidence>,
    /// Figures that speak against it.
    pub contradicting: Vec<Evidence>,
    /// What to change, the best first.
    pub advice: Vec<String>,
    /// The first of it as settings, where it has numbers or names of its own; what the kind alone says is in
    /// `remedies.rs`.
    pub remedies: Vec<Remedy>,
    /// Signals needed to say more.
    pub missing: Vec<String>,
    /// Spans in which it was seen, in order, at most [`MAX_EPISODES`].
    pub episodes: Vec<Span>,
    /// Finer sort of the kind where causes depend on it: the event kind of a pause. Else empty.
    pub sort: &'static str,
}

#[cfg(test)]
impl Claim {
    /// One that has nothing to show but when it was seen, for tests of what becomes of claims.
    pub(crate) fn bare(kind: FindingKind, seen: Span) -> Self {
        Self {
            kind,
            identity: String::new(),
            subject: String::new(),
            severity: Severity::Warning,
            status: Status::Likely,
            onset: seen.start,
            last: seen.end,
            quiet: Duration::from_secs(3),
            weight: 1.0,
            claim: String::new(),
            evidence: Vec::new(),
            contradicting: Vec::new(),
            advice: Vec::new(),
            remedies: Vec::new(),
            missing: Vec::new(),
            episodes: vec![seen],
            sort: "",
        }
    }
}

/// Most episodes that a claim carries.
pub const MAX_EPISODES: usize = 64;

/// Silence of so many periods has ended what recurs.
const PERIODS_OF_QUIET: f64 = 2.5;

/// Silence after which something that recurs every `period` has ended: some periods, but not less than `least`; `unknown` while there is no period.
pub(crate) fn quiet(period: Option<Duration>, unknown: Duration, least: Duration) -> Duration {
    period.map_or(unknown, |p| least.max(p.mul_f64(PERIODS_OF_QUIET)))
}

/// The spacing of what recurs at `times`, if it is regular: each within so large a share of their median. At least three are needed to say.
pub(crate) fn period(times: &[RunTime], spread: f64) -> Option<Duration> {
    let gaps: Vec<f64> = times.windows(2).map(|w| w[1].since(w[0]).as_secs_f64()).collect();
    let middle = median(gaps.clone())?;
    let regular = gaps.len() >= 2 && gaps.iter().all(|g| (g - middle).abs() <= spread * middle);
    regular.then(|| Duration::from_secs_f64(middle))
}

/// The lanes of `needed` of which the timeline tells nothing.
pub(crate) fn missing(timeline: &Timeline, needed: &[&str]) -> Vec<String> {
    needed.iter().filter(|n| !window::told(timeline, n)).map(|n| (*n).to_owned()).collect()
}

/// The answer where any lane of `needed` is missing.
pub(crate) fn cannot_tell(timeline: &Timeline, needed: &[&str]) -> Option<Answer> {
    let missing = missing(timeline, needed);
    (!missing.is_empty()).then_some(Answer::CannotTell(missing))
}

/// A line of evidence.
pub(crate) fn evidence(
    text: impl Into<String>,
    lane: impl Into<String>,
    span: Span,
    value: f64,
    unit: Unit,
) -> Evidence {
    // JSON has no word for "not finite"; zero with the text beside it loses nothing.
    let value = if value.is_finite() { value } else { 0.0 };
    Evidence { text: text.into(), lane: lane.into(), span, value, unit }
}

/// What a law makes of two figures; as long as too little was seen, neither.
pub(crate) fn they(agree: bool, disagree: bool) -> &'static str {
    match (agree, disagree) {
        (true, _) => "agree",
        (_, true) => "do not agree",
        _ => "do not (yet) agree",
    }
}

/// `1 miss`, `2 misses`, `3 keys`: the figure with the thing's plural where there are several.
pub(crate) fn plural(n: f64, thing: &str) -> String {
    let figure = Unit::Count.show(n.round());
    if (n - 1.0).abs() < 0.5 {
        return format!("{figure} {thing}");
    }
    match thing.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{figure} {stem}ies"),
        _ if thing.ends_with('s') => format!("{figure} {thing}es"),
        _ => format!("{figure} {thing}s"),
    }
}

/// A long time in the unit that people would use: `40 s`, `24 min`, `6.8 h`, `3.1 days`.
pub(crate) fn lasting(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => Unit::Ns.show(s * 1e9),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// [`joined`] spans, of which the newest [`MAX_EPISODES`] are kept.
pub(crate) fn episodes(spans: Vec<Span>, gap: Duration) -> Vec<Span> {
    let mut out = joined(spans, gap);
    let surplus = out.len().saturating_sub(MAX_EPISODES);
    out.drain(..surplus);
    out
}

/// Spans that lie at most `gap` apart become one.
pub(crate) fn joined(mut spans: Vec<Span>, gap: Duration) -> Vec<Span> {
    spans.sort_by_key(|s| (s.start, s.end));
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(open) if span.start <= open.end + gap => open.end = open.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}
