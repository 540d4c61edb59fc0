//! Findings: what a detector says, with its evidence and advice.
//!
//! Owns the shape and the closed list of kinds. Detectors (in `profiler`) make them, the
//! diagnosis ranks them; screens and reports only show them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{RunTime, Span};
use crate::remedy::Remedy;
use crate::units::Unit;

macro_rules! finding_kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $title:literal;)*) => {
        /// Every finding that dyno can make. Names are those of the fault catalogue; the last ones are what clients feel, told
        /// only where no instrument of the target names the cause.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FindingKind { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }
        impl FindingKind {
            /// All kinds, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The name used in files, gates and output: `cache-stampede`.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            /// The name in running text: `cache stampede`.
            #[must_use]
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title,)* } }
            /// The kind called `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> { Self::ALL.iter().copied().find(|k| k.name() == name) }
        }
    };
}

finding_kinds! {
    /// Synchronous work keeps the loop from turning.
    LoopBlocked = "loop-blocked", "loop blocked";
    /// A task requeues itself ahead of I/O.
    LoopStarved = "loop-starved", "loop starved";
    /// The offload pool is full.
    OffloadSaturated = "offload-saturated", "offload pool saturated";
    /// Memory that is never given back.
    HeapLeak = "heap-leak", "heap leak";
    /// Allocation beyond what the collector or allocator handles at ease.
    HeapChurn = "heap-churn", "heap churn";
    /// Whole files or results held in memory.
    HeapBloat = "heap-bloat", "heap bloat";
    /// Resident memory far above live memory.
    HeapFragmented = "heap-fragmented", "heap fragmented";
    /// The target stopped its own work.
    LongPause = "long-pause", "long pause";
    /// The CPU is the limit.
    CpuSaturated = "cpu-saturated", "CPU saturated";
    /// More demand than connections.
    PoolSaturated = "pool-saturated", "pool saturated";
    /// Checked-out connections never come back.
    PoolLeak = "pool-leak", "pool leak";
    /// More connections than the database can serve well.
    PoolOversized = "pool-oversized", "pool oversized";
    /// Connections are opened for single requests.
    ConnectionChurn = "connection-churn", "connection churn";
    /// A statement that takes too long.
    SlowQuery = "slow-query", "slow query";
    /// One statement per row of a list.
    QueryFanOut = "query-fan-out", "query fan-out";
    /// Independent waits in a row.
    SerialAwaits = "serial-awaits", "serial awaits";
    /// Many loads of one key at once.
    CacheStampede = "cache-stampede", "cache stampede";
    /// Many keys expire at once.
    CacheAvalanche = "cache-avalanche", "cache avalanche";
    /// Requests for keys that do not exist.
    CachePenetration = "cache-penetration", "cache penetration";
    /// The cache was emptied under load.
    CacheCold = "cache-cold", "cold cache";
    /// The working set exceeds the cache.
    CacheThrash = "cache-thrash", "cache thrash";
    /// A slow service behind slows this one.
    DownstreamCascade = "downstream-cascade", "downstream cascade";
    /// Retries multiply the load.
    RetryStorm = "retry-storm", "retry storm";
    /// Consumers are slower than producers.
    BrokerBacklog = "broker-backlog", "broker backlog";
    /// One worker has most of the connections.
    UnevenWorkers = "uneven-workers", "uneven workers";
    /// A worker process died.
    WorkerLost = "worker-lost", "worker lost";
    /// Clients that do not read make queues grow.
    SlowConsumer = "slow-consumer", "slow consumer";
    /// The listen queue overflows.
    AcceptOverflow = "accept-overflow", "accept queue overflow";
    /// No descriptors are left.
    FdExhausted = "fd-exhausted", "descriptors exhausted";
    /// The load generator could not keep up.
    GeneratorLimited = "generator-limited", "generator limited";
    /// Seen from the client: more load brings no more answers, or one step's backlog grows that no instrument explains.
    ThroughputKnee = "throughput-knee", "throughput knee";
    /// Seen from the client alone: answers stall at regular times.
    PeriodicStalls = "periodic-stalls", "periodic stalls";
    /// Seen from the client alone: the first seconds are far slower than later ones.
    SlowStart = "slow-start", "slow start";
    /// Seen from the client, also beside instruments that see no cause: connections are refused, or break.
    ConnectionsRefused = "connections-refused", "connections refused";
    /// Seen from the client alone: one step answers some requests far later than most.
    LongTail = "long-tail", "long tail";
}

/// How bad it is for the users of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Will hurt.
    Warning,
    /// Hurts now.
    Critical,
}

impl Severity {
    /// Glyph that says it without colour.
    #[must_use]
    pub const fn glyph(self) -> &'static str {
        match self {
            Self::Info => "i",
            Self::Warning => "!",
            Self::Critical => "!!",
        }
    }

    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How sure the detector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A needed signal is missing, or what there is of it says too little.
    CannotTell,
    /// Looked for, with all signals there, and absent.
    NotSeen,
    /// Some evidence.
    Possible,
    /// Strong evidence.
    Likely,
    /// Strong evidence, an independent law or null test agrees, and neither speaks against it.
    Confirmed,
}

impl Status {
    /// As a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CannotTell => "cannot tell",
            Self::NotSeen => "not seen",
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

/// One line of evidence, checkable by eye: which lane, which span, which figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The sentence that a person reads, figure included.
    pub text: String,
    /// Canonical lane or event kind that it was read from.
    pub lane: String,
    /// Over which span.
    pub span: Span,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
}

/// What a detector says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Number inside the run in order of discovery: `F1`. Stable over the run.
    pub id: String,
    /// What it is.
    pub kind: FindingKind,
    /// What it is about: `db`, `product:7`; empty where the kind says all.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub status: Status,
    /// When it began, by the evidence.
    pub onset: RunTime,
    /// When it was first *likely* (or worse to say, *possible*, until then).
    pub found_at: RunTime,
    /// When it was last seen, if it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// The latest evidence of it; it has ended once there was none for a while after. None in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<RunTime>,
    /// One sentence with its numbers: `pool db saturated from 00:41: 118 waiters on 16 connections, …`.
    pub claim: String,
    /// Supporting figures, the strongest first.
    pub evidence: Vec<Evidence>,
    /// Figures that speak against it.
    #[serde(default)]
    pub contradicting: Vec<Evidence>,
    /// What to change, with numbers; the best first.
    pub advice: Vec<String>,
    /// The first of it in a form that a machine can carry out; empty where it is no setting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// The finding (its id) that caused this one; none for a root cause.
    #[serde(default)]
    pub caused_by: Option<String>,
    /// Why the cause is believed: `precedes by 240 ms; a stampede's loads fill the pool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by_reason: Option<String>,
    /// Signals that would be needed to say more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Clients tell once a second, and the target's lanes may come as seldom: what was seen so shortly before the end was seen to the end.
const TO_THE_END: Duration = Duration::from_secs(2);

impl Finding {
    /// One that has begun, and has nothing to show yet: a warning, and likely, unless told otherwise.
    #[must_use]
    pub fn bare(id: &str, kind: FindingKind, onset: RunTime) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            subject: String::new(),
            severity: Severity::Warning,
            status: Status::Likely,
            onset,
            found_at: onset,
            ended: None,
            last: None,
            claim: String::new(),
            evidence: Vec::new(),
            contradicting: Vec::new(),
            advice: Vec::new(),
            remedies: Vec::new(),
            caused_by: None,
            caused_by_reason: None,
            missing: Vec::new(),
        }
    }

    /// When it was over, in a run that was over at `end`: its end, or its latest evidence where there was none in the last two seconds.
    /// None where it was seen to the end.
    #[must_use]
    pub fn over(&self, end: RunTime) -> Option<RunTime> {
        self.ended.or_else(|| self.last.filter(|last| end.since(*last) > TO_THE_END))
    }

    /// Until when it was seen, in a run that was over at `end`, in words: ` to 00:36.0`, `, last seen 00:17.6`; empty where it was seen to
    /// the end.
    #[must_use]
    pub fn until(&self, end: RunTime) -> String {
        match (self.ended, self.over(end)) {
            (Some(ended), _) => format!(" to {}", ended.tenths()),
            (None, Some(last)) => format!(", last seen {}", last.tenths()),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_for_a_while_is_not_told_as_seen_to_the_end() {
        let mut f = Finding::bare("F1", FindingKind::PoolSaturated, RunTime::from_ms(8_000));
        f.last = Some(RunTime::from_ms(22_500));
        let end = RunTime::from_ms(24_000);
        let told = |f: &Finding| (f.over(end).map(RunTime::as_ms), f.until(end));
        assert_eq!(told(&f), (None, String::new()));
        f.last = Some(RunTime::from_ms(17_600));
        assert_eq!(told(&f), (Some(17_600), ", last seen 00:17.6".to_owned()));
        f.ended = f.last;
        assert_eq!(told(&f), (Some(17_600), " to 00:17.6".to_owned()));
        (f.ended, f.last) = (None, None);
        assert_eq!(told(&f), (None, String::new()), "a file of an older version does not say");
    }

    #[test]
    fn names_are_unique_and_survive_json() {
        for (i, kind) in FindingKind::ALL.iter().enumerate() {
            assert_eq!(FindingKind::from_name(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.name()));
            assert!(FindingKind::ALL[i + 1..].iter().all(|k| k.name() != kind.name()));
        }
        assert!(Severity::Critical > Severity::Info && Status::Confirmed > Status::Likely);
    }
}
