//! What a gate is about: from its first words to a figure, and which limits fit it.

use super::nearest;
use super::words::{Word, Words};
use crate::gate::quantity::{self, Dimension, Quantity};
use crate::gate::{GateError, Stat, Subject, lanes};
use crate::lane::names;
use crate::text::clean;
use crate::units::Unit;

/// Most of a wrong word that is shown.
const LONGEST_SHOWN: usize = 60;
/// Client-side times that have a word of their own: words, lane. Response time is meant where nothing is said.
const TIMES: [(&str, &str); 3] =
    [("response", names::RESPONSE), ("service", names::SERVICE), ("lateness", names::LATENESS)];
/// Rates that have a word of their own.
const RATES: [(&str, &str); 3] =
    [("completed", names::COMPLETED), ("achieved", names::ACHIEVED), ("offered", names::OFFERED)];
/// Words that may begin a gate, for suggestions.
const FIRST_WORDS: [&str; 18] = [
    "p50",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
    "mean",
    "median",
    "response",
    "service",
    "lateness",
    "errors",
    "achieved",
    "completed",
    "count",
    "offered",
    "dropped",
    "no",
];
/// What other tools call these figures; only suggested, because they leave open what exactly is meant.
const OTHER_WORDS: [(&str, &str); 9] = [
    ("latency", "response"),
    ("duration", "response"),
    ("throughput", "completed"),
    ("rps", "completed"),
    ("qps", "completed"),
    ("failures", "errors"),
    ("failed", "errors"),
    ("error_rate", "errors"),
    ("requests", "count"),
];

/// A subject before its limit is known, which decides between shares, counts and rates.
pub(super) enum Draft {
    Time(&'static str, Stat),
    Errors,
    Count,
    Rate(&'static str),
    Dropped,
    Lane(String, Option<Stat>, Option<Unit>),
    Growth(String, Option<Unit>),
}

/// What a limit without a unit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// A number of things, or whatever the figure makes of it.
    Plain,
    /// Milliseconds, as k6 has it.
    Millis,
    /// A share from 0 to 1.
    Share,
    /// Things per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
}

impl Bare {
    /// The quantity with the unit that was left out.
    pub(super) fn complete(self, q: Quantity) -> Quantity {
        let (factor, dimension) = match self {
            _ if q.dimension != Dimension::Bare => return q,
            Self::Plain => return q,
            Self::Millis => (1e6, Dimension::Time),
            Self::Share => (1.0, Dimension::Share),
            Self::PerSecond => (1.0, Dimension::Rate),
            Self::BytesPerSecond => (1.0, Dimension::BytesRate),
        };
        Quantity { value: q.value * factor, dimension }
    }
}

/// Reads up to the comparison; also says what a limit without a unit means.
pub(super) fn subject(w: &mut Words<'_>) -> Result<(Draft, Bare), GateError> {
    let at = w.at();
    let word = w.take().expect("the caller has looked");
    let key = word.key.as_str();
    if let Some((_, lane)) = TIMES.iter().find(|(name, _)| *name == key) {
        w.eat("time");
        let stat = w.stat()?.ok_or_else(|| w.expected("a figure such as `p99` or `max`"))?;
        return Ok((Draft::Time(lane, stat.0), bare_time(stat.1)));
    }
    if let Some((_, lane)) = RATES.iter().find(|(name, _)| *name == key) {
        return Ok((Draft::Rate(lane), Bare::Plain));
    }
    match key {
        "errors" => Ok((Draft::Errors, Bare::Plain)),
        "count" => Ok((Draft::Count, Bare::Plain)),
        "dropped" => Ok((Draft::Dropped, Bare::Plain)),
        _ => {
            if let Some((stat, k6)) = stat(key).map_err(|s| w.error_at(at, no_percentile(key), s))? {
                return Ok((Draft::Time(names::RESPONSE, stat), bare_time(k6)));
            }
            lane(w, at, &word).map(|draft| (draft, Bare::Plain))
        }
    }
}

/// k6 writes times without a unit; elsewhere it has to be said.
fn bare_time(k6: bool) -> Bare {
    if k6 { Bare::Millis } else { Bare::Plain }
}

fn lane(w: &mut Words<'_>, at: usize, word: &Word) -> Result<Draft, GateError> {
    let key = word.key.as_str();
    if !key.contains('.') {
        let problem = format!(
            "`{}` is no figure; expected p99, errors, achieved, a lane such as `pool.db.wait`",
            clean(key, LONGEST_SHOWN)
        );
        let meant = OTHER_WORDS.iter().find(|(other, _)| *other == key).map(|(_, ours)| (*ours).to_owned());
        return Err(w.error_at(at, problem, meant.or_else(|| nearest(key, FIRST_WORDS))));
    }
    // The generations' lanes are spoken of by their generation. What the target names is spelt as it spells it.
    let name = match key {
        "heap.old" => names::HEAP_OLD,
        "heap.young" => names::HEAP_YOUNG,
        _ => word.text.as_str(),
    };
    let (name, unit) = match lanes::known(name) {
        Ok(known) => known,
        Err(meant) => {
            return Err(w.error_at(
                at,
                format!("there is no lane `{}`", clean(name, LONGEST_SHOWN)),
                Some(meant),
            ));
        }
    };
    if w.eat("growth") {
        return Ok(Draft::Growth(name, unit));
    }
    let stat = w.stat()?.map(|(stat, _)| stat);
    Ok(Draft::Lane(name, stat, unit))
}

impl Draft {
    /// The subject, and the limit in its base unit.
    pub(super) fn with_limit(
        self,
        w: &Words<'_>,
        at: usize,
        limit: Quantity,
    ) -> Result<(Subject, f64), GateError> {
        let wrong = |wanted: &str| {
            let text = w.text[at..].split_whitespace().next().unwrap_or_default();
            w.error_at(at, format!("`{text}` does not fit here; expected {wanted}"), None)
        };
        let of = |unit: Unit| limit.as_unit(unit).ok_or_else(|| wrong(quantity::example(unit)));
        match self {
            Self::Time(lane, stat) => Ok((Subject::Time(lane, stat), of(Unit::Ns)?)),
            Self::Errors if limit.dimension == Dimension::Share => Ok((Subject::ErrorShare, limit.value)),
            // k6 writes shares as fractions; a fraction of an error does not exist.
            Self::Errors if limit.dimension == Dimension::Bare && limit.value > 0.0 && limit.value < 1.0 => {
                Ok((Subject::ErrorShare, limit.value))
            }
            Self::Errors if limit.dimension == Dimension::Bare => Ok((Subject::ErrorCount, limit.value)),
            Self::Errors => Err(wrong("a share such as 0.1% or a number such as 5")),
            Self::Count => Ok((Subject::Count, of(Unit::Count)?)),
            Self::Rate(names::ACHIEVED) if limit.dimension == Dimension::Share => {
                Ok((Subject::AchievedShare, limit.value))
            }
            Self::Rate(names::ACHIEVED) if limit.dimension != Dimension::Rate => {
                Err(wrong("`99% of offered` or a rate such as 500/s"))
            }
            Self::Rate(lane) => Ok((Subject::Rate(lane), of(Unit::PerSecond)?)),
            Self::Dropped => Ok((Subject::Dropped, of(Unit::Count)?)),
            Self::Lane(name, stat, unit) => {
                let unit = unit.or(limit.unit()).ok_or_else(|| wrong("a value with its unit"))?;
                let value = of(unit)?;
                Ok((Subject::Lane(name, stat, unit), value))
            }
            Self::Growth(name, known) => {
                let unit = limit.slope_unit().filter(|u| known.is_none_or(|k| k == *u));
                let wanted = if known == Some(Unit::Bytes) {
                    "a slope such as 1MiB/min"
                } else {
                    "a slope such as 5/min"
                };
                Ok((Subject::Growth(name, unit.ok_or_else(|| wrong(wanted))?), limit.value))
            }
        }
    }
}

/// `p99`, `p(95)`, `max`, `avg`; the flag says that the spelling is k6's. An error carries what was meant.
pub(super) fn stat(word: &str) -> Result<Option<(Stat, bool)>, Option<String>> {
    let named = match word {
        "min" => Some((Stat::Min, false)),
        "max" => Some((Stat::Max, false)),
        "mean" => Some((Stat::Mean, false)),
        "median" => Some((Stat::Quantile(0.5), false)),
        "last" => Some((Stat::Last, false)),
        "avg" => Some((Stat::Mean, true)),
        "med" => Some((Stat::Quantile(0.5), true)),
        _ => None,
    };
    let Some(tail) = word.strip_prefix('p').filter(|_| named.is_none()) else { return Ok(named) };
    let k6 = tail.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let digits = k6.unwrap_or(tail);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse::<f64>() {
        Ok(p) if p > 0.0 && p < 100.0 => Ok(Some((Stat::Quantile(p / 100.0), k6.is_some()))),
        // p999 is how some tools write p99.9.
        Ok(p) if digits.len() > 2 && digits.starts_with("99") && p.fract() == 0.0 => {
            Err(Some(format!("p99.{}", &digits[2..])))
        }
        Ok(100.0) => Err(Some("max".to_owned())),
        _ => Err(None),
    }
}

pub(super) fn no_percentile(word: &str) -> String {
    format!("`{word}` is no percentile; expected one between p0 and p100 such as p99 or p99.9")
}
