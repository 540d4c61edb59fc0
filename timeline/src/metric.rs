//! How a metric that dyno does not know becomes a lane: the form that scenario files and sources share.
//!
//! Owns the form of a mapping, the units that a metric's values may have, and which lanes can be filled so. How a page's lines or what
//! OpenTelemetry sends become values is the sources' business.

use serde::{Deserialize, Serialize};

use crate::lane::{Combine, Shape, names};
use crate::units::Unit;

/// Most mappings of one scenario.
pub const MAX_MAPPINGS: usize = 64;

/// One metric, one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Name of the metric; dots and underscores are alike, `_total`, `_bucket`, `_sum` and `_count` may be left off.
    pub metric: String,
    /// Labels that a series must have, with exactly this value. Those of OpenTelemetry are called attributes.
    #[serde(default)]
    pub labels: Vec<(String, String)>,
    /// The lane: one of [`FILLABLE`]; with `*` in it where [`Mapping::member`] names what stands there.
    pub lane: String,
    /// Label whose value stands for `*`.
    #[serde(default)]
    pub member: Option<String>,
    /// Label whose value is the lane's subject: a route, a table.
    #[serde(default)]
    pub subject: Option<String>,
    /// Unit of the metric's values; none: as its name says, or else the base unit of what the lane measures.
    #[serde(default)]
    pub unit: Option<MetricUnit>,
}

/// What a metric's values are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// 1024 bytes.
    Kibibytes,
    /// 1024 * 1024 bytes.
    Mebibytes,
    /// Hundredths of a whole.
    Percent,
    /// Shares of a whole.
    Ratio,
    /// Things.
    Count,
}

impl MetricUnit {
    /// As scenarios write them.
    pub const NAMES: &[(&'static str, Self)] = &[
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("us", Self::Microseconds),
        ("ns", Self::Nanoseconds),
        ("bytes", Self::Bytes),
        ("KiB", Self::Kibibytes),
        ("MiB", Self::Mebibytes),
        ("%", Self::Percent),
        ("ratio", Self::Ratio),
        ("count", Self::Count),
    ];

    /// What one of them comes to in `lane`'s unit; none if it measures something else.
    #[must_use]
    pub fn factor(self, lane: Unit) -> Option<f64> {
        let (measures, factor) = match self {
            Self::Seconds => (Unit::Ns, 1e9),
            Self::Milliseconds => (Unit::Ns, 1e6),
            Self::Microseconds => (Unit::Ns, 1e3),
            Self::Nanoseconds => (Unit::Ns, 1.0),
            Self::Bytes => (Unit::Bytes, 1.0),
            Self::Kibibytes => (Unit::Bytes, 1024.0),
            Self::Mebibytes => (Unit::Bytes, 1_048_576.0),
            Self::Percent => (Unit::Ratio, 0.01),
            Self::Ratio => (Unit::Ratio, 1.0),
            Self::Count => (Unit::Count, 1.0),
        };
        let wanted = match lane {
            Unit::PerSecond => Unit::Count,
            Unit::BytesPerSecond => Unit::Bytes,
            other => other,
        };
        (measures == wanted).then_some(factor)
    }
}

/// A lane that a mapping can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fillable {
    /// Its name; `*` stands for a member.
    pub lane: &'static str,
    /// A level takes the metric's value, a rate its increase (a histogram's count), a histogram the durations of a histogram or summary.
    pub shape: Shape,
    /// Of the lane's values.
    pub unit: Unit,
    /// How series add up.
    pub combine: Combine,
}

const fn level(lane: &'static str, unit: Unit) -> Fillable {
    Fillable { lane, shape: Shape::Level, unit, combine: Combine::Sum }
}

const fn worst(lane: &'static str, unit: Unit) -> Fillable {
    Fillable { lane, shape: Shape::Level, unit, combine: Combine::Max }
}

const fn rate(lane: &'static str) -> Fillable {
    Fillable { lane, shape: Shape::Rate, unit: Unit::PerSecond, combine: Combine::Sum }
}

const fn bytes_rate(lane: &'static str) -> Fillable {
    Fillable { lane, shape: Shape::Rate, unit: Unit::BytesPerSecond, combine: Combine::Sum }
}

const fn durations(lane: &'static str) -> Fillable {
    Fillable { lane, shape: Shape::Histogram, unit: Unit::Ns, combine: Combine::Merge }
}

/// All of them: what detectors read and a target can know of itself.
pub const FILLABLE: &[Fillable] = &[
    level(names::HEAP_USED, Unit::Bytes),
    level(names::HEAP_YOUNG, Unit::Bytes),
    level(names::HEAP_OLD, Unit::Bytes),
    level(names::HEAP_LIVE, Unit::Bytes),
    level(names::HEAP_CAPACITY, Unit::Bytes),
    level(names::HEAP_LIMIT, Unit::Bytes),
    bytes_rate(names::HEAP_ALLOCATED),
    bytes_rate(names::HEAP_PROMOTED),
    level(names::OFFLOAD_CAPACITY, Unit::Count),
    level(names::OFFLOAD_BUSY, Unit::Count),
    level(names::OFFLOAD_QUEUED, Unit::Count),
    durations(names::OFFLOAD_WAIT),
    durations(names::OFFLOAD_RUN),
    durations(names::LOOP_DELAY),
    worst(names::LOOP_DELAY_LONGEST, Unit::Ns),
    worst(names::LOOP_DELAY_P99, Unit::Ns),
    worst(names::LOOP_UTILISATION, Unit::Ratio),
    level(names::SERVER_IN_FLIGHT, Unit::Count),
    durations(names::SERVER_HANDLER),
    rate(names::SERVER_REQUESTS),
    level(names::SERVER_CONNECTIONS, Unit::Count),
    level(names::SERVER_SEND_QUEUE, Unit::Bytes),
    level(names::SERVER_WEBSOCKETS, Unit::Count),
    level(names::SERVER_SESSIONS, Unit::Count),
    rate(names::DB_CALLS),
    durations(names::DB_TIME),
    rate(names::DB_FAILURES),
    rate(names::DB_ROWS),
    rate(names::DB_TABLE_SCANS),
    rate(names::DB_TABLE_SCANNED),
    rate(names::DB_TABLE_FETCHED),
    level(names::DB_CONNECTIONS, Unit::Count),
    worst(names::DB_CONNECTION_LIMIT, Unit::Count),
    level(names::DB_ACTIVE, Unit::Count),
    level(names::DB_WAITING, Unit::Count),
    level("pool.*.capacity", Unit::Count),
    level("pool.*.in-use", Unit::Count),
    level("pool.*.idle", Unit::Count),
    level("pool.*.waiters", Unit::Count),
    durations("pool.*.wait"),
    durations("pool.*.hold"),
    rate("pool.*.timeouts"),
    rate("pool.*.opened"),
    rate("pool.*.acquired"),
    rate("cache.*.hits"),
    rate("cache.*.misses"),
    rate("cache.*.loads"),
    rate("cache.*.evictions"),
    rate("cache.*.expired"),
    level("cache.*.entries", Unit::Count),
    durations("cache.*.load"),
    level("broker.*.depth", Unit::Count),
    level("broker.*.consumers", Unit::Count),
    durations("broker.*.age"),
    rate("broker.*.published"),
    rate("broker.*.consumed"),
    level("downstream.*.in-flight", Unit::Count),
    durations("downstream.*.time"),
    rate("downstream.*.calls"),
    rate("downstream.*.failures"),
    rate("downstream.*.retries"),
];

/// What `lane` is, if a mapping can fill it. A member stands for `*`, and `*` for itself.
#[must_use]
pub fn fillable(lane: &str) -> Option<&'static Fillable> {
    let is = |f: &&Fillable| match f.lane.split_once('*') {
        None => f.lane == lane,
        Some((front, back)) => {
            lane.len() > front.len() + back.len() && lane.starts_with(front) && lane.ends_with(back)
        }
    };
    FILLABLE.iter().find(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_found_with_and_without_their_member() {
        let of = |lane| fillable(lane).map(|f| f.lane);
        assert_eq!(of("heap.old.used"), Some("heap.old.used"));
        assert_eq!(of("pool.orders.waiters"), Some("pool.*.waiters"));
        assert_eq!(of("pool.*.waiters"), Some("pool.*.waiters"));
        assert_eq!(of("pool..waiters"), None);
        assert_eq!(of("client.response"), None);
        assert_eq!(of("pool.orders.colour"), None);
    }

    #[test]
    fn a_unit_fits_what_the_lane_measures() {
        assert_eq!(MetricUnit::Milliseconds.factor(Unit::Ns), Some(1e6));
        assert_eq!(MetricUnit::Mebibytes.factor(Unit::BytesPerSecond), Some(1_048_576.0));
        assert_eq!(MetricUnit::Count.factor(Unit::PerSecond), Some(1.0));
        assert_eq!(MetricUnit::Bytes.factor(Unit::Ns), None);
    }
}
