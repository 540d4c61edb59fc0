//! Names of the faults that the reference backend can inject, and the form of its truth log.
//!
//! Owns the names because scenario files, backend and scoring all speak them. Detectors never see
//! this module's data: what was injected goes to `truth.jsonl`, which only people and `score` read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::finding::FindingKind;

/// One number that a fault takes, with the range in which it makes sense.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knob {
    /// Name in scenario and control endpoint.
    pub name: &'static str,
    /// What it means, with its unit.
    pub about: &'static str,
    /// Value when not given.
    pub default: f64,
    /// Least sensible value.
    pub min: f64,
    /// Greatest sensible value.
    pub max: f64,
}

/// One row for each fault: name, the finding that a diagnosis must come to, and the knobs, each with
/// its default, its range, and what it means.
macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $expected:ident {
        $($knob:ident: $default:literal in $min:literal..=$max:literal, $about:literal;)*
    })*) => {
        /// A fault of the catalogue that this build can inject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultKind { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The catalogue's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The finding that a diagnosis must come to.
            #[must_use]
            pub const fn expected(self) -> FindingKind {
                match self { $(Self::$variant => FindingKind::$expected,)* }
            }

            /// What it takes.
            #[must_use]
            pub const fn knobs(self) -> &'static [Knob] {
                match self {
                    $(Self::$variant => &[$(Knob {
                        name: stringify!($knob), about: $about, default: $default, min: $min, max: $max,
                    },)*],)*
                }
            }
        }
    };
}

faults! {
    /// A hot key expires with no protection; every miss loads.
    Stampede = "stampede" => CacheStampede {}
    /// Pool capacity below load x hold time.
    PoolTooSmall = "pool-too-small" => PoolSaturated {
        capacity: 2.0 in 1.0..=8.0, "connections left in each worker's pool";
    }
    /// Sessions are kept for ever.
    Leak = "leak" => HeapLeak {
        bytes: 65_536.0 in 1_024.0..=1_048_576.0, "bytes kept for each session that logs in";
    }
    /// Password hashing on the event loop.
    BlockingCrypto = "blocking-crypto" => LoopBlocked {
        cost: 30.0 in 5.0..=200.0, "times the shop's usual cost of a hash, about a millisecond";
        share: 1.0 in 0.1..=1.0, "share of the log-ins that hash on the loop; the others cost as much off it";
    }
    /// A search matches user input with a backtracking pattern.
    RegexBacktracking = "regex-backtracking" => LoopBlocked {
        steps: 2_000_000.0 in 200_000.0..=20_000_000.0, "steps after which a match is given up, so that the worker comes back";
    }
    /// A task always requeues itself ahead of I/O.
    StarvedPoll = "starved-poll" => LoopStarved {
        rows: 100.0 in 20.0..=500.0, "products that the ranking looks at in one turn, some microseconds each";
    }
    /// Multi-megabyte JSON parsed and written in one go on the loop.
    BigJson = "big-json" => LoopBlocked {
        share: 1.0 in 0.1..=1.0, "share of the price lists that are made in one go";
    }
    /// Too few offload threads.
    OffloadSaturated = "offload-saturated" => OffloadSaturated {
        threads: 4.0 in 1.0..=8.0, "threads left in each worker's offload pool";
    }
    /// Each request builds and drops large temporary objects.
    Churn = "churn" => HeapChurn {
        layers: 8.0 in 1.0..=32.0, "canvases of 256 KiB made anew for each picture";
    }
    /// An import reads the file whole into memory.
    WholeFile = "whole-file" => HeapBloat {
        megabytes: 1_024.0 in 64.0..=4_096.0, "largest file that is read, MiB; larger ones are refused";
    }
    /// The old generation is compacted under one exclusive lock.
    StopTheWorld = "stop-the-world" => LongPause {
        sessions: 400_000.0 in 50_000.0..=2_000_000.0, "earlier sessions in each worker's old generation, about 120 bytes each";
        period_ms: 2_000.0 in 500.0..=20_000.0, "milliseconds from compaction to compaction";
    }
    /// Long- and short-lived allocations of many sizes lie among each other.
    Fragmentation = "fragmentation" => HeapFragmented {
        candidates: 20_000.0 in 2_000.0..=100_000.0, "allocations made for one recommendation";
    }
    /// Many keys expire in the same instant.
    Avalanche = "avalanche" => CacheAvalanche {
        period_ms: 3_000.0 in 500.0..=60_000.0, "milliseconds from instant to instant at which everything expires";
    }
    /// Requests for keys that exist nowhere reach the database.
    Penetration = "penetration" => CachePenetration {}
    /// The cache is emptied under load.
    ColdCache = "cold-cache" => CacheCold {
        period_ms: 1_000.0 in 200.0..=60_000.0, "milliseconds from emptying to emptying";
    }
    /// The working set is larger than the cache.
    TooSmallCache = "too-small-cache" => CacheThrash {
        capacity: 20.0 in 1.0..=400.0, "products that each worker's cache may keep, or all of them together on a server";
    }
    /// The checkout calls an e-mail service that has become slow.
    SlowDownstream = "slow-downstream" => DownstreamCascade {
        signatures: 400.0 in 10.0..=2_000.0, "signatures under each message; 100 take 30 to 100 ms";
    }
    /// A service that refuses work is asked again at once, again and again.
    RetryStorm = "retry-storm" => RetryStorm {
        tries: 8.0 in 2.0..=20.0, "how often the shop asks for one invoice, the first time among them";
        signatures: 100.0 in 10.0..=1_000.0, "signatures under each invoice; 100 take 30 to 100 ms";
    }
    /// The consumer of events is slower than their producers.
    BrokerBacklog = "broker-backlog" => BrokerBacklog {
        signatures: 600.0 in 10.0..=2_000.0, "signatures under each message; 100 take 30 to 100 ms";
    }
    /// A share of the connections taken from the pool never comes back.
    PoolLeak = "pool-leak" => PoolLeak {
        share: 0.02 in 0.001..=0.5, "share of the checkouts that are never given back";
    }
    /// Hundreds of connections on a small database.
    PoolTooLarge = "pool-too-large" => PoolOversized {
        capacity: 150.0 in 40.0..=500.0, "connections of each worker's pool";
    }
    /// A database connection is opened for each use.
    ConnectPerRequest = "connect-per-request" => ConnectionChurn {}
    /// The index on the customer of an order is gone.
    MissingIndex = "missing-index" => SlowQuery {}
    /// One statement for each row of a list.
    QueryFanOut = "query-fan-out" => QueryFanOut {}
    /// Independent queries are awaited one after another.
    SerialQueries = "serial-queries" => SerialAwaits {}
    /// A worker process is stopped and continued.
    Frozen = "frozen" => LongPause {
        stop_ms: 400.0 in 100.0..=3_000.0, "milliseconds for which a worker is stopped";
        period_ms: 2_000.0 in 500.0..=20_000.0, "milliseconds from stop to stop";
    }
    /// One worker process is killed and started again.
    WorkerCrash = "worker-crash" => WorkerLost {
        period_ms: 6_000.0 in 2_000.0..=60_000.0, "milliseconds from kill to kill";
    }
    /// One of the worker processes takes all new connections.
    UnevenWorkers = "uneven-workers" => UnevenWorkers {}
    /// What is pushed to clients that do not read is kept without bound.
    SlowConsumer = "slow-consumer" => SlowConsumer {}
    /// A worker accepts late, and its listen queue overflows.
    AcceptOverflow = "accept-overflow" => AcceptOverflow {
        queue: 64.0 in 8.0..=1_024.0, "connections that may wait in each worker's listen queue";
    }
    /// Descriptors are leaked up to the limit.
    FdExhausted = "fd-exhausted" => FdExhausted {
        room: 300.0 in 50.0..=10_000.0, "descriptors that each worker may open beyond those it has";
    }
    /// A hot function is called with ever other shapes; the backend in Rust, whose functions are compiled for good, cannot have it.
    Deoptimised = "deoptimised" => CpuSaturated {
        shapes: 4_000.0 in 1_000.0..=4_000.0, "different shapes among the 8,000 rules by which a page is priced";
    }
}

impl FaultKind {
    /// The fault called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Has only the reference backend's twin for other runtimes this fault?
    #[must_use]
    pub const fn of_twin_alone(self) -> bool {
        matches!(self, Self::Deoptimised)
    }
}

/// Asks the reference backend to misbehave, from now on, for a span. A field that it does not have is a mistake, and no
/// order for the defaults; recordings hold none of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    /// Which fault.
    pub name: FaultKind,
    /// For how long, milliseconds; it ends by itself.
    pub for_ms: u64,
    /// Knobs that differ from their defaults.
    #[serde(default)]
    pub knobs: BTreeMap<String, f64>,
}

impl FaultOrder {
    /// The knob's value: as ordered, or its default.
    #[must_use]
    pub fn knob(&self, name: &str) -> f64 {
        self.knobs.get(name).copied().unwrap_or_else(|| {
            self.name.knobs().iter().find(|k| k.name == name).map_or(f64::NAN, |k| k.default)
        })
    }

    /// Why the order cannot be carried out, if so: an unknown knob or one out of its range.
    ///
    /// # Errors
    /// The sentence that a person reads.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in &self.knobs {
            let Some(knob) = self.name.knobs().iter().find(|k| k.name == name) else {
                let known: Vec<_> = self.name.knobs().iter().map(|k| k.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(format!("fault {} has no knob `{name}`; it has: {known}", self.name.name()));
            };
            if !(knob.min..=knob.max).contains(value) {
                return Err(format!(
                    "knob `{name}` of fault {} is {value}, expected {} to {} ({})",
                    self.name.name(),
                    knob.min,
                    knob.max,
                    knob.about
                ));
            }
        }
        Ok(())
    }
}

/// One line of the backend's truth: what really happened, when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Which fault.
    pub fault: FaultKind,
    /// Which process.
    pub instance: String,
    /// What happened.
    pub what: TruthPoint,
    /// When, by the host's monotonic clock.
    pub at: MonoNs,
}

/// The points of a fault's life that are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TruthPoint {
    /// The switch was thrown; nothing need have happened yet.
    Armed,
    /// The first real effect (the first duplicate load, the first wait, the first stop).
    Onset,
    /// The cure runs again.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sound_and_names_survive_json() {
        for (n, kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, n, "the order of the list is that of the rows");
            assert_eq!(FaultKind::from_name(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.name()));
            for knob in kind.knobs() {
                assert!(knob.min < knob.max, "{} of {}", knob.name, kind.name());
                let order = |value| FaultOrder {
                    name: *kind,
                    for_ms: 1,
                    knobs: BTreeMap::from([(knob.name.to_owned(), value)]),
                };
                assert!(order(knob.default).check().is_ok() && order(knob.max * 2.0).check().is_err());
            }
        }
    }

    #[test]
    fn an_order_survives_json_and_a_misspelt_one_is_none() {
        let knobs = BTreeMap::from([("bytes".to_owned(), 2_048.0)]);
        let order = FaultOrder { name: FaultKind::Leak, for_ms: 1_000, knobs };
        let json = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<FaultOrder>(&json).unwrap(), order);
        let misspelt = json.replace("knobs", "knob");
        let why = serde_json::from_str::<FaultOrder>(&misspelt).unwrap_err().to_string();
        assert!(why.starts_with("unknown field `knob`"), "{why}");
    }
}
